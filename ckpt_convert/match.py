# SPDX-License-Identifier: Apache-2.0
"""Compare the names and shapes of a checkpoint with those that a model expects; load strictly.

Parameter names of our model are upstream's, so names need no mapping.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.read import open_checkpoint
from protenix_ms.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]
SHOWN = 10
logger = logging.getLogger("protenix_ms")

ESM = "input_embedder.linear_esm.weight"
TEMPLATE = "template_embedder."


def _has(prefix: str, expected: Shapes) -> bool:
    return any(name.startswith(prefix) for name in expected)


def _lacks_esm(name: str, expected: Shapes) -> bool:
    return name == ESM and _has("constraint_embedder.", expected)


def _idle_template(name: str, expected: Shapes) -> bool:
    return name.startswith(TEMPLATE) and not _has(f"{TEMPLATE}pairformer_stack.", expected)


def _idle_esm(name: str, expected: Shapes) -> bool:
    return (name == ESM and _idle_template(TEMPLATE, expected)
            and not _has("pairformer_stack.blocks.8.", expected))


Rules = tuple[tuple[Callable[[str, Shapes], bool], str], ...]
# Tensors that released files may lack; they are filled with zeros, with a remark.
TOLERATED_MISSING: Rules = (
    (_lacks_esm, "the constraint model's configuration switches ESM on, but its published file "
                 "(1,475,206,741 bytes) has no room for such a weight; zero is its initial value "
                 "and makes it a no-op"),
    (_idle_template, "v0.5.0 models have no template block, so nothing reads these weights"),
)
# Tensors that released files may hold in excess; they are dropped, with a remark.
TOLERATED_EXTRA: Rules = (
    (_idle_esm, "the published tiny file (443,171,586 bytes) is larger than its model by just "
                "this weight, and its configuration has ESM off"),
)


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
        kinds = (("missing", self.missing), ("unexpected", self.unexpected),
                 ("of wrong shape", self.wrong))
        blocks = ([f"  {len(names)} {kind}:", *_first(names)] for kind, names in kinds if names)
        return "\n".join("\n    ".join(lines) for lines in blocks)

    def remarks(self) -> list[str]:
        """Write one sentence for each tolerated reason, naming the tensors."""
        kinds = (("filled with zeros", self.filled), ("dropped", self.dropped))
        return [
            f"{kind}: {', '.join([n for n, w in table.items() if w == why][:SHOWN])} ({why})"
            for kind, table in kinds for why in dict.fromkeys(table.values())
        ]


def _first(names: Sequence[str]) -> list[str]:
    rest = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [*names[:SHOWN], *rest]


def compare(actual: Shapes, expected: Shapes) -> Difference:
    """Compare names and shapes, with tolerated differences apart. Names from files become ASCII."""
    def by_reason(names: Shapes, others: Shapes, rules: Rules) -> dict[str, str]:
        return {name: next((why for tolerated, why in rules if tolerated(name, expected)), "")
                for name in names if name not in others}

    absent = by_reason(expected, actual, TOLERATED_MISSING)
    extra = by_reason(actual, expected, TOLERATED_EXTRA)
    return Difference(
        missing=tuple(name for name, why in absent.items() if not why),
        unexpected=tuple(ascii(name[:120])[1:-1] for name, why in extra.items() if not why),
        wrong=tuple(f"{name} is {tuple(actual[name])}, expected {tuple(shape)}"
                    for name, shape in expected.items()
                    if name in actual and tuple(actual[name]) != tuple(shape)),
        filled={name: why for name, why in absent.items() if why},
        dropped={name: why for name, why in extra.items() if why},
    )


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """List the shapes of all tensors of a file by name."""
    return {name: checkpoint.shape(name) for name in checkpoint.names()}


def require(difference: Difference, where: str, model: str,
            fix: str = "give its own file, or name another model") -> None:
    """Refuse a file that does not hold exactly the tensors of a model.

    Raises:
        CheckpointError: lists missing, unexpected and wrongly shaped tensors, ten of each.
    """
    if difference:
        raise CheckpointError(f"the tensors are not those of {model}; {fix}:\n{difference}",
                              where=where)


def load_arrays(path: Path, expected: Shapes) -> Iterator[tuple[str, np.ndarray]]:
    """Read every expected parameter of a checkpoint, in the expected order, as float32.

    Names and shapes are checked before the first array is read. At most one array is in memory.
    Tolerated absences (`TOLERATED_MISSING`) come as zeros with one line in the log.

    Args:
        path: PyTorch `.pt`, safetensors or MindSpore `.ckpt`.
        expected: parameter name -> shape, as `protenix_ms.model.weights.parameter_shapes` gives it.

    Raises:
        CheckpointError: a file of another model, refused or damaged.
    """
    checkpoint = open_checkpoint(Path(path))
    try:
        difference = compare(shapes(checkpoint), expected)
        require(difference, str(path), "the configured model")
        for remark in difference.remarks():
            logger.warning("%s: %s", path, remark)
    except CheckpointError:
        checkpoint.close()
        raise
    return _arrays(checkpoint, expected)


def _arrays(checkpoint: Checkpoint, expected: Shapes) -> Iterator[tuple[str, np.ndarray]]:
    with closing(checkpoint):
        for name, shape in expected.items():
            values = checkpoint.read(name) if name in checkpoint else np.zeros(shape)
            yield name, values.astype(np.float32, copy=False)
