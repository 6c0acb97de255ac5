# SPDX-License-Identifier: Apache-2.0
"""Conformers: order of attempts, limits of time, and the child of large molecules."""

import os
import time

import pytest

from protenix_ms.chem import conformer
from protenix_ms.chem.conformer import ConformerSource, embed, ligand_conformer
from protenix_ms.chem.ligand import molecule_from_smiles
from protenix_ms.errors import ChemistryError


def test_attempts_in_order(monkeypatch):
    """Each method is tried when the one before fails; None when all do."""
    tried = []

    def refuse(mol, options):
        tried.append((options.useRandomCoords, options.useBasicKnowledge, options.timeout))
        return -1

    monkeypatch.setattr(conformer.rdDistGeom, "EmbedMolecule", refuse)
    assert embed(molecule_from_smiles("CCO"), 1, 30.0, conformer.LIGAND_CHAIN) is None
    assert tried == [(False, True, 10), (True, True, 10), (True, False, 10)]
    with pytest.raises(ChemistryError, match="no 3D conformer.*3 heavy atoms"):
        ligand_conformer(molecule_from_smiles("CCO"), 1)


def test_time_limit_is_kept():
    """A cage of impossible stereo centres keeps distance geometry busy until the limit."""
    mol = molecule_from_smiles("C[C@@]12C[C@]3(C)C[C@@](C)(C1)C[C@@](C)(C2)C3")
    start = time.monotonic()
    embed(mol, 1, 2.0)
    assert time.monotonic() - start < 10


def test_large_molecules_go_to_a_child(monkeypatch):
    mol = molecule_from_smiles("CC(=O)NCCO")
    expected = embed(mol, 5)[0]
    monkeypatch.setattr(conformer, "LARGE", 3)
    assert (ligand_conformer(mol, 5) == expected).all()


@pytest.mark.parametrize("script, words", [
    ("kill -SEGV $$", "ended with code -11"),
    ("sleep 20", "within 0.1 s"),
    ("exit 0", "no 3D conformer"),
])
def test_crashing_or_hanging_child(monkeypatch, tmp_path, script, words):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    os.chmod(python, 0o755)
    monkeypatch.setattr(conformer.sys, "executable", str(python))
    monkeypatch.setattr(conformer, "LARGE", 3)
    monkeypatch.setattr(conformer, "GRACE", 1.0)
    with pytest.raises(ChemistryError, match=words):
        ligand_conformer(molecule_from_smiles("CC(=O)NCCO"), 5, seconds=0.1)


def test_sources_are_the_table_codes():
    assert [source.value for source in ConformerSource] == list(range(7))
