# SPDX-License-Identifier: Apache-2.0
"""The optimiser from recorded gradients, and against PyTorch's; schedules against upstream's."""

import math

import mindspore as ms
import numpy as np
import pytest
from training_recording import RecordedStep, part

from protenix_ms.config.training import training_config
from protenix_ms.errors import ConfigError
from protenix_ms.train.optimiser import (
    Adam,
    MovingAverage,
    clipping,
    learning_rate,
    total_norm,
    words,
)

RATE = 1.8e-3  # of the recorded update


def parameters(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {n: ms.Parameter(ms.Tensor(rng.standard_normal(s).astype("f4")), name=n)
            for n, s in shapes.items()}


@pytest.mark.parametrize("case", ["train_fullgrads", "train_homodimer", "train_confidence"])
def test_recorded_update(golden, case):
    path = golden / "tiny" / case
    if not path.is_dir():
        pytest.skip(f"no recording at {path}: set PROTENIX_MS_GOLDEN")
    recorded = RecordedStep.read(path)
    before = {n: ms.Parameter(ms.Tensor(w), name=n) for n, w in recorded.weights()}
    gradients = {n: ms.Tensor(g) for n, g in part(recorded.outputs, "grad_clipped").items()}
    Adam(before, recorded.training.adam).update(gradients, lambda name: RATE)
    after = part(recorded.outputs, "param_after")
    assert len(after) > 550
    for name, expected in after.items():
        assert np.abs(before[name].asnumpy() - expected).max() <= 1e-6, name


@pytest.mark.parametrize("adamw", [False, True])
def test_many_updates_beside_pytorch(adamw):
    torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
    shapes = {"a.weight": (5, 3), "a.bias": (4,), "b.weight": (2, 3, 4)}
    ours = parameters(shapes)
    leaves = {n: torch.nn.Parameter(torch.tensor(p.asnumpy())) for n, p in ours.items()}
    decay, config = 0.1, training_config().adam
    config.update({"weight_decay": decay, "use_adamw": adamw})
    if adamw:
        groups = [{"params": [p], "weight_decay": decay if p.ndim > 1 else 0.0}
                  for p in leaves.values()]
        theirs = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    else:
        theirs = torch.optim.Adam(leaves.values(), lr=0.01, betas=(0.9, 0.95), weight_decay=decay)
    optimiser, rng = Adam(ours, config), np.random.default_rng(1)
    for step in range(20):
        gradients = {n: rng.standard_normal(s).astype("f4") for n, s in shapes.items()}
        gradients["a.bias"] *= 1e-6
        if step == 5:  # a parameter that this step does not reach
            del gradients["b.weight"]
        optimiser.update({n: ms.Tensor(g) for n, g in gradients.items()}, lambda name: 0.01)
        for name, leaf in leaves.items():
            leaf.grad = torch.tensor(gradients[name]) if name in gradients else None
        theirs.step()
    for name, leaf in leaves.items():
        assert np.abs(ours[name].asnumpy() - leaf.detach().numpy()).max() <= 1e-6, name


def test_clip_beside_pytorch():
    torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
    arrays = {"a": np.full((3, 3), 4.0, "f4"), "b": np.full(7, -3.0, "f4")}
    leaves = [torch.nn.Parameter(torch.zeros(a.shape)) for a in arrays.values()]
    for leaf, array in zip(leaves, arrays.values()):
        leaf.grad = torch.tensor(array)
    norm = torch.nn.utils.clip_grad_norm_(leaves, 10)
    ours = total_norm({n: ms.Tensor(a) for n, a in arrays.items()})
    assert ours == pytest.approx(float(norm), rel=1e-6)
    for leaf, array in zip(leaves, arrays.values()):
        assert np.allclose(array * clipping(ours, 10.0), leaf.grad.numpy(), rtol=1e-6)
    assert clipping(9.0, 10.0) == clipping(math.nan, 10.0) == 1


def test_schedules(golden):
    path = golden / "tiny" / "train"
    if not path.is_dir():
        pytest.skip(f"no recording at {path}: set PROTENIX_MS_GOLDEN")
    recorded = RecordedStep.read(path)
    for step, rate in zip(recorded.outputs["lr_schedule_steps"], recorded.outputs["lr_schedule"]):
        assert learning_rate(int(step), recorded.training) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("name", ["af3", "cosine_annealing", "constant"])
def test_schedules_beside_upstream(name):
    scheduler = pytest.importorskip("protenix.utils.lr_scheduler", reason="needs protenix 2.0.0")
    torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
    config = training_config()
    config.update({"lr_scheduler": name, "warmup_steps": 7, "max_steps": 40,
                   "decay_every_n_steps": 15})
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    keys = ("warmup_steps", "lr", "decay_every_n_steps", "decay_factor")
    with config.unlocked():
        config.af3_lr_scheduler = {k: config[k] for k in keys}
    theirs = scheduler.get_lr_scheduler(config, optimiser)
    for step in range(50):
        assert learning_rate(step, config) == pytest.approx(theirs._get_step_lr(step), rel=1e-12)
    config.lr_scheduler = "linear"
    with pytest.raises(ConfigError, match="linear"):
        learning_rate(0, config)


def test_moving_average():
    model = parameters({"pairformer.w": (3,), "confidence.w": (2,)})
    start = {n: p.asnumpy().copy() for n, p in model.items()}
    all_of_it = MovingAverage(model, 0.9)
    part_of_it = MovingAverage(model, 0.9, words(" confidence , "))
    for p in model.values():
        p.set_data(p + 1.0)
    for average in (all_of_it, part_of_it):
        average.update()
    assert np.allclose(all_of_it.average["pairformer.w"].asnumpy(), start["pairformer.w"] + 0.1)
    assert np.allclose(part_of_it.average["pairformer.w"].asnumpy(), start["pairformer.w"])
    assert np.allclose(part_of_it.average["confidence.w"].asnumpy(), start["confidence.w"] + 0.1)
    with all_of_it.applied():
        assert np.allclose(model["confidence.w"].asnumpy(), start["confidence.w"] + 0.1)
    assert np.allclose(model["confidence.w"].asnumpy(), start["confidence.w"] + 1)
