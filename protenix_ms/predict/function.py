# SPDX-License-Identifier: Apache-2.0
"""Trained function heads on disk, and the simple methods that they have to beat."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.sparse import csr_matrix

from protenix_ms.config.encoder import EncoderWeights
from protenix_ms.config.home import embeddings_dir
from protenix_ms.errors import CheckpointError
from protenix_ms.esm import load_encoder
from protenix_ms.function import FunctionHead, HeadSizes
from protenix_ms.function.tuned import ENCODER, TunedEncoder
from protenix_ms.io.atomic import write_bytes, write_text
from protenix_ms.io.vocabulary import Vocabulary, read_vocabulary
from protenix_ms.predict.embeddings import EmbeddingStore, Progress, Wish, read_arrays
from protenix_ms.typing import Array, Bool, Float

HEAD, VOCABULARY = "head.safetensors", "vocabulary.tsv"
_KMER = 3


@dataclass(frozen=True)
class TrainedHead:
    """A head of a finished run.

    Attributes:
        head: with its weights.
        vocabulary: terms of its outputs.
        encoder: digest of the encoder that it was trained on.
        unfrozen: last layers of the encoder that learnt with it.
        layers: their weights by name.
    """

    head: FunctionHead
    vocabulary: Vocabulary
    encoder: str
    unfrozen: int
    layers: Mapping[str, Array]


def write_head(
    folder: Path, arrays: Mapping[str, Array], vocabulary: Vocabulary, encoder: str,
    unfrozen: int = 0,
) -> None:
    """Write the files of a finished run: the terms, then the weights. Raises OutputError."""
    write_text(folder / VOCABULARY, vocabulary.text())
    about = {"encoder": encoder, "unfrozen": unfrozen, "terms": _digest(vocabulary)}
    write_bytes(folder / HEAD, save({k: np.ascontiguousarray(v) for k, v in arrays.items()},
                                    {"protenix_ms": json.dumps(about)}))


def read_head(folder: Path) -> TrainedHead:
    """Read a finished run.

    Raises:
        CheckpointError: damaged, or with the vocabulary of another head.
    """
    path = folder / HEAD
    vocabulary = read_vocabulary(folder / VOCABULARY)
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["protenix_ms"])
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        hidden, width = arrays["hidden.weight"].shape
        terms, encoder, unfrozen = len(arrays["logits.bias"]), about["encoder"], about["unfrozen"]
        head = FunctionHead(HeadSizes(width, hidden, terms))
        for name, parameter in head.parameters_and_names():
            if arrays[name].shape != tuple(parameter.shape):
                raise ValueError(f"{name} has shape {arrays[name].shape}")
            parameter.set_data(Tensor(arrays[name]))
    except (OSError, SafetensorError, LookupError, ValueError, TypeError) as error:
        raise CheckpointError(f"this is no head ({error})", where=str(path),
                              fix="train it again") from error
    if about.get("terms") != _digest(vocabulary):
        raise CheckpointError(f"the vocabulary is not the head's: {len(vocabulary)} terms, the "
                              f"head has {terms}" if len(vocabulary) != terms else
                              "the vocabulary is not the head's: other terms or another order",
                              where=str(folder / VOCABULARY),
                              fix="restore the file that `function train` wrote")
    layers = {name: x for name, x in arrays.items() if name.startswith("encoder.")}
    return TrainedHead(head, vocabulary, encoder, int(unfrozen), layers)


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256("\n".join(vocabulary.terms).encode()).hexdigest()


def pooled_vectors(
    weights: EncoderWeights, sequences: Sequence[str], memory: int | None, progress: Progress | None
) -> Float[Array, "p c"]:
    """Return the mean vectors of sequences, from the cache folder where they are there already."""
    key = hashlib.sha256(weights.digest.encode()).hexdigest()[:16]
    store = EmbeddingStore(embeddings_dir() / f"mean_{key}", weights, Wish(pool="mean"))
    store.fill(sequences, memory, progress)
    name = f"mean_{weights.sizes.layers}"
    return np.stack([read_arrays(store.path(sequence))[name] for sequence in sequences])


def head_vectors(
    trained: TrainedHead, weights: EncoderWeights, sequences: Sequence[str], memory: int | None,
    progress: Progress | None,
) -> Float[Array, "p c"]:
    """Return the vectors that a head reads: of its frozen encoder, or of the one it changed.

    Raises:
        CheckpointError: the encoder is not the one that the head was trained on.
    """
    if weights.digest != trained.encoder:
        raise CheckpointError("the head was trained on vectors of another encoder",
                              where=weights.label, fix="give --model the encoder of the training")
    if not trained.unfrozen:
        return pooled_vectors(weights, sequences, memory, progress)
    tuned = TunedEncoder(load_encoder(weights, memory), trained.unfrozen)
    for name, parameter in tuned.parameters().items():
        parameter.set_data(Tensor(trained.layers[ENCODER + name]))
    return tuned.pool_all(sequences)


def naive_scores(truth: Bool[Array, "q t"], count: int) -> Float[Array, "p t"]:
    """Give every protein the frequencies of the training labels."""
    return np.repeat(truth.mean(0)[None], count, 0)


def neighbour_scores(
    similarity: Float[Array, "p q"], truth: Bool[Array, "q t"]
) -> Float[Array, "p t"]:
    """Give every protein the terms of the most similar training protein, scored by similarity."""
    nearest = similarity.argmax(1)
    level = np.clip(similarity[np.arange(len(similarity)), nearest], 0.0, 1.0)
    return truth[nearest] * level[:, None]


def cosine(mine: Float[Array, "p c"], theirs: Float[Array, "q c"]) -> Float[Array, "p q"]:
    """Compute the cosine of vectors, standardised over the second ones."""
    mean, spread = theirs.mean(0), theirs.std(0)
    units = []
    for x in (mine, theirs):
        x = (x - mean) / np.where(spread > 0, spread, 1.0)
        units.append(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
    return units[0] @ units[1].T


def kmer_similarity(mine: Sequence[str], theirs: Sequence[str]) -> Float[Array, "p q"]:
    """Compute the cosine of counts of three residues in a row."""
    place: dict[str, int] = {}
    matrices = []
    for sequences in (theirs, mine):
        rows, columns, values = [], [], []
        for row, sequence in enumerate(sequences):
            counts = Counter(sequence[i : i + _KMER] for i in range(len(sequence) - _KMER + 1))
            rows += [row] * len(counts)
            columns += [place.setdefault(kmer, len(place)) for kmer in counts]
            values += counts.values()
        matrices.append((len(sequences), rows, columns, np.array(values, float)))
    units = []
    for count, rows, columns, values in matrices:
        norm = np.sqrt(np.bincount(rows, values**2, count))[rows]
        units.append(csr_matrix((values / norm, (rows, columns)), (count, len(place))))
    return np.asarray((units[1] @ units[0].T).todense())
