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
from protenix_ms.chem.columns import first_rows, runs, starts_of_runs
from protenix_ms.data.deposited import MAX_LINK_LENGTH, author_numbering, site_coordinates
from protenix_ms.data.mmcif import UNKNOWN_TYPE, Columns, Deposit
from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Bool, Int, Shaped

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


def with_polymers(deposit: Deposit, ccd: ComponentDictionary) -> Deposit:
    """Return the deposit itself if its tables name its polymers, else one with derived polymers.

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
        residues = _Residues.from_sites(deposit.sites, ccd)
    except (KeyError, ValueError) as error:
        raise InputError("_atom_site lacks an item or holds text for a number",
                         where=f"{deposit.name} ({error})", fix="check the file") from None
    chains = residues.chains()
    if not np.isin(named, (".", "?")).all() and all(len(chain) == 1 for chain in chains):
        return deposit  # a file of ligands
    return _relabelled(deposit, residues, chains)


def polymer_type(kinds: list[str]) -> str:
    """Choose the `_entity_poly.type` of residues of these kinds."""
    count = Counter(kind for kind in kinds if kind != "ligand")
    if "protein" in count and 2 * count["protein"] >= count.total():
        return _TYPES[frozenset({"protein"})]
    return _TYPES.get(frozenset(count) - {"protein"}, "other")


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

    @staticmethod
    def from_sites(sites: Columns, ccd: ComponentDictionary) -> _Residues:
        """Divide `_atom_site` into residues, by the author's numbering."""
        author, coord = author_numbering(sites), site_coordinates(sites)
        name, number = author.name, author.number
        unnumbered = np.where(number == -1, name, "")
        starts = starts_of_runs(author.chain, number, author.insertion, unnumbered)
        rows, first = runs(starts), np.flatnonzero(starts)
        names = [tuple(dict.fromkeys(name[own].tolist())) for own in rows]
        kind = np.array([ccd.mol_type(own[0]) for own in names])
        chain, linking = author.chain[first], kind != "ligand"
        atoms = sites["label_atom_id"] if "label_atom_id" in sites else sites["auth_atom_id"]
        joined = np.zeros(len(rows), bool)
        for joint in _JOINTS:
            ends = [first_rows(atoms == atom, starts) for atom in joint]
            leaving, arriving = (np.where(e[:, None] >= 0, coord[e], np.nan) for e in ends)
            length = np.linalg.norm(leaving[:-1] - arriving[1:], axis=1)
            joined[:-1] |= length <= MAX_LINK_LENGTH  # False for atoms without coordinates
        joined[:-1] &= (chain[:-1] == chain[1:]) & (linking[:-1] | linking[1:])
        hetero = sites.get("group_PDB", np.full(len(name), "ATOM"))[first] == "HETATM"
        member = (linking & ~hetero) | joined | np.roll(joined, 1)
        return _Residues(rows, names, kind, chain, number[first], joined, member)

    def chains(self) -> list[dict[int, int]]:
        """List the residues of every chain with their positions; a ligand stands alone."""
        chains = [{0: 1}]
        for i in range(len(self.rows) - 1):
            step = self._step(i)
            if step is None:
                chains.append({i + 1: 1})
            else:
                chains[-1][i + 1] = chains[-1][i] + step
        return chains

    def _step(self, i: int) -> int | None:
        """Count the positions from residue `i` to residue `i` + 1; None: in another chain."""
        if self.chain[i] != self.chain[i + 1]:
            return None
        if self.joined[i]:
            return 1
        rise = int(self.number[i + 1] - self.number[i])
        same_kind = ("protein" in self.kind[i : i + 2]) == (self.kind[i] == self.kind[i + 1])
        follows = self.member[i : i + 2].all() and same_kind and 0 <= rise <= MAX_GAP
        return max(rise, 1) if follows else None

    def sequence(self, chain: dict[int, int]) -> list[tuple[int, str]]:
        """List positions and codes; where the author's numbers leave a gap, unknown residues."""
        codes: list[tuple[int, str]] = []
        for i, position in chain.items():
            unknown = _UNKNOWN_RESIDUE.get(str(self.kind[i]), "UNK")
            last = codes[-1][0] if codes else 0
            codes += [(missing, unknown) for missing in range(last + 1, position)]
            codes += [(position, name) for name in self.names[i]]
        return codes


def _relabelled(deposit: Deposit, residues: _Residues, chains: list[dict[int, int]]) -> Deposit:
    """Name chains, entities, positions and sequences anew; the assembly refers to new chains."""
    n = len(deposit.sites["Cartn_x"])
    chain, entity, seq = (np.full(n, ".", object) for _ in range(3))
    polymers: dict[str, str] = {}
    sequences: dict[str, tuple[Array, Array]] = {}
    entities: dict[tuple[object, ...], str] = {}
    used: Counter[str] = Counter()
    for inside in chains:
        codes, is_polymer = residues.sequence(inside), len(inside) > 1
        number = entities.setdefault((is_polymer, *codes), str(len(entities) + 1))
        base = str(residues.chain[next(iter(inside))])
        used[base] += 1
        name = base if used[base] == 1 else f"{base}_{used[base]}"
        for i, position in inside.items():
            rows = residues.rows[i]
            chain[rows], entity[rows] = name, number
            seq[rows] = str(position) if is_polymer else "."
        if is_polymer:
            polymers[number] = polymer_type(residues.kind[list(inside)].tolist())
            sequences[number] = np.array([p for p, _ in codes]), np.array([c for _, c in codes])
    labels = {"label_asym_id": chain.astype(str), "label_entity_id": entity.astype(str),
              "label_seq_id": seq.astype(str)}
    links = {k: v for k, v in deposit.links.items()
             if "label_asym_id" not in k and "label_seq_id" not in k}
    assembly, old = deposit.assembly, deposit.sites.get("label_asym_id", labels["label_asym_id"])
    if assembly is not None:
        assembly = tuple(replace(part, chains=tuple(np.unique(
            labels["label_asym_id"][np.isin(old, part.chains)]))) for part in assembly)
    of_polymers = set(labels["label_asym_id"][np.isin(entity, list(polymers))].tolist())
    return replace(
        deposit, sites=deposit.sites | labels, polymers=polymers, sequences=sequences,
        assembly=assembly, links=links if "ptnr1_auth_seq_id" in links else {},
        polymer_count=sum(len(part.motions) * len(of_polymers & set(part.chains))
                          for part in assembly or ()),
    )  # fmt: skip
