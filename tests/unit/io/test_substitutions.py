# SPDX-License-Identifier: Apache-2.0
"""Tables of variants and positions to score: what is read, and what is refused."""

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io.protein_sequences import ProteinSequence
from protenix_ms.io.substitutions import plan_scans, read_variants

A, B = ProteinSequence("a", "MKXAY"), ProteinSequence("b", "GAVL")


def read(tmp_path, text, *proteins):
    (tmp_path / "v.tsv").write_text(text)
    return read_variants(tmp_path / "v.tsv", proteins or (A, B))


def test_a_table(tmp_path):
    table = read(tmp_path, "name\tvariant\tseen\na\tk2R:Y5W\t0.5\n\nb\tG1G\t\n")
    assert table.columns == ("name", "variant", "seen")
    first, second = table.variants
    assert [str(one) for one in first.substitutions] == ["K2R", "Y5W"]
    assert first.cells == ("a", "k2R:Y5W", "0.5") and second.protein == "b"


def test_a_table_of_one_protein_separated_by_commas(tmp_path):
    (variant,) = read(tmp_path, "\ufeffmutant,DMS_score\r\nM1L,1\r\n", A).variants
    assert variant.protein == "a" and str(variant.substitutions[0]) == "M1L"


HEAD = "name\tvariant\n"


@pytest.mark.parametrize("text, says", [
    ("", "v.tsv: the table has no variants below its head; begin with the head"),
    (HEAD, "no variants below its head"),
    ("a\tK2R\na\tK2R\n", "expected one column variant, the head names 0"),
    ("variant\tmutant\nK2R\tK2R\n", "the head names 2"),
    ("variant\nK2R\n", "no column name, and --input has several"),
    ("name\tvariant\tlog_odds\na\tK2R\t1\n", "a column is named twice, or log_odds"),
    (HEAD + "a\tK2R\t1\n", "line 2: 3 cells under 2 columns"),
    (HEAD + "c\tK2R\n", "line 2: no sequence of --input has the name 'c'"),
    (HEAD + "a\tM1A\na\tK2\n", "line 3: 'K2' is no substitution; write for example A42G"),
    (HEAD + "a\tK2R:\n", "'' is no substitution"),
    (HEAD + "a\tK2J\n", "'J' in K2J is no residue"),
    (HEAD + "a\tX3A\n", "'X' in X3A is no residue"),
    (HEAD + "a\tK6R\n", "position 6 is out of range; the sequence has positions 1 to 5"),
    (HEAD + "a\tK0R\n", "position 0 is out of range"),
    (HEAD + "a\tA2R\n", "A2R does not fit the sequence, which has K at position 2"),
    (HEAD + "a\tK2R:K2A\n", "position 2 is substituted twice"),
    (HEAD + 'a\t"K2R\n', "the table is damaged"),
])
def test_refusals(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_positions(tmp_path):
    def plan(positions, table=None):
        return [(scan.protein.name, scan.positions, scan.wild_types)
                for scan in plan_scans((A, B), positions, table)]

    assert plan(None) == [("a", (1, 2, 4, 5), [*"MKAY"]), ("b", (1, 2, 3, 4), [*"GAVL"])]
    assert plan((3, 2)) == [("a", (2,), ["K"]), ("b", (2, 3), ["A", "V"])]
    table = read(tmp_path, HEAD + "b\tL4V:G1A\nb\tL4A\n")
    assert plan(None, table) == [("b", (1, 4), ["G", "L"])]
    assert plan((1,), table) == [("a", (1,), ["M"]), ("b", (1, 4), ["G", "L"])]
    with pytest.raises(InputError, match="--positions, b: position 5 is out of range"):
        plan((5,))
    with pytest.raises(InputError, match="none of the positions holds"):
        plan_scans((A,), (3,), None)
