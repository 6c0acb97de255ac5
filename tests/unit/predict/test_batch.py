# SPDX-License-Identifier: Apache-2.0
"""Many jobs and seeds: what is written, what is skipped, what a failure touches."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.config import apply_overrides
from protenix_ms.config.model import require_predictable
from protenix_ms.errors import CheckpointError, ConfigError, NonFiniteError
from protenix_ms.job import Polymer
from protenix_ms.predict.batch import Batch


@pytest.fixture
def run(predictor, jobs, make_settings, new_reporter):
    def start(**changes):
        reporter = new_reporter()
        loaded = []
        batch = Batch(make_settings(**changes), reporter,
                      load=lambda s: loaded.append(s) or predictor,
                      featurize=lambda s, job, seed: predictor.featurize(job, seed))
        outcomes = batch.run(jobs)
        return [(o.job, o.seed, o.state) for o in outcomes], reporter.lines, len(loaded)

    return start


DONE = [(job, seed, "done") for job in ("first", "second") for seed in (101, 102)]
THERE = [(job, seed, "there already") for job, seed, _ in DONE]


def files(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file()}


def test_everything_is_written_and_one_model_serves(run, tmp_path):
    states, lines, loads = run()
    assert states == DONE and loads == 1, lines
    names = set(files(tmp_path / "out" / "first"))
    sample = "seed_101/predictions/first_{}sample_1.{}"
    assert {sample.format("", "cif"), sample.format("summary_confidence_", "json"),
            sample.format("full_data_", "npz"), sample.format("full_data_", "json"),
            "first_model.cif", "ranking.csv", "run.json",
            "first_summary_confidence.json", "seed_101/fingerprint.txt"} <= names


def test_the_best_over_all_seeds_comes_first(run, tmp_path):
    run()
    folder = tmp_path / "out" / "first"
    rows = list(csv.DictReader((folder / "ranking.csv").open()))
    assert [(r["seed"], r["sample"]) for r in rows] == [
        ("102", "0"), ("102", "1"), ("101", "0"), ("101", "1")]
    assert (folder / "first_model.cif").read_bytes() == (folder / rows[0]["file"]).read_bytes()
    assert json.loads((folder / "run.json").read_text())["best"]["seed"] == 102
    loaded = np.load(folder / "seed_102/predictions/first_full_data_sample_0.npz")
    assert loaded["token_pair_pae"][0, 0] == np.float32(0.9)


@pytest.mark.parametrize("choice, suffixes", [
    ("npz", {".npz"}), ("json", {".json"}), ("both", {".npz", ".json"}), ("none", set())])
def test_full_data_takes_the_form_that_was_asked_for(run, choice, suffixes, tmp_path):
    run(full_data=choice)
    predictions = tmp_path / "out/first/seed_101/predictions"
    assert {p.suffix for p in predictions.glob("*_full_data_*")} == suffixes
    assert run(full_data=choice)[0] == THERE
    other = "npz" if choice != "npz" else "json"
    assert not set(run(full_data=other)[0]) & set(THERE), "finished means: with these files"
    run(full_data=other, overwrite=True)
    assert {p.suffix for p in predictions.glob("*_full_data_*")} == {f".{other}"}


@pytest.mark.parametrize("key, value", [
    *(("ipsae_pae_cutoff", x) for x in (0.0, -1.0, math.inf, math.nan)),
    ("sample_diffusion.N_step", 0), ("sample_diffusion.N_sample", -1),
    ("sample_diffusion.gamma0", math.nan), ("sample_diffusion.gamma0", -1.0),
    ("inference_noise_scheduler.rho", 0), ("model.N_cycle", 0), ("mc_dropout_rate", 1.0),
])
def test_a_setting_that_no_prediction_can_work_with(make_settings, key, value):
    config = make_settings().config
    require_predictable(config)
    with pytest.raises(ConfigError, match=key):
        require_predictable(apply_overrides(config, {key: value}))


def test_ranking_names_the_best_interface(run, predictor, tmp_path):
    sample = predictor.sample
    nothing = np.full((3, 3), np.nan)
    ipsae, of_pair = nothing.copy(), nothing.copy()
    ipsae[0, 2] = ipsae[2, 0] = 0.4
    ipsae[1, 2] = ipsae[2, 1] = 0.7
    of_pair[1, 2] = of_pair[2, 1] = 0.2
    scores = {"chain_ids": ["A", "B", "C1"], "chain_pair_ipsae_max": ipsae,
              "chain_pair_pdockq2_max": of_pair, "chain_pair_lis_mean": of_pair / 2}
    object.__setattr__(predictor, "sample", lambda score: replace(
        sample(score), summary=sample(score).summary | (scores if score > 0.8 else {})))
    run()
    rows = list(csv.DictReader((tmp_path / "out/first/ranking.csv").open()))
    assert [rows[0][key] for key in ("interface", "ipsae", "pdockq2", "lis")] == [
        "B-C1", "0.7", "0.2", "0.1"]
    assert [rows[-1][key] for key in ("interface", "ipsae", "pdockq2", "lis")] == [""] * 4
    # then all pairs that have scores, in the order of the chains; A-B has none
    columns = ("ipsae_A-C1", "pdockq2_A-C1", "lis_A-C1", "ipsae_B-C1", "pdockq2_B-C1", "lis_B-C1")
    assert tuple(rows[0])[-7:] == ("file", *columns)
    assert [rows[0][key] for key in columns] == ["0.4", "", "", "0.7", "0.2", "0.1"]
    assert {rows[-1][key] for key in columns} == {""}


def test_valid_samples_can_come_first(run, predictor, tmp_path):
    sample = predictor.sample
    energy = {"total": 3.0, "VinaStericPotential": 2.0}
    object.__setattr__(predictor, "sample", lambda score: replace(
        sample(score), summary=sample(score).summary | {
            "valid": score < 0.5, "guidance_energy": {"before": energy, "after": energy}}))
    run()
    path = tmp_path / "out/first/ranking.csv"
    rows = list(csv.DictReader(path.open()))
    assert [row["ranking_score"] for row in rows] == ["0.9", "0.8", "0.5", "0.4"]
    assert rows[0]["energy_before"] == rows[0]["energy_after"] == "3.0"
    assert rows[0]["energy_after_VinaStericPotential"] == "2.0"
    calls = len(predictor.state.calls)
    run(rank_by="valid")
    assert len(predictor.state.calls) == calls, "finished seeds stay"
    rows = list(csv.DictReader(path.open()))
    assert [row["ranking_score"] for row in rows] == ["0.4", "0.9", "0.8", "0.5"]
    best = tmp_path / "out/first/first_summary_confidence.json"
    assert json.loads(best.read_text())["ranking_score"] == 0.4


def test_a_lost_sample_is_told_and_stays_told(run, predictor, tmp_path):
    predict = predictor.predict

    def losing(*args):
        result = predict(*args)
        return replace(result, samples=result.samples[:1], lost={1: "guidance of sample 2: bad"})

    object.__setattr__(predictor, "predict", losing)
    outcomes, lines, _ = run()
    assert {state for *_, state in outcomes} == {"incomplete"}
    assert any(line.endswith("lost: guidance of sample 2: bad") for line in lines)
    record = tmp_path / "out/first/run.json"
    record_of_seed = json.loads(record.read_text())["seeds"]["101"]
    assert record_of_seed["state"] == "incomplete"
    assert "sample 2" in record_of_seed["detail"]
    outcomes, *_ = run()
    assert {state for *_, state in outcomes} == {"incomplete"}
    assert json.loads(record.read_text())["seeds"]["101"] == record_of_seed


def test_ranking_of_a_single_chain_has_no_pairs(run, tmp_path):
    run()
    assert (tmp_path / "out/first/ranking.csv").read_text().splitlines()[0].endswith(",lis,file")


def test_random_weights_are_labelled_in_every_file_that_can_say_so(run, tmp_path):
    _, lines, _ = run()
    assert any("RANDOM WEIGHTS" in line for line in lines)
    for path in (tmp_path / "out").rglob("*.cif"):
        assert "RANDOM WEIGHTS (seed 0), not a prediction" in path.read_text()
    record = json.loads((tmp_path / "out" / "first" / "run.json").read_text())
    assert record["random_weights"] is True and record["settings"]["weights"] == "random-0"


def test_a_rerun_skips_and_loads_no_model(run, predictor, tmp_path):
    run()
    before = files(tmp_path / "out")
    states, _, loads = run()
    assert states == THERE and loads == 0 and len(predictor.state.calls) == 4
    assert files(tmp_path / "out") == before


def test_other_settings_are_refused_in_a_sentence_then_overwritten(run, make_settings, tmp_path):
    run()
    states, lines, _ = run(dtype="fp32", device="Ascend")
    assert {state for *_, state in states} == {"failed"}
    assert any("--overwrite" in line and "another" in line for line in lines)
    states, _, _ = run(device="Ascend", overwrite=True)
    assert states == DONE


def test_an_unfinished_seed_is_redone(run, tmp_path):
    run()
    (tmp_path / "out/first/seed_101/fingerprint.txt").unlink()
    stale = tmp_path / "out/first/seed_101/predictions/first_sample_7.cif"
    stale.touch()
    states, _, _ = run()
    assert states[0] == ("first", 101, "done") and states[1:] == THERE[1:]
    assert not stale.exists()


@pytest.mark.parametrize("error", [NonFiniteError("NaN in the trunk"), RuntimeError("broken"),
                                   MemoryError(), KeyError("x")])
def test_a_poisoned_seed_costs_nothing_else(run, predictor, error, tmp_path):
    predictor.state.failures = {("first", 101): error}
    states, lines, _ = run()
    assert states == [("first", 101, "failed"), *DONE[1:]]
    assert not (tmp_path / "out/first/seed_101/predictions").exists()
    rows = (tmp_path / "out/first/ranking.csv").read_text().splitlines()
    assert len(rows) == 3
    assert any("first, seed 101: failed" in line for line in lines)


def test_an_interrupt_keeps_finished_seeds(run, predictor, tmp_path):
    predictor.state.failures = {("first", 102): KeyboardInterrupt()}
    states, _, _ = run()
    assert states == [("first", 101, "done"), ("first", 102, "interrupted")]
    assert (tmp_path / "out/first/first_model.cif").is_file()
    predictor.state.failures = {}
    assert run()[0] == [THERE[0], *DONE[1:]]


def test_same_bytes_twice_but_for_the_record(run, tmp_path):
    run()
    first = files(tmp_path / "out")
    run(overwrite=True)
    second = files(tmp_path / "out")
    differ = {name for name in first if first[name] != second.get(name)}
    assert first.keys() == second.keys() and differ <= {"first/run.json", "second/run.json"}


def test_notes_are_printed_and_recorded(run, jobs, tmp_path):
    jobs[0] = replace(jobs[0], notes=("X is read as Y", "X is read as Y"))
    _, lines, _ = run()
    assert lines.count("first: X is read as Y") == 1 and "second: X is read as Y" not in lines
    first, second = (json.loads((tmp_path / f"out/{name}/run.json").read_text())["notes"]
                     for name in ("first", "second"))
    assert first[0] == "X is read as Y" and "no alignment" in first[1] and first[1:] == second
    assert run()[0] == THERE


def test_names_of_the_users_copies_are_kept(run, jobs, tmp_path):
    chain = Polymer("protein", "A", count=2, labels=("HBA_HUMAN Hä", "HBB\v;'"))
    jobs[0] = replace(jobs[0], entities=(chain, jobs[0].entities[1]))
    run()
    record = json.loads((tmp_path / "out/first/run.json").read_text())
    assert record["chains"] == [
        {"chain": "A", "entity": 1, "name": "HBA_HUMAN Hä"},
        {"chain": "B", "entity": 1, "name": "HBB\v;'"},
        {"chain": "C", "entity": 2, "name": ""}]
    written = (tmp_path / "out/first/first_model.cif").read_text()
    assert "HBA_HUMAN H&#228;, HBB" in written and written.isascii() and "\v" not in written


def test_no_alignment_and_memory_are_told(run):
    _, lines, _ = run()
    assert any("no alignment" in line for line in lines)
    assert any("GB of memory" in line for line in lines)


def test_seeds_of_the_command_win_over_the_jobs(make_settings, jobs):
    job = replace(jobs[0], seeds=(7, 8, 7))
    assert make_settings(seeds=()).seeds_of(job) == (7, 8)
    assert make_settings(seeds=(1,)).seeds_of(job) == (1,)
    assert make_settings(seeds=()).seeds_of(jobs[0]) == (101,)


def test_unusable_weights_end_the_run(jobs, make_settings, predictor, new_reporter):
    def damaged(_):
        raise CheckpointError("cut short", where="w.pt")

    with pytest.raises(CheckpointError, match="cut short"):
        Batch(make_settings(), new_reporter(), load=damaged,
              featurize=lambda s, job, seed: predictor.featurize(job, seed)).run(jobs)
