# SPDX-License-Identifier: Apache-2.0
"""Embeddings on disk: a folder with one safetensors file for each sequence, named by its sha256.

What made a file stands in it. A file of other weights, layers or numbers is made again, and one
that is there is never computed twice, so that an interrupted run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ckpt_convert import safetensors_file
from protenix_ms.config.encoder import EncoderSizes, EncoderWeights, number_layers
from protenix_ms.errors import ResourceError
from protenix_ms.esm import Encoder, Encoding, encode, load_encoder
from protenix_ms.esm.encoder import TOKENS_AT_ONCE
from protenix_ms.files import replacing
from protenix_ms.io.atomic import write_bytes
from protenix_ms.predict.embedding_files import embedding_path
from protenix_ms.runtime.resources import available_bytes
from protenix_ms.typing import Array

FORMAT = 1  # of the files; another number makes them anew
POOLS = ("residues", "mean", "both")
STORED = {"fp32": np.float32, "fp16": np.float16}
_KEY, _FLOAT = "protenix_ms", 4
_LIVE = 16  # arrays [tokens, width] that are alive in a layer, the expanded channels among them

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Wish:
    """What is to be known of every sequence.

    Attributes:
        layers: representations; negative ones count from the end.
        pool: vectors of residues, their mean, or both.
        contacts, logits: also these.
        store: numbers on disk, "fp32" or "fp16".
        dtype: numbers of the products, "fp32" or "bf16".
    """

    layers: tuple[int, ...] = (-1,)
    pool: str = "residues"
    contacts: bool = False
    logits: bool = False
    store: str = "fp32"
    dtype: str = "fp32"

    def arrays(self, encoding: Encoding) -> dict[str, Array]:
        """Collect the arrays of a file: ``layer_36`` [l, c], ``mean_36`` [c], and so on."""
        arrays = {}
        for layer in encoding.representations:
            if self.pool != "mean":
                arrays[f"layer_{layer}"] = encoding.residues(layer)
            if self.pool != "residues":
                arrays[f"mean_{layer}"] = encoding.mean(layer)
        if encoding.logits is not None:
            arrays["logits"] = encoding.logits[1:-1]
        if encoding.contacts is not None:
            arrays["contacts"] = encoding.contacts
        return {name: np.ascontiguousarray(x, STORED[self.store]) for name, x in arrays.items()}


@dataclass
class Count:
    """What a run did: residues that were encoded, and how many files were there already."""

    residues: int = 0
    encoded: int = 0
    there: int = 0


@dataclass(frozen=True)
class EmbeddingStore:
    """A folder of embeddings that one encoder made for one wish.

    Attributes:
        folder: its place.
        weights: of the encoder.
        wish: what each file holds.
    """

    folder: Path
    weights: EncoderWeights
    wish: Wish

    def path(self, sequence: str) -> Path:
        """Name the file of a sequence."""
        return embedding_path(self.folder, sequence)

    def mark(self) -> str:
        """Describe what makes a file: weights, layers, numbers, format."""
        layers = number_layers(self.wish.layers, self.weights.sizes.layers)
        return json.dumps(asdict(self.wish) | {"layers": layers, "weights": self.weights.digest,
                                               "format": FORMAT}, sort_keys=True)

    def holds(self, sequence: str) -> bool:
        """Tell whether the file of a sequence is there, whole, and made by the same."""
        try:
            with safe_open(self.path(sequence), "np") as file:
                return (file.metadata() or {}).get(_KEY) == self.mark()
        except (OSError, SafetensorError):
            return False

    def fill(
        self, sequences: Sequence[str], memory: int | None = None,
        progress: Progress | None = None,
    ) -> Count:
        """Make the files that are not there; the encoder is loaded only if one is missing.

        Raises:
            ResourceError: a sequence, or the weights, need more than there is.
            CheckpointError: the weights lack what is wished for, or are damaged.
            OutputError: a file cannot be written.
        """
        unique = list(dict.fromkeys(sequences))
        missing = [s for s in unique if not self.holds(s)]
        count = Count(sum(map(len, missing)), len(missing), len(unique) - len(missing))
        if missing:
            memory = memory_to_take(self.weights, memory)
            require_memory(self.weights, missing, self.wish, memory)
            encoder = load_encoder(self.weights, memory)
            for encoding in self._encode(encoder, missing, progress):
                arrays = self.wish.arrays(encoding)
                write_bytes(self.path(encoding.sequence), save(arrays, {_KEY: self.mark()}))
        return count

    def _encode(
        self, encoder: Encoder, sequences: list[str], progress: Progress | None
    ) -> Iterator[Encoding]:
        wish = self.wish
        return encode(encoder, sequences, wish.layers, wish.contacts, wish.logits, progress)


def read_arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of a file."""
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write_one_file(path: Path, files: Mapping[str, Path]) -> None:
    """Join files into one, arrays under ``<name>/<array>``; one array is in memory at a time."""
    columns, places = [], {}
    for name, file in files.items():
        with safe_open(file, "np") as arrays:
            for key in arrays.keys():  # noqa: SIM118
                part = arrays.get_slice(key)
                places[f"{name}/{key}"] = file, key
                columns.append((f"{name}/{key}", part.get_dtype(), tuple(part.get_shape())))

    def read(column: str) -> Array:
        file, key = places[column]
        with safe_open(file, "np") as arrays:
            return arrays.get_tensor(key)

    with replacing(path) as file:
        safetensors_file.write(file, columns, read, {})


def estimate_bytes(sizes: EncoderSizes, lengths: Sequence[int], wish: Wish) -> int:
    """Estimate what sequences of these lengths take beside the weights, in bytes."""
    tokens = max(lengths) + 2
    at_once = max(tokens, min(TOKENS_AT_ONCE, sum(lengths) + 2 * len(lengths)))
    kept = len(wish.layers) * sizes.width
    maps = 4 * tokens**2 + sizes.layers * sizes.heads * tokens if wish.contacts else 0
    return _FLOAT * (at_once * (_LIVE * sizes.width + kept) + maps)


def memory_to_take(weights: EncoderWeights, memory: int | None) -> int | None:
    """Return the limit that is asked for, or half of what is free for weights that hardly fit."""
    free = available_bytes()
    if memory is not None or free is None or weights.bytes_in_memory < 0.8 * free:
        return memory
    return int(free / 2)


def require_memory(
    weights: EncoderWeights, sequences: Sequence[str], wish: Wish, memory: int | None
) -> None:
    """Refuse what cannot fit. Raises ResourceError with both numbers."""
    longest = max(map(len, sequences))
    needed = estimate_bytes(weights.sizes, [len(s) for s in sequences], wish)
    there = [x for x in (available_bytes(), memory) if x is not None]
    layer = weights.bytes_in_memory / max(weights.sizes.layers, 1)
    streams = memory is not None and weights.bytes_in_memory > memory
    needed += int(2 * layer) if streams else weights.bytes_in_memory
    if there and needed > min(there):
        raise ResourceError(
            f"the longest sequence ({longest} residues) and the encoder need about "
            f"{needed / 1e9:.1f} GB of memory, {min(there) / 1e9:.1f} GB are there",
            where=weights.label, fix="take a smaller encoder, leave out --contacts, or give "
            "more --memory; below the encoder's size its layers are read one at a time")
