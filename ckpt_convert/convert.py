# SPDX-License-Identifier: Apache-2.0
"""One checkpoint into another format: read, recognise, stream, seal with a sidecar.

One tensor is in memory at a time. The result and its sidecar `<stem>.json` appear whole or not
at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from ckpt_convert import mindspore_file, safetensors_file, torch_write
from ckpt_convert.dtypes import FLOATS, NUMPY, itemsize, narrow
from ckpt_convert.match import shapes
from ckpt_convert.read import Checkpoint, open_checkpoint
from ckpt_convert.target import Hashing, atomic, check_target, sha256_of
from ckpt_convert.variant import Match, declared, recognise
from protenix_ms.errors import CheckpointError

WRITERS = {"safetensors": safetensors_file.write, "ckpt": mindspore_file.write,
           "pt": torch_write.write}
NARROW = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}
# Not trained and not weights: rounding them moves distance classes and noise frequencies.
KEPT = ("confidence_head.lower_bins", "confidence_head.upper_bins",
        "diffusion_module.diffusion_conditioning.fourier_embedding.w",
        "diffusion_module.diffusion_conditioning.fourier_embedding.b")


@dataclass(frozen=True)
class Options:
    """What a person chooses."""

    format: str = "safetensors"  # a key of WRITERS
    model: str = ""  # a released variant; empty: recognise it
    config: Path | None = None  # an upstream configuration instead of a released variant
    dtype: str = ""  # a key of NARROW; empty: as in the source
    provenance: str = ""


@dataclass
class Rounding:
    """Largest rounding error of a narrowed tensor, relative to its largest magnitude."""

    tensor: str = ""
    relative: float = -1.0
    absolute: float = 0.0

    def note(self, name: str, values: np.ndarray, bits: np.ndarray, dtype: str) -> None:
        """Account for one tensor."""
        rounded = bits.astype(np.uint32) << 16 if dtype == "BF16" else bits
        rounded = rounded.view(np.float32) if dtype == "BF16" else rounded
        finite = np.isfinite(values)
        if (finite & ~np.isfinite(rounded)).any():
            raise CheckpointError(
                f"tensor {name} holds values up to {np.abs(values[finite]).max():g}, beyond "
                f"{dtype}", fix="use --dtype bf16")
        if not finite.any():
            return
        values, rounded = values[finite].astype(np.float64), rounded[finite]
        absolute = float(np.abs(values - rounded).max())
        relative = absolute / max(float(np.abs(values).max()), 1e-300)
        if relative > self.relative:
            self.tensor, self.relative, self.absolute = name, relative, absolute


@dataclass
class Report:
    """What was done; becomes the sidecar."""

    match: Match
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    source: dict[str, object]
    result: dict[str, object]
    provenance: str
    rounding: Rounding | None
    remarks: list[str] = field(default_factory=list)

    def sidecar(self) -> dict[str, object]:
        """Plain tree for JSON."""
        tree: dict[str, object] = {
            "model": self.match.model, "same_graph": list(self.match.twins),
            "tensors": self.tensors, "parameters": self.parameters, "dtype": self.dtypes,
            "source": self.source, "result": self.result, "provenance": self.provenance,
            "remarks": self.remarks,
        }
        if self.rounding:
            tree["rounding"] = vars(self.rounding)
        return tree


def identify(checkpoint: Checkpoint, options: Options) -> Match:
    """The model of an open checkpoint: as declared, else recognised.

    Raises:
        CheckpointError: it fits none.
    """
    found = shapes(checkpoint)
    if options.model or options.config:
        return declared(found, checkpoint.path, options.model, options.config)
    return recognise(found, checkpoint.path, checkpoint.saved_as)


def convert(source: Path, target: Path, options: Options) -> Report:
    """Write `source` as `target`, with `<target stem>.json` beside it.

    Raises:
        CheckpointError: refused, damaged, or of another model.
        OutputError, ResourceError: the result cannot be written, or the disk is too small.
    """
    with closing(open_checkpoint(source)) as checkpoint:
        match = identify(checkpoint, options)
        columns = [(name, _target_dtype(checkpoint, name, options), tuple(shape))
                   for name, shape in match.expected.items()]
        needed = sum(prod(shape) * itemsize(dtype) for _, dtype, shape in columns)
        check_target(source, target, needed)
        rounding = Rounding() if options.dtype in ("bf16", "fp16") else None
        read = _reader(checkpoint, {name: dtype for name, dtype, _ in columns},
                       match.expected, rounding)
        metadata = {"model": match.model, "format": "protenix_ms"}
        with atomic(target) as file:
            hashing = Hashing(file)
            WRITERS[options.format](hashing, columns, read, metadata)
        report = Report(
            match, len(columns), sum(prod(shape) for _, _, shape in columns), _counts(columns),
            {"file": source.name, "format": checkpoint.kind, "bytes": source.stat().st_size,
             "sha256": sha256_of(source)},
            {"file": target.name, "format": options.format, "bytes": hashing.size,
             "sha256": hashing.sha256.hexdigest()},
            options.provenance, rounding, _remarks(match))
    with atomic(target.with_suffix(".json")) as file:
        file.write(json.dumps(report.sidecar(), indent=2).encode("utf-8") + b"\n")
    return report


def _remarks(match: Match) -> list[str]:
    remarks = match.difference.remarks()
    if match.assumed:
        remarks.append(f"{match.model} and {', '.join(match.twins)} have the same tensors and "
                       "the file's name does not tell which it is; say it with --model")
    return remarks


def _counts(columns: list[safetensors_file.Column]) -> dict[str, int]:
    kinds = [dtype for _, dtype, _ in columns]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _target_dtype(checkpoint: Checkpoint, name: str, options: Options) -> str:
    dtype = checkpoint.dtype(name) if name in checkpoint else "F32"
    if dtype not in FLOATS:
        raise CheckpointError(f"tensor {name} holds {dtype} instead of floating-point numbers",
                              where=str(checkpoint.path), fix="cast it to float32")
    keep = not options.dtype or (name in KEPT and options.dtype != "fp32")
    return dtype if keep else NARROW[options.dtype]


def _reader(checkpoint: Checkpoint, dtypes: dict[str, str], expected: dict,
            rounding: Rounding | None) -> Callable[[str], np.ndarray]:
    """Stored bits of one tensor of the result."""
    def read(name: str) -> np.ndarray:
        dtype = dtypes[name]
        if name not in checkpoint:
            return np.zeros(expected[name], NUMPY[dtype])
        values = checkpoint.read(name)
        bits = narrow(values, dtype)
        if rounding and checkpoint.dtype(name) != dtype:
            rounding.note(name, values, bits, dtype)
        return bits

    return read
