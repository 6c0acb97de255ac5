# SPDX-License-Identifier: Apache-2.0
"""Searches in databases of this machine: each distinct one once, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Lock

from protenix_ms.errors import ResourceError
from protenix_ms.io.a3m import A3m, parse_a3m
from protenix_ms.search.cache import Cache
from protenix_ms.search.databases import Database
from protenix_ms.search.hmmer import Hmmer
from protenix_ms.search.hmmer_library import HmmerLibrary, has_pyhmmer
from protenix_ms.search.mmseqs import Mmseqs
from protenix_ms.search.programs import PACKAGES, Programs

_VERSION = "1"  # of the command lines: another one makes kept searches stale
_GLANCE = 0.2
_NEEDED = {"unpaired": ("jackhmmer",), "paired": ("jackhmmer",),
           "templates": ("hmmbuild", "hmmsearch"), "rna": ("nhmmer", "hmmbuild", "hmmalign")}
Tool = Hmmer | HmmerLibrary | Mmseqs


@dataclass(frozen=True)
class Query:
    """One search: a sequence in a database; for templates, the alignment for the profile."""

    sequence: str
    database: Database
    alignment: str = ""

    @property
    def name(self) -> str:
        """Say what is searched where, for progress."""
        return f"{len(self.sequence)} residues in {self.database.kind.name}"


@dataclass(frozen=True)
class Hits:
    """What a search found.

    Attributes:
        rows: without the query.
        seconds: that it took; 0 if it had been made before.
    """

    rows: A3m
    seconds: float = 0.0


@dataclass
class LocalSearch:
    """Runs queries within a number of cores, and keeps what is finished.

    Attributes:
        cpus: cores for all searches together.
        progress: told the names of what is running, how many are done, and of how many.
    """

    cache: Cache
    cpus: int = 1
    progress: Callable[[Sequence[str], int, int], None] = lambda running, done, total: None
    programs: Programs = field(default_factory=Programs)

    def run(self, queries: Iterable[Query]) -> dict[Query, Hits]:
        """Run every distinct query.

        Raises:
            ResourceError: a program is missing or fails; what is finished is kept.
            KeyboardInterrupt: likewise.
        """
        distinct = list(dict.fromkeys(queries))
        tools = {query: self.tool_for(query.database) for query in distinct}
        if not distinct:
            return {}
        workers = min(len(distinct), self.cpus)
        self.programs.stop.clear()
        self._running: list[str] = []
        self._lock = Lock()
        with ThreadPoolExecutor(workers) as pool:
            futures = {query: pool.submit(self._one, query, tools[query], self.cpus // workers)
                       for query in distinct}
            try:
                self._watch(list(futures.values()))
                return {query: future.result() for query, future in futures.items()}
            finally:  # after an error or an interrupt the others end, too
                self.programs.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _watch(self, futures: list[Future[Hits]]) -> None:
        """Report progress until all are done; raise the first error."""
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, _GLANCE, FIRST_COMPLETED)
            for future in done:
                future.result()
            with self._lock:
                running = list(self._running)
            self.progress(running, len(futures) - len(waiting), len(futures))

    def _one(self, query: Query, tool: Tool, cpus: int) -> Hits:
        key = ("local", _VERSION, tool.name, query.database.kind.name, query.database.identity(),
               query.sequence, query.alignment)
        kept = self.cache.load_rows(*key)
        if kept is not None:
            return Hits(kept)
        with self._lock:
            self._running.append(query.name)
        start = time.monotonic()
        try:
            rows = _search(query, tool, cpus)
        finally:
            with self._lock:
                self._running.remove(query.name)
        self.cache.store_rows(rows, *key)
        return Hits(rows, time.monotonic() - start)

    def tool_for(self, database: Database) -> Tool:
        """Choose what searches a database: HMMER's programs, else pyhmmer, else MMseqs2.

        Raises:
            ResourceError: nothing that can is installed.
        """
        needed = _NEEDED[database.kind.role]
        if database.is_mmseqs:
            needed = ("mmseqs",)
            if self.programs.has(*needed):
                return Mmseqs(self.programs)
        elif self.programs.has(*needed):
            return Hmmer(self.programs)
        elif has_pyhmmer():
            return HmmerLibrary()
        elif "jackhmmer" in needed and self.programs.has("mmseqs"):
            return Mmseqs(self.programs)
        missing = next(name for name in needed if not self.programs.has(name))
        pip = () if database.is_mmseqs else ("or pip install pyhmmer",)
        raise ResourceError(f"the program {missing} is not on PATH", where=database.name,
                            fix=", ".join((f"install it: apt-get install {PACKAGES[missing]}",
                                           *pip)))


def _search(query: Query, tool: Tool, cpus: int) -> A3m:
    """Run one query and return the hits, at most as many as the kind of database keeps."""
    kind, path = query.database.kind, query.database.path
    if isinstance(tool, Mmseqs) or kind.role in ("unpaired", "paired"):
        rows = tool.search_proteins(query.sequence, path, cpus)
    elif kind.role == "rna":
        rows = tool.search_rna(query.sequence, path, cpus, kind.most)
    else:
        rows = tool.search_templates(parse_a3m(query.alignment), path, cpus)
        return A3m(rows.names[:kind.most], rows.rows[:kind.most])
    return A3m(rows.names[1:kind.most + 1], rows.rows[1:kind.most + 1])
