# SPDX-License-Identifier: Apache-2.0
"""Our parser beside upstream's: the same atoms, coordinates, bonds, annotations, index lines."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.structures import read_entry

pytest.importorskip("protenix", reason="parity needs protenix 2.0.0 (extra `test`)")

ENTRIES = (
    "102m", "1aki", "1ay7", "1bna", "1igy", "1k1a", "1k6p", "1mol",
    "2lwu", "3o5r", "4gxy", "5ugo", "5zng", "5zyh", "7zzx", "8f9h",
)  # fmt: skip
_spec = importlib.util.spec_from_file_location("edits", Path(__file__).with_name("edits.py"))
edits = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edits)

# upstream's annotation -> ours
ANNOTATIONS = {
    "chain_id": "chain_id", "res_id": "res_id", "res_name": "res_name", "atom_name": "atom_name",
    "element": "element", "label_entity_id": "entity_id", "hetero": "hetero",
    "is_resolved": "is_resolved", "mol_type": "mol_type", "chain_mol_type": "chain_type",
    "centre_atom_mask": "centre_atom_mask", "distogram_rep_atom_mask": "distogram_rep_atom_mask",
    "plddt_m_rep_atom_mask": "plddt_m_rep_atom_mask", "cano_seq_resname": "canonical_resname",
    "tokatom_idx": "tokatom_idx", "modified_res_mask": "modified_res_mask",
    "asym_id_int": "asym_id", "entity_id_int": "entity_index", "sym_id_int": "sym_id",
    "mol_id": "mol_id", "entity_mol_id": "entity_mol_id", "mol_atom_index": "mol_atom_index",
    "ref_space_uid": "ref_space_uid", "ref_mask": "ref_mask", "ref_charge": "charge",
}  # fmt: skip


@pytest.fixture(scope="module")
def parser(golden):
    """Upstream's parser with the small component cache."""
    root = Path(os.environ.get("PROTENIX_ROOT_DIR", golden.parent / "tools/oracle/protenix_root"))
    if not (root / "common" / "components.cif").exists():
        pytest.skip(f"upstream's component cache is not at {root}: set PROTENIX_ROOT_DIR")
    os.environ["PROTENIX_ROOT_DIR"] = str(root)
    from protenix.data.core import parser as module

    return module.MMCIFParser


def check(path, ccd, parser):
    upstream = parser(path)
    made = upstream.get_bioassembly()
    theirs = made["atom_array"]
    ours = read_entry(path, ccd)
    atoms = ours.atoms
    assert len(atoms) == len(theirs)
    for name, own in ANNOTATIONS.items():
        column = getattr(atoms, own) if hasattr(atoms, own) else atoms.extra[own]
        expected = theirs.get_annotation(name)
        assert (column == expected.astype(column.dtype)).all(), name
    assert np.abs(atoms.coord - theirs.coord).max() <= 1e-4
    assert {tuple(pair) for pair in atoms.bonds[:, :2].tolist()} == {
        tuple(pair) for pair in theirs.bonds.as_array()[:, :2].tolist()
    }
    assert ours.sequences == made["sequences"]
    assert ours.n_token == made["num_tokens"]
    assert (ours.release_date, ours.resolution) == (upstream.release_date, upstream.resolution)
    return ours


@pytest.mark.parametrize("name", ENTRIES)
def test_deposit(name, ccd, parser, deposits):
    check(deposits / f"{name}.cif.gz", ccd, parser)


@pytest.mark.parametrize("name", edits.EDITS)
def test_edited_deposit(name, ccd, parser, deposits, tmp_path):
    source, edit = edits.EDITS[name]
    path = edits.edited(deposits / f"{source}.cif.gz", tmp_path / f"{source}.cif", edit)
    check(path, ccd, parser)
