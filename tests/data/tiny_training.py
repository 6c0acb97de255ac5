# SPDX-License-Identifier: Apache-2.0
"""A configuration that a test can train: the v1.0.0 graph, narrow; for `--config FILE`."""

from protenix_ms.config import get_config as variant
from protenix_ms.config.training import training_config


def get_config():
    config = variant("protenix_base_default_v1.0.0", shared={
        "c_s": 16, "c_z": 8, "c_s_inputs": 81, "c_atom": 8, "c_atompair": 4, "c_token": 16})
    m = config.model
    m.N_cycle = m.pairformer.n_heads = 2
    m.template_embedder.n_blocks = m.pairformer.n_blocks = m.confidence_head.n_blocks = 1
    m.template_embedder.c = m.msa_module.c_m = 8
    m.msa_module.n_blocks = 2
    d = m.diffusion_module
    d.c_token = 16
    for part in (d.atom_encoder, d.atom_decoder, d.transformer):
        part.n_blocks, part.n_heads = 1, 2
    config.sample_diffusion.N_step_mini_rollout = 2
    config.inference_noise_scheduler.s_max = 2.0
    with config.unlocked():
        config.training = training_config()
    config.training.update({
        "diffusion_batch_size": 2, "train_crop_size": 24, "warmup_steps": 1, "max_steps": 3,
        "checkpoint_interval": 1, "ema_decay": 0.5,
        "evaluation": {"interval": 2, "crop_size": 24, "samples": 3, "steps": 2, "cycles": 1}})
    return config
