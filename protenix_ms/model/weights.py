# SPDX-License-Identifier: Apache-2.0
"""Weights of the network: loaded strictly and without copies, or drawn."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import numpy as np
from mindspore import Parameter, Tensor, nn
from ml_collections import ConfigDict

from protenix_ms.config.parameters import Shapes, has_released_sizes, released_shapes
from protenix_ms.errors import CheckpointError
from protenix_ms.model.layers import Linear
from protenix_ms.model.protenix import Protenix
from protenix_ms.typing import Array, Float

# Absent from the published constraint checkpoint, although its configuration has it; zero then.
MAY_BE_ABSENT = frozenset({"input_embedder.linear_esm.weight"})
OWN = frozenset(
    {
        "diffusion_module.diffusion_conditioning.fourier_embedding.w",
        "diffusion_module.diffusion_conditioning.fourier_embedding.b",
        "confidence_head.lower_bins",
        "confidence_head.upper_bins",
    }
)
"""Constants that their module makes itself; a checkpoint may replace them."""

LIMIT = 2.0  # standard deviations kept of a truncated normal
TRUNCATED_STD = 0.8796256610342398  # of a standard normal cut at two standard deviations
VARIANCE = {"default": 1.0, "relu": 2.0}


def parameter_shapes(config: ConfigDict) -> Shapes:
    """Return every parameter of a configuration: upstream's state-dict name -> shape.

    The network is built for it where no released variant has these sizes, in up to seconds.
    """
    if has_released_sizes(config):
        return released_shapes(config.model_name)
    return shapes_of(Protenix(config))


def shapes_of(model: nn.Cell) -> Shapes:
    """Return the name and shape of every parameter of a network."""
    return {name: tuple(p.shape) for name, p in model.parameters_and_names()}


def rule_array(
    name: str, shape: tuple[int, ...], seed: int = 0, gain: float = 0.5
) -> Float[Array, "..."]:
    """Draw the values of one parameter from its name and shape alone (seed 0: the recordings').

    Matrices are scaled to keep magnitudes, times `gain`; nothing is zero, so that every layer
    takes part.
    """
    random = np.random.RandomState((crc32(name.encode()) + 7 + seed) % 2**32)
    x = random.standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return 1 + np.float32(0.1) * x if name.endswith(".weight") else np.float32(0.1) * x
    fan_in = shape[1] if len(shape) == 3 else shape[-1]
    return x * np.float32(gain / np.sqrt(fan_in))  # one factor: the recordings, bit for bit


def load_weights(
    model: nn.Cell, arrays: Iterable[tuple[str, Array]], where: str = "weights",
    may_be_absent: frozenset[str] = OWN,
) -> None:
    """Set every parameter of `model` to its array, by name.

    Arrays that are float32, contiguous and writable become the parameter's memory. With a
    generator, peak memory stays at the model plus one array.

    Args:
        model: any cell whose parameters carry upstream's names.
        arrays: (name, array) pairs.
        where: what to call the source in an error.
        may_be_absent: names that may keep their initial value.

    Raises:
        CheckpointError: a name is unknown or missing, or an array has another shape.
    """
    parameters = dict(model.parameters_and_names())
    waiting = set(parameters)
    for name, array in arrays:
        if name not in parameters:
            raise CheckpointError(f"the model has no parameter '{name}'", where=where)
        expected = tuple(parameters[name].shape)
        if array.shape != expected:
            raise CheckpointError(
                f"'{name}' has shape {array.shape}, the model wants {expected}", where=where,
                fix="check that the file is of this model",
            )
        # MindSpore can share memory that is float32, contiguous and writable
        parameters[name].set_data(Tensor.from_numpy(np.require(array, np.float32, ["C", "W"])))
        waiting.discard(name)
    missing = sorted(waiting - may_be_absent)
    if missing:
        raise CheckpointError(
            f"{len(missing)} parameters are missing, the first is '{missing[0]}'", where=where,
            fix="check that the file is of this model",
        )


def truncated_normal(
    shape: tuple[int, ...], variance: float, rng: np.random.Generator,
) -> Float[Array, "..."]:
    """Draw normal numbers of a given variance *after* cutting at two standard deviations."""
    x = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(x) > LIMIT).any():
        x[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
    return x * np.float32(np.sqrt(variance) / TRUNCATED_STD)


def initialise(model: nn.Cell, rng: np.random.Generator) -> None:
    """Draw initial weights for training from scratch, distributed as upstream's.

    Draws the weight of every `Linear` by its `init`; norms, offsets and constants stay as built.
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
