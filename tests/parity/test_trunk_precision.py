# SPDX-License-Identifier: Apache-2.0
"""bf16 by rounding emulation: single modules beside upstream under PyTorch's CPU autocast.

Autocast is bf16 in products and fp32 elsewhere, as ours. Measured from float64, ours may be no
further away than twice upstream's distance, and must show that it did round.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from protenix_ms.model.layers import Transition, set_precision
from protenix_ms.model.msa_module import OuterProductMean
from protenix_ms.model.residual import Residual
from protenix_ms.model.triangle import TriangleMultiplication
from protenix_ms.runtime.policy import Policy, using

torch = pytest.importorskip("torch")


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


CASES = {
    "transition": (
        lambda: Transition(32, 4), lambda up: up("modules.primitives").Transition(32, 4),
        normal(8, 32),
    ),
    "triangle_multiplication": (
        lambda: TriangleMultiplication(32, 32, True),
        lambda up: up("triangular.triangular").TriangleMultiplicationOutgoing(32, 32),
        normal(12, 12, 32),
    ),
    "outer_product_mean": (
        lambda: OuterProductMean(16, 32, 8),
        lambda up: up("triangular.layers").OuterProductMean(16, 32, 8), normal(8, 6, 16),
    ),
}


def update(layer: Residual, x: np.ndarray, form: dict) -> np.ndarray:
    """Return the plain update of a layer, or that of its lean form, which chunks ask for."""
    x = ms.Tensor(x)
    inputs = (ops.zeros((6, 6, 32)), x) if isinstance(layer, OuterProductMean) else (x,)
    if not form:
        return layer.update(*inputs).asnumpy()
    return (layer(*inputs) - inputs[0]).asnumpy()


@pytest.mark.parametrize("form", [{}, {"chunk": 4}], ids=["plain", "lean"])
@pytest.mark.parametrize("case", CASES)
def test_rounding_emulation(upstream, case, form):
    ours, theirs, x = CASES[case][0](), CASES[case][1](upstream), CASES[case][2]
    random = np.random.RandomState(1)
    for name, p in ours.parameters_and_names():
        w = random.standard_normal(p.shape).astype(np.float32) / np.sqrt(p.shape[-1])
        p.set_data(ms.Tensor(w))
        theirs.get_parameter(name).data = torch.tensor(w)
    with using(Policy(dtype="bf16", kernels=False, **form)):
        set_precision(ours, 100, "protenix_base_default_v1.0.0")
        low = update(ours, x, form)
    with using(Policy(kernels=False, **form)):
        set_precision(ours, 100, "protenix_base_default_v1.0.0")
        high = update(ours, x, form)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            theirs_low = theirs.train()(torch.tensor(x)).float().numpy()
        truth = theirs.double()(torch.tensor(x).double()).numpy()
    scale = np.abs(truth).max()
    distance = {k: np.abs(v - truth).max() / scale
                for k, v in {"low": low, "high": high, "theirs": theirs_low}.items()}
    assert distance["high"] < 1e-5 < 1e-4 < distance["low"] < 2 * distance["theirs"], distance
