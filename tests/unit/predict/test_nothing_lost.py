# SPDX-License-Identifier: Apache-2.0
"""Two processes in one folder, processes that are killed, files that go: no result is lost."""

import fcntl
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from protenix_ms.errors import OutputError
from protenix_ms.predict import batch
from protenix_ms.predict.batch import Batch
from protenix_ms.predict.job_folder import JobFolder

SAMPLE = "first/seed_101/predictions/first_{}"


@pytest.fixture
def run(predictor, jobs, make_settings, new_reporter, monkeypatch):
    monkeypatch.setattr(batch, "PATIENCE", 0.2)
    monkeypatch.setattr(batch, "_RANKING_PATIENCE", 0.2)
    monkeypatch.setattr(batch, "forget_shapes", lambda: None)  # MindSpore hangs in a fork
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nobody pulls the plug

    def start(output=None, **changes):
        settings = make_settings(**changes)
        settings = replace(settings, output=output or settings.output)
        reporter = new_reporter()
        runner = Batch(settings, reporter, load=lambda s: predictor,
                       featurize=lambda s, job, seed: predictor.featurize(job, seed))
        outcomes = runner.run(jobs[:1])
        return [(o.seed, o.state) for o in outcomes], "\n".join(reporter.lines)

    return start


DONE, THERE = [(101, "done"), (102, "done")], [(101, "there already"), (102, "there already")]


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file's content; of `run.json` what is not a time."""
    content = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*"))
               if p.is_file()}
    for name in content:
        if name.endswith("run.json"):
            record = json.loads(content[name])
            for key in ("finished", "peak_memory_gb"):
                record.pop(key)
            content[name] = json.dumps(record).encode()
    return content


def killed(call, place: str, at: int) -> bool:
    """Run `call` in a fork that is killed before or after its nth rename, or within a write."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    count, rename, fsync = 0, Path.replace, os.fsync

    def hit():
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def replaced(path, target):
        if place == "before":
            hit()
        rename(path, target)
        if place == "after":
            hit()

    def synced(descriptor):
        if place == "within" and os.fstat(descriptor).st_size < 4096 * 16:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if os.path.isfile(path):
                os.truncate(path, os.path.getsize(path) // 2)
            hit()
        fsync(descriptor)

    Path.replace, os.fsync = replaced, synced
    try:
        call()
    finally:
        os._exit(0)


@pytest.mark.parametrize("place", ["before", "within"])  # of its rename; "after" is one of these
def test_killed_at_any_write_then_run_again(run, tmp_path, place):
    whole = tmp_path / "whole"
    run(output=whole)
    expected = tree(whole)
    points = 0
    for at in range(1, 100):
        folder = tmp_path / f"killed{at}"
        if not killed(lambda: run(output=folder), place, at):  # noqa: B023 (called at once)
            break
        points += 1
        states, _ = run(output=folder)
        assert {state for _, state in states} <= {"done", "there already"}
        assert tree(folder) == expected, (place, at)
    assert points >= 20


@pytest.mark.parametrize("name", ["sample_0.cif", "summary_confidence_sample_1.json",
                                  "full_data_sample_0.npz"])
@pytest.mark.parametrize("content", [None, b"", b"cut"])
def test_a_damaged_seed_is_made_again_and_that_is_said(run, tmp_path, name, content):
    run()
    before = tree(tmp_path / "out")
    path = tmp_path / "out" / SAMPLE.format(name)
    path.unlink() if content is None else path.write_bytes(content)
    states, lines = run()
    assert states == [DONE[0], THERE[1]] and name in lines and "made again" in lines
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("damage", [
    lambda text: "", lambda text: text[:30], lambda text: text[:65],
    lambda text: text[:text.index("\n", 80) + 1], lambda text: "\0" * len(text)])
def test_a_damaged_or_old_mark_vouches_for_nothing(run, tmp_path, damage):
    run()
    before = tree(tmp_path / "out")
    mark = tmp_path / "out/first/seed_101/fingerprint.txt"
    mark.write_text(damage(mark.read_text()))
    states, lines = run()
    assert states == [DONE[0], THERE[1]] and "fingerprint.txt" in lines
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["run.json", "ranking.csv", "first_model.cif",
                                  "first_summary_confidence.json"])
@pytest.mark.parametrize("content", [None, "", "{\"seeds\""])
def test_what_all_seeds_share_is_written_again(run, tmp_path, name, content):
    run()
    before = tree(tmp_path / "out")
    path = tmp_path / "out/first" / name
    path.unlink() if content is None else path.write_text(content)
    assert run()[0] == THERE
    after = tree(tmp_path / "out")
    if name == "run.json":  # the times went with it, and nothing else
        before, after = ({k: v for k, v in t.items() if k != "first/run.json"}
                         for t in (before, after))
        assert json.loads(path.read_text())["best"]["seed"] == 102
    assert after == before


def test_a_seed_in_work_is_left_alone_and_the_others_are_made(run, tmp_path):
    lock = JobFolder(tmp_path / "out", "first").lock_file(101)
    lock.parent.mkdir(parents=True)
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        states, lines = run()
        assert states == [(101, "busy"), (102, "done")]
        assert "another process works on it" in lines and lock.name in lines
        assert not (tmp_path / "out/first/seed_101").exists()
    assert run()[0] == [(101, "done"), (102, "there already")]  # free once its owner has ended
    assert lock.name == "first_seed_101.lock" and lock.read_bytes() == b""


def test_a_seed_that_another_process_ends_meanwhile_is_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "PATIENCE", 20.0)
    child = os.fork()
    if child == 0:
        with JobFolder(tmp_path / "out", "first").lock(101):
            os.write(os.open(tmp_path / "taken", os.O_CREAT | os.O_WRONLY), b"x")
            signal.pause()
    while not (tmp_path / "taken").exists():
        pass
    original = Batch.attempt

    def outcome(self, job, seed, patience=0.0):
        if patience:
            os.kill(child, signal.SIGKILL)
        return original(self, job, seed, patience)

    monkeypatch.setattr(Batch, "attempt", outcome)
    assert run()[0] == DONE
    os.waitpid(child, 0)


def test_a_file_system_without_locks_still_works(run, monkeypatch):
    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    assert run()[0] == DONE and run()[0] == THERE


def test_seeds_of_a_job_array_end_in_one_ranking_and_one_record(run, tmp_path):
    run(output=tmp_path / "whole")
    run(seeds=(102,))
    run(seeds=(101,))
    ours, whole = (tmp_path / name / "first" for name in ("out", "whole"))
    assert (ours / "ranking.csv").read_bytes() == (whole / "ranking.csv").read_bytes()
    records = [json.loads((folder / "run.json").read_text()) for folder in (ours, whole)]
    assert records[0]["seeds"] == records[1]["seeds"] and len(records[0]["seeds"]) == 2
    assert records[0]["best"] == records[1]["best"]


def test_seeds_of_other_settings_are_not_ranked_and_named(run, tmp_path):
    run(seeds=(101,), device="Ascend")
    states, lines = run(seeds=(102,))
    assert states == [(102, "done")] and "not ranked" in lines and "seed 101" in lines
    assert len((tmp_path / "out/first/ranking.csv").read_text().splitlines()) == 3
    assert list(json.loads((tmp_path / "out/first/run.json").read_text())["seeds"]) == ["102"]


def test_a_failure_is_recorded_beside_what_is_done(run, predictor, tmp_path):
    predictor.state.failures = {("first", 101): RuntimeError("broken")}
    run()
    seeds = json.loads((tmp_path / "out/first/run.json").read_text())["seeds"]
    assert seeds["101"]["state"] == "failed" and seeds["102"]["state"] == "done"
    predictor.state.failures = {}
    run()
    seeds = json.loads((tmp_path / "out/first/run.json").read_text())["seeds"]
    assert {entry["state"] for entry in seeds.values()} == {"done"}


def test_a_full_disk_leaves_nothing_of_the_seed(run, tmp_path, monkeypatch):
    def full(path, *_):
        raise OutputError("cannot be written (No space left on device)", where=str(path))

    monkeypatch.setattr("protenix_ms.predict.outputs.write_summary", full)
    states, lines = run(seeds=(101,))
    assert states == [(101, "failed")] and "No space" in lines
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == [
        "first_seed_101.lock"]


def test_an_interrupt_while_ranking_still_ranks(run, tmp_path, monkeypatch):
    write, calls = batch.write_ranking, []

    def once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(batch, "write_ranking", once)
    assert run()[0] == [*DONE, (None, "interrupted")]
    assert (tmp_path / "out/first/ranking.csv").is_file()


def test_a_job_too_large_is_refused_before_weights_are_loaded(jobs, predictor, make_settings,
                                                               monkeypatch, new_reporter):
    monkeypatch.setattr("protenix_ms.predict.memory.available_bytes", lambda: 1e6)
    monkeypatch.setattr("protenix_ms.predict.memory.resident_bytes", lambda: 1e6)
    runner = Batch(make_settings(), new_reporter(), load=lambda s: pytest.fail("loaded"),
                   featurize=lambda s, job, seed: predictor.featurize(job, seed))
    outcomes = runner.run(jobs)
    assert all(o.state == "failed" and "GB are there" in o.detail for o in outcomes)
