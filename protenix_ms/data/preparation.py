# SPDX-License-Identifier: Apache-2.0
"""Prepare a folder of mmCIF files: entries and an index, made by several processes.

Entries that are there already, from the same source file, are kept, so an interrupted run goes
on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.clusters import cluster
from protenix_ms.data.entry import FORMAT, MALFORMED, SUFFIX, read_about, read_entry, write_entry
from protenix_ms.data.index import TO_CLUSTER, Row, entry_rows, index_text, with_clusters
from protenix_ms.data.mmcif import require_file
from protenix_ms.errors import InputError, ProtenixError, ResourceError
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.atomic import write_text

ENTRIES, INDEX, ALIGNMENTS, SETTINGS = "entries", "index.csv", "alignments.json", "prepared.json"
_RULES = 2  # counts changes of how files are read: entries of older rules are made again
_ENDINGS = (".cif", ".cif.gz", ".mmcif", ".mmcif.gz")


@dataclass(frozen=True)
class Preparation:
    """How to prepare files.

    Attributes:
        output: folder of the prepared data.
        filtered: the filters of AF3 SI 2.5.4 and assembly 1; off for predicted structures.
        ccd, conformers: component table and reference conformers, None for the shipped ones.
        overwrite: make entries again that are there already.
    """

    output: Path
    filtered: bool = True
    ccd: Path | None = None
    conformers: Path | None = None
    overwrite: bool = False

    def dictionary(self) -> ComponentDictionary:
        """Load the component dictionary, once per process."""
        table = ComponentDictionary.load(self.ccd)
        return table.with_conformers(self.conformers) if self.conformers else table


@dataclass(frozen=True)
class Outcome:
    """Result of one file.

    Attributes:
        name: of the entry.
        status: "made", "kept" from an earlier run, or "dropped".
        reason: why it was dropped.
        rows: its lines of the index.
    """

    name: str
    status: str
    reason: str = ""
    rows: tuple[Row, ...] = ()


def mmcif_files(folder: Path) -> list[Path]:
    """List everything below a folder that is named like an mmCIF file, sorted.

    Raises:
        InputError: there are none.
    """
    files = sorted(p for p in folder.rglob("*") if p.name.lower().endswith(_ENDINGS))
    if not files:
        raise InputError("no mmCIF files here (*.cif, *.cif.gz)", where=str(folder),
                         fix="check the folder")
    return files


def entry_name(path: Path) -> str:
    """Name an entry by its file: ``5ZYH.cif.gz`` -> ``5zyh``; bytes outside UTF-8 as escapes."""
    name = path.name.lower().removesuffix(".gz")
    return name.rsplit(".", 1)[0].encode("utf-8", "backslashreplace").decode()


def prepare_files(files: list[Path], preparation: Preparation, processes: int) -> Iterator[Outcome]:
    """Prepare files and yield every outcome as it comes; entries are written on the way.

    A process that dies costs its file alone.
    """
    first: dict[str, Path] = {}
    for path in files:
        first.setdefault(entry_name(path), path)
    for path in files:
        if first[entry_name(path)] != path:
            reason = "another file has the same name"
            yield Outcome(entry_name(path), "dropped", reason)
    unique = list(first.values())
    if processes <= 1:
        yield from (prepare_file(path, preparation) for path in unique)
        return
    waiting = deque(unique)
    while waiting:
        suspects: dict[Future[Outcome], Path] = {}
        try:
            yield from _by_workers(waiting, suspects, preparation, processes)
        except ResourceError:  # one of the files in the making killed its process
            for path in suspects.values():
                try:
                    yield from _by_workers(deque([path]), {}, preparation, 1)
                except ResourceError as error:
                    yield Outcome(entry_name(path), "dropped", error.message)


def _by_workers(
    waiting: deque[Path], running: dict[Future[Outcome], Path], preparation: Preparation,
    processes: int,
) -> Iterator[Outcome]:  # fmt: skip
    """Prepare the waiting files; `running` holds those that are begun and not yielded yet.

    Raises:
        ResourceError: a process died.
    """
    with worker_pool(processes, "prepares entries") as pool:
        while waiting or running:
            while waiting and len(running) < processes:
                running[pool.submit(prepare_file, waiting[0], preparation)] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                del running[future]
                yield outcome


def prepare_file(path: Path, preparation: Preparation) -> Outcome:
    """Prepare one file; every failure is an outcome."""
    name = entry_name(path)
    target = preparation.output / ENTRIES / f"{name}{SUFFIX}"
    try:
        digest = source_digest(path, preparation)
        if not preparation.overwrite and (kept := _kept_rows(target, digest)):
            return Outcome(name, "kept", rows=kept)
        entry = read_entry(path, preparation.dictionary(), filtered=preparation.filtered)
        entry = replace(entry, name=name)
        rows = entry_rows(entry)
        if not rows:
            return Outcome(name, "dropped", "no chain has a resolved centre atom")
        write_entry(target, entry, digest, rows)
    except ProtenixError as error:
        return Outcome(name, "dropped", error.message)
    except OSError as error:
        return Outcome(name, "dropped", f"it cannot be read ({error.strerror or error})")
    except MALFORMED as error:
        reason = f"the file breaks the rules of mmCIF ({type(error).__name__}: {error})"
        return Outcome(name, "dropped", reason)
    except MemoryError:
        return Outcome(name, "dropped", "memory ran out")
    return Outcome(name, "made", rows=tuple(rows))


def _kept_rows(target: Path, digest: str) -> tuple[Row, ...]:
    """Read the lines of an entry made before from the same file, none if it has to be made."""
    try:
        about = read_about(target)
        return tuple(about["rows"]) if about["source"] == digest else ()
    except (InputError, KeyError):
        return ()  # absent, damaged or of an older format


def source_digest(path: Path, preparation: Preparation) -> str:
    """Digest what an entry follows from: the file, the options, the format.

    Raises:
        InputError: the path is not a file (absent, a folder or a device).
        OSError: it cannot be read.
    """
    require_file(path)
    about = f"{FORMAT}.{_RULES} {preparation.filtered} ".encode()
    return hashlib.sha256(about + path.read_bytes()).hexdigest()[:32]


def write_index(
    outcomes: list[Outcome], preparation: Preparation, program: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Row]:  # fmt: skip
    """Cluster the proteins and write the index and the settings.

    Args:
        program: path of mmseqs, None clusters without it.
        progress: see `clusters.cluster`.

    Raises:
        OutputError: a file cannot be written.
        ResourceError: mmseqs failed.
    """
    rows = [row for outcome in sorted(outcomes, key=lambda o: o.name) for row in outcome.rows]
    open_clusters = {row[key] for row in rows for key in ("cluster_1_id", "cluster_2_id")}
    sequences = [
        key.removeprefix(TO_CLUSTER) for key in open_clusters if key.startswith(TO_CLUSTER)
    ]
    rows = with_clusters(rows, cluster(sequences, program, progress))
    write_text(preparation.output / INDEX, index_text(rows))
    settings = {"format": FORMAT, "filtered": preparation.filtered,
                "ccd_sha256": preparation.dictionary().sha256,
                "clusters": "mmseqs" if program else "exact"}
    write_text(preparation.output / SETTINGS, json.dumps(settings, indent=1) + "\n")
    return rows


def write_alignments(folder: Path, outcomes: list[Outcome], output: Path) -> tuple[int, int]:
    """List the alignment files below `folder` that belong to sequences of the entries.

    Returns:
        Number of polymer sequences with an alignment, and of all polymer sequences.

    Raises:
        InputError: no alignments there, or two for one sequence.
    """
    files = AlignmentFiles.find(folder.resolve())
    names = [outcome.name for outcome in outcomes if outcome.rows]
    sequences: set[str] = set()
    for name in names:
        sequences |= set(read_about(output / ENTRIES / f"{name}{SUFFIX}")["sequences"].values())
    if files.complexes:
        raise InputError("an alignment of several chains is no training data",
                         where=str(next(iter(files.complexes))), fix="give one chain per file")
    wanted = sequences | {sequence.replace("U", "T") for sequence in sequences}  # T of RNA is U
    table = {
        kind: {s: str(path) for s, path in sorted(paths.items()) if s in wanted}
        for kind, paths in (("paired", files.paired), ("unpaired", files.unpaired))
    }
    write_text(output / ALIGNMENTS, json.dumps(table, indent=1) + "\n")
    return len(table["paired"].keys() | table["unpaired"].keys()), len(sequences)


def read_alignments(output: Path) -> AlignmentFiles | None:
    """Find the alignment files of prepared data, None when it has none."""
    path = output / ALIGNMENTS
    if not path.exists():
        return None
    table = json.loads(path.read_text())
    paired, unpaired = ({s: Path(p) for s, p in table[k].items()} for k in ("paired", "unpaired"))
    return AlignmentFiles(paired, unpaired)


@contextmanager
def worker_pool(
    processes: int, task: str, opened: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of processes; at the end of the block work that has not begun is dropped.

    Processes are spawned, because a fork of a process that runs MindSpore hangs. Ctrl-C reaches
    the parent alone, which then ends the pool.

    Args:
        task: what the processes do, for the message when one dies.
        opened: called in every process at its start, with `arguments`.

    Raises:
        ResourceError: a process was killed.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(opened, arguments)
    )
    try:
        yield pool
    except BrokenProcessPool:
        raise ResourceError(
            f"a process that {task} died",
            fix="most often memory ran out: use fewer processes; what is done is kept",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(opened: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if opened is not None:
        opened(*arguments)
