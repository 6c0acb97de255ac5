# SPDX-License-Identifier: Apache-2.0
"""Train the demonstration model: `configs/demo.py`, then its stages `:hand` and `:confidence`.

A small model learns six small deposits by heart, then their handedness. Last its confidence head
alone learns what samples are worth, also from deposits that the rest has never seen. docs/demo.md
has the recipe.
"""

from protenix_ms.config import get_config as variant
from protenix_ms.config.training import training_config


def get_config(stage="structure"):
    """Return the model with its training: of the "structure", its "hand", or the "confidence"."""
    config = variant("demo")
    with config.unlocked():
        config.training = training_config()
    config.training.update({
        "lr": 4e-3, "lr_scheduler": "cosine_annealing", "warmup_steps": 100,
        "min_lr_ratio": 0.02, "max_steps": 2200, "ema_decay": 0.995,
        "diffusion_batch_size": 16, "diffusion_chunk_size": 16, "train_crop_size": 64,
        "checkpoint_interval": 100, "keep_checkpoints": 2})
    t = config.training
    t.recompute.update({name: False for name in t.recompute})
    t.evaluation.update(interval=400, samples=3, steps=0, crop_size=0)
    if stage == "confidence":
        # As stage 4 of Protenix; NMR structures, which have no resolution, count as well.
        t.update({"train_confidence_only": True, "lr": 1e-3, "max_steps": 260, "warmup_steps": 20,
                  "ema_decay": 0.97})
        t.loss.weight.update(alpha_pae=1.0, alpha_confidence=1.0, alpha_diffusion=0.0,
                             alpha_distogram=0.0, smooth_lddt=0.0)
        t.loss.resolution.update(min=-1.0)
        return config
    config.sample_diffusion.N_step_mini_rollout = 0  # nothing is judged yet
    t.loss.diffusion.mse.update(weight_dna=2.0, weight_rna=2.0, weight_ligand=4.0)
    if stage == "hand":
        # Smooth lDDT cannot tell a structure from its mirror image and has the denoiser choose one
        # while noise hides the hand. Without it, and with more noise, it learns which is right.
        t.loss.weight.update(alpha_distogram=0.1, smooth_lddt=0.0)
        t.train_noise_sampler.update(p_mean=0.6, p_std=1.5)
        t.update({"lr": 1e-3, "max_steps": 340, "warmup_steps": 20})
        return config
    # With upstream's weight of the distogram, 0.03, the trunk knows no distances for too long.
    t.loss.weight.update(alpha_distogram=1.0, smooth_lddt=2.0)
    t.train_noise_sampler.update(p_mean=-0.6, p_std=1.4)
    return config
