# SPDX-License-Identifier: Apache-2.0
"""Species, pairing, merging and profiles on alignments small enough to check by hand."""

import numpy as np
import pytest

from protenix_ms.features.msa_chain import encode_ligand, encode_polymer, species_of
from protenix_ms.features.msa_pairing import (
    merge,
    number_rows,
    pair_by_species,
    pairs_by_row,
    without_partner,
)
from protenix_ms.job import Alignment, Polymer


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("UniRef100_A0A0M5M6Q1_2562661/\t257\t0.978", "2562661"),
        ("UniRef100_X_9606", "9606"),
        ("tr|A0A146SKV9|A0A146SKV9_FUNHE/1-20", "FUNHE"),
        ("sp|P0C2L1_3|A1_LOXLA", "LOXLA"),
        (" UniRef100_X_9606/1-9 ", "9606"),
        ("query", ""),
        ("UniRef90_A_9606", ""),
        ("ERR1700676_2109489\t217", ""),
    ],
)
def test_species(name, species):
    assert species_of([name]).tolist() == [species]


def _species(*names):
    column = np.empty(len(names), object)
    column[:] = names
    return column


def test_pairs_most_shared_species_first_then_small_rows():
    chains = [
        _species("", "a", "b", "c", "b"),
        _species("", "b", "a", "b", "z"),
        _species("", "c", "c", "b"),
    ]
    rows = pair_by_species(chains, 100)
    assert rows[0].tolist() == [0, 0, 0]
    # b: in all three chains, once in the third; a and c: in two; z: in one, so never
    assert rows[1].tolist() == [2, 1, 3]
    assert sorted(rows[2:].tolist()) == [[1, 2, -1], [3, -1, 1]]
    assert len(pair_by_species(chains, 2)) == 2


def test_a_species_gives_at_most_600_pairs():
    column = _species("", *["a"] * 700)
    assert len(pair_by_species([column, column], 8192)) == 601


def _protein(sequence, paired=(), unpaired=()):
    def text(rows):
        named = [("query", sequence), *rows]
        return Alignment("\n".join(f">{n}\n{r}" for n, r in named), "test")

    return Polymer("protein", sequence, paired_msa=text(paired), unpaired_msa=text(unpaired))


def _encode(polymer, pairing=True):
    return encode_polymer(polymer, pairing=pairing, use_rna_msa=True)


def test_merged_alignment_is_paired_rows_above_the_rest():
    first = _protein("MKTAY", [("UniRef100_a_9/", "MKTAA")], [("r", "MKaTAC"), ("s", "MKTAA")])
    second = _protein("GSHME", [("UniRef100_b_9/", "GSHM-")], [])
    merged = merge([_encode(first), _encode(second), encode_ligand()], pairing=True)
    rows = np.array(
        [
            [12, 11, 16, 0, 18, 7, 15, 8, 12, 6, 20],
            [12, 11, 16, 0, 0, 7, 15, 8, 12, 31, 20],
            [12, 11, 16, 0, 4, 31, 31, 31, 31, 31, 20],  # s repeats a paired row, so it is gone
        ]
    )
    np.testing.assert_array_equal(merged.rows, rows)
    assert merged.deletions[2, 2] == 1 and merged.deletions.sum() == 1
    assert merged.paired_depth == 2
    np.testing.assert_allclose(merged.profile[4, [18, 0, 4]], 1 / 3)  # before anything is removed
    np.testing.assert_allclose(merged.deletion_mean[2], 1 / 3)


def _by_hand(sequence, *rows, paired=()):
    text = "\n".join(f">r\n{row}" for row in (sequence, *rows))
    across = "\n".join(f">{n}\n{r}" for n, r in [("query", sequence), *paired]) if paired else ""
    return Polymer("protein", sequence, unpaired_msa=Alignment(text, "test"), keep_rows=True,
                   paired_msa=Alignment(across, "test") if across else None)


def _letters(merged):
    codes = np.array(list("ARNDCQEGHILKMFPSTWYVX") + ["?"] * 10 + ["-"])
    return ["".join(row) for row in codes[merged.rows]]


def test_rows_paired_by_hand_stay_side_by_side():
    first = _by_hand("MKTAY", "MK--Y", "MK--Y", "MKTAY", "-----", "MKTA-")
    second = _by_hand("GSHME", "GSHM-", "-----", "GSHM-", "GSHME", "-SHME")
    merged = merge([_encode(first), _encode(second)], pairing=True)
    assert _letters(merged) == ["MKTAYGSHME", "MK--YGSHM-", "MK--Y-----", "MKTAYGSHM-",
                                "-----GSHME", "MKTA--SHME"]


def test_rows_by_hand_stand_above_what_did_not_pair():
    paired = [("UniRef100_a_9/", "MKTAA"), ("UniRef100_b_8/", "MKTCC"), ("x", "MK--Y")]
    first = _by_hand("MKTAY", "MK--Y", "MKTAA", paired=paired)
    second = _by_hand("GSHME", "GSHM-", "-SHME", paired=[("UniRef100_c_9/", "GSHMM")])
    merged = merge([_encode(first), _encode(second)], pairing=True)
    assert _letters(merged) == ["MKTAYGSHME", "MKTAAGSHMM", "MK--YGSHM-", "MKTAA-SHME",
                                "MKTCC-----"]
    alone = _letters(merge([_encode(first, pairing=False)], pairing=False))
    assert alone == ["MKTAY", "MKTAY", "MK--Y", "MKTAA", "MKTCC"]


def test_rows_by_hand_of_one_chain_keep_their_duplicates():
    chain = _encode(_by_hand("MKTAY", "MK--Y", "MK--Y"), pairing=False)
    assert _letters(merge([chain, chain], pairing=False)) == ["MKTAYMKTAY"] * 2 + ["MK--YMK--Y"] * 2
    np.testing.assert_allclose(chain.profile[2, [16, 31]], [1 / 3, 2 / 3])


def test_deletions_saturate_but_their_mean_does_not():
    chain = _encode(_protein("MKTAY", (), [("r", "MK" + "a" * 300 + "TAA")]), pairing=False)
    assert chain.unpaired_deletions[1, 2] == 127 and chain.deletion_mean[2] == 150


def test_chains_of_four_residues_and_dna_have_only_their_query():
    assert len(_encode(_protein("MKTA", (), [("r", "MKTC")]), pairing=False).unpaired) == 1
    dna = _encode(Polymer("dna", "ACGTACGT"))
    np.testing.assert_array_equal(dna.unpaired, [[26, 28, 27, 29, 26, 28, 27, 29]])


def test_rna_alignments_can_be_switched_off():
    rna = Polymer("rna", "ACGUU", unpaired_msa=Alignment(">q\nACGUU\n>r\nACGTN", "test"))
    assert len(encode_polymer(rna, pairing=False, use_rna_msa=True).unpaired) == 2
    assert len(encode_polymer(rna, pairing=False, use_rna_msa=False).unpaired) == 1


def test_thymine_of_rna_alignments_is_uracil():
    text = ">q\nACGTT\n>same\nACGUU\n>r\nACtGTN"
    rna = Polymer("rna", "ACGUU", unpaired_msa=Alignment(text, "test"))
    encoded = encode_polymer(rna, pairing=False, use_rna_msa=True)
    assert encoded.unpaired.tolist() == [[21, 23, 22, 24, 24], [21, 23, 22, 24, 25]]
    assert encoded.unpaired_deletions.sum() == 1
    upstream = encode_polymer(rna, pairing=False, use_rna_msa=True, upstream_quirks=True)
    assert upstream.unpaired[0].tolist() == [21, 23, 22, 25, 25] and len(upstream.unpaired) == 3


def test_dots_pad_and_are_no_insertions():
    rows = ("MKT....AYI", "MKTgsgsAYI", "M.KT-....YI", "MKT-YI.", "MK*TAYI")
    text = ">q\nMKTAYI\n" + "".join(f">r\n{row}\n" for row in rows)
    chain = Polymer("protein", "MKTAYI", unpaired_msa=Alignment(text, "test"))
    encoded = encode_polymer(chain, pairing=False, use_rna_msa=True)
    # the second row has the query's columns (duplicate), the third equals the fourth
    assert len(encoded.unpaired) == 2 and encoded.unpaired_deletions.sum() == 0
    upstream = encode_polymer(chain, pairing=False, use_rna_msa=True, upstream_quirks=True)
    assert len(upstream.unpaired) == 5 and upstream.unpaired_deletions.max() == 4


def test_without_species_rows_pair_by_their_number():
    named, nameless = _species("", "a", "b"), _species("", "", "")
    assert pairs_by_row([nameless, nameless, _species("")])
    assert not pairs_by_row([nameless, named]) and not pairs_by_row([nameless])
    assert not pairs_by_row([nameless, _species("", "")])
    assert without_partner([nameless, nameless]) == []
    assert without_partner([named, nameless, _species("", "b"), _species("")]) == [1]
    assert without_partner([nameless, _species("", "")]) == [0, 1]
    rows = pair_by_species([number_rows(nameless), number_rows(_species("")), nameless], 9)
    assert rows.tolist() == [[0, 0, 0]]
    rows = pair_by_species([number_rows(nameless), number_rows(_species("")),
                            number_rows(nameless)], 9)
    assert rows.tolist() == [[0, 0, 0], [1, -1, 1], [2, -1, 2]]
