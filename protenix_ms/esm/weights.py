# SPDX-License-Identifier: Apache-2.0
"""Weights of an encoder: from a file or by rule, all in memory or layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from protenix_ms.config.encoder import (
    CONTACT_WEIGHT,
    FREQUENCIES,
    LM_BIAS,
    EncoderSizes,
    EncoderWeights,
    encoder_shapes,
    layer_shapes,
)
from protenix_ms.esm.encoder import Encoder
from protenix_ms.esm.layers import EncoderLayer
from protenix_ms.model.weights import load_weights, rule_array
from protenix_ms.typing import Array

_SWEEP = 16  # bytes that a sweep holds for a channel of a token: its residual stream and a copy


def rule_weights(sizes: EncoderSizes, seed: int = 0, gain: float = 0.5) -> EncoderWeights:
    """Make weights by rule (`model.weights.rule_array`): the numbers hold, the biology does not.

    Args:
        gain: of matrices; with 0.5 attention is nearly flat.
    """
    shapes = encoder_shapes(sizes)
    names = frozenset(name for name in shapes if not name.endswith("inv_freq"))
    return EncoderWeights(
        sizes, names, lambda name: rule_array(name, shapes[name], seed, gain),
        f"rule, seed {seed}, gain {gain:g}, {sizes}", f"weights by rule (seed {seed})")


class StreamedLayers:
    """Gives the layers one after the other in one place of memory, read when their turn comes."""

    def __init__(self, weights: EncoderWeights) -> None:
        self._weights, sizes = weights, weights.sizes
        self._layer = EncoderLayer(sizes.width, sizes.heads)

    def __len__(self) -> int:
        return self._weights.sizes.layers

    def __iter__(self) -> Iterator[EncoderLayer]:
        for number in range(len(self)):
            load_weights(self._layer, _layer_arrays(self._weights, number), self._weights.label)
            yield self._layer


def _layer_arrays(weights: EncoderWeights, number: int) -> Iterator[tuple[str, Array]]:
    """Yield the parameters of one layer under their names within it."""
    for name in layer_shapes(weights.sizes.width):
        yield name, weights.array(f"layers.{number}.{name}")
    yield FREQUENCIES.partition("{}.")[2], weights.array(FREQUENCIES.format(number))


def load_encoder(weights: EncoderWeights, memory: int | None = None) -> Encoder:
    """Build an encoder and fill it.

    Args:
        weights: see `predict.encoders.open_weights`, or `rule_weights`.
        memory: bytes that it may take. If the weights alone take more, layers are read from disk
            one at a time, many sequences going through each; the numbers are the same.

    Raises:
        CheckpointError: the file is damaged.
    """
    sizes, names = weights.sizes, weights.names
    streamed = memory is not None and weights.bytes_in_memory > memory
    layers, sweep = None, 0
    if streamed:
        layers = StreamedLayers(weights)
        sweep = memory // 2 // (_SWEEP * sizes.width)
    encoder = Encoder(sizes, LM_BIAS in names, CONTACT_WEIGHT in names, layers, sweep)
    load_weights(encoder, ((name, weights.array(name)) for name in weights.shapes
                           if not (streamed and name.startswith("layers."))), weights.label)
    encoder.set_train(False)
    return encoder
