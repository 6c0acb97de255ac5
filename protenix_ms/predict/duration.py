# SPDX-License-Identifier: Apache-2.0
"""Estimates how long a prediction takes, before it starts: operations over the processor's speed.

The counts are those of the large matrix products, the only ones that matter from 100 tokens on.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

if TYPE_CHECKING:  # the terminal's output says durations before MindSpore is loaded
    from protenix_ms.predict.memory import Size

STAGES = ("recycle", "step", "sample")
_PROBE = 1024  # side of the matrices that measure the speed
_SHARE = 0.7  # of that speed which whole blocks reach with our kernels (docs/performance.md)


def count_operations(config: ConfigDict, size: Size) -> dict[str, float]:
    """Count the floating-point operations of every stage of a prediction, by `STAGES`."""
    model, n = config.model, size.tokens
    c_z, c_m = config.widths.c_z, model.msa_module.c_m
    pair = _pair_block(n, c_z)
    outer = size.msa_rows * n**2 * (2048 + 8 * c_m) + 2048 * n**2 * c_z  # product mean, averaging
    recycle = (model.pairformer.n_blocks * pair + model.msa_module.n_blocks * (pair + outer)
               + model.template_embedder.n_blocks * _pair_block(n, model.template_embedder.c))
    diffusion = model.diffusion_module
    blocks = diffusion.atom_encoder.n_blocks + diffusion.atom_decoder.n_blocks
    step = (diffusion.transformer.n_blocks * n * _token_block(n, diffusion.c_token, diffusion.c_s)
            + blocks * size.atoms * _token_block(128, diffusion.c_atom, diffusion.c_atom))
    sampler = config.sample_diffusion
    return {"recycle": model.N_cycle * recycle, "step": sampler.N_step * size.samples * step,
            "sample": size.samples * model.confidence_head.n_blocks * pair}


def estimate_seconds(config: ConfigDict, size: Size) -> dict[str, float]:
    """Estimate the seconds of every stage on this machine's processor, by `STAGES`."""
    speed = _SHARE * operations_per_second()
    return {stage: count / speed for stage, count in count_operations(config, size).items()}


@cache
def operations_per_second() -> float:
    """Measure, once, how many operations a product of two matrices makes in a second."""
    matrix = np.ones((_PROBE, _PROBE), np.float32)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * _PROBE**3 / best


def say_duration(seconds: float) -> str:
    """Say a duration as people do: "20 s", "4 min", "2.5 h"."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _pair_block(n: int, c: int) -> float:
    """Count two triangle multiplications, two triangle attentions and a transition."""
    return 12.0 * n**3 * c + 68 * n**2 * c**2


def _token_block(keys: int, c: int, c_s: int) -> float:
    """Count what a row takes in a conditioned transformer block with so many keys."""
    return 22.0 * c**2 + 12 * c * c_s + 4 * keys * c
