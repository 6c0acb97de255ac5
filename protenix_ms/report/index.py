# SPDX-License-Identifier: Apache-2.0
"""Writes `index.html`: one sortable table of all jobs in a folder, with links to their pages."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from urllib.parse import quote

from protenix_ms.errors import InputError
from protenix_ms.io.atomic import write_text
from protenix_ms.report.document import render
from protenix_ms.report.doubts import job_doubts
from protenix_ms.report.page import PAGE
from protenix_ms.report.results import RANKING, RECORD, SCORES, read_json

INDEX = "index.html"
_COLUMNS = (*SCORES, "ipsae", "interface", "has_clash", "valid")


def write_index(folder: Path, jobs: list[Path]) -> Path:
    """Write the table of the jobs in `folder`; a job that cannot be read says so in its row.

    Raises:
        OutputError: the table cannot be written.
    """
    rows = [index_row(job) for job in jobs]
    title = f"{len(rows)} job{'s' * (len(rows) != 1)}"
    write_text(folder / INDEX, render(title, {"jobs": rows}, ("index.js",), "index-body.html"))
    return folder / INDEX


def index_row(job: Path) -> dict:
    """Collect the best sample's scores of a job, its model, and why it is doubtful."""
    row = {"job": job.name, "page": quote(f"{job.name}/{PAGE}", errors="surrogateescape")
           if (job / PAGE).is_file() else ""}
    try:
        record = read_json(job / RECORD)
        with (job / RANKING).open(encoding="utf-8", newline="") as file:
            ranking = list(csv.DictReader(io.StringIO(file.read())))
        best = ranking[0]
    except (InputError, OSError, ValueError, IndexError, csv.Error) as error:
        reason = error.message if isinstance(error, InputError) else "no ranking that can be read"
        return row | {"problem": reason}
    if len(record.get("chains") or ()) == 1:
        best["iptm"] = ""  # a single chain has no interface
    return row | {
        "model": str(record.get("model", "")), "samples": len(ranking),
        "seeds": len({entry.get("seed") for entry in ranking}),
        "doubts": list(job_doubts(record)), **{key: best.get(key) or "" for key in _COLUMNS}}
