# SPDX-License-Identifier: Apache-2.0
"""Test the bench `overfit` at microscopic width, 16 tokens: crops, learning, resume, picture."""

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.errors import ConfigError
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.runtime.ranks import Ranks
from protenix_ms.train.record import EVALUATION
from protenix_ms.train.step import TrainingStep

ROOT = Path(__file__).resolve().parents[3]
NARROW = {"c_s": 16, "c_z": 8, "c_s_inputs": 81, "c_atom": 8, "c_atompair": 4, "c_token": 16}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "scripts" / "bench")])
    import overfit

    monkeypatch.setattr(overfit, "TOKENS", 16)
    return overfit


@pytest.fixture
def crop(bench, deposits):
    return bench.crop(deposits, "1mol", ComponentDictionary.load())


@pytest.fixture
def config(bench):
    config = bench.configuration(3, NARROW)
    config.training.update({"diffusion_batch_size": 2, "diffusion_chunk_size": 2, "lr": 1e-2,
                            "lr_scheduler": "constant", "checkpoint_interval": 2})
    config.training.evaluation.update(interval=3, samples=1, steps=2)
    return config


def test_crops_are_fixed(bench, crop, deposits):
    again = bench.crop(deposits, "1mol", ComponentDictionary.load())
    for one in (crop, again):
        assert len(one.example.tokens) == bench.TOKENS and one.row["pdb_id"] == "1mol"
    for name, value in crop.example.features.items():
        assert np.array_equal(value, again.example.features[name]), name
    assert np.array_equal(crop.example.labels["coordinate"], again.example.labels["coordinate"])


def test_it_learns_and_goes_on(bench, crop, config, tmp_path):
    config.training.max_steps = 2
    first = bench.new_trainer(config, [crop], tmp_path, Ranks())
    before = first.differentiate(crop.example, 0, SeededDraws(0))
    assert set(before.terms) == {"smooth_lddt", "bond", "mse", "distogram"}
    assert not any(name.startswith("confidence_head") for name in before.gradients)
    first.run()
    config.training.max_steps = 3
    trainer = bench.new_trainer(config, [crop], tmp_path, Ranks())
    assert trainer.resume() and trainer.step == 2
    trainer.run()
    assert trainer.differentiate(crop.example, 0, SeededDraws(0)).loss < 0.95 * before.loss
    judged = trainer.record.lines(EVALUATION)
    assert [line["entry"] for line in judged if line["step"] == 3] == ["1mol", "all"]
    rows = {row["work"]: row for row in bench.result_rows(trainer)}
    assert rows["all"]["updates"] == 3 and 0 <= rows["1mol"]["lddt"] == rows["all"]["lddt"] <= 1
    overlay = bench.overlay(trainer.model, crop, 0)
    assert 0 <= overlay.lddt <= 1 and overlay.known.shape == overlay.sampled.shape == (16, 3)
    assert bench.structures_png([overlay]).startswith(b"\x89PNG")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_processes_share_what_one_sees(bench, crop, config, tmp_path):
    crops = [replace(crop, example=replace(crop.example)) for _ in range(3)]
    number = {id(one.example): i for i, one in enumerate(crops)}

    def seen(ranks, start, count):
        trainer = bench.new_trainer(config, crops, tmp_path, ranks)
        return [number[id(one)] for one in islice(trainer.examples(start), count)]

    alone = seen(Ranks(), 4, 8)
    assert sorted(alone[2:5]) == [0, 1, 2]
    assert seen(Ranks(0, 2), 2, 4) == alone[::2] and seen(Ranks(1, 2), 2, 4) == alone[1::2]


def test_confidence_alone_needs_a_mini_rollout(bench, crop, config, tmp_path):
    model = bench.new_trainer(config, [crop], tmp_path, Ranks()).model
    config.training.train_confidence_only = True
    with pytest.raises(ConfigError, match="mini-rollout"):
        TrainingStep(model, config.training)
