# SPDX-License-Identifier: Apache-2.0
"""Reading an upstream (PyTorch Protenix) configuration, as its recordings and runs store it."""

from __future__ import annotations

from collections.abc import Mapping

from ml_collections import ConfigDict

from protenix_ms.config.override import apply_overrides
from protenix_ms.config.variants import get_config

# Upstream keys without a counterpart here: kernels, checkpointing, and switches of removed code.
_SHARED = ("c_s", "c_z", "c_s_inputs", "c_atom", "c_atompair", "c_token", "max_atoms_per_token",
           "no_bins", "sigma_data")


def known_part(ours: ConfigDict, theirs: Mapping) -> dict:
    """The part of `theirs` whose keys exist in `ours`."""
    known = {}
    for key, value in theirs.items():
        if key not in ours or isinstance(ours[key], ConfigDict) != isinstance(value, Mapping):
            continue
        known[key] = known_part(ours[key], value) if isinstance(value, Mapping) else value
    return known


def from_upstream(tree: Mapping) -> ConfigDict:
    """Our configuration of an upstream configuration tree (as in a recording's `meta.json`).

    Raises:
        ConfigError: the tree names a model that does not exist.
    """
    shared = {key: tree[key] for key in _SHARED}
    config = get_config(tree["model_name"], shared=shared)
    return apply_overrides(config, known_part(config, tree))
