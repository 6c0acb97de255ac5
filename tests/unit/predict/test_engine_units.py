# SPDX-License-Identifier: Apache-2.0
"""Order and shards of units, shares of cores, the choice of an engine, the table of all jobs."""

import csv
import json
import os

import pytest

from protenix_ms.errors import ConfigError
from protenix_ms.job import Job, Polymer
from protenix_ms.predict.batch import Outcome
from protenix_ms.predict.engines import panel, process
from protenix_ms.predict.engines.engine import Engine
from protenix_ms.predict.engines.summary import write_summary_table
from protenix_ms.predict.engines.units import Shard, list_units
from protenix_ms.runtime.policy import Policy


@pytest.fixture
def sizes():
    return [Job(name, (Polymer("protein", "A" * n),)) for name, n in (
        ("short", 5), ("long", 90), ("middle", 40))]


def test_the_longest_comes_first(sizes, make_settings):
    units = list_units(sizes, make_settings())
    assert [(u.job.name, u.seed) for u in units] == [
        (name, seed) for name in ("long", "middle", "short") for seed in (101, 102)]


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_shards_are_a_partition(sizes, make_settings, count):
    units = list_units(sizes, make_settings())
    parts = [Shard(i + 1, count).part(units) for i in range(count)]
    assert sorted(u.name for part in parts for u in part) == sorted(u.name for u in units)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("variables, index, count", [
    (dict(ID="3", MIN="1", COUNT="4"), 3, 4), (dict(ID="0", MIN="0", COUNT="4"), 1, 4),
    (dict(ID="14", MIN="10", COUNT="3", STEP="2"), 3, 3)])
def test_a_slurm_array(variables, index, count):
    environment = {f"SLURM_ARRAY_TASK_{key}": value for key, value in variables.items()}
    assert Shard.read("slurm", environment) == Shard(index, count)


@pytest.mark.parametrize("text, environment", [
    ("0/4", {}), ("5/4", {}), ("2", {}), ("1/x", {}), ("-1/4", {}), ("slurm", {}),
    ("slurm", {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "1",
               "SLURM_ARRAY_TASK_COUNT": "4"})])
def test_no_shard(text, environment):
    with pytest.raises(ConfigError, match="--shard"):
        Shard.read(text, environment)


@pytest.mark.parametrize("cores, workers, shares", [
    ({0, 1}, 2, [[0], [1]]), ({0, 1, 2, 5}, 2, [[0, 1], [2, 5]]), ({3}, 2, [[3], [3]]),
    ({0, 1, 2, 3, 4}, 3, [[0], [1, 2], [3, 4]])])
def test_cores_are_divided(monkeypatch, cores, workers, shares):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores)
    assert process.share_cores(workers) == shares


def test_memory_is_divided_unless_it_was_chosen(monkeypatch):
    monkeypatch.setattr(panel, "available_bytes", lambda: 8e9)
    assert panel.worker_policy(Policy(), 4).memory == 2_000_000_000
    assert panel.worker_policy(Policy(memory=5), 4).memory == 5


@pytest.mark.parametrize("free, count", [(64e9, 4), (2.5e9, 2), (1e9, 1), (None, 4)])
def test_as_many_workers_as_the_memory_bears(monkeypatch, sizes, make_settings, free, count):
    monkeypatch.setattr(panel, "available_bytes", lambda: free)
    monkeypatch.setattr(panel, "estimate_bytes", lambda config, size: 1.2e9)
    assert panel.choose_count(sizes, make_settings(), 4) == count


@pytest.mark.parametrize("engine, device", [
    (Engine("dask"), "CPU"), (Engine(address="auto"), "CPU"), (Engine(devices=(0, 1)), "CPU"),
    (Engine("ray", devices=(0,)), "Ascend"), (Engine(devices=(0, 1), workers=2), "Ascend")])
def test_choices_that_exclude_each_other(engine, device):
    with pytest.raises(ConfigError):
        engine.require_sound(device)


def test_devices_that_are_visible_have_a_worker_each(monkeypatch, sizes, make_settings):
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "2,3,5")
    devices = Engine()._devices("Ascend")
    assert devices == (2, 3, 5)
    assert Engine(devices=devices).count(sizes, make_settings()) == 3
    with pytest.raises(ConfigError, match="4 workers"):
        Engine(devices=devices, workers=4).count(sizes, make_settings())


def read(path):
    with path.open() as file:
        return [(row["job"], row["seed"], row["state"], row["detail"], row["plddt"])
                for row in csv.DictReader(file)]


def test_the_table_keeps_what_others_wrote(sizes, make_settings, tmp_path):
    settings = make_settings(seeds=(7,))
    summary = tmp_path / "out/long/seed_7/predictions/long_summary_confidence_sample_0.json"
    summary.parent.mkdir(parents=True)
    summary.write_text(json.dumps({"plddt": 71.5, "ptm": None}))
    jobs, refused = sizes[:2], [ConfigError("no job", where="x.json")]
    path = write_summary_table(settings, jobs, [Outcome("long", 7, "there already", "x")], refused)
    assert read(path) == [("short", "7", "not run", "", ""), ("long", "7", "done", "", "71.5"),
                          ("", "", "refused", "x.json: no job.", "")]
    failed = Outcome("short", 7, "failed", 'a "reason", with\nlines')
    write_summary_table(settings, jobs, [failed], refused)
    assert read(path)[:2] == [("short", "7", "failed", 'a "reason", with\nlines', ""),
                              ("long", "7", "done", "", "71.5")]
    path.write_text("no table\n")
    write_summary_table(settings, jobs, [failed], [])
    assert [row[2] for row in read(path)] == ["failed", "not run"]
