# SPDX-License-Identifier: Apache-2.0
"""Primitives and attention with pair bias, beside upstream's."""

import numpy as np
import pytest

from protenix_ms.model.attention import AttentionPairBias
from protenix_ms.model.layers import AdaptiveLayerNorm, Transition


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32)


def test_transition(compare, upstream):
    compare(
        Transition(16, 4), upstream("modules.primitives").Transition(16, 4),
        {"x": normal(5, 6, 16)}, call_ours=lambda m, x: m.update(x["x"]),
    ).run()


def test_adaptive_layer_norm(compare, upstream):
    theirs = upstream("modules.primitives").AdaptiveLayerNorm(c_a=16, c_s=12)
    compare(AdaptiveLayerNorm(16, 12), theirs, {"a": normal(2, 7, 16), "s": normal(2, 7, 12)}).run()


@pytest.mark.parametrize("conditioned", [False, True], ids=["single", "conditioned"])
def test_attention_pair_bias(compare, upstream, conditioned):
    theirs = upstream("modules.transformer").AttentionPairBias(
        has_s=conditioned, create_offset_ln_z=not conditioned, n_heads=4, c_a=32, c_s=24, c_z=16
    )
    ours = AttentionPairBias(32, 16, 4, c_s=24 if conditioned else None)
    inputs = {"a": normal(2, 9, 32), "z": normal(9, 9, 16)}
    if conditioned:
        inputs["s"] = normal(2, 9, 24)
    compare(
        ours, theirs, inputs,
        call_ours=lambda m, x: m.update(x["a"], m.pair_bias(x["z"]), x.get("s")),
        call_upstream=lambda m, x: m(x["a"], x.get("s"), x["z"][None].expand(2, -1, -1, -1)),
        zero_gradients=("layernorm_z.bias",),
    ).run()
