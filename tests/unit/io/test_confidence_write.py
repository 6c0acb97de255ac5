# SPDX-License-Identifier: Apache-2.0
"""Confidence files hold upstream's keys and numbers that read back as the same float32."""

import json

import numpy as np

from protenix_ms.io.confidence_write import (
    FULL_DATA,
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


def test_plain_keeps_text():
    assert plain({"a": ("x", np.nan)})["a"][0] == "x"
