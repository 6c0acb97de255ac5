# SPDX-License-Identifier: Apache-2.0
"""Recordings of upstream predictions: configuration, weights by rule, features, draws, results.

A recording (`tests/golden/README.md`) is a folder with `meta.json` (configuration), `features.npz`
and `outputs.npz`, which holds every random draw (`rng/...`), constants (`const/...`) and results.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from protenix_ms.config.variants import from_upstream
from protenix_ms.errors import InputError
from protenix_ms.model.weights import parameter_shapes, rule_array
from protenix_ms.runtime.draws import Rows
from protenix_ms.typing import Array, Float, Int

# Where upstream draws -> our site. A site's draws are used in the recorded order.
SITES = {
    "pyrandom@protenix.main_inference_loop": "mc_dropout",
    "dropout@protenix.get_pairformer_output": "mc_dropout_mask",
    "randint@utils.sample_indices": "msa_rows",
    "randperm@utils.sample_indices": "msa_order",
    "rotation@utils.centre_random_augmentation": "rotation",
    "randn@utils.centre_random_augmentation": "translation",
}
SAMPLER_NORMAL = "randn@generator._chunk_sample_diffusion"  # initial noise, then one each step


class RecordedDraws:
    """Gives the draws of a recording, by site and count; raises when one is not there.

    Upstream draws for all samples of a group at once, so `first` plays no part.

    Args:
        draws: recorded name (``NNNN_<kind>@<file>.<function>``) -> array, in order.
        steps: denoising steps, which tell initial noise from step noise.
    """

    def __init__(self, draws: dict[str, Array], steps: int) -> None:
        self._queue: dict[str, list[Array]] = defaultdict(list)
        self._count: Counter[str] = Counter()
        normals = 0
        for name, value in draws.items():
            place = name.split("_", 1)[1]
            if place == SAMPLER_NORMAL:
                site = "initial_noise" if normals % (steps + 1) == 0 else "step_noise"
                normals += 1
            else:
                site = SITES.get(place, place)
            self._queue[site].append(value)

    def _next(self, site: str) -> Array:
        count = self._count[site]
        if count >= len(self._queue[site]):
            raise InputError(
                f"the recording has {len(self._queue[site])} draws of '{site}', one more is asked",
                where="replay",
            )
        self._count[site] += 1
        return self._queue[site][count]

    def require_all_used(self) -> None:
        """Raise if a recorded draw was not asked for."""
        left = {site: len(queue) - self._count[site] for site, queue in self._queue.items()}
        left = {site: n for site, n in left.items() if n}
        if left:
            raise InputError(f"recorded draws that nobody asked for: {left}", where="replay")

    def uniform(self, site: str) -> float:
        return float(np.squeeze(self._next(site)))

    def normal(
        self, site: str, shape: tuple[int, ...], first: int | None = None
    ) -> Float[Array, "..."]:
        return self._next(site).reshape(shape)

    def integer(self, site: str, low: int, high: int) -> int:
        value = int(np.squeeze(self._next(site)))
        if not low <= value < high:
            raise InputError(f"recorded '{site}' is {value}, outside [{low}, {high})",
                             where="replay")
        return value

    def permutation(self, site: str, n: int) -> Int[Array, "n"]:
        return self._next(site).reshape(n)

    def rotations(self, site: str, n: int, first: int | None = None) -> Float[Array, "n 3 3"]:
        return self._next(site).reshape(n, 3, 3)

    def keep(self, site: str, rate: float, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return self._next(site).reshape(shape)

    def keep_rows(self, site: str, rate: float, shape: tuple[int, ...]) -> Rows:
        return self.keep(site, rate, shape).__getitem__


@dataclass(frozen=True)
class Recording:
    """Holds a folder of recordings.

    Attributes:
        path: the folder.
        config: our configuration of the recorded one.
        features: the model's input arrays.
        outputs: everything else, by key.
        truth: the same outputs in float64, where they exist.
    """

    path: Path
    config: ConfigDict
    features: dict[str, Array]
    outputs: dict[str, Array]
    truth: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read a folder; the float64 twin is found beside it (``fp64/tiny/<name>``).

        Raises:
            InputError: the folder is not a recording of a prediction.
        """
        if not (path / "meta.json").is_file() or not (path / "outputs.npz").is_file():
            raise InputError("this is not a recorded prediction (meta.json, outputs.npz)",
                             where=str(path))
        meta = json.loads((path / "meta.json").read_text())
        config = from_upstream(meta["config"])
        with config.unlocked():
            config.mc_dropout_apply_rate = meta["mc_dropout_apply_rate"]
        twin = path.parent.parent / "fp64" / path.parent.name / path.name / "outputs.npz"
        return cls(
            path, config, dict(np.load(path / "features.npz")),
            dict(np.load(path / "outputs.npz")), dict(np.load(twin)) if twin.is_file() else {},
        )

    def part(self, prefix: str) -> dict[str, Array]:
        """Return the outputs under a prefix, without it, in recorded order."""
        start = f"{prefix}/"
        below = {k[len(start):]: v for k, v in self.outputs.items() if k.startswith(start)}
        return dict(sorted(below.items())) if prefix == "rng" else below

    def draws(self) -> RecordedDraws:
        return RecordedDraws(self.part("rng"), self.config.sample_diffusion.N_step)

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Yield every parameter by the rule, constants as recorded."""
        constants = self.part("const")
        for name, shape in parameter_shapes(self.config).items():
            yield name, constants[name] if name in constants else rule_array(name, shape)
