# SPDX-License-Identifier: Apache-2.0
"""A prediction's own file scores as the prediction did; missing atoms and moved chains tell."""

import json
from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.data.scored import read_scored
from protenix_ms.guidance.validity import COUNTS
from protenix_ms.job import Alignment, AtomAddress, CovalentBond, Job, Ligand, Modification, Polymer
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.predict.outputs import write_seed
from protenix_ms.predict.predictor import load_predictor
from protenix_ms.predict.score import ScoreBatch, Scorer, collect_tables
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.weights import Weights

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")
SEED = 7
ROWS = Alignment(">q\nGSKCAD\n>b\nGSRCAE\n>c\nG-KCSD\n", "inline")
JOB = Job("Own job", (
    Polymer("protein", "GSKCAD", 2, modifications=(Modification("SEP", 2),), unpaired_msa=ROWS),
    Polymer("dna", "AT"), Ligand(codes=("NAG",)), Ligand(smiles="CC(=O)Oc1ccccc1C(=O)O"),
    Ligand(codes=("MG",), is_ion=True)),
    (CovalentBond(AtomAddress(1, 3, "NZ", 1), AtomAddress(3, 1, "C1", 1)),
     CovalentBond(AtomAddress(1, 4, "SG", 1), AtomAddress(1, 4, "SG", 2))))
NO_SMILES = replace(JOB, entities=JOB.entities[:3] + JOB.entities[4:])


@pytest.fixture(scope="module")
def model():
    blocks = {"n_blocks": 1}
    config = get_config("protenix_tiny_default_v0.5.0", {
        "model": {"N_cycle": 2, "pairformer": blocks, "confidence_head": blocks,
                  "input_embedder": blocks, "diffusion_module": {"transformer": blocks}},
        "sample_diffusion": {"N_step": 2, "N_sample": 2}})
    return load_predictor(config, Weights(random_seed=0), ComponentDictionary.load())


@pytest.fixture(scope="module")
def predicted(model, tmp_path_factory):
    """`predicted(job)`: the result and the folder of its files."""
    made = {}

    def call(job):
        if len(job.entities) not in made:
            folder = JobFolder(tmp_path_factory.mktemp("predicted"), job.name)
            result = model.predict(job, SEED)
            write_seed(folder, result, model.ccd, "test", "none")
            made[len(job.entities)] = result, folder
        return made[len(job.entities)]

    return call


def score(model, structure):
    scorer = Scorer(**vars(model), structures={structure.job.name: structure})
    return scorer.predict(structure.job, SEED)


def with_rows(structure):
    first = replace(structure.job.entities[0], unpaired_msa=ROWS)
    return replace(structure, job=replace(
        structure.job, entities=(first, *structure.job.entities[1:])))


@pytest.mark.parametrize("given", [True, False])
def test_own_files_score_as_predicted(given, model, predicted):
    job = JOB if given else NO_SMILES
    result, folder = predicted(job)
    for rank, sample in enumerate(result.samples[:1]):
        path = folder.sample(SEED, "", rank, ".cif")
        structure = read_scored(path, model.ccd, job if given else None)
        made = score(model, structure if given else with_rows(structure))
        again, = made.samples
        for key, value in sample.summary.items():
            if key == "chain_ids":
                assert value == again.summary[key]
            else:
                np.testing.assert_allclose(again.summary[key], value, atol=1e-3, err_msg=key)
        for key, value in sample.full_data.items():
            np.testing.assert_allclose(again.full_data[key], value, atol=1e-3, err_msg=key)
        assert np.abs(again.coordinates - sample.coordinates).max() <= 5.1e-5


def test_another_place_gives_another_score(model, predicted):
    result, folder = predicted(NO_SMILES)
    structure = with_rows(read_scored(folder.sample(SEED, "", 0, ".cif"), model.ccd))
    shift = np.where(structure.atoms.chain_id == "B", 40.0, 0.0)[:, None]
    moved = replace(structure, atoms=structure.atoms.with_columns(
        coord=(structure.atoms.coord + shift).astype(np.float32)))
    again = score(model, moved).samples[0].full_data["token_pair_pae"]
    assert np.abs(again - result.samples[0].full_data["token_pair_pae"]).max() > 0.02


def test_representations_are_kept_on_request(model, predicted):
    result, _ = predicted(NO_SMILES)
    again = replace(model, save=("embeddings", "distogram")).predict(NO_SMILES, SEED)
    n = len(result.samples[0].full_data["token_asym_id"])
    assert {name: value.shape for name, value in again.saved.items()} == {
        "s": (n, 384), "z": (n, n, 128), "distogram": (n, n, 64)}
    assert all(value.dtype == np.float16 and np.ptp(value) > 0 for value in again.saved.values())
    probability = again.saved["distogram"].astype(np.float32)
    near = np.arange(64) < 19  # centres of the bins below 8 angstrom
    np.testing.assert_allclose(probability[..., near].sum(-1),
                               result.samples[0].full_data["contact_probs"], atol=2e-3)
    assert not result.saved


def test_missing_atoms_are_named_and_not_written(model, predicted, tmp_path):
    _, folder = predicted(NO_SMILES)
    path = tmp_path / "broken.cif"
    lines = folder.sample(SEED, "", 0, ".cif").read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not (
        line.startswith("ATOM") and line.split()[3] == "CB")))
    structure = read_scored(path, model.ccd)
    config = model.config.copy_and_resolve_references()
    config.sample_diffusion.N_sample = 1
    settings = Settings(tmp_path / "out", config, model.weights, model.ccd, model.options,
                        (SEED,), plots=False)

    class Silent:
        lines: list[str] = []  # noqa: RUF012

        def line(self, text):
            self.lines.append(text)

        def expect(self, plan):
            pass

        def progress(self, job, seed):
            return lambda *_: None

        def defect(self, error):
            raise error

    batch = ScoreBatch(settings, Silent(), structures={"broken": structure})
    batch.load = lambda s: Scorer(**vars(model), structures=batch.structures)
    outcomes = batch.run([structure.job])
    assert [o.state for o in outcomes] == ["done"]
    tables = collect_tables(settings, [structure.job], outcomes)
    assert [len(rows) for rows in tables.values()] == [1, 5, 10]
    written = JobFolder(settings.output, "broken").sample(SEED, "", 0, ".cif").read_text()
    assert written.count("\nATOM") == sum(line.startswith("ATOM") and line.split()[3] != "CB"
                                          for line in lines)
    made = json.loads(JobFolder(settings.output, "broken").sample(
        SEED, "summary_confidence_", 0, ".json").read_text())
    assert all(made[key] is None for key in (*COUNTS, "valid"))
    assert [o.state for o in batch.run([structure.job])] == ["there already"]
