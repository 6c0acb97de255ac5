# SPDX-License-Identifier: Apache-2.0
"""Make a training example of an entry: a crop as features, labels and permutations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from protenix_ms.data.constraints import ConstraintSampling, sample_constraints
from protenix_ms.data.crop import Crop, CropOptions, EmptyCropError, draw_crop
from protenix_ms.data.entry import Entry
from protenix_ms.data.symmetry import Symmetries, permutation_lists
from protenix_ms.data.templates import TrainingTemplates, crop_template_features
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.features.build import structure_features
from protenix_ms.features.msa import empty_msa_features, merged_msa_features
from protenix_ms.features.msa_chain import ChainMsa, encode_ligand, encode_polymer
from protenix_ms.features.optional import empty_constraint_features, empty_template_features
from protenix_ms.features.reference import name_characters
from protenix_ms.features.tokens import TokenTable, tokenize
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.job import Job, Polymer, PolymerKind
from protenix_ms.typing import Array, Int, Shaped

MIN_RESOLVED = 5  # atoms of a contiguous crop
_BY_ROW = ("msa", "msa_mask", "deletion_matrix", "deletion_value", "has_deletion")
_CACHED_CHAINS = 32
_KINDS: dict[str, PolymerKind] = {
    "polypeptide(L)": "protein",
    "polyribonucleotide": "rna",
    "polydeoxyribonucleotide": "dna",
}


@dataclass(frozen=True)
class ExampleOptions:
    """How examples are made.

    Attributes:
        crop: size and kinds of crops.
        use_msa, use_templates: whether alignments and templates are read, where there are any.
        msa_rows: at most so many rows, drawn at random beside the query (the first row).
        rename_ligands, shuffle_molecules, shuffle_copies: vary names and orders, which must not
            change the answer.
        reference_chains_only: leave out all chains but the sampled one or two.
        constraints: sample distance constraints (constraint model only); None for none.
        distillation: the structure is predicted, so its resolution says nothing.
    """

    crop: CropOptions = field(default_factory=CropOptions)
    use_msa: bool = True
    use_templates: bool = True
    msa_rows: int = 16384
    rename_ligands: bool = False
    shuffle_molecules: bool = False
    shuffle_copies: bool = False
    reference_chains_only: bool = False
    distillation: bool = False
    constraints: ConstraintSampling | None = None


@dataclass(frozen=True)
class TrainingExample:
    """Features and labels of a training step.

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
    atoms: AnnotatedAtoms
    tokens: TokenTable
    crop: Crop


class Alignments:
    """Reads alignments by sequence and encodes them; the last few stay in memory.

    Args:
        files: where they are.
        use_rna_msa: off, alignments of RNA are ignored (the v0.5 models never saw any).
    """

    def __init__(self, files: AlignmentFiles, use_rna_msa: bool = True) -> None:
        self._files, self._use_rna_msa = files, use_rna_msa
        self.chain = lru_cache(_CACHED_CHAINS)(self._encode)

    def _encode(self, kind: PolymerKind, sequence: str, pairing: bool) -> ChainMsa:
        """Encode the alignments of a chain.

        Raises:
            InputError: they are unusable.
        """
        job = Job("", (Polymer(kind, sequence),), source=f"{kind} {sequence[:20]}...")
        (chain,) = (e for e in self._files.attach(job).entities if isinstance(e, Polymer))
        return encode_polymer(chain, pairing=pairing, use_rna_msa=self._use_rna_msa)


def training_example(
    entry: Entry, chains: Sequence[str], rng: np.random.Generator, options: ExampleOptions,
    symmetries: Symmetries, alignments: Alignments | None = None,
    templates: TrainingTemplates | None = None,
) -> TrainingExample:  # fmt: skip
    """Make an example around the sampled chain or interface.

    Upstream: `BaseSingleDataset.process_one`.

    Args:
        chains: name of the sampled chain, or of both chains of an interface.
        rng: drives augmentation, crop and placement of conformers.

    Raises:
        EmptyCropError: the drawn crop holds nothing to learn from; draw another.
        InputError: an unusable alignment, or template hits.
    """
    whole = entry.atoms
    if options.reference_chains_only:
        whole = whole[np.isin(whole.chain_id, list(chains))]
    if options.shuffle_molecules:
        whole = shuffled_molecules(whole, rng)
    if options.shuffle_copies:
        whole = shuffled_copies(whole, rng)
    whole_tokens = tokenize(whole)
    crop = draw_crop(whole, whole_tokens, chains, options.crop, rng)
    atoms = whole[np.isin(whole_tokens.atom_to_token, crop.tokens)]
    resolved = int(atoms.is_resolved.sum())
    if not len(atoms) or (crop.method == "contiguous" and resolved < MIN_RESOLVED):
        raise EmptyCropError(f"a {crop.method} crop with {resolved} resolved atoms")
    tokens = tokenize(atoms)
    constraints = empty_constraint_features(len(tokens))
    if options.constraints:
        drawn = sample_constraints(whole, atoms, rng, options.constraints)
        whole, atoms, tokens, constraints = drawn.whole, drawn.atoms, drawn.tokens, drawn.features
    features = structure_features(atoms, tokens, rng, distant_polymer_bonds=False) | constraints
    if options.rename_ligands:
        features["ref_atom_name_chars"] = name_characters(anonymous_ligand_names(atoms))
    resolution = -1.0 if options.distillation else entry.resolution
    features["resolution"] = np.array([resolution], np.float32)
    features["is_distillation"] = np.array([options.distillation])
    features |= empty_template_features(len(tokens)) | empty_msa_features(tokens.restype)
    entities = atoms.entity_id[tokens.centre_atom]
    if options.use_templates and templates is not None:
        features |= crop_template_features(entry, tokens, entities, templates, rng,
                                           options.distillation)
    if options.use_msa and alignments is not None:
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


def shuffled_molecules(atoms: AnnotatedAtoms, rng: np.random.Generator) -> AnnotatedAtoms:
    """Put molecules in random order, each with its atoms in their order."""
    rank = rng.permutation(int(atoms.mol_id.max()) + 1)
    return atoms[np.argsort(rank[atoms.mol_id], kind="stable")]


def shuffled_copies(atoms: AnnotatedAtoms, rng: np.random.Generator) -> AnnotatedAtoms:
    """Number the copies of every entity (`sym_id`) at random."""
    copy = atoms.sym_id.copy()
    for entity in np.unique(atoms.entity_id):
        rows = atoms.entity_id == entity
        used, index = np.unique(copy[rows], return_inverse=True)
        copy[rows] = rng.permutation(used)[index]
    return atoms.with_columns(sym_id=copy)


def anonymous_ligand_names(atoms: AnnotatedAtoms) -> Shaped[Array, "a"]:
    """Name the atoms of ligands by element and count (C1, C2, O1, ...); others keep their names.

    Names in the dictionary tell where an atom sits; renamed, they do not.
    """
    names = atoms.atom_name.astype("U8")
    for rows in atoms.residues():
        if atoms.mol_type[rows.start] != "ligand":
            continue
        seen: Counter[str] = Counter()
        for row in range(rows.start, rows.stop):
            element = str(atoms.element[row])
            seen[element] += 1
            names[row] = f"{element}{seen[element]}"
    return names


def _labels(atoms: AnnotatedAtoms) -> dict[str, Array]:
    return {
        "coordinate": atoms.coord.astype(np.float32),
        "coordinate_mask": atoms.is_resolved.astype(np.int64),
    }


def full_labels(
    whole: AnnotatedAtoms, crop: AnnotatedAtoms, same_molecules: bool
) -> dict[str, Array]:
    """Make the labels for chain permutation (upstream `get_gt_full_complex_features`).

    They hold the atoms of the assembly that the crop has in some molecule of the same kind.

    Args:
        same_molecules: only molecules that the crop touches (spatial crops).
    """
    stride = int(whole.mol_atom_index.max(initial=0)) + 1
    place, in_crop = (t.entity_mol_id * stride + t.mol_atom_index for t in (whole, crop))
    kept = np.isin(place, in_crop)
    if same_molecules:
        kept &= np.isin(whole.mol_id, crop.mol_id)
    atoms = whole[kept]
    return _labels(atoms) | {
        "pae_rep_atom_mask": atoms.centre_atom_mask.astype(np.int64),
        "entity_mol_id": atoms.entity_mol_id.astype(np.int64),
        "mol_id": atoms.mol_id.astype(np.int64),
        "mol_atom_index": atoms.mol_atom_index.astype(np.int64),
    }


def sampled_rows(
    features: dict[str, Array], count: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Keep the query and `count` - 1 of the other rows of MSA features, in their order."""
    depth = len(features["msa"])
    if depth <= count:
        return features
    others = 1 + np.sort(rng.choice(depth - 1, max(0, count - 1), replace=False))
    rows = np.concatenate([[0], others])
    return features | {name: features[name][rows] for name in _BY_ROW if name in features}


def crop_msa_features(
    entry: Entry, tokens: TokenTable, entities: Shaped[Array, "n"], alignments: Alignments
) -> dict[str, Array]:
    """Merge the alignments of the chains that a crop touches, one column per token.

    Upstream: `MSAFeaturizer.make_msa_features`.

    Rows pair by species if the crop holds different proteins. Polymers other than the common
    three kinds have their sequence only; ligands read as unknown residues.

    Args:
        tokens: of the crop; `asym_id` need not be without gaps.
        entities: label entity of every token.

    Raises:
        InputError: an alignment that is unusable.
    """
    _, first, index = np.unique(tokens.asym_id, return_index=True, return_inverse=True)
    of_chain = entities[first].tolist()
    kinds = {entity: _KINDS.get(entry.polymers.get(entity, "")) for entity in set(of_chain)}
    proteins = {entry.sequences[e] for e, kind in kinds.items() if kind == "protein"}
    pairing = len(proteins) > 1
    encoded = {
        entity: alignments.chain(kind, entry.sequences[entity], pairing)
        if kind else _without_alignment(entry.sequences.get(entity))
        for entity, kind in kinds.items()
    }
    chains = [encoded[entity] for entity in of_chain]
    return merged_msa_features(chains, index, tokens.residue_index, pairing=pairing)


def _without_alignment(sequence: str | None) -> ChainMsa:
    """Encode a ligand, or a polymer that no alignment exists for, such as a D-peptide."""
    if sequence is None:
        return encode_ligand()
    return replace(
        encode_polymer(Polymer("protein", sequence), pairing=False, use_rna_msa=False),
        kind="ligand",
    )
