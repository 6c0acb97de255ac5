# SPDX-License-Identifier: Apache-2.0
"""Vectors for the variants that read a language model: from files, the cache, or the encoder.

The encoder is loaded only for sequences that no file has, and is gone before the predictor is
built. What has no vectors stops its job, unless zeros are allowed; each is then named in a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from protenix_ms.config.encoder import OF_VARIANT, EncoderWeights
from protenix_ms.config.home import embeddings_dir
from protenix_ms.errors import CheckpointError, ConfigError, InputError, ProtenixError
from protenix_ms.features.optional import embedding_features
from protenix_ms.features.tokens import TokenTable
from protenix_ms.files import file_sha256
from protenix_ms.job import Job
from protenix_ms.predict.embedding_files import (
    embedding_path,
    find_embedding,
    proteins_by_sequence,
    read_embedding,
)
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
        zeros: a sequence that has no file and no encoder gets zeros.
    """

    width: int
    weights: EncoderWeights | None
    folder: Path | None = None
    memory: int | None = None
    zeros: bool = False

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
        vectors = {sequence: self._read(sequence, _names(proteins))
                   for sequence, proteins in proteins_by_sequence(job).items()}
        return embedding_features(job, tokens, vectors, self.width)

    def content(self, job: Job) -> list[str]:
        """List what each sequence's vectors depend on: its file, the encoder's weights, or zeros.

        The digest is the same wherever the file lies.
        """
        files = [self._file(sequence, _names(proteins))
                 for sequence, proteins in proteins_by_sequence(job).items()]
        other = self.weights.digest if self.weights else "zeros"
        return [file_sha256(file) if file else other for file in files]

    def notes(self, job: Job) -> Iterator[str]:
        """Say which vectors are zeros, and which come from a file that does not name a sequence."""
        for sequence, proteins in proteins_by_sequence(job).items():
            file = self._file(sequence, _names(proteins))
            place = f"entity {', '.join(map(str, proteins))}"
            if file is None and self.weights is None:
                yield (f"{place}: {sequence[:20]}... has no vectors of a language model; zeros are "
                       "read instead, as --allow-zero-embeddings says; expect lower accuracy")
            elif file and file.stem != embedding_path(self.folder, sequence).stem:
                yield (f"{place}: vectors of {file.relative_to(self.folder)}, named after the job "
                       "or the chain: that they belong to this sequence cannot be checked")

    def label(self) -> str:
        """Name the source in one phrase."""
        parts = [f"files of {self.folder}"] if self.folder else []
        parts += [f"encoder {self.weights.label}"] if self.weights else []
        return ", else ".join(parts + ["zeros"] * self.zeros)

    def _file(self, sequence: str, names: Iterable[str]) -> Path | None:
        """Find the user's file of a sequence."""
        return self.folder and find_embedding(self.folder, sequence, names)

    def _read(self, sequence: str, names: Iterable[str]) -> Array:
        file = self._file(sequence, names) or (self.weights and self._store().path(sequence))
        if file is None:
            if not self.zeros:
                raise self._without_vectors(sequence, names)
            return np.zeros((len(sequence), self.width), np.float32)
        return read_embedding(file, len(sequence), self.width)

    def _missing(self, job: Job) -> list[str]:
        """List the sequences of a job that the encoder has to read; read the files of others."""
        missing = []
        for sequence, proteins in proteins_by_sequence(job).items():
            if file := self._file(sequence, _names(proteins)):
                read_embedding(file, len(sequence), self.width)
            elif self.weights is not None and not self._store().holds(sequence):
                missing.append(sequence)
            elif self.weights is None and not self.zeros:
                raise self._without_vectors(sequence, _names(proteins))
        return missing

    def _without_vectors(self, sequence: str, names: Iterable[str]) -> InputError:
        expected = [embedding_path(self.folder, sequence).name, *(f"{name}.pt" for name in names)]
        return InputError(
            f"there are no vectors of {sequence[:20]}... ({len(sequence)} residues): expected "
            f"{' or '.join(expected[:3])}", where=str(self.folder),
            fix="embed it: protenix-ms embed, name an encoder by --esm, or take zeros: "
            "--allow-zero-embeddings")

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
    memory: int | None = None, zeros: bool = False,
) -> LanguageModel | None:
    """Choose where vectors come from; None for a variant that reads none.

    Args:
        esm: an encoder's name or file; None takes the variant's own, from the cache folder.
        folder: files made before; with them, and without `esm`, no encoder is needed.
        random_seed: of a predictor with random weights: then the encoder is made by rule too,
            with `esm.layers` layers if that is set.
        zeros: what has no file gets zeros; no encoder is looked for.

    Raises:
        ConfigError: vectors for a variant that reads none; zeros beside an encoder.
        CheckpointError: no file; says which, and how to get it; an encoder of another width.
        InputError: no such folder.
    """
    if not reads_embeddings(config):
        if esm or folder or zeros:
            option = "--esm" if esm else "--embeddings" if folder else "--allow-zero-embeddings"
            raise ConfigError(f"{config.model_name} reads no language model", where=option,
                              fix="leave it out, or choose a variant with esm or ism in its name")
        return None
    if esm and zeros:
        raise ConfigError("--esm makes the vectors that files lack, so none is zero",
                          where="--allow-zero-embeddings", fix="leave out one of them")
    if folder is not None and not folder.is_dir():
        raise InputError("there is no such folder of embeddings", where=str(folder),
                         fix="make it: protenix-ms embed --output DIR")
    width = int(config.esm.embedding_dim)
    name = OF_VARIANT[config.esm.model_name]
    if esm is None and (zeros or folder is not None):
        return LanguageModel(width, None, folder, memory, zeros)
    if esm is None and random_seed is not None:
        weights = random_weights(name, random_seed, config.esm.layers or None)
    else:
        weights = open_weights(find_encoder(esm or name))
    if weights.sizes.width != width:
        raise CheckpointError(
            f"the encoder has {weights.sizes.width} channels, {config.model_name} reads {width}",
            where=weights.label, fix=f"take {name}")
    return LanguageModel(width, weights, folder, memory)


def _names(proteins: dict[int, list[str]]) -> list[str]:
    return [name for names in proteins.values() for name in names]
