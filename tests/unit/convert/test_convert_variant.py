# SPDX-License-Identifier: Apache-2.0
"""Recognition of the released variants from names and shapes."""

from pathlib import Path

import pytest

from ckpt_convert.variant import ESM, declared, recognise
from protenix_ms.config import VARIANTS
from protenix_ms.config.parameters import released_shapes
from protenix_ms.errors import CheckpointError

TINY = "protenix_tiny_default_v0.5.0"


@pytest.mark.parametrize("model", VARIANTS)
def test_every_released_variant_is_recognised(model):
    shapes = released_shapes(model)
    match = recognise(shapes, Path(f"{model}.pt"))
    assert match.model == model and not match.assumed
    assert model.startswith("protenix_mini_") or bool(match.twins) == ("_v1.0.0" in model)


def test_of_two_equal_graphs_the_hint_tells():
    model = "protenix_base_20250630_v1.0.0"
    shapes = released_shapes(model)
    assert recognise(shapes, Path("download.pt"), hint=model).model == model
    unnamed = recognise(shapes, Path("download.pt"))
    assert unnamed.assumed and model in unnamed.twins


def test_files_as_they_are_published():
    """What sizes of the published files tell: constraint lacks the ESM weight, tiny has it."""
    model = "protenix_base_constraint_v0.5.0"
    shapes = released_shapes(model)
    del shapes[ESM]
    match = recognise(shapes, Path("a.pt"))
    assert match.model == model and list(match.difference.filled) == [ESM]
    shapes = released_shapes(TINY) | {ESM: (449, 2560)}
    match = recognise(shapes, Path("a.pt"))
    assert match.model == TINY and list(match.difference.dropped) == [ESM]
    with pytest.raises(CheckpointError, match="1 unexpected"):  # a mini with ESM is mini_esm
        declared(released_shapes("protenix_mini_esm_v0.5.0"), Path("a.pt"),
                 "protenix_mini_default_v0.5.0")


@pytest.mark.parametrize("model", ["protenix-v2", "protenix_mini_esm_v0.5.0", TINY])
def test_other_sizes_are_reported(model):
    shapes = {name: tuple(64 if size == 384 else size for size in shape)  # the width of s
              for name, shape in released_shapes(model).items()}
    with pytest.raises(CheckpointError) as caught:
        recognise(shapes, Path(f"{model}.pt"))
    text = str(caught.value)
    assert "c_s 64" in text and f"compared with {model}" in text and "--config" in text
    assert "and " in text and len(text.splitlines()) <= 13
