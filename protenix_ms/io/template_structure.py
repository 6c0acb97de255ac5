# SPDX-License-Identifier: Apache-2.0
"""Protein chains of mmCIF files as templates: sequence, and the 37 atom places of its residues."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import gemmi
import numpy as np

from protenix_ms.constants.residue_atoms import ATOM37
from protenix_ms.constants.restypes import PROTEIN_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.job import TemplateStructure
from protenix_ms.typing import Array, Bool, Float

MAX_COORDINATE = 1e6  # angstrom; larger numbers are not believed
_COLUMN = {name: i for i, name in enumerate(ATOM37)}
_ARGININE = [_COLUMN[name] for name in ("CD", "NH1", "NH2")]
_LETTERS = {name: letter for letter, name in PROTEIN_LETTERS.items()}


@dataclass(frozen=True)
class TemplateChain:
    """A protein chain: its whole sequence, and coordinates in angstrom where they are resolved.

    Attributes:
        sequence: one-letter codes; anything but the twenty standard residues is X, as upstream.
        positions: zero where `mask` is off.
    """

    name: str
    sequence: str
    positions: Float[Array, "s 37 3"]
    mask: Bool[Array, "s 37"]

    def centred(self) -> Float[Array, "s 37 3"]:
        """Return the positions less their mean over all resolved atoms; others stay at zero."""
        moved = self.positions.copy()
        if self.mask.any():
            moved[self.mask] -= moved[self.mask].mean(axis=0)
        return moved

    def largest_step(self) -> float:
        """Return the largest distance of C-alphas that are neighbours among the resolved ones."""
        row = self.positions[self.mask[:, _COLUMN["CA"]], _COLUMN["CA"]]
        return float(np.linalg.norm(np.diff(row, axis=0), axis=1).max(initial=0.0))


@dataclass(frozen=True)
class _LabelChain:
    """A protein chain by its label: the author's name, letters, place of every residue number."""

    author: str
    letters: str
    places: dict[int, int]


class TemplateFile:
    """The first model of an mmCIF file.

    Args:
        text: content of the file.
        where: place for messages.
        upstream_quirks: give alternative monomers at one position a letter each, as upstream
            does, which shifts the coordinates of all residues after them.

    Attributes:
        release_date: the earliest revision; None where the file tells none.
        names: of its protein chains by the author, in the order of the entities.

    Raises:
        InputError: not mmCIF, several structures, no sequence table, no protein with atoms.
    """

    def __init__(self, text: str, where: str, upstream_quirks: bool = False) -> None:
        try:
            block = gemmi.cif.read_string(text.encode()).sole_block()
            structure = gemmi.make_structure_from_block(block)
            sequences = _protein_sequences(block, upstream_quirks)
        except (ValueError, RuntimeError, IndexError, OverflowError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"this is not a readable mmCIF file ({reason})", where=where,
                             fix="give an mmCIF file of one structure") from None
        if not sequences:
            raise InputError("the mmCIF file has no _entity_poly_seq of a protein", where=where,
                             fix="add that table, as deposited files and ours have it")
        model = structure[0] if len(structure) else ()
        self._residues = [(chain.name, residue) for chain in model for residue in chain]
        self._chains = _label_chains(self._residues, sequences)
        self.release_date = _release_date(block)
        self.names = list(dict.fromkeys(chain.author for chain in self._chains.values()))
        if not self.names:
            raise InputError("the mmCIF file has no atoms of a protein", where=where,
                             fix="give a structure with a protein chain")

    def chain(self, name: str) -> TemplateChain | None:
        """Read a chain by the author's name, or else by its label; None if there is none."""
        labels = [label for label, chain in self._chains.items() if chain.author == name]
        label = labels[-1] if labels else name
        if label not in self._chains:
            return None
        chain = self._chains[label]
        size = len(chain.letters)
        positions, mask = np.zeros((size, len(ATOM37), 3), np.float32), np.zeros((size, 37), bool)
        last = {chain.places[residue.label_seq]: residue for _, residue in self._residues
                if residue.subchain == label and residue.label_seq in chain.places}
        for place, residue in last.items():
            _place_atoms(residue, positions[place], mask[place])
        return TemplateChain(chain.author, chain.letters, positions, mask)


def _place_atoms(
    residue: gemmi.Residue, positions: Float[Array, "37 3"], mask: Bool[Array, "37"]
) -> None:
    """Put the atoms of a residue into their places, of alternatives the most occupied one."""
    chosen: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if atom.name not in chosen or atom.occ > chosen[atom.name].occ:
            chosen[atom.name] = atom
    for name, atom in chosen.items():
        column = _COLUMN.get("SD" if (name, residue.name) == ("SE", "MSE") else name)
        position = np.array(atom.pos.tolist(), np.float32)
        if column is not None and (np.abs(position) <= MAX_COORDINATE).all():
            positions[column], mask[column] = position, True
    if residue.name == "ARG" and mask[_ARGININE].all():  # NH1 is the one nearer to CD
        delta, first, second = positions[_ARGININE]
        if np.linalg.norm(first - delta) > np.linalg.norm(second - delta):
            positions[_ARGININE[1:]] = second, first


def _label_chains(
    residues: list[tuple[str, gemmi.Residue]], sequences: dict[str, tuple[str, dict[int, int]]]
) -> dict[str, _LabelChain]:
    """Find the protein chains that have atoms, by label, in the order of their entities."""
    entity_of = {residue.subchain: residue.entity_id for _, residue in residues}
    author_of = {residue.subchain: author for author, residue in residues}
    return {label: _LabelChain(author_of[label], *sequences[entity])
            for entity in sequences for label in entity_of if entity_of[label] == entity}


def _protein_sequences(
    block: gemmi.cif.Block, upstream_quirks: bool
) -> dict[str, tuple[str, dict[int, int]]]:
    """Read letters, and the place of every residue number, of the polymers that are proteins.

    Like upstream: one monomer of a peptide linking type makes a protein. Files of other programs
    may lack the types, so that the type of the polymer and standard residues count as well.
    """
    linking = dict(_rows(block, "_chem_comp.", "id", "type"))
    types = dict(_rows(block, "_entity_poly.", "entity_id", "type"))
    monomers: dict[str, list[tuple[int, str]]] = {}
    for entity, number, name in _rows(block, "_entity_poly_seq.", "entity_id", "num", "mon_id"):
        monomers.setdefault(entity, []).append((gemmi.cif.as_int(number), name))
    sequences = {}
    for entity, rows in monomers.items():
        protein = "polypeptide" in types.get(entity, "") or any(
            "peptide" in linking.get(name, "") or name in _LETTERS for _, name in rows)
        if not protein:
            continue
        if upstream_quirks:
            first = min(number for number, _ in rows)
            places = {first + i: i for i in range(len(rows))}
        else:
            rows = list({number: (number, name) for number, name in reversed(rows)}.values())[::-1]
            places = {number: i for i, (number, _) in enumerate(rows)}
        sequences[entity] = "".join(_LETTERS.get(name, "X") for _, name in rows), places
    return sequences


def _rows(block: gemmi.cif.Block, category: str, *items: str) -> list[list[str]]:
    return [[gemmi.cif.as_string(value) for value in row]
            for row in block.find(category, list(items))]


def _release_date(block: gemmi.cif.Block) -> datetime.date | None:
    """Read the earliest revision, as text sorts them."""
    dates = [row[0] for row in _rows(block, "_pdbx_audit_revision_history.", "revision_date")]
    try:
        return datetime.date.fromisoformat(min(dates, default=""))
    except ValueError:
        return None


def require_chain(structure: TemplateStructure, n_query: int) -> TemplateChain:
    """Return the chain that a structure of a job means, and check its lists of indices.

    Args:
        n_query: length of the chain of the job.

    Raises:
        InputError: an unreadable file, no such chain, several without a choice, lists of unequal
            length, or an index out of range or repeated.
    """
    where = structure.source
    file = TemplateFile(structure.text, where)
    name = structure.chain or (file.names[0] if len(file.names) == 1 else "")
    chain = file.chain(name) if name else None
    if chain is None:
        listed = ", ".join(file.names[:20])
        if structure.chain:
            raise InputError(f"the structure has no protein chain {structure.chain!r}",
                             where=where, fix=f"its protein chains are {listed}")
        raise InputError(f"the structure has {len(file.names)} protein chains", where=where,
                         fix=f'choose one, as in "chain": "{file.names[0]}", of {listed}')
    own, other = structure.query_indices, structure.template_indices
    if len(own) != len(other):
        raise InputError(f"queryIndices has {len(own)} numbers, templateIndices {len(other)}",
                         where=where, fix="give as many of each")
    for key, indices, size in (("queryIndices", own, n_query),
                               ("templateIndices", other, len(chain.sequence))):
        wrong = next((i for i in indices if not 0 <= i < size), None)
        if wrong is not None:
            raise InputError(f"{key} holds {wrong}", where=where,
                             fix=f"use 0 to {size - 1}, numbers count from 0")
        if len(set(indices)) != len(indices):
            raise InputError(f"{key} repeats a number", where=where, fix="use each once")
    return chain
