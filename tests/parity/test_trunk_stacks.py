# SPDX-License-Identifier: Apache-2.0
"""Triangle updates, Pairformer, distogram and relative positions, beside upstream's."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.model.distogram import DistogramHead
from protenix_ms.model.pairformer import PairformerBlock, PairformerStack
from protenix_ms.model.relative_position import RelativePositionEncoding, RelativePositions
from protenix_ms.model.triangle import TriangleAttention, TriangleMultiplication


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("outgoing", [True, False], ids=["outgoing", "incoming"])
def test_triangle_multiplication(compare, upstream, outgoing):
    triangular = upstream("triangular.triangular")
    name = "TriangleMultiplication" + ("Outgoing" if outgoing else "Incoming")
    theirs = getattr(triangular, name)(c_z=16, c_hidden=24)
    compare(
        TriangleMultiplication(16, 24, outgoing), theirs, {"z": normal(11, 11, 16)},
        call_ours=lambda m, x: m.update(x["z"]),
    ).run()


@pytest.mark.parametrize("starting", [True, False], ids=["starting", "ending"])
def test_triangle_attention(compare, upstream, starting):
    theirs = upstream("triangular.triangular").TriangleAttention(16, 32, 2, starting=starting)
    compare(
        TriangleAttention(16, 2, starting), theirs, {"z": normal(11, 11, 16)},
        call_ours=lambda m, x: m.update(x["z"]),
        call_upstream=lambda m, x: m(x["z"]),
    ).run()


@pytest.mark.parametrize("scale_up", [False, True])
def test_pairformer_block(compare, upstream, scale_up):
    theirs = upstream("modules.pairformer").PairformerBlock(
        n_heads=4, c_z=32, c_s=24, hidden_scale_up=scale_up
    )
    compare(
        PairformerBlock(32, 24, 4, scale_up), theirs,
        {"s": normal(9, 24), "z": normal(9, 9, 32)},
        call_upstream=lambda m, x: m(x["s"], x["z"], pair_mask=None),
        bound=1e-4, zero_gradients=("layernorm_z.bias",),
    ).run()


def test_pairformer_stack_of_pairs(compare, upstream):
    theirs = upstream("modules.pairformer").PairformerStack(
        n_blocks=2, c_z=16, c_s=0, num_intermediate_factor=2
    )
    compare(
        PairformerStack(2, 16, expansion=2), theirs, {"z": normal(9, 9, 16)},
        call_ours=lambda m, x: m(None, x["z"]),
        call_upstream=lambda m, x: m(None, x["z"], pair_mask=None), bound=1e-4,
    ).run()


def test_distogram(compare, upstream):
    theirs = upstream("modules.head").DistogramHead(16, 64)
    ours = DistogramHead(16, 64)
    compare(ours, theirs, {"z": normal(11, 11, 16)}).run()
    z = ms.Tensor(normal(11, 11, 16))
    torch = pytest.importorskip("torch")
    expected = upstream("sample_confidence").compute_contact_prob(
        torch.tensor(ours(z).asnumpy()), 2.3125, 21.6875, 64
    )
    np.testing.assert_allclose(ours.contact_probabilities(z).asnumpy(), expected, atol=1e-6)


def test_relative_positions(compare, upstream):
    """Copies of an entity, a second entity, several tokens per residue, offsets beyond 32."""
    features = {
        "asym_id": np.repeat([0, 1, 2, 3], [50, 10, 10, 5]),
        "entity_id": np.repeat([0, 1, 1, 2], [50, 10, 10, 5]),
        "sym_id": np.repeat([0, 0, 1, 0], [50, 10, 10, 5]),
        "residue_index": np.concatenate([np.arange(50), np.arange(10), np.arange(10), [0] * 5]),
        "token_index": np.arange(75),
    }
    positions = RelativePositions(features)
    compare(
        RelativePositionEncoding(16),
        upstream("modules.embedders").RelativePositionEncoding(c_z=16),
        features,
        call_ours=lambda m, x: m(positions),
        call_upstream=lambda m, x: m(m.generate_relp(x)["relp"]),
    ).run()
