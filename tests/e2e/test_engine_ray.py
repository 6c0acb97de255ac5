# SPDX-License-Identifier: Apache-2.0
"""A panel by actors of a Ray cluster: the same files, whatever befalls an actor."""

import importlib.util
import os
import signal

import panel
import pytest

from protenix_ms.predict.engines.summary import SUMMARY

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None,
                                reason="this machine has no ray (extra 'cluster')")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    path = tmp_path_factory.mktemp("panel") / "jobs.json"
    panel.write_panel(path, good=10, bad=2)
    return path


@pytest.fixture(scope="module")
def local(jobs):
    """Files of one worker process, the table among them."""
    code, text = panel.run(jobs, jobs.parent / "local", "--workers", "1")
    assert code == 1, text
    return panel.tree(jobs.parent / "local")


def test_a_killed_actor_costs_nothing(jobs, local, tmp_path):
    process = panel.begin(jobs, tmp_path, "--engine", "ray", "--workers", "2")
    text = panel.wait_for(process, "1 sample in")
    keeper = panel.parent(panel.workers_of(process.pid)[0])
    os.kill(keeper, signal.SIGKILL)
    rest, _ = process.communicate(timeout=300)
    text += rest
    assert process.returncode == 1, text
    assert "was lost with its actor" in text and "tried once more" in text, text
    assert "Traceback" not in text and "acl" not in text
    assert SUMMARY in local and panel.tree(tmp_path) == local


def test_an_interrupt_ends_cluster_and_workers(jobs, local, tmp_path):
    process = panel.begin(jobs, tmp_path, "--engine", "ray", "--workers", "1")
    panel.wait_for(process, "1 sample in")
    at_work = panel.workers_of(process.pid)
    code, text = panel.stop(process, signal.SIGTERM)
    assert code == 1 and "Traceback" not in text and "interrupted" in text, text
    assert len(at_work) == 1 and panel.are_gone(at_work)
    code, text = panel.run(jobs, tmp_path, "--engine", "local", "--workers", "1")
    assert code == 1 and text.count("1 sample in") < 10, text
    assert panel.tree(tmp_path) == local
