# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of every parameter of the released variants, as data.

`parameters.json.xz` is made by `scripts/pack_parameters.py` from upstream's state dicts; tests hold
it equal to the networks that `protenix_ms.model` builds. The converter recognises checkpoints by it
without MindSpore. Other sizes than the released ones are read off the built network
(`protenix_ms.model.weights.parameter_shapes`).
"""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from protenix_ms.config.variants import VARIANTS, get_config

Shapes = dict[str, tuple[int, ...]]

TABLE = Path(__file__).with_name("parameters.json.xz")
# Settings of a module that change no shape. A setting that is not listed counts as a size.
_NO_SIZES = frozenset({
    "layers", "N_cycle", "dropout", "msa_dropout", "pair_dropout", "pairformer_dropout",
    "msa_chunk_size", "msa_max_size", "sample_cutoff", "sample_lower_bound", "sigma_data"})


def released_shapes(model_name: str) -> Shapes:
    """Read the parameters of a released variant: upstream's state-dict name -> shape.

    Fourier coefficients and distance bins are included: checkpoints hold them, although training
    does not change them. The order is upstream's.
    """
    return {name: tuple(shape) for name, shape in json.loads(_lines()[model_name]).items()}


def has_released_sizes(config: ConfigDict) -> bool:
    """Tell whether a configuration has the parameters of the released variant that it names."""
    name = config.model_name
    return name in VARIANTS and _sizes(config) == _sizes(get_config(name))


@cache
def _lines() -> dict[str, str]:
    """Read the table, but leave each variant's part as text: parsing one takes 0.05 s."""
    with lzma.open(TABLE, "rt", encoding="utf-8") as file:
        return dict(line.split("\t") for line in file)


def _sizes(config: ConfigDict) -> dict[str, Any]:
    parts = {key: config[key].to_dict() for key in ("model", "widths", "esm")}
    return _without(parts)


def _without(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: _without(value) if isinstance(value, dict) else value
            for key, value in tree.items() if key not in _NO_SIZES}
