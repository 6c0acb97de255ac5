# SPDX-License-Identifier: Apache-2.0
"""What readers of every dialect share: letters of sequences, limits, names of chains and jobs."""

from __future__ import annotations

import re
from string import ascii_uppercase

from protenix_ms.constants.restypes import SEQUENCE_LETTERS
from protenix_ms.errors import InputError
from protenix_ms.job import Entity, Polymer, PolymerKind

MAX_CHAINS = 1000
MAX_RESIDUES = 100_000
ALPHABET_NAMES = {"protein": "protein", "dna": "DNA", "rna": "RNA"}

_RARE = "BJOUZ"  # letters of UniProt beside the 20 and X
# Letters that AlphaFold 3 knows; it reads any other capital letter as the last one, the unknown.
_ALPHAFOLD3_LETTERS = {"protein": "ARNDCQEGHILKMFPSTWYVX", "rna": "AGCUN", "dna": "AGCTN"}
_SHOWN = 20
_CHAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,15}")


def check_sequence(sequence: str, kind: PolymerKind, where: str) -> str:
    """The sequence itself, or an `InputError` at its first letter outside the alphabet."""
    if not sequence:
        raise InputError("the sequence is empty", where=where, fix="write its letters")
    if len(sequence) > MAX_RESIDUES:
        raise InputError(
            f"the sequence has {len(sequence)} residues", where=where, fix=f"limit {MAX_RESIDUES}"
        )
    alphabet = SEQUENCE_LETTERS[kind]
    for position, letter in enumerate(sequence, 1):
        if letter not in alphabet:
            if letter.upper() in alphabet:
                fix = "use upper case"
            elif letter.isspace():
                fix = "remove white space"
            elif kind == "protein" and letter in _RARE:
                fix = ("write X, or CCD_SEC as a modification for selenocysteine, "
                       "CCD_PYL for pyrrolysine")
            else:
                fix = f"use {''.join(sorted(alphabet))}"
            raise InputError(
                f"{letter!a} is not a letter of {ALPHABET_NAMES[kind]} sequences",
                where=f"{where}, position {position}",
                fix=fix,
            )
    return sequence


def read_unknown_letters(
    sequence: str, kind: PolymerKind, modified: set[int]
) -> tuple[str, str]:
    """Read a sequence as AlphaFold 3 does: capital letters it does not know become X or N.

    Args:
        modified: 1-based positions whose letter a modification replaces, so that it says nothing.

    Returns:
        the sequence, and the sentence to say; "" if every letter is known.
    """
    known = _ALPHAFOLD3_LETTERS[kind]
    unknown = known[-1]
    letters = [c if c in known or c not in ascii_uppercase else unknown for c in sequence]
    read = [f"{old}{position}" for position, (old, new) in enumerate(zip(sequence, letters), 1)
            if old not in (new, "X") and position not in modified]
    if not read:
        return "".join(letters), ""
    shown = ", ".join(read[:_SHOWN]) + (", ..." if len(read) > _SHOWN else "")
    note = f"{len(read)} letter{'s' * (len(read) > 1)} read as unknown: {shown}"
    for letter, code in (("U", "SEC"), ("O", "PYL")) if kind == "protein" else ():
        if any(name[0] == letter for name in read):
            return "".join(letters), f"{note}; write {code} as a modification"
    return "".join(letters), note


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


def check_job_name(name: str, where: str) -> str:
    """A job's name, which becomes a folder: no separators, no hidden folder, at most 200 bytes."""
    bad = [c for c in name if c in "/\\" or not c.isprintable()]
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # how Python shows bytes of a file name that are not UTF-8
        raise InputError(
            f"the job name {name[:60]!a} is not UTF-8 text",
            where=where,
            fix="rename the job, or the file that it is named after",
        ) from None
    if bad or size > 200 or name.startswith(".") or name != name.strip() or not name:
        reason = f"contains {bad[0]!r}" if bad else "is not usable as a folder name"
        raise InputError(
            f"the job name {name[:60]!a} {reason}",
            where=where,
            fix="use up to 200 characters without '/', not starting with '.'",
        )
    return name


def check_chain_name(name: str, where: str) -> str:
    """A chain's name, which goes into mmCIF."""
    if not _CHAIN_NAME.fullmatch(name):
        raise InputError(
            f"{name[:40]!a} cannot name a chain",
            where=where,
            fix="use 1 to 16 letters, digits, '_', '.', '+', '-', starting with a letter or digit",
        )
    return name


def check_entities(entities: tuple[Entity, ...], places: list[str], where: str) -> None:
    """Rules over all entities of a job: chain names unique, numbers of chains and residues bounded.

    Args:
        entities: entities of one job.
        places: where each of them stands.
        where: the job's place.
    """
    owner: dict[str, int] = {}
    for index, entity in enumerate(entities):
        if entity.ids and len(entity.ids) != entity.count:
            raise InputError(
                f"{len(entity.ids)} chain ids for {entity.count} copies",
                where=places[index],
                fix="give one id per copy, or none",
            )
        for name in entity.ids:
            if name in owner:
                raise InputError(
                    f"chain id {name!r} is used twice (also by entity {owner[name]})",
                    where=places[index],
                    fix="chain ids must differ within a job",
                )
            owner[name] = index + 1
    chains = sum(entity.count for entity in entities)
    residues = sum(e.count * len(e.sequence) for e in entities if isinstance(e, Polymer))
    if chains > MAX_CHAINS or residues > MAX_RESIDUES:
        raise InputError(
            f"the job has {chains} chains with {residues} residues",
            where=where,
            fix=f"lower the counts; the limits are {MAX_CHAINS} chains and {MAX_RESIDUES} residues",
        )
