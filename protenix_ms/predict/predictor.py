# SPDX-License-Identifier: Apache-2.0
"""One loaded model: jobs in, ranked samples out, nothing written; the library of the package."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
from ml_collections import ConfigDict

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.config.model import require_predictable
from protenix_ms.errors import NonFiniteError
from protenix_ms.features import FeatureOptions
from protenix_ms.features.build import Example, build, feature_draws
from protenix_ms.features.guidance import guidance_features
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.validity import COUNTS, count_faults
from protenix_ms.job import Job, Polymer, require_seed
from protenix_ms.metrics.confidence import Layout, SampleConfidence, summarize
from protenix_ms.metrics.interface import Residues, score_interfaces
from protenix_ms.model.protenix import Prediction, Protenix
from protenix_ms.model.weights import MAY_BE_ABSENT, OWN, load_weights, shapes_of
from protenix_ms.predict.settings import default_options, require_guidance, takes_constraints
from protenix_ms.predict.weights import Weights, find_weights
from protenix_ms.runtime.draws import SeededDraws
from protenix_ms.typing import Array, Float

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """One predicted structure.

    Attributes:
        coordinates: angstrom, rows of `SeedResult.atoms`.
        summary: upstream's summary confidence (`metrics.confidence.KEYS`), then the scores of
            interfaces (`metrics.interface.INTERFACE_KEYS`), NaN where a pair has none, then
            `guidance.validity.COUNTS` and whether they are all 0, `valid`; with guidance
            `guidance_energy`, energies of its terms `before` and `after` the last step's.
        full_data: arrays of `io.confidence_write.FULL_DATA`.
    """

    coordinates: Float[Array, "a 3"]
    summary: dict[str, object]
    full_data: dict[str, Array]

    @property
    def plddt(self) -> Float[Array, "a"]:
        """Atom pLDDT, 0-100."""
        return self.full_data["atom_plddt"] * 100


@dataclass(frozen=True)
class SeedResult:
    """All samples of one job and seed, best ranking score first.

    Attributes:
        job: the job.
        seed: the seed.
        atoms: the atoms, as predicted coordinates number them.
        samples: ranked.
        seconds: wall time by stage.
        lost: number of a sample that guidance had to end, counted from 0, and why.
        saved: representations of the trunk (`Prediction.saved`).
    """

    job: Job
    seed: int
    atoms: AtomTable
    samples: tuple[Sample, ...]
    seconds: dict[str, float]
    lost: Mapping[int, str] = field(default_factory=dict)
    saved: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictor:
    """A model with its weights and chemistry, ready for any number of jobs.

    Attributes:
        config: configuration of the model and sampler.
        model: the network.
        ccd: component dictionary.
        weights: where its weights came from.
        options: choices of the featuriser.
        save: what results keep of the trunk, of `settings.SAVED`.
    """

    config: ConfigDict
    model: Protenix
    ccd: ComponentDictionary
    weights: Weights
    options: FeatureOptions = FeatureOptions()
    save: tuple[str, ...] = ()

    def featurize(self, job: Job, seed: int) -> Example:
        """Make the model's inputs of a job (see the function)."""
        return featurize(job, seed, self.ccd, self.options)

    def predict(
        self, job: Job, seed: int = 101, progress: Progress | None = None,
        example: Example | None = None,
    ) -> SeedResult:
        """Predict the structures of a job for one seed.

        Args:
            progress: called with (stage, done, total) for "recycle", "step" and "sample".
            example: features made before by `featurize`.

        Raises:
            InputError: a seed outside 0 to 2^32-1.
            InputError, ChemistryError: the job cannot be built.
            NonFiniteError: naming the stage.
        """
        require_seed(seed)
        seconds, start = {}, time.perf_counter()
        example = example or self.featurize(job, seed)
        seconds["features"] = time.perf_counter() - start
        draws = SeededDraws(seed, crc32(job.name.encode()))
        prediction = self.model.predict(example.features, draws, progress, save=self.save)
        seconds |= prediction.seconds
        require_finite(prediction, job.name)
        start = time.perf_counter()
        lists = GeometryLists.from_features(
            example.features if self.options.guidance
            else example.features | guidance_features(job, example.atoms, self.ccd))
        samples = rank(prediction, example, job, self.config, lists)
        seconds["scores"] = time.perf_counter() - start
        return SeedResult(job, seed, example.atoms, samples, seconds, prediction.lost,
                          prediction.saved)


def featurize(
    job: Job, seed: int, ccd: ComponentDictionary, options: FeatureOptions
) -> Example:
    """Make the model's inputs of a job; the seed drives conformers and reference placements."""
    return build(job, ccd, feature_draws(job, seed), options)


def require_finite(prediction: Prediction, where: str) -> None:
    """Raise NonFiniteError naming the first stage with NaN or infinity."""
    stages = {"contact probabilities (trunk)": [prediction.contact_probs],
              "coordinates (diffusion)": [prediction.coordinates]}
    for name in ("atom_plddt", "pae", "pde", "tm_complex", "tm_pair"):
        arrays = [getattr(sample, name) for sample in prediction.confidence]
        stages[f"{name} (confidence head)"] = arrays
    for stage, arrays in stages.items():
        if not all(np.isfinite(array).all() for array in arrays):
            raise NonFiniteError(f"NaN or infinity in {stage}", where=where,
                                 fix="nothing is written; try another --seeds or --dtype fp32, "
                                 "and check the checkpoint")


def full_data(
    sample: SampleConfidence, contact_probs: Array, features: dict[str, Array]
) -> dict[str, Array]:
    """Collect the arrays of a sample under upstream's names, unrounded."""
    return {
        "atom_plddt": sample.atom_plddt,
        "token_pair_pae": sample.pae,
        "token_pair_pde": sample.pde,
        "contact_probs": contact_probs,
        "token_asym_id": features["asym_id"],
        "token_has_frame": features["has_frame"].astype(bool),
        "atom_to_token_idx": features["atom_to_token_idx"],
    }


def rank(
    prediction: Prediction, example: Example, job: Job, config: ConfigDict,
    lists: GeometryLists | None,
) -> tuple[Sample, ...]:
    """Score the samples; return the best ranking score first, ties in the sampler's order.

    Without lists, nobody knows whether the chemistry is valid: its counts are None.
    """
    features, layout = example.features, Layout.from_features(example.features)
    kinds = {str(i): e.kind for i, e in enumerate(job.entities, 1) if isinstance(e, Polymer)}
    residues = Residues.from_atoms(example.atoms, features["atom_to_token_idx"], kinds)
    used = takes_constraints(config)
    samples = []
    for i, (x, confidence) in enumerate(zip(prediction.coordinates, prediction.confidence)):
        summary = summarize(confidence, x, prediction.contact_probs, layout,
                            int(config.model.N_cycle))
        summary |= score_interfaces(confidence.pae, x, confidence.atom_plddt * 100, residues,
                                    config.ipsae_pae_cutoff)
        faults = dict.fromkeys(COUNTS) if lists is None else count_faults(x, lists)
        summary |= faults | {"valid": None if lists is None else not any(faults.values())}
        if example.restraints:
            summary["constraints"] = [
                restraint.measure(x) | {"used": used} for restraint in example.restraints]
        if prediction.energies:
            summary["guidance_energy"] = prediction.energies[i]
        arrays = full_data(confidence, prediction.contact_probs, features)
        samples.append(Sample(x, summary, arrays))
    return tuple(sorted(samples, key=lambda sample: -sample.summary["ranking_score"]))


def load(
    model_name: str,
    checkpoint: str | Path | None = None,
    overrides: Mapping | None = None,
    random_weights: int | None = None,
    ccd: str | Path | None = None,
) -> Predictor:
    """Load a model that is ready to predict.

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
    require_predictable(config)
    require_guidance(config)
    weights = find_weights(model_name, Path(checkpoint) if checkpoint else None, random_weights)
    table = ComponentDictionary.load(Path(ccd) if ccd else None)
    return load_predictor(config, weights, table)


def load_predictor(
    config: ConfigDict,
    weights: Weights,
    ccd: ComponentDictionary,
    options: FeatureOptions | None = None,
) -> Predictor:
    """Build a model of any configuration and put weights in (see `load`)."""
    model = Protenix(config)
    where = str(weights.path or "random weights")
    arrays = weights.arrays(shapes_of(model))
    if weights.path is None and config.use_msa:  # as the constraint variant's published file
        arrays = (pair for pair in arrays if pair[0] not in MAY_BE_ABSENT)
    load_weights(model, arrays, where, OWN | MAY_BE_ABSENT)
    model.set_train(False)
    return Predictor(config, model, ccd, weights, options or default_options(config))


def predict(
    model: Predictor, job: Job, seed: int = 101, progress: Progress | None = None
) -> SeedResult:
    """Predict structures and confidences of one job and seed as numpy arrays; write nothing.

    Raises:
        InputError: a seed outside 0 to 2^32-1, or see `Predictor.predict`.
    """
    return model.predict(job, require_seed(seed), progress)
