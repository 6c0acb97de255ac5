# SPDX-License-Identifier: Apache-2.0
"""Choose the three atoms of every token's frame, in which PAE is measured (AF3 SI 4.3.2)."""

from __future__ import annotations

import numpy as np

from protenix_ms.constants.residue_atoms import NUCLEIC_FRAME_ATOMS, PROTEIN_FRAME_ATOMS
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.tokens import TokenTable
from protenix_ms.typing import Array, Bool, Float, Int, Shaped

MAX_COLLINEAR_DEVIATION = 25.0  # degrees
_ZERO_LENGTH = 1e-8  # angstrom, numpy.isclose to zero
_COSINE_GUARD = 1e-4
NO_ATOM = -1


def frame_features(
    atoms: AnnotatedAtoms, tokens: TokenTable, ref_pos: Float[Array, "a 3"]
) -> dict[str, Shaped[Array, "..."]]:
    """Make `has_frame` (n,) and `frame_atom_index` (n, 3) i64: rows of atoms a, b, c; -1 for none.

    Whole residues use N-CA-C or C1'-C3'-C4'; single-atom tokens use themselves as b and the two
    nearest atoms of their residue's reference conformer as a and c. A frame is invalid when
    the residue has fewer than three atoms, an atom without coordinates, or is nearly straight.
    Among equally near atoms upstream's choice depends on the rounding of the augmented positions.

    Args:
        ref_pos: reference positions as the model gets them, angstrom.
    """
    index = np.full((len(tokens), 3), NO_ATOM, np.int64)
    has_frame = np.zeros(len(tokens), bool)
    whole = ~tokens.atomwise
    index[whole], has_frame[whole] = _backbone_frames(atoms, tokens, whole)
    single = np.flatnonzero(tokens.atomwise)
    index[single] = _nearest_frames(atoms, tokens.centre_atom[single], ref_pos)
    has_frame[single] = _is_valid(index[single], ref_pos, atoms.ref_mask)
    return {"has_frame": has_frame.astype(np.int64), "frame_atom_index": index}


def _backbone_frames(
    atoms: AnnotatedAtoms, tokens: TokenTable, whole: Bool[Array, "n"]
) -> tuple[Int[Array, "w 3"], Bool[Array, "w"]]:
    is_protein = atoms.mol_type == "protein"
    index = np.full((len(tokens), 3), NO_ATOM, np.int64)
    for place, names in enumerate(zip(PROTEIN_FRAME_ATOMS, NUCLEIC_FRAME_ATOMS)):
        rows = np.flatnonzero(atoms.atom_name == np.where(is_protein, *names))
        index[tokens.atom_to_token[rows], place] = rows
    index = index[whole]
    complete = (index != NO_ATOM).all(axis=1)
    index[~complete] = NO_ATOM
    return index, complete


def _nearest_frames(
    atoms: AnnotatedAtoms, centres: Int[Array, "s"], ref_pos: Float[Array, "a 3"]
) -> Int[Array, "s 3"]:
    """List nearest, own and second nearest atom of single-atom tokens, within their residue."""
    uid = atoms.ref_space_uid
    order = np.argsort(uid, kind="stable")
    starts = np.searchsorted(uid[order], np.arange(int(uid.max(initial=-1)) + 2))
    index = np.full((len(centres), 3), NO_ATOM, np.int64)
    index[:, 1] = centres
    by_residue = np.argsort(uid[centres], kind="stable")
    residues, first = np.unique(uid[centres][by_residue], return_index=True)
    for residue, tokens in zip(residues, np.split(by_residue, first[1:])):
        members = order[starts[residue] : starts[residue + 1]]
        if len(members) < 3:
            continue
        position = ref_pos[members].astype(np.float64)
        own = ref_pos[centres[tokens]].astype(np.float64)
        distance = ((own[:, None] - position[None]) ** 2).sum(-1)
        nearest = np.argsort(distance, axis=1, kind="stable")
        index[tokens, 0], index[tokens, 2] = members[nearest[:, 1]], members[nearest[:, 2]]
    return index


def _is_valid(
    index: Int[Array, "s 3"], ref_pos: Float[Array, "a 3"], ref_mask: Int[Array, "a"]
) -> Bool[Array, "s"]:
    complete = (index != NO_ATOM).all(axis=1)
    a, b, c = np.moveaxis(ref_pos[index].astype(np.float64), 1, 0)
    first, second = b - a, c - b
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    cosine = (first * second).sum(1) / (lengths[0] * lengths[1] + _COSINE_GUARD)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    straight = (angle <= MAX_COLLINEAR_DEVIATION) | (angle >= 180 - MAX_COLLINEAR_DEVIATION)
    apart = np.minimum(*lengths) > _ZERO_LENGTH
    known = (ref_mask[index] > 0).all(axis=1)
    valid: Bool[Array, "s"] = complete & apart & ~straight & known
    return valid
