# SPDX-License-Identifier: Apache-2.0
"""Any table, glycan, query file or alignment of several chains is read or refused in a sentence."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from protenix_ms.errors import InputError
from protenix_ms.io import say_skipped, scan_jobs
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.io.glycan import parse_glycan
from protenix_ms.job import Job, Polymer

FUZZ = settings(max_examples=100, deadline=None)
VALUES = st.sampled_from(["", "A", 0, None, [], {}, ["A"], {"1": "SEP"}, "protein",
                         "ligand", "CCO"])
KEYS = st.sampled_from(["molecule_type", "chain_ids", "sequence", "non_canonical_residues", "x",
                        "ccd_codes", "smiles", "sdf_file_path", "main_msa_file_paths", "use_msas"])


def outcomes(path):
    jobs = list(scan_jobs(path))
    assert all(isinstance(item, Job | InputError) for item in jobs)
    return jobs


@FUZZ
@given(text=st.text("id,sequence\n\"':|\tMK()\0\r", max_size=60))
def test_any_table(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "x.csv"
    path.write_bytes(("id,sequence,a3mpath\n" + text).encode())
    outcomes(path)
    path.write_text(text)
    say_skipped(path.parent)


@FUZZ
@given(chain=st.dictionaries(KEYS, VALUES), query=st.dictionaries(KEYS, VALUES, max_size=2))
def test_any_query(chain, query, tmp_path_factory):
    path = tmp_path_factory.mktemp("q") / "x.json"
    base = {"molecule_type": "protein", "chain_ids": "A", "sequence": "MKT"}
    document = {"queries": {"a": {"chains": [{**base, **chain}], **query}, "b": chain}}
    path.write_text(json.dumps(document))
    assert outcomes(path)


@FUZZ
@given(st.text("NAG() 4-1\n", max_size=40))
def test_any_glycan(text):
    try:
        codes, linkages = parse_glycan(text, "here")
    except InputError:
        return
    assert len(linkages) == len(codes) - 1
    assert all(link.parent < link.child for link in linkages)


@FUZZ
@given(text=st.text("MKT-a.>\t\n\r\0#,12", max_size=60))
def test_any_alignment_of_several_chains(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "x.a3m"
    path.write_bytes(("#3,2\t1,1\n>1\t2\nMKTMK\n" + text).encode())
    try:
        job = AlignmentFiles.find(path).attach(Job("j", (Polymer("protein", "MKT"),)))
    except InputError:
        return
    assert job.entities[0].sequence == "MKT"
