# SPDX-License-Identifier: Apache-2.0
"""`summary.csv`: one row for every job and seed of a panel, whoever ran it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from protenix_ms.io.confidence_write import write_table
from protenix_ms.job import Job
from protenix_ms.predict.batch import Outcome
from protenix_ms.predict.job_folder import JobFolder, locking
from protenix_ms.predict.settings import Settings

SUMMARY = "summary.csv"
SCORES = ("ranking_score", "plddt", "ptm", "iptm")
COLUMNS = ("job", "seed", "state", "detail", *SCORES, "structure")
_PATIENCE = 60.0  # seconds to wait for another driver that writes the table
_WITH_RESULT = ("done", "incomplete")


def write_summary_table(
    settings: Settings, jobs: Sequence[Job], outcomes: Iterable[Outcome],
    refused: Iterable[Exception],
) -> Path:
    """Write the table of all jobs; units that this driver did not run keep their rows.

    Rows stand in the order of the jobs, then seeds, then refused jobs. They hold no times, so that
    the table is the same for every engine and number of workers.

    Args:
        jobs: all jobs, of every shard.
        outcomes: of the units that this driver ran or found finished.
        refused: why other jobs could not be read.

    Raises:
        OutputError: the table cannot be written.
    """
    path = settings.output / SUMMARY
    mine = {(o.job, str(o.seed)): o for o in outcomes if o.seed is not None}
    with locking(path.with_suffix(".lock"), _PATIENCE):
        before = _read(path)
        rows = []
        for job in jobs:
            for seed in settings.seeds_of(job):
                key = (job.name, str(seed))
                outcome = mine.get(key)
                rows.append(_row(settings.output, outcome) if outcome else before.get(
                    key, _blank(job.name, seed, "not run")))
        rows += [_blank("", "", "refused", " ".join(str(error).split())) for error in refused]
        write_table(path, COLUMNS, rows)
    return path


def _row(output: Path, outcome: Outcome) -> dict[str, object]:
    """Make the row of a unit, with the scores of its best sample where there is one."""
    state = "done" if outcome.state == "there already" else outcome.state
    row = _blank(outcome.job, outcome.seed, state, "" if state == "done" else outcome.detail)
    if state in _WITH_RESULT:
        folder = JobFolder(output, outcome.job)
        summary = folder.sample(outcome.seed, "summary_confidence_", 0, ".json")
        with suppress(OSError, ValueError):
            scores = json.loads(summary.read_text(encoding="utf-8"))
            row |= {key: scores.get(key) for key in SCORES}
        structure = folder.sample(outcome.seed, "", 0, ".cif")
        row["structure"] = structure.relative_to(output).as_posix()
    return row


def _blank(job: str, seed: object, state: str, detail: str = "") -> dict[str, object]:
    return dict.fromkeys(COLUMNS, "") | {"job": job, "seed": seed, "state": state,
                                         "detail": detail}


def _read(path: Path) -> dict[tuple[str, str], Mapping[str, object]]:
    """Read the rows that are there; none from a file that is no table of this program."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader) if tuple(reader.fieldnames or ()) == COLUMNS else []
    except (OSError, ValueError, csv.Error):
        return {}
    return {(row["job"], row["seed"]): row for row in rows if None not in row.values()}
