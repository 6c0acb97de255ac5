# SPDX-License-Identifier: Apache-2.0
"""Initial weights for training from scratch, distributed as upstream's."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn

from protenix_ms.nn.linear import Linear
from protenix_ms.typing import Array, Float

LIMIT = 2.0  # standard deviations kept
TRUNCATED_STD = 0.8796256610342398  # of a standard normal cut at two standard deviations
VARIANCE = {"default": 1.0, "relu": 2.0}


def truncated_normal(
    shape: tuple[int, ...], variance: float, rng: np.random.Generator
) -> Float[Array, "..."]:
    """Normal numbers of a given variance *after* cutting at two standard deviations."""
    x = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(x) > LIMIT).any():
        x[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
    return x * np.float32(np.sqrt(variance) / TRUNCATED_STD)


def initialise(model: nn.Cell, rng: np.random.Generator) -> None:
    """Draw the weight of every `Linear` by its `init`; norms, offsets and constants are as built.

    The substructure encoder's packed projection is PyTorch's, hence Glorot uniform.
    """
    for _, cell in model.cells_and_names():
        if isinstance(cell, Linear) and cell.init in VARIANCE:
            c_in = cell.weight.shape[1]
            _put(cell.weight, truncated_normal(cell.weight.shape, VARIANCE[cell.init] / c_in, rng))
        packed = getattr(cell, "in_proj_weight", None)
        if isinstance(packed, Parameter):
            bound = np.sqrt(6.0 / sum(packed.shape))
            _put(packed, rng.uniform(-bound, bound, packed.shape).astype(np.float32))


def _put(parameter: Parameter, values: Float[Array, "..."]) -> None:
    parameter.set_data(Tensor.from_numpy(values))
