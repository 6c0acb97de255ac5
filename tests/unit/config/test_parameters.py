# SPDX-License-Identifier: Apache-2.0
"""The table of parameters against upstream's state dicts, and overrides of a configuration."""

import json
import sys
from math import prod
from pathlib import Path

import pytest

from protenix_ms.config import VARIANTS, apply_overrides, get_config
from protenix_ms.config.parameters import TABLE, has_released_sizes, released_shapes
from protenix_ms.errors import ConfigError

COUNTS = {
    "protenix-v2": 464_442_431,
    "protenix_base_default_v1.0.0": 368_484_735,
    "protenix_base_20250630_v1.0.0": 368_484_735,
    "protenix_base_default_v0.5.0": 368_088_191,
    "protenix_base_constraint_v0.5.0": 369_453_439,
    "protenix_mini_default_v0.5.0": 134_067_007,
    "protenix_tiny_default_v0.5.0": 109_500_223,
    "protenix_mini_esm_v0.5.0": 135_216_447,
    "protenix_mini_ism_v0.5.0": 135_216_447,
}
ROOT = Path(__file__).resolve().parents[3]


def recorded(path):
    rows = (line.split("\t") for line in path.read_text().splitlines() if line)
    return {name: tuple(json.loads(shape)) for name, shape, *_ in rows}


@pytest.mark.parametrize("name", VARIANTS)
def test_names_and_shapes_equal_upstream(name, golden):
    upstream = recorded(golden / f"keys/keys_{name}.txt")
    assert list(released_shapes(name).items()) == list(upstream.items())


def test_the_script_makes_the_table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import pack_parameters

    monkeypatch.setattr(sys, "argv", ["pack_parameters.py", "--output", str(tmp_path / "table")])
    pack_parameters.main()
    assert (tmp_path / "table").read_bytes() == TABLE.read_bytes()


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_count_is_the_published_one(name):
    assert sum(map(prod, released_shapes(name).values())) == COUNTS[name]


def test_what_counts_as_a_size():
    tiny = "protenix_tiny_default_v0.5.0"
    same = {"model.N_cycle": 1, "sample_diffusion.N_step": 2, "model.pairformer.dropout": 0.0}
    assert has_released_sizes(get_config(tiny, same))
    for key in ("model.pairformer.n_blocks", "model.confidence_head.n_blocks",
                "model.pairformer.n_heads", "esm.embedding_dim", "widths.no_bins"):
        assert not has_released_sizes(get_config(tiny, {key: 3})), key


def test_wrong_key_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'N_cycle'"):
        get_config("protenix_tiny_default_v0.5.0", {"model": {"n_cycle": 1}})
    with pytest.raises(ConfigError, match="did you mean 'protenix-v2'"):
        get_config("protenix_v2")


def test_dotted_overrides_and_types():
    config = get_config("protenix_tiny_default_v0.5.0", {"sample_diffusion.N_step": "7"})
    assert config.sample_diffusion.N_step == 7
    with pytest.raises(ConfigError, match="expected int"):
        apply_overrides(config, {"sample_diffusion.N_step": "many"})
    with pytest.raises(ConfigError, match="group of settings"):
        apply_overrides(config, {"model": 3})


@pytest.mark.parametrize("key, says", [
    ("a.b.c", "known keys"), ("gamm0", "did you mean 'sample_diffusion.gamma0'"),
    ("model.N_cycle", "give an integer"),
])
def test_a_wrong_setting_is_answered_with_what_helps(key, says):
    with pytest.raises(ConfigError, match=says):
        apply_overrides(get_config("protenix-v2"), {key: "x"})
