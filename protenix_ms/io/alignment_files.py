# SPDX-License-Identifier: Apache-2.0
"""Alignments given beside the jobs (``--msa FILE|DIR``), found by their first sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.a3m import (
    check_alignment,
    complex_lengths,
    first_rows,
    read_alignment_file,
    split_blocks,
)
from protenix_ms.io.complex_a3m import ChainPart, join_equal_chains, split_complex
from protenix_ms.io.text_file import plain_suffix
from protenix_ms.job import Entity, Job, Polymer


@dataclass(frozen=True)
class AlignmentFiles:
    """Alignment files by query sequence.

    Attributes:
        paired, unpaired: query -> file. A name that says ``paired`` or ``pairing`` makes a file
            paired, unless it says ``unpaired`` or ``non_pairing``.
        complexes: file of several chains (ColabFold) -> their sequences.
        source: the file or folder itself.
    """

    paired: dict[str, Path] = field(default_factory=dict)
    unpaired: dict[str, Path] = field(default_factory=dict)
    complexes: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    source: Path = Path()

    @staticmethod
    def find(path: Path) -> AlignmentFiles:
        """Index one a3m file, or every ``*.a3m`` below a folder, compressed ones too.

        Raises:
            InputError: nothing there, or two files of one kind for the same sequence.
        """
        files = AlignmentFiles(source=path)
        listed = [path] if not path.is_dir() else [
            file for file in sorted(path.rglob("*"))
            if plain_suffix(file) == ".a3m" and not file.is_dir()]
        if not listed:
            raise InputError("no *.a3m files here", where=str(path), fix="check --msa")
        for file in listed:
            files._add(file)
        return files

    def _add(self, path: Path) -> None:
        """Enter a file under its queries."""
        alignment, name = read_alignment_file(path), path.name.lower()
        if complex_lengths(alignment.text):
            self.complexes[path] = tuple(part.query for part in split_complex(alignment))
            return
        alone = any(word in name for word in ("unpair", "non_pair", "non-pair", "nonpair"))
        target = self.paired if not alone and "pair" in name else self.unpaired
        for query in _first_sequences(alignment.text, path):
            if target.setdefault(query, path) != path:
                raise _repeated(path, target[query])

    def fits(self, job: Job) -> bool:
        """Tell whether some chain of `job` has an alignment here."""
        known = {*self.paired, *self.unpaired, *(q for qs in self.complexes.values() for q in qs)}
        return any(not known.isdisjoint(_queries(entity)) for entity in job.entities)

    def attach(self, job: Job) -> Job:
        """Give their alignments to the chains that carry none and whose sequence is a query here.

        Raises:
            InputError: the alignment itself is unusable.
        """
        parts, notes = self._split_for(job)
        entities = tuple(self._with_alignment(e, job, parts) for e in job.entities)
        return replace(job, entities=entities, notes=(*job.notes, *notes))

    def _split_for(self, job: Job) -> tuple[dict[str, ChainPart], list[str]]:
        """Split the complex that shares most chains with `job`; note its chains that do not fit."""
        mine = {e.sequence for e in job.entities if isinstance(e, Polymer) and e.kind == "protein"}
        scores = {path: (len(mine & {*queries}), -len({*queries} - mine))
                  for path, queries in self.complexes.items() if mine & {*queries}}
        best = [path for path, score in scores.items() if score == max(scores.values())]
        if not best:
            return {}, []
        if len(best) > 1:
            raise InputError(
                f"two alignments of several chains fit this job as well, {best[0]} and {best[1]}",
                where=job.source, fix="give the right one by --msa FILE")
        parts = split_complex(read_alignment_file(best[0]))
        notes = [f"chain {number} of {best[0].name} ({len(part.query)} residues) is no chain of "
                 "this job; its rows are not used"
                 for number, part in enumerate(parts, 1) if part.query not in mine]
        return join_equal_chains(parts), notes

    def _with_alignment(self, entity: Entity, job: Job, parts: dict[str, ChainPart]) -> Entity:
        if not isinstance(entity, Polymer) or entity.paired_msa or entity.unpaired_msa:
            return entity
        part = parts.get(entity.sequence) if entity.kind == "protein" else None
        attached = {"paired_msa": part.paired, "unpaired_msa": part.unpaired} if part else {}
        for key, files in (("paired_msa", self.paired), ("unpaired_msa", self.unpaired)):
            path = next((files[query] for query in _queries(entity) if query in files), None)
            if path is None or (key == "paired_msa" and entity.kind != "protein"):
                continue
            if beside := attached.get(key):
                raise _repeated(path, beside.source)
            attached[key] = read_alignment_file(path)
        checked = {key: check_alignment(alignment, entity.sequence, entity.kind, job.source)
                   for key, alignment in attached.items() if alignment}
        return replace(entity, paired_msa=checked.get("paired_msa"),
                       unpaired_msa=checked.get("unpaired_msa"))


def _queries(entity: Entity) -> list[str]:
    """List the first rows that an alignment of this chain may have: RNA stands with U or with T."""
    if not isinstance(entity, Polymer) or entity.kind == "dna":
        return []
    return [entity.sequence] + [entity.sequence.replace("U", "T")] * (entity.kind == "rna")


def _repeated(path: Path, other: Path | str) -> InputError:
    return InputError(
        f"it has the same first sequence as {other}", where=str(path),
        fix="keep one, or name one of them *_paired.a3m and the other *_unpaired.a3m")


def _first_sequences(text: str, path: Path) -> Iterator[str]:
    """Yield the first sequence of every block, without gaps and insertions."""
    for block in split_blocks(text):
        rows = first_rows(block)
        if not rows:
            raise InputError("the alignment has no rows", where=str(path), fix="give an a3m file")
        yield "".join(filter(str.isupper, rows[0].decode()))
