# SPDX-License-Identifier: Apache-2.0
"""What the scheduler of `msrun` says when a process that trains is lost."""

import pytest

from protenix_ms.errors import ResourceError
from protenix_ms.runtime import ranks

LOST = ("The total number of timed out node is 1. Timed out node list is: [const vector]{1}, "
        "worker 1 is the first one timed out, please check its log.\n\n----\n- C++ Call Stack")


def failing(monkeypatch, text):
    def init():
        raise RuntimeError(text)

    monkeypatch.setattr(ranks, "init", init)
    monkeypatch.setenv("MS_WORKER_NUM", "2")


def test_a_lost_process_is_told(monkeypatch):
    failing(monkeypatch, LOST)
    with pytest.raises(ResourceError, match="lost a process of the 2 .*--resume") as caught:
        ranks.join()
    assert "\n" not in str(caught.value)


def test_other_errors_stay_as_they_are(monkeypatch):
    failing(monkeypatch, "the address is in use")
    with pytest.raises(RuntimeError, match="in use"):
        ranks.join()


def test_one_process_meets_nobody(monkeypatch):
    monkeypatch.delenv("MS_WORKER_NUM", raising=False)
    assert ranks.join() == ranks.Ranks(0, 1)
