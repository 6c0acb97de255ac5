# SPDX-License-Identifier: Apache-2.0
"""Protein alignments by MMseqs2, with the steps of ColabFold's local search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from protenix_ms.errors import ResourceError
from protenix_ms.io.a3m import A3m, parse_a3m
from protenix_ms.search.hmmer import require_query
from protenix_ms.search.programs import Programs

OLDEST = 13  # release whose options are used here
# options of each step, as ColabFold sets them
_OPTIONS = {
    "search": "--num-iterations 3 -a -e 0.1 --max-seqs 10000 -s 8",
    "expandaln": "--expansion-mode 0 -e inf --expand-filter-clusters 1 --max-seq-id 0.95",
    "align": "-e 10 --max-accept 100000 --alt-ali 10 -a",
    "filterresult": "--qid 0 --qsc 0.8 --diff 0 --max-seq-id 1.0 --filter-min-enable 100",
    "result2msa": "--msa-format-mode 6 --filter-msa 1 --filter-min-enable 1000 --diff 3000 "
                  "--qid 0.0,0.2,0.4,0.6,0.8,1.0 --qsc 0 --max-seq-id 0.95",
}


@dataclass(frozen=True)
class Mmseqs:
    """MMseqs2's program."""

    programs: Programs
    name = "mmseqs2"

    def search_proteins(self, sequence: str, database: Path, cpus: int) -> A3m:
        """Search a database (or a FASTA file, which is turned into one first).

        A clustered database, as those of ColabFold, is expanded to the members of its clusters.

        Returns:
            rows over the query's columns, the query first.

        Raises:
            ResourceError: mmseqs is absent, too old, or fails.
            StoppedError: the search was interrupted.
        """
        with TemporaryDirectory() as name:
            folder = Path(name)
            self.require_version(folder)
            (folder / "query.fa").write_text(f">query\n{sequence}\n")

            def run(step: str, *words: str | Path) -> None:
                threads = [] if step == "createdb" else ["--threads", str(cpus)]
                options = [*_OPTIONS.get(step, "").split(), *threads, "-v", "1"]
                self.programs.run(["mmseqs", step, *words, *options], folder)

            target = database.absolute()
            run("createdb", "query.fa", "query")
            if not _is_there(target):
                run("createdb", target, "target")
                target = folder / "target"
            run("search", "query", target, "found", "tmp")
            rows, members = "found", target
            if _is_there(Path(f"{target}_aln")):
                members = Path(f"{target}_seq")
                run("expandaln", "query", members, "found", f"{target}_aln", "all")
                run("align", "query", members, "all", "aligned")
                run("filterresult", "query", members, "aligned", "kept")
                rows = "kept"
            run("result2msa", "query", members, rows, "msa")
            run("unpackdb", "msa", "a3m", "--unpack-name-mode", "0")
            text = "".join(path.read_text() for path in sorted((folder / "a3m").iterdir()))
        return require_query(parse_a3m(text.replace("\0", "")), sequence, "mmseqs")

    def require_version(self, folder: Path) -> str:
        """Return the version, if it is new enough; a version that is no number is taken.

        Raises:
            ResourceError: absent or too old.
        """
        version = self.programs.run(["mmseqs", "version"], folder).strip()
        number = re.match(r"(\d{1,3})(?:-|\.|$)", version)
        if number and int(number[1]) < OLDEST:
            raise ResourceError(f"mmseqs {version} is too old", fix=f"install release {OLDEST} or "
                                "later: apt-get install mmseqs2")
        return version


def _is_there(database: Path) -> bool:
    return database.with_name(f"{database.name}.dbtype").is_file()
