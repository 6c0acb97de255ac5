# SPDX-License-Identifier: Apache-2.0
"""Structures to be scored: the job of each, and its atoms in the order of the model.

The job is made of the structure itself (`structure_job`) or given, for what a structure cannot
say: SMILES ligands, components of the user, alignments and templates.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.covalent import selenomethionine_to_methionine
from protenix_ms.data import filters
from protenix_ms.data.deposited import deposited_atoms
from protenix_ms.data.entry import MALFORMED
from protenix_ms.data.mmcif import Deposit
from protenix_ms.data.pdb import STRUCTURE_SUFFIXES, read_structure
from protenix_ms.data.polymers import with_polymers
from protenix_ms.data.structure_job import Selection, job_of_structure
from protenix_ms.errors import InputError
from protenix_ms.io.protenix_json import read_protenix_job
from protenix_ms.io.sequence import check_job_name
from protenix_ms.io.text_file import plain_name, plain_suffix
from protenix_ms.job import Job
from protenix_ms.typing import Array, Bool, Float, Int

MAX_MISSING = 0.2  # of a job's atoms
_NAMED = 5  # residues of a note
_APART = 1000.0  # angstrom between atoms without coordinates where nothing may touch them


@dataclass(frozen=True)
class Placement:
    """Coordinates of a job's atoms from a structure.

    Attributes:
        coord: angstrom; an atom that is missing lies in the middle of its residue, or of the
            nearest one of its chain that has atoms.
        seen: atoms that the structure has.
        notes: which atoms are missing or not used.
    """

    coord: Float[Array, "a 3"]
    seen: Bool[Array, "a"]
    notes: tuple[str, ...]

    def apart(self) -> Float[Array, "a 3"]:
        """Return the coordinates with missing atoms far from everything, for counts of contacts."""
        number = np.cumsum(~self.seen)[:, None]
        away = self.coord.max() + _APART * (1 + number)
        return np.where(self.seen[:, None], self.coord, away).astype(np.float32)


@dataclass(frozen=True)
class ScoredStructure:
    """A structure and its job.

    Attributes:
        path: its file.
        job: named as the file.
        key: the name that random draws start from, that of the job which predicted it.
        atoms: the atoms of the file.
    """

    path: Path
    job: Job
    key: str
    atoms: AtomTable

    def place(self, atoms: AtomTable) -> Placement:
        """Take coordinates from the structure, by chain, residue number and atom name.

        Raises:
            InputError: a chain that the file lacks, another residue than the job's, or over 20 %
                of the atoms are missing.
        """
        self._require_chains(atoms)
        mine = zip(*(column.tolist() for column in _keys(self.atoms)))
        row = {key: i for i, key in reversed([*enumerate(mine)])}
        index = np.array([row.get(key, -1) for key in zip(*(c.tolist() for c in _keys(atoms)))])
        seen = index >= 0
        self._require_residues(atoms)
        missing = int((~seen).sum())
        if missing > MAX_MISSING * len(seen):
            raise InputError(
                f"{missing} of {len(seen)} atoms are missing, over {MAX_MISSING:.0%}: "
                f"{_list(atoms[~seen])}", where=str(self.path),
                fix="complete the structure, or leave out what it does not show")
        notes = [f"{missing} of {len(seen)} atoms are missing: {_list(atoms[~seen])}"] * bool(
            missing)
        unused = self.atoms[~np.isin(np.arange(len(self.atoms)), index[seen])]
        if len(unused):
            notes.append(f"{len(unused)} atoms of the file are not used: {_list(unused)}")
        coord = _filled(np.where(seen[:, None], self.atoms.coord[index], 0.0), seen, atoms)
        return Placement(coord.astype(np.float32), seen, tuple(notes))

    def _require_chains(self, atoms: AtomTable) -> None:
        there, wanted = (list(dict.fromkeys(table.chain_id.tolist()))
                         for table in (self.atoms, atoms))
        if absent := [name for name in wanted if name not in there]:
            raise InputError(f"there is no chain {', '.join(absent)}", where=str(self.path),
                             fix=f"name the job's chains as the file's: {', '.join(there)}")

    def _require_residues(self, atoms: AtomTable) -> None:
        """Refuse a residue that is another one in the file than in the job."""
        mine, wanted = (
            dict(zip(zip(t.chain_id.tolist(), t.res_id.tolist()), t.res_name.tolist()))
            for t in (self.atoms, atoms))
        for (chain, number), name in wanted.items():
            if mine.get((chain, number), name) != name:
                raise InputError(
                    f"residue {number} of chain {chain} is {mine[chain, number]}, in the job "
                    f"{name}", where=str(self.path), fix="score the structure with its own job")


def _keys(atoms: AtomTable) -> tuple[Array, Array, Array]:
    return atoms.chain_id, atoms.res_id, atoms.atom_name


def _list(atoms: AtomTable) -> str:
    """Name atoms by residue, the first residues only."""
    named = [f"{atoms.chain_id[rows.start]} {atoms.res_id[rows.start]} "
             f"{atoms.res_name[rows.start]} {', '.join(atoms.atom_name[rows].tolist())}"
             for rows in atoms.residues()]
    more = f"; and {len(named) - _NAMED} more residues" if len(named) > _NAMED else ""
    return "; ".join(named[:_NAMED]) + more


def _filled(
    coord: Float[Array, "a 3"], seen: Bool[Array, "a"], atoms: AtomTable
) -> Float[Array, "a 3"]:
    """Put missing atoms in the middle of their residue, or of the nearest one of the chain."""
    residue: Int[Array, "a"] = np.cumsum(
        np.isin(np.arange(len(atoms)), atoms.residue_starts())) - 1
    count = np.bincount(residue, seen)
    sums = np.stack([np.bincount(residue, coord[:, axis] * seen) for axis in range(3)], 1)
    middle = sums / np.maximum(count, 1)[:, None]
    chain = atoms.chain_id[atoms.residue_starts()]
    for i in np.flatnonzero(count == 0):
        others = np.flatnonzero((count > 0) & (chain == chain[i]))
        middle[i] = middle[others[np.argmin(np.abs(others - i))]]
    return np.where(seen[:, None], coord, middle[residue])


def structure_files(path: Path) -> list[Path]:
    """List the path itself, or the structure files of a folder in alphabetical order.

    Raises:
        InputError: absent, or a folder without structures.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), fix="check the path")
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir()
                   if p.is_file() and plain_suffix(p) in STRUCTURE_SUFFIXES)
    if not files:
        raise InputError("the folder holds no structures", where=str(path),
                         fix=f"add {', '.join(STRUCTURE_SUFFIXES)}, gzipped or not")
    return files


def read_heavy_atoms(path: Path, ccd: ComponentDictionary) -> tuple[Deposit, AtomTable]:
    """Read a structure, and its atoms without water and hydrogen. Raises InputError."""
    try:
        deposit = with_polymers(read_structure(path), ccd)
        return deposit, selenomethionine_to_methionine(
            filters.without_water_and_hydrogen(deposited_atoms(deposit, ccd)))
    except MALFORMED as error:
        raise InputError(f"the file breaks the rules of its format ({error})", where=str(path),
                         fix="check the file") from error


def read_scored(path: Path, ccd: ComponentDictionary, job: Job | None = None) -> ScoredStructure:
    """Read a structure to be scored.

    Args:
        job: its job; None makes one of the structure.

    Raises:
        InputError: an unreadable file, or a job that cannot be made.
    """
    name = check_job_name(plain_name(path).stem)
    deposit, atoms = read_heavy_atoms(path, ccd)
    if job is not None:
        return ScoredStructure(path, replace(job, name=name, source=str(path)), job.name, atoms)
    content, notes = job_of_structure(path, ccd, Selection(polymer_bonds=True, as_filed=True))
    job = read_protenix_job(content, path.parent, str(path))
    return ScoredStructure(path, replace(job, notes=(*job.notes, *notes)),
                           html.unescape(deposit.name), atoms)
