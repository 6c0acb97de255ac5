# SPDX-License-Identifier: Apache-2.0
"""An experimental structure as training sees it (upstream `MMCIFParser.get_bioassembly`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.covalent import selenomethionine_to_methionine
from protenix_ms.constants.restypes import CRYSTALLIZATION_METHODS
from protenix_ms.data import chain_choice, cleaning
from protenix_ms.data.assembly import expand
from protenix_ms.data.completion import complete
from protenix_ms.data.deposited import deposited_atoms
from protenix_ms.data.mmcif import MAX_POLYMER_CHAINS, Deposit, read_mmcif
from protenix_ms.data.polymers import with_polymers
from protenix_ms.data.reference_chain import sequence_codes
from protenix_ms.errors import ChemistryError, InputError
from protenix_ms.features.annotation import annotate
from protenix_ms.features.molecules import assign_molecules

# What a file that breaks the rules of its format may set off, beyond our own errors.
MALFORMED = (LookupError, ValueError, ArithmeticError, RuntimeError, TypeError)


@dataclass(frozen=True)
class Entry:
    """One assembly, complete, annotated and filtered.

    Attributes:
        name: lower-case entry id.
        release_date: "YYYY-MM-DD".
        resolution: angstrom, -1 unknown.
        polymers: entity -> `_entity_poly.type`.
        sequences: polymer entity -> one-letter sequence, X for what has no letter.
        atoms: annotated atoms (`features.annotation`, `features.molecules`), `entity_id` the
            label entity; the extra column `is_resolved` tells which have coordinates.
    """

    name: str
    release_date: str
    resolution: float
    polymers: dict[str, str]
    sequences: dict[str, str]
    atoms: AtomTable

    @property
    def n_token(self) -> int:
        """Number of tokens."""
        return int(self.atoms.extra["centre_atom_mask"].sum())


def read_entry(
    path: Path, ccd: ComponentDictionary, *, filtered: bool = True, upstream_quirks: bool = False
) -> Entry:
    """Parse one mmCIF file.

    Args:
        filtered: drop what AF3 SI 2.5.4 drops and build assembly 1; off (predicted structures)
            takes the file as it is, with missing atoms added.
        upstream_quirks: one letter for the alternatives of the whole file, and no polymers but
            those of its entity tables.

    Raises:
        InputError: unreadable, or nothing remains; the message is the reason.
        ChemistryError: a component or atom that the dictionary lacks.
    """
    try:
        deposit = read_mmcif(path, assembly=filtered)
        return make_entry(deposit, ccd, filtered=filtered, upstream_quirks=upstream_quirks)
    except MALFORMED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the file breaks the rules of mmCIF ({type(error).__name__}: {reason})",
                         where=str(path), fix="check the file") from error


def make_entry(
    deposit: Deposit, ccd: ComponentDictionary, *, filtered: bool = True,
    upstream_quirks: bool = False,
) -> Entry:  # fmt: skip
    """The second half of `read_entry`, for a deposit that has been read. Raises the same."""
    if not upstream_quirks:
        deposit = with_polymers(deposit, ccd)
    if filtered:
        _check_size(deposit)
    found = deposited_atoms(deposit, ccd, upstream_quirks=upstream_quirks)
    sequences = {
        entity: "".join(_letter(str(code), ccd) for code in codes)
        for entity, codes in sequence_codes(deposit, found).items()
    }
    atoms = _cleaned(found, deposit, ccd) if filtered else _whole(found, deposit, ccd)
    atoms = expand(atoms, deposit.assembly if filtered else None)
    _check_any(atoms, deposit, "no chain is left in assembly 1")
    atoms = annotate(atoms, ccd, deposit.polymers)
    if filtered:
        atoms = _chosen_chains(atoms, deposit)
    return Entry(
        name=deposit.name,
        release_date=deposit.release_date,
        resolution=deposit.resolution,
        polymers=deposit.polymers,
        sequences=sequences,
        atoms=with_reference(_with_molecules(atoms, deposit), ccd),
    )


def with_reference(atoms: AtomTable, ccd: ComponentDictionary) -> AtomTable:
    """The table with `ref_pos`, `ref_mask` and `charge` of the dictionary's conformers.

    Atoms of components without a conformer get zeros.

    Raises:
        ChemistryError: a component lacks an atom that the table has.
    """
    codes, inverse = np.unique(atoms.res_name, return_inverse=True)
    position = np.zeros((len(atoms), 3), np.float32)
    mask, charge = np.zeros((2, len(atoms)), np.int64)
    for number, code in enumerate(codes.tolist()):
        if code not in ccd or not len(ccd[code]):
            continue
        component = ccd[code]
        place = {name: i for i, name in enumerate(component.atom_name.tolist())}
        rows = np.flatnonzero(inverse == number)
        missing = set(atoms.atom_name[rows].tolist()) - place.keys()
        if missing:
            raise ChemistryError(
                f"component {code} has no atom {', '.join(sorted(missing))}",
                fix="use a newer component table (--ccd)",
            )
        index = np.array([place[name] for name in atoms.atom_name[rows].tolist()])
        position[rows] = component.ref_pos[index]
        mask[rows], charge[rows] = component.ref_mask[index], component.ref_charge[index]
    return atoms.with_columns(ref_pos=position, ref_mask=mask, charge=charge)


def _check_size(deposit: Deposit) -> None:
    if deposit.assembly is None:
        return
    count = deposit.polymer_count
    if not count or count > MAX_POLYMER_CHAINS:
        reason = f"over {MAX_POLYMER_CHAINS}" if count else "no"
        raise InputError(f"assembly 1 has {reason} polymer chains", where=deposit.name)


def _check_any(atoms: AtomTable, deposit: Deposit, reason: str) -> None:
    if not len(atoms):
        raise InputError(reason, where=deposit.name)


def _letter(code: str, ccd: ComponentDictionary) -> str:
    letter = ccd[code].one_letter if code in ccd else ""
    return letter if len(letter) == 1 else "X"


def _whole(atoms: AtomTable, deposit: Deposit, ccd: ComponentDictionary) -> AtomTable:
    """Missing atoms added, nothing dropped but hydrogens and water."""
    atoms = cleaning.without_water_and_hydrogen(atoms)
    _check_any(atoms, deposit, "nothing but water and hydrogen")
    atoms = complete(cleaning.with_arginines_named(atoms), deposit, ccd)
    return selenomethionine_to_methionine(atoms)


def _cleaned(atoms: AtomTable, deposit: Deposit, ccd: ComponentDictionary) -> AtomTable:
    """The filters of chains and residues, in upstream's order."""
    polymers = deposit.polymers
    atoms = cleaning.without_water_and_hydrogen(atoms)
    _check_any(atoms, deposit, "nothing but water and hydrogen")
    atoms = cleaning.without_unknown_chains(atoms, polymers)
    _check_any(atoms, deposit, "all residues are unknown")
    atoms = cleaning.without_torn_chains(atoms, polymers)
    _check_any(atoms, deposit, "every chain has neighbouring residues over 10 angstrom apart")
    atoms = complete(cleaning.with_arginines_named(atoms), deposit, ccd)
    atoms = cleaning.without_unknown_elements(selenomethionine_to_methionine(atoms))
    _check_any(atoms, deposit, "nothing but unknown atoms")
    if deposit.methods & CRYSTALLIZATION_METHODS:
        atoms = cleaning.without_crystallization_aids(atoms, polymers)
    _check_any(atoms, deposit, "nothing but crystallization aids")
    return atoms


def _chosen_chains(atoms: AtomTable, deposit: Deposit) -> AtomTable:
    """The filters of whole chains of the assembly, in upstream's order."""
    molecule = chain_choice.bonded_molecules(atoms)
    atoms, molecule = chain_choice.without_unresolved_molecules(atoms, molecule)
    _check_any(atoms, deposit, "no atom is resolved")
    near = chain_choice.nearest_molecules(atoms, molecule)
    if near is None:
        raise InputError("no two of many molecules are near each other", where=deposit.name)
    atoms = chain_choice.without_clashing_chains(near)
    return chain_choice.without_asymmetric_bonds(atoms, set(deposit.polymers))


def _with_molecules(atoms: AtomTable, deposit: Deposit) -> AtomTable:
    """Molecules by bonds between resolved atoms; residues counted anew."""
    resolved = atoms.extra["is_resolved"]
    seen = atoms.bonds[resolved[atoms.bonds[:, :2]].all(axis=1)]
    named = assign_molecules(atoms.with_columns(bonds=seen), set(deposit.polymers))
    residue = np.unique(atoms.extra["ref_space_uid"], return_inverse=True)[1]
    return named.with_columns(bonds=atoms.bonds, ref_space_uid=residue)
