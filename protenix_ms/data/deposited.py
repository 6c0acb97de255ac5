# SPDX-License-Identifier: Apache-2.0
"""Make the atoms of a deposit: one conformation, label numbering, covalent bonds.

Atoms without finite coordinates are left out, so that they count as unresolved. Upstream:
`MMCIFParser.get_structure`. `chain_id` is the label chain, `res_id` the label position; residues
without one (ligands) count from 1 in their chain. Bonds are those of the components, of
`_struct_conn` (up to 2.4 angstrom, metal coordination left out) and of polymer neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import find_names, merge_bonds, runs, starts_of_runs
from protenix_ms.data.mmcif import MAX_COORDINATE, Deposit, numbers
from protenix_ms.data.polymer_bonds import bond_neighbours
from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

MAX_LINK_LENGTH = 2.4  # angstrom
MAX_CHAIN_JUMP = 2.5  # angstrom, polymer bond between two label chains
_COVALENT = (
    "covale", "covale_base", "covale_phosphate", "covale_sugar", "disulf", "modres", "modres_link",
)  # fmt: skip
_IDENTITY = "1_555"
_ABSENT = (".", "?")
_NO_LETTER = (*_ABSENT, "", " ")  # of an alternative
# `_atom_site` column -> how `_struct_conn` calls it, "{}" is the partner
_LINK_COLUMNS = {
    "label_asym_id": "ptnr{}_label_asym_id",
    "label_comp_id": "ptnr{}_label_comp_id",
    "label_seq_id": "ptnr{}_label_seq_id",
    "label_atom_id": "ptnr{}_label_atom_id",
    "label_alt_id": "pdbx_ptnr{}_label_alt_id",
    "auth_asym_id": "ptnr{}_auth_asym_id",
    "auth_comp_id": "ptnr{}_auth_comp_id",
    "auth_seq_id": "ptnr{}_auth_seq_id",
    "pdbx_PDB_ins_code": "pdbx_ptnr{}_PDB_ins_code",
}


class AuthorNumbering(NamedTuple):
    """The author's chain, number, insertion code and component of every atom."""

    chain: Shaped[Array, "a"]
    number: Int[Array, "a"]
    insertion: Shaped[Array, "a"]
    name: Shaped[Array, "a"]


def deposited_atoms(
    deposit: Deposit, ccd: ComponentDictionary, *, upstream_quirks: bool = False,
    alternative: str | None = None, as_listed: bool = False,
) -> AtomTable:
    """Make a table of one conformation of the deposit's first model, with bonds.

    Args:
        upstream_quirks: of alternatives keep the first letter of the whole file, which leaves
            residues with other letters unresolved.
        alternative: keep this letter of alternatives.
        as_listed: keep links of any length, last among the bonds and in the order of the file.

    Raises:
        InputError: columns that an mmCIF file of a structure must have are missing or no numbers,
            or no atom has coordinates.
    """
    try:
        coord = site_coordinates(deposit.sites)
        seen = np.isfinite(coord).all(axis=1)
        if not seen.any():
            raise InputError("no atom has finite coordinates", where=deposit.name)
        coord = coord[seen]
        sites = {name: column[seen] for name, column in deposit.sites.items()}
        links = _links(sites, deposit.links, coord, np.inf if as_listed else MAX_LINK_LENGTH)
        author = author_numbering(sites)
        kept = _one_conformation(sites, author, upstream_quirks, alternative)
        atoms = _table(sites, coord, author)
    except (KeyError, ValueError) as error:
        raise InputError("_atom_site lacks an item or holds text for a number",
                         where=f"{deposit.name} ({error})", fix="check the file") from None
    atoms = atoms.with_columns(bonds=links)[kept]
    author = AuthorNumbering(*(column[kept] for column in author))
    links = atoms.bonds
    own = _component_bonds(atoms, runs(starts_of_runs(*author)), ccd)
    by_author = atoms.with_columns(
        chain_id=author.chain, res_id=author.number, bonds=merge_bonds(own, atoms.bonds)
    )
    bonds = bond_neighbours(by_author, ccd, author.insertion, atoms.chain_id, MAX_CHAIN_JUMP)
    atoms = atoms.with_columns(
        bonds=bonds, res_id=_label_numbering(sites["label_seq_id"][kept], atoms.chain_id, author)
    )
    bonds = bond_neighbours(atoms, ccd)
    return atoms.with_columns(bonds=_links_last(bonds, links) if as_listed else bonds)


def _links_last(bonds: Int[Array, "p 3"], links: Int[Array, "k 3"]) -> Int[Array, "p 3"]:
    """Sort bonds that are links to the end, as `links` has them; the others keep their order."""
    place = {tuple(sorted(pair)): i for i, pair in reversed([*enumerate(links[:, :2].tolist())])}
    rank = [place.get(tuple(pair), -1) for pair in bonds[:, :2].tolist()]
    return bonds[np.argsort(rank, kind="stable")]


def _either(sites: dict[str, Array], name: str) -> Shaped[Array, "a"]:
    """Take the author's column, and the label column where the author gives nothing."""
    author, label = sites.get(f"auth_{name}"), sites.get(f"label_{name}")
    if author is None or label is None:
        return sites[f"label_{name}"] if author is None else author
    return np.where(np.isin(author, _ABSENT), label, author)


def site_coordinates(sites: dict[str, Array]) -> Float[Array, "a 3"]:
    """Read coordinates in angstrom, NaN where they are unknown, not finite or absurdly large.

    Raises:
        KeyError, ValueError: no such column, or text for a number.
    """
    text = np.stack([sites[f"Cartn_{axis}"] for axis in "xyz"], axis=1)
    coord = numbers(np.where(np.isin(text, _ABSENT), "nan", text).ravel()).reshape(-1, 3)
    return np.where(np.abs(coord) <= MAX_COORDINATE, coord, np.nan).astype(np.float32)


def author_numbering(sites: dict[str, Array]) -> AuthorNumbering:
    """Read the author's chain, number, insertion code and component of every atom."""
    number = _either(sites, "seq_id")
    insertion = sites.get("pdbx_PDB_ins_code", np.full(len(number), "?"))
    chain = _either(sites, "asym_id")
    return AuthorNumbering(
        chain=np.where(np.isin(chain, _ABSENT), "A", chain),
        number=np.where(np.isin(number, _ABSENT), "-1", number).astype(np.int64),
        insertion=np.where(np.isin(insertion, _ABSENT), "", insertion),
        name=_either(sites, "comp_id"),
    )


def _table(sites: dict[str, Array], coord: Array, author: AuthorNumbering) -> AtomTable:
    n = len(coord)
    entity = sites["label_entity_id"]
    return AtomTable(
        atom_name=_either(sites, "atom_id"),
        element=np.char.upper(sites["type_symbol"]),
        res_name=author.name,
        chain_id=sites["label_asym_id"],
        entity_id=entity,
        res_id=author.number,
        charge=np.zeros(n, np.int64),
        hetero=sites.get("group_PDB", np.full(n, "ATOM")) == "HETATM",
        coord=coord,
        ref_pos=np.zeros((n, 3), np.float32),
        ref_mask=np.zeros(n, np.int64),
    )


def _one_conformation(
    sites: dict[str, Array], author: AuthorNumbering, upstream_quirks: bool,
    alternative: str | None,
) -> Bool[Array, "a"]:
    """Keep atoms without alternatives and, of each residue's, those of its first letter."""
    letter = sites.get("label_alt_id", np.full(len(author.number), "."))
    if alternative is not None:
        return np.isin(letter, [*_NO_LETTER, alternative])
    if upstream_quirks:
        return np.isin(letter, [".", *np.unique(letter[letter != "."])[:1]])
    kept = np.isin(letter, _NO_LETTER)
    # all components of one number are one residue: they may be alternatives of each other
    place = [sites["label_asym_id"], author.chain, author.number, author.insertion]
    residue = list(zip(*(column[~kept].tolist() for column in place)))
    first: dict[tuple[str, ...], str] = {}
    for key, own in zip(residue, letter[~kept].tolist()):
        first[key] = min(own, first.get(key, own))
    kept[~kept] = [first[key] == own for key, own in zip(residue, letter[~kept].tolist())]
    return kept


def _links(
    sites: dict[str, Array], links: dict[str, Array], coord: Float[Array, "a 3"],
    longest: float = MAX_LINK_LENGTH,
) -> Int[Array, "p 3"]:
    """List the bonds of `_struct_conn` inside the asymmetric unit, as rows of `sites`."""
    if not links:
        return np.zeros((0, 3), np.int32)
    chosen = np.isin(links["conn_type_id"], _COVALENT)
    for partner in (1, 2):
        symmetry = links.get(f"ptnr{partner}_symmetry")
        if symmetry is not None:
            chosen &= np.isin(symmetry, (_IDENTITY, *_ABSENT))
    shared = {
        column: name for column, name in _LINK_COLUMNS.items()
        if column in sites and name.format(1) in links and name.format(2) in links
    }
    place: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(zip(*[_dotted(sites[column]) for column in shared])):
        place.setdefault(key, row)
    ends = []
    for partner in (1, 2):
        columns = [_dotted(links[name.format(partner)][chosen]) for name in shared.values()]
        ends.append([place.get(key, -1) for key in zip(*columns)])
    pairs = np.array(ends, np.int64).reshape(2, -1).T
    pairs = pairs[(pairs >= 0).all(axis=1)]
    short = np.linalg.norm(coord[pairs[:, 0]] - coord[pairs[:, 1]], axis=1) < longest
    return np.insert(pairs[short], 2, 1, axis=1).astype(np.int32)


def _dotted(column: Shaped[Array, "r"]) -> list[str]:
    return list(np.where(column == "?", ".", column).tolist())


def _component_bonds(
    atoms: AtomTable, residues: list[slice], ccd: ComponentDictionary
) -> Int[Array, "p 3"]:
    """List the bonds inside every residue, by atom names."""
    bonds = [np.zeros((0, 3), np.int64)]
    for rows in residues:
        code = str(atoms.res_name[rows.start])
        if rows.stop - rows.start < 2 or code not in ccd:
            continue
        component = ccd[code]
        ends = find_names(component.atom_name, atoms.atom_name[rows])[component.bonds]
        present = (ends >= 0).all(axis=1)
        bonds.append(np.column_stack([ends[present] + rows.start, component.bond_order[present]]))
    return np.concatenate(bonds).astype(np.int32)


def _label_numbering(
    label: Shaped[Array, "a"], chain: Shaped[Array, "a"], author: AuthorNumbering
) -> Int[Array, "a"]:
    """Read label positions; residues without them are counted from 1 in their chain.

    Upstream starts a new count where the author's numbers fall, so that residues of a glycan
    share a number and the entry fails; that is not followed.
    """
    result = np.where(np.isin(label, _ABSENT), "0", label).astype(np.int64)
    residues = starts_of_runs(chain, author.number, author.insertion, author.name)
    for rows in runs(starts_of_runs(chain)):
        if label[rows.start] in _ABSENT:
            result[rows] = np.cumsum(residues[rows])
    return result
