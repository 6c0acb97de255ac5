# SPDX-License-Identifier: Apache-2.0
"""Configurations by name and by file; every file in configs/ gives a model's tree."""

import sys
from pathlib import Path

import pytest

from protenix_ms.cli.configuration import load_config
from protenix_ms.config import VARIANTS, get_config
from protenix_ms.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.py"))
TINY = "protenix_tiny_default_v0.5.0"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_predict_config_is_the_variant_as_it_is(name):
    (file,) = (path for path in CONFIGS if path.name == "predict.py")
    assert load_config(None, f"{file}:{name}", (), {}) == get_config(name)
    assert load_config(name, str(file), (), {}) == get_config(name)


def test_quick_is_quick():
    (file,) = (path for path in CONFIGS if path.name == "quick.py")
    config = load_config(None, str(file), (), {})
    assert (config.model.N_cycle, config.sample_diffusion.N_sample) == (1, 1)
    assert config.model_name == TINY


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ml_collections_reads_the_same_file(monkeypatch):
    from absl import flags
    from ml_collections import config_flags

    (file,) = (path for path in CONFIGS if path.name == "predict.py")
    words = ["x", f"--config={file}:{TINY}", "--config.sample_diffusion.N_step=7"]
    monkeypatch.setattr(sys, "argv", words)  # where config_flags looks for overrides
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(words)
    assert values.config.sample_diffusion.N_step == 7
    assert values.config.model_name == TINY


def test_overrides_in_their_order():
    words = ("sample_diffusion.N_step=9", "mc_dropout_apply_rate=0")
    config = load_config(TINY, None, words, {"sample_diffusion.N_step": 11})
    assert config.sample_diffusion.N_step == 11 and config.mc_dropout_apply_rate == 0.0


@pytest.mark.parametrize("text, says", [
    ("def get_config(): return 3", "no configuration of a model"),
    ("def other(): pass", "no function get_config"),
])
def test_files_that_are_none(tmp_path, text, says):
    (tmp_path / "c.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_config(None, str(tmp_path / "c.py"), (), {})
    with pytest.raises(ConfigError, match=r"takes no argument|no function"):
        load_config(None, f"{tmp_path / 'c.py'}:tiny", (), {})
