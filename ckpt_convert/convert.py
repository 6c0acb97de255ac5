# SPDX-License-Identifier: Apache-2.0
"""Convert a checkpoint into another format: recognise it, stream it, describe it in a sidecar.

One tensor is in memory at a time. The result and its sidecar `<stem>.json` appear whole or not
at all.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import numpy as np

from ckpt_convert import mindspore_file, safetensors_file, torch_file
from ckpt_convert.checkpoint import FLOATS, NUMPY, Checkpoint, itemsize, narrow, widen
from ckpt_convert.encoder import EncoderCheckpoint, is_encoder, open_encoder, write_official
from ckpt_convert.read import open_checkpoint
from ckpt_convert.variant import Match, compare, declared, recognise
from protenix_ms.errors import CheckpointError, OutputError
from protenix_ms.files import file_sha256, replacing, require_room

WRITERS = {"safetensors": safetensors_file.write, "ckpt": mindspore_file.write,
           "pt": torch_file.write}
NARROW = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}
# Not trained and not weights: rounding them moves distance classes and noise frequencies.
KEPT = ("confidence_head.lower_bins", "confidence_head.upper_bins",
        "diffusion_module.diffusion_conditioning.fourier_embedding.w",
        "diffusion_module.diffusion_conditioning.fourier_embedding.b")


@dataclass(frozen=True)
class Options:
    """The choices of a conversion."""

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
        rounded, finite = widen(bits, dtype), np.isfinite(values)
        if (finite & ~np.isfinite(rounded)).any():
            raise CheckpointError(
                f"tensor {name} holds values up to {np.abs(values[finite]).max():g}, beyond "
                f"{dtype}", fix="use --dtype bf16")
        values, rounded = values[finite].astype(np.float64), rounded[finite]
        absolute = float(np.abs(values - rounded).max(initial=0.0))
        relative = absolute / max(float(np.abs(values).max(initial=0.0)), 1e-300)
        if relative > self.relative:
            self.tensor, self.relative, self.absolute = name, relative, absolute


@dataclass(frozen=True)
class Report:
    """The content of the sidecar; `same_graph` are models with the same tensors."""

    model: str
    same_graph: tuple[str, ...]
    tensors: int
    parameters: int
    dtype: dict[str, int]
    source: dict[str, object]
    result: dict[str, object]
    provenance: str
    remarks: list[str]
    rounding: Rounding | None


def open_source(path: Path) -> Checkpoint:
    """Open a checkpoint of Protenix, or an encoder in one of its layouts; see `open_checkpoint`."""
    if not path.is_dir():
        checkpoint = open_checkpoint(path)
        if not is_encoder(checkpoint.names()):
            return checkpoint
        checkpoint.close()
    return open_encoder(path)


def identify(checkpoint: Checkpoint, options: Options) -> Match:
    """Tell the model of an open checkpoint: as declared, else recognised.

    Raises:
        CheckpointError: it fits none.
    """
    if isinstance(checkpoint, EncoderCheckpoint):
        name = options.model or checkpoint.name()
        if options.config or (options.model and not checkpoint.fits(name)):
            raise CheckpointError(
                f"this is an encoder of {checkpoint.sizes.layers} layers and width "
                f"{checkpoint.sizes.width}, not {options.model or 'a predictor'}",
                where=str(checkpoint.path), fix="leave --model and --config out")
        expected = checkpoint.expected()
        return Match(name, (), expected, compare(checkpoint.shapes(), expected))
    if options.model or options.config:
        return declared(checkpoint.shapes(), checkpoint.path, options.model, options.config)
    return recognise(checkpoint.shapes(), checkpoint.path, checkpoint.saved_as)


def convert(source: Path, target: Path, options: Options) -> Report:
    """Write `source` as `target`, with `<target stem>.json` beside it.

    Raises:
        CheckpointError: refused, damaged, or of another model.
        OutputError, ResourceError: the result cannot be written, or the disk is too small.
    """
    with closing(open_source(source)) as checkpoint:
        match = identify(checkpoint, options)
        dtypes = {name: _target_dtype(checkpoint, name, options) for name in match.expected}
        columns = [(name, dtypes[name], tuple(shape)) for name, shape in match.expected.items()]
        _check_target(source, target,
                      sum(prod(shape) * itemsize(dtype) for _, dtype, shape in columns))
        rounding = Rounding() if options.dtype in ("bf16", "fp16") else None

        def read(name: str) -> np.ndarray:
            if name not in checkpoint.table:
                return np.zeros(match.expected[name], NUMPY[dtypes[name]])
            values = checkpoint.read(name)
            bits = narrow(values, dtypes[name])
            if rounding and checkpoint.dtype(name) != dtypes[name]:
                rounding.note(name, values, bits, dtypes[name])
            return bits

        remarks = match.difference.remarks()
        metadata = {"model": match.model, "format": "protenix_ms"}
        if isinstance(checkpoint, EncoderCheckpoint):
            metadata |= checkpoint.metadata()
            remarks += checkpoint.remarks
        if isinstance(checkpoint, EncoderCheckpoint) and options.format == "pt":
            remarks += write_official(target, checkpoint, columns, read)
        else:
            with replacing(target) as file:
                WRITERS[options.format](file, columns, read, metadata)
    if match.assumed:
        remarks.append(f"{match.model} and {', '.join(match.twins)} have the same tensors and "
                       "the file's name does not tell which it is; say it with --model")
    report = Report(
        match.model, match.twins, len(columns), sum(prod(shape) for *_, shape in columns),
        dict(sorted(Counter(dtypes.values()).items())),
        _describe(source, checkpoint.kind), _describe(target, options.format),
        options.provenance, remarks, rounding)
    tree = {key: value for key, value in asdict(report).items() if value is not None}
    with replacing(target.with_suffix(".json")) as file:
        file.write(json.dumps(tree, indent=2).encode("utf-8") + b"\n")
    return report


def _describe(path: Path, kind: str) -> dict[str, object]:
    if path.is_dir():
        return {"file": path.name, "format": f"folder, {kind}"}
    return {"file": path.name, "format": kind, "bytes": path.stat().st_size,
            "sha256": file_sha256(path)}


def _check_target(source: Path, target: Path, needed: int) -> None:
    """Refuse what would fail after minutes of work: a bad place, no room for `needed` bytes."""
    if target.exists() and target.samefile(source):
        raise OutputError("is the source itself", where=str(target), fix="choose another name")
    if target.suffix == ".json":
        raise OutputError("is the name of the sidecar", where=str(target),
                          fix="end it with .safetensors, .ckpt or .pt")
    if not target.parent.is_dir():
        raise OutputError("lies in a folder that does not exist", where=str(target),
                          fix=f"mkdir -p {target.parent}")
    require_room(target.parent, needed + (1 << 20))


def _target_dtype(checkpoint: Checkpoint, name: str, options: Options) -> str:
    dtype = checkpoint.dtype(name) if name in checkpoint.table else "F32"
    if dtype not in FLOATS:
        raise CheckpointError(f"tensor {name} holds {dtype} instead of floating-point numbers",
                              where=str(checkpoint.path), fix="cast it to float32")
    fixed = name in KEPT or name.endswith("inv_freq")
    keep = not options.dtype or (fixed and options.dtype != "fp32")
    return dtype if keep else NARROW[options.dtype]
