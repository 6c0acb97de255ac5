# SPDX-License-Identifier: Apache-2.0
"""Vectors of a language model in a folder of files, one file for each sequence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from protenix_ms.errors import InputError
from protenix_ms.typing import Array, Float


def embedding_path(folder: Path, sequence: str) -> Path:
    """Name the file of a sequence: the sha256 of its letters."""
    return folder / f"{hashlib.sha256(sequence.encode('ascii')).hexdigest()}.safetensors"


def read_embedding(
    folder: Path, sequence: str, name: str | None, width: int
) -> Float[Array, "l k"] | None:
    """Read the vectors of a sequence, float32; of several layers in a file, those of the last.

    Args:
        folder: as `protenix-ms embed` writes it.
        name: another name under which a file may lie; without effect here.
        width: channels that the model reads.

    Returns:
        None if there is no file.

    Raises:
        InputError: a damaged file, or vectors of another length or width.
    """
    path = embedding_path(folder, sequence)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            layers = [k for k in file.keys() if k.startswith("layer_")]  # noqa: SIM118
            last = max(layers, key=lambda k: int(k.removeprefix("layer_")), default=None)
            vectors = None if last is None else file.get_tensor(last)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path),
                         fix="make it again: protenix-ms embed") from error
    if vectors is None or vectors.shape != (len(sequence), width):
        shape = "no vectors of residues" if vectors is None else f"an array {vectors.shape}"
        raise InputError(f"holds {shape}, expected {(len(sequence), width)}", where=str(path),
                         fix="embed the sequence with the encoder that the model reads, "
                         "with --pool residues or both")
    return np.asarray(vectors, np.float32)
