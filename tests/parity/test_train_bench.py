# SPDX-License-Identifier: Apache-2.0
"""scripts/bench/train.py, narrow: both sides make the same step of the same example."""

import argparse
import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import protenix_ms.config

pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
pytest.importorskip("protenix", reason="parity needs protenix 2.0.0")

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"
NARROW = {"c_s": 32, "c_z": 16, "c_s_inputs": 97, "c_atom": 16, "c_atompair": 4, "c_token": 32}
SHALLOW = {"model.N_cycle": 1, "sample_diffusion.N_step_mini_rollout": 2,
           "model.pairformer.n_blocks": 1, "model.diffusion_module.transformer.n_blocks": 1,
           "model.confidence_head.n_blocks": 1}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(BENCH)])
    spec = importlib.util.spec_from_file_location("train_bench", BENCH / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for part in ("modules.primitives", "triangular.layers"):  # the bench takes them away
        owner = importlib.import_module(f"protenix.model.{part}")
        for name in [name for name in vars(owner) if name.endswith("_init_")]:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(module, "SETTINGS", SHALLOW)
    monkeypatch.setattr(protenix_ms.config, "get_config",
                        partial(protenix_ms.config.get_config, shared=NARROW))
    upstream_config = module.upstream_config
    monkeypatch.setattr(module, "upstream_config", lambda model, words, training:
                        upstream_config(model, NARROW | words, training))
    return module


@pytest.mark.parametrize("work", ["kept", "recomputed"])
def test_both_sides_see_the_same(bench, deposits, work):
    args = argparse.Namespace(cif=deposits / "1k6p.cif.gz", tokens="12", samples=2,
                              model="protenix_tiny_default_v0.5.0", work=work)
    found = [side(args)(12)() for side in (bench.ours, bench.upstream)]
    for numbers in found:
        assert set(numbers) == {"loss", *bench.TERMS, "norm"}
        assert np.isfinite(list(numbers.values())).all() and numbers["norm"] > 0
    for name in ("distogram", "plddt", "pde", "resolved", "pae"):
        # masks and noise differ by side; means over all atoms or pairs hardly move
        assert found[0][name] == pytest.approx(found[1][name], rel=0.1), (name, found)
