# SPDX-License-Identifier: Apache-2.0
"""The conditioned transformer of the diffusion module: over all tokens, or over atom windows."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.attention import GATE_BIAS, AttentionPairBias
from protenix_ms.model.layers import AdaptiveLayerNorm, LayerNorm, Linear
from protenix_ms.model.residual import Residual
from protenix_ms.ops.functional import for_samples, gated, swiglu
from protenix_ms.ops.projection import PairProjection
from protenix_ms.runtime.compiled import CompiledBlocks
from protenix_ms.typing import Float

# Numbers of biases that are kept for all steps: 4 GiB, 24 blocks of 16 heads up to 1670 tokens.
CACHED_FLOATS = 2**30


class ConditionedTransitionBlock(Residual):
    """Adds a SwiGLU transition with adaptive norm and output gate (AF3 Algorithm 25)."""

    def __init__(self, c_a: int, c_s: int) -> None:
        super().__init__()
        self.adaln = AdaptiveLayerNorm(c_a, c_s)
        self.linear_nobias_a1 = Linear(c_a, 2 * c_a, init="relu")
        self.linear_nobias_a2 = Linear(c_a, 2 * c_a, init="relu")
        self.linear_nobias_b = Linear(2 * c_a, c_a)
        self.linear_s = Linear(c_s, c_a, bias=True, init="zeros", bias_init=GATE_BIAS)

    def update(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"],
    ) -> Float[Tensor, "b n c_a"]:
        """Compute the update of `a`, conditioned on `s`, whose leading axis may be 1."""
        a = self.adaln(a, s)
        b = swiglu(self.linear_nobias_a2(a), gate=self.linear_nobias_a1(a))
        return gated(self.linear_nobias_b(b), for_samples(self.linear_s(s), a.shape[0]))


class DiffusionTransformerBlock(nn.Cell):
    """Updates `a` by attention, then by a transition (one block of AF3 Algorithm 23).

    Each is added to the running sum. The supplement adds both to the block's input; Protenix
    found that such a network trains badly.
    """

    def __init__(self, c_a: int, c_s: int, c_z: int, n_heads: int, cross: bool) -> None:
        super().__init__()
        self.attention_pair_bias = AttentionPairBias(c_a, c_z, n_heads, c_s, cross)
        self.conditioned_transition_block = ConditionedTransitionBlock(c_a, c_s)

    def construct(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"],
        bias: Float[Tensor, "_ h q k"], windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        a = self.attention_pair_bias(a, bias, s, windows)
        return self.conditioned_transition_block(a, s)


class PairBiases(Sequence):
    """Attention biases of every block of a stack, from one pair representation.

    The pair is normalised once for all blocks, and each block's weight holds the scale of its
    norm (upstream's `enable_efficient_fusion`). Nothing depends on the noise, so all steps share
    the biases; those too large to keep are computed at each use.

    Args:
        blocks: blocks whose attention has a pair norm without offset.
        z: ``[n, n, c_z]``, or ``[w, 32, 128, c_z]`` with windows.
        windows: their padded keys are masked here, once, rather than at every use.
    """

    def __init__(
        self, blocks: nn.CellList, z: Float[Tensor, "*r q k c_z"],
        windows: AtomWindows | None = None,
    ) -> None:
        self._windows = windows
        self._project = PairProjection(z, LayerNorm(z.shape[-1]))
        attention = [block.attention_pair_bias for block in blocks]
        self._weights = [x.linear_nobias_z.weight * x.layernorm_z.weight for x in attention]
        self._kept = None
        numbers = sum(len(weight) for weight in self._weights) * (z.size // z.shape[-1])
        if numbers <= CACHED_FLOATS:
            self._kept = [self._bias(weight) for weight in self._weights]
            self._project = None

    def _bias(self, weight: Float[Tensor, "h c_z"]) -> Float[Tensor, "_ h q k"]:
        bias = self._project(weight)
        return ops.expand_dims(bias, 0) if self._windows is None else bias + self._windows.key_bias

    def __len__(self) -> int:
        return len(self._weights)

    def __getitem__(self, i: int) -> Float[Tensor, "_ h q k"]:
        """Return the bias of block `i`, ``[1, h, n, n]`` or ``[w, h, 32, 128]``."""
        return self._bias(self._weights[i]) if self._kept is None else self._kept[i]


class DiffusionTransformer(nn.Cell):
    """Updates `a` by a stack of blocks (AF3 Algorithm 23).

    Args:
        c_a, c_s, c_z: channels of the updated representation, its conditioning, the pair.
        n_blocks, n_heads: depth and attention heads.
        cross: the form of the atom transformer (see `AttentionPairBias`).
    """

    def __init__(
        self, c_a: int, c_s: int, c_z: int, n_blocks: int, n_heads: int, cross: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.CellList(
            [DiffusionTransformerBlock(c_a, c_s, c_z, n_heads, cross) for _ in range(n_blocks)]
        )
        self.run_block = CompiledBlocks()

    def pair_biases(
        self, z: Float[Tensor, "*r q k c_z"], windows: AtomWindows | None = None,
    ) -> PairBiases:
        """Compute the biases of all blocks, once for every call."""
        return PairBiases(self.blocks, z, windows)

    def construct(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"], biases: PairBiases,
        windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        """Update `a`; the leading axis of `s` is 1 if all samples share their conditioning."""
        for i, block in enumerate(self.blocks):
            a = self.run_block(block, a, s, biases[i], windows)
        return a
