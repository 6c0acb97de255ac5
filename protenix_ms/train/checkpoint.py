# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of training: a folder per step, whole or not there.

``<step>/model.safetensors`` and ``ema.safetensors`` are what `predict` takes;
``optimiser.safetensors`` and ``state.json`` hold the rest. Random numbers and data follow from the
seed and the step, so no generator is stored.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from protenix_ms.errors import CheckpointError, NonFiniteError, OutputError
from protenix_ms.files import sync
from protenix_ms.predict.weights import AVERAGE, MODEL, STATE, STEP_DIGITS, snapshots
from protenix_ms.typing import Array, Float

OPTIMISER = "optimiser.safetensors"
_PARTIAL = ".partial-"
_SET_ASIDE = ".set-aside"
_EARLIER = "go on from an earlier checkpoint, with a lower rate"


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to go on.

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
        NonFiniteError: a weight, an average or a moment is not finite; nothing is written then.
        OutputError: no permission or no space.
    """
    place = folder / f"{snapshot.step:0{STEP_DIGITS}d}"
    require_finite(snapshot, f"step {snapshot.step}")
    partial = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_PARTIAL}*"):  # of a run that was killed while it wrote
            shutil.rmtree(left)
        partial = Path(mkdtemp(dir=folder, prefix=_PARTIAL))
        sums = {}
        for name, arrays in _groups(snapshot):
            if arrays:
                contiguous = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
                content = save(contiguous, {"model": model_name})
                _write(partial / name, content)
                sums[name] = zlib.crc32(content)
        state = {"step": snapshot.step, "skipped": snapshot.skipped, "model": model_name,
                 "updates": dict(snapshot.updates), "crc32": sums}
        _write(partial / STATE, json.dumps(state).encode())
        sync(partial)
        if place.exists():
            _remove(place)
        partial.rename(place)
        sync(folder)
        for old in snapshots(folder)[: -max(1, keep)]:
            _remove(old)
    except OSError as error:
        if partial is not None:  # do not keep a full disk full
            shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"a checkpoint cannot be written ({error.strerror or error})",
                          where=str(place), fix="check permissions and free space") from error
    return place


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)


def _remove(place: Path) -> None:
    """Remove a checkpoint: rename it first, so that no half of it looks like one."""
    shutil.rmtree(place.rename(place.with_name(f"{_PARTIAL}{place.name}")))


def latest_snapshot(folder: Path, set_aside: bool = True) -> tuple[Snapshot | None, list[str]]:
    """Find the latest whole checkpoint, and say why later ones are passed over.

    Args:
        set_aside: rename what is damaged, so that later checkpoints do not push out good ones
            in its favour.

    Returns:
        The checkpoint, None where there never was one, and a sentence per damaged one.

    Raises:
        CheckpointError: all are damaged.
    """
    reasons: list[str] = []
    places = sorted(folder.glob("[0-9]" * STEP_DIGITS), reverse=True)
    for place in places:
        try:
            snapshot = read_snapshot(place)
            require_finite(snapshot, str(place))
        except (CheckpointError, NonFiniteError) as error:
            reasons.append(str(error))
            continue
        for damaged in places[: len(reasons)] if set_aside else ():
            aside = damaged.with_name(f"{damaged.name}{_SET_ASIDE}")
            shutil.rmtree(aside, ignore_errors=True)
            damaged.rename(aside)
        return snapshot, reasons
    if reasons:
        raise CheckpointError(f"all {len(places)} checkpoints are damaged (the latest: "
                              f"{reasons[0]})", where=str(folder),
                              fix="start anew in another --output")
    return None, []


def read_snapshot(place: Path) -> Snapshot:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is not one, or it is damaged.
    """
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
        sums = state.get("crc32", dict.fromkeys((MODEL, OPTIMISER)))  # checkpoints of old have none
        weights, average, moments = (
            _read(place / n, sums[n]) if n in sums or (place / n).is_file() else {}
            for n in (MODEL, AVERAGE, OPTIMISER)
        )
        return Snapshot(state["step"], state["skipped"], weights, average, moments,
                        state["updates"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"not a checkpoint of a training run ({error})", where=str(place),
                              fix="name a folder with state.json, or another step") from error


def _read(path: Path, crc32: int | None) -> dict[str, Array]:
    content = path.read_bytes()
    if crc32 is not None and zlib.crc32(content) != crc32:
        raise ValueError(f"{path.name} has changed since it was written")
    return load(content)


def _groups(snapshot: Snapshot) -> Iterator[tuple[str, Mapping[str, Float[Array, "..."]]]]:
    """Yield the names of the files and the arrays they hold."""
    yield MODEL, snapshot.weights
    yield AVERAGE, snapshot.average
    yield OPTIMISER, snapshot.moments


def require_finite(snapshot: Snapshot, where: str) -> None:
    """Raise NonFiniteError, naming the tensor, if a number of a checkpoint is not finite."""
    for file, arrays in _groups(snapshot):
        deque(finite(arrays.items(), f"{where}, {Path(file).stem}"), maxlen=0)


def finite(
    arrays: Iterable[tuple[str, Float[Array, "..."]]], where: str, fix: str = _EARLIER
) -> Iterator[tuple[str, Float[Array, "..."]]]:
    """Pass arrays on, up to the first with a number that fp32 cannot hold.

    Raises:
        NonFiniteError: names it.
    """
    for name, array in arrays:
        with np.errstate(over="ignore"):
            if not np.isfinite(np.asarray(array, np.float32)).all():
                raise NonFiniteError(f"'{name}' holds NaN or infinity", where=where,
                                     fix=fix)
        yield name, array


def arrays_of(parameters: Iterable[tuple[str, object]]) -> dict[str, Float[Array, "..."]]:
    """Turn tensors or parameters into numpy arrays by name."""
    return {name: value.asnumpy() for name, value in parameters}
