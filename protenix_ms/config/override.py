# SPDX-License-Identifier: Apache-2.0
"""Overrides on a configuration tree; a wrong key is refused with the nearest right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from protenix_ms.errors import ConfigError, nearest


def apply_overrides(config: ConfigDict, overrides: Mapping, where: str = "config") -> ConfigDict:
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
            near = nearest(head, [*config, *_deeper(config)])
            fix = f"did you mean '{near}'" if near else f"known keys: {', '.join(config)}"
            raise ConfigError(f"unknown setting {head!r}", where=where, fix=fix)
        if rest:
            value = {rest: value}
        old = config[head]
        if isinstance(old, ConfigDict) != isinstance(value, Mapping):
            kind = "a group of settings" if isinstance(old, ConfigDict) else "a single value"
            raise ConfigError(f"'{head}' is {kind}, got {value!r}", where=place)
        if isinstance(old, ConfigDict):
            apply_overrides(old, value, place)
        else:
            config[head] = _converted(old, value, place)
    return config


def _deeper(config: ConfigDict) -> Iterator[str]:
    """Dotted keys below the groups of `config`: a person may know a setting without its group."""
    for head, value in config.items():
        if isinstance(value, ConfigDict):
            yield from (f"{head}.{key}" for key in [*value, *_deeper(value)])


def _converted(old: object, new: object, where: str) -> object:
    """`new` as the type of `old` (an integer serves as a float); text is parsed."""
    if isinstance(new, type(old)) and isinstance(new, bool) == isinstance(old, bool):
        return new
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if isinstance(new, str):
        try:
            if isinstance(old, bool):
                return {"true": True, "1": True, "false": False, "0": False}[new.lower()]
            return type(old)(new)
        except (KeyError, ValueError):
            pass
    expected = type(old).__name__
    raise ConfigError(f"expected {expected}, got {new!r}", where=where, fix=f"give a {expected}")
