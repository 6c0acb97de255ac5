# SPDX-License-Identifier: Apache-2.0
"""The library: `load` a model, `read_jobs`, `predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.features import FeatureOptions
from protenix_ms.io import read_jobs
from protenix_ms.job import Job, require_seed
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import MAY_BE_ABSENT, OWN, load_weights
from protenix_ms.predict.predictor import Predictor, Progress, SeedResult
from protenix_ms.predict.settings import default_options, require_cutoff
from protenix_ms.predict.weights import Weights, find_weights

__all__ = ["load", "load_predictor", "predict", "read_jobs"]


def load(
    model_name: str,
    checkpoint: str | Path | None = None,
    overrides: Mapping | None = None,
    random_weights: int | None = None,
    ccd: str | Path | None = None,
) -> Predictor:
    """A model ready to predict.

    Args:
        model_name: one of `protenix_ms.config.VARIANTS`.
        checkpoint: our safetensors or ckpt, or upstream's pt; None looks into the cache folder.
        overrides: settings, nested or dotted (`{"sample_diffusion.N_step": 20}`).
        random_weights: seed of random weights instead of a checkpoint.
        ccd: another component table than the shipped one.

    Raises:
        ConfigError, CheckpointError, ChemistryError: each says what to do.
    """
    config = get_config(model_name, overrides)
    require_cutoff(config)
    weights = find_weights(model_name, Path(checkpoint) if checkpoint else None, random_weights)
    table = ComponentDictionary.load(Path(ccd) if ccd else None)
    return load_predictor(config, weights, table)


def load_predictor(
    config: ConfigDict,
    weights: Weights,
    ccd: ComponentDictionary,
    options: FeatureOptions | None = None,
) -> Predictor:
    """A model of any configuration with weights put in (see `load`)."""
    model = Protenix(config)
    where = str(weights.path or "random weights")
    load_weights(model, weights.arrays(config), where, OWN | MAY_BE_ABSENT)
    model.set_train(False)
    return Predictor(config, model, ccd, weights, options or default_options(config))


def predict(
    model: Predictor, job: Job, seed: int = 101, progress: Progress | None = None
) -> SeedResult:
    """Structures and confidences of one job and seed, as numpy arrays; nothing is written.

    Raises:
        InputError: a seed outside 0 to 2^32-1, or see `Predictor.predict`.
    """
    return model.predict(job, require_seed(seed), progress)
