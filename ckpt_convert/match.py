# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of a checkpoint against what a model expects; strict loading.

Parameter names of our model are upstream's, so the mapping is the identity on names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ckpt_convert.dtypes import NUMPY
from ckpt_convert.read import Checkpoint, open_checkpoint
from protenix_ms.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]
SHOWN = 10
logger = logging.getLogger("protenix_ms")

ESM = "input_embedder.linear_esm.weight"
TEMPLATE = "template_embedder."


def _lacks_esm(name: str, expected: Shapes) -> bool:
    return name == ESM and any(n.startswith("constraint_embedder.") for n in expected)


def _idle_template(name: str, expected: Shapes) -> bool:
    return name.startswith(TEMPLATE) and not any(
        n.startswith(f"{TEMPLATE}pairformer_stack.") for n in expected
    )


def _idle_esm(name: str, expected: Shapes) -> bool:
    return name == ESM and _idle_template(TEMPLATE, expected) and not any(
        n.startswith("pairformer_stack.blocks.8.") for n in expected
    )


# What released files may lack; such a tensor is filled with zeros, and said so.
TOLERATED_MISSING = (
    (_lacks_esm, "the constraint model's configuration switches ESM on, but its published file "
                 "(1,475,206,741 bytes) has no room for such a weight; zero is its initial value "
                 "and makes it a no-op"),
    (_idle_template, "v0.5.0 models have no template block, so nothing reads these weights"),
)
# What released files may hold in excess; such a tensor is dropped, and said so.
TOLERATED_EXTRA = (
    (_idle_esm, "the published tiny file (443,171,586 bytes) is larger than its model by just "
                "this weight, and its configuration has ESM off"),
)


@dataclass(frozen=True)
class Difference:
    """How a file differs from what is expected; `filled`, `dropped` are tolerated: name -> why."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong: tuple[str, ...]
    filled: Mapping[str, str]
    dropped: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.wrong)

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.wrong)

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("unexpected", self.unexpected),
                 ("of wrong shape", self.wrong))
        return "\n".join(_listed(kind, names) for kind, names in kinds if names)

    def remarks(self) -> list[str]:
        """One sentence for each tolerated reason, naming the tensors."""
        kinds = (("filled with zeros", self.filled), ("dropped", self.dropped))
        return [
            f"{kind}: {', '.join([n for n, w in table.items() if w == why][:SHOWN])} ({why})"
            for kind, table in kinds for why in dict.fromkeys(table.values())
        ]


def _listed(kind: str, names: tuple[str, ...]) -> str:
    rest = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return "\n    ".join([f"  {len(names)} {kind}:", *names[:SHOWN], *rest])


def _reason(rules: tuple, name: str, expected: Shapes) -> str:
    return next((why for tolerated, why in rules if tolerated(name, expected)), "")


def compare(found: Shapes, expected: Shapes) -> Difference:
    """Differences in names and shapes, tolerated ones apart. Names from files are made ASCII."""
    absent = {n: _reason(TOLERATED_MISSING, n, expected) for n in expected if n not in found}
    extra = {n: _reason(TOLERATED_EXTRA, n, expected) for n in found if n not in expected}
    return Difference(
        missing=tuple(name for name, why in absent.items() if not why),
        unexpected=tuple(ascii(name[:120])[1:-1] for name, why in extra.items() if not why),
        wrong=tuple(f"{name} is {tuple(found[name])}, expected {tuple(shape)}"
                    for name, shape in expected.items()
                    if name in found and tuple(found[name]) != tuple(shape)),
        filled={name: why for name, why in absent.items() if why},
        dropped={name: why for name, why in extra.items() if why},
    )


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a file."""
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
    """Every expected parameter of a checkpoint, in the expected order, as float32.

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
            if name in checkpoint:
                yield name, checkpoint.read(name).astype(np.float32, copy=False)
            else:
                yield name, np.zeros(shape, NUMPY["F32"])
