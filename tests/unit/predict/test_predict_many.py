# SPDX-License-Identifier: Apache-2.0
"""Panels from Python: results as they come, from one worker process."""

import gemmi
import numpy as np
import pytest

import protenix_ms
from protenix_ms.chem.ccd import SHIPPED
from protenix_ms.errors import ConfigError, InputError
from protenix_ms.job import Job, Polymer
from protenix_ms.predict.engines.engine import Engine
from protenix_ms.predict.engines.library import ModelChoice

SMALL = {f"model.{part}.n_blocks": 1 for part in (
    "pairformer", "diffusion_module.transformer", "msa_module", "confidence_head")}
MODEL = ModelChoice("protenix_tiny_default_v0.5.0", random_weights=1, overrides={
    **SMALL, "model.N_cycle": 1, "sample_diffusion.N_step": 2, "sample_diffusion.N_sample": 1})
JOBS = [Job("short", (Polymer("protein", "GSKC"),)), Job("longer", (Polymer("protein", "GSKCAL"),))]


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")
def test_results_come_with_their_files(tmp_path):
    def run():
        return list(protenix_ms.predict_many(JOBS, (7,), output=tmp_path, model=MODEL,
                                             engine=Engine(workers=1)))

    results = run()
    assert [(r.job, r.seed, r.state) for r in results] == [
        ("longer", 7, "done"), ("short", 7, "done")], "the longest comes first"
    for result in results:
        atoms = gemmi.read_structure(str(result.structures[0]))[0].count_atom_sites()
        coordinates = result.coordinates()
        assert coordinates.shape == (atoms, 3) and np.isfinite(coordinates).all()
        assert len(result.summaries) == 1 and result.summaries[0]["plddt"] > 0
    assert [r.state for r in run()] == ["there already"] * 2


@pytest.mark.parametrize("changes, error", [
    ({"engine": "dask"}, ConfigError), ({"model": "protenix_mini_esm_v0.5.0"}, ConfigError),
    ({"seeds": (-1,)}, InputError)], ids=["engine", "esm", "seed"])
def test_what_cannot_start_is_refused_at_once(tmp_path, changes, error):
    with pytest.raises(error):
        protenix_ms.predict_many(JOBS, **{"output": tmp_path, "model": MODEL, **changes})
