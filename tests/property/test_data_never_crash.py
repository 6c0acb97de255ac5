# SPDX-License-Identifier: Apache-2.0
"""Damaged mmCIF files: read, or refused by a typed error, never anything else."""

import gzip
import random

import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.data import read_entry
from protenix_ms.errors import ProtenixError

WORDS = ("?", ".", "-5", "ZZZ", "1e99", "''", "0")


def damaged(lines: list[str], rng: random.Random) -> str:
    """Lose lines, repeat them elsewhere, or change one word."""
    lines = list(lines)
    for _ in range(rng.choice((1, 3, 10))):
        place = rng.randrange(len(lines))
        words = lines[place].split()
        kind = rng.randrange(3)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines[place] = lines[rng.randrange(len(lines))]
        elif words:
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[place] = " ".join(words)
    return "\n".join(lines)


def test_damaged_deposits(deposits, tmp_path):
    if not SHIPPED.exists():
        pytest.skip("the component table is not built yet: scripts/build_ccd.py")
    ccd = ComponentDictionary.load()
    with gzip.open(deposits / "2lwu.cif.gz", "rt") as file:
        lines = file.read().splitlines()
    outcomes = {"read": 0, "refused": 0}
    for seed in range(120):
        path = tmp_path / "damaged.cif"
        path.write_text(damaged(lines, random.Random(seed)))
        try:
            entry = read_entry(path, ccd)
        except ProtenixError as error:
            assert error.message and error.where
            outcomes["refused"] += 1
        else:
            assert len(entry.atoms)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 10
