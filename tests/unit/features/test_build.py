# SPDX-License-Identifier: Apache-2.0
"""All features of a job together."""

import numpy as np

from protenix_ms.features.build import build
from protenix_ms.features.guidance import guidance_features
from protenix_ms.features.msa import FeatureOptions
from protenix_ms.job import Job, Ligand, Polymer


def test_guidance_adds_its_lists_and_changes_nothing_else(ccd):
    job = Job("j", (Polymer("protein", "MCKGA"), Ligand(codes=("NAG",))))
    plain = build(job, ccd, np.random.default_rng(0))
    guided = build(job, ccd, np.random.default_rng(0), FeatureOptions(guidance=True))
    expected = plain.features | guidance_features(job, guided.atoms, ccd)
    assert guided.features.keys() == expected.keys() > plain.features.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(guided.features[name], array, err_msg=name)
