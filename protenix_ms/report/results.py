# SPDX-License-Identifier: Apache-2.0
"""Reads the folder of a finished job: ranking, record, structures, confidences.

Files may be damaged, or of another program: each refusal is one sentence about one file.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.typing import Array

RANKING, RECORD = "ranking.csv", "run.json"
SCORES = ("ranking_score", "plddt", "ptm", "iptm")
_NEEDED = ("rank", "seed", "sample", *SCORES, "file")
_STRUCTURE = re.compile(r"(seed_\d+/predictions/[^/\0]*?)sample_(\d+)\.cif")
_AGAIN = "run predict again, which makes what is missing"
_ARRAYS = ("token_pair_pae", "contact_probs", "token_asym_id", "atom_to_token_idx")


@dataclass(frozen=True)
class SampleFiles:
    """Where the files of one sample are, and its row of the ranking.

    Attributes:
        row: cells of `ranking.csv`, as text.
        structure: the mmCIF file.
        summary: the summary JSON.
        full_data: npz or JSON with the arrays of pairs; None where the run wrote none.
    """

    row: dict[str, str]
    structure: Path
    summary: Path
    full_data: Path | None


@dataclass(frozen=True)
class JobResults:
    """A finished job: its folder, `run.json`, and the samples, best first."""

    folder: Path
    record: dict
    samples: tuple[SampleFiles, ...]

    @property
    def name(self) -> str:
        """The job's name, which a renamed folder keeps in its record."""
        return str(self.record.get("job") or self.folder.name)


def find_jobs(folder: Path) -> list[Path]:
    """Find the folders of finished jobs: the folder itself, or those directly inside.

    Raises:
        InputError: there is no such folder, or no job in it.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", where=str(folder),
                         fix="name the --output of a run, or one job's folder in it")
    if (folder / RANKING).is_file() or any(folder.glob("seed_*")):
        return [folder]
    jobs = sorted(path.parent for path in folder.glob(f"*/{RANKING}"))
    jobs += sorted(path for path in folder.iterdir() if path not in jobs
                   and any(path.glob("seed_*/predictions")))
    if not jobs:
        raise InputError(f"no finished job of protenix-ms is here: no {RANKING}, nor a folder "
                         "with one", where=str(folder),
                         fix="name the --output of a run, or one job's folder in it")
    return jobs


def read_results(folder: Path) -> JobResults:
    """Read ranking and record of a job, and check that the files of its samples are there.

    Raises:
        InputError: a half-written job, one of another program, or a missing or damaged file.
    """
    if not (folder / RANKING).is_file():
        raise InputError(f"{RANKING} is missing: the job has not finished, or another program "
                         "wrote it", where=str(folder), fix=_AGAIN)
    rows = list(csv.DictReader(io.StringIO(_text(folder / RANKING))))
    missing = [name for name in _NEEDED if not rows or not rows[0].get(name)]
    if missing:
        raise InputError(f"this is no ranking of samples: nothing stands under {missing[0]}",
                         where=str(folder / RANKING), fix=_AGAIN)
    for seed in sorted({row["seed"] or "" for row in rows}):
        _require_whole(folder, seed)
    samples = tuple(_sample(folder, row) for row in rows)
    return JobResults(folder, read_json(folder / RECORD), samples)


def read_json(path: Path) -> dict:
    """Read a JSON object. Raises InputError."""
    try:
        content = json.loads(_text(path))
        if isinstance(content, dict):
            return content
        reason = "it holds no object"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise InputError(f"this is no JSON file of a result ({reason})", where=str(path), fix=_AGAIN)


def read_arrays(path: Path) -> dict[str, Array]:
    """Read aligned errors, contact probabilities and the tokens of atoms; check their shapes.

    Raises:
        InputError: a damaged file, or arrays that do not fit each other.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
        else:
            content = read_json(path)
            arrays = {name: np.asarray(content[name]) for name in _ARRAYS}
        n = len(arrays["token_asym_id"])
        token = arrays["atom_to_token_idx"].astype(np.int64)
        for name in ("token_pair_pae", "contact_probs"):
            arrays[name] = np.nan_to_num(arrays[name].astype(np.float32), nan=np.inf)
        fits = {"token_pair_pae": arrays["token_pair_pae"].shape == (n, n),
                "contact_probs": arrays["contact_probs"].shape == (n, n),
                "atom_to_token_idx": np.array_equal(np.unique(token), np.arange(n))}
    except (OSError, ValueError, LookupError, TypeError, EOFError, MemoryError, NotImplementedError,
            zipfile.BadZipFile) as error:
        raise InputError(f"the arrays cannot be read ({error})", where=str(path), fix=_AGAIN
                         ) from error
    wrong = [name for name, right in fits.items() if not right]
    if wrong:
        raise InputError(f"{wrong[0]} does not fit {n} tokens", where=str(path), fix=_AGAIN)
    return arrays


def _require_whole(folder: Path, seed: str) -> None:
    """Refuse a seed whose mark is missing or names files that are not there as written."""
    job = JobFolder(folder.parent, folder.name)
    number = int(seed) if seed.isascii() and seed.isdecimal() and len(seed) < 20 else -1
    marker = job.marker(number)
    if not marker.is_file():
        raise InputError(f"{marker.name} is missing: the seed has not finished",
                         where=str(marker.parent), fix=_AGAIN)
    flaw = job.flaw(number)
    if flaw:
        raise InputError(flaw, where=str(marker.parent), fix=_AGAIN)


def _sample(folder: Path, row: dict[str, str]) -> SampleFiles:
    matched = _STRUCTURE.fullmatch(row["file"] or "")
    if not matched:  # nothing outside the folder is read
        raise InputError(f"{row['file']!r} is no structure of a sample, "
                         "seed_N/predictions/NAME_sample_N.cif was expected",
                         where=str(folder / RANKING), fix=_AGAIN)
    start, number = matched.groups()
    full_data = [folder / f"{start}full_data_sample_{number}{s}" for s in (".npz", ".json")]
    sample = SampleFiles(
        row, folder / row["file"], folder / f"{start}summary_confidence_sample_{number}.json",
        next((path for path in full_data if path.is_file()), None))
    for path in (sample.structure, sample.summary):
        if not path.is_file():
            raise InputError("the file is missing", where=str(path), fix=_AGAIN)
    return sample


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), fix=_AGAIN) from error
