# SPDX-License-Identifier: Apache-2.0
"""Settings of training: losses, noise, optimiser and schedule, and the four stages of Protenix.

Keys are upstream's where upstream has one, so that a recorded configuration reads into the tree.
"""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from protenix_ms.config.override import Ranges, apply_overrides, require_ranges
from protenix_ms.errors import ConfigError


def training_config() -> ConfigDict:
    """Build the tree of stage 1, the initial training; it is locked."""
    return ConfigDict({
        "seed": 42,
        "checkpoint_interval": 1000,  # updates
        "keep_checkpoints": 3,
        "train_crop_size": 384,
        "diffusion_batch_size": 48,
        "diffusion_chunk_size": 4,  # samples per denoiser call
        "cycles": 0,  # recycles at most, 0 for the model's number
        "train_confidence_only": False,
        "train_noise_sampler": {"p_mean": -1.2, "p_std": 1.5, "sigma_data": 16.0},
        # AF3 equation 15 with Protenix's weights. Confidence is learnt only from structures whose
        # resolution, angstrom, lies in `resolution`.
        "loss": {
            "weight": {
                "alpha_confidence": 1e-4, "alpha_pae": 0.0, "alpha_except_pae": 1.0,
                "alpha_diffusion": 4.0, "alpha_distogram": 0.03, "alpha_bond": 0.0,
                "smooth_lddt": 1.0,
            },
            "resolution": {"min": 0.1, "max": 4.0},
            "diffusion": {"mse": {"weight_dna": 5.0, "weight_rna": 5.0, "weight_ligand": 10.0}},
        },
        # How examples are made (`data.example.ExampleOptions`).
        "data": {
            "msa_rows": 16384, "rename_ligands": False, "shuffle_molecules": False,
            "shuffle_copies": False, "reference_chains_only": False, "distillation": False,
        },
        # Modules that forget their activations and compute them again for the gradient.
        "recompute": {
            "triangle_attention": False, "triangle_multiplication": False, "transition": False,
            "outer_product_mean": False, "pair_embedding": False, "pairformer_block": True,
            "msa_block": True, "diffusion_block": True,
        },
        # How a model is judged on held-out entries; a size of 0 is the model's own.
        "evaluation": {
            "interval": 400,  # updates between two evaluations, as upstream's training script
            "entries": 0,  # at most so many, 0 for all
            "crop_size": 384,  # tokens, 0 for whole assemblies
            "samples": 5, "steps": 20, "cycles": 0,
        },
        # Adam with the decay as an L2 term of the gradient, or AdamW; schedule of the rate.
        # Upstream's training script warms up for 2000 steps; its bare configuration says 10, AF3's
        # supplement 1000.
        "lr": 0.0018, "lr_scheduler": "af3", "warmup_steps": 2000, "max_steps": 100_000,
        "min_lr_ratio": 0.1, "decay_every_n_steps": 50_000, "decay_factor": 0.95,
        "grad_clip_norm": 10.0, "iters_to_accumulate": 1, "ema_decay": 0.999,
        # Words in parameter names, separated by commas: averaged (all without any); trained at the
        # rate of `finetune`.
        "ema_names": "", "finetune_names": "",
        "adam": {"beta1": 0.9, "beta2": 0.95, "weight_decay": 1e-8, "use_adamw": False},
        "finetune": {
            "lr": 0.0018, "lr_scheduler": "cosine_annealing", "warmup_steps": 1000,
            "max_steps": 20_000, "min_lr_ratio": 0.1, "decay_every_n_steps": 50_000,
            "decay_factor": 0.95,
        },
    }).lock()


# What a number has to be: the test, and the last parts of the names that it holds for. All numbers
# have to be finite.
_RANGES: Ranges = {
    "a finite number above 0": (lambda x: x > 0, "lr decay_factor grad_clip_norm sigma_data"),
    "a whole number from 1": (lambda x: x >= 1, (
        "max_steps decay_every_n_steps checkpoint_interval keep_checkpoints train_crop_size "
        "diffusion_batch_size diffusion_chunk_size iters_to_accumulate msa_rows interval")),
    "a number from 0 to 1": (lambda x: 0 <= x <= 1, "min_lr_ratio"),
    "a number from 0 to below 1": (lambda x: 0 <= x < 1, "beta1 beta2"),
    "a finite number below 1": (lambda x: x < 1, "ema_decay"),
    "a finite number": (lambda x: True, "p_mean min max"),
    "a whole number from 0 to 2**32 - 1": (lambda x: 0 <= x < 2**32, "seed"),
}


def require_usable(config: ConfigDict) -> None:
    """Refuse settings that no training can work with.

    Raises:
        ConfigError: a number that is not finite or out of its range; names the setting.
    """
    require_ranges(config, _RANGES, training_config(), "training")


CYCLES = 4  # of upstream's training script; the base models predict with 10

# What each stage changes against stage 1.
STAGES: dict[str, dict[str, Any]] = {
    "stage1": {},
    "stage2": {
        "train_crop_size": 640, "diffusion_batch_size": 32, "loss.weight.alpha_bond": 1.0,
        "loss.weight.smooth_lddt": 0.0,
    },
    "stage3": {
        "train_crop_size": 768, "diffusion_batch_size": 32, "loss.weight.alpha_bond": 1.0,
        "loss.weight.smooth_lddt": 0.0,
    },
    "stage4": {
        "train_crop_size": 768, "diffusion_batch_size": 32, "loss.weight.smooth_lddt": 0.0,
        "loss.weight.alpha_diffusion": 0.0, "loss.weight.alpha_distogram": 0.0,
        "loss.weight.alpha_pae": 1.0, "train_confidence_only": True,
    },
}


def stage_config(stage: str) -> ConfigDict:
    """Build the tree of one stage.

    Raises:
        ConfigError: no such stage.
    """
    if stage not in STAGES:
        raise ConfigError(f"unknown training stage '{stage}'", where="stage",
                          fix=f"one of {', '.join(STAGES)}")
    return apply_overrides(training_config(), {"cycles": CYCLES, **STAGES[stage]})
