# SPDX-License-Identifier: Apache-2.0
"""From a job to the model's input arrays: one generator per feature group.

All in numpy: only the finished arrays become tensors (trap H22).
"""

from protenix_ms.features.assembly import assemble
from protenix_ms.features.build import Example, build, featurize
from protenix_ms.features.options import FeatureOptions

__all__ = ["Example", "FeatureOptions", "assemble", "build", "featurize"]
