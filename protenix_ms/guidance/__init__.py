# SPDX-License-Identifier: Apache-2.0
"""Training-free guidance: eight potentials, their projection and the guided step, in float64."""
