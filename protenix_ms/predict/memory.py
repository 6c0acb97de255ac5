# SPDX-License-Identifier: Apache-2.0
"""Estimates of the memory that a prediction or a training step takes, before it starts.

Both estimates count arrays of some kinds that live at once at the peak. `ARRAYS` holds the counts;
`scripts/bench.py memory` and `scripts/bench.py recompute` measure the peaks they are fitted to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from math import prod

from ml_collections import ConfigDict

from protenix_ms.errors import ResourceError
from protenix_ms.job import Job, Polymer
from protenix_ms.model.diffusion_transformer import CACHED_FLOATS
from protenix_ms.model.weights import parameter_shapes
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.resources import available_bytes, resident_bytes
from protenix_ms.runtime.rows import is_large

_FLOAT = 4  # bytes
ARRAYS = {
    # Prediction. Of the pair representation's size: when large arrays are written over
    # (runtime.rows.is_large), z and a triangle layer's product; else their successors and pieces
    # in MindSpore's pool besides; without our kernels a triangle layer's projections too.
    "large pairs": 2, "small pairs": 5, "pairs without kernels": 20,
    "chunks": 14,  # of the pair representation's size beside them, at most `_CHUNK_BYTES`
    "pair channels": 60,  # floats per pair of tokens: what chunks hold of all pairs, biases
    "alignment": 4, "atom windows": 60, "confidence": 4,  # the last two for every sample
    # Training. Of the pair representation's size: one block's two passes, conditioning, heads and
    # losses, whole or by chunks of rows; what a block keeps for its backward pass.
    "working": 133, "working in chunks": 24, "kept by a block": 92, "recomputed block": 1,
    "noisy sample": 15, "alignment rows": 10, "atoms per token": 10,
    "parameters": 6,  # itself, gradient, clipped gradient, two moments, average
}
_PREDICTION_BASE, _TRAINING_BASE = 0.55e9, 0.6e9  # bytes: interpreter, MindSpore, chemistry tables
TEMPLATE_CHANNELS = 44  # per pair of tokens: distance bins, direction, two masks
_CHUNK_BYTES = 0.5e9
_BYTES_PER_TOKEN = 4.0e6  # of a training step: pairs of atoms in windows, chunks
_IN_CHUNKS = ("triangle_attention", "triangle_multiplication", "transition", "pair_embedding")


@dataclass(frozen=True)
class Size:
    """Size of a job: tokens, atoms, alignment rows, samples, template slots that are filled."""

    tokens: int
    atoms: int
    msa_rows: int
    samples: int
    templates: int = 0


def _weights(config: ConfigDict) -> int:
    """Return the bytes of all parameters."""
    return _FLOAT * _count_parameters(config.to_json())


@cache
def _count_parameters(config: str) -> int:
    """Count once per configuration, given as JSON: other sizes than released ones take seconds."""
    shapes = parameter_shapes(ConfigDict(json.loads(config)))
    return sum(map(prod, shapes.values()))


def estimate_bytes(config: ConfigDict, size: Size) -> float:
    """Estimate the peak memory of the process for a job, in bytes.

    The larger of the trunk's peak (pair representation, triangle layers, alignment) and the
    sampler's (pair bias, atom windows of all samples), above weights and program.
    """
    model, n = config.model, size.tokens
    shape = (n, n, config.widths.c_z)
    pair = prod(shape) * _FLOAT
    if not kernels_serve():
        pairs = ARRAYS["pairs without kernels"]
    elif is_large(shape):  # one more is kept for the next cycle, or for the next sample
        pairs = ARRAYS["large pairs"] + (model.N_cycle > 1 or size.samples > 1)
    else:
        pairs = ARRAYS["small pairs"]
    chunks = min(ARRAYS["chunks"] * pair, _CHUNK_BYTES) + ARRAYS["pair channels"] * n * n * _FLOAT
    alignment = size.msa_rows * n * model.msa_module.c_m * _FLOAT * ARRAYS["alignment"]
    windows = size.atoms * config.widths.c_atom * _FLOAT * ARRAYS["atom windows"]
    transformer = model.diffusion_module.transformer
    bias = transformer.n_blocks * transformer.n_heads * n * n
    bias = bias if bias <= CACHED_FLOATS else 2 * transformer.n_heads * n * n
    trunk = pairs * pair + alignment + chunks
    sampler = 2 * pair + bias * _FLOAT + windows * size.samples + chunks
    confidence = size.samples * (ARRAYS["confidence"] * n * n + 4 * size.atoms) * _FLOAT
    templates = size.templates * TEMPLATE_CHANNELS * n * n * _FLOAT
    return _PREDICTION_BASE + _weights(config) + confidence + templates + max(trunk, sampler)


def estimate_training(config: ConfigDict, rows: int) -> float:
    """Estimate the peak memory of one training process, in bytes.

    Args:
        config: the model's tree with `training`.
        rows: most rows of an alignment.
    """
    c, m, n = config.training, config.model, config.training.train_crop_size
    blocks = {"pairformer_block": m.pairformer.n_blocks + m.confidence_head.n_blocks,
              "msa_block": m.msa_module.n_blocks}
    pairs = sum(count * ARRAYS["recomputed block" if c.recompute[kind] else "kept by a block"]
                for kind, count in blocks.items())
    lean = all(c.recompute[kind] for kind in _IN_CHUNKS)
    pairs += ARRAYS["working in chunks" if lean else "working"]
    samples = ARRAYS["noisy sample"] * c.diffusion_batch_size
    arrays = (pairs * n * n * config.widths.c_z
              + samples * ARRAYS["atoms per token"] * n * config.widths.c_atom
              + rows * n * m.msa_module.c_m * (ARRAYS["alignment rows"] + m.msa_module.n_blocks))
    return (_TRAINING_BASE + ARRAYS["parameters"] * _weights(config) + arrays * _FLOAT
            + _BYTES_PER_TOKEN * n)


def require_memory(config: ConfigDict, size: Size, where: str = "") -> float:
    """Refuse a job that cannot fit; return the estimate in bytes otherwise. Raises ResourceError.
    """
    needed = estimate_bytes(config, size)
    atoms = f", {size.atoms} atoms" if size.atoms else ""  # uncounted before features are made
    _require(needed, f"{size.tokens} tokens{atoms} and {size.samples} samples need",
             where, "ask for fewer --samples, cut the job, choose a smaller --model, or use a "
             "larger machine (--ignore-memory tries anyway)")
    return needed


def least_size(job: Job, samples: int) -> Size:
    """Count what a job has at least, without its features: residues, and a token per ligand."""
    tokens = sum(e.count * (len(e.sequence) if isinstance(e, Polymer) else 1)
                 for e in job.entities)
    return Size(tokens, 0, 0, samples)


def require_training_memory(needed: float, where: str) -> None:
    """Refuse a training that cannot fit. Raises ResourceError."""
    _require(needed, "a step needs", where,
             "lower training.train_crop_size or training.diffusion_batch_size, switch on all of "
             "training.recompute, choose a smaller --model, or add --ignore-memory")


def _require(needed: float, what: str, where: str, fix: str) -> None:
    """Compare with what this process may use: what it holds already, what is free, and a limit.

    Raises:
        ResourceError: names both numbers and the remedies.
    """
    free = available_bytes()
    limits = [] if free is None else [free + resident_bytes()]
    limits += [] if policy().memory is None else [policy().memory]
    there = min(limits, default=None)
    if there is not None and needed > there:
        raise ResourceError(f"{what} about {needed / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB "
                            "are there", where=where, fix=fix)
