# SPDX-License-Identifier: Apache-2.0
"""MSA features of a crop (upstream `MSAFeaturizer.make_msa_features`)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from protenix_ms.data.entry import Entry
from protenix_ms.features.msa import merged_msa_features
from protenix_ms.features.msa_chain import ChainMsa, encode_ligand, encode_polymer
from protenix_ms.features.tokens import TokenTable
from protenix_ms.io.alignment_files import AlignmentFiles
from protenix_ms.job import Job, Polymer, PolymerKind
from protenix_ms.typing import Array, Shaped

_CACHED_CHAINS = 32
_KINDS: dict[str, PolymerKind] = {
    "polypeptide(L)": "protein",
    "polyribonucleotide": "rna",
    "polydeoxyribonucleotide": "dna",
}


class Alignments:
    """Alignments by sequence, encoded when first asked for; the last few stay in memory.

    Args:
        files: where they are.
        use_rna_msa: off, alignments of RNA are ignored (the v0.5 models never saw any).
    """

    def __init__(self, files: AlignmentFiles, use_rna_msa: bool = True) -> None:
        self._files, self._use_rna_msa = files, use_rna_msa
        self._known: OrderedDict[tuple[str, str, bool], ChainMsa] = OrderedDict()

    def chain(self, kind: PolymerKind, sequence: str, pairing: bool) -> ChainMsa:
        """The encoded alignments of a chain.

        Raises:
            InputError: they are unusable.
        """
        key = (kind, sequence, pairing)
        if key not in self._known:
            job = Job("", (Polymer(kind, sequence),), source=f"{kind} {sequence[:20]}...")
            (polymer,) = self._files.attach(job).entities
            self._known[key] = encode_polymer(
                polymer, pairing=pairing, use_rna_msa=self._use_rna_msa
            )
        self._known.move_to_end(key)
        while len(self._known) > _CACHED_CHAINS:
            self._known.popitem(last=False)
        return self._known[key]


def crop_msa_features(
    entry: Entry, tokens: TokenTable, entities: Shaped[Array, "n"], alignments: Alignments
) -> dict[str, Array]:
    """Alignments of the chains that the crop touches, merged over them, one column per token.

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
    """A ligand, or a polymer that no alignment exists for, such as a D-peptide."""
    if sequence is None:
        return encode_ligand()
    return replace(
        encode_polymer(Polymer("protein", sequence), pairing=False, use_rna_msa=False),
        kind="ligand",
    )
