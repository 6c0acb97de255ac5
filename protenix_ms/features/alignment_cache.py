# SPDX-License-Identifier: Apache-2.0
"""Encoded alignments of chains that many jobs share, such as the target of a panel of binders.

They are kept by content, not by name: the same text of another job, or from another file, is the
same alignment. The cache lives as long as the process.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, fields

import numpy as np

from protenix_ms.features.msa_chain import ChainMsa, encode_polymer
from protenix_ms.job import Alignment, Polymer
from protenix_ms.typing import Array

_Key = tuple[object, ...]


@dataclass
class AlignmentCache:
    """Keeps the encoded chains that were used last.

    Attributes:
        most: bytes of arrays that are kept.
        hits, misses: how often a chain was there, or not.
    """

    most: int = 256 << 20
    hits: int = 0
    misses: int = 0
    _chains: OrderedDict[_Key, ChainMsa] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def encode(
        self, polymer: Polymer, *, pairing: bool, use_rna_msa: bool, upstream_quirks: bool = False
    ) -> ChainMsa:
        """Encode the alignments of a polymer, or return them as they were encoded before.

        Args:
            polymer, pairing, use_rna_msa, upstream_quirks: see `encode_polymer`.

        Returns:
            Arrays that nobody may write to.
        """
        key = (polymer.kind, polymer.sequence, polymer.keep_rows, _digest(polymer.paired_msa),
               _digest(polymer.unpaired_msa), pairing, use_rna_msa, upstream_quirks)
        with self._lock:
            if key in self._chains:
                self.hits += 1
                self._chains.move_to_end(key)
                return self._chains[key]
        chain = encode_polymer(polymer, pairing=pairing, use_rna_msa=use_rna_msa,
                               upstream_quirks=upstream_quirks)
        for array in _arrays(chain):
            array.setflags(write=False)
        with self._lock:
            self.misses += 1
            self._chains[key] = chain
            while sum(map(_size, self._chains.values())) > self.most:
                self._chains.popitem(last=False)
        return chain


ALIGNMENTS = AlignmentCache()
"""The cache of this process."""


def _digest(alignment: Alignment | None) -> bytes | None:
    if alignment is None:
        return None
    return hashlib.sha256(alignment.text.encode("utf-8", "surrogatepass")).digest()


def _arrays(chain: ChainMsa) -> list[Array]:
    values = (getattr(chain, part.name) for part in fields(chain))
    return [value for value in values if isinstance(value, np.ndarray)]


def _size(chain: ChainMsa) -> int:
    return sum(array.nbytes for array in _arrays(chain))
