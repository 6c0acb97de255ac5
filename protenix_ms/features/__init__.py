# SPDX-License-Identifier: Apache-2.0
"""Turn a job into the model's input arrays: one generator per feature group, all in numpy."""

from protenix_ms.features.assembly import assemble
from protenix_ms.features.build import Example, build, featurize
from protenix_ms.features.msa import FeatureOptions

__all__ = ["Example", "FeatureOptions", "assemble", "build", "featurize"]
