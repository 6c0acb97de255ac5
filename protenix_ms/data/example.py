# SPDX-License-Identifier: Apache-2.0
"""One training example: a crop of an entry as features, labels and permutations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.alignments import Alignments, crop_msa_features
from protenix_ms.data.augmentation import (
    anonymous_ligand_names,
    shuffled_copies,
    shuffled_molecules,
)
from protenix_ms.data.constraint_options import ConstraintSampling
from protenix_ms.data.constraint_sampling import sample_constraints
from protenix_ms.data.crop import Crop, CropOptions, EmptyCropError, draw_crop
from protenix_ms.data.entry import Entry
from protenix_ms.data.symmetry import Symmetries, permutation_lists
from protenix_ms.features.build import structure_features
from protenix_ms.features.constraint import empty_constraint_features
from protenix_ms.features.msa import empty_msa_features
from protenix_ms.features.reference import name_characters
from protenix_ms.features.template import empty_template_features
from protenix_ms.features.tokens import TokenTable, tokenize
from protenix_ms.typing import Array, Bool, Int

MIN_RESOLVED = 5  # atoms of a contiguous crop
_BY_ROW = ("msa", "msa_mask", "deletion_matrix", "deletion_value", "has_deletion")


@dataclass(frozen=True)
class ExampleOptions:
    """How examples are made.

    Attributes:
        crop: size and kinds of crops.
        use_msa: whether alignments are read, where there are any.
        msa_rows: at most so many rows, drawn at random beside the query (the first row).
        rename_ligands, shuffle_molecules, shuffle_copies: see `augmentation`.
        reference_chains_only: leave out all chains but the sampled one or two.
        constraints: sample distance constraints (constraint model only); None for none.
        distillation: the structure is predicted, so its resolution says nothing.
    """

    crop: CropOptions = field(default_factory=CropOptions)
    use_msa: bool = True
    msa_rows: int = 16384
    rename_ligands: bool = False
    shuffle_molecules: bool = False
    shuffle_copies: bool = False
    reference_chains_only: bool = False
    distillation: bool = False
    constraints: ConstraintSampling | None = None


@dataclass(frozen=True)
class TrainingExample:
    """What a training step reads.

    Attributes:
        features: arrays by upstream's names, as in prediction, `resolution` and
            `is_distillation` filled.
        labels: of the crop, `coordinate` (a, 3) f32 in angstrom, `coordinate_mask` (a,) i64.
        labels_full: `coordinate`, `coordinate_mask`, `entity_mol_id`, `mol_id`,
            `mol_atom_index`, `pae_rep_atom_mask` of all molecules that may stand in for those
            of the crop (chain permutation).
        permutations: per residue of the crop, columns of atom orders (atom permutation).
        atoms, tokens: of the crop.
        crop: which tokens, by which method.
    """

    features: dict[str, Array]
    labels: dict[str, Array]
    labels_full: dict[str, Array]
    permutations: list[Int[Array, "_ _"]]
    atoms: AtomTable
    tokens: TokenTable
    crop: Crop


def training_example(
    entry: Entry,
    chains: Sequence[str],
    rng: np.random.Generator,
    options: ExampleOptions,
    symmetries: Symmetries,
    alignments: Alignments | None = None,
) -> TrainingExample:
    """An example around the sampled chain or interface (upstream `BaseSingleDataset.process_one`).

    Args:
        chains: name of the sampled chain, or of both chains of an interface.
        rng: drives augmentation, crop and placement of conformers.

    Raises:
        EmptyCropError: the drawn crop holds nothing to learn from; draw another.
        InputError: an unusable alignment.
    """
    whole = _augmented(entry.atoms, chains, rng, options)
    whole_tokens = tokenize(whole)
    crop = draw_crop(whole, whole_tokens, chains, options.crop, rng)
    atoms = whole[np.isin(whole_tokens.atom_to_token, crop.tokens)]
    resolved = int(atoms.extra["is_resolved"].sum())
    if not len(atoms) or (crop.method == "contiguous" and resolved < MIN_RESOLVED):
        raise EmptyCropError(f"a {crop.method} crop with {resolved} resolved atoms")
    tokens = tokenize(atoms)
    constraints = empty_constraint_features(len(tokens))
    if options.constraints:
        made = sample_constraints(whole, atoms, rng, options.constraints)
        whole, atoms, tokens, constraints = made.whole, made.atoms, made.tokens, made.features
    features = _structure_features(entry, atoms, tokens, rng, options) | constraints
    features |= empty_template_features(len(tokens)) | empty_msa_features(tokens.restype)
    if options.use_msa and alignments is not None:
        entities = atoms.entity_id[tokens.centre_atom]
        rows = crop_msa_features(entry, tokens, entities, alignments)
        features |= sampled_rows(rows, options.msa_rows, rng)
    return TrainingExample(
        features=features,
        labels=_labels(atoms),
        labels_full=full_labels(whole, atoms, same_molecules=crop.centre >= 0),
        permutations=permutation_lists(atoms, symmetries),
        atoms=atoms,
        tokens=tokens,
        crop=crop,
    )


def _structure_features(
    entry: Entry,
    atoms: AtomTable,
    tokens: TokenTable,
    rng: np.random.Generator,
    options: ExampleOptions,
) -> dict[str, Array]:
    features = structure_features(atoms, tokens, rng, distant_polymer_bonds=False)
    if options.rename_ligands:
        features["ref_atom_name_chars"] = name_characters(anonymous_ligand_names(atoms))
    resolution = -1.0 if options.distillation else entry.resolution
    features["resolution"] = np.array([resolution], np.float32)
    features["is_distillation"] = np.array([options.distillation])
    return features


def _augmented(
    atoms: AtomTable, chains: Sequence[str], rng: np.random.Generator, options: ExampleOptions
) -> AtomTable:
    if options.reference_chains_only:
        atoms = atoms[np.isin(atoms.chain_id, list(chains))]
    if options.shuffle_molecules:
        atoms = shuffled_molecules(atoms, rng)
    return shuffled_copies(atoms, rng) if options.shuffle_copies else atoms


def sampled_rows(
    features: dict[str, Array], count: int, rng: np.random.Generator
) -> dict[str, Array]:
    """MSA features with the query and `count` - 1 of the other rows, in their order."""
    depth = len(features["msa"])
    if depth <= count:
        return features
    others = 1 + np.sort(rng.choice(depth - 1, max(0, count - 1), replace=False))
    rows = np.concatenate([[0], others])
    return features | {name: features[name][rows] for name in _BY_ROW if name in features}


def _labels(atoms: AtomTable) -> dict[str, Array]:
    return {
        "coordinate": atoms.coord.astype(np.float32),
        "coordinate_mask": atoms.extra["is_resolved"].astype(np.int64),
    }


def full_labels(whole: AtomTable, crop: AtomTable, same_molecules: bool) -> dict[str, Array]:
    """Labels for chain permutation (upstream `get_gt_full_complex_features`).

    Those atoms of the assembly that the crop has in some molecule of the same kind.

    Args:
        same_molecules: only molecules that the crop touches (spatial crops).
    """
    kept = _same_atoms(whole, crop)
    if same_molecules:
        kept &= np.isin(whole.extra["mol_id"], crop.extra["mol_id"])
    atoms = whole[kept]
    columns = {"pae_rep_atom_mask": "centre_atom_mask"}
    columns |= {name: name for name in ("entity_mol_id", "mol_id", "mol_atom_index")}
    numbers = {name: atoms.extra[column].astype(np.int64) for name, column in columns.items()}
    return _labels(atoms) | numbers


def _same_atoms(whole: AtomTable, crop: AtomTable) -> Bool[Array, "a"]:
    """Atoms whose place in their kind of molecule the crop has too."""
    stride = int(whole.extra["mol_atom_index"].max(initial=0)) + 1
    keys = [t.extra["entity_mol_id"] * stride + t.extra["mol_atom_index"] for t in (whole, crop)]
    return np.isin(*keys)
