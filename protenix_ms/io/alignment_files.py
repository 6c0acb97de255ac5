# SPDX-License-Identifier: Apache-2.0
"""Alignments given beside the jobs (``--msa FILE|DIR``), found by their first sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.a3m import check_alignment, parse_a3m
from protenix_ms.io.text_file import read_text
from protenix_ms.job import Alignment, Entity, Job, Polymer


@dataclass(frozen=True)
class AlignmentFiles:
    """Alignment files by query sequence.

    Attributes:
        paired, unpaired: query -> file. A name that says ``paired`` or ``pairing`` makes a file
            paired, unless it says ``unpaired`` or ``non_pairing``.
        single: the file when one file was given, which then must fit some chain.
    """

    paired: dict[str, Path]
    unpaired: dict[str, Path]
    single: Path | None = None

    @staticmethod
    def find(path: Path) -> AlignmentFiles:
        """Index one a3m file, or every ``*.a3m`` below a folder.

        Raises:
            InputError: nothing there, or two files of one kind for the same sequence.
        """
        if not path.is_dir():
            return _index([path], path)
        files = sorted(path.rglob("*.a3m"))
        if not files:
            raise InputError("no *.a3m files here", where=str(path), fix="check --msa")
        return _index(files, None)

    def attach(self, job: Job) -> Job:
        """`job` with alignments for chains that carry none and whose sequence was found.

        Raises:
            InputError: the alignment itself is unusable.
        """
        return replace(job, entities=tuple(self._with_alignment(e, job) for e in job.entities))

    def fits(self, job: Job) -> bool:
        """Whether some chain of `job` has an alignment here."""
        known = self.paired.keys() | self.unpaired.keys()
        return any(
            isinstance(e, Polymer) and e.kind != "dna" and e.sequence in known for e in job.entities
        )

    def _with_alignment(self, entity: Entity, job: Job) -> Entity:
        if not isinstance(entity, Polymer) or entity.kind == "dna":
            return entity
        if entity.paired_msa or entity.unpaired_msa:
            return entity
        found = {}
        for field, files in (("paired_msa", self.paired), ("unpaired_msa", self.unpaired)):
            path = files.get(entity.sequence)
            if path is None or (field == "paired_msa" and entity.kind != "protein"):
                continue
            alignment = Alignment(read_text(path), str(path))
            found[field] = check_alignment(alignment, entity.sequence, entity.kind, job.source)
        return replace(entity, **found)


def _index(files: list[Path], single: Path | None) -> AlignmentFiles:
    index = AlignmentFiles({}, {}, single)
    for path in files:
        name = path.name.lower()
        alone = any(word in name for word in ("unpair", "non_pair", "non-pair", "nonpair"))
        target = index.paired if not alone and "pair" in name else index.unpaired
        query = _query(path)
        if query in target:
            raise InputError(
                f"it has the same first sequence as {target[query]}",
                where=str(path),
                fix="keep one, or name one of them *_paired.a3m and the other *_unpaired.a3m",
            )
        target[query] = path
    return index


def _query(path: Path) -> str:
    """The first sequence, without gaps and insertions, reading only as much as needed."""
    text = read_text(path)
    second = text.find("\n>", text.find(">") + 1)
    rows = parse_a3m(text[: second if second >= 0 else len(text)]).rows
    if not rows:
        raise InputError("the alignment has no rows", where=str(path), fix="give an a3m file")
    return "".join(c for c in rows[0].decode() if c.isupper())
