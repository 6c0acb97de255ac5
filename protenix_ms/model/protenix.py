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
from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.confidence import ConfidenceHead, ConfidenceOutput
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.constraint import ConstraintEmbedder
from protenix_ms.model.diffusion import Conditioning, DiffusionModule
from protenix_ms.model.distogram import DistogramHead
from protenix_ms.model.embedders import InputFeatureEmbedder
from protenix_ms.model.msa_module import Dropouts, MSAModule
from protenix_ms.model.pairformer import PairformerStack
from protenix_ms.model.relative_position import RelativePositionEncoding, RelativePositions
from protenix_ms.model.template import TemplateEmbedder
from protenix_ms.nn import LayerNorm, Linear, RowDropout, set_precision
from protenix_ms.ops.outer_sum import outer_sum
from protenix_ms.runtime.chunk import map_rows, zeros
from protenix_ms.runtime.draws import Draws
from protenix_ms.runtime.recompute import recomputed_piece
from protenix_ms.runtime.trace import trace, tracing
from protenix_ms.sampler import SamplerOptions, noise_schedule, sample
from protenix_ms.typing import Array, Float

Dropout = Literal["none", "mc", "training"]
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; stages "recycle", "step", "sample"."""

CONSTRAINT = "constraint_feature/"


class Trunk(NamedTuple):
    """What the trunk knows: inputs, single and pair representation."""

    s_inputs: Float[Tensor, "n c_s_inputs"]
    s: Float[Tensor, "n c_s"]
    z: Float[Tensor, "n n c_z"]


@dataclass(frozen=True)
class Prediction:
    """Samples of one job and seed, in numpy.

    Attributes:
        coordinates: angstrom.
        contact_probs: probability that two tokens are within 8 angstrom.
        confidence: one of each sample.
        seconds: wall time of trunk, diffusion and confidence.
    """

    coordinates: Float[Array, "b a 3"]
    contact_probs: Float[Array, "n n"]
    confidence: tuple[ConfidenceOutput, ...]
    seconds: dict[str, float] = field(default_factory=dict)


class Job:
    """A job's features in the forms that the network reads, each made once."""

    def __init__(self, features: Mapping[str, Array]) -> None:
        self.features = features
        self.atoms = AtomFeatures.of(features)
        self.positions = RelativePositions(features)
        self.constraints = {
            name.removeprefix(CONSTRAINT): value
            for name, value in features.items()
            if name.startswith(CONSTRAINT)
        }


def _constraint_embedder(config: ConfigDict) -> ConstraintEmbedder:
    kinds = {
        kind: config[f"{kind}_embedder"].c_z_input
        for kind in ("pocket", "contact", "contact_atom")
        if config[f"{kind}_embedder"].enable
    }
    c = config.substructure_embedder
    substructure = None
    if c.enable:
        substructure = {k: c[k] for k in ("n_classes", "hidden_dim", "n_layers", "n_heads")}
    return ConstraintEmbedder(kinds, config.c_constraint_z, substructure)


class Protenix(nn.Cell):
    """AF3 Algorithm 1 (upstream `protenix.Protenix`); parameters under upstream's names.

    Args:
        config: from `protenix_ms.config.get_config`.
    """

    def __init__(self, config: ConfigDict) -> None:
        super().__init__()
        self.config = config
        m, w = config.model, config.widths
        self.input_embedder = InputFeatureEmbedder(m.input_embedder, config.esm)
        p = m.relative_position_encoding
        self.relative_position_encoding = RelativePositionEncoding(p.c_z, p.r_max, p.s_max)
        t = m.template_embedder
        self.template_embedder = TemplateEmbedder(t.n_blocks, t.c, t.c_z, t.hidden_scale_up)
        a = m.msa_module
        self.msa_module = MSAModule(
            a.n_blocks, a.c_m, a.c_z, a.c_s_inputs, a.hidden_scale_up, a.sample_lower_bound,
            a.sample_cutoff,
        )
        self.constraint_embedder = _constraint_embedder(m.constraint_embedder)
        f = m.pairformer
        self.pairformer_stack = PairformerStack(
            f.n_blocks, f.c_z, f.c_s, f.n_heads, f.hidden_scale_up
        )
        self.diffusion_module = DiffusionModule(m.diffusion_module)
        self.distogram_head = DistogramHead(m.distogram_head.c_z, m.distogram_head.no_bins)
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

    def initial(self, job: Job) -> Trunk:
        """Lines 1-5: representations before the first recycle."""
        s_inputs = self.input_embedder(job.features, job.atoms)
        trace("input_embedder", s_inputs)
        s = self.linear_no_bias_sinit(s_inputs)
        z = self._initial_pair(job, s)
        trace("z_init", z)
        return Trunk(s_inputs, s, z)

    def _initial_pair(self, job: Job, s: Float[Tensor, "n c_s"]) -> Float[Tensor, "n n c_z"]:
        """Lines 3-5: outer sum, relative positions, bonds, constraints."""
        of_row, of_column = self.linear_no_bias_zinit1(s), self.linear_no_bias_zinit2(s)
        bonds = np.asarray(job.features["token_bonds"])
        prior = self.constraint_embedder(job.constraints) if job.constraints else None
        if prior is not None:
            trace("constraint_embedder", prior)

        modules = self.relative_position_encoding, self.linear_no_bias_token_bond

        def rows(part: slice) -> Tensor:
            def embed(of_row: Float[Tensor, "r c_z"], of_column: Float[Tensor, "n c_z"]) -> Tensor:
                z = outer_sum(of_row, of_column)
                z = z + self.relative_position_encoding(job.positions, part)
                bonded = np.ascontiguousarray(bonds[part, :, None], dtype=np.float32)
                return z + self.linear_no_bias_token_bond(Tensor.from_numpy(bonded))

            z = recomputed_piece("pair_embedding", modules, embed, of_row[part], of_column)
            return z if prior is None else z + prior[part]

        return map_rows(rows, len(bonds), len(bonds) * job.positions.channels)

    def recycle(
        self,
        job: Job,
        start: Trunk,
        before: Trunk,
        draws: Draws,
        dropout: Dropout = "none",
    ) -> Trunk:
        """Lines 8-13: one pass through the trunk, `combine` and then `update`."""
        now = self.combine(start, before, draws, dropout)
        return self.update(job, now, draws, dropout == "training")

    def combine(
        self, start: Trunk, before: Trunk, draws: Draws, dropout: Dropout = "none"
    ) -> Trunk:
        """Lines 8 and 11: what a pass starts from. A large pair takes the memory of `before`'s.

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

        modules = self.layernorm_z_cycle, self.linear_no_bias_z_cycle

        def rows(part: slice) -> Tensor:
            def recycled(start: Float[Tensor, "r n c_z"], z: Float[Tensor, "r n c_z"]) -> Tensor:
                change = self.linear_no_bias_z_cycle(self.layernorm_z_cycle(z))
                return start + (change if keep is None else change * Tensor(keep(part)))

            return recomputed_piece(
                "pair_embedding", modules, recycled, start.z[part], before.z[part])

        z = map_rows(rows, len(before.z), before.z.size // len(before.z), into=before.z)
        s = start.s + self.linear_no_bias_s(self.layernorm_s(before.s))
        return Trunk(start.s_inputs, s, z)

    def update(self, job: Job, now: Trunk, draws: Draws, training: bool = False) -> Trunk:
        """Lines 9, 10 and 12: templates, alignment, pairformer. `now` is not to be used again.

        Args:
            now: from `combine`.
            draws: sites of the MSA module, and `dropout` in training.
        """
        s_inputs, s, z = now
        in_template, in_msa, in_pairformer = self._dropouts(draws, training)
        if self.template_embedder.n_blocks and "template_aatype" in job.features:
            z = self._with_templates(job, z, in_template)
        z = self.msa_module(job.features, z, s_inputs, draws, in_msa)
        trace("msa_module", z)
        s, z = self.pairformer_stack(s, z, in_pairformer)
        trace("pairformer_stack", (s, z))
        return Trunk(s_inputs, s, z)

    def _with_templates(
        self, job: Job, z: Float[Tensor, "n n c_z"], dropout: RowDropout | None
    ) -> Float[Tensor, "n n c_z"]:
        templates = self.template_embedder(job.features, z, dropout)
        trace("template_embedder", templates)
        per_row = z.size // len(z)
        return map_rows(lambda part: z[part] + templates[part], len(z), per_row, into=z)

    def _dropouts(
        self, draws: Draws, training: bool
    ) -> tuple[RowDropout | None, Dropouts | None, RowDropout | None]:
        """Dropout of templates, MSA module and pairformer; none unless in training."""
        if not training:
            return None, None, None
        m = self.config.model
        rates = (m.template_embedder.dropout, m.msa_module.msa_dropout, m.msa_module.pair_dropout,
                 m.pairformer.dropout)
        template, rows, pair, pairformer = (RowDropout(draws, rate) for rate in rates)
        return template, Dropouts(rows, pair), pairformer

    def trunk(self, job: Job, draws: Draws, progress: Progress | None = None) -> Trunk:
        """Lines 1-13: all recycles.

        Whether the recycled pair is dropped out is decided once for all cycles, at inference too,
        as Protenix intends (trap H1): site `mc_dropout`, whose mask is drawn in every cycle.

        Raises:
            NonFiniteError: names the cycle.
        """
        dropped = draws.uniform("mc_dropout") < self.config.mc_dropout_apply_rate
        dropout = "mc" if dropped else "none"
        start = self.initial(job)
        now = Trunk(start.s_inputs, ops.zeros_like(start.s), zeros(start.z.shape))
        cycles = self.config.model.N_cycle
        for cycle in range(cycles):
            now = self.combine(start, now, draws, dropout)
            if cycle + 1 == cycles:
                start = None  # a pair representation less
            now = self.update(job, now, draws)
            if not np.isfinite(now.s.asnumpy()).all():
                raise NonFiniteError(
                    "the trunk is not finite", where=f"recycle {cycle + 1} of {cycles}"
                )
            if progress is not None:
                progress("recycle", cycle + 1, cycles)
        return now

    def sample(
        self, job: Job, trunk: Trunk, draws: Draws, progress: Progress | None = None
    ) -> Float[Array, "b a 3"]:
        """Line 15: coordinates in angstrom of all samples."""
        c = self.config.sample_diffusion
        given = self.diffusion_module.prepare(job.atoms, job.positions, *trunk)
        return self.roll_out(given, draws, (c.N_step, c.N_sample), progress)

    def roll_out(
        self,
        given: Conditioning,
        draws: Draws,
        size: tuple[int, int],
        progress: Progress | None = None,
    ) -> Float[Array, "b a 3"]:
        """Sample coordinates in angstrom.

        Args:
            given: from `diffusion_module.prepare`.
            draws: the sampler's sites.
            size: denoising steps, samples.
            progress: told after every step.
        """
        steps, samples = size

        def denoise(x: Array, noise_level: Array) -> Array:
            x = Tensor.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
            return self.diffusion_module(x, noise_level, given).asnumpy()

        schedule = noise_schedule(self.config.inference_noise_scheduler, steps)
        options = SamplerOptions.of(self.config.sample_diffusion)
        return sample(denoise, schedule, draws, options, (samples, given.atoms.n_atoms), progress)

    def predict(
        self, features: Mapping[str, Array], draws: Draws, progress: Progress | None = None
    ) -> Prediction:
        """Structures and confidences of one job.

        Args:
            features: the model's input arrays (reference protenix.md B.6).
            draws: every random number; sites `mc_dropout`, `mc_dropout_mask`, `msa_rows`,
                `msa_order`, and the sampler's.
            progress: told after every recycle, denoising step and scored sample.

        Raises:
            InputError: features that this model needs and that are not there.
            NonFiniteError: names the stage.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "trunk"):
            job = Job(features)
            set_precision(self, job.positions.n_tokens, self.config.model_name)
            trunk = self.trunk(job, draws, progress)
        with _timed(seconds, "diffusion"):
            coordinates = self.sample(job, trunk, draws, progress)
            trace("pred/coordinate", coordinates)
        with _timed(seconds, "confidence"):
            if tracing():
                trace("distogram_head", self.distogram_head(trunk.z))
            contacts = self.distogram_head.contact_probabilities(trunk.z).asnumpy()
            trace("pred/contact_probs", contacts)
            scored = ConfidenceFeatures.of(features)
            confidence = self.confidence_head(scored, tuple(trunk), coordinates, progress)
        return Prediction(coordinates, contacts, confidence, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
