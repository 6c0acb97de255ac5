# SPDX-License-Identifier: Apache-2.0
"""A panel by worker processes: the same files by any number of them, whatever befalls one."""

import csv
import os
import signal

import panel
import pytest


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    path = tmp_path_factory.mktemp("panel") / "jobs.json"
    panel.write_panel(path, good=10, bad=2)
    return path


@pytest.fixture(scope="module")
def plain(jobs):
    """Files of one process without workers."""
    code, text = panel.run(jobs, jobs.parent / "plain")
    assert code == 1, text
    return panel.tree(jobs.parent / "plain")


def states(output) -> dict[str, str]:
    with (output / "summary.csv").open() as file:
        return {row["job"] or row["detail"]: row["state"] for row in csv.DictReader(file)}


def test_a_killed_worker_costs_nothing(jobs, plain, tmp_path):
    process = panel.begin(jobs, tmp_path, "--workers", "2")
    text = panel.wait_for(process, "1 sample in")
    os.kill(panel.workers_of(process.pid)[0], signal.SIGKILL)
    rest, _ = process.communicate(timeout=300)
    text += rest
    assert process.returncode == 1, text
    assert "Traceback" not in text and "killed by SIGKILL" in text and "tried once more" in text
    files = panel.tree(tmp_path)
    del files["summary.csv"]
    assert files == plain
    assert list(states(tmp_path).values()) == ["done"] * 10 + ["failed", "refused"]


def test_an_interrupted_panel_goes_on_with_another_number(jobs, plain, tmp_path):
    process = panel.begin(jobs, tmp_path, "--engine", "local", "--workers", "1")
    panel.wait_for(process, "1 sample in")
    at_work = panel.workers_of(process.pid)
    code, text = panel.stop(process, signal.SIGTERM)
    assert code == 1 and "Traceback" not in text and "interrupted" in text, text
    assert len(at_work) == 1 and panel.are_gone(at_work)
    before = states(tmp_path)
    assert "interrupted" in before.values() and "done" in before.values()
    code, text = panel.run(jobs, tmp_path, "--workers", "2")
    assert code == 1 and text.count("1 sample in") < 10, text
    files = panel.tree(tmp_path)
    del files["summary.csv"]
    assert files == plain
    assert list(states(tmp_path).values()) == ["done"] * 10 + ["failed", "refused"]


def test_two_drivers_share_a_folder(jobs, plain, tmp_path):
    both = [panel.begin(jobs, tmp_path, "--workers", "1") for _ in range(2)]
    ends = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1], ends
    files = panel.tree(tmp_path)
    del files["summary.csv"]
    assert files == plain
    assert list(states(tmp_path).values()) == ["done"] * 10 + ["failed", "refused"]


def test_workers_end_with_a_driver_that_is_killed(jobs, tmp_path):
    process = panel.begin(jobs, tmp_path, "--workers", "1")
    panel.wait_for(process, "1 sample in")
    at_work = panel.workers_of(process.pid)
    panel.stop(process, signal.SIGKILL)
    assert len(at_work) == 1 and panel.are_gone(at_work)
