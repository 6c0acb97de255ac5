# SPDX-License-Identifier: Apache-2.0
"""Every random number of the model, by the place that asks for it.

The model never owns a generator; its caller passes a `Draws`. `SeededDraws` derives an independent
numpy generator from (seed, site, count), so that no draw depends on other draws. A replay passes
recorded arrays instead. (Upstream mixes the global streams of Python, numpy and PyTorch.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol, runtime_checkable
from zlib import crc32

import numpy as np

from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.typing import Array, Float, Int

Rows = Callable[[slice], Float[Array, "r ..."]]
"""Some rows of an array."""


@runtime_checkable
class Draws(Protocol):
    """Random numbers that the model and the sampler ask for.

    `site` names the place, e.g. ``step_noise``. With `first`, the leading axis counts samples and
    `first` is the number of the first one. Each sample then has a stream of its own, so that its
    numbers depend neither on how many samples there are nor on how they are grouped.
    """

    def uniform(self, site: str) -> float:
        """Draw one number in [0, 1)."""

    def normal(
        self, site: str, shape: tuple[int, ...], first: int | None = None,
    ) -> Float[Array, "..."]:
        """Draw standard normal numbers, float32."""

    def integer(self, site: str, low: int, high: int) -> int:
        """Draw one integer in [low, high)."""

    def permutation(self, site: str, n: int) -> Int[Array, "n"]:
        """Draw a random order of 0..n-1."""

    def rotations(self, site: str, n: int, first: int | None = None) -> Float[Array, "n 3 3"]:
        """Draw `n` uniform rotation matrices, float32."""

    def keep(self, site: str, rate: float, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draw a dropout multiplier: 0 with probability `rate`, else 1 / (1 - rate)."""

    def keep_rows(self, site: str, rate: float, shape: tuple[int, ...]) -> Rows:
        """Draw the same by rows, to be asked for once each and in order; it never exists whole."""


class SeededDraws:
    """Draws from `numpy.random.Philox`, keyed by (seed, site, how often the site has asked)."""

    def __init__(self, *seed: int) -> None:
        """`seed`: any integers that name this stream, e.g. (seed, job number, sample)."""
        self._seed = tuple(int(s) for s in seed)
        self._count: Counter[str] = Counter()

    def _generator(self, site: str) -> np.random.Generator:
        count = self._count[site]
        self._count[site] += 1
        key = np.random.SeedSequence((*self._seed, crc32(site.encode()), count))
        return np.random.Generator(np.random.Philox(key))

    def uniform(self, site: str) -> float:
        return float(self._generator(site).random())

    def normal(
        self, site: str, shape: tuple[int, ...], first: int | None = None,
    ) -> Float[Array, "..."]:
        if first is None:
            return self._generator(site).standard_normal(shape, dtype=np.float32)
        return np.stack([self.normal(f"{site}/{first + i}", shape[1:]) for i in range(shape[0])])

    def integer(self, site: str, low: int, high: int) -> int:
        return int(self._generator(site).integers(low, high))

    def permutation(self, site: str, n: int) -> Int[Array, "n"]:
        return self._generator(site).permutation(n)

    def rotations(self, site: str, n: int, first: int | None = None) -> Float[Array, "n 3 3"]:
        if first is None:
            return random_rotations(self._generator(site), n).astype(np.float32)
        return np.concatenate([self.rotations(f"{site}/{first + i}", 1) for i in range(n)])

    def keep(self, site: str, rate: float, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return self.keep_rows(site, rate, shape)(slice(0, shape[0]))

    def keep_rows(self, site: str, rate: float, shape: tuple[int, ...]) -> Rows:
        generator = self._generator(site)

        def rows(part: slice) -> Float[Array, "r ..."]:
            size = (part.stop - part.start, *shape[1:])
            kept = generator.random(size, dtype=np.float32) >= rate
            return kept.astype(np.float32) / np.float32(1.0 - rate)

        return rows
