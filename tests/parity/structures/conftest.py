# SPDX-License-Identifier: Apache-2.0
"""Deposited structures, and the component table with upstream's own reference conformers."""

import os
from pathlib import Path

import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary


@pytest.fixture(scope="session")
def ccd(golden) -> ComponentDictionary:
    """The shipped table, or the one that PROTENIX_MS_CCD names."""
    path = Path(os.environ.get("PROTENIX_MS_CCD", SHIPPED))
    if not path.exists():
        pytest.skip("the component table is not built yet: scripts/build_ccd.py")
    return ComponentDictionary.load(path).with_conformers(golden / "conformers.npz")


@pytest.fixture(scope="session")
def deposits(shared_examples) -> Path:
    """Folder of gzipped mmCIF files."""
    return shared_examples / "cif"
