# SPDX-License-Identifier: Apache-2.0
"""Alignments of chains that many jobs share are encoded once, and never mixed up."""

from dataclasses import fields, replace

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.features.alignment_cache import ALIGNMENTS, AlignmentCache
from protenix_ms.features.msa_chain import encode_polymer
from protenix_ms.job import Alignment, Job, Polymer

TEXT = ">q\nGSKCA\n>UniRef100_A_9606\nGSKCG\n>UniRef100_B_10090\nG-Kc--\n>UniRef100_A_9606\nGSKCG\n"
CHAIN = Polymer("protein", "GSKCA", paired_msa=Alignment(TEXT, "a"),
                unpaired_msa=Alignment(TEXT + ">x\nAAAAA\n", "b"))
CHOICES = dict(pairing=True, use_rna_msa=True, upstream_quirks=False)


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def test_the_same_content_is_encoded_once():
    cache = AlignmentCache()
    first = cache.encode(CHAIN, **CHOICES)
    again = replace(CHAIN, count=3, unpaired_msa=Alignment(CHAIN.unpaired_msa.text, "elsewhere"))
    assert cache.encode(again, **CHOICES) is first and (cache.hits, cache.misses) == (1, 1)
    assert same(first, encode_polymer(CHAIN, **CHOICES))


@pytest.mark.parametrize("chain, choices", [
    (replace(CHAIN, sequence="GSKCG"), {}), (replace(CHAIN, keep_rows=True), {}),
    (replace(CHAIN, paired_msa=None), {}), (replace(CHAIN, unpaired_msa=None), {}),
    (replace(CHAIN, paired_msa=CHAIN.unpaired_msa, unpaired_msa=CHAIN.paired_msa), {}),
    (replace(CHAIN, kind="rna", sequence="GGGGG"), {}), (CHAIN, {"pairing": False}),
    (CHAIN, {"use_rna_msa": False}), (CHAIN, {"upstream_quirks": True})],
    ids=["sequence", "keep_rows", "unpaired alone", "paired alone", "swapped", "kind", "pairing",
         "rna", "quirks"])
def test_whatever_differs_is_encoded_anew(chain, choices):
    cache = AlignmentCache()
    cache.encode(CHAIN, **CHOICES)
    got = cache.encode(chain, **{**CHOICES, **choices})
    assert cache.misses == 2 and same(got, encode_polymer(chain, **{**CHOICES, **choices}))


def test_the_chains_used_last_are_kept():
    cache = AlignmentCache()
    chains = [replace(CHAIN, sequence=sequence) for sequence in ("GSKCA", "GSKCG", "GSKCC")]
    cache.encode(chains[0], **CHOICES)
    cache.most = int(2.5 * sum(getattr(cache.encode(CHAIN, **CHOICES), f.name).nbytes for f in
                               fields(encode_polymer(CHAIN, **CHOICES)) if isinstance(
                                   getattr(encode_polymer(CHAIN, **CHOICES), f.name), np.ndarray)))
    for chain in (chains[1], chains[0], chains[2]):
        cache.encode(chain, **CHOICES)
    before = cache.misses
    cache.encode(chains[0], **CHOICES)
    assert cache.misses == before, "used after the second"
    cache.encode(chains[1], **CHOICES)
    assert cache.misses == before + 1


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")
def test_jobs_of_a_panel_keep_their_features():
    from protenix_ms.features import FeatureOptions, build

    ccd = ComponentDictionary.load(None)
    binders = [Polymer("protein", sequence, unpaired_msa=Alignment(
        f">q\n{sequence}\n>UniRef100_C_9606\n{sequence}\n", "c")) for sequence in (
            "WALDW", "KKKAA")]
    jobs = [Job(f"pair{i}", (CHAIN, binder)) for i, binder in enumerate(binders)]

    def features(job):
        return build(job, ccd, np.random.default_rng(1), FeatureOptions()).features

    alone = []
    for job in jobs:
        ALIGNMENTS._chains.clear()
        alone.append(features(job))
    before = ALIGNMENTS.hits
    together = [features(job) for job in jobs]
    assert ALIGNMENTS.hits > before
    for one, other in zip(alone, together):
        assert all(np.array_equal(one[key], other[key]) for key in one)
