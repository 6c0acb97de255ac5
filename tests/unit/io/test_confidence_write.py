# SPDX-License-Identifier: Apache-2.0
"""Confidence files hold upstream's keys and numbers that read back as the same float32."""

import json

import numpy as np
import pytest

from protenix_ms.io.confidence_write import (
    FULL_DATA,
    choose_suffixes,
    plain,
    write_full_data,
    write_summary,
    write_table,
)


def test_numbers_read_back_as_the_same_float32(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    write_summary(
        tmp_path / "s.json",
        {"pairs": values.astype(np.float64), "flag": np.True_, "cycles": np.int64(4), "one": 0.1},
    )
    read = json.loads((tmp_path / "s.json").read_text())
    np.testing.assert_array_equal(np.float32(read["pairs"]), values)
    assert read["flag"] is True and read["cycles"] == 4 and read["one"] == 0.1
    assert (tmp_path / "s.json").read_text().startswith('{\n    "pairs": [')


def test_same_text_as_upstream_but_for_digits(golden, tmp_path):
    theirs = next(golden.glob("tiny/protenix_tiny_default_v0.5.0/upstream/*/*/*/*summary*_0.json"))
    read = json.loads(theirs.read_text())
    write_summary(tmp_path / "s.json", read)
    ours = json.loads((tmp_path / "s.json").read_text())
    assert list(ours) == list(read)
    for key in read:
        np.testing.assert_array_equal(np.float32(ours[key]), np.float32(read[key]))


def test_full_data_and_table(tmp_path):
    write_full_data(tmp_path / "f.npz", {key: np.arange(3) for key in FULL_DATA} | {"more": 0})
    assert np.load(tmp_path / "f.npz").files == list(FULL_DATA)
    rows = [{"seed": 1, "score": np.float32(0.1), "x": None}]
    write_table(tmp_path / "t.csv", ("seed", "score"), rows)
    assert (tmp_path / "t.csv").read_text() == "seed,score\n1,0.1\n"


def test_plain_keeps_text_and_knows_no_nan():
    assert plain({"a": ("x", np.nan, -np.inf, np.float32("inf"), 1.5)}) == {
        "a": ["x", None, None, None, 1.5]}


def test_a_score_that_does_not_exist_is_null(tmp_path):
    write_summary(tmp_path / "s.json", {"ipsae": np.array([[np.nan, 0.25]]), "names": ["A"]})
    text = (tmp_path / "s.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"ipsae": [[None, 0.25]], "names": ["A"]}
    write_table(tmp_path / "t.csv", ("a", "b"), [{"a": np.nan, "b": None}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n,\n"


def full_data(n: int) -> dict:
    rng = np.random.default_rng(0)
    pae = rng.uniform(0, 32, (n, n)).astype(np.float32)
    pae[0, :4] = 0.005, 0.015, 9.996, 31.995  # halves, and what a cutoff of 10 would lose
    return {"atom_plddt": rng.random(3 * n).astype(np.float32), "token_pair_pae": pae,
            "token_pair_pde": pae.T.copy(), "contact_probs": rng.random((n, n)).astype(np.float32),
            "token_asym_id": np.repeat([0, 1], n // 2), "token_has_frame": np.arange(n) % 2 == 0,
            "atom_to_token_idx": np.repeat(np.arange(n), 3)}


def test_json_of_the_full_data_has_the_keys_and_two_decimals(tmp_path):
    arrays = full_data(30)
    write_full_data(tmp_path / "f.json", arrays)
    text = (tmp_path / "f.json").read_text()
    read = json.loads(text, parse_constant=pytest.fail)
    assert set(read) == set(FULL_DATA)
    for key, values in read.items():
        expected = arrays[key]
        if expected.dtype == np.float32:  # rounded in float32, as upstream does
            expected = np.round(expected, 2)
            values = np.float32(values)
        np.testing.assert_array_equal(values, expected, key)
    assert read["token_pair_pae"][0][2] == 10.0 and read["token_has_frame"][:2] == [1, 0]
    numbers = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    assert max(len(word.partition(".")[2]) for word in numbers) == 2
    assert ", " not in text and len(text) < 18 * 30 * 30 + 90 * 12


def test_json_without_numbers_that_json_does_not_have(tmp_path):
    arrays = full_data(4)
    arrays["token_pair_pde"][0, 1] = np.nan
    write_full_data(tmp_path / "f.json", arrays)
    read = json.loads((tmp_path / "f.json").read_text(), parse_constant=pytest.fail)
    assert read["token_pair_pde"][0][1] is None
    assert read["token_pair_pde"][1][1] == round(float(arrays["token_pair_pde"][1, 1]), 2)


@pytest.mark.parametrize("choice, small, large", [
    ("auto", {".npz", ".json"}, {".npz"}), ("npz", {".npz"}, {".npz"}),
    ("json", {".json"}, {".json"}), ("both", {".npz", ".json"}, {".npz", ".json"}),
    ("none", set(), set())])
def test_which_files_hold_the_full_data(choice, small, large):
    assert set(choose_suffixes(choice, 1500)) == small
    assert set(choose_suffixes(choice, 1501)) == large
