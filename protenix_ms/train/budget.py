# SPDX-License-Identifier: Apache-2.0
"""What a training will take, before its first step: memory by formula, time by counting products.

Constants are fitted to peaks that scripts/bench/recompute.py measures (tiny v0.5.0 at full width,
48 to 160 tokens, with everything recomputed 128 to 740, 1 to 16 noisy samples, 128 alignment rows).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.errors import ResourceError
from protenix_ms.model.weights import parameter_shapes
from protenix_ms.runtime.resources import available_bytes, resident_bytes

_FLOAT = 4  # bytes
_BASE = 0.6e9  # interpreter, MindSpore, chemistry tables
_COPIES = 6  # of every parameter: itself, gradient, clipped gradient, two moments, average
_ATOMS_PER_TOKEN = 10
# Arrays of the pair representation's size alive at the peak.
_WORKING = 133  # one block's forward and backward pass, conditioning, heads, losses
_LEAN = 24  # the same where these do their work by chunks of rows and forget them
_IN_CHUNKS = ("triangle_attention", "triangle_multiplication", "transition", "pair_embedding")
_KEPT = 92  # what a block keeps for its backward pass, unless it is computed again
_PER_TOKEN = 4.0e6  # bytes: pairs of atoms in windows, chunks
_SAMPLE_ARRAYS = 15  # of atoms by channels, for every noisy sample
_ROW_ARRAYS = 10  # of the alignment's representation
_OF_PEAK = 0.25  # share of the machine's matrix-product rate that a step reaches
_PRODUCT, _TRIES = 1024, 5  # size of the product that is timed, and how often


@dataclass(frozen=True)
class Budget:
    """Expected peak memory of the process in bytes, and seconds of one update."""

    memory: float
    seconds: float


def memory_bytes(config: ConfigDict, rows: int) -> float:
    """Peak memory of one process.

    Args:
        config: the model's tree with `training`.
        rows: of the alignment at most.
    """
    c, m, n = config.training, config.model, config.training.train_crop_size
    pair = n * n * config.widths.c_z * _FLOAT
    blocks = m.pairformer.n_blocks + m.confidence_head.n_blocks
    kept = blocks * (1 if c.recompute.pairformer_block else _KEPT)
    kept += m.msa_module.n_blocks * (1 if c.recompute.msa_block else _KEPT)
    atoms = _ATOMS_PER_TOKEN * n * config.widths.c_atom * _FLOAT
    lean = all(c.recompute[kind] for kind in _IN_CHUNKS)
    pairs = (kept + (_LEAN if lean else _WORKING)) * pair + _PER_TOKEN * n
    samples = _SAMPLE_ARRAYS * atoms * c.diffusion_batch_size
    alignment = rows * n * m.msa_module.c_m * _FLOAT * (_ROW_ARRAYS + m.msa_module.n_blocks)
    parameters = _COPIES * _FLOAT * sum(_size(shape) for shape in parameter_shapes(config).values())
    return _BASE + parameters + pairs + samples + alignment


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def multiply_adds(config: ConfigDict, rows: int) -> float:
    """Multiply-adds of one training example: every weight times the positions it is applied to.

    A module with gradient counts four times (forward, again, and two products backward), one
    without once; of the recycles all but the last have none. Adds the triangles' own products.
    """
    c, m, n = config.training, config.model, config.training.train_crop_size
    most = c.cycles or m.N_cycle
    trunk = 4 + (most + 1) / 2 - 1  # of the mean number of recycles
    mini = config.sample_diffusion.N_step_mini_rollout
    denoiser = 4 * c.diffusion_batch_size + mini
    per_stack = {"pairformer_stack": trunk, "msa_module": trunk, "template_embedder": trunk,
                 "confidence_head": 4.0, "diffusion_module": denoiser, "input_embedder": 4.0}
    total = 0.0
    for name, shape in parameter_shapes(config).items():
        if len(shape) >= 2:
            times = per_stack.get(name.split(".")[0], 4.0)
            times = 4.0 if "diffusion_conditioning" in name else times
            total += times * _size(shape) * _positions(name, n, rows)
    pairs = n * n * config.widths.c_z
    blocks = {"pairformer": trunk, "msa_module": trunk, "confidence_head": 4.0}
    total += sum(times * m[name].n_blocks * 6 * n * pairs for name, times in blocks.items())
    return total


def _positions(name: str, n: int, rows: int) -> int:
    """How many vectors a weight is applied to."""
    parts = name.split(".")
    if any(part.startswith("atom_") for part in parts) or parts[-1].endswith("_weight"):
        return _ATOMS_PER_TOKEN * n
    if parts[0] == "msa_module" and not any(w in name for w in ("tri_", "pair_tr", "out")):
        return rows * n
    pair = ("tri_", "pair_transition", "template", "transition_z", "linear_out", "nobias_z")
    return n * n if any(word in name for word in pair) else n


def estimate(config: ConfigDict, rows: int) -> Budget:
    """The budget on this machine: times one matrix product, some hundredths of a second."""
    x = Tensor.from_numpy(np.ones((_PRODUCT, _PRODUCT), np.float32))
    best = float("inf")
    for _ in range(_TRIES):
        start = time.perf_counter()
        ops.matmul(x, x).asnumpy()
        best = min(best, time.perf_counter() - start)
    rate = _PRODUCT**3 / best
    examples = config.training.iters_to_accumulate
    seconds = examples * multiply_adds(config, rows) / (rate * _OF_PEAK)
    return Budget(memory_bytes(config, rows), seconds)


def require_memory(budget: Budget, where: str) -> None:
    """Refuse a training that cannot fit; what the process holds counts as there.

    Raises:
        ResourceError: with both numbers and remedies.
    """
    free = available_bytes()
    there = None if free is None else free + resident_bytes()
    if there is not None and budget.memory > there:
        raise ResourceError(
            f"a step needs about {budget.memory / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are "
            "there", where=where,
            fix="lower training.train_crop_size or training.diffusion_batch_size, switch on all "
            "of training.recompute, choose a smaller --model, or add --ignore-memory",
        )
