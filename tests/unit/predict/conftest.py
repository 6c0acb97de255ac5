# SPDX-License-Identifier: Apache-2.0
"""A predictor without a network: fixed atoms, scores that depend on the seed."""

from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.job import Job, Ligand, Polymer
from protenix_ms.predict.predictor import Predictor, Sample, SeedResult
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.weights import Weights


def atoms() -> AtomTable:
    names = np.array(["N", "CA", "MG"])
    chain = np.array(["A", "A", "B"])
    zeros = np.zeros((3, 3), np.float32)
    return AtomTable(names, np.array(["N", "C", "MG"]), np.array(["ALA", "ALA", "MG"]), chain,
                     np.array(["1", "1", "2"]), np.array([1, 1, 1]), np.array([0, 0, 2]),
                     np.array([False, False, True]), zeros, zeros, np.ones(3, np.int64))


class FakePredictor(Predictor):
    """Counts its calls; `state.failures` maps (job, seed) to the error to raise."""

    def __init__(self):
        object.__setattr__(self, "state", SimpleNamespace(failures={}, calls=[]))

    def featurize(self, job, seed):
        features = {"asym_id": np.array([0, 1]), "atom_to_token_idx": np.array([0, 0, 1]),
                    "msa": np.zeros((1, 2), np.int64),
                    "template_atom_mask": np.zeros((4, 2, 24), np.float32)}
        return SimpleNamespace(features=features, atoms=atoms())

    def predict(self, job, seed, progress=None, example=None):
        self.state.calls.append((job.name, seed))
        if (job.name, seed) in self.state.failures:
            raise self.state.failures[job.name, seed]
        progress("step", 1, 1)
        score = {101: 0.5, 102: 0.9}.get(seed, 0.1)
        samples = tuple(self.sample(score - i / 10) for i in range(2))
        return SeedResult(job, seed, atoms(), samples, {"model": 0.1})

    def sample(self, score: float) -> Sample:
        summary = {"ranking_score": score, "plddt": 80.0, "ptm": 0.5, "iptm": 0.5, "gpde": 1.0,
                   "has_clash": False}
        arrays = {"atom_plddt": np.full(3, 0.8, np.float32),
                  "token_pair_pae": np.full((2, 2), score, np.float32),
                  "token_pair_pde": np.zeros((2, 2), np.float32),
                  "contact_probs": np.zeros((2, 2), np.float32),
                  "token_asym_id": np.array([0, 1]), "token_has_frame": np.array([True, False]),
                  "atom_to_token_idx": np.array([0, 0, 1])}
        return Sample(np.full((3, 3), score, np.float32), summary, arrays)


class Reporter:
    """Keeps the lines of a run instead of printing them."""

    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)

    def expect(self, plan):
        self.plan = plan

    def progress(self, job, seed):
        return lambda stage, done, total: None

    def defect(self, error):
        self.lines.append(f"defect {error!r}")


class FakeDictionary(ComponentDictionary):
    sha256, conformers_sha256 = "ccd", None

    def __init__(self):
        self.path, self._row, self._components = "ccd.npz", {}, {}


@pytest.fixture
def predictor() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def jobs() -> list[Job]:
    entities = (Polymer("protein", "A"), Ligand(codes=("MG",), is_ion=True))
    return [Job(name, entities) for name in ("first", "second")]


@pytest.fixture
def make_settings(tmp_path):
    from protenix_ms.config import get_config
    from protenix_ms.features import FeatureOptions

    def make(**changes) -> Settings:
        config: ConfigDict = get_config("protenix_tiny_default_v0.5.0",
                                        {"sample_diffusion.N_sample": 2})
        chosen = {"seeds": (101, 102), "plots": False, **changes}
        return Settings(tmp_path / "out", config, Weights(random_seed=0), FakeDictionary(),
                        FeatureOptions(), **chosen)

    return make


@pytest.fixture
def new_reporter() -> type[Reporter]:
    return Reporter
