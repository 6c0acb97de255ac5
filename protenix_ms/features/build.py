# SPDX-License-Identifier: Apache-2.0
"""Build all features of a job."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.assembly import assemble
from protenix_ms.features.bonds import bond_features
from protenix_ms.features.constraints import (
    Restraint,
    constraint_features,
    find_restraints,
    split_contacts,
)
from protenix_ms.features.frames import frame_features
from protenix_ms.features.guidance import guidance_features
from protenix_ms.features.msa import FeatureOptions, msa_features
from protenix_ms.features.reference import reference_features
from protenix_ms.features.template import template_features
from protenix_ms.features.tokens import TokenTable, role_features, token_features, tokenize
from protenix_ms.job import Job
from protenix_ms.typing import Array


@dataclass(frozen=True)
class Example:
    """Features of a job, and the atoms that outputs need to write structures.

    Attributes:
        features: arrays by upstream's names ; nested names are joined by "/".
        atoms: annotated atoms, in model order, one row per predicted coordinate.
        tokens: tokens of these atoms.
        restraints: the job's constraints, whether the model reads them or not.
    """

    features: dict[str, Array]
    atoms: AnnotatedAtoms
    tokens: TokenTable
    restraints: tuple[Restraint, ...] = ()


def feature_draws(job: Job, seed: int) -> np.random.Generator:
    """Return the draws of a job's features for a seed: conformers and their placements."""
    key = np.random.SeedSequence((seed, crc32(job.name.encode()), crc32(b"features")))
    return np.random.Generator(np.random.Philox(key))


def build(
    job: Job,
    ccd: ComponentDictionary,
    rng: np.random.Generator,
    options: FeatureOptions = FeatureOptions(),  # noqa: B008 (frozen)
) -> Example:
    """Build features, atoms and tokens of a job (upstream: `InferenceDataset.process_one`).

    Args:
        rng: drives SMILES conformers, the choice among equivalent leaving groups, and the
            random placement of reference conformers; same state, same bytes.

    Raises:
        ChemistryError: a residue, ligand or bond that cannot be built, a constraint without atoms.
        InputError: an alignment that does not fit its sequence.
    """
    atoms = assemble(job, ccd, rng, options.upstream_quirks)
    example = featurize(job, atoms, rng, options)
    if options.guidance:
        example.features.update(guidance_features(job, atoms, ccd))
    return example


def featurize(
    job: Job, atoms: AnnotatedAtoms, rng: np.random.Generator, options: FeatureOptions
) -> Example:
    """Build the features of a job whose atoms `assemble` made."""
    restraints = find_restraints(job, atoms)
    used = restraints if options.use_constraints else ()
    atoms = split_contacts(atoms, used)
    tokens = tokenize(atoms)
    features = structure_features(atoms, tokens, rng)
    features |= constraint_features(used, tokens)
    features |= template_features(job, tokens, options)
    features |= msa_features(job, tokens, options)
    return Example(features, atoms, tokens, restraints)


def structure_features(
    atoms: AnnotatedAtoms, tokens: TokenTable, rng: np.random.Generator,
    distant_polymer_bonds: bool = True,
) -> dict[str, Array]:  # fmt: skip
    """Build the features that follow from the atoms alone, also those of a training example."""
    features = token_features(tokens) | bond_features(atoms, tokens, distant_polymer_bonds)
    features |= reference_features(atoms, rng)
    features |= frame_features(atoms, tokens, features["ref_pos"])
    return features | role_features(atoms, tokens)
