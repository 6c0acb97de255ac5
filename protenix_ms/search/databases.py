# SPDX-License-Identifier: Apache-2.0
"""Sequence databases on this machine: what each is for, recognised by its name, checked to be one.

A FASTA file is searched by HMMER, the files of an MMseqs2 database (as ColabFold sets them up) by
MMseqs2. Several files of one kind are searched one after the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protenix_ms.errors import ConfigError, InputError, nearest

Role = Literal["unpaired", "paired", "templates", "rna"]
_FASTA = (".fa", ".fasta", ".faa", ".fna", ".fas")
_PARTS = re.compile(r"(_seq|_aln|_h|\.idx|_tmp|_clu)$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_LOOKED_AT = 1 << 16  # bytes of a file that tell what letters it holds
_BASES = frozenset("ACGTUN")
_NUCLEOTIDES = _BASES | frozenset("RYKMSWBDHVX-")  # with those that stand for several


@dataclass(frozen=True)
class Kind:
    """A database that alignments or templates are made from.

    Attributes:
        name: how its files begin.
        role: "paired" rows pair chains by species, "unpaired" rows are of one chain alone.
        most: rows kept of one search.
        limit: option of AlphaFold 3's command that the number comes from, for reference.
    """

    name: str
    role: Role
    most: int

    @property
    def nucleotides(self) -> bool:
        """Tell whether it holds RNA."""
        return self.role == "rna"


KINDS = {kind.name: kind for kind in (
    Kind("uniref90", "unpaired", 10_000), Kind("bfd", "unpaired", 5_000),
    Kind("mgy_clusters", "unpaired", 5_000), Kind("uniprot", "paired", 50_000),
    Kind("uniref30", "unpaired", 100_000), Kind("colabfold_envdb", "unpaired", 100_000),
    Kind("pdb_seqres", "templates", 100_000),
    Kind("rfam", "rna", 9_999), Kind("rnacentral", "rna", 9_999), Kind("nt_rna", "rna", 9_999),
)}


@dataclass(frozen=True)
class Database:
    """One database: its kind, and its FASTA file or the stem of its MMseqs2 files."""

    kind: Kind
    path: Path
    is_mmseqs: bool = False

    @property
    def name(self) -> str:
        """The kind and the file, for reports."""
        return f"{self.kind.name} ({self.path.name})"

    def identity(self) -> str:
        """Name the file, its size and its time, so that a search in another one is another."""
        stat = self.path.with_name(self.path.name + ".dbtype" * self.is_mmseqs).stat()
        size = stat.st_size
        if self.is_mmseqs and self.path.exists():
            size = self.path.stat().st_size
        return f"{self.path.resolve()} {size} {stat.st_mtime_ns}"


def name_database(text: str) -> Database:
    """Read ``KIND=FILE`` of the command line.

    Raises:
        ConfigError: no '=', an unknown kind.
        InputError: no such file, or not one of this kind.
    """
    name, equal, path = text.partition("=")
    if not equal or not path:
        raise ConfigError(f"{text[:60]!r} names no file", where="--database",
                          fix="write KIND=FILE, like uniref90=uniref90_2022_05.fa")
    if name not in KINDS:
        near = nearest(name, KINDS)
        raise ConfigError(f"unknown kind of database {name[:40]!r}", where="--database",
                          fix=f"did you mean {near}?" if near else f"use {', '.join(KINDS)}")
    file = Path(path).expanduser()
    is_mmseqs = file.with_name(file.name + ".dbtype").is_file()
    return _check(Database(KINDS[name], file, is_mmseqs))


def find_databases(folder: Path) -> list[Database]:
    """List the databases of a folder, those of one kind by name.

    Raises:
        InputError: no folder, none in it, or a file that is not what its name says.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder), fix="check --databases")
    databases = []
    for path in sorted(folder.iterdir()):
        is_mmseqs = path.suffix == ".dbtype" and not _PARTS.search(path.stem)
        kind = recognise(path.name)
        if kind and _SHARD.search(path.name):
            raise InputError("a shard of a database is not read", where=str(path),
                             fix=f"join them: cat {path.name[:-14]}* > {path.name[:-15]}")
        if kind and (is_mmseqs or (path.suffix.lower() in _FASTA and path.is_file())):
            databases.append(Database(kind, path.with_suffix("") if is_mmseqs else path, is_mmseqs))
    if not databases:
        raise InputError("the folder holds no sequence database", where=str(folder), fix="their "
                         f"names begin with {', '.join(KINDS)} and end in {', '.join(_FASTA[:2])} "
                         "or .dbtype; `protenix-ms fetch databases` says where to get them")
    order = list(KINDS)
    databases.sort(key=lambda database: order.index(database.kind.name))
    return [_check(database) for database in databases]


def recognise(name: str) -> Kind | None:
    """Tell the kind of a file from the beginning of its name."""
    return next((kind for kind in KINDS.values() if name.lower().startswith(kind.name)), None)


def _check(database: Database) -> Database:
    """Return a database whose file is there and holds sequences of the right type.

    Raises:
        InputError: it does not.
    """
    where = f"database {database.kind.name}: {database.path}"
    if database.is_mmseqs:
        if database.kind.role != "unpaired":
            raise InputError("an MMseqs2 database serves protein alignments only", where=where,
                             fix="give a FASTA file")
        return database
    try:
        with database.path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})", where=where,
                         fix="check the path") from None
    if not start.strip():
        raise InputError("it is empty", where=where, fix="download it again")
    if start[:1] != b">":
        packed = database.path.suffix in (".gz", ".zst", ".xz")
        raise InputError("it is no FASTA file", where=where,
                         fix="unpack it first" if packed else "it must begin with '>'")
    lines = start.decode("ascii", "replace").splitlines()
    if len(start) == _LOOKED_AT:  # the last line may be cut
        lines = lines[:-1]
    letters = {letter for line in lines if line[:1] != ">" for letter in line.strip().upper()}
    if letters <= _BASES and letters and not database.kind.nucleotides:
        raise InputError("it holds nucleotides, but this kind is of proteins", where=where,
                         fix="give a protein database, or name it rfam, rnacentral or nt_rna")
    if database.kind.nucleotides and not letters <= _NUCLEOTIDES:
        odd = min(letters - _NUCLEOTIDES)
        raise InputError(f"it holds proteins (letter {odd!r}), but this kind is of nucleotides",
                         where=where, fix="give a nucleotide database, or another kind")
    return database
