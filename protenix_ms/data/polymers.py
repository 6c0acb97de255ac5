# SPDX-License-Identifier: Apache-2.0
"""Derive the polymers of a file without entity tables from its residues.

Biopython, OpenMM, PyMOL and others write the `_atom_site` loop alone. Residues that link to
peptides or nucleic acids and follow each other in a chain of the author's are a polymer then;
everything else is a ligand. Upstream takes such a chain for one ligand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import runs, starts_of_runs
from protenix_ms.data.deposited import (
    MAX_LINK_LENGTH,
    author_numbering,
    site_coordinates,
)
from protenix_ms.data.mmcif import UNKNOWN_TYPE, AssemblyPart, Deposit
from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

_LABELS = {"label_asym_id", "label_entity_id", "label_seq_id"}
MAX_GAP = 100  # residues not seen; where numbers rise by more, another chain begins
_UNKNOWN_RESIDUE = {"protein": "UNK", "rna": "N", "dna": "DN"}
_TYPES = {
    frozenset({"protein"}): "polypeptide(L)",
    frozenset({"rna"}): "polyribonucleotide",
    frozenset({"dna"}): "polydeoxyribonucleotide",
    frozenset({"dna", "rna"}): "polydeoxyribonucleotide/polyribonucleotide hybrid",
}
_JOINTS = (("C", "N"), ("O3'", "P"))  # atoms that a polymer bond joins


@dataclass(frozen=True)
class _Residues:
    """Residues in the order of the file.

    Attributes:
        rows: of `_atom_site`.
        names: component codes, more than one where components are alternatives of each other.
        kind: `ComponentDictionary.mol_type` of the first name.
        chain, number: the author's.
        joined: whether a polymer bond leads to the next residue.
        member: whether the residue belongs to a polymer if a neighbour does.
    """

    rows: list[slice]
    names: list[tuple[str, ...]]
    kind: Shaped[Array, "r"]
    chain: Shaped[Array, "r"]
    number: Int[Array, "r"]
    joined: Bool[Array, "r"]
    member: Bool[Array, "r"]

    def step(self, i: int) -> int | None:
        """How many positions residue `i` + 1 comes after residue `i`; None: in another chain."""
        if i + 1 == len(self.rows) or self.chain[i] != self.chain[i + 1]:
            return None
        if self.joined[i]:
            return 1
        rise = int(self.number[i + 1] - self.number[i])
        same_kind = ("protein" in self.kind[i : i + 2]) == (self.kind[i] == self.kind[i + 1])
        follows = self.member[i : i + 2].all() and same_kind and 0 <= rise <= MAX_GAP
        return max(rise, 1) if follows else None

    def pieces(self) -> list[tuple[list[int], list[int]]]:
        """Residues of every polymer chain with their positions; lone residues have no positions."""
        found: list[tuple[list[int], list[int]]] = []
        inside, at = [0], [1]
        for i in range(len(self.rows)):
            step = self.step(i)
            if step is not None:
                inside.append(i + 1)
                at.append(at[-1] + step)
                continue
            found.append((inside, at if len(inside) > 1 else []))
            inside, at = [i + 1], [1]
        return found


def with_polymers(deposit: Deposit, ccd: ComponentDictionary) -> Deposit:
    """The deposit itself where its tables name its polymers, else one with what residues tell.

    Where residues are missing inside a chain, as the author's numbers say, the sequence has
    unknown residues. `_struct_conn` is then read by the author's names.

    Raises:
        InputError: `_atom_site` lacks an item or holds text for a number.
    """
    types = {
        entity: polymer_type([ccd.mol_type(c) for c in deposit.sequences[entity][1].tolist()])
        if kind == UNKNOWN_TYPE else kind
        for entity, kind in deposit.polymers.items()
    }
    deposit = replace(deposit, polymers=types)
    labelled = deposit.sites.keys() >= _LABELS
    named = deposit.sites["label_entity_id"] if labelled else np.array(["?"])
    if np.isin(named, list(types.keys() & deposit.sequences.keys())).any():
        return deposit
    try:
        residues = _residues(deposit.sites, ccd)
    except (KeyError, ValueError) as error:
        raise InputError("_atom_site lacks an item or holds text for a number",
                         where=f"{deposit.name} ({error})", fix="check the file") from None
    pieces = residues.pieces()
    if not np.isin(named, (".", "?")).all() and not any(at for _, at in pieces):
        return deposit  # a file of ligands
    return _relabelled(deposit, residues, pieces)


def polymer_type(kinds: list[str]) -> str:
    """`_entity_poly.type` of residues of these kinds."""
    count = Counter(kind for kind in kinds if kind != "ligand")
    if "protein" in count and 2 * count["protein"] >= count.total():
        return _TYPES[frozenset({"protein"})]
    return _TYPES.get(frozenset(count) - {"protein"}, "other")


def _residues(sites: dict[str, Array], ccd: ComponentDictionary) -> _Residues:
    author, coord = author_numbering(sites), site_coordinates(sites)
    name, number = author["name"], author["number"]
    unnumbered = np.where(number == -1, name, "")
    rows = runs(starts_of_runs(author["chain"], number, author["insertion"], unnumbered))
    first = np.array([own.start for own in rows])
    names = [tuple(dict.fromkeys(name[own].tolist())) for own in rows]
    kind = np.array([ccd.mol_type(own[0]) for own in names])
    chain, linking = author["chain"][first], kind != "ligand"
    joined = np.zeros(len(rows), bool)
    ends = [[_places(sites, coord, rows, atom) for atom in joint] for joint in _JOINTS]
    for leaving, arriving in ends:
        length = np.linalg.norm(leaving[:-1] - arriving[1:], axis=1)
        joined[:-1] |= length <= MAX_LINK_LENGTH  # False for what has no place
    joined[:-1] &= (chain[:-1] == chain[1:]) & (linking[:-1] | linking[1:])
    hetero = sites.get("group_PDB", np.full(len(name), "ATOM"))[first] == "HETATM"
    member = (linking & ~hetero) | joined | np.roll(joined, 1)
    return _Residues(rows, names, kind, chain, number[first], joined, member)


def _places(
    sites: dict[str, Array], coord: Float[Array, "a 3"], rows: list[slice], atom: str
) -> Float[Array, "r 3"]:
    """Where the first atom of that name of every residue is, NaN without."""
    atoms = sites["label_atom_id"] if "label_atom_id" in sites else sites["auth_atom_id"]
    place = np.full((len(rows), 3), np.nan, np.float32)
    for i, own in enumerate(rows):
        found = np.flatnonzero(atoms[own] == atom)[:1]
        place[i] = coord[own.start + found[0]] if len(found) else np.nan
    return place


def _relabelled(
    deposit: Deposit, residues: _Residues, pieces: list[tuple[list[int], list[int]]]
) -> Deposit:
    """New chains, entities, positions and sequences; the assembly speaks of the new chains."""
    n = len(deposit.sites["Cartn_x"])
    chain, entity, seq = (np.full(n, ".", object) for _ in range(3))
    polymers: dict[str, str] = {}
    sequences: dict[str, tuple[Array, Array]] = {}
    entities: dict[tuple, str] = {}
    used: Counter[str] = Counter()
    for inside, at in pieces:
        codes = _sequence(residues, inside, at)
        number = entities.setdefault((bool(at), *codes), str(len(entities) + 1))
        base = str(residues.chain[inside[0]])
        used[base] += 1
        name = base if used[base] == 1 else f"{base}_{used[base]}"
        for i, position in zip(inside, at or ["."]):
            chain[residues.rows[i]], entity[residues.rows[i]] = name, number
            seq[residues.rows[i]] = str(position)
        if at:
            polymers[number] = polymer_type(residues.kind[inside].tolist())
            sequences[number] = np.array([p for p, _ in codes]), np.array([c for _, c in codes])
    sites = deposit.sites | {"label_asym_id": chain.astype(str),
                             "label_entity_id": entity.astype(str), "label_seq_id": seq.astype(str)}
    links = {k: v for k, v in deposit.links.items()
             if "label_asym_id" not in k and "label_seq_id" not in k}
    assembly = _renamed(deposit, sites)
    chains = set(sites["label_asym_id"][np.isin(sites["label_entity_id"], list(polymers))].tolist())
    return replace(
        deposit, sites=sites, polymers=polymers, sequences=sequences, assembly=assembly,
        links=links if "ptnr1_auth_seq_id" in links else {},
        polymer_count=sum(len(part.motions) * len(chains & set(part.chains))
                          for part in assembly or ()),
    )  # fmt: skip


def _sequence(residues: _Residues, inside: list[int], at: list[int]) -> list[tuple[int, str]]:
    """Positions and codes; unknown residues where the author's numbers leave a gap."""
    codes: list[tuple[int, str]] = []
    for i, position in zip(inside, at or [1]):
        last = codes[-1][0] if codes else 0
        unknown = _UNKNOWN_RESIDUE.get(str(residues.kind[i]), "UNK")
        codes += [(missing, unknown) for missing in range(last + 1, position)]
        codes += [(position, name) for name in residues.names[i]]
    return codes


def _renamed(deposit: Deposit, sites: dict[str, Array]) -> tuple[AssemblyPart, ...] | None:
    """The parts of the assembly with the chains that became of theirs."""
    if deposit.assembly is None:
        return None
    old = deposit.sites.get("label_asym_id", sites["label_asym_id"])
    return tuple(
        replace(part, chains=tuple(np.unique(sites["label_asym_id"][np.isin(old, part.chains)])))
        for part in deposit.assembly
    )
