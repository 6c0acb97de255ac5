# SPDX-License-Identifier: Apache-2.0
"""All features of a job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features.assembly import assemble
from protenix_ms.features.bonds import bond_features
from protenix_ms.features.constraint import empty_constraint_features
from protenix_ms.features.frames import frame_features
from protenix_ms.features.msa import msa_features
from protenix_ms.features.options import FeatureOptions
from protenix_ms.features.reference import reference_features
from protenix_ms.features.roles import role_features
from protenix_ms.features.template import empty_template_features
from protenix_ms.features.tokens import TokenTable, token_features, tokenize
from protenix_ms.job import Job
from protenix_ms.typing import Array


@dataclass(frozen=True)
class Example:
    """What the model reads of a job, and what outputs need to write structures.

    Attributes:
        features: arrays by upstream's names (reference B.6); nested names joined by "/".
        atoms: annotated atoms, in model order, one row per predicted coordinate.
        tokens: tokens of these atoms.
    """

    features: dict[str, Array]
    atoms: AtomTable
    tokens: TokenTable


def build(
    job: Job,
    ccd: ComponentDictionary,
    rng: np.random.Generator,
    options: FeatureOptions = FeatureOptions(),  # noqa: B008 (frozen)
) -> Example:
    """Features, atoms and tokens of a job (upstream: `InferenceDataset.process_one`).

    Args:
        rng: drives SMILES conformers, the choice among equivalent leaving groups, and the
            random placement of reference conformers; same state, same bytes.

    Raises:
        ChemistryError: a residue, ligand or bond that cannot be built.
        InputError: an alignment that does not fit its sequence.
    """
    atoms = assemble(job, ccd, rng, options.upstream_quirks)
    return featurize(job, atoms, rng, options)


def featurize(
    job: Job, atoms: AtomTable, rng: np.random.Generator, options: FeatureOptions
) -> Example:
    """The second half of `build`, for a table of atoms that `assemble` made."""
    tokens = tokenize(atoms)
    features = structure_features(atoms, tokens, rng)
    features |= empty_constraint_features(len(tokens))
    features |= empty_template_features(len(tokens))
    features |= msa_features(job, tokens, options)
    return Example(features, atoms, tokens)


def structure_features(
    atoms: AtomTable,
    tokens: TokenTable,
    rng: np.random.Generator,
    distant_polymer_bonds: bool = True,
) -> dict[str, Array]:
    """Features that follow from the atoms alone, also those of a training example."""
    features = token_features(tokens) | bond_features(atoms, tokens, distant_polymer_bonds)
    features |= reference_features(atoms, rng)
    features |= frame_features(atoms, tokens, features["ref_pos"])
    return features | role_features(atoms, tokens)
