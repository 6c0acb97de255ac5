# SPDX-License-Identifier: Apache-2.0
"""Tables of an mmCIF file about its molecules: entities, sequences, glycans, components, bonds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import gemmi
import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import Component
from protenix_ms.chem.residue import leaving_groups
from protenix_ms.typing import Array, Bool

POLYMER_TYPES = {
    "protein": "polypeptide(L)",
    "dna": "polydeoxyribonucleotide",
    "rna": "polyribonucleotide",
}
_STANDARD_TYPES = {"protein": "L-peptide linking", "dna": "DNA linking", "rna": "RNA linking"}
_UNKNOWN_LETTER = {"protein": "X", "dna": "N", "rna": "N"}
_WATER = {"HOH", "DOD"}
# `AtomTable.bonds` order -> `_chem_comp_bond.value_order`; 0 is unknown
VALUE_ORDER = {0: "?", 1: "sing", 2: "doub", 3: "trip", 4: "arom"}
_BACKBONE = {("C", "N"), ("O3'", "P")}

#: Category, its items, and its rows.
Table = tuple[str, str, Iterable[Iterable[object]]]
Row = tuple[object, ...]


@dataclass(frozen=True)
class StructureInfo:
    """Hold what a structure file says beside its atoms.

    Attributes:
        name: entry name.
        title: one line about how the structure was made.
        entity_kinds: "protein", "dna", "rna" or "ligand" by entity label.
        components: what the dictionary knows of the residues, by name.
        descriptions: entity description by label, for ligands given as SMILES or file.
        version: version of this program.
    """

    name: str
    title: str
    entity_kinds: Mapping[str, str]
    components: Mapping[str, Component] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


def is_polymer(atoms: AtomTable, info: StructureInfo) -> Bool[Array, "a"]:
    """Mark atoms of polymers."""
    polymers = [entity for entity, kind in info.entity_kinds.items() if kind in POLYMER_TYPES]
    return np.isin(atoms.entity_id, polymers)


def is_standard(atoms: AtomTable, info: StructureInfo) -> Bool[Array, "a"]:
    """Mark atoms of standard residues of polymers: the `ATOM` records of wwPDB files."""
    names = [name for name in set(atoms.res_name.tolist())
             if gemmi.find_tabulated_residue(name).is_standard()]
    return is_polymer(atoms, info) & np.isin(atoms.res_name, names)


def entity_tables(atoms: AtomTable, info: StructureInfo) -> Iterator[Table]:
    """Make the tables of entities and chains, sequences of polymers and links of glycans.

    A ligand is a branched entity when all its residues are sugars and bonds join them, in every
    copy alike. Sugars that are entities of their own stay so, whatever the job bonds them to:
    each has a chain, and wwPDB's branched entity would need one for all.
    """
    entities, polymers, sequences, branched, others, chains = [], [], [], [], [], []
    residues = atoms[atoms.residue_starts()]
    for entity in dict.fromkeys(residues.entity_id.tolist()):
        rows = residues[residues.entity_id == entity]
        ids = list(dict.fromkeys(rows.chain_id.tolist()))
        first = rows[rows.chain_id == ids[0]]
        names = first.res_name.tolist()
        chains += [(chain, entity) for chain in ids]
        kind = "non-polymer"
        if info.entity_kinds[entity] in POLYMER_TYPES:
            kind = "polymer"
            polymers.append(_polymer_row(entity, first, ids, info))
            sequences += [(entity, i, name, "n") for i, name in zip(first.res_id, names)]
        elif links := _branch_links(atoms, ids, len(names), info):
            kind = "branched"
            branched.append((entity, rows, links))
        else:
            kind = "water" if _WATER.issuperset(names) else kind
            others += [(entity, name, name, "explicit") for name in dict.fromkeys(names)]
        entities.append((entity, kind, info.descriptions.get(entity, ".")))
    yield "entity", "id type pdbx_description", entities
    yield ("entity_poly", "entity_id type nstd_monomer pdbx_strand_id pdbx_seq_one_letter_code "
           "pdbx_seq_one_letter_code_can", polymers)
    yield "entity_poly_seq", "entity_id num mon_id hetero", sequences
    yield from _branch_tables(branched)
    yield "pdbx_entity_nonpoly", "entity_id comp_id name ma_model_mode", others
    yield "struct_asym", "id entity_id", chains
    yield "ma_target_entity", "entity_id data_id origin", [(e, 1, ".") for e, *_ in entities]
    yield "ma_target_entity_instance", "asym_id entity_id details", [(*c, ".") for c in chains]


def _polymer_row(
    entity: str, chain: AtomTable, ids: list[str], info: StructureInfo
) -> tuple[object, ...]:
    """Make a row of `_entity_poly`; modified residues are (CODE), and their parent's letter."""
    kind = info.entity_kinds[entity]
    modified = "no" if is_standard(chain, info).all() else "yes"
    written, canonical = [], []
    for name in chain.res_name.tolist():
        known = gemmi.find_tabulated_residue(name)
        plain = known.is_standard() and kind != "dna" and name != "UNK"
        written.append(known.one_letter_code if plain else f"({name})")
        canonical.append(_parent_letter(name, info) or _UNKNOWN_LETTER[kind])
    sequences = "".join(written), "".join(canonical)
    return entity, POLYMER_TYPES[kind], modified, ",".join(ids), *sequences


def _parent_letter(name: str, info: StructureInfo) -> str:
    """Return the one-letter code of a residue or else of its parent (some have three)."""
    component = info.components.get(name)
    if component is not None and component.one_letter:
        return component.one_letter
    parent = component.parent if component is not None and component.parent else name
    return str(gemmi.find_tabulated_residue(parent).one_letter_code).strip().upper()


def _branch_links(
    atoms: AtomTable, chains: list[str], size: int, info: StructureInfo
) -> list[Row]:
    """List the links of an oligosaccharide that all its chains have; none for other ligands."""
    if size < 2:
        return []
    copies = [glycosidic_links(atoms[atoms.chain_id == c], info.components) for c in chains]
    return copies[0] if all(copy == copies[0] for copy in copies) else []


def _branch_tables(branched: list[tuple[str, AtomTable, list[Row]]]) -> Iterator[Table]:
    """Make the tables of oligosaccharides: entity, its residues in all chains, its links."""
    sugars: list[Row] = []
    links: list[Row] = []
    scheme: list[Row] = []
    for entity, rows, bonds in branched:
        for chain, name, number in zip(rows.chain_id, rows.res_name, rows.res_id):
            scheme.append((chain, entity, name, number) + 2 * (chain, name, number) + ("n",))
            if chain == rows.chain_id[0]:
                sugars.append((entity, name, number, "n"))
        links += [(len(links) + i, entity, *bond) for i, bond in enumerate(bonds, 1)]
    yield "pdbx_entity_branch", "entity_id type", [(e, "oligosaccharide") for e, *_ in branched]
    yield "pdbx_entity_branch_list", "entity_id comp_id num hetero", sugars
    ends = [f"{item}_{side}" for side in (1, 2)
            for item in ("entity_branch_list_num", "comp_id", "atom_id", "leaving_atom_id")]
    yield "pdbx_entity_branch_link", f"link_id entity_id {' '.join(ends)} value_order", links
    yield ("pdbx_branch_scheme", "asym_id entity_id mon_id num pdb_asym_id pdb_mon_id pdb_seq_num "
           "auth_asym_id auth_mon_id auth_seq_num hetero", scheme)


def component_tables(atoms: AtomTable, info: StructureInfo) -> Iterator[Table]:
    """Make the tables of the elements, the components and the bonds inside each of them."""
    residues = atoms[atoms.residue_starts()]
    pairs = zip(residues.res_name.tolist(), residues.entity_id.tolist())
    named = [(name, info.entity_kinds[entity]) for name, entity in pairs]
    kinds = dict(sorted(named, key=lambda pair: pair[1] in POLYMER_TYPES))  # a chain's kind stays
    standard = set(residues.res_name[is_standard(residues, info)].tolist())
    rows = []
    for name, kind in sorted(kinds.items()):
        default = _STANDARD_TYPES[kind] if name in standard else "non-polymer"
        flag = "y" if name in standard else "n" if kind in POLYMER_TYPES else "."
        component = info.components.get(name)
        rows.append((name, default if component is None else component.type, flag))
    yield "atom_type", "symbol", [(symbol,) for symbol in sorted(set(atoms.element.tolist()))]
    yield "chem_comp", "id type mon_nstd_flag", rows
    yield ("chem_comp_bond", "comp_id atom_id_1 atom_id_2 value_order pdbx_aromatic_flag "
           "pdbx_ordinal", bond_rows(atoms, info.components))


def _place(atoms: AtomTable, i: int) -> tuple[str, int]:
    return str(atoms.chain_id[i]), int(atoms.res_id[i])


def bond_rows(atoms: AtomTable, components: Mapping[str, Component]) -> list[Row]:
    """List the bonds inside every component: component, two atoms, order, aromatic flag, number.

    A reader takes the table as complete, so no component may be absent that has a bond.
    Copies of a component that lack atoms (leaving groups) add nothing to those that have them.

    Args:
        components: where known, they say which bonds are aromatic; their orders alternate.
    """
    bonds: dict[str, dict[tuple[str, str], int]] = {}
    for i, j, order in atoms.bonds.tolist():
        if _place(atoms, i) == _place(atoms, j):
            pair = str(atoms.atom_name[i]), str(atoms.atom_name[j])
            bonds.setdefault(str(atoms.res_name[i]), {}).setdefault(pair, order)
    rows: list[Row] = []
    for name in sorted(bonds):
        rings = _aromatic_pairs(components[name]) if name in components else set()
        for number, (pair, order) in enumerate(bonds[name].items(), 1):
            aromatic = "Y" if order == 4 or frozenset(pair) in rings else "N"
            rows.append((name, *pair, VALUE_ORDER[order], aromatic, number))
    return rows


def _aromatic_pairs(component: Component) -> set[frozenset[str]]:
    pairs = component.atom_name[component.bonds[component.bond_aromatic]]
    return set(map(frozenset, pairs.tolist()))


def connection_rows(
    atoms: AtomTable, standard: Bool[Array, "a"]
) -> Iterator[tuple[str, int, int, int, str]]:
    """Yield the bonds between residues that no reader knows by itself, as wwPDB files list them.

    Everyone knows the backbone of standard residues that are neighbours in the sequence.

    Args:
        standard: atoms of standard residues of polymers.

    Yields:
        Kind ("covale", "disulf" or "metalc"), number within the kind, two atom rows, order.
    """
    symbols = set(atoms.element.tolist())
    metal = np.isin(atoms.element, [name for name in symbols if gemmi.Element(name).is_metal])
    count: Counter[str] = Counter()
    for i, j, order in sorted(sorted(bond[:2]) + bond[2:] for bond in atoms.bonds.tolist()):
        (chain_i, res_i), (chain_j, res_j) = _place(atoms, i), _place(atoms, j)
        if (chain_i, res_i) == (chain_j, res_j):
            continue
        names = (str(atoms.atom_name[i]), str(atoms.atom_name[j]))
        backbone = chain_i == chain_j and res_j == res_i + 1 and names in _BACKBONE
        if backbone and standard[i] and standard[j]:
            continue
        kind = "disulf" if names == ("SG", "SG") else "covale"
        if metal[i] or metal[j]:
            kind, order = "metalc", 0
        count[kind] += 1
        yield kind, count[kind], i, j, VALUE_ORDER[order]


def glycosidic_links(copy: AtomTable, components: Mapping[str, Component]) -> list[Row]:
    """List the bonds that make a chain of sugars an oligosaccharide, anomeric carbons first.

    Each is twice residue number, component, atom and the atom that left it, then the order. The
    list is empty for a single sugar, and where the bonds do not join all residues, each a sugar.
    """
    if any(str(name) not in components or "SACCHARIDE" not in components[str(name)].type.upper()
           for name in copy.res_name[copy.residue_starts()]):
        return []
    links: list[Row] = []
    joins: list[set[int]] = []  # residues that a bond joins
    for *pair, order in copy.bonds.tolist():
        if copy.res_id[pair[0]] != copy.res_id[pair[1]]:
            pair.sort(key=lambda row: (copy.element[row] != "C", -copy.res_id[row]))
            ends = [field for row in pair for field in _link_end(copy, row, components)]
            links.append((*ends, VALUE_ORDER[order]))
            joins.append(set(copy.res_id[pair].tolist()))
    joined = {int(copy.res_id[0])}
    while more := set().union(*(join for join in joins if join & joined)) - joined:
        joined |= more
    return sorted(links) if joined == set(copy.res_id.tolist()) else []


def _link_end(
    copy: AtomTable, row: int, components: Mapping[str, Component]
) -> tuple[int, str, str, str]:
    """Name residue, component, atom and the atom that left: O1 of a carbon, H of an oxygen.

    The tables hold no hydrogens; those of hydroxyl groups are called H + oxygen in all sugars.
    """
    component, atom = components[str(copy.res_name[row])], str(copy.atom_name[row])
    hydrogen = f"H{atom}" if copy.element[row] == "O" else "?"
    leaving = leaving_groups(component).get(atom, [[hydrogen]])[0][0]
    return int(copy.res_id[row]), component.code, atom, leaving
