# SPDX-License-Identifier: Apache-2.0
"""Spoils the kernels one call or number at a time, and asks whether anything notices."""

from __future__ import annotations

from dataclasses import dataclass, field

import emulated_device as device
import numpy as np
from emulated_device import Case, EmulationError, Machine, Site

TOLERANCE = 3e-3


@dataclass
class Trial:
    """Holds one case with its exact answer."""

    case: Case
    cores: int
    fills_buffers: bool = False
    dout: np.ndarray | None = None
    answer: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        noise = np.random.default_rng(9).normal(size=self.case.q.shape)
        self.dout = device.to_device(noise, self.case.dtype)
        self.answer = device.exact(self.case, self.dout)

    def run(self, grad: bool, machine: Machine) -> dict[str, np.ndarray]:
        """Return what the kernel computes."""
        if not grad:
            return dict(zip(("out", "lse"), device.forward(self.case, machine)))
        gradients = device.backward(
            self.case, self.dout, self.answer["lse"], self.answer["delta"], machine
        )
        return {n: x for n, x in zip(("dq", "dk", "dv", "dbias"), gradients) if n in self.answer}

    def complaint(self, grad: bool, machine: Machine) -> str:
        """Say what is wrong with a run, nothing if all is well."""
        try:
            results = self.run(grad, machine)
        except EmulationError as objection:
            return str(objection)
        errors = {n: relative_error(x, self.answer[n]) for n, x in results.items()}
        wrong = [n for n, error in errors.items() if not error <= TOLERANCE]
        return f"wrong numbers: {wrong}" if wrong else ""


def relative_error(actual: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error over the largest value, at least one; rows without keys are
    compared as 1e6."""
    actual, exact = np.minimum(actual, 1e6), np.minimum(exact, 1e6)
    return float(np.abs(actual - exact).max() / max(1.0, np.abs(exact[exact < 1e6]).max(initial=0)))


def trials(grad: bool) -> list[Trial]:
    """Make shapes in which every call of a kernel matters: tails, several tiles, groups and
    cores."""
    if not grad:
        return [
            Trial(device.random_case((2, 1, 40, 1600, 24), seed=3), 1),
            Trial(device.random_case((4, 1, 32, 640, 16), 2, seed=4), 2),
            Trial(device.random_case((2, 1, 128, 512, 32), seed=4), 1, fills_buffers=True),
        ]
    with_hole = device.random_case((6, 1, 40, 300, 24), seed=3)
    with_hole.keep[:, 128:256] = False  # a tile of the bias that no group attends to
    return [
        Trial(with_hole, 1),
        Trial(device.random_case((5, 1, 48, 128, 16), seed=4), 2),
        Trial(device.random_case((5, 1, 128, 256, 64), seed=4), 1, fills_buffers=True),
    ]


def survivors(grad: bool) -> tuple[list[Site], int]:
    """Return the mutants that no trial notices, and how many there are."""
    everything: dict[Site, list[Trial]] = {}
    for trial in trials(grad):
        machine = Machine(cores=trial.cores, listing=True)
        complaint = trial.complaint(grad, machine)
        if complaint:
            raise EmulationError(f"the kernel itself fails: {complaint}")
        for site in machine.sites:
            # A buffer is as large as it must be only where a shape fills it.
            if site.kind != "shrink" or trial.fills_buffers:
                everything.setdefault(site, []).append(trial)
    alive = [
        site for site, where in everything.items()
        if not any(t.complaint(grad, Machine(cores=t.cores, mutant=site)) for t in where)
    ]
    return alive, len(everything)
