# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of training: a folder per step, whole or not there.

``<step>/model.safetensors`` and ``ema.safetensors`` are what `predict` takes;
``optimiser.safetensors`` and ``state.json`` hold the rest. Random numbers and data follow from the
seed and the step, so no generator is stored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from protenix_ms.errors import CheckpointError, OutputError
from protenix_ms.typing import Array, Float

MODEL, AVERAGE, OPTIMISER, STATE = (
    "model.safetensors", "ema.safetensors", "optimiser.safetensors", "state.json",
)
_DIGITS = 8
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on.

    Attributes:
        step: updates done.
        skipped: examples left out because they were not finite.
        weights, average: of the model and their moving average, which may be empty.
        moments: of the optimiser.
        updates: of every parameter.
    """

    step: int
    skipped: int
    weights: Mapping[str, Float[Array, "..."]]
    average: Mapping[str, Float[Array, "..."]]
    moments: Mapping[str, Float[Array, "..."]]
    updates: Mapping[str, int]


def write_snapshot(folder: Path, snapshot: Snapshot, model_name: str, keep: int) -> Path:
    """Write ``folder/<step>`` and remove all but the `keep` latest.

    The folder is made beside its place and renamed, and renamed away before it is removed: whoever
    is killed leaves no half checkpoint.

    Raises:
        OutputError: no permission or no space.
    """
    place = folder / f"{snapshot.step:0{_DIGITS}d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_PARTIAL}*"):  # of a run that was killed while it wrote
            shutil.rmtree(left)
        partial = Path(mkdtemp(dir=folder, prefix=_PARTIAL))
        groups = {MODEL: snapshot.weights, AVERAGE: snapshot.average,
                  OPTIMISER: snapshot.moments}
        for name, arrays in groups.items():
            if arrays:
                contiguous = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
                _write(partial / name, save(contiguous, {"model": model_name}))
        state = {"step": snapshot.step, "skipped": snapshot.skipped, "model": model_name,
                 "updates": dict(snapshot.updates)}
        _write(partial / STATE, json.dumps(state).encode())
        _sync(partial)
        if place.exists():
            _remove(place)
        partial.rename(place)
        _sync(folder)
        for old in snapshots(folder)[: -max(1, keep)]:
            _remove(old)
    except OSError as error:
        raise OutputError(f"a checkpoint cannot be written ({error.strerror or error})",
                          where=str(place), fix="check permissions and free space") from error
    return place


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Names in a folder survive a loss of power too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(place: Path) -> None:
    """Remove a checkpoint, which is whole until it is none."""
    shutil.rmtree(place.rename(place.with_name(f"{_PARTIAL}{place.name}")))


def snapshots(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, the oldest first."""
    return sorted(p for p in folder.glob("[0-9]" * _DIGITS) if (p / STATE).is_file())


def read_snapshot(place: Path) -> Snapshot:
    """A checkpoint.

    Raises:
        CheckpointError: it is not one, or it is damaged.
    """
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
        weights, average, moments = (_read(place / n) for n in (MODEL, AVERAGE, OPTIMISER))
        return Snapshot(state["step"], state["skipped"], weights, average, moments,
                        state["updates"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"this is no checkpoint of a training ({error})", where=str(place),
                              fix="name a folder with state.json, or another step") from error


def _read(path: Path) -> dict[str, Array]:
    return load_file(path) if path.is_file() else {}


def arrays_of(parameters: Iterable[tuple[str, object]]) -> dict[str, Float[Array, "..."]]:
    """Tensors or parameters by name -> numpy."""
    return {name: value.asnumpy() for name, value in parameters}
