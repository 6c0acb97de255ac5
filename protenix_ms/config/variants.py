# SPDX-License-Identifier: Apache-2.0
"""The nine released variants (upstream `configs_model_type`) and the demonstration model, as
overrides on one base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from protenix_ms.config.model import model_config, widths
from protenix_ms.config.override import apply_overrides, known_part
from protenix_ms.errors import ConfigError, nearest

_BASE = {"model": {"N_cycle": 10}, "sample_diffusion": {"N_step": 200}}
_V1 = {"model": {"N_cycle": 10, "template_embedder": {"n_blocks": 2}}}
# Wider pair track; triangle heads and products follow c_z.
_V2 = {
    "model": {
        "N_cycle": 10,
        "template_embedder": {"n_blocks": 2, "hidden_scale_up": True},
        "msa_module": {"c_m": 128, "hidden_scale_up": True},
        "pairformer": {"hidden_scale_up": True},
        "confidence_head": {"hidden_scale_up": True},
    }
}
_CONSTRAINT = {
    "model": {
        "N_cycle": 10,
        "constraint_embedder": {
            name: {"enable": True}
            for name in (
                "pocket_embedder", "contact_embedder", "contact_atom_embedder",
                "substructure_embedder",
            )
        },
    },
    # As upstream has it. The published file has no `linear_esm`, which is zero-initialised,
    # hence a no-op when absent.
    "esm": {"enable": True},
}


def _small(pairformer_blocks: int, esm: str | None = None) -> dict[str, Any]:
    """Build mini or tiny: fewer blocks, five deterministic steps (with gamma0 0, an ODE)."""
    overrides = {
        "sample_diffusion": {"gamma0": 0.0, "step_scale_eta": 1.0, "N_step": 5},
        "model": {
            "N_cycle": 4,
            "msa_module": {"n_blocks": 1},
            "pairformer": {"n_blocks": pairformer_blocks},
            "diffusion_module": {
                "atom_encoder": {"n_blocks": 1},
                "transformer": {"n_blocks": 8},
                "atom_decoder": {"n_blocks": 1},
            },
        },
    }
    if esm:
        overrides |= {"esm": {"enable": True, "model_name": esm}, "use_msa": False}
    return overrides


DEFAULT_MODEL = "protenix_base_default_v1.0.0"

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "protenix-v2": _V2,
    "protenix_base_default_v1.0.0": _V1,
    "protenix_base_20250630_v1.0.0": _V1,
    "protenix_base_default_v0.5.0": _BASE,
    "protenix_base_constraint_v0.5.0": _CONSTRAINT,
    "protenix_mini_default_v0.5.0": _small(16),
    "protenix_tiny_default_v0.5.0": _small(8),
    "protenix_mini_esm_v0.5.0": _small(16, "esm2-3b"),
    "protenix_mini_ism_v0.5.0": _small(16, "esm2-3b-ism"),
}

# The demonstration model of our own training (configs/demo.py): small, without alignments. The base
# models' sampler adds noise at every step; without, as tiny's, early mistakes stay.
DEMO_MODEL = "demo"
_DEMO = {
    "use_msa": False, "mc_dropout_apply_rate": 0.0,
    "sample_diffusion": {"N_step": 50},
    "model": {
        "N_cycle": 1,
        "input_embedder": {"n_blocks": 1},
        "msa_module": {"n_blocks": 0},
        "pairformer": {"n_blocks": 1, "n_heads": 4, "dropout": 0.0},
        "diffusion_module": {
            "c_token": 256,
            "atom_encoder": {"n_blocks": 1},
            "transformer": {"n_blocks": 4, "n_heads": 8},
            "atom_decoder": {"n_blocks": 1},
        },
        "confidence_head": {"n_blocks": 1},
    },
}
_SHARED = {
    "protenix-v2": {"c_z": 256},
    DEMO_MODEL: {"c_s": 128, "c_z": 64, "c_token": 128, "c_s_inputs": 193, "c_atom": 64},
}


def get_config(
    model_name: str, overrides: Mapping[str, Any] | None = None,
    shared: Mapping[str, Any] | None = None,
) -> ConfigDict:
    """Build the configuration of a released variant.

    Args:
        model_name: one of `VARIANTS`, or `DEMO_MODEL`.
        overrides: nested or dotted settings applied last.
        shared: widths (`c_z`, `c_s`, ...) from which every module takes its sizes.

    Raises:
        ConfigError: unknown variant or setting, with the nearest known name.
    """
    if model_name != DEMO_MODEL:
        require_variant(model_name)
    config = model_config({**_SHARED.get(model_name, {}), **(shared or {})})
    config.model_name = model_name
    apply_overrides(config, _DEMO if model_name == DEMO_MODEL else VARIANTS[model_name])
    return apply_overrides(config, overrides or {})


def from_upstream(tree: Mapping[str, Any]) -> ConfigDict:
    """Read a configuration tree of PyTorch Protenix, as its recordings and runs store it.

    Keys without a counterpart here are left out: kernels, checkpointing, switches of removed code.

    Raises:
        ConfigError: the tree names a model that does not exist.
    """
    config = get_config(tree["model_name"], shared={key: tree[key] for key in widths()})
    return apply_overrides(config, known_part(config, tree))


def require_variant(model_name: str) -> None:
    """Refuse a name that is no variant, with the one that is meant (`tiny` is enough to tell)."""
    if model_name not in VARIANTS:
        near = nearest(model_name, [DEFAULT_MODEL, *VARIANTS])
        meant = f"did you mean '{near}'; " if near else ""
        raise ConfigError(f"unknown model {model_name!r}",
                          fix=f"{meant}known: {', '.join([*VARIANTS, DEMO_MODEL])}")
