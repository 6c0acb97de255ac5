# SPDX-License-Identifier: Apache-2.0
"""The denoiser: from noisy coordinates and the trunk's representations to clean coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.atom_transformer import AtomAttentionDecoder, AtomAttentionEncoder
from protenix_ms.model.diffusion_conditioning import DiffusionConditioning
from protenix_ms.model.diffusion_transformer import DiffusionTransformer, PairBiases
from protenix_ms.model.layers import LayerNorm, Linear
from protenix_ms.model.relative_position import RelativePositions
from protenix_ms.ops.functional import for_samples
from protenix_ms.runtime.trace import trace, tracing
from protenix_ms.typing import Array, Float


@dataclass(frozen=True)
class Conditioning:
    """Inputs of a denoising step that depend neither on the noise nor on the sample.

    Attributes:
        atoms: reference conformers and windows.
        single: ``[n, c_s]`` single conditioning before the noise level.
        c: ``[1, a, c_atom]`` single conditioning of the atoms.
        encoder, tokens, decoder: attention biases of every block of the three transformers.
    """

    atoms: AtomFeatures
    single: Float[Tensor, "n c_s"]
    c: Float[Tensor, "1 a c_atom"]
    encoder: PairBiases
    tokens: PairBiases
    decoder: PairBiases


class DiffusionModule(nn.Cell):
    """Denoises coordinates (AF3 Algorithm 20; upstream `diffusion.DiffusionModule`).

    Args:
        config: ``config.model.diffusion_module``.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        c = config
        self.sigma_data = c.sigma_data
        self.diffusion_conditioning = DiffusionConditioning(
            c.c_s, c.c_z, c.c_s_inputs, c.sigma_data
        )
        self.atom_attention_encoder = AtomAttentionEncoder(
            c.c_token, c.c_atom, c.c_atompair, **c.atom_encoder, c_trunk=(c.c_s, c.c_z)
        )
        self.layernorm_s = LayerNorm(c.c_s, offset=False)
        self.linear_no_bias_s = Linear(c.c_s, c.c_token, init="zeros")
        self.diffusion_transformer = DiffusionTransformer(
            c.c_token, c.c_s, c.c_z, **c.transformer
        )
        self.layernorm_a = LayerNorm(c.c_token, offset=False)
        self.atom_attention_decoder = AtomAttentionDecoder(
            c.c_token, c.c_atom, c.c_atompair, **c.atom_decoder
        )

    def prepare(
        self, atoms: AtomFeatures, positions: RelativePositions,
        s_inputs: Float[Tensor, "n c_s_inputs"], s_trunk: Float[Tensor, "n c_s"],
        z_trunk: Float[Tensor, "n n c_z"],
    ) -> Conditioning:
        """Compute the part that runs once per job, for all samples and steps."""
        z = self.diffusion_conditioning.pair(z_trunk, positions)
        # The atoms see the trunk's single representation, not the conditioned one.
        c, p = self.atom_attention_encoder.condition(atoms, s_trunk, z)
        return Conditioning(
            atoms,
            self.diffusion_conditioning.single(s_trunk, s_inputs),
            c,
            self.atom_attention_encoder.atom_transformer.pair_biases(p, atoms),
            self.diffusion_transformer.pair_biases(z),
            self.atom_attention_decoder.atom_transformer.pair_biases(p, atoms),
        )

    def construct(
        self, x_noisy: Float[Tensor, "b a 3"], noise_level: Float[Array, "_"], job: Conditioning,
    ) -> Float[Tensor, "b a 3"]:
        """Denoise coordinates.

        Args:
            x_noisy: angstrom.
            noise_level: standard deviation of the noise in angstrom: one number for all samples,
                whose conditioning is then computed once, or one per sample.
            job: from `prepare`.
        """
        t = noise_level.astype(np.float32)[:, None, None]
        # EDM preconditioning (Karras et al. 2022, table 1)
        update = self._update(x_noisy * _tensor(1 / np.sqrt(self.sigma_data**2 + t**2)),
                              noise_level, job)
        ratio = t / np.float32(self.sigma_data)
        denoised = x_noisy * _tensor(1 / (1 + ratio**2))
        denoised = denoised + update * _tensor(t / np.sqrt(1 + ratio**2))
        trace("diffusion_module", denoised)
        return denoised

    def _update(
        self, r: Float[Tensor, "b a 3"], noise_level: Float[Array, "_"], job: Conditioning,
    ) -> Float[Tensor, "b a 3"]:
        """Run the network proper on coordinates of unit variance."""
        s = self.diffusion_conditioning(job.single, noise_level)
        if tracing():
            s_all = ops.broadcast_to(s, (r.shape[0], *s.shape[1:]))
            trace("diffusion_module.diffusion_conditioning", (s_all,))
        a, q = self.atom_attention_encoder(job.atoms, job.c, job.encoder, r)
        trace("diffusion_module.atom_attention_encoder", (a, q, job.c))
        a = a + for_samples(self.linear_no_bias_s(self.layernorm_s(s)), a.shape[0])
        a = self.diffusion_transformer(a, s, job.tokens)
        trace("diffusion_module.diffusion_transformer", a)
        a = self.layernorm_a(a)
        update = self.atom_attention_decoder(job.atoms, a, q, job.c, job.decoder)
        trace("diffusion_module.atom_attention_decoder", update)
        return update


def _tensor(x: Float[Array, "_ 1 1"]) -> Tensor:
    return Tensor.from_numpy(x.astype(np.float32))
