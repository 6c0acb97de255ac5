# SPDX-License-Identifier: Apache-2.0
"""Settings of a configuration tree; a wrong key is refused with the nearest right one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError, nearest

# Below it a number may be replaced by a schedule, `{"type": ..., ...}`, also as JSON text.
_SCHEDULED = "sample_diffusion.guidance.terms."

Ranges = Mapping[str, tuple[Callable[[float], bool], str]]
"""What a number has to be: the test, and the last parts of the names that it holds for."""

_WANTED = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text"}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def apply_words(config: ConfigDict, words: Sequence[str]) -> ConfigDict:
    """Set ``KEY=VALUE`` words of a command line in place, in their order; return the same tree.

    Raises:
        ConfigError: a word without "=", or see `apply_overrides`.
    """
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"expected KEY=VALUE, got {word!r}", where="--set",
                              fix="for example --set sample_diffusion.N_step=20")
        apply_overrides(config, {key: value})
    return config


def apply_overrides(
    config: ConfigDict, overrides: Mapping[str, Any], where: str = "config"
) -> ConfigDict:
    """Set nested (`{"model": {"N_cycle": 1}}`) or dotted (`{"model.N_cycle": 1}`) keys in place.

    Returns:
        The same tree.

    Raises:
        ConfigError: unknown key, or a value of another type than the one it replaces.
    """
    for key, value in overrides.items():
        head, _, rest = key.partition(".")
        place = f"{where}.{head}"
        if head not in config:
            near = len(head) > 2 and nearest(head, [*config, *_deeper_keys(config)])
            fix = f"did you mean '{near}'" if near else f"known keys: {', '.join(config)}"
            raise ConfigError(f"unknown setting {head!r}", where=where, fix=fix)
        value, old = {rest: value} if rest else value, config[head]
        schedule = _schedule(value, old) if _SCHEDULED in place else None
        if schedule is not None:
            with config.ignore_type():
                config[head] = ConfigDict(schedule)
            continue
        if isinstance(old, ConfigDict) != isinstance(value, Mapping):
            kind = "a group of settings" if isinstance(old, ConfigDict) else "a single value"
            raise ConfigError(f"'{head}' is {kind}, got {value!r}", where=place)
        if isinstance(old, ConfigDict):
            apply_overrides(old, value, place)
        else:
            config[head] = _convert(value, old, place)
    return config


def _schedule(value: Any, old: Any) -> Mapping[str, Any] | None:
    """Return the schedule that replaces a number, None where the value is none."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    schedule = isinstance(value, Mapping) and "type" in value
    return value if schedule and isinstance(old, int | float | ConfigDict) else None


def require_ranges(config: ConfigDict, ranges: Ranges, usual: ConfigDict, where: str) -> None:
    """Refuse a number that is not finite or out of its range; those without one start at 0.

    Raises:
        ConfigError: names the setting, and its value in the tree `usual`.
    """
    rules = {name: (wanted, is_right) for wanted, (is_right, names) in ranges.items()
             for name in names.split()}
    usually = dict(_numbers(usual))
    for key, value in _numbers(config):
        wanted, is_right = rules.get(key.rpartition(".")[2], (
            "a finite number from 0", lambda x: x >= 0))
        if not (math.isfinite(value) and is_right(value)):
            raise ConfigError(f"{key} is {value}, but has to be {wanted}", where=where,
                              fix=f"{usually.get(key)} is usual")


def _numbers(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a tree under its dotted name; switches are none."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def known_part(ours: ConfigDict, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Select the part of an upstream configuration whose keys exist in `ours`."""
    known = {}
    for key, value in theirs.items():
        if key in ours and isinstance(ours[key], ConfigDict) == isinstance(value, Mapping):
            known[key] = known_part(ours[key], value) if isinstance(value, Mapping) else value
    return known


def _deeper_keys(config: ConfigDict) -> Iterator[str]:
    """Yield dotted keys below the groups: a person may know a setting without its group."""
    for head, value in config.items():
        if isinstance(value, ConfigDict):
            yield from (f"{head}.{key}" for key in [*value, *_deeper_keys(value)])


def _convert(new: Any, old: Any, where: str) -> Any:
    """Convert `new` to the type of `old`: text is parsed, an integer serves as a float."""
    if isinstance(new, type(old)) and isinstance(new, bool) == isinstance(old, bool):
        return new
    if isinstance(old, float) and type(new) is int:
        return float(new)
    expected = type(old).__name__
    wanted = _WANTED.get(expected, f"a value of type {expected}")
    try:
        if isinstance(new, str):
            return _TRUTH[new.lower()] if isinstance(old, bool) else type(old)(new)
    except (KeyError, ValueError):
        pass
    raise ConfigError(f"expected {expected}, got {new!r}", where=where, fix=f"give {wanted}")
