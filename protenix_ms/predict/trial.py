# SPDX-License-Identifier: Apache-2.0
"""Try weights on deposited structures that the package carries (`doctor --weights`)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from protenix_ms import __version__
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import DEMO_MODEL, get_config
from protenix_ms.io import read_jobs
from protenix_ms.job import Job
from protenix_ms.predict.demonstration import FOLDER, JOBS
from protenix_ms.predict.reference import QUALITY, Comparison
from protenix_ms.predict.weights import Weights

SEED = 101
# A protein, a complex, a protein with a ligand. The demonstration model knows parts of deposits;
# other models get whole ones that need no alignment to be recognised.
_KNOWN_PARTS = ("trp_cage", "two_proteins", "protein_ligand")
_WHOLE = ("trp_cage", "dna_duplex", "fkbp_fk506")
# lDDT that a sound model reaches. Measured for the demonstration model; for Protenix's own weights
# nobody here could, so it is what its report leads to expect of structures it was trained on.
LEAST_LDDT = {DEMO_MODEL: 0.85}
_LEAST_OF_OTHERS = 0.7


@dataclass(frozen=True)
class Trial:
    """The best-ranked sample of a job beside the deposited structure.

    Attributes:
        job: its name.
        scores: `QUALITY` and `plddt`.
        least: lDDT that is expected at least.
    """

    job: str
    scores: dict[str, float]
    least: float

    @property
    def passed(self) -> bool:
        """Whether it is as good as expected."""
        return self.scores["lddt"] >= self.least


def trial_jobs(model_name: str) -> list[Job]:
    """List the jobs on which a model is tried."""
    names = _KNOWN_PARTS if model_name == DEMO_MODEL else _WHOLE
    jobs = {job.name: job for file in (JOBS, FOLDER / "trial.json") for job in read_jobs(file)}
    return [jobs[name] for name in names]


def try_weights(
    model_name: str, weights: Weights, progress: Callable[[str, int], Callable] | None = None
) -> Iterator[Trial]:
    """Predict each job with one seed, as `predict` does, and judge the best-ranked sample.

    Args:
        progress: makes the callback of a job and seed.

    Raises:
        CheckpointError: the weights cannot be used.
        NonFiniteError: they give no numbers.
    """
    from protenix_ms.predict.predictor import load_predictor

    ccd = ComponentDictionary.load()
    predictor = load_predictor(get_config(model_name), weights, ccd)
    for job in trial_jobs(model_name):
        result = predictor.predict(job, SEED, progress and progress(job.name, SEED))
        known = Comparison(job, FOLDER / "known" / f"{job.name}.cif.gz", ccd)
        best = result.samples[0]
        scores = known.judge(SEED, best.coordinates) | {"plddt": best.summary["plddt"]}
        yield Trial(job.name, scores, LEAST_LDDT.get(model_name, _LEAST_OF_OTHERS))


def report_line(model_name: str, weights: Weights, trials: list[Trial]) -> str:
    """Write one line for a report: version, weights, machine, scores."""
    scores = "; ".join(f"{t.job} " + " ".join(
        f"{key} {t.scores[key]:.3f}" for key in (*QUALITY, "plddt")) for t in trials)
    return (f"protenix-ms {__version__} {model_name} {weights.fingerprint()[:16]} "
            f"{platform.machine()} python {platform.python_version()}: {scores}")
