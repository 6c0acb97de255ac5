# SPDX-License-Identifier: Apache-2.0
"""Every bad input gives one sentence that names its place, quickly and without MindSpore."""

import subprocess
import sys
import time

import pytest
from bad_inputs import CASES

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs, validate
from protenix_ms.job import AtomAddress, CovalentBond, Job, Ligand, Modification, Polymer


def test_good_jobs_pass(ccd):
    changes = (Modification("ACE", 1), Modification("SEP", 3))
    chain = Polymer("protein", "MKTM", modifications=changes)
    bond = CovalentBond(AtomAddress(1, 4, "SD"), AtomAddress(2, 2, "C1"))
    other = CovalentBond(AtomAddress(1, 3, "OG"), AtomAddress(3, 1, 0))
    ligands = (Ligand(codes=("ATP", "NAG")), Ligand(smiles="CCO"))
    validate(Job("good", (chain, *ligands), (bond, other)), ccd)


def test_the_corpus_is_large_and_names_are_unique():
    names = [case.name for case in CASES]
    assert len(names) >= 60 and len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case, tmp_path, ccd):
    path, msa = case.write(tmp_path)
    started = time.thread_time()
    if case.chemistry:
        jobs = read_jobs(path, msa)
        with pytest.raises(InputError) as caught:
            for job in jobs:
                validate(job, ccd)
    else:
        with pytest.raises(InputError) as caught:
            read_jobs(path, msa)
    assert time.thread_time() - started < 2
    message = str(caught.value)
    assert str(tmp_path) in message
    for part in case.says:
        assert part in message
    assert message.endswith(".") and not message.endswith("..") and "\n" not in message
    assert caught.value.fix and len(message) < 700, message


def test_readers_never_load_mindspore():
    code = "import sys, protenix_ms.io; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
