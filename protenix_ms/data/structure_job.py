# SPDX-License-Identifier: Apache-2.0
"""Turn an experimental structure into a job of Protenix's JSON (upstream `json_maker`).

Entities are in the order of their labels as text. Upstream drops polymers of other kinds than
L-peptides, DNA and RNA, aids of crystallization, links of ions, and what has only other letters
of alternatives without a word; here each is named in a note.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import map_unique
from protenix_ms.chem.covalent import selenomethionine_to_methionine
from protenix_ms.constants.restypes import STANDARD_RESIDUES
from protenix_ms.data import filters
from protenix_ms.data.assembly import build_assembly
from protenix_ms.data.completion import letters, sequence_codes
from protenix_ms.data.deposited import deposited_atoms
from protenix_ms.data.entry import MALFORMED
from protenix_ms.data.mmcif import Deposit
from protenix_ms.data.pdb import read_structure
from protenix_ms.data.polymers import with_polymers
from protenix_ms.errors import InputError
from protenix_ms.io.mmcif_tables import POLYMER_TYPES
from protenix_ms.io.protenix_json import KINDS
from protenix_ms.io.text_file import plain_name
from protenix_ms.typing import Array, Int

FIRST = "first"  # of the letters of alternatives in a file
_NAME = 20  # characters of a PDB file's name that upstream keeps
_KEYS = {POLYMER_TYPES[kind]: key for key, kind in KINDS.items()}  # `_entity_poly.type` -> key
_CHANGE_KEYS = {"proteinChain": ("ptmPosition", "ptmType")}
_NUCLEOTIDE_KEYS = ("basePosition", "modificationType")
_END = ("entity", "position", "atom", "copy")
Bond = dict[str, Any]  # an entry of "covalent_bonds", with copies


@dataclass(frozen=True)
class Selection:
    """What is taken from a structure.

    Attributes:
        assembly: name of a biological assembly; None takes the file's atoms as they are.
        alternative: letter of alternatives, `FIRST` for the first of the file.
        polymer_bonds: write bonds between polymer residues that are no neighbours, too.
        as_filed: keep the order of entities and the names of chains, and choose alternatives by
            residue, so that the job's atoms are found in the file again.
    """

    assembly: str | None = None
    alternative: str = FIRST
    polymer_bonds: bool = False
    as_filed: bool = False


@dataclass
class _Conversion:
    """A structure on its way to a job.

    Attributes:
        atoms: atoms of the entities that are written.
        numbers: label of an entity -> its number in the job.
        notes: what was left out.
    """

    deposit: Deposit
    ccd: ComponentDictionary
    atoms: AtomTable
    notes: list[str]
    numbers: dict[str, int] = field(default_factory=dict)


def job_of_structure(
    path: Path, ccd: ComponentDictionary, selection: Selection = Selection()  # noqa: B008 (frozen)
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Make the job of a structure file, and notes about what was left out.

    Raises:
        InputError: an unreadable file, an unknown assembly or letter, no usable entity.
    """
    try:
        return _convert(path, ccd, selection)
    except MALFORMED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the file breaks the rules of its format ({type(error).__name__}: "
                         f"{reason})", where=str(path), fix="check the file") from error


def _convert(
    path: Path, ccd: ComponentDictionary, selection: Selection
) -> tuple[dict[str, Any], tuple[str, ...]]:
    deposit = with_polymers(read_structure(path, assembly=selection.assembly), ccd)
    letter = None if selection.alternative == FIRST else selection.alternative
    _require_letter(deposit, letter, path)
    first = letter is None and not selection.as_filed
    atoms = deposited_atoms(deposit, ccd, upstream_quirks=first, alternative=letter,
                            as_listed=True)
    work = _Conversion(deposit, ccd, atoms, list(_note_alternatives(deposit, atoms, ccd)))
    _select(work, path)
    if selection.assembly is not None and deposit.assembly is None:
        work.notes.append("the file defines no assemblies; its atoms are taken as they are")
    work.atoms = build_assembly(work.atoms, deposit.assembly)
    job: dict[str, Any] = {"sequences": _entities(work, selection.as_filed)}
    if not job["sequences"]:
        raise InputError("no entity is left of which a job can be made",
                         where=str(path), fix="; ".join(work.notes) or "give another structure")
    if selection.assembly is not None:
        job["assembly_id"] = selection.assembly
    if bonds := _bonds(work, selection.polymer_bonds):
        job["covalent_bonds"] = bonds
    name = path.name.split(".")[0]
    if selection.as_filed or not plain_name(path).suffix.lower().endswith("cif"):
        name = plain_name(path).stem[: None if selection.as_filed else _NAME]
    return {**job, "name": name}, tuple(work.notes)


def _require_letter(deposit: Deposit, letter: str | None, path: Path) -> None:
    """Refuse a letter that no alternative of the file has."""
    used = sorted(set(deposit.sites.get("label_alt_id", np.array(["."])).tolist()) - {".", "?", ""})
    if letter is not None and letter not in used:
        there = f"the file has {', '.join(used)}" if used else "the file has none: leave it out"
        raise InputError(f"there is no alternative {letter[:20]!r}", where=str(path),
                         fix=f"choose another --altloc; {there}")


def _note_alternatives(
    deposit: Deposit, atoms: AtomTable, ccd: ComponentDictionary
) -> Iterator[str]:
    """Name residues outside polymers all of whose atoms have other letters."""
    if set(deposit.sites.get("label_alt_id", np.array(["."])).tolist()) <= {".", "?", ""}:
        return
    whole, kept = (filters.without_water_and_hydrogen(table)
                   for table in (deposited_atoms(deposit, ccd), atoms))
    lost: Counter[str] = Counter()
    for table, sign in ((whole, 1), (kept, -1)):
        first = table[table.residue_starts()]
        first = first[~np.isin(first.entity_id, list(deposit.polymers))]
        for chain in first.chain_id.tolist():
            lost[chain] += sign
    for chain in (chain for chain, count in lost.items() if count > 0):
        names = ", ".join(dict.fromkeys(whole.res_name[whole.chain_id == chain].tolist()))
        yield (f"chain {chain} ({names}): all or part of it is an alternative with another "
               "letter, left out; --altloc takes that letter")


def _select(work: _Conversion, path: Path) -> None:
    """Drop water, hydrogen, unknown atoms and aids of crystallization, as upstream does."""
    deposit = work.deposit
    atoms = filters.without_water_and_hydrogen(work.atoms)
    before = Counter(_residue_names(atoms))
    atoms = filters.without_unknown_elements(selenomethionine_to_methionine(atoms))
    if any("DIFFRACTION" in method for method in deposit.methods):
        atoms = filters.without_crystallization_aids(atoms, deposit.polymers)
    after = Counter(_residue_names(atoms))
    gone = [f"{count - after[name]} {name}" for name, count in sorted(before.items())
            if count > after[name] and name not in ("MSE", "ASX", "GLX")]
    if gone:
        work.notes.append("unknown components and aids of crystallization are left out: "
                          + ", ".join(gone))
    if not len(atoms):
        raise InputError("nothing is left of which a job can be made", where=str(path),
                         fix="; ".join(work.notes) or "give a structure with more than water")
    work.atoms = atoms


def _residue_names(atoms: AtomTable) -> list[str]:
    return list(atoms.res_name[atoms.residue_starts()].tolist())


def _entities(work: _Conversion, as_filed: bool) -> list[dict[str, Any]]:
    """Make the entities of a job; keep only their atoms, and their numbers."""
    atoms, deposit = work.atoms, work.deposit
    codes = sequence_codes(deposit, atoms)
    firsts = atoms[atoms.chain_starts()]
    entities: list[dict[str, Any]] = []
    labels = dict.fromkeys(atoms.entity_id.tolist())
    for label in labels if as_filed else sorted(labels):
        chains = firsts.chain_id[firsts.entity_id == label].tolist()
        count = len(chains)
        kind = deposit.polymers.get(label)
        if kind is None:
            names = _residue_names(atoms[atoms.chain_id == max(chains)])  # upstream's choice
            entity = {"ligand": {"ligand": f"CCD_{'_'.join(names)}", "count": count}}
        elif kind in _KEYS and label in codes:
            entity = {_KEYS[kind]: _polymer(_KEYS[kind], codes[label], count, work.ccd)}
        else:
            reason = "it has no sequence" if kind in _KEYS else f"a job cannot have a {kind}"
            work.notes.append(f"entity {label} (chain {', '.join(chains)}) is left out: {reason}")
            continue
        if as_filed:
            next(iter(entity.values()))["id"] = chains
        entities.append(entity)
        work.numbers[label] = len(entities)
    work.atoms = atoms[np.isin(atoms.entity_id, list(work.numbers))]
    crossing = len(atoms.bonds) - len(work.atoms.bonds) - len(
        atoms[~np.isin(atoms.entity_id, list(work.numbers))].bonds)
    if crossing:
        work.notes.append(f"{crossing} bonds to entities that are left out are left out, too")
    return entities


def _polymer(
    key: str, codes: Array, count: int, ccd: ComponentDictionary
) -> dict[str, Any]:
    """Make a polymer; every residue outside the standard ones is a modification."""
    entity: dict[str, Any] = {"sequence": letters(codes, ccd), "count": count}
    position, code = _CHANGE_KEYS.get(key, _NUCLEOTIDE_KEYS)
    changes = [{position: place, code: f"CCD_{name}"}
               for place, name in enumerate(codes.tolist(), 1) if name not in STANDARD_RESIDUES]
    return entity | ({"modifications": changes} if changes else {})


def _bonds(work: _Conversion, polymer_bonds: bool) -> list[Bond]:
    """List the bonds of a job: of polymers where asked for, then those of ligands."""
    atoms = work.atoms
    ends = atoms.bonds[:, :2]
    in_polymer = np.isin(atoms.entity_id, list(work.deposit.polymers))[ends].all(axis=1)
    of_ligand = _bonds_of_ligands(work)
    same = atoms.chain_id[ends[:, 0]] == atoms.chain_id[ends[:, 1]]
    distant = np.abs(atoms.res_id[ends[:, 0]] - atoms.res_id[ends[:, 1]]) > 1
    between = in_polymer & (~same | distant)
    if between.any() and not polymer_bonds:
        work.notes.append(f"{between.sum()} bonds between polymer residues are left out; "
                          "--polymer-bonds writes them")
    chosen = [ends[between]] * polymer_bonds + [ends[of_ligand]]
    count = Counter(atoms.entity_id[atoms.chain_starts()].tolist())
    size = {number: count[label] for label, number in work.numbers.items()}
    return merge_copies(_written(work, np.concatenate(chosen)), size)


def _bonds_of_ligands(work: _Conversion) -> Int[Array, "k"]:
    """List the bonds of non-polymer residues to others, as upstream orders them.

    Links of single atoms are left out.
    """
    atoms = work.atoms
    ends = atoms.bonds[:, :2]
    in_ligand = ~np.isin(atoms.entity_id, list(work.deposit.polymers))
    kind = np.where(in_ligand, "ligand", map_unique(atoms.res_name, work.ccd.mol_type, "U7"))
    label = np.char.partition(atoms.chain_id, ".")[:, 0]  # copies count together, as upstream
    single = np.isin(label, [name for name, size in Counter(label.tolist()).items() if size == 1])
    ligand, polymer = (kind == "ligand") & ~single, kind != "ligand"
    first, second = ends.T
    apart = (atoms.chain_id[first] != atoms.chain_id[second]) | (
        atoms.res_id[first] != atoms.res_id[second])
    joins = (ligand[first] & polymer[second]) | (polymer[first] & ligand[second])
    joins |= ligand[first] & ligand[second] & apart
    asked = in_ligand[ends].any(axis=1)
    if ions := int((asked & apart & ~joins).sum()):
        work.notes.append(f"{ions} bonds of single atoms are left out")
    # upstream lists bonds to polymers first
    order = np.flatnonzero(joins & asked)
    return order[np.argsort((ligand[first] & ligand[second])[order], kind="stable")]


def _written(work: _Conversion, pairs: Int[Array, "k 2"]) -> list[Bond]:
    """Write pairs of rows as entries of "covalent_bonds", each with its copies."""
    atoms = work.atoms
    copies: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for row in atoms.chain_starts().tolist():
        seen[str(atoms.entity_id[row])] += 1
        copies[str(atoms.chain_id[row])] = seen[str(atoms.entity_id[row])]
    bonds = []
    for pair in pairs.tolist():
        bond: Bond = {}
        for side, row in enumerate(pair, 1):
            values = (work.numbers[str(atoms.entity_id[row])], int(atoms.res_id[row]),
                      str(atoms.atom_name[row]), copies[str(atoms.chain_id[row])])
            bond |= {f"{name}{side}": value for name, value in zip(_END, values)}
        bonds.append(bond)
    return bonds


def merge_copies(bonds: list[Bond], size: Mapping[int, int]) -> list[Bond]:
    """Write a bond that every copy has once, without copies: it joins them pairwise, in order.

    Upstream does so whichever copies are joined, which changes the molecule where copy 1 of an
    entity is bonded to copy 2 of itself or where two kinds of bonds pair copies differently. Such
    bonds keep their copies here.

    Args:
        size: number of an entity -> its copies.
    """
    groups: dict[tuple[Any, ...], list[Bond]] = defaultdict(list)
    for bond in bonds:
        groups[tuple(bond[f"{name}{side}"] for side in (1, 2) for name in _END[:3])].append(bond)
    whole = [group for group in groups.values()
             if size[group[0]["entity1"]] == size[group[0]["entity2"]] == len(group)]
    if not _is_pairwise(whole, bonds):
        whole = [group for group in whole if all(b["copy1"] == b["copy2"] for b in group)]
    merged: list[Bond] = []
    for group in groups.values():
        plain = {k: v for k, v in group[0].items() if not k.startswith("copy")}
        merged += [plain] if group in whole else group
    return merged


def _is_pairwise(whole: list[list[Bond]], bonds: list[Bond]) -> bool:
    """Tell whether copies can be numbered anew so that the bonds of `whole` join equal numbers.

    The other bonds, which name copies, must then keep their numbers.
    """
    number: dict[int, dict[int, int]] = {}
    for _ in whole:  # a round reaches the neighbours of entities that are numbered
        for group in whole:
            first, second = group[0]["entity1"], group[0]["entity2"]
            if second in number and first not in number:
                number[first] = {b["copy1"]: number[second][b["copy2"]] for b in group}
            own = number.setdefault(first, {b["copy1"]: b["copy1"] for b in group})
            number.setdefault(second, {b["copy2"]: own[b["copy1"]] for b in group})
    merged = {id(bond) for group in whole for bond in group}
    for bond in bonds:
        ends = [number.get(bond[f"entity{side}"], {}).get(bond[f"copy{side}"], bond[f"copy{side}"])
                for side in (1, 2)]
        named = [bond["copy1"], bond["copy2"]]
        if ends[0] != ends[1] if id(bond) in merged else ends != named:
            return False
    return True
