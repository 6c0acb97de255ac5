# SPDX-License-Identifier: Apache-2.0
"""MSA module, template embedder, constraint embedder, beside upstream's."""

import numpy as np
import pytest
from mindspore import Tensor
from ml_collections import ConfigDict

from protenix_ms.model.constraint import ConstraintEmbedder
from protenix_ms.model.msa_module import MSAModule, OuterProductMean, draw_rows
from protenix_ms.model.template import TemplateEmbedder, distinct_templates
from protenix_ms.runtime.draws import SeededDraws

N, ROWS = 9, 6


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32)


class Chosen(SeededDraws):
    """Draws a known row count and order."""

    def __init__(self, order, size):
        super().__init__(0)
        self.order, self.size = np.asarray(order), size

    def integer(self, site, low, high):
        assert (site, low, high) == ("msa_rows", 1, len(self.order) + 1)
        return self.size

    def permutation(self, site, n):
        assert (site, n) == ("msa_order", len(self.order))
        return self.order


def test_outer_product_mean(compare, upstream):
    theirs = upstream("triangular.layers").OuterProductMean(16, 24, 8)
    z = Tensor(normal(N, N, 24))
    compare(
        OuterProductMean(16, 24, 8), theirs, {"m": normal(ROWS, N, 16)},
        call_ours=lambda layer, x: layer.update(z, x["m"]),
    ).run()


@pytest.mark.parametrize("scale_up", [False, True])
def test_msa_module(compare, upstream, monkeypatch, scale_up):
    torch = pytest.importorskip("torch")
    utils = upstream("utils")
    order, size = [3, 5, 0, 1, 4, 2], 4
    rows = torch.tensor(order[:size])
    monkeypatch.setattr(utils, "sample_indices", lambda **_: rows)
    theirs = upstream("modules.pairformer").MSAModule(
        n_blocks=2, c_m=16, c_z=32, c_s_inputs=20, hidden_scale_up=scale_up,
        msa_dropout=0.0, pair_dropout=0.0, blocks_per_ckpt=None,
        msa_configs={"enable": True, "strategy": "random",
                     "sample_cutoff": {"train": 64, "test": 64},
                     "min_size": {"train": 1, "test": 1}},
    )
    rng = np.random.RandomState(0)
    msa = {
        "msa": rng.randint(0, 32, (ROWS, N)),
        "has_deletion": rng.randint(0, 2, (ROWS, N)).astype(np.float32),
        "deletion_value": rng.random((ROWS, N)).astype(np.float32),
    }
    theirs_msa = {k: torch.tensor(v) for k, v in msa.items()}
    ours = MSAModule(ConfigDict({
        "n_blocks": 2, "c_m": 16, "c_z": 32, "c_s_inputs": 20, "hidden_scale_up": scale_up,
        "sample_lower_bound": 1, "sample_cutoff": 16384,
    }))
    compare(
        ours, theirs, {"z": normal(N, N, 32), "s_inputs": normal(N, 20)},
        call_ours=lambda m, x: m(msa, x["z"], x["s_inputs"], Chosen(order, size)),
        call_upstream=lambda m, x: m(
            {k: v.to(x["z"].dtype) if v.is_floating_point() else v for k, v in theirs_msa.items()},
            x["z"], x["s_inputs"], None,
        ),
        bound=1e-4, zero_gradients=("layernorm_z.bias",),
        training=True,  # in evaluation upstream updates rows in place, which has no gradient
    ).run()


def test_rows_are_drawn_within_bounds():
    draws = SeededDraws(1)
    sizes = set()
    for _ in range(200):
        rows = draw_rows(20, draws, lower_bound=3, cutoff=15)
        assert len(set(rows)) == len(rows)
        sizes.add(len(rows))
    assert sizes == set(range(3, 16))
    assert len(draw_rows(2, draws, lower_bound=5, cutoff=0)) == 2


def templates(slots: int = 4) -> dict[str, np.ndarray]:
    """Make two real templates, the rest padding as upstream makes it (zeros)."""
    rng = np.random.RandomState(0)
    chain = np.array([0] * 5 + [1] * (N - 5))
    real = {
        "template_aatype": rng.randint(0, 32, (2, N)),
        "template_distogram": rng.random((2, N, N, 39)).astype(np.float32),
        "template_pseudo_beta_mask": rng.randint(0, 2, (2, N, N)).astype(np.float32),
        "template_unit_vector": normal(2, N, N, 3),
        "template_backbone_frame_mask": rng.randint(0, 2, (2, N, N)).astype(np.float32),
    }
    padding = {k: np.zeros((slots - 2, *v.shape[1:]), v.dtype) for k, v in real.items()}
    return {"asym_id": chain, **{k: np.concatenate([real[k], padding[k]]) for k in real}}


def test_equal_templates_are_found():
    assert distinct_templates(templates()) == [(0, 1), (1, 1), (2, 2)]


@pytest.mark.parametrize("scale_up", [False, True])
def test_template_embedder(compare, upstream, scale_up):
    torch = pytest.importorskip("torch")
    theirs = upstream("modules.pairformer").TemplateEmbedder(
        n_blocks=1, c=32, c_z=16, hidden_scale_up=scale_up
    )
    features = templates()
    config = ConfigDict({"n_blocks": 1, "c": 32, "c_z": 16, "hidden_scale_up": scale_up})
    compare(
        TemplateEmbedder(config), theirs, {"z": normal(N, N, 16)},
        call_ours=lambda m, x: m(features, x["z"]),
        call_upstream=lambda m, x: m(
            {k: torch.tensor(v).to(x["z"].dtype) if v.dtype.kind == "f" else torch.tensor(v)
             for k, v in features.items()}, x["z"],
        ),
        bound=1e-4,
    ).run()


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "given"])
def test_constraint_embedder(compare, upstream, empty):
    torch = pytest.importorskip("torch")
    tree = {
        **{f"{kind}_embedder": {"enable": True, "c_z_input": c}
           for kind, c in (("pocket", 1), ("contact", 2), ("contact_atom", 2))},
        "substructure_embedder": {"enable": True, "hidden_dim": 32, "n_layers": 1, "n_classes": 4},
        "c_constraint_z": 16,
    }
    ours = ConfigDict(tree)
    ours.substructure_embedder.n_heads = 4
    tree["substructure_embedder"]["architecture"] = "transformer"
    theirs = upstream("modules.embedders").ConstraintEmbedder(**tree)
    kinds = {"pocket": 1, "contact": 2, "contact_atom": 2}
    features = {k: normal(5, 5, c) for k, c in kinds.items()}
    features["substructure"] = normal(5, 5, 4) * (not empty)
    compare(
        ConstraintEmbedder(ours), theirs, {},
        call_ours=lambda m, x: m(features),
        call_upstream=lambda m, x: m(
            {k: torch.tensor(v, dtype=torch.get_default_dtype()) for k, v in features.items()}
        ),
        zero_gradients=("in_proj_bias",) if empty else (), gradient=not empty,
    ).run()
