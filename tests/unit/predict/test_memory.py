# SPDX-License-Identifier: Apache-2.0
"""The memory formula grows as it should, and refuses with numbers."""

import pytest

from protenix_ms.config import get_config
from protenix_ms.errors import ResourceError
from protenix_ms.predict import memory
from protenix_ms.predict.memory import Size, estimate_bytes, require_memory
from protenix_ms.runtime.policy import Policy, using

TINY, BASE = (get_config(name) for name in (
    "protenix_tiny_default_v0.5.0", "protenix_base_default_v1.0.0"))
SMALL = Size(128, 1000, 64, 5)


def test_grows_with_everything():
    larger = [Size(256, 1000, 64, 5), Size(128, 4000, 64, 5), Size(128, 1000, 16000, 5),
              Size(128, 9000, 64, 25)]
    assert all(estimate_bytes(TINY, size) > estimate_bytes(TINY, SMALL) for size in larger)
    assert estimate_bytes(BASE, SMALL) > estimate_bytes(TINY, SMALL) + 1e9


def test_refuses_with_both_numbers(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 3e9)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 1e9)
    with pytest.raises(ResourceError) as caught:
        require_memory(BASE, Size(4000, 32000, 16384, 5), "big")
    assert "4000 tokens" in str(caught.value) and "4.0 GB are there" in str(caught.value)
    assert "--samples" in str(caught.value) and str(caught.value).startswith("big: ")


def test_a_given_limit_counts(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e12)
    with using(Policy(memory=500_000_000)), pytest.raises(ResourceError, match="0.5 GB are there"):
        require_memory(TINY, SMALL)
    with using(Policy(memory=9 * 10**9)):
        assert require_memory(TINY, SMALL) < 9e9


def test_unknown_memory_is_no_reason_to_refuse(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert require_memory(BASE, Size(4000, 32000, 16384, 5)) > 5e9


def test_reads_this_machine():
    assert memory.available_bytes() > 0 and memory.resident_bytes() > 1e6
