# SPDX-License-Identifier: Apache-2.0
"""Buckets are few and not much longer than what they hold; padding goes as it came."""

import numpy as np
import pytest
from mindspore import Tensor

from protenix_ms.runtime.padding import Padding, bucket, key_bias
from protenix_ms.runtime.policy import Policy, using

PADS = Policy(jit=True, buckets=True)


@pytest.mark.parametrize(
    "n, length",
    [(1, 16), (16, 16), (17, 32), (109, 112), (113, 128), (129, 144), (257, 288), (3000, 3072)],
)
def test_buckets(n, length):
    assert bucket(n) == length


def test_buckets_are_few_and_close():
    for n in range(1, 4000):
        length = bucket(n)
        assert n <= length <= max(n + 15, n * 9 / 8) and bucket(length) == length
    assert {bucket(n) for n in range(100, 129)} == {112, 128}


@pytest.mark.parametrize(
    "policy, pads",
    [
        (Policy(), False),
        (Policy(jit=True), False),
        (Policy(buckets=True), False),  # nothing compiles, nothing to share
        (PADS, True),
        (Policy(device="Ascend"), True),
        (Policy(device="Ascend", jit=False), False),
        (Policy(device="Ascend", buckets=False), False),
    ],
)
def test_default_is_the_devices(policy, pads):
    with using(policy):
        assert (Padding.of(13) is not None) == pads


@pytest.mark.parametrize("n", [13, 16])
def test_pad_and_cut(n):
    with using(PADS):
        padding = Padding.of(n)
    x = np.random.default_rng(0).standard_normal((n, 3, n), np.float32)
    padded = padding.pad(Tensor(x), 0, 2)
    assert padded.shape == (16, 3, 16)
    array = padded.asnumpy()
    assert np.array_equal(array[:n, :, :n], x)
    assert not array[n:].any() and not array[:, :, n:].any()
    back = padding.cut(padded, 0, 2)
    assert back.is_contiguous() and np.array_equal(back.asnumpy(), x)
    assert padding.pad(None, 0) is None and padding.cut(None, 0) is None


def test_tokens_and_keys():
    keep = Padding(2, 4).keep
    assert keep.asnumpy().tolist() == [1, 1, 0, 0]
    assert key_bias(keep).asnumpy().tolist() == [0, 0, -1e9, -1e9]
