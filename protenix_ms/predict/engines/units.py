# SPDX-License-Identifier: Apache-2.0
"""Units of work, their order, and their division among the elements of a job array."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError
from protenix_ms.job import Job
from protenix_ms.predict.duration import count_operations
from protenix_ms.predict.memory import least_size
from protenix_ms.predict.settings import Settings

_ARRAY = "SLURM_ARRAY_TASK_"


@dataclass(frozen=True)
class Unit:
    """One job with one seed.

    Attributes:
        job, seed: what to predict.
        cost: estimated floating-point operations.
        patience: seconds to wait for another process that works on it.
    """

    job: Job
    seed: int
    cost: float
    patience: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.job.name}, seed {self.seed}"


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts of all units."""

    index: int = 1
    count: int = 1

    @classmethod
    def read(cls, text: str, environment: Mapping[str, str]) -> Shard:
        """Read "2/8"; "slurm" stands for the place of this process in its job array.

        Raises:
            ConfigError: neither, or no job array.
        """
        if text == "slurm":
            return cls._of_array(environment)
        matched = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not matched or not 1 <= int(matched[1]) <= int(matched[2]):
            raise ConfigError(f"expected I/N with I from 1 to N, got {text!r}", where="--shard",
                              fix="write 2/8 for the second of eight parts")
        return cls(int(matched[1]), int(matched[2]))

    @classmethod
    def _of_array(cls, environment: Mapping[str, str]) -> Shard:
        try:
            number, first, count = (int(environment[_ARRAY + key]) for key in (
                "ID", "MIN", "COUNT"))
            step = int(environment.get(_ARRAY + "STEP", "1"))
        except (KeyError, ValueError):
            raise ConfigError(f"this process is no element of a Slurm array ({_ARRAY}ID, _MIN and "
                              "_COUNT are not all set)", where="--shard",
                              fix="start it by sbatch --array=1-N, or write --shard I/N") from None
        index = (number - first) // max(step, 1) + 1
        if not 1 <= index <= count:
            raise ConfigError(f"element {number} does not belong to an array of {count} from "
                              f"{first} by {step}", where="--shard",
                              fix="number the array without gaps: sbatch --array=1-N")
        return cls(index, count)

    def part(self, items: Sequence) -> list:
        """Take every `count`-th item from the `index`-th on."""
        return list(items[self.index - 1::self.count])


def list_units(jobs: Iterable[Job], settings: Settings) -> list[Unit]:
    """List every job with every seed, the most expensive first, then by name and seed.

    Long units that start last would leave the other workers idle at the end.
    """
    units = [Unit(job, seed, _cost(settings.config, job)) for job in jobs
             for seed in settings.seeds_of(job)]
    return sorted(units, key=lambda unit: (-unit.cost, unit.job.name, unit.seed))


def _cost(config: ConfigDict, job: Job) -> float:
    """Estimate the operations of a job, by its residues and alignment rows."""
    return sum(count_operations(config, least_size(job, config.sample_diffusion.N_sample)).values())
