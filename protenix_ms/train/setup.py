# SPDX-License-Identifier: Apache-2.0
"""The parts of a training or an evaluation, built from a configuration and folders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mindspore import Tensor, ops
from ml_collections import ConfigDict

from protenix_ms.data.constraints import ConstraintSampling
from protenix_ms.data.crop import CropOptions
from protenix_ms.data.dataset import DataOptions, HeldOut, Loader, Source
from protenix_ms.data.example import ExampleOptions, TrainingExample
from protenix_ms.data.preparation import read_alignments
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import initialise, load_weights, shapes_of
from protenix_ms.predict.settings import default_options
from protenix_ms.predict.weights import Weights
from protenix_ms.runtime.ranks import Ranks
from protenix_ms.train.checkpoint import finite

_SHARE_OF_PEAK = 0.25  # of the machine's matrix-product rate that a step reaches
_PRODUCT, _TRIES = 1024, 5  # size of the product that is timed, and how often
_ATOMS_PER_TOKEN = 10


def new_model(config: ConfigDict, weights: Weights | None) -> Protenix:
    """Build the network with the weights of a checkpoint, or initialise it from the run's seed.

    Raises:
        CheckpointError, NonFiniteError: the checkpoint is of another model, or holds NaN.
    """
    model = Protenix(config)
    if weights is None:
        initialise(model, np.random.default_rng(config.training.seed))
    else:
        where, arrays = str(weights.path), weights.arrays(shapes_of(model))
        load_weights(model, finite(arrays, where, "give --init sound weights"), where)
    return model


def training_examples(
    config: ConfigDict, folders: Sequence[Path], loaders: int, ranks: Ranks
) -> Callable[[int], Iterator[TrainingExample]]:
    """Return a function that yields one rank's examples from a position on, without end.

    Args:
        folders: prepared data.
        loaders: processes that make examples; with 0 this one makes them.
    """
    example = example_options(config, config.training.train_crop_size, **config.training.data)
    options = DataOptions(
        tuple(Source(folder, example=example) for folder in folders), config.training.seed,
        rank=ranks.rank, ranks=ranks.count, use_rna_msa=default_options(config).use_rna_msa)
    loader = Loader(options, loaders)
    return lambda start: (loaded.example for loaded in loader.examples(start))


def example_options(config: ConfigDict, crop_size: int, **data: object) -> ExampleOptions:
    """Choose how examples of a model are made.

    Args:
        data: settings of ``config.training.data``.
    """
    constrained = config.model.constraint_embedder.contact_embedder.enable
    return ExampleOptions(
        crop=replace(CropOptions(), size=crop_size), use_msa=config.use_msa,
        use_templates=config.model.template_embedder.n_blocks > 0,
        constraints=ConstraintSampling() if constrained else None, **data)


def held_out_entries(folder: Path, config: ConfigDict, sizes: ConfigDict) -> HeldOut:
    """Return prepared entries to judge a model by, cropped in space.

    Args:
        sizes: ``config.training.evaluation``.
    """
    options = example_options(config, sizes.crop_size)
    options = replace(options, crop=replace(options.crop, weights=(0.0, 1.0, 0.0)))
    return HeldOut(folder, options, sizes.entries, default_options(config).use_rna_msa)


def alignment_rows(config: ConfigDict, folders: Sequence[Path]) -> int:
    """Count the most alignment rows that an example can have; 1 where no data has alignments."""
    if not (config.use_msa and any(read_alignments(folder) for folder in folders)):
        return 1
    return min(config.training.data.msa_rows, config.model.msa_module.sample_cutoff)


def seconds_per_update(config: ConfigDict, rows: int) -> float:
    """Estimate the time of one update on this machine, from the time of a matrix product."""
    x = Tensor.from_numpy(np.ones((_PRODUCT, _PRODUCT), np.float32))
    best = float("inf")
    for _ in range(_TRIES):
        start = time.perf_counter()
        ops.matmul(x, x).asnumpy()
        best = min(best, time.perf_counter() - start)
    rate = _SHARE_OF_PEAK * _PRODUCT**3 / best
    return config.training.iters_to_accumulate * multiply_adds(config, rows) / rate


def multiply_adds(config: ConfigDict, rows: int) -> float:
    """Count the multiply-adds of one training example.

    A module with gradient counts four times (forward, again, and two products backward), one
    without once; of the recycles all but the last have none.

    Args:
        rows: rows of the alignment.
    """
    c, m, n, w = config.training, config.model, config.training.train_crop_size, config.widths
    trunk = 3 + ((c.cycles or m.N_cycle) + 1) / 2  # of the mean number of recycles
    samples = 4 * c.diffusion_batch_size + config.sample_diffusion.N_step_mini_rollout

    def pair_block(c_z: int) -> int:  # two products and two attentions of triangles, a transition
        return n * n * c_z * (34 * c_z + 6 * n)

    c_m, d, template = m.msa_module.c_m, m.diffusion_module, m.template_embedder
    alignment = rows * n * c_m * (256 + 12 * c_m) + n * n * 32**2 * w.c_z
    pairs = trunk * (m.pairformer.n_blocks + m.msa_module.n_blocks) + 4 * m.confidence_head.n_blocks
    tokens = n * d.transformer.n_blocks * d.c_token * (11 * d.c_token + 6 * w.c_s)
    atom_blocks = d.atom_encoder.n_blocks + d.atom_decoder.n_blocks
    atoms = _ATOMS_PER_TOKEN * n * atom_blocks * 29 * w.c_atom**2
    return (pairs * pair_block(w.c_z) + trunk * m.msa_module.n_blocks * alignment
            + trunk * template.n_blocks * pair_block(template.c) + samples * (tokens + atoms))
