# SPDX-License-Identifier: Apache-2.0
"""Vectors of a language model in a folder of files, one file for each sequence.

A file is named by the sha256 of the sequence, or by its protein in the job: ``job_1`` (upstream's
name of the first entity), or what the user calls the chain. It is a safetensors file, an npz or
npy file, or a tensor that upstream saved (`.pt`), which is read without executing anything in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from ckpt_convert import open_checkpoint
from protenix_ms.errors import CheckpointError, InputError
from protenix_ms.job import Job, Polymer
from protenix_ms.typing import Array, Float

SUFFIXES = (".safetensors", ".npz", ".npy", ".pt")
_LAYER = re.compile(r"layer_(\d{1,4})")
_LONGEST_NAME = 200  # bytes
_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, SyntaxError,
           tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def proteins_by_sequence(job: Job) -> dict[str, dict[int, list[str]]]:
    """List the proteins of every sequence: number of the entity -> names that its file may have.

    Copies and equal entities share their vectors.
    """
    proteins: dict[str, dict[int, list[str]]] = {}
    for number, entity in enumerate(job.entities, 1):
        if isinstance(entity, Polymer) and entity.kind == "protein":
            names = [f"{job.name}_{number}", *entity.labels]
            proteins.setdefault(entity.sequence, {})[number] = list(filter(_is_file_name, names))
    return proteins


def _is_file_name(name: str) -> bool:
    return (name not in ("", ".", "..") and not set("/\\\0") & {*name} and name.isprintable()
            and len(os.fsencode(name)) < _LONGEST_NAME)


def embedding_path(folder: Path, sequence: str) -> Path:
    """Name the file of a sequence: the sha256 of its letters."""
    return folder / f"{hashlib.sha256(sequence.encode('ascii')).hexdigest()}.safetensors"


def find_embedding(folder: Path, sequence: str, names: Iterable[str] = ()) -> Path | None:
    """Find the file of a sequence: by its sha256, else by a name, else in a folder of that name."""
    stems = [embedding_path(folder, sequence).stem,
             *(stem for name in names for stem in (name, f"{name}/{name}"))]
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def read_embedding(path: Path, length: int, width: int) -> Float[Array, "l k"]:
    """Read the vectors of a sequence, float32; of several layers in a file, those of the last.

    Args:
        length: residues of the sequence.
        width: channels that the model reads.

    Raises:
        InputError: a damaged file, several arrays that are no layers, another length or width,
            numbers that are not finite.
    """
    again = "embed the sequence with the encoder that the model reads, with --pool residues or both"
    try:
        vectors = _read(path, 8 * length * width)
        if vectors.shape == (length + 2, width):
            again = "cut the first and the last row, which are no residues"
        if vectors.shape != (length, width) or vectors.dtype.kind != "f":
            kind = "" if vectors.dtype.kind == "f" else f" of {vectors.dtype}"
            raise InputError(f"holds an array {vectors.shape}{kind}, expected {(length, width)}",
                             where=str(path), fix=again)
        vectors = np.array(vectors, np.float32)
    except CheckpointError as error:
        raise InputError(error.message, where=str(path), fix="save one array [residues, channels], "
                         "or make the file again: protenix-ms embed") from error
    except _DAMAGE as error:
        raise InputError(f"cannot be read ({' '.join(str(error).split())[:200]})", where=str(path),
                         fix="make it again: protenix-ms embed") from error
    if not np.isfinite(vectors).all():
        raise InputError("holds numbers that are not finite", where=str(path), fix=again)
    return vectors


def _read(path: Path, most: int) -> Array:
    """Read the array of vectors; one of an npz file only up to `most` bytes and its header."""
    if path.suffix not in (".npz", ".npy"):
        with closing(open_checkpoint(path)) as file:
            return file.read(_choose(file.names()))
    arrays = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        return arrays
    with arrays:
        name = _choose(arrays.files)
        if arrays.zip.getinfo(f"{name}.npy").file_size > most + (1 << 16):
            raise ValueError(f"{ascii(name)[:40]} is larger than the vectors of the sequence")
        return np.asarray(arrays[name])


def _choose(names: list[str]) -> str:
    """Choose the last layer, or the only array."""
    layers = {int(match[1]): name for name in names if (match := _LAYER.fullmatch(name))}
    if layers:
        return layers[max(layers)]
    if len(names) != 1:
        listed = ", ".join(ascii(name[:20]) for name in names[:5]) or "no array"
        raise ValueError(f"expected one array, or layer_1, layer_2, ...; it holds {listed}")
    return names[0]
