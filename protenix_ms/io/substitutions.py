# SPDX-License-Identifier: Apache-2.0
"""Substitutions of residues: tables of variants, and the positions of a sequence to score."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protenix_ms.constants.restypes import AMINO_ACIDS
from protenix_ms.errors import InputError
from protenix_ms.io.protein_sequences import ProteinSequence, split_tokens
from protenix_ms.io.text_file import read_text, split_lines

RESULT = "log_odds"
"""Column of a result, which a table of variants must not have."""

_NAMES = ("variant", "mutant")  # of the column; the second is fair-esm's and ProteinGym's
_SUBSTITUTION = re.compile("([A-Za-z])([0-9]{1,9})([A-Za-z])")


@dataclass(frozen=True)
class Substitution:
    """Another residue at a position, which is counted from 1: ``A42G``."""

    wild_type: str
    position: int
    mutant: str

    def __str__(self) -> str:
        return f"{self.wild_type}{self.position}{self.mutant}"


@dataclass(frozen=True)
class Variant:
    """A row of a table: the protein, what is substituted, and all cells as they stand."""

    protein: str
    substitutions: tuple[Substitution, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class VariantTable:
    """The names of the columns, and the rows."""

    columns: tuple[str, ...]
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Scan:
    """Positions of a protein to score, from 1 and in ascending order."""

    protein: ProteinSequence
    positions: tuple[int, ...]

    @property
    def tokens(self) -> list[str]:
        """Return the residues of the protein."""
        return split_tokens(self.protein.sequence)

    @property
    def wild_types(self) -> list[str]:
        """Return the residues at the positions."""
        tokens = self.tokens
        return [tokens[position - 1] for position in self.positions]


def read_variants(path: Path, proteins: Sequence[ProteinSequence]) -> VariantTable:
    """Read a table with a head, separated by tabs or commas.

    Column `variant` (or `mutant`) holds ``A42G``, or several joined by ``:``; column `name` holds
    the protein, and may be absent if there is one. Further columns are kept.

    Raises:
        InputError: unreadable, empty, or a variant that does not fit its sequence, by its line.
    """
    lines = split_lines(read_text(path))
    reader = csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",", strict=True)
    try:
        columns = tuple(cell.strip() for cell in next(reader, ()))
        rows = [(f"{path}, line {reader.line_num}", tuple(cell.strip() for cell in cells))
                for cells in reader]
    except csv.Error as error:
        raise InputError(f"the table is damaged ({error})",
                         where=f"{path}, line {reader.line_num}", fix="close the quotes") from error
    rows = [(where, cells) for where, cells in rows if any(cells)]
    if not rows:
        raise InputError("the table has no variants below its head", where=str(path),
                         fix="begin with the head (name, variant), then write one on each line")
    column = _column(columns, len(proteins) > 1, str(path))
    residues = {protein.name: split_tokens(protein.sequence) for protein in proteins}
    variants = []
    for where, cells in rows:
        if len(cells) != len(columns):
            raise InputError(f"{len(cells)} cells under {len(columns)} columns", where=where,
                             fix="write a cell for each column")
        name = cells[columns.index("name")] if "name" in columns else proteins[0].name
        if name not in residues:
            raise InputError(f"no sequence of --input has the name {name[:80]!a}", where=where,
                             fix="write the first word of its header")
        substitutions = _read_substitutions(cells[column], residues[name], where)
        variants.append(Variant(name, substitutions, cells))
    return VariantTable(columns, tuple(variants))


def _column(columns: tuple[str, ...], several: bool, where: str) -> int:
    """Find the column of variants, and refuse a head without what is needed."""
    matching = [number for number, name in enumerate(columns) if name in _NAMES]
    if len(matching) != 1:
        raise InputError(f"expected one column variant, the head names {len(matching)}",
                         where=where, fix="write the names of the columns in the first line")
    if several and "name" not in columns:
        raise InputError("the head has no column name, and --input has several sequences",
                         where=where, fix="add the column, or give one sequence")
    if RESULT in columns or len(set(columns)) < len(columns):
        raise InputError(f"a column is named twice, or {RESULT} as the result will be",
                         where=where, fix="rename it")
    return matching[0]


def _read_substitutions(
    text: str, residues: Sequence[str], where: str
) -> tuple[Substitution, ...]:
    """Read ``A42G:K50R`` and hold it to the sequence."""
    substitutions: dict[int, Substitution] = {}
    for word in text.split(":"):
        matched = _SUBSTITUTION.fullmatch(word.strip())
        if not matched:
            raise InputError(f"{word[:80]!a} is no substitution", where=where,
                             fix="write for example A42G, or A42G:K50R")
        one = Substitution(matched[1].upper(), int(matched[2]), matched[3].upper())
        for letter in (one.wild_type, one.mutant):
            if letter not in AMINO_ACIDS:
                raise InputError(f"{letter!r} in {one} is no residue", where=where,
                                 fix=f"use the letters {AMINO_ACIDS}")
        require_positions((one.position,), len(residues), where)
        if residues[one.position - 1] != one.wild_type:
            raise InputError(f"{one} does not fit the sequence, which has "
                             f"{residues[one.position - 1]} at position {one.position}",
                             where=where, fix="count positions from 1 in the sequence of --input")
        if one.position in substitutions:
            raise InputError(f"position {one.position} is substituted twice", where=where,
                             fix="name each position once")
        substitutions[one.position] = one
    return tuple(substitutions.values())


def require_positions(positions: Sequence[int], length: int, where: str) -> None:
    """Refuse a position that a sequence of this length does not have. Raises InputError."""
    for position in positions:
        if not 1 <= position <= length:
            raise InputError(f"position {position} is out of range", where=where,
                             fix=f"the sequence has positions 1 to {length}")


def plan_scans(
    proteins: Sequence[ProteinSequence], positions: Sequence[int] | None,
    table: VariantTable | None,
) -> list[Scan]:
    """Choose what to score: `positions`, and those of a table; all where neither is given.

    A position whose letter is none of the twenty residues has no wild type and is left out, as
    is a protein without a position.

    Raises:
        InputError: a position that a protein lacks, or nothing is left.
    """
    named: defaultdict[str, set[int]] = defaultdict(set)
    for variant in table.variants if table else ():
        named[variant.protein].update(one.position for one in variant.substitutions)
    scans = []
    for protein in proteins:
        residues = split_tokens(protein.sequence)
        wanted = set(range(1, len(residues) + 1) if positions is None and table is None
                     else positions or ())
        require_positions(sorted(wanted), len(residues), f"--positions, {protein.name}")
        wanted |= named[protein.name]
        standard = tuple(n for n in sorted(wanted) if residues[n - 1] in AMINO_ACIDS)
        if standard:
            scans.append(Scan(protein, standard))
    if not scans:
        raise InputError("none of the positions holds one of the twenty residues",
                         where="--input", fix="choose other --positions")
    return scans
