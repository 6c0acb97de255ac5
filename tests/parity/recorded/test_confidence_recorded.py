# SPDX-License-Identifier: Apache-2.0
"""Confidence head against upstream's recordings, from recorded trunk outputs and coordinates.

The float64 recordings hold the truth. Those in float32 carry the error of `torch.cdist`, about
2.5e-3 on PAE and PDE logits (`docs/upstream_traps.md`, 28).
"""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.geometry.bins import PLDDT, expected
from protenix_ms.metrics.confidence import Layout, summarize
from protenix_ms.model.confidence import ConfidenceHead
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.runtime.policy import Policy, using
from protenix_ms.runtime.trace import listening

CASES = {
    "fp64/tiny/protenix-v2": 1e-5,
    "fp64/tiny/protenix_base_default_v1.0.0": 1e-5,
    "fp64/tiny/protenix_tiny_default_v0.5.0": 1e-5,
    "tiny/protenix_base_default_v0.5.0": 5e-3,
    "tiny/protenix_base_constraint_v0.5.0": 5e-3,
}


def error(ours, theirs) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.fixture(scope="module", params=CASES)
def evaluated(request, recording):
    """Return the case, its tolerance, our outputs, and the logits heard under a trace."""
    case = recording(request.param)
    head = case.load(ConfidenceHead(case.config.model.confidence_head), "confidence_head")
    trunk = tuple(ms.Tensor(x.astype(np.float32)) for x in case.trunk)
    job, heard = ConfidenceFeatures.from_features(case.features), {}
    x = case["pred/coordinate"].astype(np.float32)
    with listening(lambda name, value: heard.update({name: value.asnumpy()})):
        outputs = head(job, trunk, x)
    with using(Policy(chunk=5)):
        chunked = head(job, trunk, x)
    return case, CASES[request.param], outputs, heard, chunked


@pytest.mark.parametrize("name", ["plddt", "pae", "pde", "resolved"])
def test_logits(evaluated, name):
    case, tolerance, _, heard, _ = evaluated
    assert error(heard[f"pred/{name}"], case[f"pred/{name}"]) < tolerance


def test_expectations(evaluated):
    case, tolerance, outputs, _, _ = evaluated
    for i, sample in enumerate(outputs):
        assert error(sample.pae, case[f"full_data/{i}/token_pair_pae"]) < tolerance
        assert error(sample.pde, case[f"full_data/{i}/token_pair_pde"]) < tolerance
        plddt = expected(case["pred/plddt"][i], PLDDT)
        assert error(sample.atom_plddt, plddt) < tolerance


def test_scores(evaluated):
    case, tolerance, outputs, _, _ = evaluated
    layout, cycles = Layout.from_features(case.features), case.config.model.N_cycle
    for i, sample in enumerate(outputs):
        x = case["pred/coordinate"][i].astype(np.float32)
        contacts = case["pred/contact_probs"].astype(np.float32)
        scores = summarize(sample, x, contacts, layout, cycles)
        for name, value in scores.items():
            theirs = case[f"pred/summary_confidence/{i}/{name}"]
            np.testing.assert_allclose(value, theirs, rtol=tolerance, atol=tolerance, err_msg=name)


def test_row_chunks_change_nothing(evaluated):
    _, _, whole, _, chunked = evaluated
    for a, b in zip(whole, chunked, strict=True):
        for name in vars(a):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=2e-6, atol=2e-6)


def test_no_logits_without_a_listener(recording, monkeypatch):
    case = recording("tiny/protenix_base_default_v0.5.0")
    head = case.load(ConfidenceHead(case.config.model.confidence_head), "confidence_head")
    monkeypatch.setattr(head, "logits", lambda *_: pytest.fail("logits of all pairs"))
    trunk = tuple(ms.Tensor(x) for x in case.trunk)
    events = []
    head(ConfidenceFeatures.from_features(case.features), trunk, case["pred/coordinate"],
         lambda *event: events.append(event))
    assert events == [("sample", 1, 2), ("sample", 2, 2)]
