# SPDX-License-Identifier: Apache-2.0
"""Make entries of deposits as training sees them, and keep them on disk.

Upstream: `MMCIFParser.get_bioassembly`. An entry on disk is one compressed npz that holds the
experiment; conformers, charges and permutations come from the component dictionary when it is
read. Nothing in it is executed.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, Table
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.columns import find_names
from protenix_ms.chem.covalent import selenomethionine_to_methionine
from protenix_ms.constants.restypes import CRYSTALLIZATION_METHODS
from protenix_ms.data import filters
from protenix_ms.data.assembly import build_assembly
from protenix_ms.data.completion import complete, letters, sequence_codes
from protenix_ms.data.deposited import deposited_atoms
from protenix_ms.data.mmcif import MAX_POLYMER_CHAINS, Deposit, read_mmcif
from protenix_ms.data.polymers import with_polymers
from protenix_ms.errors import ChemistryError, InputError
from protenix_ms.features.annotation import AnnotatedAtoms, annotate
from protenix_ms.features.molecules import assign_molecules
from protenix_ms.io.atomic import write_npz
from protenix_ms.typing import Array, Shaped

# What reading a file that breaks the rules of its format may raise, beyond our own errors.
MALFORMED = (LookupError, ValueError, ArithmeticError, RuntimeError, TypeError)
FORMAT = 1  # of entries on disk
SUFFIX = ".npz"
_FACTS = ("name", "release_date", "resolution", "polymers", "sequences")
_PLAIN = {"atom_name", "element", "res_name", "chain_id", "entity_id", "res_id", "hetero", "coord"}
_NOT_KEPT = {"bonds", "charge", "ref_pos", "ref_mask", "copy_id", "atom_index", "atom_map", "split"}
_EXTRA = "extra/"  # stands before the names of the other columns


@dataclass(frozen=True)
class Entry:
    """One assembly, complete, annotated and filtered.

    Attributes:
        name: lower-case entry id.
        release_date: "YYYY-MM-DD".
        resolution: angstrom, -1 unknown.
        polymers: entity -> `_entity_poly.type`.
        sequences: polymer entity -> one-letter sequence, X for what has no letter.
        atoms: annotated atoms with molecules, `entity_id` the label entity.
    """

    name: str
    release_date: str
    resolution: float
    polymers: dict[str, str]
    sequences: dict[str, str]
    atoms: AnnotatedAtoms

    @property
    def n_token(self) -> int:
        """Number of tokens."""
        return int(self.atoms.centre_atom_mask.sum())


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
        deposit = read_mmcif(path, assembly="1" if filtered else None)
        return make_entry(deposit, ccd, filtered=filtered, upstream_quirks=upstream_quirks)
    except MALFORMED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the file breaks the rules of mmCIF ({type(error).__name__}: {reason})",
                         where=str(path), fix="check the file") from error


def make_entry(
    deposit: Deposit, ccd: ComponentDictionary, *, filtered: bool = True,
    upstream_quirks: bool = False,
) -> Entry:  # fmt: skip
    """Make an entry of a deposit; arguments and errors as of `read_entry`."""
    if not upstream_quirks:
        deposit = with_polymers(deposit, ccd)
    count = deposit.polymer_count
    if filtered and deposit.assembly is not None and not 0 < (count or 0) <= MAX_POLYMER_CHAINS:
        reason = f"over {MAX_POLYMER_CHAINS}" if count else "no"
        raise InputError(f"assembly 1 has {reason} polymer chains", where=deposit.name)
    atoms = deposited_atoms(deposit, ccd, upstream_quirks=upstream_quirks)
    sequences = {entity: letters(codes, ccd)
                 for entity, codes in sequence_codes(deposit, atoms).items()}
    atoms = _completed(atoms, deposit, ccd, filtered)
    atoms = build_assembly(atoms, deposit.assembly if filtered else None)
    annotated = annotate(_some(atoms, deposit, "no chain is left in assembly 1"), ccd,
                         deposit.polymers)
    if filtered:
        annotated = _chosen_chains(annotated, deposit)
    annotated = with_reference(_with_molecules(annotated, deposit), ccd)
    return Entry(deposit.name.lower(), deposit.release_date, deposit.resolution, deposit.polymers,
                 sequences, annotated)


def _some(atoms: Table, deposit: Deposit, reason: str) -> Table:
    """Return the table; refuse an empty one."""
    if not len(atoms):
        raise InputError(reason, where=deposit.name)
    return atoms


def _completed(
    atoms: AtomTable, deposit: Deposit, ccd: ComponentDictionary, filtered: bool
) -> AtomTable:
    """Add missing atoms, and apply the filters of chains and residues in upstream's order."""
    polymers = deposit.polymers
    atoms = _some(filters.without_water_and_hydrogen(atoms), deposit,
                  "nothing but water and hydrogen")
    if filtered:
        atoms = _some(filters.without_unknown_chains(atoms, polymers), deposit,
                      "all residues are unknown")
        atoms = _some(filters.without_torn_chains(atoms, polymers), deposit,
                      "every chain has neighbouring residues over 10 angstrom apart")
    atoms = complete(filters.with_arginines_named(atoms), deposit, ccd)
    atoms = selenomethionine_to_methionine(atoms)
    if filtered:
        atoms = _some(filters.without_unknown_elements(atoms), deposit,
                      "nothing but unknown atoms")
        if deposit.methods & CRYSTALLIZATION_METHODS:
            atoms = _some(filters.without_crystallization_aids(atoms, polymers), deposit,
                          "nothing but crystallization aids")
    return atoms


def _chosen_chains(atoms: AnnotatedAtoms, deposit: Deposit) -> AnnotatedAtoms:
    """Apply the filters of whole chains of the assembly in upstream's order."""
    molecule = filters.bonded_molecules(atoms)
    resolved = (np.bincount(molecule, atoms.is_resolved) > 0)[molecule]
    atoms = _some(atoms[resolved], deposit, "no atom is resolved")
    near = filters.nearest_molecules(atoms, molecule[resolved])
    if near is None:
        raise InputError("no two of many molecules are near each other", where=deposit.name)
    atoms = filters.without_clashing_chains(near)
    return filters.without_asymmetric_bonds(atoms, set(deposit.polymers))


def _with_molecules(atoms: AnnotatedAtoms, deposit: Deposit) -> AnnotatedAtoms:
    """Assign molecules by bonds between resolved atoms, and count residues anew."""
    seen = atoms.bonds[atoms.is_resolved[atoms.bonds[:, :2]].all(axis=1)]
    assigned = assign_molecules(atoms.with_columns(bonds=seen), set(deposit.polymers))
    residue = np.unique(atoms.ref_space_uid, return_inverse=True)[1]
    return assigned.with_columns(bonds=atoms.bonds, ref_space_uid=residue)


def with_reference(atoms: AnnotatedAtoms, ccd: ComponentDictionary) -> AnnotatedAtoms:
    """Fill `ref_pos`, `ref_mask` and `charge` from the dictionary's conformers.

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
        rows = np.flatnonzero(inverse == number)
        index = find_names(atoms.atom_name[rows], component.atom_name)
        missing = np.unique(atoms.atom_name[rows[index < 0]]).tolist()
        if missing:
            raise ChemistryError(f"component {code} has no atom {', '.join(missing)}",
                                 fix="use a newer component table (--ccd)")
        position[rows] = component.ref_pos[index]
        mask[rows], charge[rows] = component.ref_mask[index], component.ref_charge[index]
    return atoms.with_columns(ref_pos=position, ref_mask=mask, charge=charge)


def write_entry(path: Path, entry: Entry, source: str, rows: Sequence[dict[str, str]]) -> None:
    """Write an entry.

    Args:
        source: digest of the file it was made from.
        rows: its lines of the index (`index.entry_rows`).

    Raises:
        OutputError: the file cannot be written.
    """
    about = {"format": FORMAT, **{key: getattr(entry, key) for key in _FACTS},
             "source": source, "rows": rows}
    arrays = {"about": np.array(json.dumps(about, ensure_ascii=True).encode()),
              "bonds": _narrowed(entry.atoms.bonds)}
    arrays |= {key: _narrowed(getattr(entry.atoms, name)) for name, key in _stored_columns()}
    write_npz(path, arrays)


def read_about(path: Path) -> dict[str, Any]:
    """Read the facts of a prepared entry (`write_entry`) without its atoms.

    Raises:
        InputError: absent, damaged, or of another format.
    """
    return _about(_read(path, only="about"), path)


def read_prepared(path: Path, ccd: ComponentDictionary) -> Entry:
    """Read a prepared entry, and add the dictionary's reference conformers.

    Raises:
        InputError: absent, damaged, or of another format.
        ChemistryError: the dictionary lacks an atom of the entry.
    """
    arrays = _read(path)
    about = _about(arrays, path)
    try:
        columns = {name: _widened(arrays[key]) for name, key in _stored_columns()}
        bonds = arrays["bonds"].astype(np.int32)
    except KeyError as error:
        raise _damaged(path, error) from None
    n = len(columns["atom_name"])
    atoms = AnnotatedAtoms(**columns, bonds=bonds, charge=np.zeros(n, np.int64),
                           ref_pos=np.zeros((n, 3), np.float32), ref_mask=np.zeros(n, np.int64))
    return Entry(**{key: about[key] for key in _FACTS}, atoms=with_reference(atoms, ccd))


def _stored_columns() -> list[tuple[str, str]]:
    """List the columns of atoms that are kept, and their names on disk."""
    names = [field.name for field in fields(AnnotatedAtoms) if field.name not in _NOT_KEPT]
    return [(name, name if name in _PLAIN else _EXTRA + name) for name in names]


def _about(arrays: dict[str, Array], path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(bytes(arrays["about"].item()))
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from None
    if about.get("format") != FORMAT:
        raise InputError(
            f"a prepared entry of format {about.get('format')}, not {FORMAT}", where=str(path),
            fix="prepare the data again with --overwrite",
        )
    return about


def _read(path: Path, only: str | None = None) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in ([only] if only else file.files)}
    except FileNotFoundError:
        raise InputError("there is no such prepared entry", where=str(path),
                         fix="run prepare-data again") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"this prepared entry is damaged ({error})", where=str(path),
                      fix="delete it and run prepare-data again")


def _narrowed(column: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Store text as bytes, integers as narrow as they fit."""
    if column.dtype.kind == "U":
        return np.char.encode(column, "ascii")
    if column.dtype.kind == "i" and column.size:
        low, high = np.min_scalar_type(int(column.min())), np.min_scalar_type(-int(column.max()))
        return column.astype(np.promote_types(np.promote_types(low, high), np.int8))
    return column


def _widened(column: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    if column.dtype.kind == "S":
        return np.char.decode(column, "ascii")
    return column.astype(np.int64) if column.dtype.kind == "i" else column
