# SPDX-License-Identifier: Apache-2.0
"""The weights of a prediction: a checkpoint file, or random numbers by rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckpt_convert.official import address
from protenix_ms.config import DEMO_MODEL
from protenix_ms.config.home import weights_dir
from protenix_ms.config.parameters import Shapes
from protenix_ms.errors import CheckpointError
from protenix_ms.files import file_sha256
from protenix_ms.job import require_seed
from protenix_ms.typing import Array, Float

_SUFFIXES = (".safetensors", ".ckpt", ".pt")
# Files of a training's checkpoint, `<run>/checkpoints/<step>/` (`train.checkpoint` writes them).
MODEL, AVERAGE, STATE = "model.safetensors", "ema.safetensors", "state.json"
STEP_DIGITS = 8
DEMO_WEIGHTS = Path(__file__).with_name("demo") / "demo.safetensors"
MEMORISED = "six small structures by heart, not a prediction"


@dataclass(frozen=True)
class Weights:
    """The choice of weights.

    Attributes:
        path: checkpoint file, None for random weights.
        random_seed: seed of random weights, None for a checkpoint.
    """

    path: Path | None = None
    random_seed: int | None = None

    @property
    def label(self) -> str:
        """Describe the weights in one phrase, for titles and logs."""
        if self.path is None:
            return f"RANDOM WEIGHTS (seed {self.random_seed}), not a prediction"
        if self.path == DEMO_WEIGHTS:
            return f"demonstration weights: {MEMORISED}"
        return f"weights {self.path.name}"

    def fingerprint(self) -> str:
        """Return the sha256 of the checkpoint file, or the name of the random weights."""
        if self.path is None:
            return f"random-{self.random_seed}"
        return file_sha256(self.path)

    def arrays(self, shapes: Shapes) -> Iterator[tuple[str, Array]]:
        """Yield parameters of the given shapes by upstream's names, one at a time.

        Raises:
            CheckpointError: a damaged file, or one of another model.
        """
        if self.path is None:
            return random_arrays(shapes, self.random_seed)
        from ckpt_convert import load_arrays

        return load_arrays(self.path, shapes)


def find_weights(
    model_name: str, checkpoint: Path | None, random_seed: int | None, may_be_random: bool = True
) -> Weights:
    """Find the weights that a person asked for, or those in the cache folder.

    Args:
        checkpoint: a file, or a training run or one of its checkpoints: then the latest, with
            averaged weights where there are any.
        may_be_random: whether the command that asks takes --random-weights.

    Raises:
        CheckpointError: no such file; says how to get it. Or both kinds of weights at once.
    """
    if random_seed is not None and checkpoint is not None:
        raise CheckpointError("both a checkpoint and random weights are asked for",
                              where=str(checkpoint), fix="give one of the two")
    if random_seed is not None:
        return Weights(random_seed=require_seed(random_seed, "random weights"))
    if checkpoint is not None:
        return Weights(_file_of(checkpoint))
    if model_name == DEMO_MODEL:
        return Weights(DEMO_WEIGHTS)
    for suffix in _SUFFIXES:
        path = weights_dir() / f"{model_name}{suffix}"
        if path.is_file():
            return Weights(path)
    path = weights_dir() / f"{model_name}.safetensors"
    raise CheckpointError(
        f"no weights of {model_name}: expected {path.name}",
        where=str(weights_dir()),
        fix="get them in one of these ways",
        remedies=(
            f"protenix-ms fetch {model_name}",
            f"download {address(model_name)} and run "
            f"`python -m ckpt_convert {model_name}.pt {path}`",
            "name a file with --checkpoint FILE",
            *["try the program, without a meaningful structure, with --random-weights 0"]
            * may_be_random,
        ),
    )


def has_weights(model_name: str) -> bool:
    """Tell whether the cache folder, or the package, holds weights of a model."""
    try:
        return find_weights(model_name, None, None).path is not None
    except CheckpointError:
        return False


def snapshots(folder: Path) -> list[Path]:
    """List the whole checkpoints of a training below a folder, the oldest first."""
    return sorted(p for p in folder.glob("[0-9]" * STEP_DIGITS) if (p / STATE).is_file())


def _file_of(checkpoint: Path) -> Path:
    if checkpoint.is_dir():
        latest = [checkpoint, *snapshots(checkpoint), *snapshots(checkpoint / "checkpoints")][-1]
        inside = [latest / name for name in (AVERAGE, MODEL) if (latest / name).is_file()]
        checkpoint = (*inside, checkpoint)[0]
    if not checkpoint.is_file():
        raise CheckpointError("there is no such checkpoint", where=str(checkpoint),
                              fix="check the path: a file, or the folder of a training run")
    return checkpoint


def random_arrays(
    shapes: Shapes, seed: int = 0
) -> Iterator[tuple[str, Float[Array, "..."]]]:
    """Make every parameter by `model.weights.rule_array`, but the constants of modules."""
    from protenix_ms.model.weights import OWN, rule_array

    for name, shape in shapes.items():
        if name not in OWN:
            yield name, rule_array(name, shape, seed)
