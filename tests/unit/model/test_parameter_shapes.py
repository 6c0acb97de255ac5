# SPDX-License-Identifier: Apache-2.0
"""The built network has the parameters of the shipped table, for every variant at full width.

Parameters hold no values until they are loaded, so that full width costs no memory. The deep stacks
are cut to two blocks, for time; the table's own test holds the real depths.
"""

import json
import re

import pytest

from protenix_ms.config import VARIANTS, get_config
from protenix_ms.config.parameters import released_shapes
from protenix_ms.config.variants import from_upstream
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import OWN, parameter_shapes, shapes_of

SHALLOW = {"model.pairformer.n_blocks": 2, "model.diffusion_module.transformer.n_blocks": 2}
DEEP = re.compile(
    r"(?:pairformer_stack|diffusion_module\.diffusion_transformer)\.blocks\.(\d+)\.")


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_names_and_shapes_equal_the_table(name):
    full, config = released_shapes(name), get_config(name)
    depths = {int(block[1]) for key in full if (block := DEEP.match(key))}
    blocks = (config.model.pairformer.n_blocks, config.model.diffusion_module.transformer.n_blocks)
    assert depths == set(range(max(blocks)))
    model = Protenix(get_config(name, SHALLOW))
    assert shapes_of(model) == {key: shape for key, shape in full.items()
                                if not (block := DEEP.match(key)) or int(block[1]) < 2}
    fixed = {n for n, p in model.parameters_and_names() if not p.requires_grad}
    assert fixed == OWN


def test_recorded_configurations_read_into_ours(golden):
    cases = sorted(golden.glob("tiny/*/meta.json")) + sorted(golden.glob("full/*/meta.json"))
    assert cases
    for path in cases:
        meta = json.loads(path.read_text())
        if "config" in meta:
            shapes = {k: tuple(v) for k, v in meta["state_dict"].items()}
            assert parameter_shapes(from_upstream(meta["config"])) == shapes, path
