# SPDX-License-Identifier: Apache-2.0
"""Settings of guidance, read from ``sample_diffusion.guidance``; what is not known is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from protenix_ms.errors import ConfigError, nearest

_PLACE = "sample_diffusion.guidance"
_TOP = ("enable", "rho", "mu", "mc", "steps", "terms", "log_last_step_energy")
# Parameters of every term, with the value that holds where a setting is left out.
_PARAMETERS: dict[str, dict[str, float]] = {
    "VinaStericPotential": {"buffer": 0.225},
    "ExperimentalTorsionPotential": {},
    "InterchainBondPotential": {"buffer": 2.0},
    "PairwiseDistancePotential": {"bond_buffer": 0.05, "angle_buffer": 0.05, "clash_buffer": 0.05},
    "ChiralAtomPotential": {"buffer": 0.34906, "scale_x": 1.0},
    "StereoBondPotential": {"buffer": 0.52360},
    "PlanarImproperPotential": {"buffer": 0.1309},
    "LinearBondPotential": {"buffer": 0.08726646259},
}
_SCHEDULES = {"const": ("value",), "exp_interpolation": ("start", "end", "alpha")}


@dataclass(frozen=True)
class Schedule:
    """A number that may change with time `t`: 1 in the first step, 1/steps in the last.

    Attributes:
        start: the value at 0.
        end: the value at 1.
        alpha: 0 for a straight line, else how bent the exponential between them is.
    """

    start: float
    end: float
    alpha: float = 0.0

    def __call__(self, t: float) -> float:
        """Compute the value at time `t`."""
        if self.start == self.end:
            return self.start
        share = t
        if self.alpha != 0.0:
            share = (math.exp(self.alpha * t) - 1.0) / (math.exp(self.alpha) - 1.0)
        return self.start + (self.end - self.start) * share

    @classmethod
    def read(cls, value: Any, where: str) -> Schedule:
        """Read a number, ``{"type": "const", "value"}`` or an ``exp_interpolation``.

        Raises:
            ConfigError: neither.
        """
        if not isinstance(value, Mapping):
            number = _number(value, where)
            return cls(number, number)
        kind = str(value.get("type", "")).lower()
        if kind not in _SCHEDULES:
            raise ConfigError(f"unknown schedule type {value.get('type')!r}", where=where,
                              fix=f"known types: {', '.join(_SCHEDULES)}")
        keys = _SCHEDULES[kind]
        _require_known(value, ("type", *keys), where)
        missing = [key for key in keys if key not in value and key != "alpha"]
        if missing:
            raise ConfigError(f"a schedule of type {kind!r} needs {' and '.join(missing)}",
                              where=where, fix=f"give numbers for {', '.join(keys)}")
        numbers = [_number(value.get(key, 0.0), f"{where}.{key}") for key in keys]
        return cls(numbers[0], numbers[0]) if kind == "const" else cls(*numbers)


@dataclass(frozen=True)
class Term:
    """One potential in use.

    Attributes:
        name: upstream's name.
        interval: it acts in steps that this number divides, and never if it is 0 or less.
        weight: factor of energy and gradient.
        parameters: what the potential takes.
        enable_projection: whether it is projected, if it can be.
    """

    name: str
    interval: int
    weight: Schedule
    parameters: Mapping[str, Schedule]
    enable_projection: bool

    def active(self, step: int) -> bool:
        """Tell whether the term acts in a step, counted from 0."""
        return self.interval > 0 and step % self.interval == 0

    def at(self, t: float) -> dict[str, float]:
        """Compute the parameters at time `t`."""
        return {name: value(t) for name, value in self.parameters.items()}

    @classmethod
    def read(cls, name: str, tree: Mapping[str, Any]) -> Term:
        """Read the settings of a term.

        Raises:
            ConfigError: unknown term or setting, or a value of the wrong kind.
        """
        where = f"{_PLACE}.terms"
        _require_known([name], _PARAMETERS, where, "term")
        where = f"{where}.{name}"
        values = dict(_PARAMETERS[name])
        _require_known(tree, ("interval", "weight", "enable_projection", *values), where)
        parameters = {key: Schedule.read(tree.get(key, value), f"{where}.{key}")
                      for key, value in values.items() if key != "scale_x"}
        if "scale_x" in values:
            scale = _truth(tree.get("scale_x", True), f"{where}.scale_x")
            parameters["scale_x"] = Schedule(float(scale), float(scale))
        return cls(
            name, _integer(tree.get("interval", 1), f"{where}.interval", least=None),
            Schedule.read(tree.get("weight", 0.0), f"{where}.weight"), parameters,
            _truth(tree.get("enable_projection", True), f"{where}.enable_projection"))


@dataclass(frozen=True)
class GuidanceSettings:
    """Settings of guidance.

    Attributes:
        enable: whether guidance is on.
        mu: step length of the refinement.
        deviation, perturbations: standard deviation (angstrom) and number of the perturbations of
            the estimate; deviation 0 means one estimate, unperturbed.
        outer, inner: rounds of a whole step, and of the refinement within one.
        projection_outer, projection_inner: rounds of the projection, and repeats of a term in one.
        terms: in the order of evaluation.
    """

    enable: bool
    mu: float
    deviation: float
    perturbations: int
    outer: int
    inner: int
    projection_outer: int
    projection_inner: int
    terms: tuple[Term, ...]

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> GuidanceSettings:
        """Read upstream's settings; what is left out has the value of upstream's reader.

        Raises:
            ConfigError: unknown settings, negative steps, values of the wrong kind, `rho` other
                than 0, or guidance on without a term.
        """
        _require_known(tree, _TOP, _PLACE)
        if _number(tree.get("rho", 0.0), f"{_PLACE}.rho") != 0:
            raise ConfigError(
                "rho, the gradient through the denoiser, is not supported: upstream's is NaN",
                where=f"{_PLACE}.rho", fix="leave it at 0 and use mu")
        mc, steps = tree.get("mc", {}), tree.get("steps", {})
        _require_known(mc, ("std", "batch"), f"{_PLACE}.mc")
        counts = {"tfg_outer": 1, "tfg_inner": 10, "projection_outer": 2, "projection_inner": 10}
        _require_known(steps, counts, f"{_PLACE}.steps")
        number = {key: _integer(steps.get(key, usual), f"{_PLACE}.steps.{key}")
                  for key, usual in counts.items()}
        deviation = _number(mc.get("std", 0.0), f"{_PLACE}.mc.std")
        if deviation < 0:
            raise ConfigError(f"a deviation is not negative, got {deviation}",
                              where=f"{_PLACE}.mc.std", fix="give 0 or more")
        batch = max(1, _integer(mc.get("batch", 1), f"{_PLACE}.mc.batch"))
        terms = tuple(Term.read(name, part or {}) for name, part in tree.get("terms", {}).items())
        enable = _truth(tree.get("enable", False), f"{_PLACE}.enable")
        if enable and not terms:
            raise ConfigError("guidance is on without a term", where=f"{_PLACE}.terms",
                              fix=f"name some of {', '.join(_PARAMETERS)}")
        return cls(
            enable, _number(tree.get("mu", 0.0), f"{_PLACE}.mu"), deviation,
            batch if deviation else 1, max(1, number["tfg_outer"]), number["tfg_inner"],
            number["projection_outer"], number["projection_inner"], terms)


def _require_known(
    keys: Iterable[str], known: Iterable[str], where: str, what: str = "setting"
) -> None:
    for key in keys:
        if key not in known:
            near = nearest(str(key), known)
            fix = f"did you mean '{near}'" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"unknown {what} {key!r}", where=where, fix=fix)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"expected a number or a schedule, got {value!r}", where=where,
                          fix="give a finite number")
    return float(value)


def _integer(value: Any, where: str, least: int | None = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None
                                                                 and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise ConfigError(f"expected a whole number{bound}, got {value!r}", where=where,
                          fix="correct it")
    return value


def _truth(value: Any, where: str) -> bool:
    if value not in (True, False):
        raise ConfigError(f"expected true or false, got {value!r}", where=where, fix="correct it")
    return bool(value)
