# SPDX-License-Identifier: Apache-2.0
"""The component table with upstream's own reference conformers, and upstream's featuriser."""

import importlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def upstream_features():
    """Run upstream's `InferenceDataset.process_one` without its file handling: job -> features."""
    root = Path(os.environ["PROTENIX_ROOT_DIR"])
    loader = importlib.import_module("protenix.data.inference.infer_dataloader")
    components = importlib.import_module("protenix.data.core.ccd")
    components.COMPONENTS_FILE = str(root / "common/components.cif")
    components.RKDIT_MOL_PKL = root / "common/components.cif.rdkit_mol.pkl"
    guidance = SimpleNamespace(guidance=SimpleNamespace(enable=False))
    dataset = SimpleNamespace(
        configs=SimpleNamespace(sample_diffusion=guidance),
        use_msa=True, msa_pair_as_unpair=True, use_rna_msa=True,
        use_template=False, online_template_featurizer=None, esm_enable=False,
    )  # fmt: skip

    def features(job: dict) -> dict[str, np.ndarray]:
        data, _, _ = loader.InferenceDataset.process_one(dataset, job)
        features = data["input_feature_dict"]
        constraint = features.pop("constraint_feature")
        features |= {f"constraint_feature/{name}": value for name, value in constraint.items()}
        return {name: value.numpy() for name, value in features.items()}

    return features
