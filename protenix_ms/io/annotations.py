# SPDX-License-Identifier: Apache-2.0
"""Tables of proteins and their terms: labels to learn from, and predictions in CAFA's format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.protein_sequences import ProteinSequence
from protenix_ms.io.text_file import read_text
from protenix_ms.typing import Array, Float

LEAST_SCORE = 0.01  # of a line; CAFA's evaluation has no lower threshold


@dataclass(frozen=True)
class LabelledProtein:
    """A protein and its terms."""

    protein: ProteinSequence
    terms: tuple[str, ...]


def read_labels(path: Path, split: str | None = None) -> dict[str, tuple[str, ...]]:
    """Read the terms of proteins: lines of name, terms (commas between), or name, split, terms.

    A protein may have several lines. Lines that start with ``#`` are comments.

    Args:
        split: only lines of this part; None for all.

    Raises:
        InputError: no lines, another number of columns, an unknown split.
    """
    labels: dict[str, dict[str, None]] = {}
    splits: dict[str, None] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in (2, 3) or not all(cells):
            raise InputError("this line is not name, terms or name, split, terms",
                             where=f"{path}, line {number}", fix="separate columns by tabulators "
                             "and terms by commas")
        part = cells[1] if len(cells) > 2 else ""
        splits[part] = None
        if split is None or part == split:
            terms = (term.strip() for term in cells[-1].split(","))
            labels.setdefault(cells[0], {}).update(dict.fromkeys(filter(None, terms)))
    if not labels:
        known = ", ".join(filter(None, splits))
        raise InputError(f"there are no labels of the split {split!a}" if split and splits else
                         "there are no labels", where=str(path),
                         fix=f"its splits: {known}" if known else "write lines of name and terms")
    return {name: tuple(terms) for name, terms in labels.items()}


def join_labels(
    proteins: Sequence[ProteinSequence], labels: dict[str, tuple[str, ...]], split: str | None,
    where: str,
) -> list[LabelledProtein]:
    """Pair sequences with their labels, in the order of the sequences.

    Args:
        split: None if every sequence needs labels; else the others belong to other splits.

    Raises:
        InputError: labels without a sequence, or a sequence without labels; counts and names some.
    """
    names = {protein.name for protein in proteins}
    if absent := [name for name in labels if name not in names]:
        raise InputError(f"{len(absent)} of {len(labels)} labelled proteins have no sequence, such "
                         f"as {absent[0]}", where=where, fix="add their sequences, or drop their "
                         "labels")
    bare = [protein.name for protein in proteins if protein.name not in labels]
    if bare and split is None:
        raise InputError(f"{len(bare)} of {len(proteins)} sequences have no labels, such as "
                         f"{bare[0]}", where=where, fix="add their labels, or drop the sequences")
    return [LabelledProtein(protein, labels[protein.name]) for protein in proteins
            if protein.name in labels]


def prediction_lines(
    names: Iterable[str], terms: Sequence[str], scores: Float[Array, "p t"],
) -> Iterator[str]:
    """Write predictions in CAFA's format: lines of name, term, score, best first."""
    for name, row in zip(names, scores):
        for i in (-row).argsort(kind="stable"):
            if row[i] < LEAST_SCORE:
                break
            yield f"{name}\t{terms[i]}\t{row[i]:.4f}\n"
