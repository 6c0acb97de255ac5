# SPDX-License-Identifier: Apache-2.0
"""The built model has the parameters that the manifest promises, for every variant, full width.

Parameters are promises until they are loaded, so that full width costs no memory. The deep stacks
are cut to two blocks, for time; the manifest's own test holds the real depths.
"""

import pytest

from protenix_ms.config import VARIANTS, get_config
from protenix_ms.config.manifest import manifest
from protenix_ms.model.protenix import Protenix

SHALLOW = {"model.pairformer.n_blocks": 2, "model.diffusion_module.transformer.n_blocks": 2}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_names_and_shapes_equal_the_manifest(name):
    config = get_config(name, SHALLOW)
    model = Protenix(config)
    built = {n: tuple(p.shape) for n, p in model.parameters_and_names()}
    assert built == manifest(config)
    fixed = {n for n, p in model.parameters_and_names() if not p.requires_grad}
    assert fixed == {
        "diffusion_module.diffusion_conditioning.fourier_embedding.w",
        "diffusion_module.diffusion_conditioning.fourier_embedding.b",
        "confidence_head.lower_bins", "confidence_head.upper_bins",
    }
