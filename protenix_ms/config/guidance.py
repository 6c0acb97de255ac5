# SPDX-License-Identifier: Apache-2.0
"""Default settings of training-free guidance, ``sample_diffusion.guidance``, under upstream's keys.

A weight or a number of a term may be a schedule instead, see `protenix_ms.guidance.settings`.
"""

from __future__ import annotations

from typing import Any


def guidance_settings() -> dict[str, Any]:
    """Build the tree; off by default.

    `interval` counts diffusion steps; a term of weight 0 charges nothing but is projected. Buffers
    of distances are fractions (`InterchainBondPotential`: angstrom), those of angles radians.
    """
    return {
        "enable": False,
        "log_last_step_energy": True,  # accepted; energies are always reported here
        "rho": 0.0,  # gradient through the denoiser; upstream's gives NaN, ours refuses it
        "mu": 0.1,  # step length of the refinement
        "mc": {"std": 0.0, "batch": 1},  # perturbations of the estimate, angstrom
        "steps": {
            "tfg_outer": 1, "tfg_inner": 20, "projection_outer": 2, "projection_inner": 10,
        },
        "terms": {
            "VinaStericPotential": {"interval": 1, "weight": 0.1, "buffer": 0.225},
            "ExperimentalTorsionPotential": {"interval": 1, "weight": 0.0015},
            "InterchainBondPotential": {"interval": 1, "weight": 0.15, "buffer": 2.0},
            "PairwiseDistancePotential": {
                "interval": 1, "weight": 0.5, "enable_projection": True, "bond_buffer": 0.0,
                "angle_buffer": 0.0, "clash_buffer": 0.0,
            },
            "ChiralAtomPotential": {
                "interval": 1, "weight": 0.0, "enable_projection": True, "buffer": 0.6155,
                "scale_x": True,
            },
            "StereoBondPotential": {"interval": 1, "weight": 0.25, "buffer": 0.5236},
            "PlanarImproperPotential": {"interval": 1, "weight": 0.12},
            "LinearBondPotential": {"interval": 1, "weight": 0.25, "buffer": 0.08726646259},
        },
    }
