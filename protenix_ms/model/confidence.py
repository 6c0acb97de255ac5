# SPDX-License-Identifier: Apache-2.0
"""Confidence head: how far to trust each atom and each pair of tokens of a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.errors import NonFiniteError
from protenix_ms.geometry.bins import PAE, PDE, PLDDT, expected
from protenix_ms.geometry.distances import point_distances
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.layers import LayerNorm, Linear, empty_parameter
from protenix_ms.model.pairformer import PairformerStack
from protenix_ms.ops.einsum import einsum
from protenix_ms.ops.functional import outer_sum, widened
from protenix_ms.runtime.rows import rowwise, slices
from protenix_ms.runtime.trace import trace, tracing
from protenix_ms.typing import Array, Float, Int

RESOLVED_BINS = 2
LARGEST_SINGLE = 512.0  # the trunk's single is clipped before its norm
LAST_BIN_END = 1e6  # angstrom; the last distance bin is open


@dataclass(frozen=True)
class ConfidenceOutput:
    """Confidence of one sample as expected values; distributions are never kept.

    Attributes:
        atom_plddt: expected lDDT of each atom, 0 to 1.
        pae: expected aligned error of token j in the frame of token i, angstrom.
        pde: expected error of the distance between two tokens, angstrom.
        tm_complex: expected ``1 / (1 + (e / d0)^2)`` of the aligned error, d0 of all tokens.
        tm_pair: the same with d0 of the complex made of the two tokens' chains.
    """

    atom_plddt: Float[Array, "a"]
    pae: Float[Array, "n n"]
    pde: Float[Array, "n n"]
    tm_complex: Float[Array, "n n"]
    tm_pair: Float[Array, "n n"]


class ConfidenceLogits(NamedTuple):
    """Logits of one sample for losses and replays: 50, 64, 64 and 2 bins."""

    plddt: Float[Tensor, "a k"]
    pae: Float[Tensor, "n n k"]
    pde: Float[Tensor, "n n k"]
    resolved: Float[Tensor, "a 2"]


class ConfidenceHead(nn.Cell):
    """Predicts errors of a sample (AF3 Algorithm 31).

    Protenix changes the algorithm: more norms, 1.25 A bins, raw distances. No gradient flows back
    into the trunk. Samples pass one at a time, since each has a pair representation of its own.

    Args:
        config: ``config.model.confidence_head``.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        c = config
        self.linear_no_bias_s1 = Linear(c.c_s_inputs, c.c_z)
        self.linear_no_bias_s2 = Linear(c.c_s_inputs, c.c_z)
        lower = np.arange(
            c.distance_bin_start, c.distance_bin_end, c.distance_bin_step, dtype=np.float32
        )
        upper = np.append(lower[1:], np.float32(LAST_BIN_END))
        self.lower_bins = Parameter(Tensor.from_numpy(lower), requires_grad=False)
        self.upper_bins = Parameter(Tensor.from_numpy(upper), requires_grad=False)
        self.linear_no_bias_d = Linear(len(lower), c.c_z)
        self.linear_no_bias_d_wo_onehot = Linear(1, c.c_z)
        self.pairformer_stack = PairformerStack(
            c.n_blocks, c.c_z, c.c_s, hidden_scale_up=c.hidden_scale_up
        )
        self.linear_no_bias_pae = Linear(c.c_z, PAE.count, init="zeros")
        self.linear_no_bias_pde = Linear(c.c_z, PDE.count, init="zeros")
        self.plddt_weight = empty_parameter((c.max_atoms_per_token, c.c_s, PLDDT.count))
        self.resolved_weight = empty_parameter((c.max_atoms_per_token, c.c_s, RESOLVED_BINS))
        self.input_strunk_ln = LayerNorm(c.c_s)
        self.pae_ln = LayerNorm(c.c_z)
        self.pde_ln = LayerNorm(c.c_z)
        self.plddt_ln = LayerNorm(c.c_s)
        self.resolved_ln = LayerNorm(c.c_s)

    def construct(
        self, job: ConfidenceFeatures, trunk: tuple[Tensor, Tensor, Tensor],
        x: Float[Array, "b a 3"], progress: Callable[[str, int, int], None] | None = None,
    ) -> tuple[ConfidenceOutput, ...]:
        """Score every sample; under a trace also show the logits, as ``pred/...``.

        Args:
            job: atoms and chains.
            trunk: s_inputs ``[n, c_s_inputs]``, s ``[n, c_s]``, z ``[n, n, c_z]``. A large z is
                overwritten.
            x: predicted coordinates, angstrom.
            progress: called with ``("sample", done, total)``.

        Raises:
            NonFiniteError: names the sample.
        """
        embedded = self.embed(*trunk)
        outputs, traced = [], []
        for i, coordinates in enumerate(x):
            last = i + 1 == len(x)
            output, logits = self._one_sample(job, embedded, coordinates, last)
            if not all(np.isfinite(v).all() for v in vars(output).values()):
                raise NonFiniteError("scores are not finite", where=f"confidence of sample {i + 1}")
            outputs.append(output)
            traced += [logits] if logits else []
            if progress is not None:
                progress("sample", i + 1, len(x))
        for name, values in zip(ConfidenceLogits._fields, zip(*traced)):
            trace(f"pred/{name}", ops.stack(values))
        return tuple(outputs)

    def _one_sample(
        self, job: ConfidenceFeatures, embedded: tuple[Tensor, Tensor], x: Float[Array, "a 3"],
        last: bool,
    ) -> tuple[ConfidenceOutput, ConfidenceLogits | None]:
        """Score one sample; its pair representation is freed before the next."""
        s, z = self.refine(*embedded, x[job.representative], last)
        return self.reduce(job, s, z), self.logits(job, s, z) if tracing() else None

    def embed(
        self, s_inputs: Float[Tensor, "n c_s_inputs"], s_trunk: Float[Tensor, "n c_s"],
        z_trunk: Float[Tensor, "n n c_z"],
    ) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n n c_z"]]:
        """Compute what all samples share; a large pair takes the memory of `z_trunk`."""
        s_inputs, s_trunk = map(ops.stop_gradient, (s_inputs, s_trunk))
        s = self.input_strunk_ln(ops.clamp(s_trunk, -LARGEST_SINGLE, LARGEST_SINGLE))
        # s1 varies along j and s2 along i: the reverse of the trunk's initial pair, as upstream
        of_row, of_column = self.linear_no_bias_s2(s_inputs), self.linear_no_bias_s1(s_inputs)

        def add_inputs(z: Float[Tensor, "r n c_z"], of_row: Float[Tensor, "r c_z"]) -> Tensor:
            return ops.stop_gradient(z) + outer_sum(of_row, of_column)

        return s, rowwise(None, add_inputs, z_trunk, of_row, cost=z_trunk.size // len(z_trunk),
                          into=z_trunk)

    def refine(
        self, s: Float[Tensor, "n c_s"], z: Float[Tensor, "n n c_z"], x: Float[Array, "n 3"],
        last: bool = False,
    ) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n n c_z"]]:
        """Compute one sample's representations from coordinates of its representative atoms.

        Args:
            s, z: from `embed`.
            x: coordinates, angstrom.
            last: whether this is the last sample, after which the memory of `z` may be reused.
        """
        return self.pairformer_stack(s, self.add_distances(z, point_distances(x, x), last))

    def add_distances(
        self, z: Float[Tensor, "n n c_z"], d: Float[Array, "n n"], last: bool = False,
    ) -> Float[Tensor, "n n c_z"]:
        """Embed distances in angstrom, as bins and as numbers; `last` as of `refine`."""
        none = ops.zeros((1, z.shape[-1]), z.dtype)  # row of distances in no bin
        table = ops.concat([ops.transpose(self.linear_no_bias_d.weight, (1, 0)), widened(none)], 0)

        def embed(z: Float[Tensor, "r n c_z"], d: Array, bins: Array, table: Tensor) -> Tensor:
            of_bin = ops.gather(table, Tensor.from_numpy(bins), 0)
            return z + of_bin + self.linear_no_bias_d_wo_onehot(Tensor.from_numpy(d[..., None]))

        owner = (self, self.linear_no_bias_d_wo_onehot)
        return rowwise(owner, embed, z, d, self._bins(d), shared=(table,), cost=z.size // len(z),
                       into=z if last else None)

    def _bins(self, d: Float[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Find the bin of each distance; one past the last stands for none.

        As upstream, bins are open on both sides, so that a distance exactly on an edge is in
        none, like any below the first.
        """
        lower, upper = self.lower_bins.asnumpy(), self.upper_bins.asnumpy()
        bins = np.searchsorted(lower, d, side="left") - 1
        inside = (bins >= 0) & (d < upper[bins])
        return np.where(inside, bins, len(lower)).astype(np.int32)

    def pae_logits(self, z: Float[Tensor, "n n c_z"], rows: slice) -> Float[Tensor, "r n k"]:
        """Compute aligned-error logits of some rows."""
        return self.linear_no_bias_pae(self.pae_ln(z[rows]))

    def pde_logits(self, z: Float[Tensor, "n n c_z"], rows: slice) -> Float[Tensor, "r n k"]:
        """Compute distance-error logits of some rows; they are symmetric."""
        transposed = ops.transpose(z[:, rows], (1, 0, 2))
        return self.linear_no_bias_pde(self.pde_ln(z[rows] + transposed))

    def logits(
        self, job: ConfidenceFeatures, s: Float[Tensor, "n c_s"], z: Float[Tensor, "n n c_z"],
    ) -> ConfidenceLogits:
        """Compute all logits of one sample, for losses and traces."""
        every = slice(0, z.shape[0])
        return ConfidenceLogits(
            _by_atom(self.plddt_ln(s), self.plddt_weight, job),
            self.pae_logits(z, every),
            self.pde_logits(z, every),
            _by_atom(self.resolved_ln(s), self.resolved_weight, job),
        )

    def reduce(
        self, job: ConfidenceFeatures, s: Float[Tensor, "n c_s"], z: Float[Tensor, "n n c_z"],
    ) -> ConfidenceOutput:
        """Compute expected values of one sample; pair distributions exist for a few rows only."""
        n = z.shape[0]
        plddt = _by_atom(self.plddt_ln(s), self.plddt_weight, job)
        pae, pde, tm_complex, tm_pair = np.empty((4, n, n), np.float32)
        for rows in slices(n, cost=n * (PAE.count + z.shape[-1])):
            aligned = self.pae_logits(z, rows).asnumpy()
            pae[rows], tm_complex[rows], tm_pair[rows] = job.tm.reduce(aligned, rows)
            pde[rows] = expected(self.pde_logits(z, rows).asnumpy(), PDE)
        return ConfidenceOutput(
            expected(plddt.asnumpy(), PLDDT), pae, pde, tm_complex, tm_pair
        )


def _by_atom(
    s: Float[Tensor, "n c_s"], weight: Float[Tensor, "t c_s k"], job: ConfidenceFeatures,
) -> Float[Tensor, "a k"]:
    """Project each atom's token by the matrix of the atom's place in the token.

    Atoms are sorted by place, so that each matrix is used once. Upstream gathers a matrix of
    77 KB for every atom.
    """
    rows = ops.gather(s, job.token_by_place, 0)
    parts = [einsum("ac,ck->ak", rows[part], weight[place]) for place, part in job.places]
    return ops.gather(ops.concat(parts, 0), job.atom_order, 0)
