# SPDX-License-Identifier: Apache-2.0
"""Texts in jobs: sequences, CCD codes, SMILES, names of chains and jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import ascii_uppercase

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.io.entities import MAX_RESIDUES
from protenix_ms.io.json_model import FieldError, check_range
from protenix_ms.job import LIGAND_SUFFIXES, Modification, PolymerKind

_ALPHABET_NAMES = {"protein": "protein", "dna": "DNA", "rna": "RNA"}
_RARE = "BJOUZ"  # letters of UniProt beside the 20 and X
# Letters that AlphaFold 3 knows; it reads any other capital letter as the last one, the unknown.
_ALPHAFOLD3_LETTERS = {"protein": "ARNDCQEGHILKMFPSTWYVX", "rna": "AGCUN", "dna": "AGCTN"}
_SHOWN = 20
_CHAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,15}")
_FILES = (*LIGAND_SUFFIXES, ".cif", ".xyz", ".pdbqt", ".smi")


def check_sequence(sequence: str, kind: PolymerKind, where: str) -> str:
    """Return a sequence whose letters are all in the alphabet of `kind`.

    Raises:
        InputError: no letters, too many, or the first one outside the alphabet.
    """
    if not sequence:
        raise InputError("the sequence is empty", where=where, fix="write its letters")
    if len(sequence) > MAX_RESIDUES:
        raise InputError(f"the sequence has {len(sequence)} residues", where=where,
                         fix=f"limit {MAX_RESIDUES}")
    alphabet = SEQUENCE_LETTERS[kind]
    for position, letter in enumerate(sequence, 1):
        if letter in alphabet:
            continue
        if letter.upper() in alphabet:
            fix = "use upper case"
        elif letter.isspace():
            fix = "remove white space"
        elif kind == "protein" and letter in _RARE:
            fix = ("write X, or CCD_SEC as a modification for selenocysteine, "
                   "CCD_PYL for pyrrolysine")
        else:
            fix = f"use {''.join(sorted(alphabet))}"
        raise InputError(f"{letter!a} is not a letter of {_ALPHABET_NAMES[kind]} sequences",
                         where=f"{where}, position {position}", fix=fix)
    return sequence


def read_unknown_letters(
    sequence: str, kind: PolymerKind, changes: Iterable[Modification]
) -> tuple[str, str]:
    """Read a sequence as AlphaFold 3 does: capital letters it does not know become X or N.

    Args:
        changes: modifications; they replace the letters at their positions, which say nothing.

    Returns:
        the sequence, and the sentence to say; "" if every letter is known.
    """
    known = _ALPHAFOLD3_LETTERS[kind]
    modified = {change.position for change in changes}
    letters = [c if c in known or c not in ascii_uppercase else known[-1] for c in sequence]
    unknown = [f"{old}{position}" for position, (old, new) in enumerate(zip(sequence, letters), 1)
               if old not in (new, "X") and position not in modified]
    if not unknown:
        return "".join(letters), ""
    shown = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
    note = f"{len(unknown)} letter{'s' * (len(unknown) > 1)} read as unknown: {shown}"
    for letter, code in (("U", "SEC"), ("O", "PYL")) if kind == "protein" else ():
        if any(name[0] == letter for name in unknown):
            return "".join(letters), f"{note}; write {code} as a modification"
    return "".join(letters), note


def check_changes(
    changes: Iterable[tuple[str, int]], keys: tuple[str, str], length: int, where: str,
    prefix: str | None = "",
) -> tuple[Modification, ...]:
    """Check the modified residues of a chain.

    Args:
        changes: code with the dialect's prefix, and position.
        keys: the keys under which the dialect writes the two.
        length: number of residues of the chain.
        prefix: what the dialect writes before a CCD code; None if it may leave CCD_ out.

    Raises:
        InputError: no CCD code, a position outside of the chain or modified twice.
    """
    modified: dict[int, Modification] = {}
    for number, (text, position) in enumerate(changes, 1):
        place = f"{where}, modifications {number}"
        if prefix is None:
            text, prefix = text.removeprefix("CCD_"), ""
        elif not prefix:
            refuse_prefix(text, keys[0], place)
        if not text.startswith(prefix):
            raise InputError(f"{keys[0]} is {text[:40]!r}", where=place,
                             fix=f"write '{prefix}' and a CCD code")
        code = check_code(text[len(prefix):], place, f"{prefix}SEP")
        check_range(position, 1, length, keys[1], place)
        if position in modified:
            raise InputError(f"position {position} is modified twice", where=place, fix="keep one")
        modified[position] = Modification(code, position)
    return tuple(modified.values())


def check_code(text: str, where: str, example: str = "CCD_ATP") -> str:
    """Return a component's code if it is letters, digits and hyphens; `example` shows the form."""
    if not text.isascii() or not text.replace("-", "").isalnum():
        raise InputError(f"{text[:40]!a} is not a CCD code", where=where,
                         fix=f"write for example {example}")
    return text


def refuse_prefix(text: str, name: str, where: str) -> None:
    """Raise an InputError for a code of AlphaFold 3 that is written with ``CCD_``."""
    if text.startswith("CCD_"):
        raise InputError(f"{name} is {text[:40]!r}", where=where,
                         fix=f"AlphaFold 3 writes {text[4:40]} without CCD_")


def check_smiles(text: str, where: str) -> str:
    """Return a SMILES without the white space around it; chemistry is checked later.

    Raises:
        InputError: white space, a character that is not printable ASCII, the name of a file.
    """
    text = text.strip()
    if text.lower().endswith(_FILES) or text.startswith(("./", "../")):
        raise InputError(f"{text[:60]!a} is the name of a file, not SMILES", where=where,
                         fix=f"in a Protenix JSON a path is written FILE_{ascii(text[:60])[1:-1]}")
    for c in text:
        if not c.isascii() or not c.isprintable() or c == " ":
            raise InputError(f"SMILES with the character {c!a}", where=where,
                             fix="write one SMILES, no spaces")
    return text


def folder_name(name: str, where: str) -> tuple[str, str]:
    """Take any name that AlphaFold 3 takes: as it is if it can name a folder, else derived.

    Returns:
        the name, and the sentence to say; "" if nothing was changed.

    Raises:
        InputError: a name without any letter or digit that a folder can carry.
    """
    try:
        return check_job_name(name, where), ""
    except InputError:
        kept = re.sub("[^A-Za-z0-9_.-]", "", name.replace(" ", "_")).lstrip("._-")[:200]
        if not kept:
            raise
    return kept, f"the job and its folder are called {kept!r}: {name[:60]!a} cannot name a folder"


def check_job_name(name: str, where: str = "") -> str:
    """Return a name that can be a folder: no separators, not hidden, at most 200 bytes.

    Raises:
        InputError: it cannot.
    """
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # how Python shows bytes of a file name that are not UTF-8
        raise FieldError(f"the job name {name[:60]!a} is not UTF-8 text", where=where,
                         fix="rename the job, or the file that it is named after") from None
    bad = [c for c in name if c in "/\\" or not c.isprintable()]
    if bad or size > 200 or name.startswith(".") or name != name.strip() or not name:
        reason = f"contains {bad[0]!r}" if bad else "is not usable as a folder name"
        raise FieldError(f"the job name {name[:60]!a} {reason}", where=where,
                      fix="use up to 200 characters without '/', not starting with '.'")
    return name


def check_chain_name(name: str, where: str) -> str:
    """Return a chain's name that mmCIF can carry.

    Raises:
        InputError: it cannot.
    """
    if not _CHAIN_NAME.fullmatch(name):
        raise InputError(
            f"{name[:40]!a} cannot name a chain", where=where,
            fix="use 1 to 16 letters, digits, '_', '.', '+', '-', starting with a letter or digit")
    return name
