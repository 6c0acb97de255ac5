# SPDX-License-Identifier: Apache-2.0
"""MSA features of a crop (upstream `MSAFeaturizer.make_msa_features`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protenix_ms.features.msa import merged_msa_features
from protenix_ms.features.tokens import TokenTable
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.job import Job, Polymer, PolymerKind
from protenix_ms.msa.chain import ChainMsa, encode_ligand, encode_polymer
from protenix_ms.structures.entry import Entry
from protenix_ms.typing import Array

KINDS: dict[str, PolymerKind] = {
    "polypeptide(L)": "protein",
    "polyribonucleotide": "rna",
    "polydeoxyribonucleotide": "dna",
}


def crop_msa_features(
    entry: Entry, tokens: TokenTable, entities: Array, files: AlignmentFiles | None,
    use_rna_msa: bool = True,
) -> dict[str, Array]:
    """Alignments of the chains that the crop touches, merged over them, one column per token.

    Rows pair by species if the crop holds different proteins. Polymers other than the common
    three kinds have their sequence only; ligands read as unknown residues.

    Args:
        tokens: of the crop; `asym_id` need not be without gaps.
        entities: label entity of every token.
        files: alignments by sequence; None gives every polymer its own sequence only.

    Raises:
        InputError: an alignment that is unusable.
    """
    chains, first, index = np.unique(tokens.asym_id, return_index=True, return_inverse=True)
    polymers = {entity: _polymer(entry, entity, files) for entity in set(entities[first].tolist())}
    proteins = {
        polymer.sequence for entity, polymer in polymers.items()
        if polymer is not None and KINDS.get(entry.polymers[entity]) == "protein"
    }
    pairing = len(proteins) > 1
    encoded = {
        entity: _encoded(polymer, pairing, use_rna_msa) for entity, polymer in polymers.items()
    }
    for entity in encoded.keys() - {e for e, kind in entry.polymers.items() if kind in KINDS}:
        encoded[entity] = replace(encoded[entity], kind="ligand")
    return merged_msa_features(
        [encoded[entity] for entity in entities[first].tolist()],
        index, tokens.residue_index, pairing=pairing,
    )


def _polymer(entry: Entry, entity: str, files: AlignmentFiles | None) -> Polymer | None:
    if entity not in entry.sequences:
        return None
    kind = KINDS.get(entry.polymers.get(entity, ""))
    polymer = Polymer(kind or "protein", entry.sequences[entity])
    if files is None or kind is None:
        return polymer
    (attached,) = files.attach(Job(entry.name, (polymer,), source=entry.name)).entities
    return attached


def _encoded(polymer: Polymer | None, pairing: bool, use_rna_msa: bool) -> ChainMsa:
    if polymer is None:
        return encode_ligand()
    return encode_polymer(polymer, pairing=pairing, use_rna_msa=use_rna_msa)
