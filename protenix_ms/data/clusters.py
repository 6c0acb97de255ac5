# SPDX-License-Identifier: Apache-2.0
"""Cluster protein sequences at 40 % identity (AF3 SI 2.5.3).

MMseqs2 does it when it is installed. Otherwise clusters follow exactly from the same definition:
longest sequence first, each joins the first cluster whose representative it matches.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from Bio.Align import PairwiseAligner, substitution_matrices

from protenix_ms.errors import ResourceError

MIN_IDENTITY = 0.4  # of aligned columns
MIN_COVERAGE = 0.8  # of both sequences
_GAP_OPEN, _GAP_EXTEND = -11.0, -1.0


def cluster(
    sequences: Iterable[str], program: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, str]:  # fmt: skip
    """Name the cluster of every sequence by its representative's number, ``cluster_12``.

    Args:
        program: path of mmseqs; None works without it.
        progress: called with the number of sequences done (exact clustering only).

    Raises:
        ResourceError: mmseqs failed.
    """
    unique = sorted(set(sequences), key=lambda s: (-len(s), s))
    # mmseqs fails on an empty file
    head = _by_mmseqs(unique, program) if program and unique else exact_clusters(unique, progress)
    names: dict[str, str] = {}
    for sequence in unique:
        names.setdefault(head[sequence], f"cluster_{len(names)}")
    return {sequence: names[head[sequence]] for sequence in unique}


def find_mmseqs() -> str | None:
    """Find the mmseqs program, None when it is not installed."""
    return shutil.which("mmseqs")


def exact_clusters(
    sequences: list[str], progress: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    """Find the representative of every sequence; `sequences` from long to short."""
    aligner = PairwiseAligner(mode="local", open_gap_score=_GAP_OPEN,
                              extend_gap_score=_GAP_EXTEND)
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    letters = {sequence: Counter(sequence) for sequence in sequences}
    heads: dict[str, str] = {}
    for done, sequence in enumerate(sequences, 1):
        matches = (
            other for other, head in heads.items() if other == head
            and _may_match(letters[sequence], letters[other]) and _match(aligner, sequence, other))
        heads[sequence] = next(matches, sequence)
        progress(done)
    return heads


def _may_match(first: Counter[str], second: Counter[str]) -> bool:
    """Exclude pairs quickly, by their lengths and by letters that could be identical."""
    short, long = sorted((first.total(), second.total()))
    if short < MIN_COVERAGE * long:
        return False
    return (first & second).total() >= MIN_IDENTITY * MIN_COVERAGE * long


def _match(aligner: PairwiseAligner, first: str, second: str) -> bool:
    """Tell whether the best local alignment has the identity and coverage of a cluster."""
    if first == second:
        return True
    known = {letter: "X" for letter in set(first + second) if letter not in _ALPHABET}
    table = str.maketrans(known)
    alignments = aligner.align(first.translate(table), second.translate(table))
    if not len(alignments):
        return False
    best = alignments[0]
    identical = columns = 0
    spans = best.aligned
    for (a, b), (c, d) in zip(*spans):
        identical += sum(x == y != "X" for x, y in zip(first[a:b], second[c:d]))
        columns += int(b - a)
    covered = [int(span[-1][1] - span[0][0]) for span in spans]
    columns += sum(
        int(after[0] - before[1])
        for span in spans for before, after in zip(span[:-1], span[1:])
    )
    enough = all(c >= MIN_COVERAGE * len(s) for c, s in zip(covered, (first, second)))
    return enough and bool(identical >= MIN_IDENTITY * columns)


_ALPHABET = frozenset(str(substitution_matrices.load("BLOSUM62").alphabet))


def _by_mmseqs(sequences: list[str], program: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder, "sequences.fasta")
        fasta.write_text("".join(f">{i}\n{s}\n" for i, s in enumerate(sequences)))
        command = [program, "easy-cluster", str(fasta), str(Path(folder, "out")),
                   str(Path(folder, "tmp")), "--min-seq-id", str(MIN_IDENTITY),
                   "-c", str(MIN_COVERAGE), "--cov-mode", "0", "-v", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        table = Path(folder, "out_cluster.tsv")
        if done.returncode or not table.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise ResourceError(f"mmseqs failed ({last[0]})", where=program,
                                fix="repair it, or cluster without it (--no-mmseqs)")
        pairs = [line.split("\t") for line in table.read_text().splitlines()]
    heads = {sequences[int(member)]: sequences[int(head)] for head, member in pairs}
    return {sequence: heads.get(sequence, sequence) for sequence in sequences}
