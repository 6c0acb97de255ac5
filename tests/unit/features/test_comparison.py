# SPDX-License-Identifier: Apache-2.0
"""The comparison with recordings must see what is wrong, and only that."""

import numpy as np
import pytest
from comparison import compare

from protenix_ms.features.reference import augment


@pytest.fixture
def recorded():
    rng = np.random.default_rng(0)
    uid = np.repeat(np.arange(6), 5)
    return {
        "ref_pos": rng.normal(scale=3, size=(30, 3)).astype(np.float32),
        "ref_space_uid": uid,
        "token_bonds": np.zeros((4, 4), np.float32),
    }


def verdicts(ours: dict, theirs: dict) -> dict[str, bool]:
    return {row.name: row.equal for row in compare(ours, theirs)}


def test_other_random_placement_is_equal(recorded):
    position = augment(recorded["ref_pos"], recorded["ref_space_uid"], np.random.default_rng(1))
    assert all(verdicts(recorded | {"ref_pos": position}, recorded).values())


@pytest.mark.parametrize(
    "name, change",
    [
        ("ref_pos", lambda x: x * np.float32([1, 1, -1])),  # mirror images
        ("ref_pos", lambda x: x + np.float32(1e-4) * (np.arange(30)[:, None] == 3)),
        ("ref_space_uid", lambda x: x + (np.arange(30) == 29)),
        ("ref_space_uid", lambda x: x.astype(np.int32)),
        ("token_bonds", lambda x: x + np.float32(3e-6)),
        ("token_bonds", lambda x: x[None]),
        ("token_bonds", lambda x: x.astype(np.float64)),
    ],
)
def test_a_wrong_feature_is_seen(recorded, name, change):
    ours = recorded | {name: change(recorded[name])}
    assert [key for key, equal in verdicts(ours, recorded).items() if not equal] == [name]


def test_absent_and_additional_features(recorded):
    ours = {key: value for key, value in recorded.items() if key != "token_bonds"}
    theirs = recorded | {"esm_token_embedding": np.zeros(3, np.float32)}
    rows = {row.name: row for row in compare(ours | {"more": np.zeros(1)}, theirs)}
    assert not rows["token_bonds"].equal
    assert rows["esm_token_embedding"].equal  # absent by design, and said so
    assert rows["more"].equal
