# SPDX-License-Identifier: Apache-2.0
"""Files that are no jobs here, named for what they look like, with what to do instead."""

from __future__ import annotations

import re
from pathlib import Path

from protenix_ms.errors import InputError
from protenix_ms.io.text_file import plain_name

_AS_FASTA = "write FASTA, or a Protenix or AlphaFold 3 JSON"
_STRUCTURE = ("write the sequences of its chains as FASTA; 'protenix json' of PyTorch Protenix "
              "makes a job of a structure")
_MOLECULE = "name it in a Protenix JSON, as a ligand FILE_ and its path"
_ALIGNMENT = "give it by --msa, and the sequence of its first row as FASTA"
_STRUCTURE_SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent", ".pdbx", ".bcif", ".pdb1")
# suffixes that stand beside jobs because jobs name them
COMPANIONS = (".a3m", ".hhr", ".sdf", ".mol", ".mol2", ".pdb")
_ENOUGH = 100_000  # characters that are looked at
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


def refuse_by_suffix(path: Path) -> None:
    """Raise for files whose name says that they are no jobs, before they are read as text.

    Raises:
        InputError: a structure or an alignment.
    """
    suffix = plain_name(path).suffix.lower()
    if suffix in _STRUCTURE_SUFFIXES:
        raise InputError("this is a structure, not a job", where=str(path), fix=_STRUCTURE)
    if suffix == ".a3m":
        raise InputError("this is an alignment, not a job", where=str(path), fix=_ALIGNMENT)


def name_foreign(path: Path, text: str) -> InputError:
    """Make the refusal of a text that is neither FASTA nor JSON, by what it looks like."""
    looks = ((kind, fix) for pattern, kind, fix in _LOOKS
             if re.compile(pattern, re.MULTILINE).match(text[:_ENOUGH]))
    kind, fix = next(looks, _BY_SUFFIX.get(plain_name(path).suffix.lower(), ("", "")))
    if kind:
        return InputError(
            f"this is neither FASTA nor JSON, it looks like {kind}", where=str(path), fix=fix
        )
    return InputError(
        "this is neither FASTA nor JSON", where=str(path), fix="FASTA starts with '>'"
    )
