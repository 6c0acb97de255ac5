# SPDX-License-Identifier: Apache-2.0
"""How much memory a prediction needs, by formula, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from ml_collections import ConfigDict

from protenix_ms.config.manifest import parameter_count
from protenix_ms.errors import ResourceError
from protenix_ms.runtime.policy import policy
from protenix_ms.runtime.resources import available_bytes, resident_bytes

_FLOAT = 4  # bytes
_BASE = 0.55e9  # interpreter, MindSpore, chemistry tables
# Arrays held at each stage's peak, in units of one array of the named kind: those alive at once,
# and what MindSpore keeps of those that are not. Measured by scripts/bench/memory.py.
_PAIR_ARRAYS = 20  # z, z_init, the cycle before, a triangle layer's projections and product
_CHUNK_ARRAYS, _CHUNK_BYTES = 16, 0.2e9  # beside them, while a layer is in chunks (runtime.chunk)
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
    pair = n * n * config.widths.c_z * _FLOAT
    heads = model.diffusion_module.transformer.n_heads
    alignment = size.msa_rows * n * model.msa_module.c_m * _FLOAT
    trunk = _PAIR_ARRAYS * pair + 4 * alignment + min(_CHUNK_ARRAYS * pair, _CHUNK_BYTES)
    windows = size.atoms * config.widths.c_atom * _FLOAT * _ATOM_ARRAYS
    bias = n * n * heads * _FLOAT * (2 + size.samples)
    sampler = 4 * pair + bias + windows * size.samples
    kept = size.samples * (_CONFIDENCE_ARRAYS * n * n + 4 * size.atoms) * _FLOAT
    weights = parameter_count(config) * _FLOAT
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
