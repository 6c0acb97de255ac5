# SPDX-License-Identifier: Apache-2.0
"""Atom attention encoder and decoder: between atoms in windows and tokens."""

from __future__ import annotations

from dataclasses import replace

from mindspore import Tensor, nn, ops

from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.atom_windows import KEYS, QUERIES
from protenix_ms.model.diffusion_transformer import DiffusionTransformer, PairBiases
from protenix_ms.model.layers import LayerNorm, Linear
from protenix_ms.ops.functional import for_samples
from protenix_ms.runtime.policy import policy, using
from protenix_ms.runtime.rows import rowwise
from protenix_ms.typing import Float

IDENTITY = 1 + 128 + 4 * 64  # mask, element, atom name


class AtomTransformer(nn.Cell):
    """Attends among atoms in windows of 32 queries and 128 keys (AF3 Algorithm 7)."""

    def __init__(self, c_atom: int, c_atompair: int, n_blocks: int, n_heads: int) -> None:
        super().__init__()
        self.diffusion_transformer = DiffusionTransformer(
            c_atom, c_atom, c_atompair, n_blocks, n_heads, cross=True
        )

    def pair_biases(self, p: Float[Tensor, "w q k c_p"], atoms: AtomFeatures) -> PairBiases:
        """Compute the biases of all blocks, once for every call."""
        return self.diffusion_transformer.pair_biases(p, atoms.windows)

    def construct(
        self, q: Float[Tensor, "b a c_atom"], c: Float[Tensor, "1 a c_atom"], biases: PairBiases,
        atoms: AtomFeatures,
    ) -> Float[Tensor, "b a c_atom"]:
        return self.diffusion_transformer(q, c, biases, atoms.windows)


class AtomAttentionEncoder(nn.Cell):
    """Encodes atoms and averages them into tokens (AF3 Algorithm 5).

    `condition` computes once what does not depend on coordinates, for all samples and sampler
    steps.

    Args:
        c_token, c_atom, c_atompair: channels.
        n_blocks, n_heads: of the atom transformer.
        c_trunk: ``(c_s, c_z)`` of the trunk where the encoder sees noisy coordinates (diffusion),
            None in the input embedder.
    """

    def __init__(
        self, c_token: int, c_atom: int, c_atompair: int, n_blocks: int, n_heads: int,
        c_trunk: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.linear_no_bias_ref_pos = Linear(3, c_atom)
        self.linear_no_bias_ref_charge = Linear(1, c_atom)
        self.linear_no_bias_f = Linear(IDENTITY, c_atom)
        self.linear_no_bias_d = Linear(3, c_atompair)
        self.linear_no_bias_invd = Linear(1, c_atompair)
        self.linear_no_bias_v = Linear(1, c_atompair)
        if c_trunk is not None:
            c_s, c_z = c_trunk
            self.layernorm_s = LayerNorm(c_s, offset=False)
            self.linear_no_bias_s = Linear(c_s, c_atom, init="zeros")
            self.layernorm_z = LayerNorm(c_z, offset=False)
            self.linear_no_bias_z = Linear(c_z, c_atompair, init="zeros")
            self.linear_no_bias_r = Linear(3, c_atom)
        self.linear_no_bias_cl = Linear(c_atom, c_atompair)
        self.linear_no_bias_cm = Linear(c_atom, c_atompair)
        layers = []
        for init in ("relu", "relu", "zeros"):
            layers += [nn.ReLU(), Linear(c_atompair, c_atompair, init=init)]
        self.small_mlp = nn.SequentialCell(layers)  # linears at 1, 3, 5, as in upstream's files
        self.atom_transformer = AtomTransformer(c_atom, c_atompair, n_blocks, n_heads)
        self.linear_no_bias_q = Linear(c_atom, c_token)

    def condition(
        self, atoms: AtomFeatures, s_trunk: Float[Tensor, "n c_s"] | None = None,
        z: Float[Tensor, "n n c_z"] | None = None,
    ) -> tuple[Float[Tensor, "1 a c_atom"], Float[Tensor, "w q k c_p"]]:
        """Compute the single and pair conditioning of the atoms (lines 1-14).

        Args:
            atoms: reference conformers.
            s_trunk: the trunk's single representation, not the conditioned one.
            z: the pair representation, conditioned by `DiffusionConditioning`.
        """
        c = self.linear_no_bias_ref_pos(atoms.ref_pos)
        c = c + self.linear_no_bias_ref_charge(atoms.charge)
        c = (c + self.linear_no_bias_f(atoms.identity)) * atoms.mask
        z_pair = None
        if s_trunk is not None:
            s = self.linear_no_bias_s(self.layernorm_s(s_trunk))
            c = c + ops.gather(s, atoms.token, 0)
            z_pair = rowwise(None, lambda z: self.linear_no_bias_z(self.layernorm_z(z)), z,
                             cost=z.size // len(z))
            z_pair = ops.reshape(z_pair, (-1, z_pair.shape[-1]))
        return ops.expand_dims(c, 0), self._atom_pairs(atoms, c, z_pair)

    def _atom_pairs(
        self, atoms: AtomFeatures, c: Float[Tensor, "a c_atom"],
        z_pair: Float[Tensor, "nn c_p"] | None,
    ) -> Float[Tensor, "w q k c_p"]:
        """Compute the pair conditioning (lines 2-6, 10, 13-14).

        Atoms are projected before they are put into windows: 32 to 128 times less work.
        """
        c = ops.expand_dims(ops.relu(c), 0)
        of_query = ops.expand_dims(atoms.windows.queries(self.linear_no_bias_cl(c))[0], 2)
        of_key = ops.expand_dims(atoms.windows.keys(self.linear_no_bias_cm(c))[0], 1)
        token_pair = ops.reshape(atoms.token_pair, atoms.same_space.shape[:3])

        def pairs(windows: slice) -> Float[Tensor, "_ q k c_p"]:
            p = self.linear_no_bias_d(atoms.offset[windows])
            p = p + self.linear_no_bias_invd(atoms.inverse_distance[windows])
            p = p + self.linear_no_bias_v(atoms.same_space[windows])
            if z_pair is not None:
                p = p + ops.gather(z_pair, token_pair[windows], 0)
            # repeated, since MindSpore's broadcasting is slow on CPU
            p = p + ops.tile(of_query[windows], (1, 1, KEYS, 1))
            p = p + ops.tile(of_key[windows], (1, QUERIES, 1, 1))
            return p + self.small_mlp(p)

        return rowwise(None, pairs, range(atoms.windows.n_windows),
                       cost=QUERIES * KEYS * of_query.shape[-1])

    def construct(
        self, atoms: AtomFeatures, c: Float[Tensor, "1 a c_atom"], biases: PairBiases,
        r: Float[Tensor, "b a 3"] | None = None,
    ) -> tuple[Float[Tensor, "b n c_token"], Float[Tensor, "b a c_atom"]]:
        """Compute token and atom activations.

        Args:
            atoms: reference conformers and windows.
            c: single conditioning from `condition`.
            biases: ``atom_transformer.pair_biases`` of the pair conditioning.
            r: scaled noisy coordinates, added to the conditioning that already holds the trunk's
                single (the supplement adds them to the one without it); None in the embedder.
        """
        q = c if r is None else for_samples(c, r.shape[0]) + self.linear_no_bias_r(r)
        q = self.atom_transformer(q, c, biases, atoms)
        return atoms.to_tokens(ops.relu(self.linear_no_bias_q(q))), q

    def embed(self, atoms: AtomFeatures) -> Float[Tensor, "n c_token"]:
        """Encode reference conformers alone into tokens, for the input embedder."""
        c, p = self.condition(atoms)
        with using(replace(policy(), jit=False)):  # once per job: less work than a compilation
            return self(atoms, c, self.atom_transformer.pair_biases(p, atoms))[0][0]


class AtomAttentionDecoder(nn.Cell):
    """Decodes tokens into coordinate updates of atoms (AF3 Algorithm 6)."""

    def __init__(
        self, c_token: int, c_atom: int, c_atompair: int, n_blocks: int, n_heads: int,
    ) -> None:
        super().__init__()
        self.linear_no_bias_a = Linear(c_token, c_atom)
        self.atom_transformer = AtomTransformer(c_atom, c_atompair, n_blocks, n_heads)
        self.layernorm_q = LayerNorm(c_atom, offset=False)
        self.linear_no_bias_out = Linear(c_atom, 3)

    def construct(
        self, atoms: AtomFeatures, a: Float[Tensor, "b n c_token"],
        q_skip: Float[Tensor, "b a c_atom"], c: Float[Tensor, "1 a c_atom"], biases: PairBiases,
    ) -> Float[Tensor, "b a 3"]:
        """Compute the updates; `q_skip` and `c` are the encoder's activations and conditioning."""
        q = atoms.to_atoms(self.linear_no_bias_a(a)) + q_skip
        q = self.atom_transformer(q, c, biases, atoms)
        return self.linear_no_bias_out(self.layernorm_q(q))
