# SPDX-License-Identifier: Apache-2.0
"""Lay a known structure out on the atoms of a job, whatever its chains are called.

Chains are matched by their residues: numbering may differ, residues may be missing on either side,
and there may be more copies than in the job or fewer. Ligands match by the codes of their
components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from Bio.Align import PairwiseAligner

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.scored import read_heavy_atoms
from protenix_ms.errors import InputError
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.typing import Array, Int

LEAST_IDENTITY = 0.9  # of the residues that an alignment pairs
LEAST_RESIDUES = 4  # of a polymer, that are paired
_LETTER = 0x4E00  # first of the many letters that stand for components in an alignment
Residue = tuple[str, int]  # name and number
_COLUMNS = ("entity_mol_id", "mol_id", "mol_atom_index")


@dataclass(frozen=True)
class ReferenceStructure:
    """A known structure.

    Attributes:
        path: its file.
        atoms: its heavy atoms, without water.
    """

    path: Path
    atoms: AtomTable

    @classmethod
    def read(cls, path: Path, ccd: ComponentDictionary) -> ReferenceStructure:
        """Read an mmCIF or PDB file. Raises InputError."""
        return cls(path, read_heavy_atoms(path, ccd)[1])

    def labels(self, atoms: AnnotatedAtoms) -> dict[str, Array]:
        """Find the atoms of a job in the structure.

        Args:
            atoms: of the job.

        Returns:
            Columns as of `data.example.full_labels`. The first rows are those of the job; copies
            beyond those of the job follow as molecules of their own.

        Raises:
            InputError: no chain of the job is in the structure.
        """
        coord, known = np.zeros((len(atoms), 3), np.float32), np.zeros(len(atoms), bool)
        extra: list[tuple[Array, Array, Array]] = []  # rows of the job, coordinates, known
        for chains, matches in self._matches(atoms):
            for chain, index in zip(chains, matches):
                coord[chain], known[chain] = self._placed(index)
            alone = np.isin(atoms.mol_id, atoms.mol_id[chains[0]]).sum() == len(chains[0])
            if alone:  # a copy of a chain that others are bonded to is no whole molecule
                extra += [(chains[0], *self._placed(index)) for index in matches[len(chains):]]
        if not known.any():
            raise InputError("no chain of the job is in this structure", where=str(self.path),
                             fix="give the structure of the job's own sequences")
        rows = np.concatenate([np.arange(len(atoms)), *(rows for rows, _, _ in extra)])
        labels = {name: getattr(atoms, name)[rows].astype(np.int64) for name in _COLUMNS}
        for place, (chain, _, _) in enumerate(extra):
            start = len(atoms) + sum(len(rows) for rows, _, _ in extra[:place])
            labels["mol_id"][start : start + len(chain)] = atoms.mol_id.max() + 1 + place
        return labels | {
            "coordinate": np.concatenate([coord, *(x for _, x, _ in extra)]),
            "coordinate_mask": np.concatenate([known, *(k for _, _, k in extra)]).astype(np.int64),
            "pae_rep_atom_mask": atoms.centre_atom_mask[rows].astype(np.int64),
        }

    def _placed(self, index: Int[Array, "a"]) -> tuple[Array, Array]:
        known = index >= 0
        return np.where(known[:, None], self.atoms.coord[index], 0.0).astype(np.float32), known

    def _matches(
        self, atoms: AnnotatedAtoms
    ) -> Iterator[tuple[list[Int[Array, "a"]], list[Int[Array, "a"]]]]:
        """Yield, for every entity, the rows of its chains and what the structure has of them.

        That is, for each chain of the structure that fits, the row of every atom of the entity,
        -1 for none. A chain that fits two entities goes to the one with more of its atoms.
        """
        entities = {e: [np.flatnonzero(atoms.asym_id == a) for a in np.unique(
            atoms.asym_id[atoms.entity_id == e])] for e in np.unique(atoms.entity_id)}
        matches: dict[str, list[Array]] = {entity: [] for entity in entities}
        for chain in dict.fromkeys(self.atoms.chain_id.tolist()):
            theirs = np.flatnonzero(self.atoms.chain_id == chain)
            best = max(((e, self._match(atoms, chains[0], theirs)) for e, chains in
                        entities.items()), key=lambda pair: (pair[1] >= 0).sum())
            if (best[1] >= 0).any():
                matches[best[0]].append(best[1])
        for entity, chains in entities.items():
            yield chains, matches[entity]

    def _match(
        self, atoms: AnnotatedAtoms, mine: Int[Array, "a"], theirs: Int[Array, "b"]
    ) -> Int[Array, "a"]:
        """Find the row of every atom of a chain among those of another one, -1 for none."""
        here, there = _residues(atoms, mine), _residues(self.atoms, theirs)
        index = np.full(len(mine), -1)
        polymer = atoms.mol_type[mine[0]] != "ligand"
        pairs = _pair_residues([residue[:2] for residue in here], [r[:2] for r in there])
        if len(pairs) < (min(LEAST_RESIDUES, len(here)) if polymer else len(here)):
            return index
        start = int(mine[0])
        for i, j in pairs:
            row = {str(self.atoms.atom_name[r]): r for r in there[j][2]}
            for r in here[i][2]:
                index[r - start] = row.get(str(atoms.atom_name[r]), -1)
        return index


def _residues(
    atoms: AtomTable, rows: Int[Array, "a"]
) -> list[tuple[str, int, Int[Array, "_"]]]:
    """List name, number and rows of a chain's residues."""
    cuts = np.flatnonzero(np.diff(atoms.res_id[rows])) + 1
    return [(str(atoms.res_name[part[0]]), int(atoms.res_id[part[0]]), part)
            for part in np.split(rows, cuts)]


def _pair_residues(mine: Sequence[Residue], theirs: Sequence[Residue]) -> list[tuple[int, int]]:
    """Pair equal residues of two chains along their best alignment; none if they differ much.

    Where one shift of the numbers pairs as many, it decides: next to residues that are missing,
    letters alone may not say which ones those are.
    """
    code = {name: chr(_LETTER + i) for i, name in enumerate(
        dict.fromkeys(name for name, _ in (*mine, *theirs)))}
    aligner = PairwiseAligner(mode="global", match_score=2.0, mismatch_score=-1.0,
                              open_internal_gap_score=-2.0, extend_internal_gap_score=-0.1,
                              end_gap_score=0.0)
    blocks = aligner.align(*("".join(code[name] for name, _ in chain)
                             for chain in (mine, theirs)))[0].aligned
    pairs = [(int(i), int(j)) for (a, b), (c, d) in zip(*blocks)
             for i, j in zip(range(a, b), range(c, d))]
    equal = [(i, j) for i, j in pairs if mine[i][0] == theirs[j][0]]
    if not equal or len(equal) < LEAST_IDENTITY * len(pairs):
        return []
    shift = Counter(theirs[j][1] - mine[i][1] for i, j in equal).most_common(1)[0][0]
    place = {number: j for j, (_, number) in enumerate(theirs)}
    numbered = [(i, place[number + shift]) for i, (_, number) in enumerate(mine)
                if number + shift in place]
    same = [(i, j) for i, j in numbered if mine[i][0] == theirs[j][0]]
    return same if len(same) >= len(equal) else equal
