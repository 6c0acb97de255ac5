# SPDX-License-Identifier: Apache-2.0
"""Recordings of upstream training steps: example, draws, losses and gradients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from prediction_recording import SITES, RecordedDraws

from protenix_ms.config import apply_overrides
from protenix_ms.config.override import known_part
from protenix_ms.config.training import training_config
from protenix_ms.config.variants import from_upstream
from protenix_ms.errors import InputError
from protenix_ms.metrics.permutation import residues_of
from protenix_ms.model.weights import parameter_shapes, rule_array
from protenix_ms.typing import Array, Int

TRAINING_SITES = {
    "dropout@fused_ops.dropout_add_rowwise": "dropout",
    "pychoice@heuristic.find_anchor_asym_chain_in_predictions": "anchor_chain",
    "randn@generator.__call__": "noise_level",
    "randn_like@generator.sample_diffusion_training": "label_noise",
}
AFTER_ROLLOUT = "pyrandom@protenix.main_train_loop"  # whether to drop embeddings: never
ORDERS = "input_feature_dict/atom_perm_list.json"


def recorded_training(tree: Mapping[str, Any]) -> ConfigDict:
    """Read our training settings from an upstream configuration tree."""
    config = training_config()
    settings = {key: value for key, value in tree.items() if value is not None}
    return apply_overrides(config, known_part(config, settings))


@dataclass(frozen=True)
class RecordedStep:
    """A folder with `train_meta.json`, `train_inputs.npz`, `train_outputs.npz`; an `Example`.

    Attributes:
        path: the folder.
        config, training: our configurations of the recorded one.
        step: its number.
        features, labels, labels_full, permutations: the example.
        outputs: draws, constants, predictions, losses and gradients.
    """

    path: Path
    config: ConfigDict
    training: ConfigDict
    step: int
    features: dict[str, Array]
    labels: dict[str, Array]
    labels_full: dict[str, Array]
    permutations: list[Int[Array, "_ _"]]
    outputs: dict[str, Array]

    @classmethod
    def read(cls, path: Path) -> RecordedStep:
        """Read a folder.

        Raises:
            InputError: the folder is not a recording of a training step.
        """
        if not (path / "train_meta.json").is_file():
            raise InputError("this is not a recorded training step (train_meta.json)",
                             where=str(path))
        meta = json.loads((path / "train_meta.json").read_text())
        config = from_upstream(meta["config"])
        if not meta["dropout"]:
            _without_dropout(config)
        inputs = dict(np.load(path / "train_inputs.npz"))
        orders = json.loads(str(inputs.pop(ORDERS)))
        groups = ("input_feature_dict", "label_dict", "label_full_dict")
        features, labels, full = (part(inputs, group) for group in groups)
        by_residue = [np.array(orders[p]) for p in _residues(features["ref_space_uid"])]
        return cls(path, config, recorded_training(meta["config"]), meta["step"], features,
                   labels, full, by_residue, dict(np.load(path / "train_outputs.npz")))

    def draws(self) -> RecordedDraws:
        """Return the recorded draws by our sites; those after the mini-rollout augment the
        labels."""
        renamed, after = {}, False
        for name, value in sorted(part(self.outputs, "rng").items()):
            number, place = name.split("_", 1)
            after = after or place == AFTER_ROLLOUT
            if place == AFTER_ROLLOUT:
                continue
            site = TRAINING_SITES.get(place, place)
            if after and place in SITES:
                site = f"label_{SITES[place]}"
            renamed[f"{number}_{site}"] = value
        return RecordedDraws(renamed, self.config.sample_diffusion.N_step_mini_rollout)

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Yield every parameter by the rule, constants as recorded."""
        constants = part(self.outputs, "const")
        for name, shape in parameter_shapes(self.config).items():
            yield name, constants[name] if name in constants else rule_array(name, shape)


def part(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays under a prefix, without it."""
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def _residues(space: Int[Array, "a"]) -> list[slice]:
    count = int((space[1:] != space[:-1]).sum()) + 1
    return [where for where, _ in residues_of(space, [np.empty((0, 0), int)] * count)]


def _without_dropout(config: ConfigDict) -> None:
    m = config.model
    m.template_embedder.dropout = m.pairformer.dropout = 0.0
    m.msa_module.msa_dropout = m.msa_module.pair_dropout = 0.0
