# SPDX-License-Identifier: Apache-2.0
"""From a job to the model's input arrays: one generator per feature group."""

from protenix_ms.features.build import Example, FeatureOptions, build

__all__ = ["Example", "FeatureOptions", "build"]
