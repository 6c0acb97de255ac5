# SPDX-License-Identifier: Apache-2.0
"""Our tables of residues, atoms and elements against upstream's."""

import pytest
from protenix.data import constants as upstream
from protenix.data.inference import json_parser

from protenix_ms.constants import residue_atoms, restypes


def test_restype_order():
    assert dict(restypes.RESTYPE_INDEX) == upstream.STD_RESIDUES_WITH_GAP


@pytest.mark.parametrize("kind", ["protein", "rna", "dna"])
def test_alignment_letters(kind):
    theirs = getattr(upstream, f"MSA_{kind.upper()}_SEQ_TO_ID")
    assert dict(restypes.ALIGNMENT_LETTERS[kind]) == theirs


@pytest.mark.parametrize("kind", ["protein", "rna", "dna"])
def test_sequence_letters(kind):
    theirs = getattr(json_parser, f"{kind.upper()}_1to3")
    assert dict(restypes.SEQUENCE_LETTERS[kind]) == theirs


def test_residue_atoms_and_their_order():
    theirs = {name: tuple(places) for name, places in upstream.RES_ATOMS_DICT.items()}
    assert dict(residue_atoms.RESIDUE_ATOMS) == theirs
    assert max(map(len, residue_atoms.RESIDUE_ATOMS.values())) == residue_atoms.MAX_DENSE_ATOMS


def test_dense_atoms_and_pseudo_beta():
    theirs = {name: tuple(atoms) for name, atoms in upstream.DENSE_ATOM.items()}
    assert {name: residue_atoms.DENSE_ATOMS[name] for name in theirs} == theirs
    assert list(residue_atoms.PSEUDO_BETA_INDEX) == upstream.RESTYPE_PSEUDOBETA_INDEX.tolist()


def test_elements():
    assert list(residue_atoms.ATOMIC_NUMBER) == upstream.get_all_elems()[:118]
    assert len(upstream.get_all_elems()) == residue_atoms.NUM_ELEMENT_CLASSES
