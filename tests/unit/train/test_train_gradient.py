# SPDX-License-Identifier: Apache-2.0
"""Gradients by name, parts without, dropout masks, and going on after a failure."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.model.dropout import RowDropout
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.runtime.gradient import value_and_gradients, without_gradient


def parameter():
    return ms.Parameter(ms.Tensor(np.arange(4, dtype="f4").reshape(2, 2)), name="p")


def test_what_is_not_recorded_is_constant():
    p = parameter()

    def forward():
        with without_gradient():
            factor = p * 2.0
        return (p * factor).sum(), "rest"

    value, rest, gradients = value_and_gradients(forward, [p])
    assert rest == "rest" and float(value) == 28
    assert np.array_equal(gradients["p"].asnumpy(), 2 * p.asnumpy())


def test_after_a_failure_tensors_can_be_indexed():
    p = parameter()

    def fails():
        doubled = p * 2.0
        raise ValueError(doubled.shape)

    with pytest.raises(ValueError, match="2"):
        value_and_gradients(fails, [p])
    _, _, gradients = value_and_gradients(lambda: ((p * p)[1].sum(), None), [p])
    assert gradients["p"].asnumpy().tolist() == [[0, 0], [4, 6]]


def test_masks_of_rows_and_of_the_ending_node():
    z = ms.ops.zeros((5, 5, 3))
    masks = RowDropout(SeededDraws(1), 0.25).pair(z)
    assert [m.shape for m in masks] == [(1, 5, 3)] * 3 + [(5, 1, 3)]
    assert set(np.unique(np.concatenate([m.asnumpy().ravel() for m in masks]))) == {
        np.float32(0), np.float32(1) / np.float32(0.75)}
    assert RowDropout(SeededDraws(1), 0.0).pair(z) is None
