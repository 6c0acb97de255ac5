# SPDX-License-Identifier: Apache-2.0
"""Placement of reference conformers, and frames that are none."""

import numpy as np
import pytest

from protenix_ms.errors import ChemistryError
from protenix_ms.features.frames import frame_features
from protenix_ms.features.reference import augment, reference_features
from protenix_ms.features.tokens import tokenize

GLY = ("GLY", None)
GOL = ("GOL", ["C1", "C2", "O1"])


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(50), rng.integers(5, 9, 50))
    position = rng.normal(scale=4, size=(len(group), 3)).astype(np.float32)
    return position, rng.permutation(group)


def test_augmentation_moves_every_group_rigidly(groups):
    position, group = groups
    moved = augment(position, group, np.random.default_rng(0))
    assert moved.dtype == np.float32
    for g in range(50):
        before, after = position[group == g].astype(float), moved[group == g].astype(float)
        one, two = before - before.mean(axis=0), after - after.mean(axis=0)
        np.testing.assert_allclose(one @ one.T, two @ two.T, atol=2e-4)
        assert np.isclose(np.linalg.det(one[:3]), np.linalg.det(two[:3]), rtol=1e-3, atol=1e-3)


def test_the_shift_stands_before_the_rotation(groups):
    """Group centres fill the rotated cube: some leave [-1, 1] but none the sphere of sqrt(3)."""
    position = np.zeros((20000, 3), np.float32)
    centres = augment(position, np.arange(20000), np.random.default_rng(0))
    norm = np.linalg.norm(centres, axis=1)
    assert np.abs(centres).max() > 1.3
    assert 1.5 < norm.max() <= np.sqrt(3) + 1e-6
    np.testing.assert_allclose(centres.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(centres.T), np.eye(3) / 3, atol=0.02)


def test_the_generator_decides(groups):
    first, again, other = (augment(*groups, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 1


def test_atom_names_and_elements(annotated):
    atoms = annotated([("LIG", ["C1", "CLA12", "o"])])
    atoms = atoms.with_columns(element=np.array(["C", "CL", "OG"]))
    features = reference_features(atoms, np.random.default_rng(0))
    codes = features["ref_atom_name_chars"].argmax(-1) + 32
    assert ["".join(map(chr, row)) for row in codes] == ["C1  ", "CLA1", "_   "]  # o: clipped to 63
    assert features["ref_element"].argmax(-1).tolist() == [5, 16, 117]


def test_an_ambiguous_element_is_refused(annotated):
    atoms = annotated([GLY], [("ASX", ["C", "XD1"])])
    message = r"chain B, position 1: atom XD1 of ASX has no definite element \('X'\)"
    with pytest.raises(ChemistryError, match=message):
        reference_features(atoms, np.random.default_rng(0))


def ligand_frames(annotated, position, mask=(1, 1, 1)):
    atoms = annotated([GLY], [("GOL", ["C1", "C2", "O1"][: len(position)])])
    atoms.ref_pos[4:] = position
    atoms.ref_mask[4:] = mask[: len(position)]
    features = frame_features(atoms, tokenize(atoms), atoms.ref_pos)
    assert features["has_frame"][0] == 1
    assert features["frame_atom_index"][0].tolist() == [0, 1, 2]
    return features["frame_atom_index"][1:].tolist(), features["has_frame"][1:].tolist()


def test_a_ligand_atom_looks_at_its_two_nearest(annotated):
    index, valid = ligand_frames(annotated, [[0, 0, 0], [1, 0, 0], [0, 2, 0]])
    assert index == [[5, 4, 6], [4, 5, 6], [4, 6, 5]]
    assert valid == [1, 1, 1]


def test_a_nearly_straight_frame_is_none(annotated):
    assert ligand_frames(annotated, [[0, 0, 0], [1, 0, 0], [2.2, 0.1, 0]])[1] == [0, 0, 0]


def test_two_atoms_make_no_frame(annotated):
    index, valid = ligand_frames(annotated, [[0, 0, 0], [1, 0, 0]])
    assert index == [[-1, 4, -1], [-1, 5, -1]]
    assert valid == [0, 0]


def test_unknown_positions_make_no_frame(annotated):
    square = [[0, 0, 0], [1, 0, 0], [0, 2, 0]]
    assert ligand_frames(annotated, square, mask=(1, 1, 0))[1] == [0, 0, 0]
    assert ligand_frames(annotated, np.zeros((3, 3)))[1] == [0, 0, 0]


def test_a_backbone_with_a_gap_makes_no_frame(annotated):
    atoms = annotated([GLY, ("GLY", ["CA", "C", "O"])])
    features = frame_features(atoms, tokenize(atoms), atoms.ref_pos)
    assert features["has_frame"].tolist() == [1, 0]
    assert features["frame_atom_index"].tolist() == [[0, 1, 2], [-1, -1, -1]]
