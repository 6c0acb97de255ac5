# SPDX-License-Identifier: Apache-2.0
"""Glycans of AlphaFold Server: trees of sugars on residues, as ligands and covalent bonds.

The server's text names no linkages. The usual ones are taken: chitobiose and antennae grow from O4
of a hexosamine, core fucose from its O6, mannose branches at O3 and O6, a single one at O2 of
mannose and O3 of beta-mannose; sialic acids bond by C2, other sugars by C1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protenix_ms.errors import InputError
from protenix_ms.io.glycan import Linkage, parse_glycan
from protenix_ms.job import AtomAddress, CovalentBond, Ligand, Polymer

_SITES = {"N": "ND2", "S": "OG", "T": "OG1"}  # residue -> the atom that carries a glycan
_FUCOSE, _SIALIC = ("FUC", "FUL"), ("SIA", "SLB", "NGC")
# Sugar -> oxygens of its branches in the order of writing; of a single branch.
_BRANCHES: dict[str, tuple[tuple[int, ...], int]] = {
    **dict.fromkeys(("NAG", "NDG", "BGC", "GLC"), ((4, 6, 3), 4)),
    "BMA": ((3, 6, 2, 4), 3), "MAN": ((3, 6, 2, 4), 2), "GAL": ((3, 6, 2, 4), 3),
    "A2G": ((3, 6, 4), 3), "NGA": ((3, 6, 4), 3),
}


def expand_glycan(
    text: str, chain: Polymer, number: int, position: int, ligand: int, where: str
) -> tuple[Ligand, list[CovalentBond], str]:
    """Make a ligand per copy of a protein, bonded to it, of one glycan.

    Args:
        text: tree of sugars, as ``NAG(NAG)(FUC)``; linkages are taken where it names any.
        chain: the protein; number: its entity, position: the residue, both from 1.
        ligand: number of the entity that the glycan becomes.

    Returns:
        The ligand, its bonds, and a note that names every bond.

    Raises:
        InputError: a text that is no tree of sugars, a residue that carries no glycan, a sugar
            whose linkages are not known.
    """
    residue = chain.sequence[position - 1]
    changed = {change.position for change in chain.modifications}
    if residue not in _SITES or position in changed:
        raise InputError(f"residue {residue} {position} carries no glycan", where=where,
                         fix="glycans stand on asparagine, serine or threonine; a Protenix JSON "
                         "can bond any atom by covalent_bonds")
    codes, linkages = parse_glycan(text, where)
    links = list(_complete(codes, linkages, where))
    first = f"C{_anomeric(codes[0])}"
    bonds = []
    for copy in range(1, chain.count + 1):
        bonds.append(CovalentBond(AtomAddress(number, position, _SITES[residue], copy),
                                  AtomAddress(ligand, 1, first, copy)))
        bonds += [CovalentBond(AtomAddress(ligand, link.parent, f"O{link.oxygen}", copy),
                               AtomAddress(ligand, link.child, f"C{link.carbon}", copy))
                  for link in links]
    words = [f"{residue} {position} {_SITES[residue]} - {codes[0]} 1 {first}",
             *(f"{codes[link.parent - 1]} {link.parent} O{link.oxygen} - "
               f"{codes[link.child - 1]} {link.child} C{link.carbon}" for link in links)]
    note = f"its glycan is bonded by convention: {', '.join(words)}"
    return Ligand(codes=codes, count=chain.count), bonds, note


def _anomeric(code: str) -> int:
    return 2 if code in _SIALIC else 1


def _complete(
    codes: tuple[str, ...], linkages: tuple[Linkage, ...], where: str
) -> Iterator[Linkage]:
    """Yield the linkages with the atoms that the text leaves out."""
    branches = Counter(link.parent for link in linkages)
    taken: dict[int, set[int]] = {}
    for link in linkages:
        if link.oxygen is not None:
            taken.setdefault(link.parent, set()).add(link.oxygen)
    for link in linkages:
        if link.oxygen is not None:
            yield link
            continue
        parent, child = codes[link.parent - 1], codes[link.child - 1]
        if parent not in _BRANCHES:
            raise InputError(f"where {child} bonds to {parent} is not known", where=where,
                             fix=f"write the linkage, as {parent}(4-1 {child})")
        several, single = _BRANCHES[parent]
        order = (single, *several) if branches[link.parent] == 1 else several
        if child in _FUCOSE and 6 in several:
            order = (6, *order)
        used = taken.setdefault(link.parent, set())
        free = [oxygen for oxygen in order if oxygen not in used]
        if not free:
            raise InputError(f"{parent} has more branches than it has places", where=where,
                             fix="write their linkages")
        used.add(free[0])
        yield Linkage(link.parent, link.child, free[0], _anomeric(child))
