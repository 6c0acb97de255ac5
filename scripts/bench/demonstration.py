# SPDX-License-Identifier: Apache-2.0
"""Judge the demonstration model: what it knows, and what its confidence is worth."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.cli import launch
from protenix_ms.config import DEMO_MODEL, get_config
from protenix_ms.data.scored import read_scored
from protenix_ms.io import read_jobs
from protenix_ms.metrics.quality import KnownComplex, judge
from protenix_ms.metrics.structure import rmsd
from protenix_ms.predict.demonstration import JOBS, known_structure
from protenix_ms.predict.reference import Comparison
from protenix_ms.predict.weights import find_weights

UNSEEN = Path(__file__).resolve().parents[2] / "configs" / "demo" / "unseen"
RIGHT = 2.0  # angstrom; RMSD of centre atoms below which a sample is right


def demonstration(args: argparse.Namespace) -> list[dict]:
    """Sample every structure that the demonstration model knows, and two that it has never seen.

    A sample has the right hand if it fits the deposit better than its mirror image does. The last
    row holds the difference of mean pLDDT, and how often a right sample has a higher pLDDT than a
    wrong one (AUC).
    """
    launch.configure("CPU")
    from protenix_ms.predict.predictor import load_predictor
    from protenix_ms.runtime.policy import Policy, using

    ccd = ComponentDictionary.load()
    weights = find_weights(DEMO_MODEL, args.checkpoint, None)
    model = load_predictor(get_config(DEMO_MODEL), weights, ccd)
    known = [(job, known_structure(job)) for job in read_jobs(JOBS)]
    unseen = [(read_scored(path, ccd).job, path) for path in sorted(UNSEEN.glob("*.cif.gz"))]
    rows, samples = [], []
    with using(Policy()):
        for job, path in known + unseen:
            mine = [one for seed in range(1, args.seeds + 1)
                    for one in judged(model, Comparison(job, path, ccd), seed)]
            rows.append(row(job.name, mine))
            samples += mine
            print(rows[-1], flush=True)
    means = [np.mean([r["plddt"] for r in part])
             for part in (rows[: len(known)], rows[len(known):])]
    right = np.array([s["rmsd"] < RIGHT for s in samples])
    plddt = np.array([s["plddt"] for s in samples])
    auc = (plddt[right][:, None] > plddt[~right]).mean() if 0 < right.sum() < len(right) else None
    rows.append({"work": "known - unseen", "side": "ours", "plddt": round(means[0] - means[1], 1),
                 "auc": auc and round(float(auc), 3), "right": int(right.sum()),
                 "samples": len(samples)})
    return rows


def judged(model, comparison: Comparison, seed: int) -> list[dict]:
    """Judge the samples of a seed."""
    result, judged = model.predict(comparison.job, seed), []
    for sample in result.samples:
        x, mirrored = sample.coordinates, sample.coordinates * np.float32([1, 1, -1])
        known = comparison.known(seed, x)
        one, pairs = judge(x, known), np.triu_indices(int(known.chain.max()) + 1, 1)
        judged.append({
            "rmsd": backbone(x, known), "lddt": one.lddt, "tm_score": one.tm_score,
            "interface_lddt": float(np.nanmean(one.chain_lddt[pairs])) if len(pairs[0]) else None,
            "hand": backbone(x, known) < backbone(mirrored, comparison.known(seed, mirrored)),
            "plddt": sample.summary["plddt"], "s": sum(result.seconds.values())})
    return judged


def backbone(x: np.ndarray, known: KnownComplex) -> float:
    """Compute the RMSD of CA, C1' and ligand atoms, angstrom."""
    rows = known.centre & known.resolved
    return rmsd(x[rows], known.x[rows])


def row(name: str, samples: list[dict]) -> dict:
    """Take medians over the samples of a job."""
    def median(key: str) -> float | None:
        values = [s[key] for s in samples if s[key] is not None]
        return round(float(np.median(values)), 3) if values else None

    return {"work": name, "side": "ours", "samples": len(samples), "rmsd": median("rmsd"),
            "lddt": median("lddt"), "interface_lddt": median("interface_lddt"),
            "tm_score": median("tm_score"), "right_hand": sum(s["hand"] for s in samples),
            "plddt": median("plddt"), "s": median("s")}


def add_demonstration(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `demo`."""
    parser.add_argument("--checkpoint", type=Path, metavar="RUN",
                        help="a training run instead of the package's weights")
    parser.add_argument("--seeds", type=int, default=5)


WORKLOADS = {"demo": (demonstration, add_demonstration)}
