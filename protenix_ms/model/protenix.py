# SPDX-License-Identifier: Apache-2.0
"""The whole network: trunk with recycling, diffusion, heads (AF3 Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops
from ml_collections import ConfigDict

from protenix_ms.errors import NonFiniteError
from protenix_ms.guidance.guide import Guide
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.settings import GuidanceSettings
from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.confidence import ConfidenceHead, ConfidenceOutput
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.constraint import ConstraintEmbedder
from protenix_ms.model.diffusion import Conditioning, DiffusionModule
from protenix_ms.model.distogram import DistogramHead
from protenix_ms.model.dropout import RowDropout
from protenix_ms.model.embedders import InputFeatureEmbedder
from protenix_ms.model.layers import LayerNorm, Linear, set_precision
from protenix_ms.model.msa_module import Dropouts, MSAModule
from protenix_ms.model.pairformer import PairformerStack
from protenix_ms.model.relative_position import RelativePositionEncoding, RelativePositions
from protenix_ms.model.sampler import SamplerOptions, noise_schedule, sample
from protenix_ms.model.template import TemplateEmbedder
from protenix_ms.ops.functional import outer_sum
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.rows import rowwise, zeros
from protenix_ms.runtime.trace import trace, tracing
from protenix_ms.typing import Array, Float

Dropout = Literal["none", "mc", "training"]
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; stages "recycle", "step", "sample"."""

CONSTRAINT = "constraint_feature/"
_HALF_MAX = float(np.finfo(np.float16).max)


class Trunk(NamedTuple):
    """Representations of the trunk: inputs, single and pair."""

    s_inputs: Float[Tensor, "n c_s_inputs"]
    s: Float[Tensor, "n c_s"]
    z: Float[Tensor, "n n c_z"]


@dataclass(frozen=True)
class Prediction:
    """Samples of one job and seed, in numpy.

    Attributes:
        coordinates: angstrom.
        contact_probs: probability that two tokens are within 8 angstrom.
        confidence: one per sample.
        seconds: wall time of trunk, diffusion and confidence.
        energies: one per sample if guidance was on: its terms' weighted energies `before` and
            `after` the last step's guidance (`guidance.guide.Account`).
        lost: number of a sample that guidance had to end, and why; the other fields lack it.
        saved: copies of representations in float16, of those that are asked for: `s`, `z`,
            `distogram` (probabilities of distances).
    """

    coordinates: Float[Array, "b a 3"]
    contact_probs: Float[Array, "n n"]
    confidence: tuple[ConfidenceOutput, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    energies: tuple[dict[str, dict[str, float]], ...] = ()
    lost: Mapping[int, str] = field(default_factory=dict)
    saved: Mapping[str, Array] = field(default_factory=dict)


class ModelInputs:
    """Features of a job in the forms that the network reads."""

    def __init__(self, features: Mapping[str, Array]) -> None:
        self.features = features
        self.atoms = AtomFeatures.from_features(features)
        self.positions = RelativePositions(features)
        self.constraints = {
            name.removeprefix(CONSTRAINT): value
            for name, value in features.items()
            if name.startswith(CONSTRAINT)
        }


class Protenix(nn.Cell):
    """Predicts structures and their confidence (AF3 Algorithm 1; upstream `protenix.Protenix`).

    Parameters have upstream's names.

    Args:
        config: from `protenix_ms.config.get_config`.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        self.config = config
        m, w = config.model, config.widths
        self.input_embedder = InputFeatureEmbedder(m.input_embedder, config.esm)
        self.relative_position_encoding = RelativePositionEncoding(**m.relative_position_encoding)
        self.template_embedder = TemplateEmbedder(m.template_embedder)
        self.msa_module = MSAModule(m.msa_module)
        self.constraint_embedder = ConstraintEmbedder(m.constraint_embedder)
        f = m.pairformer
        self.pairformer_stack = PairformerStack(
            f.n_blocks, f.c_z, f.c_s, f.n_heads, f.hidden_scale_up)
        self.diffusion_module = DiffusionModule(m.diffusion_module)
        self.distogram_head = DistogramHead(**m.distogram_head)
        self.confidence_head = ConfidenceHead(m.confidence_head)
        c_s, c_z = f.c_s, f.c_z
        self.linear_no_bias_sinit = Linear(w.c_s_inputs, c_s)
        self.linear_no_bias_zinit1 = Linear(c_s, c_z)
        self.linear_no_bias_zinit2 = Linear(c_s, c_z)
        self.linear_no_bias_token_bond = Linear(1, c_z)
        self.linear_no_bias_z_cycle = Linear(c_z, c_z, init="zeros")
        self.linear_no_bias_s = Linear(c_s, c_s, init="zeros")
        self.layernorm_z_cycle = LayerNorm(c_z)
        self.layernorm_s = LayerNorm(c_s)

    def initial(self, inputs: ModelInputs) -> Trunk:
        """Compute representations before the first recycle (lines 1-5)."""
        s_inputs = self.input_embedder(inputs.features, inputs.atoms)
        trace("input_embedder", s_inputs)
        s = self.linear_no_bias_sinit(s_inputs)
        z = self._initial_pair(inputs, s)
        trace("z_init", z)
        return Trunk(s_inputs, s, z)

    def _initial_pair(
        self, inputs: ModelInputs, s: Float[Tensor, "n c_s"],
    ) -> Float[Tensor, "n n c_z"]:
        """Sum single pairs, relative positions, bonds and constraints (lines 3-5)."""
        of_row, of_column = self.linear_no_bias_zinit1(s), self.linear_no_bias_zinit2(s)
        bonds = np.asarray(inputs.features["token_bonds"])
        prior = self.constraint_embedder(inputs.constraints) if inputs.constraints else None
        if prior is not None:
            trace("constraint_embedder", prior)

        def rows(of_row: Float[Tensor, "r c_z"], part: slice, of_column: Tensor) -> Tensor:
            z = outer_sum(of_row, of_column)
            z = z + self.relative_position_encoding(inputs.positions, part)
            bonded = np.ascontiguousarray(bonds[part, :, None], dtype=np.float32)
            return z + self.linear_no_bias_token_bond(Tensor.from_numpy(bonded))

        owner = (self, self.relative_position_encoding, self.linear_no_bias_token_bond)
        z = rowwise(owner, rows, of_row, range(len(bonds)), shared=(of_column,),
                    cost=len(bonds) * inputs.positions.channels)
        return z if prior is None else self._sum(z, prior)

    @staticmethod
    def _sum(z: Float[Tensor, "n n c_z"], update: Float[Tensor, "n n c_z"]) -> Tensor:
        """Add to a pair that nobody needs any more; a large one keeps its memory."""
        return rowwise(None, ops.add, z, update, cost=z.size // len(z), into=z)

    def recycle(
        self, inputs: ModelInputs, start: Trunk, before: Trunk, draws: Draws,
        dropout: Dropout = "none",
    ) -> Trunk:
        """Pass once through the trunk, by `combine` and then `update` (lines 8-13)."""
        now = self.combine(start, before, draws, dropout)
        return self.update(inputs, now, draws, dropout == "training")

    def combine(
        self, start: Trunk, before: Trunk, draws: Draws, dropout: Dropout = "none",
    ) -> Trunk:
        """Start a pass from the result of the pass before (lines 8 and 11).

        A large pair takes the memory of the one in `before`.

        Args:
            start: from `initial`.
            before: result of the pass before, zeros at first.
            draws: site `mc_dropout_mask`.
            dropout: "mc" drops parts of the recycled pair, "training" of every update of the
                pair and of alignment rows.
        """
        keep = None
        if dropout == "mc":
            rate = self.config.mc_dropout_rate
            keep = draws.keep_rows("mc_dropout_mask", rate, before.z.shape)

        def rows(z: Float[Tensor, "r n c_z"], first: Tensor, part: slice) -> Tensor:
            change = self.linear_no_bias_z_cycle(self.layernorm_z_cycle(z))
            return first + (change if keep is None else change * Tensor(keep(part)))

        owner, n = (self, self.layernorm_z_cycle, self.linear_no_bias_z_cycle), len(before.z)
        z = rowwise(owner, rows, before.z, start.z, range(n), cost=before.z.size // n,
                    into=before.z)
        s = start.s + self.linear_no_bias_s(self.layernorm_s(before.s))
        return Trunk(start.s_inputs, s, z)

    def update(
        self, inputs: ModelInputs, now: Trunk, draws: Draws, training: bool = False,
    ) -> Trunk:
        """Run templates, MSA module and pairformer (lines 9, 10 and 12).

        Writes over a large pair: do not use `now` afterwards.

        Args:
            now: from `combine`.
            draws: sites of the MSA module, and `dropout` in training.
        """
        s_inputs, s, z = now
        in_template, in_msa, in_pairformer = self._dropouts(draws, training)
        if self.template_embedder.n_blocks and "template_aatype" in inputs.features:
            templates = self.template_embedder(inputs.features, z, in_template)
            trace("template_embedder", templates)
            z = self._sum(z, templates)
            del templates
        z = self.msa_module(inputs.features, z, s_inputs, draws, in_msa)
        trace("msa_module", z)
        s, z = self.pairformer_stack(s, z, in_pairformer)
        trace("pairformer_stack", (s, z))
        return Trunk(s_inputs, s, z)

    def _dropouts(
        self, draws: Draws, training: bool,
    ) -> tuple[RowDropout | None, Dropouts | None, RowDropout | None]:
        """Make the dropout of templates, MSA module and pairformer; none unless in training."""
        if not training:
            return None, None, None
        m = self.config.model
        rates = (m.template_embedder.dropout, m.msa_module.msa_dropout, m.msa_module.pair_dropout,
                 m.pairformer.dropout)
        template, rows, pair, pairformer = (RowDropout(draws, rate) for rate in rates)
        return template, Dropouts(rows, pair), pairformer

    def trunk(self, inputs: ModelInputs, draws: Draws, progress: Progress | None = None) -> Trunk:
        """Run all recycles (lines 1-13).

        As Protenix intends, whether the recycled pair is dropped out is decided once for all
        cycles, at inference too (site `mc_dropout`); each cycle draws its mask.

        Raises:
            NonFiniteError: names the cycle.
        """
        dropped = draws.uniform("mc_dropout") < self.config.mc_dropout_apply_rate
        dropout = "mc" if dropped else "none"
        start = self.initial(inputs)
        now = Trunk(start.s_inputs, ops.zeros_like(start.s), zeros(start.z.shape))
        cycles = self.config.model.N_cycle
        for cycle in range(cycles):
            now = self.combine(start, now, draws, dropout)
            if cycle + 1 == cycles:
                start = None  # frees a pair representation
            now = self.update(inputs, now, draws)
            if not np.isfinite(now.s.asnumpy()).all():
                raise NonFiniteError(
                    "the trunk is not finite", where=f"recycle {cycle + 1} of {cycles}"
                )
            if progress is not None:
                progress("recycle", cycle + 1, cycles)
        return now

    def sample(
        self, inputs: ModelInputs, trunk: Trunk, draws: Draws, progress: Progress | None = None,
        guide: Guide | None = None,
    ) -> Float[Array, "b a 3"]:
        """Sample coordinates in angstrom (line 15); see `roll_out`."""
        c = self.config.sample_diffusion
        job = self.diffusion_module.prepare(inputs.atoms, inputs.positions, *trunk)
        return self.roll_out(job, draws, (c.N_step, c.N_sample), progress, guide)

    def guide(self, inputs: ModelInputs) -> Guide | None:
        """Make what guides the samples of a job; None where guidance is off.

        Raises:
            InputError: the features lack geometry lists.
        """
        settings = GuidanceSettings.read(self.config.sample_diffusion.guidance.to_dict())
        return Guide(settings, GeometryLists.from_features(inputs.features)
                     ) if settings.enable else None

    def roll_out(
        self, job: Conditioning, draws: Draws, size: tuple[int, int],
        progress: Progress | None = None, guide: Guide | None = None,
    ) -> Float[Array, "b a 3"]:
        """Sample coordinates in angstrom.

        Args:
            job: from `diffusion_module.prepare`.
            draws: the sampler's sites.
            size: denoising steps, samples.
            progress: called after every step.
            guide: see `sampler.sample`.
        """
        steps, samples = size

        def denoise(x: Array, noise_level: Array) -> Array:
            x = Tensor.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
            return self.diffusion_module(x, noise_level, job).asnumpy()

        schedule = noise_schedule(self.config.inference_noise_scheduler, steps)
        options = SamplerOptions.from_config(self.config.sample_diffusion)
        return sample(denoise, schedule, draws, options, (samples, job.atoms.n_atoms), progress,
                      guide)

    def predict(
        self, features: Mapping[str, Array], draws: Draws, progress: Progress | None = None,
        coordinates: Float[Array, "b a 3"] | None = None, save: tuple[str, ...] = (),
    ) -> Prediction:
        """Predict structures and confidences of one job.

        Args:
            features: the model's input arrays.
            draws: source of every random number; sites `mc_dropout`, `mc_dropout_mask`,
                `msa_rows`, `msa_order`, and the sampler's.
            progress: called after every recycle, denoising step and scored sample.
            coordinates: structures (angstrom) to score; None samples them.
            save: what `Prediction.saved` holds: "embeddings" (`s`, `z`), "distogram".

        Raises:
            InputError: features that this model needs are absent.
            NonFiniteError: names the stage.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "trunk"):
            inputs = ModelInputs(features)
            set_precision(self, inputs.positions.n_tokens, self.config.model_name)
            trunk = self.trunk(inputs, draws, progress)
        with _timed(seconds, "diffusion"):
            guide = self.guide(inputs) if coordinates is None else None
            if coordinates is None:
                coordinates = self.sample(inputs, trunk, draws, progress, guide)
            coordinates, energies, lost = _kept(coordinates, guide)
            trace("pred/coordinate", coordinates)
        with _timed(seconds, "confidence"):
            if tracing():
                trace("distogram_head", self.distogram_head(trunk.z))
            contacts = self.distogram_head.contact_probabilities(trunk.z).asnumpy()
            trace("pred/contact_probs", contacts)
            saved = self._copies(trunk, save)
            scored = ConfidenceFeatures.from_features(features)
            confidence = self.confidence_head(scored, tuple(trunk), coordinates, progress)
        return Prediction(coordinates, contacts, confidence, seconds, energies, lost, saved)

    def _copies(self, trunk: Trunk, save: tuple[str, ...]) -> dict[str, Array]:
        """Copy representations as float16; what float16 cannot hold becomes its largest number."""
        saved: dict[str, Array] = {}
        if "embeddings" in save:
            for name, value in (("s", trunk.s), ("z", trunk.z)):
                saved[name] = np.clip(value.asnumpy(), -_HALF_MAX, _HALF_MAX).astype(np.float16)
        if "distogram" in save:
            saved["distogram"] = self.distogram_head.probabilities(trunk.z)
        return saved


def _kept(
    coordinates: Float[Array, "b a 3"], guide: Guide | None
) -> tuple[Float[Array, "k a 3"], tuple[dict[str, dict[str, float]], ...], dict[int, str]]:
    """Drop samples that guidance has lost; return the others, their energies and why.

    Raises:
        NonFiniteError: all are lost.
    """
    if guide is None:
        return coordinates, (), {}
    finite, account = np.isfinite(coordinates).all(axis=(1, 2)), guide.account
    lost = {i: account.lost.get(i, "coordinates are not finite")
            for i in np.flatnonzero(~finite).tolist()}
    if not finite.any():
        raise NonFiniteError(f"guidance has lost every sample ({next(iter(lost.values()))})")
    energies = tuple({"before": account.before[i], "after": account.after[i]}
                     for i in np.flatnonzero(finite).tolist())
    return coordinates[finite], energies, lost


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
