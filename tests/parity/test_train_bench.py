# SPDX-License-Identifier: Apache-2.0
"""Check that both sides of the bench `train` make the same step, in a narrow network."""

import argparse
import importlib
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
    module, inputs = (importlib.import_module(name) for name in ("training", "inputs"))
    for part in ("modules.primitives", "triangular.layers"):  # the bench takes them away
        owner = importlib.import_module(f"protenix.model.{part}")
        for name in [name for name in vars(owner) if name.endswith("_init_")]:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(module, "SETTINGS", SHALLOW)
    monkeypatch.setattr(protenix_ms.config, "get_config",
                        partial(protenix_ms.config.get_config, shared=NARROW))
    upstream_config = inputs.upstream_config
    monkeypatch.setattr(inputs, "upstream_config", lambda model, words, training:
                        upstream_config(model, NARROW | words, training))
    return module


@pytest.mark.parametrize("work", ["kept", "recomputed"])
def test_both_sides_see_the_same(bench, deposits, work):
    args = argparse.Namespace(cif=deposits / "1k6p.cif.gz", tokens="12", samples=2,
                              model="protenix_tiny_default_v0.5.0", work=work)
    sides = [side(args)(12)() for side in (bench.our_step, bench.upstream_step)]
    for numbers in sides:
        assert set(numbers) == {"loss", *bench.TERMS, "norm"}
        assert np.isfinite(list(numbers.values())).all() and numbers["norm"] > 0
    for name in ("distogram", "plddt", "pde", "resolved", "pae"):
        # masks and noise differ by side; means over all atoms or pairs hardly move
        assert sides[0][name] == pytest.approx(sides[1][name], rel=0.1), (name, sides)
