# SPDX-License-Identifier: Apache-2.0
"""Write finished results as other programs read them: AlphaFold 3's files, or PDB.

AlphaFold 3's layout is a folder per job with one per sample; the folder `fold_<name>` beside it
holds the same files (hard links) under the names of AlphaFold Server, best sample first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from protenix_ms.errors import InputError, OutputError
from protenix_ms.io.atomic import make_folder, write_bytes, write_text
from protenix_ms.io.confidence_write import FULL_DATA, encode, plain, write_table
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.typing import Array

FORMS = ("af3", "pdb")
_PDB_ATOMS = 99_999
_PDB_NAME = 3  # letters of a component


@dataclass(frozen=True)
class ResultSample:
    """A finished sample on disk.

    Attributes:
        folder: its job.
        seed, rank: which one it is.
        summary: its summary confidence.
    """

    folder: JobFolder
    seed: int
    rank: int
    summary: dict

    def path(self, kind: str, suffix: str) -> Path:
        """Name one of its files (see `JobFolder.sample`)."""
        return self.folder.sample(self.seed, kind, self.rank, suffix)

    def full_data(self) -> dict[str, Array]:
        """Read its aligned errors and the like, unrounded if they are there so.

        Raises:
            InputError: neither form is there, or it is damaged.
        """
        npz, text = (self.path("full_data_", suffix) for suffix in (".npz", ".json"))
        try:
            if npz.is_file():
                with np.load(npz, allow_pickle=False) as file:
                    return {key: file[key] for key in FULL_DATA}
            if text.is_file():
                content = json.loads(text.read_text(encoding="utf-8"))
                return {key: np.array(content[key]) for key in FULL_DATA}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"the full data are damaged ({error})", where=str(npz),
                             fix="make the seed again with --overwrite") from error
        raise InputError("the full data are not there", where=str(npz),
                         fix="make the seed again with --overwrite and without --full-data none")


def find_jobs(results: Path) -> list[list[ResultSample]]:
    """Find the finished samples of every job, best first, in a job's folder or one of jobs.

    Raises:
        InputError: nothing is finished there.
    """
    if not results.is_dir():
        raise InputError("there is no such folder", where=str(results),
                         fix="give the --output of predict or score, or the folder of one job")
    folders = [results, *sorted(p for p in results.iterdir() if p.is_dir())]
    jobs = [_samples(JobFolder(path.resolve().parent, path.resolve().name)) for path in folders]
    if not any(jobs):
        raise InputError("no finished result is here", where=str(results),
                         fix="give the --output of predict or score, or the folder of one job")
    return [samples for samples in jobs if samples]


def _samples(folder: JobFolder) -> list[ResultSample]:
    samples = []
    for seed in folder.seeds():
        rank = 0
        while (path := folder.sample(seed, "summary_confidence_", rank, ".json")).is_file():
            try:
                summary = json.loads(path.read_text(encoding="utf-8"))
                float(summary["ranking_score"])
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise InputError(f"this is no summary of a sample ({error})", where=str(path),
                                 fix="make the seed again with --overwrite") from error
            samples.append(ResultSample(folder, seed, rank, summary))
            rank += 1
    return sorted(samples, key=lambda sample: -sample.summary["ranking_score"])


def _require_whole(samples: list[ResultSample]) -> None:
    """Refuse seeds whose files are not those that their marks name. Raises InputError."""
    for folder, seed in dict.fromkeys((sample.folder, sample.seed) for sample in samples):
        if flaw := folder.flaw(seed):
            raise InputError(flaw, where=str(folder.seed(seed)),
                             fix="make the seed again with --overwrite")


def export_af3(samples: list[ResultSample], output: Path) -> Path:
    """Write the samples of a job, best first, in AlphaFold 3's layout; return its folder.

    Raises:
        InputError: a sample lacks its full data, or a seed is not whole.
        OutputError: a file cannot be written.
    """
    _require_whole(samples)
    name = af3_name(samples[0].folder.name)
    folder = output / name
    for place, sample in enumerate(samples):
        label = f"seed-{sample.seed}_sample-{sample.rank}"
        files = {"model.cif": _read(sample.path("", ".cif")),
                 "confidences.json": _confidences(sample).encode(),
                 "summary_confidences.json": _summary(sample.summary).encode()}
        for kind, content in files.items():
            path = folder / label / f"{name}_{label}_{kind}"
            write_bytes(path, content)
            stem, suffix = kind.split(".")
            stem = {"confidences": "full_data"}.get(stem, stem)
            _link(path, output / f"fold_{name}" / f"fold_{name}_{stem}_{place}.{suffix}")
            if place == 0:
                _link(path, folder / f"{name}_{kind}")
    write_table(folder / f"{name}_ranking_scores.csv", ("seed", "sample", "ranking_score"), [
        {"seed": s.seed, "sample": s.rank, "ranking_score": s.summary["ranking_score"]}
        for s in samples])
    return folder


def af3_name(name: str) -> str:
    """Write the name of a job as AlphaFold 3 does: small ASCII letters, digits, `_`, `-`, `.`."""
    return re.sub(r"[^a-z0-9_.-]", "", name.lower().replace(" ", "_")) or "job"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path),
                         fix="make the seed again with --overwrite") from error


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no hard links, copy it."""
    make_folder(target.parent)
    try:
        target.unlink(missing_ok=True)
        with suppress(OSError):
            os.link(source, target)
            return
        shutil.copyfile(source, target)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", where=str(target),
                          fix="choose another --output") from error


def _confidences(sample: ResultSample) -> str:
    """Write AlphaFold 3's `confidences.json`: pLDDT 0-100, errors in angstrom, two decimals."""
    data, sites = sample.full_data(), _sites(sample)
    token = data["atom_to_token_idx"].astype(np.int64)
    if len(token) != len(sites["auth_asym_id"]):
        raise InputError(f"{len(sites['auth_asym_id'])} atoms in the structure, {len(token)} in "
                         "the full data", where=str(sample.path("", ".cif")),
                         fix="make the seed again with --overwrite")
    first = np.full(len(data["token_asym_id"]), -1)
    first[token[::-1]] = np.arange(len(token))[::-1]
    # a token without any atom in a scored structure stands beside the one before it
    first = np.maximum.accumulate(first).clip(0)
    members = {
        "atom_chain_ids": json.dumps(sites["auth_asym_id"].tolist()),
        "atom_plddts": encode(100 * data["atom_plddt"]),
        "contact_probs": encode(data["contact_probs"]),
        "pae": encode(data["token_pair_pae"]),
        "token_chain_ids": json.dumps(sites["auth_asym_id"][first].tolist()),
        "token_res_ids": json.dumps([int(i) for i in sites["auth_seq_id"][first]]),
    }
    return "{" + ",".join(f'"{key}":{text}' for key, text in members.items()) + "}"


def _sites(sample: ResultSample) -> dict[str, Array]:
    """Read chain and residue number of every atom of the structure."""
    table = _block(sample).find("_atom_site.", ["auth_asym_id", "auth_seq_id"])
    rows = [(row.str(0), row.str(1)) for row in table]
    chains, numbers = zip(*rows) if rows else ((), ())
    return {"auth_asym_id": np.array(chains), "auth_seq_id": np.array(numbers)}


def _block(sample: ResultSample) -> gemmi.cif.Block:
    """Read the structure of a sample. Raises InputError."""
    path = sample.path("", ".cif")
    try:
        block = gemmi.cif.read_string(_read(path)).sole_block()
        if block.find_values("_atom_site.id"):
            return block
        reason = "it has no atoms"
    except (RuntimeError, ValueError) as error:
        reason = str(error)
    raise InputError(f"this is not a readable mmCIF file ({reason})", where=str(path),
                     fix="make the seed again with --overwrite")


def _summary(summary: dict) -> str:
    """Write AlphaFold 3's `summary_confidences.json`: on the diagonal of pairs the chain itself."""
    pairs, alone = [list(row) for row in summary["chain_pair_iptm"]], summary["chain_ptm"]
    for i, value in enumerate(alone):
        pairs[i][i] = value
    content = {
        "chain_iptm": summary["chain_iptm"], "chain_pair_iptm": pairs,
        "chain_pair_pae_min": summary["chain_pair_pae_min"], "chain_ptm": alone,
        "fraction_disordered": summary["disorder"], "has_clash": float(summary["has_clash"]),
        "iptm": summary["iptm"] if len(alone) > 1 else None, "ptm": summary["ptm"],
        "ranking_score": summary["ranking_score"],
    }
    return json.dumps(plain(content), indent=1, allow_nan=False)


def export_pdb(samples: list[ResultSample], output: Path) -> tuple[Path, list[str]]:
    """Write the samples of a job as PDB, pLDDT as B factor; return its folder and notes.

    Raises:
        InputError: a structure that the format cannot hold, or a seed that is not whole.
        OutputError: a file cannot be written.
    """
    _require_whole(samples)
    name = samples[0].folder.name
    notes: list[str] = []
    for place, sample in enumerate(samples):
        text, renamed = _pdb_text(sample)
        path = output / name / f"{name}_seed-{sample.seed}_sample-{sample.rank}.pdb"
        write_text(path, text)
        notes = notes or list(renamed)
        if place == 0:
            _link(path, output / name / f"{name}_model.pdb")
    return output / name, notes


def _pdb_text(sample: ResultSample) -> tuple[str, Iterator[str]]:
    """Write a structure as PDB; names that do not fit become shorter, and notes say so."""
    path = sample.path("", ".cif")
    structure = gemmi.make_structure_from_block(_block(sample))
    if structure[0].count_atom_sites() > _PDB_ATOMS:
        raise InputError(f"{structure[0].count_atom_sites()} atoms, a PDB file holds {_PDB_ATOMS}",
                         where=str(path), fix="use the mmCIF file")
    chains = [chain.name for chain in structure[0]]
    try:
        structure.shorten_chain_names()
    except RuntimeError as error:
        raise InputError(f"its {len(chains)} chains have no short names ({error})",
                         where=str(path), fix="use the mmCIF file") from error
    pairs = [(old, chain.name) for old, chain in zip(chains, structure[0]) if old != chain.name]
    long = {r.name for chain in structure[0] for r in chain if len(r.name) > _PDB_NAME}
    structure.shorten_ccd_codes()
    pairs += [(old, new) for old, new in structure.shortened_ccd_codes if old in long]
    return structure.make_pdb_string(), (f"{old} is called {new}" for old, new in pairs)
