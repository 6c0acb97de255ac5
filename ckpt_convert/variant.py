# SPDX-License-Identifier: Apache-2.0
"""Which model a checkpoint belongs to, from its names and shapes alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from ckpt_convert.match import Difference, Shapes, compare, require
from protenix_ms.config import VARIANTS, require_variant
from protenix_ms.config.parameters import has_released_sizes, released_shapes
from protenix_ms.config.variants import from_upstream
from protenix_ms.errors import ConfigError


@dataclass(frozen=True)
class Match:
    """A model whose parameters a file holds; `twins` have the same names and shapes."""

    model: str
    twins: tuple[str, ...]
    expected: Shapes
    difference: Difference
    assumed: bool = False  # a twin was chosen although nothing in the file's name told which


def recognise(found: Shapes, path: Path, hint: str = "") -> Match:
    """The released variant with exactly these tensors.

    Two pairs of variants are the same graph; the file's name, then `hint` (the name under which
    torch saved it) tells which, otherwise the first is taken and `assumed` is set.

    Raises:
        CheckpointError: no variant fits; lists the differences to the nearest.
    """
    candidates = {}
    for model in VARIANTS:
        expected = released_shapes(model)
        candidates[model] = (expected, compare(found, expected))
    fitting = [model for model, (_, difference) in candidates.items() if not difference]
    if not fitting:
        called = [m for text in (path.name, hint) for m in VARIANTS if m in text]
        nearest = (called or sorted(candidates, key=lambda m: len(candidates[m][1])))[0]
        require(candidates[nearest][1], str(path), f"any released model (found {sizes(found)})",
                f"other sizes need --config FILE.json; compared with {nearest}")
    # without tolerated differences first: a file with an ESM weight is an ESM model
    fitting.sort(key=lambda model: len(candidates[model][1].filled)
                 + len(candidates[model][1].dropped))
    best = candidates[fitting[0]][1]
    fitting = [m for m in fitting if candidates[m][1] == best]
    named = [m for text in (path.name, hint) for m in fitting if m in text]
    model = (named or fitting)[0]
    expected, difference = candidates[model]
    twins = tuple(m for m in fitting if m != model)
    return Match(model, twins, expected, difference, assumed=bool(twins and not named))


def declared(found: Shapes, path: Path, model: str = "", config: Path | None = None) -> Match:
    """A model the person names: a released variant, or the configuration in a JSON file.

    Args:
        config: an upstream configuration tree, or a recording's `meta.json` with one in `config`.

    Raises:
        ConfigError: unknown model, unreadable configuration.
        CheckpointError: the file does not hold exactly its tensors.
    """
    if config is None:
        require_variant(model)
        expected = released_shapes(model)
    else:
        tree = from_upstream(_configuration(config))
        if model and tree.model_name != model:
            raise ConfigError(f"is the configuration of {tree.model_name}, not of {model}",
                              where=str(config), fix="name only one of them")
        model, expected = tree.model_name, _shapes_of(tree)
    difference = compare(found, expected)
    require(difference, str(path), model)
    return Match(model, (), expected, difference)


def _shapes_of(config: ConfigDict) -> Shapes:
    """Names and shapes of a configuration; other sizes than the released ones take MindSpore."""
    if has_released_sizes(config):
        return released_shapes(config.model_name)
    from protenix_ms.model.weights import parameter_shapes

    return parameter_shapes(config)


def _configuration(path: Path) -> dict:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree = tree.get("config", tree)
        tree["model_name"], tree["c_z"]
        return tree
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError("is no JSON file with an upstream configuration (model_name, c_z, ...)",
                          where=str(path), fix="give the config of the run that made the "
                                               "checkpoint") from error


def sizes(found: Shapes) -> str:
    """Widths and block counts read off a file, for messages: `c_s 384, c_z 128, ...`."""
    widths = {
        "c_s": ("linear_no_bias_s.weight", 0), "c_z": ("linear_no_bias_z_cycle.weight", 0),
        "c_s_inputs": ("linear_no_bias_sinit.weight", 1),
        "c_m": ("msa_module.linear_no_bias_m.weight", 0),
        "c_token": ("diffusion_module.layernorm_a.weight", 0),
    }
    parts = [f"{name} {found[key][axis]}" for name, (key, axis) in widths.items()
             if len(found.get(key, ())) > axis]
    stacks = {"pairformer": "pairformer_stack", "MSA": "msa_module",
              "diffusion": "diffusion_module.diffusion_transformer",
              "template": "template_embedder.pairformer_stack"}
    for label, stack in stacks.items():
        block = re.compile(rf"{re.escape(stack)}\.blocks\.(\d{{1,4}})\.")
        numbers = {m.group(1) for name in found if (m := block.match(name))}
        parts.append(f"{label} blocks {len(numbers)}")
    return ", ".join(parts)
