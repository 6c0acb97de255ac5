# SPDX-License-Identifier: Apache-2.0
"""Estimates of memory beside measured peaks, and refusals with numbers."""

import subprocess
import sys

import pytest

from protenix_ms.config import get_config
from protenix_ms.config.training import training_config
from protenix_ms.errors import ResourceError
from protenix_ms.job import Job, Ligand, Polymer
from protenix_ms.predict import memory
from protenix_ms.predict.memory import (
    Size,
    estimate_bytes,
    estimate_training,
    least_size,
    require_memory,
    require_training_memory,
)
from protenix_ms.runtime.policy import Policy, using

TINY, BASE = (get_config(name) for name in (
    "protenix_tiny_default_v0.5.0", "protenix_base_default_v1.0.0"))
SMALL = Size(128, 1000, 64, 5)


def test_grows_with_everything():
    larger = [Size(256, 1000, 64, 5), Size(128, 4000, 64, 5), Size(128, 1000, 16000, 5),
              Size(128, 9000, 64, 25), Size(128, 1000, 64, 5, 4)]
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


BLOCKS, NOTHING, ALL = "blocks", "nothing", "all"
# scripts/bench.py recompute, tiny v0.5.0, 128 alignment rows: tokens, samples, what is computed
# again, and GB that a step added to weights and moments
MEASURED = [(48, 4, BLOCKS, 0.77), (96, 1, BLOCKS, 1.40), (96, 16, BLOCKS, 1.51),
            (160, 4, BLOCKS, 3.10), (256, 4, BLOCKS, 6.62), (48, 4, NOTHING, 2.11),
            (96, 4, NOTHING, 7.00), (128, 4, NOTHING, 12.47), (128, 4, ALL, 1.41),
            (256, 4, ALL, 3.07), (740, 4, ALL, 14.37)]


def training(tokens, samples, recomputed=BLOCKS, model="protenix_tiny_default_v0.5.0"):
    tree = get_config(model)
    with tree.unlocked():
        tree.training = training_config()
    tree.training.update({"train_crop_size": tokens, "diffusion_batch_size": samples, "cycles": 1})
    if recomputed != BLOCKS:  # the default
        everything = dict.fromkeys(tree.training.recompute, recomputed == ALL)
        tree.training.recompute.update(everything)
    return tree


@pytest.mark.parametrize("row", MEASURED)
def test_a_training_step_takes_what_was_measured(row):
    tokens, samples, recomputed, added = row
    held = 0.6e9 + 5 * 4 * 109.5e6  # the bench holds no average and clips nothing
    expected = estimate_training(training(tokens, samples, recomputed), 128) - held
    assert expected / 1e9 == pytest.approx(added, rel=0.12)


def test_a_training_that_cannot_fit_is_refused_with_the_remedy(monkeypatch):
    needed = estimate_training(training(384, 48), 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e9)
    with pytest.raises(ResourceError, match=r"17\.\d GB .*train_crop_size"):
        require_training_memory(needed, "tiny")
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    require_training_memory(needed, "tiny")


def test_a_network_of_other_sizes_counts_its_own_weights():
    narrow = get_config("protenix_tiny_default_v0.5.0", {"model.pairformer.n_blocks": 1})
    assert estimate_bytes(narrow, SMALL) < estimate_bytes(TINY, SMALL)


PEAK = """
import numpy as np
from protenix_ms.cli import launch
launch.configure("CPU")
from protenix_ms.config import get_config
from protenix_ms.io import read_jobs
from protenix_ms.predict.memory import Size, estimate_bytes
from protenix_ms.predict.predictor import load
from protenix_ms.predict.job_folder import peak_memory_gb
predictor = load("protenix_tiny_default_v0.5.0", random_weights=0, overrides={
    "sample_diffusion.N_step": 1, "sample_diffusion.N_sample": 2, "model.N_cycle": 2})
(job,) = read_jobs("job.fasta")
example = predictor.featurize(job, 1)
f = example.features
size = Size(len(f["asym_id"]), len(f["atom_to_token_idx"]), len(f["msa"]), 2)
predictor.predict(job, 1, None, example)
print(size.tokens, peak_memory_gb() * 1e9, estimate_bytes(predictor.config, size))
"""


@pytest.mark.slow
def test_a_prediction_takes_what_is_estimated(tmp_path):
    """Run one small prediction in a process of its own, and compare its peak with the estimate."""
    (tmp_path / "job.fasta").write_text(">A|protein\n" + "ACDEFGHIKLMNPQRSTVWY" * 10 + "\n")
    done = subprocess.run([sys.executable, "-c", PEAK], cwd=tmp_path, capture_output=True,
                          text=True, check=True, timeout=600)
    tokens, peak, estimate = map(float, done.stdout.split()[-3:])
    assert tokens == 200 and 0.75 < peak / estimate < 1.1


def test_a_huge_job_is_refused_by_its_residues():
    job = Job("huge", (Polymer("protein", "A" * 50_000, 4), Ligand(codes=("HEM",), count=3)))
    size = least_size(job, 5)
    assert (size.tokens, size.samples) == (200_003, 5)
    with pytest.raises(ResourceError, match="200003 tokens and 5 samples need about"):
        require_memory(get_config("protenix-v2"), size, job.name)
