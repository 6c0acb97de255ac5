# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the search: a fake server, the real databases, a cache of its own."""

import os
from pathlib import Path

import pytest
from fake_msa_server import FakeServer

from protenix_ms.search import Server
from protenix_ms.search.cache import Cache
from protenix_ms.search.connection import Connection


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A folder of kept searches that no other test knows."""
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def fake():
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
def client(fake, tmp_path):
    """Make clients of the fake server that hardly pause."""
    def make(minutes: float = 1.0, **settings) -> Server:
        said = settings.pop("said", [])
        connection = Connection(fake.url, settings.pop("headers", {}), 1e-4, said.append,
                                settings.pop("silence", 5.0), settings.pop("longest", 5.0))
        return Server(connection, Cache(tmp_path / "cache"), minutes)

    return make


@pytest.fixture(scope="session")
def data_search() -> Path:
    """Small real databases; skipped loudly where nobody says where they are."""
    if "PROTENIX_MS_DATA_SEARCH" not in os.environ:
        pytest.skip("no databases: set PROTENIX_MS_DATA_SEARCH")
    return Path(os.environ["PROTENIX_MS_DATA_SEARCH"])
