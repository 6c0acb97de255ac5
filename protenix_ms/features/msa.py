# SPDX-License-Identifier: Apache-2.0
"""Make the MSA features, one column per token (AF3 SI 2.8; upstream `InferenceMSAFeaturizer`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from protenix_ms.constants.restypes import RESTYPES
from protenix_ms.features.alignment_cache import ALIGNMENTS
from protenix_ms.features.msa_chain import SHORTEST_ALIGNED, ChainMsa, encode_ligand, species_of
from protenix_ms.features.msa_pairing import merge, number_rows, pairs_by_row, without_partner
from protenix_ms.features.template_choice import TemplateOptions
from protenix_ms.features.tokens import TokenTable
from protenix_ms.io.a3m import parse_a3m
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Int


@dataclass(frozen=True)
class FeatureOptions:
    """Choices of featurisation.

    Attributes:
        use_msa: off, every job is treated as having no alignments (upstream `use_msa`).
        use_rna_msa: off, alignments of RNA chains are ignored (the v0.5 models never saw any).
        upstream_quirks: on, exactly upstream, whose ions shift the MSA columns of the chains
            after them, and which bonds no caps but ACE and NME.
        guidance: add the geometry lists that guidance reads.
        use_constraints: off, constraints change neither tokens nor features (models without
            constraint embedders).
        templates: how templates are chosen.
    """

    use_msa: bool = True
    use_rna_msa: bool = True
    upstream_quirks: bool = False
    guidance: bool = False
    use_constraints: bool = True
    templates: TemplateOptions = TemplateOptions()


def msa_features(job: Job, tokens: TokenTable, options: FeatureOptions) -> dict[str, Array]:
    """Align the whole job over its tokens, and count what the model reads of the alignment.

    Args:
        job: entities with their alignments; chains are numbered entity by entity, copy by copy.
        tokens: `asym_id` (0-based chain) and `residue_index` (1-based) say which column a token
            reads; `restype` is used without alignments only.
        options: `use_msa` off gives upstream's `make_dummy_feature`; `use_rna_msa`;
            `upstream_quirks`.

    Returns:
        msa [m, n] int64, msa_mask [m, n] bool, deletion_matrix [m, n] int8, has_deletion and
        deletion_value [m, n] float32, profile [n, 32] and deletion_mean [n] float32, and numbers
        of alignments (scalars, for logs).

    Raises:
        InputError: rows of an alignment differ in length.
    """
    chains = _chains(job, options) if options.use_msa else []
    if not chains:
        return empty_msa_features(tokens.restype)
    return merged_msa_features(
        chains, tokens.asym_id, tokens.residue_index, pairing=_has_several_proteins(job)
    )


def merged_msa_features(
    chains: list[ChainMsa], chain_index: Int[Array, "n"], residue_index: Int[Array, "n"], *,
    pairing: bool,
) -> dict[str, Array]:  # fmt: skip
    """Make the features of `msa_features` from encoded chains.

    Args:
        chain_index: which of `chains` a token belongs to; residue_index: 1-based.
        pairing: whether rows of different chains pair by species.
    """
    merged = merge(chains, pairing=pairing)
    widths = np.array([chain.unpaired.shape[1] for chain in chains])
    columns = token_columns(widths, chain_index, residue_index)
    deletions = merged.deletions[:, columns]
    counts = np.arange(128)
    value = (np.arctan(counts / 3.0) * (2.0 / np.pi)).astype(np.float32)
    protein, rna = merged.unpaired_depth["protein"], merged.unpaired_depth["rna"]
    depths = {  # under both of upstream's spellings
        "prot_unpaired": protein, "prot_paired": merged.paired_depth, "rna_unpaired": rna,
        "rna_pair": 1, "prot_pair": merged.paired_depth, "prot_unpair": protein,
        "rna_unpair": rna,
    }  # fmt: skip
    return {
        "msa": merged.rows[:, columns].astype(np.int64),
        "msa_mask": np.ones(deletions.shape, bool),
        "deletion_matrix": deletions,
        "deletion_value": value[deletions],
        "has_deletion": np.minimum(counts, 1).astype(np.float32)[deletions],
        "profile": merged.profile[columns],
        "deletion_mean": merged.deletion_mean[columns].astype(np.float32),
        **{f"{name}_num_alignments": np.array(n, np.int64) for name, n in depths.items()},
    }


def empty_msa_features(restype: Int[Array, "n"]) -> dict[str, Array]:
    """Make the features of a job without alignments, whose one row is the sequence."""
    n = len(restype)
    names = ("prot_pair", "prot_unpair", "rna_pair", "rna_unpair")
    return {
        "msa": restype[None].astype(np.int64),
        "has_deletion": np.zeros((1, n), np.float32),
        "deletion_value": np.zeros((1, n), np.float32),
        "profile": np.eye(len(RESTYPES), dtype=np.float32)[restype],
        "deletion_mean": np.zeros(n, np.float32),
        **{f"{name}_num_alignments": np.array(0, np.int32) for name in names},
    }


def _has_several_proteins(job: Job) -> bool:
    polymers = [entity for entity in job.entities if isinstance(entity, Polymer)]
    return len({p.sequence for p in polymers if p.kind == "protein"}) > 1


def _chains(job: Job, options: FeatureOptions) -> list[ChainMsa]:
    """Encode one alignment per chain; copies share theirs.

    Under `upstream_quirks` ions are left out, as upstream's featurizer forgets them, so that all
    later chains take each other's columns, and alignments whose rows name no
    species are not paired row by row.
    """
    pairing = _has_several_proteins(job)
    chains: list[tuple[ChainMsa, int]] = []
    for entity in job.entities:
        if isinstance(entity, Polymer):
            chain = ALIGNMENTS.encode(entity, pairing=pairing, use_rna_msa=options.use_rna_msa,
                                      upstream_quirks=options.upstream_quirks)
        elif entity.is_ion and options.upstream_quirks:
            continue
        else:
            chain = encode_ligand()
        chains.append((chain, entity.count))
    if pairing and not options.upstream_quirks and pairs_by_row([c.species for c, _ in chains]):
        chains = [(replace(c, species=number_rows(c.species)), count) for c, count in chains]
    return [chain for chain, count in chains for _ in range(count)]


def note_pairing(job: Job, options: FeatureOptions) -> Iterator[str]:
    """Say how rows of paired alignments pair where their names tell no species."""
    paired = {
        number: species_of(parse_a3m(entity.paired_msa.text).names)
        for number, entity in enumerate(job.entities, 1)
        if isinstance(entity, Polymer) and entity.kind == "protein" and entity.paired_msa
        and len(entity.sequence) >= SHORTEST_ALIGNED
    }
    if not (options.use_msa and _has_several_proteins(job) and paired):
        return
    numbers, species = list(paired), list(paired.values())
    by_row = pairs_by_row(species)
    if by_row and not options.upstream_quirks:
        yield (f"{len(species)} paired alignments name no species: row k of each is paired with "
               f"row k of the others ({len(species[0])} rows)")
        return
    alone = [numbers[i] for i in (range(len(species)) if by_row else without_partner(species))]
    if alone:
        yield (f"the paired alignment of entity {', '.join(map(str, alone))} shares no species "
               "with another one, so no row of it is paired; names of rows must look like "
               "UniRef100_X_9606 or tr|X|X_HUMAN, or all paired alignments have the same number "
               "of rows and no species")


def token_columns(
    widths: Int[Array, "c"], asym_id: Int[Array, "n"], residue_index: Int[Array, "n"]
) -> Int[Array, "n"]:
    """Find the column of every token among those of all chains (upstream `map_to_standard`).

    A residue beyond its chain's columns (ligands have one) reads the chain's first column; a
    chain beyond the last one (under `upstream_quirks`) reads the very last column.

    Args:
        widths: number of columns of every chain.
    """
    starts = np.cumsum(widths) - widths
    chain = np.minimum(asym_id, len(widths) - 1)
    inside = (residue_index >= 1) & (residue_index <= widths[chain])
    columns = starts[chain] + np.where(inside, residue_index - 1, 0)
    return np.where(asym_id < len(widths), columns, widths.sum() - 1)
