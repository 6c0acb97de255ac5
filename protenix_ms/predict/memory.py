# SPDX-License-Identifier: Apache-2.0
"""How much memory a prediction needs, by formula, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ml_collections import ConfigDict

from protenix_ms.errors import ResourceError
from protenix_ms.model.diffusion_transformer import CACHED_FLOATS
from protenix_ms.model.weights import parameter_shapes
from protenix_ms.ops.native import kernels_serve
from protenix_ms.runtime.chunk import is_large
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.resources import available_bytes, resident_bytes

_FLOAT = 4  # bytes
_BASE = 0.55e9  # interpreter, MindSpore, chemistry tables
# Arrays held at each stage's peak, in units of one array of the named kind: those alive at once,
# and what MindSpore keeps of those that are not. Measured by scripts/bench/memory.py.
_LARGE_PAIRS = 2  # written over (runtime.chunk.is_large): z, and a triangle layer's product
_SMALL_PAIRS = 5  # z, its successor, that product, and pieces in MindSpore's pool
_COMPOSED_PAIRS = 20  # without our kernels: a triangle layer's projections besides
_CHUNK_ARRAYS, _CHUNK_BYTES = 14, 0.5e9  # beside them, while a layer is in chunks (runtime.chunk)
_CHANNELS = 60  # of a pair of tokens: what chunks hold of all pairs, attention biases
_ATOM_ARRAYS = 60  # windowed atom activations of one sample, per atom and channel
_CONFIDENCE_ARRAYS = 4  # PAE, PDE and two TM terms per sample


@dataclass(frozen=True)
class Size:
    """Size of a job: tokens, atoms, alignment rows, samples."""

    tokens: int
    atoms: int
    msa_rows: int
    samples: int


def estimate_bytes(config: ConfigDict, size: Size) -> float:
    """Peak memory of the process for a job, in bytes.

    The larger of the trunk's peak (pair representation, triangle layers, alignment) and the
    sampler's (pair bias, atom windows of all samples), above weights and program.
    """
    model, n = config.model, size.tokens
    shape = (n, n, config.widths.c_z)
    pair = prod(shape) * _FLOAT
    pairs = _SMALL_PAIRS
    if not kernels_serve():
        pairs = _COMPOSED_PAIRS
    elif is_large(shape):  # one more is kept for the next cycle, or for the next sample
        pairs = _LARGE_PAIRS + (model.N_cycle > 1 or size.samples > 1)
    alignment = size.msa_rows * n * model.msa_module.c_m * _FLOAT
    chunks = min(_CHUNK_ARRAYS * pair, _CHUNK_BYTES) + _CHANNELS * n * n * _FLOAT
    trunk = pairs * pair + 4 * alignment + chunks
    windows = size.atoms * config.widths.c_atom * _FLOAT * _ATOM_ARRAYS
    transformer = model.diffusion_module.transformer
    bias = transformer.n_blocks * transformer.n_heads * n * n
    bias = bias if bias <= CACHED_FLOATS else 2 * transformer.n_heads * n * n
    sampler = 2 * pair + bias * _FLOAT + windows * size.samples + chunks
    kept = size.samples * (_CONFIDENCE_ARRAYS * n * n + 4 * size.atoms) * _FLOAT
    weights = sum(map(prod, parameter_shapes(config).values())) * _FLOAT
    return _BASE + weights + kept + max(trunk, sampler)


def require_memory(config: ConfigDict, size: Size, where: str = "") -> float:
    """Refuse a job that cannot fit; the estimate in bytes otherwise.

    What the process holds already is part of the estimate, so it counts as there. The policy's
    `memory` is a limit too.

    Raises:
        ResourceError: with both numbers and remedies.
    """
    needed, free = estimate_bytes(config, size), available_bytes()
    limits = [] if free is None else [free + resident_bytes()]
    limits += [] if policy().memory is None else [policy().memory]
    there = min(limits, default=None)
    if there is not None and needed > there:
        raise ResourceError(
            f"{size.tokens} tokens, {size.atoms} atoms and {size.samples} samples need about "
            f"{needed / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are there",
            where=where,
            fix="ask for fewer --samples, cut the job, choose a smaller --model, or use a larger "
            "machine (--ignore-memory tries anyway)",
        )
    return needed
