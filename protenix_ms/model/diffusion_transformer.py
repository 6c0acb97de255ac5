# SPDX-License-Identifier: Apache-2.0
"""The conditioned transformer of the diffusion module: over all tokens, or over atom windows."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from protenix_ms.model.atom_windows import AtomWindows
from protenix_ms.model.attention_pair_bias import GATE_BIAS, AttentionPairBias
from protenix_ms.nn import AdaptiveLayerNorm, LayerNorm, Linear
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.for_samples import for_samples
from protenix_ms.ops.gating import gated, swiglu
from protenix_ms.ops.layer_norm import layer_norm
from protenix_ms.ops.pair_layers import whole_layers
from protenix_ms.runtime.compiled import CompiledBlocks, compiling
from protenix_ms.runtime.padding import Padding, key_bias
from protenix_ms.typing import Float

# Biases kept over all steps (trap H31); 4 GiB hold 24 blocks of 16 heads up to 1670 tokens.
CACHED_FLOATS = 2**30


class ConditionedTransitionBlock(nn.Cell):
    """SwiGLU transition with adaptive norm and output gate (AF3 Algorithm 25), expansion 2."""

    def __init__(self, c_a: int, c_s: int) -> None:
        super().__init__()
        self.adaln = AdaptiveLayerNorm(c_a, c_s)
        self.linear_nobias_a1 = Linear(c_a, 2 * c_a, init="relu")
        self.linear_nobias_a2 = Linear(c_a, 2 * c_a, init="relu")
        self.linear_nobias_b = Linear(2 * c_a, c_a)
        self.linear_s = Linear(c_s, c_a, bias=True, init="zeros", bias_init=GATE_BIAS)

    def construct(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"]
    ) -> Float[Tensor, "b n c_a"]:
        a = self.adaln(a, s)
        b = self.linear_nobias_b(swiglu(self.linear_nobias_a2(a), self.linear_nobias_a1(a)))
        return gated(b, for_samples(self.linear_s(s), a.shape[0]))

    def added(
        self, a: Float[Tensor, "b n c_a"], s: Float[Tensor, "_ n c_s"]
    ) -> Float[Tensor, "b n c_a"]:
        """`a` plus its update."""
        kernels = whole_layers(a)
        if kernels is None:
            return a + self(a, s)
        layers = (self.linear_nobias_a1, self.linear_nobias_a2, self.linear_nobias_b)
        return kernels.conditioned_transition(
            a, self.adaln.adapting(s), self.linear_s(s), tuple(x.weight for x in layers))


class DiffusionTransformerBlock(nn.Cell):
    """One block of AF3 Algorithm 23: attention, then transition, each added to the running sum.

    The supplement adds both to the block's input; Protenix found that it trains badly so.
    """

    recompute_kind = "diffusion_block"

    def __init__(self, c_a: int, c_s: int, c_z: int, n_heads: int, cross: bool) -> None:
        super().__init__()
        self.attention_pair_bias = AttentionPairBias(c_a, c_z, n_heads, c_s, cross)
        self.conditioned_transition_block = ConditionedTransitionBlock(c_a, c_s)

    def construct(
        self,
        a: Float[Tensor, "b n c_a"],
        s: Float[Tensor, "_ n c_s"],
        bias: Float[Tensor, "_ h q k"],
        windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        a = self.attention_pair_bias.added(a, bias, s, windows)
        return self.conditioned_transition_block.added(a, s)


class PairBiases(Sequence):
    """Attention biases of every block of a stack, from one pair representation.

    The pair is normalised once, and of all tokens projected for all blocks by one matrix product
    (upstream's `enable_efficient_fusion`): nothing here depends on the noise, so it is done once
    per job. Too large to keep, a block's bias is made anew at each use.

    Args:
        blocks: blocks whose attention has a pair norm without offset.
        z: ``[n, n, c_z]``, or ``[w, 32, 128, c_z]`` with windows.
        windows: their padded keys are masked here, once, rather than at every use.
        padding: how tokens are padded before they meet these biases; masked likewise.
    """

    def __init__(
        self, blocks: nn.CellList, z: Float[Tensor, "*r q k c_z"],
        windows: AtomWindows | None = None, padding: Padding | None = None,
    ) -> None:
        z = padding.pad(z, 0, 1) if padding else z
        self.padding, self._key_bias = padding, None
        if windows is not None:
            self._key_bias = windows.key_bias
        elif padding:
            self._key_bias = key_bias(padding.keep)
        # One norm without affine for all blocks; each folds its scale into its weight (trap H10).
        self._kernels = whole_layers(z) if z.ndim == 3 else None
        self._z = z if self._kernels else layer_norm(ops.reshape(z, (-1, *z.shape[-3:])))
        attention = [block.attention_pair_bias for block in blocks]
        self._weights = [a.linear_nobias_z.weight * a.layernorm_z.weight for a in attention]
        heads, numbers = self._weights[0].shape[0], self._z.size // z.shape[-1]
        self._kept = None
        if len(attention) * heads * numbers <= CACHED_FLOATS:
            self._kept = self._all() if windows is None else list(map(self._one, self._weights))
            self._z = self._weights = None

    def _all(self) -> list[Float[Tensor, "1 h n n"]]:
        heads = self._weights[0].shape[0]
        if self._kernels:
            return [self._one(weight) for weight in self._weights]
        every = einsum("hc,qkc->hqk", ops.concat(self._weights, 0), self._z[0])
        each = (every[i : i + heads] for i in range(0, len(every), heads))
        return [self._masked(ops.expand_dims(bias, 0)) for bias in each]

    def _one(self, weight: Float[Tensor, "h c_z"]) -> Float[Tensor, "_ h q k"]:
        if self._kernels:  # normalise as they project: no normalised pair in memory
            bias = self._kernels.projection(self._z, LayerNorm(self._z.shape[-1]), weight)
            return self._masked(ops.reshape(bias, (1, -1, *self._z.shape[:2])))
        return self._masked(einsum("hc,wqkc->whqk", weight, self._z))

    def _masked(self, bias: Float[Tensor, "_ h q k"]) -> Float[Tensor, "_ h q k"]:
        return bias if self._key_bias is None else bias + self._key_bias

    def __len__(self) -> int:
        return len(self._kept or self._weights)

    def __getitem__(self, i: int) -> Float[Tensor, "_ h q k"]:
        """Bias of block `i`, ``[1, h, n, n]`` or ``[w, h, 32, 128]``."""
        if self._kept is not None:
            return self._kept[i]
        return self._one(self._weights[i])


class DiffusionTransformer(nn.Cell):
    """Stack of `DiffusionTransformerBlock` (AF3 Algorithm 23).

    Args:
        c_a, c_s, c_z: channels of what is updated, of its conditioning, of the pair.
        n_blocks, n_heads: depth and attention heads.
        cross: the form of the atom transformer (see `AttentionPairBias`).
    """

    def __init__(
        self, c_a: int, c_s: int, c_z: int, n_blocks: int, n_heads: int, cross: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.CellList(
            [DiffusionTransformerBlock(c_a, c_s, c_z, n_heads, cross) for _ in range(n_blocks)]
        )
        self.run_block = CompiledBlocks()

    def pair_biases(
        self, z: Float[Tensor, "*r q k c_z"], windows: AtomWindows | None = None
    ) -> PairBiases:
        """Biases of all blocks, to be made once and given to every call."""
        padding = Padding.of(z.shape[0]) if windows is None and compiling(self) else None
        return PairBiases(self.blocks, z, windows, padding)

    def construct(
        self,
        a: Float[Tensor, "b n c_a"],
        s: Float[Tensor, "_ n c_s"],
        biases: PairBiases,
        windows: AtomWindows | None = None,
    ) -> Float[Tensor, "b n c_a"]:
        """Update `a`; the leading axis of `s` is 1 if all samples share their conditioning."""
        padding = biases.padding
        if padding:
            a, s = padding.pad(a, 1), padding.pad(s, 1)
        for i, block in enumerate(self.blocks):
            a = self.run_block(block, a, s, biases[i], windows)
        return padding.cut(a, 1) if padding else a
