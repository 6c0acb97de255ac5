# SPDX-License-Identifier: Apache-2.0
"""Make the template features of a job, four slots per token (AF3 SI table 5).

Upstream: `TemplateFeatureAssemblyLine`, `Templates.as_protenix_dict`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protenix_ms.constants.residue_atoms import (
    ATOM37_OF_DENSE,
    MAX_DENSE_ATOMS,
    PSEUDO_BETA_INDEX,
)
from protenix_ms.constants.restypes import GAP_INDEX, UNKNOWN_INDEX
from protenix_ms.features.msa import FeatureOptions, token_columns
from protenix_ms.features.optional import (
    NUM_DISTOGRAM_BINS,
    NUM_TEMPLATES,
    empty_template_features,
)
from protenix_ms.features.template_choice import Template, choose_templates
from protenix_ms.features.tokens import TokenTable
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Bool, Float, Int

_EDGES = np.square(np.linspace(3.25, 50.75, NUM_DISTOGRAM_BINS, dtype=np.float32))
_UPPER_EDGES = np.append(_EDGES[1:], np.float32(1e8))
_EPSILON = 1e-6
_BACKBONE = (2, 1, 0)  # dense places of C, CA and N in every amino acid
_DENSE, _PSEUDO_BETA = np.array(ATOM37_OF_DENSE), np.array(PSEUDO_BETA_INDEX)


def template_features(job: Job, tokens: TokenTable, options: FeatureOptions) -> dict[str, Array]:
    """Make the template features of a job; see `empty_template_features` for their shapes.

    Templates of a chain are those of its entity. Pairs of different chains are filled in as well:
    the embedder of every released model masks them.

    Raises:
        InputError: unreadable hits, or a structure of the job that does not fit.
    """
    chains: list[tuple[int, Sequence[Template]]] = []
    for entity in job.entities:
        if isinstance(entity, Polymer):
            chosen = choose_templates(entity, options.templates, options.upstream_quirks)
            chain: tuple[int, Sequence[Template]] = len(entity.sequence), chosen.templates
        elif entity.is_ion and options.upstream_quirks:
            continue  # upstream's featurizer forgets them
        else:
            chain = 1, ()
        chains += [chain] * entity.count
    return merged_template_features(chains, tokens.asym_id, tokens.residue_index)


def merged_template_features(
    chains: Sequence[tuple[int, Sequence[Template]]], chain_index: Int[Array, "n"],
    residue_index: Int[Array, "n"],
) -> dict[str, Array]:  # fmt: skip
    """Make the features of `template_features` from the templates of chains.

    Args:
        chains: number of residues (1 for a ligand) and templates of each.
        chain_index: which of `chains` a token belongs to; residue_index: 1-based.
    """
    features = empty_template_features(len(chain_index))
    if not any(templates for _, templates in chains):
        return features
    widths = np.array([width for width, _ in chains])
    restype = np.zeros((NUM_TEMPLATES, widths.sum()), np.int64)
    restype[0] = GAP_INDEX
    positions = np.zeros((*restype.shape, MAX_DENSE_ATOMS, 3), np.float32)
    mask = np.zeros(positions.shape[:3], bool)
    for end, width, (_, templates) in zip(np.cumsum(widths), widths, chains):
        part = slice(end - width, end)
        for slot, template in enumerate(templates):
            dense = _DENSE[template.restype]
            restype[slot, part] = template.restype
            mask[slot, part] = np.take_along_axis(template.mask, dense, 1)
            positions[slot, part] = np.take_along_axis(template.positions, dense[..., None], 1)
    columns = token_columns(widths, chain_index, residue_index)
    features |= {"template_aatype": restype[:, columns], "template_atom_mask": mask[:, columns],
                 "template_atom_positions": positions[:, columns]}
    return features | pair_features(*(features[f"template_{name}"] for name in (
        "aatype", "atom_positions", "atom_mask")))


def pair_features(
    restype: Int[Array, "t n"], positions: Float[Array, "t n 24 3"], mask: Bool[Array, "t n 24"]
) -> dict[str, Array]:
    """Compute distances and directions of all pairs of tokens that have atoms."""
    t, n = restype.shape
    channels = {"pseudo_beta_mask": (), "distogram": (NUM_DISTOGRAM_BINS,), "unit_vector": (3,),
                "backbone_frame_mask": ()}
    features = {f"template_{name}": np.zeros((t, n, n, *last), np.float32)
                for name, last in channels.items()}
    for slot in range(t):
        rows = np.flatnonzero(mask[slot].any(axis=1))
        if not len(rows):
            continue
        own = restype[slot, rows], positions[slot, rows], mask[slot, rows]
        for name, value in (_pseudo_beta(*own) | _directions(*own)).items():
            features[f"template_{name}"][slot][np.ix_(rows, rows)] = value
    return features


def _pseudo_beta(
    restype: Int[Array, "n"], positions: Float[Array, "n 24 3"], mask: Bool[Array, "n 24"]
) -> dict[str, Array]:
    """Sort distances of the representative atoms into bins; a distance on an edge is in none."""
    place = np.arange(len(restype)), _PSEUDO_BETA[restype]
    position, present = positions[place], mask[place].astype(np.float32)
    difference = position[:, None] - position[None]
    squared = np.einsum("ijk,ijk->ij", difference, difference)[..., None]
    pairs = present[:, None] * present[None]
    bins = ((squared > _EDGES) & (squared < _UPPER_EDGES)).astype(np.float32)
    return {"pseudo_beta_mask": pairs, "distogram": bins * pairs[..., None]}


def _directions(
    restype: Int[Array, "n"], positions: Float[Array, "n 24 3"], mask: Bool[Array, "n 24"]
) -> dict[str, Array]:
    """Turn the way from one C-alpha to another into the frame of the first (C, CA, N)."""
    known = (restype < UNKNOWN_INDEX)[:, None]
    rows, places = np.arange(len(restype))[:, None], np.where(known, _BACKBONE, 0)
    backbone = positions[rows, places]
    present = mask[rows, places].all(axis=1).astype(np.float32)
    alpha = backbone[:, 1]
    x = _unit(backbone[:, 0] - alpha)
    y = backbone[:, 2] - alpha
    y = _unit(y - np.einsum("ij,ij->i", y, x)[:, None] * x)
    frames = np.stack([x, y, np.cross(x, y)], axis=-1)
    ways = _unit(np.einsum("ilk,ijl->ijk", frames, alpha[None] - alpha[:, None]))
    pairs = present[:, None] * present[None]
    return {"unit_vector": ways * pairs[..., None], "backbone_frame_mask": pairs}


def _unit(vectors: Float[Array, "... 3"]) -> Float[Array, "... 3"]:
    length = np.sqrt(np.einsum("...k,...k->...", vectors, vectors))[..., None]
    scaled: Array = vectors / (length + _EPSILON)
    return scaled
