# SPDX-License-Identifier: Apache-2.0
"""Terms that annotate proteins, and which term implies which: an OBO ontology, EC numbers, none.

A vocabulary is a table of `term`, `name`, `namespace` and `parents` (commas between). A protein
with a term has all ancestors of it, too (the true-path rule).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.io.text_file import read_text
from protenix_ms.typing import Array, Bool, Float, Shaped

COLUMNS = ("term", "name", "namespace", "parents")
EC_LEVELS = 4
_EC = re.compile(r"\d+(\.(\d+|n\d+|-)){3}")
_ROOTS_COUNT = ("ec", "")  # namespaces whose first terms say something


@dataclass(frozen=True)
class Term:
    """A term: what it is called, where it belongs, and what it implies at once."""

    name: str = ""
    namespace: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """Terms in the order of a head's outputs.

    Attributes:
        terms: by identifier; parents stand in it, too.
        where: the file, for messages.
    """

    terms: Mapping[str, Term]
    where: str = ""

    def __len__(self) -> int:
        return len(self.terms)

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of every term."""
        return {term: i for i, term in enumerate(self.terms)}

    @cached_property
    def order(self) -> list[tuple[int, int]]:
        """Pairs (term, parent), a term's own parents after those of its descendants.

        Raises:
            InputError: the terms imply each other in a circle.
        """
        graph: TopologicalSorter[str] = TopologicalSorter()
        for term, entry in self.terms.items():
            graph.add(term)
            for parent in entry.parents:
                graph.add(parent, term)
        try:
            ordered = list(graph.static_order())
        except CycleError as error:
            raise InputError(f"terms imply each other in a circle: {' -> '.join(error.args[1])}",
                             where=self.where, fix="take out one of the relations") from None
        return [(self.index[t], self.index[p]) for t in ordered for p in self.terms[t].parents]

    def propagate(self, values: Shaped[Array, "p t"]) -> Shaped[Array, "p t"]:
        """Give every ancestor at least the value of its descendants; a copy.

        Args:
            values: per protein and term, scores or truth.
        """
        values = values.copy()
        for term, parent in self.order:
            np.maximum(values[:, parent], values[:, term], out=values[:, parent])
        return values

    def informative(self) -> Bool[Array, "t"]:
        """Tell which terms count in an evaluation: all but the roots of an ontology."""
        return np.array([bool(entry.parents) or entry.namespace in _ROOTS_COUNT
                         for entry in self.terms.values()], bool)

    def information(self, truth: Bool[Array, "p t"]) -> Float[Array, "t"]:
        """Compute the information accretion of every term, bits (Clark & Radivojac 2013).

        That is -log2 of the share of proteins with the term among those with all of its parents;
        0 for a term that no protein has.

        Args:
            truth: annotations of many proteins, propagated.
        """
        bits = np.zeros(len(self))
        for i, entry in enumerate(self.terms.values()):
            parents = [self.index[p] for p in entry.parents]
            above = truth[:, parents].all(1) if parents else np.ones(len(truth), bool)
            count = int((truth[:, i] & above).sum())
            bits[i] = np.log2(above.sum() / count) if count else 0.0
        return bits

    def text(self) -> str:
        """Write the table."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((term, e.name, e.namespace, ",".join(e.parents))
                         for term, e in self.terms.items())
        return stream.getvalue()

    def matrix(self, labels: Iterable[Sequence[str]]) -> Bool[Array, "p t"]:
        """Mark the terms of proteins and all their ancestors; terms beyond the vocabulary drop."""
        rows = list(labels)
        truth = np.zeros((len(rows), len(self)), bool)
        for row, terms in zip(truth, rows):
            row[[self.index[term] for term in terms if term in self.index]] = True
        return self.propagate(truth)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a table of terms. Raises InputError for another table, or a parent that is no term."""
    rows = list(csv.reader(io.StringIO(read_text(path)), delimiter="\t"))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(f"this is no table with the columns {', '.join(COLUMNS)}",
                         where=str(path), fix="take vocabulary.tsv of a training run")
    terms: dict[str, Term] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or not row[0]:
            raise InputError(f"this line has {len(row)} columns instead of {len(COLUMNS)}",
                             where=f"{path}, line {number}", fix="separate them by tabulators")
        if row[0] in terms:
            raise InputError(f"the term {row[0]!a} stands there twice",
                             where=f"{path}, line {number}", fix="keep one")
        terms[row[0]] = Term(row[1], row[2], tuple(filter(None, row[3].split(","))))
    return _checked(Vocabulary(terms, str(path)))


def _checked(vocabulary: Vocabulary) -> Vocabulary:
    for term, entry in vocabulary.terms.items():
        if absent := [parent for parent in entry.parents if parent not in vocabulary.terms]:
            raise InputError(f"{term} has the parent {absent[0]}, which is no term",
                             where=vocabulary.where, fix="add it, or take it out")
    _ = vocabulary.order
    return vocabulary


def build_vocabulary(
    labels: Iterable[Sequence[str]], ontology: str | Path, where: str
) -> tuple[Vocabulary, dict[str, str]]:
    """Collect the terms of labels, with all that they imply, in alphabetical order.

    Args:
        ontology: "flat" where no term implies another, "ec", or an OBO file.

    Returns:
        The vocabulary, and the present name of every term that an ontology has renamed.

    Raises:
        InputError: a term that is no EC number or not in the ontology; a circle of terms.
    """
    wanted = sorted({term for terms in labels for term in terms})
    if ontology == "flat":
        return Vocabulary({term: Term() for term in wanted}, where), {}
    if ontology == "ec":
        known: Mapping[str, Term] = _ec_terms(wanted, where)
        renamed: dict[str, str] = {}
    else:
        known, renamed = read_obo(Path(ontology))
    chosen, waiting = set(), [renamed.get(term, term) for term in wanted]
    while waiting:
        term = waiting.pop()
        if term not in known:
            raise InputError(f"the label {term!a} is not a term of the ontology", where=where,
                             fix="use terms of the ontology that are not obsolete, or another one")
        if term not in chosen:
            chosen.add(term)
            waiting += known[term].parents
    return _checked(Vocabulary({term: known[term] for term in sorted(chosen)}, where)), {
        old: new for old, new in renamed.items() if old in wanted}


def _ec_terms(labels: Sequence[str], where: str) -> dict[str, Term]:
    """Make EC numbers and their classes: 3.2.2.9 -> 3.2.2.-, 3.2.-.-, 3.-.-.-."""
    terms: dict[str, Term] = {}
    for label in labels:
        if not _EC.fullmatch(label):
            raise InputError(f"{label!a} is no EC number", where=where,
                             fix="write four parts, such as 3.2.2.9 or 3.2.2.-")
        while label not in terms:
            parts = [part for part in label.split(".") if part != "-"]
            if len(parts) == 1:
                terms[label] = Term(namespace="ec")
                break
            parent = ".".join([*parts[:-1], *["-"] * (EC_LEVELS + 1 - len(parts))])
            terms[label] = Term(namespace="ec", parents=(parent,))
            label = parent
    return terms


def read_obo(path: Path) -> tuple[dict[str, Term], dict[str, str]]:
    """Read the terms of an OBO file that are not obsolete: `is_a` and `part_of` imply.

    A relation into another namespace implies nothing, as in CAFA's evaluation.

    Returns:
        The terms, and alternative identifiers with the present one of each.

    Raises:
        InputError: no terms, or one without an identifier.
    """
    terms: dict[str, Term] = {}
    renamed: dict[str, str] = {}
    for number, stanza in enumerate(re.split(r"^\[", read_text(path), flags=re.MULTILINE)[1:], 1):
        kind, _, body = stanza.partition("]")
        if kind != "Term":
            continue
        lines = [line.partition(":") for line in body.splitlines()]
        pairs = [(key.strip(), value.partition(" ! ")[0].strip()) for key, _, value in lines]
        tags = dict(reversed(pairs))
        if not tags.get("id"):
            raise InputError("a term has no identifier", where=f"{path}, stanza {number}",
                             fix="give it a line id:")
        if tags.get("is_obsolete") == "true":
            continue
        parents = [value.split()[0] for key, value in pairs if key == "is_a" and value]
        parents += [value.split()[1] for key, value in pairs
                    if key == "relationship" and value.startswith("part_of ")]
        terms[tags["id"]] = Term(tags.get("name", ""), tags.get("namespace", ""),
                                 tuple(dict.fromkeys(parents)))
        renamed |= {value: tags["id"] for key, value in pairs if key == "alt_id"}
    if not terms:
        raise InputError("this file has no terms", where=str(path), fix="give an OBO file")
    return {term: Term(e.name, e.namespace, tuple(
        p for p in e.parents if p in terms and terms[p].namespace == e.namespace))
        for term, e in terms.items()}, renamed
