# SPDX-License-Identifier: Apache-2.0
"""From the words of a command to a configuration: a variant or a file, then overrides."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.config import apply_overrides, get_config
from protenix_ms.errors import ConfigError


def load_config(
    model: str | None, file: str | None, words: Sequence[str], overrides: Mapping
) -> ConfigDict:
    """The configuration that a command names.

    Args:
        model: a variant; with `file`, handed to its `get_config` as argument.
        file: ``FILE.py`` or ``FILE.py:ARG`` with a function `get_config`, as ml_collections reads
            it; it is executed.
        words: ``KEY=VALUE`` overrides, applied last but for `overrides`.

    Raises:
        ConfigError: unknown variant or key, a file without `get_config`, a malformed override.
    """
    config = _from_file(file, model) if file else get_config(model)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"expected KEY=VALUE, got {word!r}", where="--set",
                              fix="for example --set sample_diffusion.N_step=20")
        apply_overrides(config, {key: value})
    return apply_overrides(config, overrides)


def _from_file(text: str, model: str | None) -> ConfigDict:
    name, _, argument = text.partition(":")
    path = Path(name)
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError("there is no such configuration file", where=name,
                          fix="give a Python file with get_config(), as in configs/")
    spec = importlib.util.spec_from_file_location(f"configuration_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, "get_config", None)
    if function is None:
        raise ConfigError("the file has no function get_config()", where=name)
    argument = argument or model
    if argument and not inspect.signature(function).parameters:
        raise ConfigError(f"its get_config() takes no argument, got {argument!r}", where=name)
    config = function(argument) if argument else function()
    if not isinstance(config, ConfigDict) or "model_name" not in config:
        raise ConfigError("get_config() returns no configuration of a model", where=name,
                          fix="start from protenix_ms.config.get_config")
    return config
