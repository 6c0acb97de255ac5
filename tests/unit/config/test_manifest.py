# SPDX-License-Identifier: Apache-2.0
"""Parameter names, shapes and counts of every variant against upstream's state dicts."""

import json

import pytest

from protenix_ms.config import VARIANTS, apply_overrides, get_config, manifest, parameter_count
from protenix_ms.config.upstream import from_upstream
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


def recorded(path):
    rows = (line.split("\t") for line in path.read_text().splitlines() if line)
    return {name: tuple(json.loads(shape)) for name, shape, *_ in rows}


@pytest.mark.parametrize("name", VARIANTS)
def test_names_and_shapes_equal_upstream(name, golden):
    assert manifest(get_config(name)) == recorded(golden / f"keys/keys_{name}.txt")


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_count_is_the_published_one(name):
    assert parameter_count(get_config(name)) == COUNTS[name]


def test_recorded_configurations_read_into_ours(golden):
    cases = sorted(golden.glob("tiny/*/meta.json")) + sorted(golden.glob("full/*/meta.json"))
    assert cases
    for path in cases:
        meta = json.loads(path.read_text())
        if "config" in meta:
            shapes = {k: tuple(v) for k, v in meta["state_dict"].items()}
            assert manifest(from_upstream(meta["config"])) == shapes, path


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
