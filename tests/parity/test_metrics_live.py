# SPDX-License-Identifier: Apache-2.0
"""Complex lDDT beside upstream's, nucleotides included."""

import numpy as np
import pytest

from protenix_ms.metrics.quality import KnownComplex, lddt_by_chains


@pytest.mark.parametrize("seed", [0, 1])
def test_complex_lddt(seed):
    upstream = pytest.importorskip("protenix.metrics.lddt_metrics", reason="needs protenix 2.0.0")
    torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
    rng = np.random.default_rng(seed)
    atoms = 120
    x = (10 * rng.standard_normal((atoms, 3))).astype("f4")
    predicted = (x + rng.standard_normal((3, atoms, 3))).astype("f4")
    resolved, nucleotide = rng.random(atoms) < 0.7, np.arange(atoms) < 40
    chain = np.arange(atoms) // 60
    mask = upstream.LDDT.compute_lddt_mask(torch.tensor(x).double(), torch.tensor(resolved * 1.0),
                                           torch.tensor(nucleotide))
    theirs = upstream.LDDT()(torch.tensor(predicted), torch.tensor(x), mask)
    truth = KnownComplex(x, resolved, chain, chain < 2, nucleotide, chain < 2)
    for sample, value in zip(predicted, theirs):
        # a distance on a threshold may fall to either side in float32
        assert lddt_by_chains(sample, truth)[0] == pytest.approx(float(value), abs=2e-4)
