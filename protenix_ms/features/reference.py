# SPDX-License-Identifier: Apache-2.0
"""Describe the reference conformer of each residue (AF3 SI table 5, `ref_*`)."""

from __future__ import annotations

import numpy as np

from protenix_ms.chem.columns import map_unique
from protenix_ms.constants.residue_atoms import ATOMIC_NUMBER, NUM_ELEMENT_CLASSES
from protenix_ms.errors import ChemistryError
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.typing import Array, Float, Int, Shaped

NAME_LENGTH = 4
NUM_NAME_CHARS = 64
MAX_TRANSLATION = 1.0  # angstrom


def reference_features(
    atoms: AnnotatedAtoms, rng: np.random.Generator
) -> dict[str, Shaped[Array, "..."]]:
    """Make the `ref_*` features: positions (a, 3) f32 in angstrom, everything else i64.

    Raises:
        ChemistryError: an unknown element symbol.
    """
    uid = atoms.ref_space_uid
    return {
        "ref_pos": augment(atoms.ref_pos, np.unique(uid, return_inverse=True)[1], rng),
        "ref_mask": atoms.ref_mask.astype(np.int64),
        "ref_element": _elements(atoms),
        "ref_charge": atoms.charge.astype(np.int64),
        "ref_atom_name_chars": name_characters(atoms.atom_name),
        "ref_space_uid": uid,
    }


def augment(
    position: Float[Array, "a 3"], group: Int[Array, "a"], rng: np.random.Generator
) -> Float[Array, "a 3"]:
    """Centre each group on its mean, shift it by U(-1, 1) per axis, then rotate it at random.

    The shift comes before the rotation, and the mean counts atoms without coordinates too, as in
    upstream's `random_transform`. Groups are numbered 0, 1, ... Angstrom, float32.
    """
    size = np.bincount(group)
    total = np.stack([np.bincount(group, position[:, axis]) for axis in range(3)], axis=1)
    centre = total / size[:, None]
    shift = rng.uniform(-MAX_TRANSLATION, MAX_TRANSLATION, (len(size), 3))
    rotation = random_rotations(rng, len(size))
    moved = position - centre[group] + shift[group]
    augmented: Array = np.matmul(rotation[group], moved[:, :, None])[:, :, 0]
    return augmented.astype(np.float32)


def _elements(atoms: AnnotatedAtoms) -> Int[Array, "a 128"]:
    number: Array = map_unique(atoms.element, lambda symbol: ATOMIC_NUMBER.get(symbol, 0)) - 1
    if (number < 0).any():
        row = int(np.argmin(number))
        raise ChemistryError(
            f"atom {atoms.atom_name[row]} of {atoms.res_name[row]} has no definite element "
            f"('{atoms.element[row]}')",
            where=f"chain {atoms.chain_id[row]}, position {atoms.res_id[row]}",
            fix="choose a component without ambiguous atoms (ASX is ASN or ASP, GLX is GLN or GLU)",
        )
    return np.eye(NUM_ELEMENT_CLASSES, dtype=np.int64)[number]


def name_characters(names: Shaped[Array, "a"]) -> Int[Array, "a 4 64"]:
    """Encode four characters of a name, space-padded, as one-hot of code - 32 (at most 63)."""
    padded = np.char.ljust(names.astype(f"U{NAME_LENGTH}"), NAME_LENGTH)
    codes = np.ascontiguousarray(padded).view(np.uint32).reshape(-1, NAME_LENGTH).astype(np.int64)
    return np.eye(NUM_NAME_CHARS, dtype=np.int64)[np.clip(codes - 32, 0, NUM_NAME_CHARS - 1)]
