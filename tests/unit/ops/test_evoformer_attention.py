# SPDX-License-Identifier: Apache-2.0
"""Attention, fused and composed, against numpy in float64: sharing, masks, chunks, gradients."""

import re
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

import protenix_ms
from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.runtime.policy import policy, using

B, R, Q, K, H, D = 2, 3, 5, 7, 2, 4
rng = np.random.RandomState(0)
q, k, v = (rng.standard_normal((B, R, s, H, D)).astype("f4") for s in (Q, K, K))


@pytest.fixture(autouse=True, params=[True, False], ids=["kernel", "composed"])
def _implementation(request):
    with using(replace(policy(), kernels=request.param)):
        yield


def exact(bias=None, mask=None):
    logits = np.einsum("brqhd,brkhd->brhqk", q, k, dtype="f8") * D**-0.5
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        logits = np.where(mask, logits, -1e9)
    w = np.exp(logits - logits.max(-1, keepdims=True))
    w /= w.sum(-1, keepdims=True)
    o = np.einsum("brhqk,brkhd->brqhd", w, v)
    if mask is not None:
        o *= mask.any(-1, keepdims=True)
    return o


def ours(bias=None, mask=None):
    tensors = [None if x is None else ms.Tensor(x) for x in (q, k, v, bias, mask)]
    return evoformer_attention(*tensors).asnumpy()


@pytest.mark.parametrize("b, r", [(1, 1), (1, R), (B, 1), (B, R)])
def test_every_sharing_of_the_bias(b, r):
    bias = rng.standard_normal((b, r, H, Q, K)).astype("f4")
    np.testing.assert_allclose(ours(bias), exact(bias), atol=2e-6)


@pytest.mark.parametrize("b", [1, B])
def test_mask_and_rows_without_any_key(b):
    mask = rng.random((b, R, 1, 1, K)) < 0.5
    mask[0, 0] = False
    bias = rng.standard_normal((1, R, H, Q, K)).astype("f4")
    out = ours(bias, mask)
    np.testing.assert_allclose(out, exact(bias, mask), atol=2e-6)
    assert (out[0, 0] == 0).all()


@pytest.mark.parametrize("r", [1, R])
def test_chunks_of_rows_change_nothing(r):
    bias = rng.standard_normal((1, r, H, Q, K)).astype("f4")
    with using(replace(policy(), chunk=2)):
        np.testing.assert_allclose(ours(bias), exact(bias), atol=2e-6)


def test_gradient_reaches_every_input():
    bias = rng.standard_normal((1, 1, H, Q, K)).astype("f4")
    grads = ms.grad(lambda *t: evoformer_attention(*t).square().sum(), (0, 1, 2, 3))(
        *map(ms.Tensor, (q, k, v, bias))
    )
    step = 1e-3 * rng.standard_normal(bias.shape)
    change = (np.square(exact(bias + step)).sum() - np.square(exact(bias - step)).sum()) / 2
    np.testing.assert_allclose((grads[3].asnumpy() * step).sum(), change, rtol=1e-3)
    assert all(np.abs(g.asnumpy()).max() > 1e-3 for g in grads)


def test_every_attention_of_the_model_is_this_function():
    """A softmax elsewhere is over bins of distances, or of weights that no query asks for."""
    package = Path(protenix_ms.__file__).parent
    sources = {p.relative_to(package).as_posix(): p.read_text(encoding="utf-8")
               for folder in ("model", "ops/fused") for p in (package / folder).glob("*.py")}
    using_it = {name for name, text in sources.items() if "evoformer_attention(" in text}
    assert using_it >= {"model/triangle.py", "model/constraint.py", "model/attention.py",
                        "ops/fused/triangle.py"}
    own = {name for name, text in sources.items() if re.search(r"ops\.[Ss]oftmax\(", text)}
    assert own == {"model/distogram.py", "model/msa_module.py"}
