# SPDX-License-Identifier: Apache-2.0
"""The page of capabilities is what the code says."""

import importlib
import sys
from pathlib import Path

import pytest

from protenix_ms.config import VARIANTS

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture
def capabilities(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("capabilities")


def test_the_page_is_what_the_code_says(capabilities):
    assert capabilities.PAGE.read_text(encoding="utf-8") == capabilities.page(), (
        "run: python scripts/capabilities.py --write")


def test_cells_follow_the_variants(capabilities):
    head = ["variant", *capabilities.INPUTS, "vectors", "guidance", "training", "weights"]
    rows = {model: dict(zip(head, capabilities.row(model))) for model in VARIANTS}
    readers = {column: {m for m in VARIANTS if rows[m][column] == "yes"} for column in head}
    languages = {"protenix_mini_esm_v0.5.0", "protenix_mini_ism_v0.5.0"}
    newer = {"protenix-v2", "protenix_base_default_v1.0.0", "protenix_base_20250630_v1.0.0"}
    assert readers["vectors"] == languages == {*VARIANTS} - readers["alignment"]
    assert readers["RNA alignment"] == readers["template hits"] == newer
    assert readers["contacts"] == readers["pocket"] == {"protenix_base_constraint_v0.5.0"}
    assert readers["guidance"] == {*VARIANTS}


def test_every_no_is_a_sentence_of_the_run(capabilities):
    says = "\n".join(capabilities.notes())
    for what in ("1 alignment: ", "1 RNA alignment: ", "1 template file: ",
                 "1 template structure: ", "1 contact constraint: ", "1 pocket constraint: "):
        assert what in says
