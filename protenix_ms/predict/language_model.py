# SPDX-License-Identifier: Apache-2.0
"""Vectors for the variants that read a language model: from files, the cache, or the encoder.

The encoder is loaded only for sequences that no file has, and is gone before the predictor is
built. What has no vectors stops its job; nothing is silently zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.config.encoder import OF_VARIANT, EncoderWeights
from protenix_ms.config.home import embeddings_dir
from protenix_ms.errors import CheckpointError, ConfigError, InputError, ProtenixError
from protenix_ms.features.embeddings import embedding_features, protein_sequences
from protenix_ms.features.tokens import TokenTable
from protenix_ms.files import file_sha256
from protenix_ms.io.embeddings import embedding_path, read_embedding
from protenix_ms.job import Job
from protenix_ms.predict.encoders import find_encoder, open_weights, random_weights
from protenix_ms.typing import Array


def reads_embeddings(config: ConfigDict) -> bool:
    """Tell whether a variant reads a language model instead of alignments.

    The constraint variant's configuration names a language model too, but its files lack it.
    """
    return bool(config.esm.enable and not config.use_msa)


@dataclass(frozen=True)
class LanguageModel:
    """Where a run's vectors come from.

    Attributes:
        width: channels that the predictor reads.
        weights: of the encoder; None where every sequence has a file.
        folder: files of the user; None without.
        memory: bytes that the encoder may take, None for all.
    """

    width: int
    weights: EncoderWeights | None
    folder: Path | None = None
    memory: int | None = None

    def prepare(self, jobs: Sequence[Job]) -> tuple[list[Job], list[ProtenixError]]:
        """Make the vectors that are not there; return the jobs that have theirs, and refusals.

        Raises:
            CheckpointError: the encoder's file is damaged.
            OutputError: the cache cannot be written.
        """
        ready, refused, wanted = [], [], []
        for job in jobs:
            try:
                missing = self._missing(job)
                if missing:
                    self._require_memory(missing)
                wanted += missing
                ready.append(job)
            except ProtenixError as error:
                refused.append(type(error)(error.message, where=f"job {job.name}: {error.where}",
                                           fix=error.fix))
        if wanted:
            self._store().fill(wanted, self.memory)
        return ready, refused

    def features(self, job: Job, tokens: TokenTable) -> dict[str, Array]:
        """Make the feature of a job whose vectors are there (see `embedding_features`)."""
        vectors = {sequence: self._read(sequence) for sequence in protein_sequences(job)}
        return embedding_features(job, tokens, vectors, self.width)

    def fingerprint(self) -> dict[str, str]:
        """Say what the vectors depend on: the user's files, or the encoder's weights."""
        files = sorted(self.folder.glob("*.safetensors")) if self.folder else []
        digest = hashlib.sha256("".join(f.name + file_sha256(f) for f in files).encode())
        return {"encoder": self.weights.digest if self.weights else "",
                "files": digest.hexdigest() if files else ""}

    def label(self) -> str:
        """Name the source in one phrase."""
        parts = [f"files of {self.folder}"] if self.folder else []
        parts += [f"encoder {self.weights.label}"] if self.weights else []
        return ", else ".join(parts)

    def _read(self, sequence: str) -> Array:
        vectors = None
        if self.folder is not None:
            vectors = read_embedding(self.folder, sequence, None, self.width)
        if vectors is None and self.weights is not None:
            vectors = read_embedding(self._store().folder, sequence, None, self.width)
        if vectors is None:
            raise InputError("the sequence has no vectors", where=str(self.folder),
                             fix="embed it, or name an encoder by --esm")
        return vectors

    def _missing(self, job: Job) -> list[str]:
        """List the sequences of a job that the encoder has to read."""
        missing = []
        for sequence in protein_sequences(job):
            if self.folder and read_embedding(self.folder, sequence, None, self.width) is not None:
                continue
            if self.weights is None:
                path = embedding_path(self.folder, sequence)
                raise InputError(f"there are no vectors of {sequence[:20]}... "
                                 f"({len(sequence)} residues): expected {path.name}",
                                 where=str(self.folder),
                                 fix="embed it: protenix-ms embed, or name an encoder by --esm")
            if not self._store().holds(sequence):
                missing.append(sequence)
        return missing

    def _require_memory(self, sequences: list[str]) -> None:
        from protenix_ms.predict.embeddings import memory_to_take, require_memory

        memory = memory_to_take(self.weights, self.memory)
        require_memory(self.weights, sequences, self._store().wish, memory)

    def _store(self):
        """Return the cache of this encoder's last representation."""
        from protenix_ms.predict.embeddings import EmbeddingStore, Wish

        store = EmbeddingStore(embeddings_dir(), self.weights, Wish())
        key = hashlib.sha256(store.mark().encode()).hexdigest()[:16]
        return EmbeddingStore(embeddings_dir() / key, self.weights, Wish())


def choose_language_model(
    config: ConfigDict, esm: str | None, folder: Path | None, random_seed: int | None,
    memory: int | None = None,
) -> LanguageModel | None:
    """Choose where vectors come from; None for a variant that reads none.

    Args:
        esm: an encoder's name or file; None takes the variant's own, from the cache folder.
        folder: files made before; with them, and without `esm`, no encoder is needed.
        random_seed: of a predictor with random weights: then the encoder is made by rule too,
            with `esm.layers` layers if that is set.

    Raises:
        ConfigError: vectors for a variant that reads none; an encoder of another width.
        CheckpointError: no file; says which, and how to get it.
        InputError: no such folder.
    """
    if not reads_embeddings(config):
        if esm or folder:
            raise ConfigError(f"{config.model_name} reads no language model",
                              where="--esm" if esm else "--embeddings",
                              fix="leave it out, or choose a variant with esm or ism in its name")
        return None
    if folder is not None and not folder.is_dir():
        raise InputError("there is no such folder of embeddings", where=str(folder),
                         fix="make it: protenix-ms embed --output DIR")
    width = int(config.esm.embedding_dim)
    name = OF_VARIANT[config.esm.model_name]
    if esm is None and folder is not None:
        return LanguageModel(width, None, folder, memory)
    if esm is None and random_seed is not None:
        weights = random_weights(name, random_seed, config.esm.layers or None)
    else:
        weights = open_weights(find_encoder(esm or name))
    if weights.sizes.width != width:
        raise CheckpointError(
            f"the encoder has {weights.sizes.width} channels, {config.model_name} reads {width}",
            where=weights.label, fix=f"take {name}")
    return LanguageModel(width, weights, folder, memory)
