# SPDX-License-Identifier: Apache-2.0
"""Tell which model a checkpoint holds, from its names and shapes alone.

Parameter names of our model are upstream's, so names need no mapping.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.config import VARIANTS, require_variant
from protenix_ms.config.parameters import Shapes, has_released_sizes, released_shapes
from protenix_ms.config.variants import from_upstream
from protenix_ms.errors import CheckpointError, ConfigError

SHOWN = 10  # names of each kind in a message

ESM = "input_embedder.linear_esm.weight"
TEMPLATE = "template_embedder."


def _has(prefix: str, expected: Shapes) -> bool:
    return any(name.startswith(prefix) for name in expected)


def _reason_to_fill(name: str, expected: Shapes) -> str:
    """Say why a released file may lack a tensor, which is then zero; empty if it may not."""
    if name == ESM and _has("constraint_embedder.", expected):
        return ("the constraint model's configuration switches ESM on, but its published file "
                "(1,475,206,741 bytes) has no room for such a weight; zero is its initial value "
                "and makes it a no-op")
    if name.startswith(TEMPLATE) and not _has(f"{TEMPLATE}pairformer_stack.", expected):
        return "v0.5.0 models have no template block, so nothing reads these weights"
    return ""


def _reason_to_drop(name: str, expected: Shapes) -> str:
    """Say why a released file may hold a tensor in excess; empty if it may not."""
    larger = ("pairformer_stack.blocks.8.", f"{TEMPLATE}pairformer_stack.")
    if name == ESM and not any(_has(prefix, expected) for prefix in larger):
        return ("the published tiny file (443,171,586 bytes) is larger than its model by just "
                "this weight, and its configuration has ESM off")
    return ""


@dataclass(frozen=True)
class Difference:
    """How a file differs from a model; `filled` and `dropped` are tolerated: name -> reason."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong: tuple[str, ...]
    filled: Mapping[str, str]
    dropped: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.wrong)

    def __str__(self) -> str:
        lines = []
        for kind, names in (("missing", self.missing), ("unexpected", self.unexpected),
                            ("of wrong shape", self.wrong)):
            more = [f"    and {len(names) - SHOWN} more"] * (len(names) > SHOWN)
            shown = [f"    {name}" for name in names[:SHOWN]] + more
            lines += [f"  {len(names)} {kind}:", *shown] if names else []
        return "\n".join(lines)

    def remarks(self) -> list[str]:
        """Write one sentence for each tolerated reason, naming the tensors."""
        kinds = (("filled with zeros", self.filled), ("dropped", self.dropped))
        return [
            f"{kind}: {', '.join([n for n, w in table.items() if w == why][:SHOWN])} ({why})"
            for kind, table in kinds for why in dict.fromkeys(table.values())
        ]


def compare(actual: Shapes, expected: Shapes) -> Difference:
    """Compare names and shapes, with tolerated differences apart. Names from files become ASCII."""
    absent = {n: _reason_to_fill(n, expected) for n in expected if n not in actual}
    extra = {n: _reason_to_drop(n, expected) for n in actual if n not in expected}
    return Difference(
        missing=tuple(name for name, why in absent.items() if not why),
        unexpected=tuple(ascii(name[:120])[1:-1] for name, why in extra.items() if not why),
        wrong=tuple(f"{name} is {tuple(actual[name])}, expected {tuple(shape)}"
                    for name, shape in expected.items()
                    if name in actual and tuple(actual[name]) != tuple(shape)),
        filled={name: why for name, why in absent.items() if why},
        dropped={name: why for name, why in extra.items() if why},
    )


def require(difference: Difference, where: str, model: str,
            fix: str = "give its own file, or name another model") -> None:
    """Refuse a file that does not hold exactly the tensors of a model.

    Raises:
        CheckpointError: lists missing, unexpected and wrongly shaped tensors, ten of each.
    """
    if difference:
        raise CheckpointError(f"the tensors are not those of {model}; {fix}:\n{difference}",
                              where=where)


@dataclass(frozen=True)
class Match:
    """A model whose parameters a file holds.

    Attributes:
        twins: other models with the same names and shapes.
        assumed: a twin was chosen although neither the file nor its name tells which it is.
    """

    model: str
    twins: tuple[str, ...]
    expected: Shapes
    difference: Difference
    assumed: bool = False


def recognise(actual: Shapes, path: Path, hint: str = "") -> Match:
    """Find the released variant with exactly these tensors.

    Two pairs of variants are the same graph. The file's name, then `hint` (the name under which
    torch saved it) tells which; otherwise the first is taken and `assumed` is set.

    Raises:
        CheckpointError: no variant fits; lists the differences to the nearest.
    """
    expected = {model: released_shapes(model) for model in VARIANTS}
    difference = {model: compare(actual, expected[model]) for model in VARIANTS}

    def named(models: list[str]) -> list[str]:
        return [m for text in (path.name, hint) for m in models if m in text]

    if all(difference.values()):
        nearest = [*named(list(VARIANTS)), min(VARIANTS, key=lambda m: len(difference[m]))][0]
        require(difference[nearest], str(path), f"any released model (found {sizes(actual)})",
                f"other sizes need --config FILE.json; compared with {nearest}")
    # without tolerated differences first: a file with an ESM weight is an ESM model
    best = min((d for d in difference.values() if not d),
               key=lambda d: len(d.filled) + len(d.dropped))
    fitting = [model for model in VARIANTS if difference[model] == best]
    model = [*named(fitting), *fitting][0]
    twins = tuple(m for m in fitting if m != model)
    return Match(model, twins, expected[model], best, bool(twins and not named(fitting)))


def declared(actual: Shapes, path: Path, model: str = "", config: Path | None = None) -> Match:
    """Check a file against the model that a person names.

    Args:
        model: a released variant.
        config: an upstream configuration tree as JSON, or a recording's `meta.json` with one in
            `config`.

    Raises:
        ConfigError: unknown model, unreadable configuration.
        CheckpointError: the file does not hold exactly its tensors.
    """
    if config is None:
        require_variant(model)
        expected = released_shapes(model)
    else:
        tree = from_upstream(_read_configuration(config))
        if model and tree.model_name != model:
            raise ConfigError(f"is the configuration of {tree.model_name}, not of {model}",
                              where=str(config), fix="name only one of them")
        model, expected = tree.model_name, _shapes_of(tree)
    difference = compare(actual, expected)
    require(difference, str(path), model)
    return Match(model, (), expected, difference)


def _shapes_of(config: ConfigDict) -> Shapes:
    """List names and shapes of a configuration; sizes that were never released take MindSpore."""
    if has_released_sizes(config):
        return released_shapes(config.model_name)
    from protenix_ms.model.weights import parameter_shapes

    return parameter_shapes(config)


def _read_configuration(path: Path) -> dict:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree = tree.get("config", tree)
        tree["model_name"], tree["c_z"]
        return tree
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError("is no JSON file with an upstream configuration (model_name, c_z, ...)",
                          where=str(path), fix="give the config of the run that made the "
                                               "checkpoint") from error


def sizes(actual: Shapes) -> str:
    """Describe the widths and block counts of a file, for messages: `c_s 384, c_z 128, ...`."""
    widths = {
        "c_s": ("linear_no_bias_s.weight", 0), "c_z": ("linear_no_bias_z_cycle.weight", 0),
        "c_s_inputs": ("linear_no_bias_sinit.weight", 1),
        "c_m": ("msa_module.linear_no_bias_m.weight", 0),
        "c_token": ("diffusion_module.layernorm_a.weight", 0),
    }
    stacks = {"pairformer": "pairformer_stack", "MSA": "msa_module",
              "diffusion": "diffusion_module.diffusion_transformer",
              "template": "template_embedder.pairformer_stack"}
    parts = [f"{label} {actual[name][axis]}" for label, (name, axis) in widths.items()
             if len(actual.get(name, ())) > axis]
    for label, stack in stacks.items():
        blocks = [name for name in actual if name.startswith(f"{stack}.blocks.")]
        numbers = {name[len(stack):].split(".")[2] for name in blocks}
        parts.append(f"{label} blocks {len(numbers)}")
    return ", ".join(parts)
