# SPDX-License-Identifier: Apache-2.0
"""Configurations that a command names: a variant or a file, then ``KEY=VALUE`` settings."""

from __future__ import annotations

import importlib.util
import inspect
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import DEFAULT_MODEL, apply_overrides, apply_words, get_config
from protenix_ms.config.training import require_usable, stage_config
from protenix_ms.errors import ChemistryError, ConfigError, InputError
from protenix_ms.io.text_file import read_text
from protenix_ms.job import require_seed


def load_config(
    model: str | None, file: str | None, words: Sequence[str], overrides: Mapping
) -> ConfigDict:
    """Read the configuration of a model.

    Args:
        model: a variant; with `file`, the argument of its `get_config`. Without both, the default.
        file: ``FILE.py`` or ``FILE.py:ARG`` with a function `get_config`, as ml_collections reads
            it. It is executed.
        words: ``KEY=VALUE`` settings.
        overrides: settings applied last.

    Raises:
        ConfigError: unknown variant or key, a file without `get_config`, a malformed setting.
    """
    config = _from_file(file, model) if file else get_config(model or DEFAULT_MODEL)
    return apply_overrides(apply_words(config, words), overrides)


def load_dictionary(args: Namespace) -> ComponentDictionary:
    """Read the components that --ccd, --conformers and --ccd-extra name; each file once.

    Raises:
        ChemistryError, InputError: a file that cannot be read or used.
    """
    table = ComponentDictionary.load(args.ccd)
    if args.conformers:
        table = table.with_conformers(args.conformers)
    if not args.ccd_extra:
        return table
    from protenix_ms.chem.own_components import (
        with_text,  # RDKit, which other runs need not wait for
    )

    try:
        return with_text(table, read_text(args.ccd_extra))
    except ChemistryError as error:
        raise InputError(error.message, where=str(args.ccd_extra), fix=error.fix) from None


def load_training_config(
    model: str | None, file: str | None, stage: str, words: Sequence[str]
) -> ConfigDict:
    """Read the configuration of a model with its part `training`.

    Args:
        stage: one of `config.training.STAGES`, for a configuration without a file.

    Raises:
        ConfigError: see `load_config`; a file without `training`, a setting that cannot work.
    """
    config = load_config(model, file, (), {})
    if not file:
        with config.unlocked():
            config.training = stage_config(stage)
    elif "training" not in config:
        raise ConfigError("the configuration has no part `training`", where=file,
                          fix="start from configs/train.py")
    apply_words(config, words)
    require_seed(config.training.seed, "training.seed")
    require_usable(config.training)
    return config


def _from_file(text: str, model: str | None) -> ConfigDict:
    name, _, argument = text.partition(":")
    path = Path(name)
    if path.is_file() and path.suffix != ".py":
        raise ConfigError("the file exists, but is no Python file (.py)", where=name,
                          fix="give one with get_config(), as in configs/")
    if not path.is_file():
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
