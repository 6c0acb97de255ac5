# SPDX-License-Identifier: Apache-2.0
"""The demonstration model: small weights of our own training, and the structures they know.

It shows the whole program at work without a download. It is no predictor: it has memorised six
small structures (docs/demo.md), and what it says of anything else means nothing.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from protenix_ms.config import DEFAULT_MODEL, DEMO_MODEL
from protenix_ms.errors import InputError
from protenix_ms.job import Job, Polymer

FOLDER = Path(__file__).with_name("demo")
JOBS = FOLDER / "known.json"
_Content = frozenset[tuple[object, int]]


def known_structure(job: Job) -> Path | None:
    """Find the deposited structure of a job that the demonstration model knows, by its chains.

    Names, order and alignments of the chains do not matter. None for any other job.
    """
    return _known().get(_content(job))


@functools.cache
def _known() -> dict[_Content, Path]:
    from protenix_ms.io import read_jobs

    return {_content(job): FOLDER / "known" / f"{job.name}.cif.gz" for job in read_jobs(JOBS)}


def _content(job: Job) -> _Content:
    """Count the chains of a job by what they are made of."""
    count: Counter[object] = Counter()
    for entity in job.entities:
        if isinstance(entity, Polymer):
            count[entity.kind, entity.sequence, entity.modifications] += entity.count
        else:
            count[entity.codes, entity.smiles, entity.file] += entity.count
    if job.bonds:
        count[job.bonds] += 1
    return frozenset(count.items())


def note_memory(job: Job, model_name: str) -> Iterator[str]:
    """Say what the demonstration model is to a job; nothing for other models."""
    if model_name == DEMO_MODEL:
        yield ("the demonstration model has memorised the structure of this job and predicts "
               "nothing" if known_structure(job) else
               "the demonstration model has never seen this job, so its structures mean nothing")


def require_known(job: Job) -> None:
    """Refuse a job that the demonstration model does not know. Raises InputError."""
    if known_structure(job) is None:
        raise InputError(
            "without weights only the demonstration model can answer, and it knows six small "
            "structures, but not this job", where=job.source or job.name,
            fix="get a predictor in one of these ways", remedies=(
                f"protenix-ms fetch {DEFAULT_MODEL}",
                "name a file with --checkpoint FILE",
                f"run the demonstration model all the same, without meaning, with --model "
                f"{DEMO_MODEL}",
            ))
