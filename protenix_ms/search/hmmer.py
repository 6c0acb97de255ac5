# SPDX-License-Identifier: Apache-2.0
"""Searches by HMMER's programs, with the command lines of AlphaFold 3 and Protenix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from protenix_ms.errors import ResourceError
from protenix_ms.io.a3m import A3m, parse_a3m
from protenix_ms.search.programs import Programs
from protenix_ms.search.stockholm import (
    a3m_text,
    parse_stockholm,
    profile_stockholm,
    to_query_columns,
)

QUERY = "query"
PROFILE_ROWS = 300  # of an alignment, from which the profile for templates is built
SHORT_RNA, SHORT_F3, F3 = 50, 0.02, 1e-5
# also the arguments of `hmmer_library`
PROTEIN_OPTIONS = {"F1": 0.0005, "F2": 5e-05, "F3": 5e-07, "E": 0.0001, "incE": 0.0001}
TEMPLATE_OPTIONS = {"F1": 0.1, "F2": 0.1, "F3": 0.1, "E": 100.0, "incE": 100.0, "domE": 100.0,
                    "incdomE": 100.0}
RNA_E = 0.001


def _flags(options: dict[str, float]) -> list[str]:
    """Write options as HMMER spells them: ``-E`` with one dash, the others with two."""
    return [word for key, value in options.items()
            for word in ("-E" if key == "E" else f"--{key}", f"{value:g}")]


@dataclass(frozen=True)
class Hmmer:
    """HMMER's programs; an answer's first row is the query, names come with descriptions.

    All three raise ResourceError (a program fails) and StoppedError.
    """

    programs: Programs
    name = "hmmer"

    def search_proteins(self, sequence: str, database: Path, cpus: int) -> A3m:
        """Search a protein database by jackhmmer, one iteration (AF3 SI 2.2)."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            query, out = self._write_query(sequence, folder), folder / "out.sto"
            self.programs.run([
                "jackhmmer", "-o", "/dev/null", "-A", out, "--noali", "--cpu", str(cpus),
                "-N", "1", *_flags(PROTEIN_OPTIONS), query, database.absolute()], folder)
            rows = to_query_columns(parse_stockholm(_read(out)))
        return require_query(rows, sequence, "jackhmmer")

    def search_rna(self, sequence: str, database: Path, cpus: int, most: int) -> A3m:
        """Search a nucleotide database by nhmmer, then align the hits to the query by hmmalign.

        Args:
            most: hits kept.
        """
        f3 = SHORT_F3 if len(sequence) < SHORT_RNA else F3
        run = self.programs.run
        with TemporaryDirectory() as name:
            folder = Path(name)
            query, out = self._write_query(sequence, folder), folder / "out.sto"
            run(["nhmmer", "-o", "/dev/null", "--noali", "--cpu", str(cpus), "-E", f"{RNA_E:g}",
                 "--rna", "-A", out, "--F3", f"{f3:g}", query, database.absolute()], folder)
            hits = parse_stockholm(_read(out))
            rows = A3m([QUERY], [sequence.encode()])
            if not hits.rows:
                return rows
            bare = A3m(hits.names[:most], [row.translate(None, b".-") for row in hits.rows[:most]])
            (folder / "hits.fa").write_text(a3m_text(bare))
            run(["hmmbuild", "--informat", "afa", "--rna", "query.hmm", query], folder)
            run(["hmmalign", "-o", "hits.a2m", "--outformat", "A2M", "query.hmm", "hits.fa"],
                folder)
            aligned = parse_a3m((folder / "hits.a2m").read_text())
        return A3m([*rows.names, *aligned.names],
                   [*rows.rows, *(row.translate(None, b".") for row in aligned.rows)])

    def search_templates(self, alignment: A3m, database: Path, cpus: int) -> A3m:
        """Search sequences of deposited chains with the profile of an alignment.

        Returns:
            hits over the columns of the query, which is not one of them.
        """
        with TemporaryDirectory() as name:
            folder = Path(name)
            out = folder / "out.sto"
            (folder / "rows.sto").write_text(profile_stockholm(first_rows_of(alignment)))
            self.programs.run(["hmmbuild", "--informat", "stockholm", "--amino", "--hand",
                               "profile.hmm", "rows.sto"], folder)
            self.programs.run(["hmmsearch", "-o", "/dev/null", "--noali", "--cpu", str(cpus),
                               *_flags(TEMPLATE_OPTIONS), "-A", out, "profile.hmm",
                               database.absolute()], folder)
            return without_padding(parse_stockholm(_read(out)))

    @staticmethod
    def _write_query(sequence: str, folder: Path) -> Path:
        path = folder / "query.fa"
        path.write_text(f">{QUERY}\n{sequence}\n")
        return path


def first_rows_of(alignment: A3m) -> A3m:
    """Take the rows from which a profile is built."""
    return A3m(alignment.names[:PROFILE_ROWS], alignment.rows[:PROFILE_ROWS])


def without_padding(rows: A3m) -> A3m:
    """Take out the '.' of columns in which other rows have insertions."""
    return A3m(rows.names, [row.translate(None, b".") for row in rows.rows])


def require_query(rows: A3m, sequence: str, program: str) -> A3m:
    """Return rows whose first is the query.

    Raises:
        ResourceError: it is not, so the program has not done what it says.
    """
    if not rows.rows or rows.rows[0].decode() != sequence:
        raise ResourceError(f"{program} ended well, but its result does not begin with the query",
                            fix="check that the program is whole")
    return rows


def _read(path: Path) -> str:
    """Read what a program wrote, which is empty when nothing was found.

    Raises:
        ResourceError: it wrote nothing.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ResourceError("a program of HMMER ended well, but wrote no result",
                            fix="check that the program is whole") from None
