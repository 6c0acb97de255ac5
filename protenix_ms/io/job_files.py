# SPDX-License-Identifier: Apache-2.0
"""Files that hold jobs, and files that do not, named for what they look like."""

from __future__ import annotations

import re
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.text_file import plain_suffix, read_text, split_lines

FASTA_SUFFIXES = (".fasta", ".fa", ".faa", ".fna", ".fas")
JOB_SUFFIXES = (*FASTA_SUFFIXES, ".json")
_TABLE_SUFFIXES = (".csv", ".tsv")
_STRUCTURE_SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent", ".pdbx", ".bcif", ".pdb1")
# files that stand beside jobs because jobs name them
_COMPANIONS = (".a3m", ".hhr", ".sdf", ".mol", ".mol2", ".pdb")
_LOOKED_AT = 1 << 20  # bytes; larger files that are skipped are not opened
_ENOUGH = 100_000  # characters that are looked at

_AS_FASTA = "write FASTA, or a Protenix or AlphaFold 3 JSON"
_STRUCTURE = "make a job of it with 'protenix-ms json FILE --output JOB.json'"
_MOLECULE = "name it in a Protenix JSON, as a ligand FILE_ and its path"
_ALIGNMENT = "give it by --msa, and the sequence of its first row as FASTA"
_TABLE = ("a table of jobs has the columns id and sequence, chains separated by ':'; or write "
          "FASTA or JSON")
_LOOKS = (  # beginning of the text, what it is, what to do
    (r"\s*data_", "a structure (mmCIF)", _STRUCTURE),
    (r"(HEADER|TITLE |REMARK|CRYST1|ATOM  |HETATM|MODEL )", "a structure (PDB)", _STRUCTURE),
    (r"# STOCKHOLM", "an alignment (Stockholm)", "write it as a3m and give it by --msa"),
    (r"#[\d,]+[ \t]+[\d,]+\s", "an alignment (a3m of ColabFold)", _ALIGNMENT),
    (r"(?s).*^M  END", "a molecule (MOL or SDF)", _MOLECULE),
    (r"(?s).*^@<TRIPOS>", "a molecule (MOL2)", _MOLECULE),
    (r"(?i)\s*<(!doctype|html|\?xml)", "a web page or XML", _AS_FASTA),
    (r"(?s).*^sequences:", "a Boltz YAML",
     "write FASTA with Boltz's headers ('>A|protein'), or a Protenix or AlphaFold 3 JSON"),
    (r"(---|[\w-]+:(\s|$))", "YAML", _AS_FASTA),
    (r"# ", "Markdown", _AS_FASTA),
    (r"[^,\n]*(,[^,\n]*)+\n[^,\n]*(,[^,\n]*)+$", "a table", _TABLE),
)
_BY_SUFFIX = {
    ".md": ("Markdown", _AS_FASTA), ".rst": ("reStructuredText", _AS_FASTA),
    ".yaml": ("YAML", _AS_FASTA), ".yml": ("YAML", _AS_FASTA), ".toml": ("TOML", _AS_FASTA),
    ".csv": ("a table", _TABLE), ".tsv": ("a table", _TABLE),
}


def job_files(path: Path) -> list[Path]:
    """List `path` itself, or the job files of a folder in alphabetical order.

    Raises:
        InputError: absent, or a folder without job files.
    """
    try:
        if not path.exists():
            raise InputError("no such file or folder", where=str(path), fix="check --input")
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if _is_job_file(file))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=repr(str(path)[:200]),
                         fix="check --input") from None
    if not files:
        raise InputError("the folder holds no job files", where=str(path),
                         fix=f"{say_skipped(path)} add {', '.join(JOB_SUFFIXES)}".strip())
    return files


def say_skipped(path: Path) -> str:
    """Name the files of a folder that are no jobs and belong to none, in a sentence or ""."""
    if not path.is_dir():
        return ""
    skipped = [file for file in sorted(path.iterdir())
               if file.is_file() and not file.name.startswith(".") and not _is_job_file(file)
               and plain_suffix(file) not in _COMPANIONS]
    if not skipped:
        return ""
    names = ", ".join(file.name + _describe(file) for file in skipped[:9])
    more = f" and {len(skipped) - 9} more" if skipped[9:] else ""
    return (f"{len(skipped)} file{'s' if skipped[1:] else ''} of the folder "
            f"{'are' if skipped[1:] else 'is'} no job and skipped: {names}{more};")


def refuse_by_suffix(path: Path) -> None:
    """Raise for files whose name says that they are no jobs, before they are read as text.

    Raises:
        InputError: a structure or an alignment.
    """
    if plain_suffix(path) in _STRUCTURE_SUFFIXES:
        raise InputError("this is a structure, not a job", where=str(path), fix=_STRUCTURE)
    if plain_suffix(path) == ".a3m":
        raise InputError("this is an alignment, not a job", where=str(path), fix=_ALIGNMENT)


def refuse_foreign(path: Path, text: str) -> InputError:
    """Make the refusal of a text that is neither FASTA nor JSON, by what it looks like."""
    kind, fix = _identify(path, text)
    looks = f", it looks like {kind}" if kind else ""
    return InputError(f"this is neither FASTA nor JSON{looks}", where=str(path),
                      fix=fix or "FASTA starts with '>'")


def is_colabfold_table(text: str) -> bool:
    """Tell whether the first line of a text names the columns id and sequence."""
    first = split_lines(text[:1000])[0].replace("\t", ",").lower()
    return {"id", "sequence"} <= {name.strip() for name in first.split(",")}


def _identify(path: Path, text: str) -> tuple[str, str]:
    """Tell what a text looks like and what to do about it; "" where nothing is known."""
    looks = ((kind, fix) for pattern, kind, fix in _LOOKS
             if re.compile(pattern, re.MULTILINE).match(text[:_ENOUGH]))
    return next(looks, _BY_SUFFIX.get(plain_suffix(path), ("", "")))


def _describe(path: Path) -> str:
    """Say what a skipped file looks like, where that is known."""
    try:
        refuse_by_suffix(path)
        large = path.stat().st_size > _LOOKED_AT
        kind = "" if large else _identify(path, read_text(path))[0]
    except InputError as error:
        if "not a job" not in error.message:
            return f" ({error.message})"
        kind = error.message.removeprefix("this is ").removesuffix(", not a job")
    return f" (looks like {kind})" if kind else ""


def _is_job_file(path: Path) -> bool:
    if plain_suffix(path) not in _TABLE_SUFFIXES:
        return plain_suffix(path) in JOB_SUFFIXES
    try:
        return is_colabfold_table(read_text(path))
    except InputError:
        return False
