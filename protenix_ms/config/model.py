# SPDX-License-Identifier: Apache-2.0
"""The base configuration (``protenix_base_default_v0.5.0``) as one tree.

Keys are upstream's, so that a recorded upstream configuration reads directly into it. Shared widths
are written once, in `widths`, and handed to the modules that use them.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from protenix_ms.config.guidance import guidance_settings
from protenix_ms.config.override import Ranges, require_ranges


def widths() -> ConfigDict:
    """List the channel widths of the AF3 supplement that several modules share."""
    return ConfigDict({
        "c_s": 384, "c_z": 128,
        "c_s_inputs": 449,  # c_token + restype 32 + profile 32 + deletion mean 1
        "c_atom": 128, "c_atompair": 16, "c_token": 384,
        "max_atoms_per_token": 24,  # the largest residue, DNA guanosine, has 23 heavy atoms
        "no_bins": 64,
        "sigma_data": 16.0,  # angstrom; measured by AF3 over its training set
    })


def _modules(w: ConfigDict) -> dict[str, Any]:
    """Settings of each module, with its algorithms in the AF3 supplement."""
    return {
        "N_cycle": 4,
        # Alg. 2. Its atom encoder always has 3 blocks of 4 heads, in every variant.
        "input_embedder": {
            "c_atom": w.c_atom, "c_atompair": w.c_atompair, "c_token": w.c_token,
            "n_blocks": 3, "n_heads": 4,
        },
        "relative_position_encoding": {"r_max": 32, "s_max": 2, "c_z": w.c_z},  # Alg. 3
        # Alg. 16. With 0 blocks the module is skipped, although its projections are in the file.
        "template_embedder": {
            "c": 64, "c_z": w.c_z, "n_blocks": 0, "dropout": 0.25, "hidden_scale_up": False,
        },
        "msa_module": {  # Alg. 8-10
            "c_m": 64, "c_z": w.c_z, "c_s_inputs": w.c_s_inputs, "n_blocks": 4,
            "msa_dropout": 0.15, "pair_dropout": 0.25, "hidden_scale_up": False,
            "msa_chunk_size": 2048, "msa_max_size": 16384,
            # rows kept of a re-drawn alignment, and the least to draw (upstream `data.msa`)
            "sample_cutoff": 16384, "sample_lower_bound": 1,
        },
        # Protenix's own (no AF3 algorithm): pocket, contact and substructure priors on z.
        "constraint_embedder": {
            "pocket_embedder": {"enable": False, "c_z_input": 1},
            "contact_embedder": {"enable": False, "c_z_input": 2},
            "contact_atom_embedder": {"enable": False, "c_z_input": 2},
            "substructure_embedder": {
                "enable": False, "n_classes": 4, "hidden_dim": 128, "n_layers": 1, "n_heads": 4,
            },
            "c_constraint_z": w.c_z,
        },
        "pairformer": {  # Alg. 17
            "n_blocks": 48, "c_z": w.c_z, "c_s": w.c_s, "n_heads": 16, "dropout": 0.25,
            "hidden_scale_up": False,
        },
        "diffusion_module": {  # Alg. 20-25 and 5-7
            "sigma_data": w.sigma_data, "c_token": 768, "c_atom": w.c_atom,
            "c_atompair": w.c_atompair, "c_z": w.c_z, "c_s": w.c_s, "c_s_inputs": w.c_s_inputs,
            "atom_encoder": {"n_blocks": 3, "n_heads": 4},
            "transformer": {"n_blocks": 24, "n_heads": 16},
            "atom_decoder": {"n_blocks": 3, "n_heads": 4},
        },
        # Alg. 31, with Protenix's corrected 1.25 A distance bins and raw-distance projection.
        "confidence_head": {
            "c_z": w.c_z, "c_s": w.c_s, "c_s_inputs": w.c_s_inputs, "n_blocks": 4,
            "max_atoms_per_token": w.max_atoms_per_token, "pairformer_dropout": 0.0,
            "hidden_scale_up": False, "distance_bin_start": 3.25, "distance_bin_end": 52.0,
            "distance_bin_step": 1.25,
        },
        "distogram_head": {"c_z": w.c_z, "no_bins": w.no_bins},
    }


def model_config(shared: dict[str, Any] | None = None) -> ConfigDict:
    """Build the whole model's tree; `shared` overrides the widths that modules share.

    Returns:
        A locked `ConfigDict` with `widths`, `model.<module>`, `sample_diffusion`,
        `inference_noise_scheduler`, and the switches of the whole model.
    """
    w = widths()
    w.update(shared or {})
    return ConfigDict({
        "model_name": "",
        "widths": w,
        # layers: of an encoder by rule, beside --random-weights; 0 for as many as the model has
        "esm": {"enable": False, "model_name": "esm2-3b", "embedding_dim": 2560, "layers": 0},
        # MC-dropout on the recycled pair, at inference too (Protenix report)
        "mc_dropout_apply_rate": 0.4, "mc_dropout_rate": 0.4,
        "use_msa": True,
        # angstrom; ipSAE counts pairs of residues whose aligned error is below it
        "ipsae_pae_cutoff": 10.0,
        "sample_diffusion": {  # Alg. 18: EDM sampler of AF3
            "gamma0": 0.8, "gamma_min": 1.0, "noise_scale_lambda": 1.003, "step_scale_eta": 1.5,
            "N_step": 200, "N_sample": 5, "N_step_mini_rollout": 20, "N_sample_mini_rollout": 1,
            "guidance": guidance_settings(),
        },
        # Noise levels of inference in units of sigma_data, eq. 7 of the AF3 supplement.
        "inference_noise_scheduler": {
            "s_max": 160.0, "s_min": 4e-4, "rho": 7, "sigma_data": w.sigma_data,
        },
        "model": _modules(w),
    }).lock()


_RANGES: Ranges = {
    "a finite number above 0": (lambda x: x > 0, (
        "ipsae_pae_cutoff step_scale_eta s_max s_min rho sigma_data distance_bin_step")),
    "a whole number from 1": (lambda x: x >= 1, (
        "N_cycle N_step N_sample N_step_mini_rollout N_sample_mini_rollout n_heads no_bins "
        "msa_chunk_size msa_max_size sample_cutoff sample_lower_bound max_atoms_per_token")),
    "a number from 0 to below 1": (lambda x: 0 <= x < 1, (
        "mc_dropout_rate dropout msa_dropout pair_dropout pairformer_dropout")),
    "a number from 0 to 1": (lambda x: 0 <= x <= 1, "mc_dropout_apply_rate"),
}


def require_predictable(config: ConfigDict) -> None:
    """Refuse settings of model and sampler that no prediction can work with.

    Raises:
        ConfigError: a number that is not finite or out of its range; names the setting.
    """
    rest = {key: value for key, value in config.to_dict().items() if key != "training"}
    rest["sample_diffusion"].pop("guidance", None)  # has rules of its own
    require_ranges(ConfigDict(rest), _RANGES, model_config(), "config")
