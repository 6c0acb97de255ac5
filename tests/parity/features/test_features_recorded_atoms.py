# SPDX-License-Identifier: Apache-2.0
"""From the recorded atoms alone, our generators must make upstream's recorded features.

The recordings name residues and atoms but hold no bonds, so bond features are compared
elsewhere (`test_features_recorded.py`).
"""

from pathlib import Path

import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.features.annotation import annotate
from protenix_ms.features.frames import frame_features
from protenix_ms.features.molecules import assign_molecules
from protenix_ms.features.optional import empty_template_features
from protenix_ms.features.reference import reference_features
from protenix_ms.features.tokens import role_features, token_features, tokenize

CASES = ["7r6r", "9gmw", "covalent", "small", "smiles"]

# our name -> name in the recording
ANNOTATIONS = {
    "mol_type": "mol_type",
    "chain_type": "chain_mol_type",
    "centre_atom_mask": "centre_atom_mask",
    "distogram_rep_atom_mask": "distogram_rep_atom_mask",
    "plddt_m_rep_atom_mask": "plddt_m_rep_atom_mask",
    "modified_res_mask": "modified_res_mask",
    "canonical_resname": "cano_seq_resname",
    "tokatom_idx": "tokatom_idx",
    "asym_id": "asym_id_int",
    "entity_index": "entity_id_int",
    "sym_id": "sym_id_int",
    "ref_space_uid": "ref_space_uid",
    "mol_id": "mol_id",
    "entity_mol_id": "entity_mol_id",
    "mol_atom_index": "mol_atom_index",
}


def recorded_atoms(folder: Path) -> tuple[AtomTable, dict[str, np.ndarray]]:
    recorded = {key[5:]: value for key, value in np.load(folder / "atoms.npz").items()}
    size = len(recorded["res_id"])
    atoms = AtomTable(
        **{name: recorded[name] for name in ("atom_name", "element", "res_name", "chain_id")},
        entity_id=recorded["label_entity_id"],
        res_id=recorded["res_id"],
        charge=recorded["ref_charge"],
        hetero=recorded["hetero"],
        coord=np.zeros((size, 3), np.float32),
        ref_pos=recorded["ref_pos"],
        ref_mask=recorded["ref_mask"],
    )
    return atoms, recorded


@pytest.fixture(scope="module", params=CASES)
def case(request, golden, ccd):
    folder = golden / "features" / request.param
    atoms, recorded = recorded_atoms(folder)
    atoms = annotate(atoms, ccd)
    atoms = assign_molecules(atoms, set(atoms.entity_id.tolist()))
    features = dict(np.load(folder / "features.npz"))
    return atoms, recorded, features


def assert_equal(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    assert ours.dtype == theirs.dtype, name
    np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_annotations(case):
    atoms, recorded, _ = case
    for ours, theirs in ANNOTATIONS.items():
        np.testing.assert_array_equal(getattr(atoms, ours), recorded[theirs], err_msg=ours)


def test_tokens_roles_and_empty_templates(case):
    atoms, _, features = case
    tokens = tokenize(atoms)
    ours = token_features(tokens) | role_features(atoms, tokens)
    for name, value in (ours | empty_template_features(len(tokens))).items():
        assert_equal(value, features[name], name)


def test_reference(case):
    atoms, _, features = case
    ours = reference_features(atoms, np.random.default_rng(0))
    position = ours.pop("ref_pos")
    assert position.dtype == np.float32
    assert (np.abs(position - features["ref_pos"]).max(axis=1) > 1e-3).all()
    for name, value in ours.items():
        assert_equal(value, features[name], name)


def test_frames(case):
    atoms, _, features = case
    ours = frame_features(atoms, tokenize(atoms), features["ref_pos"])
    for name, value in ours.items():
        assert_equal(value, features[name], name)
