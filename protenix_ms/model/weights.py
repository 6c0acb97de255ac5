# SPDX-License-Identifier: Apache-2.0
"""Weights into the network, strictly and without copies."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import numpy as np
from mindspore import Tensor, nn
from ml_collections import ConfigDict

from protenix_ms.config.parameters import Shapes, has_released_sizes, released_shapes
from protenix_ms.errors import CheckpointError
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


def rule_array(name: str, shape: tuple[int, ...], seed: int = 0) -> Float[Array, "..."]:
    """Random values of one parameter, from its name and shape alone (seed 0: as the recordings).

    Matrices are scaled to keep magnitudes; nothing is zero, so that every layer takes part.
    """
    random = np.random.RandomState((crc32(name.encode()) + 7 + seed) % 2**32)
    x = random.standard_normal(shape).astype(np.float32)
    if len(shape) == 1:
        return 1 + np.float32(0.1) * x if name.endswith(".weight") else np.float32(0.1) * x
    fan_in = shape[1] if len(shape) == 3 else shape[-1]
    return x * np.float32(0.5 / np.sqrt(fan_in))  # one factor: the recordings, bit for bit


def load_weights(
    model: nn.Cell,
    arrays: Iterable[tuple[str, Array]],
    where: str = "weights",
    may_be_absent: frozenset[str] = OWN,
) -> None:
    """Give every parameter of `model` its array, by name.

    Arrays that are float32, contiguous and writable become the parameter's memory; give a
    generator, and peak memory stays at the model plus one array.

    Args:
        model: any cell whose parameters carry upstream's names.
        arrays: (name, array) pairs.
        where: what to call the source in an error.
        may_be_absent: names that may keep their initial value.

    Raises:
        CheckpointError: a name too many, too few, or an array of another shape.
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
        parameters[name].set_data(Tensor.from_numpy(_owned(array)))
        waiting.discard(name)
    missing = sorted(waiting - may_be_absent)
    if missing:
        raise CheckpointError(
            f"{len(missing)} parameters are missing, the first is '{missing[0]}'", where=where,
            fix="check that the file is of this model",
        )


def _owned(array: Array) -> Array:
    """The array itself where MindSpore can share it, else a copy."""
    return np.require(array, np.float32, ["C", "W"])
