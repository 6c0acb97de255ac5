# SPDX-License-Identifier: Apache-2.0
"""Conditioning of the diffusion module on the trunk, and on the noise level."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from protenix_ms.model.layers import LayerNorm, Linear, Transition
from protenix_ms.model.relative_position import RelativePositionEncoding, RelativePositions
from protenix_ms.ops.functional import widened
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Array, Float

FOURIER = 256


class FourierEmbedding(nn.Cell):
    """Embeds the noise level by random Fourier features (AF3 Algorithm 22).

    `w` and `b` come from the checkpoint and are never trained. Training from scratch draws them
    once with numpy; upstream's are PyTorch's draws, which nobody else can repeat.
    """

    def __init__(self, c: int) -> None:
        super().__init__()
        drawn = np.random.RandomState(42).standard_normal((2, c)).astype(np.float32)
        self.w = Parameter(Tensor.from_numpy(drawn[0].copy()), requires_grad=False)
        self.b = Parameter(Tensor.from_numpy(drawn[1].copy()), requires_grad=False)

    def construct(self, x: Float[Tensor, "b"]) -> Float[Tensor, "b c"]:
        return ops.cos(2 * np.pi * (ops.expand_dims(x, -1) * self.w + self.b))


class DiffusionConditioning(nn.Cell):
    """Conditions the diffusion module on trunk and noise level (AF3 Algorithm 21).

    `pair` and `single` run once per job, the noise level enters at every step.

    Args:
        c_s, c_z, c_s_inputs: channels of the trunk.
        sigma_data: standard deviation of the data, angstrom.
    """

    def __init__(self, c_s: int, c_z: int, c_s_inputs: int, sigma_data: float = 16.0) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.relpe = RelativePositionEncoding(c_z)
        self.layernorm_z = LayerNorm(2 * c_z, offset=False)
        self.linear_no_bias_z = Linear(2 * c_z, c_z)
        self.transition_z1 = Transition(c_z, 2)
        self.transition_z2 = Transition(c_z, 2)
        self.layernorm_s = LayerNorm(c_s + c_s_inputs, offset=False)
        self.linear_no_bias_s = Linear(c_s + c_s_inputs, c_s)
        self.fourier_embedding = FourierEmbedding(FOURIER)
        self.layernorm_n = LayerNorm(FOURIER, offset=False)
        self.linear_no_bias_n = Linear(FOURIER, c_s)
        self.transition_s1 = Transition(c_s, 2)
        self.transition_s2 = Transition(c_s, 2)

    def pair(
        self, z_trunk: Float[Tensor, "n n c_z"], positions: RelativePositions,
    ) -> Float[Tensor, "n n c_z"]:
        """Condition the pair for all samples and steps (lines 1-5)."""

        def rows(z: Float[Tensor, "r n c_z"], part: slice) -> Float[Tensor, "r n c_z"]:
            z = ops.concat([widened(z), widened(self.relpe(positions, part))], -1)
            z = self.linear_no_bias_z(self.layernorm_z(z))
            return self.transition_z2(self.transition_z1(z))

        n, _, c_z = z_trunk.shape
        return rowwise(self, rows, z_trunk, range(n), cost=2 * n * c_z)

    def single(
        self, s_trunk: Float[Tensor, "n c_s"], s_inputs: Float[Tensor, "n c_s_inputs"],
    ) -> Float[Tensor, "n c_s"]:
        """Condition the single, before the noise level is known (lines 6-7)."""
        s = ops.concat([widened(s_trunk), widened(s_inputs)], -1)
        return self.linear_no_bias_s(self.layernorm_s(s))

    def construct(
        self, single: Float[Tensor, "n c_s"], noise_level: Float[Array, "b"],
    ) -> Float[Tensor, "b n c_s"]:
        """Add the noise level to the conditioned single (lines 8-12).

        Args:
            single: from `single`.
            noise_level: angstrom, one for all samples or one of each; on the host, where the
                logarithm is exact to the last bit (MindSpore's is off by 2e-6 on CPU).
        """
        scaled = np.log(noise_level.astype(np.float64) / self.sigma_data) / 4
        noise = self.fourier_embedding(Tensor.from_numpy(scaled.astype(np.float32)))
        noise = self.linear_no_bias_n(self.layernorm_n(noise))
        s = ops.expand_dims(single, 0) + ops.expand_dims(noise, 1)
        return self.transition_s2(self.transition_s1(s))
