# SPDX-License-Identifier: Apache-2.0
"""Template hits and template structures that cannot be used."""

from __future__ import annotations

from bad_input import SEQUENCE, BadInput, alphafold3, job, protein
from template_text import helix

_HELIX = {"x.cif": helix(SEQUENCE)}
_WHERE = "entity 1 (proteinChain), template 1"


def _structure(files: dict[str, str | bytes] | None = None, **entry: object) -> dict[str, object]:
    """Input and files of a job with one template structure."""
    entry = {"mmcifPath": "x.cif", **entry}
    entry = {key: value for key, value in entry.items() if value is not None}
    return {"text": job(protein(templates=[entry])), "files": _HELIX if files is None else files}


def _hits(name: str, content: str | bytes) -> dict[str, object]:
    return {"text": job(protein(templatesPath=name)), "files": {name: content}}


TEMPLATES = [
    BadInput("template hits without a fitting header", **_hits("t.a3m", ">a\nMK\n>b\nMK\n"),
             says=("none of 2 rows", "'a'", "mol:protein", "templatesPath")),
    BadInput("template hits of DNA", **_hits("t.a3m", ">1abc_A/1-2 mol:na length:2 \nAC\n"),
             says=("none of 1 rows", "mol:na")),
    BadInput("template hits of another program", **_hits("t.hhr", "BLASTP 2.9\n"),
             says=("t.hhr is not an hhr file", "hhsearch")),
    BadInput("template hits without a summary",
             **_hits("t.hhr", "Query a\nNo 1\n>1abc_A x\nProbab=3\n"),
             says=("none of 1 rows", "'>1abc_A x'", "Aligned_cols=")),
    BadInput("template hits in a damaged gzip", **_hits("t.a3m.gz", b"\x1f\x8b\x08junk"),
             says=("damaged gzip", "t.a3m.gz")),
    BadInput("template of no structure", **_structure(mmcifPath=None),
             says=(_WHERE, "either mmcif or mmcifPath")),
    BadInput("template of two structures", **_structure(mmcif="data_x"),
             says=(_WHERE, "either mmcif or mmcifPath")),
    BadInput("template file that is absent", **_structure({}), says=(_WHERE, "x.cif", "no file")),
    BadInput("template file that is no mmCIF", **_structure({"x.cif": "HEADER\n"}),
             says=(_WHERE, "x.cif", "not a readable mmCIF")),
    BadInput("template in a damaged gzip", **_structure({"x.cif": b"\x1f\x8b\x08junk"}),
             says=(_WHERE, "damaged gzip")),
    BadInput("template without sequences", **_structure({"x.cif": "data_x\n_entry.id x\n"}),
             says=(_WHERE, "_entity_poly_seq", "add that table")),
    BadInput("template without that chain", **_structure(chain="Q"),
             says=(_WHERE, "no protein chain 'Q'", "are a")),
    BadInput("template of several chains", **_structure({"x.cif": helix(SEQUENCE, "AB")}),
             says=(_WHERE, "2 protein chains", '"chain": "a"')),
    BadInput("template indices of unequal length",
             **_structure(queryIndices=[0, 1], templateIndices=[0]),
             says=(_WHERE, "queryIndices has 2 numbers, templateIndices 1")),
    BadInput("template indices beyond the query",
             **_structure(queryIndices=[10], templateIndices=[0]),
             says=(_WHERE, "queryIndices holds 10", "0 to 9")),
    BadInput("template indices beyond the template",
             **_structure(queryIndices=[0], templateIndices=[-1]),
             says=(_WHERE, "templateIndices holds -1")),
    BadInput("template indices twice", **_structure(queryIndices=[1, 1], templateIndices=[0, 1]),
             says=(_WHERE, "queryIndices repeats")),
    BadInput("template indices as text", **_structure(queryIndices="0-5"),
             says=("template 1", "queryIndices is text")),
    BadInput("template key", **_structure(templateIndicies=[1]),
             says=("template 1", "'templateIndicies'", "'templateIndices'")),
    BadInput("template of RNA", job({"rnaSequence": {"sequence": "ACGU", "templates": []}}),
             ("entity 1 (rnaSequence)", "'templates'")),
    BadInput(
        "AF3 templates",
        alphafold3({"protein": {"id": "A", "sequence": "MKT", "templates": [{"mmcif": "x"}]}}),
        ("entity 1 (protein), template 1", "not a readable mmCIF"),
    ),
]
