# SPDX-License-Identifier: Apache-2.0
"""The component table with upstream's own reference conformers."""

import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary


@pytest.fixture(scope="session")
def ccd(golden) -> ComponentDictionary:
    if not SHIPPED.exists():
        pytest.skip("the component table is not built yet: scripts/build_ccd.py")
    return ComponentDictionary.load().with_conformers(golden / "conformers.npz")
