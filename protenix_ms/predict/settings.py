# SPDX-License-Identifier: Apache-2.0
"""The choices of a run, checked before MindSpore is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms import __version__
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.errors import ConfigError
from protenix_ms.features import FeatureOptions
from protenix_ms.features.template_choice import TemplateOptions
from protenix_ms.guidance.settings import GuidanceSettings
from protenix_ms.job import Job
from protenix_ms.predict.language_model import LanguageModel, reads_embeddings
from protenix_ms.predict.reference import Comparison
from protenix_ms.predict.weights import Weights

DEFAULT_SEED = 101
RANK_BY = ("score", "valid")
SAVED = ("embeddings", "distogram")  # what can be kept of a seed beside its samples


def default_options(config: ConfigDict, upstream_quirks: bool = False) -> FeatureOptions:
    """Choose features by model: esm and ism variants take no MSA, v0.5.0 ones none of RNA.

    Constraints split residues into atoms for the model that reads them; upstream does it for all.
    """
    rna = "v0.5.0" not in config.model_name
    guidance = config.sample_diffusion.guidance.enable
    templates = TemplateOptions(use=config.model.template_embedder.n_blocks > 0)
    return FeatureOptions(use_msa=config.use_msa, use_rna_msa=rna, upstream_quirks=upstream_quirks,
                          guidance=guidance, templates=templates,
                          use_constraints=takes_constraints(config) or upstream_quirks)


def takes_constraints(config: ConfigDict) -> bool:
    """Tell whether a model reads contacts and pockets."""
    embedders = config.model.constraint_embedder
    return any(embedders[f"{name}_embedder"].enable for name in ("pocket", "contact",
                                                                 "contact_atom"))


def require_device(device: str, dtype: str) -> None:
    """Refuse a number format that the device has no kernels for."""
    if dtype == "bf16" and device == "CPU":
        raise ConfigError("bf16 runs on Ascend only: MindSpore's CPU kernels have no bf16 matrix "
                          "product", fix="use --dtype fp32")


def refuse_language_model(config: ConfigDict, command: str) -> None:
    """Refuse a variant that reads a language model in a command whose entries bring no vectors."""
    if reads_embeddings(config):
        raise ConfigError(
            f"{config.model_name} reads vectors of {config.esm.model_name}, which {command} does "
            "not make", fix="choose a variant without esm or ism in its name")


def require_guidance(config: ConfigDict) -> None:
    """Refuse settings of guidance that cannot work (see `GuidanceSettings.read`)."""
    GuidanceSettings.read(config.sample_diffusion.guidance.to_dict())


@dataclass(frozen=True)
class Settings:
    """The choices of a run beside its jobs.

    Attributes:
        output: folder of the results.
        config: configuration of the model and sampler.
        weights: where the weights come from.
        ccd: component dictionary.
        options: choices of the featuriser.
        seeds: seeds of every job; empty takes each job's own, else 101.
        device, dtype: the runtime policy.
        overwrite: redo finished seeds.
        plots: draw pictures.
        check_memory: refuse jobs that cannot fit.
        full_data: which files hold it, one of `io.confidence_write.FULL_DATA_CHOICES`.
        rank_by: order of `ranking.csv`, one of `RANK_BY`; it changes no result, so finished seeds
            stay.
        language_model: where the vectors of residues come from, None for a variant without.
        save: what to keep of a seed, of `SAVED`.
        known: known structures to compare samples with, by job; they change no result.
    """

    output: Path
    config: ConfigDict
    weights: Weights
    ccd: ComponentDictionary
    options: FeatureOptions
    seeds: tuple[int, ...] = ()
    device: str = "CPU"
    dtype: str = "fp32"
    overwrite: bool = False
    plots: bool = True
    check_memory: bool = True
    full_data: str = "auto"
    rank_by: str = "score"
    language_model: LanguageModel | None = None
    save: tuple[str, ...] = ()
    known: Mapping[str, Comparison] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Say how structures are made, in one line for titles."""
        return f"Protenix-MS {__version__}, {self.config.model_name}, {self.weights.label}"

    def seeds_of(self, job: Job) -> tuple[int, ...]:
        """List the seeds to run a job with, each once, in order."""
        return tuple(dict.fromkeys(self.seeds or job.seeds or (DEFAULT_SEED,)))

    def content(self) -> dict:
        """Collect what a result depends on beside job and seed, for its fingerprint.

        Of templates only the choice counts, see `predict.templates.template_content`, of a
        language model what `LanguageModel.content` says of a job.
        """
        options = replace(self.options, templates=TemplateOptions(self.options.templates.use))
        return {
            "version": __version__,
            "config": self.config.to_dict(),
            "weights": self.weights.fingerprint(),
            "ccd": self.ccd.sha256,
            "conformers": self.ccd.conformers_sha256,
            "options": asdict(options),
            "device": self.device,
            "dtype": self.dtype,
            "full_data": self.full_data,
            "save": self.save,
        }
