# SPDX-License-Identifier: Apache-2.0
"""Training: one step, the optimiser, checkpoints and the loop."""
