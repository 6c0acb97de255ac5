# SPDX-License-Identifier: Apache-2.0
"""From a job to the model's input arrays: one generator per feature group."""
