# SPDX-License-Identifier: Apache-2.0
"""Check what the Ascend op needs from its surroundings; every obstacle is one sentence."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from protenix_ms.config.home import ASCEND_HEADER, ASCEND_OP, ascend_op_folder
from protenix_ms.errors import ConfigError

Choice = Literal["auto", "ascend", "vendor", "cpu", "reference"]
VARIABLE = "PROTENIX_MS_EVO_ATTN"
TOOLKITS = ("8.2", "8.3", "8.5", "9.0", "9.1")
"""Versions of the toolkit (CANN) that MindSpore 2.10 accepts."""

CHIPS = ("Ascend910B", "Ascend910_93")
LIBRARY = "op_api/lib/libcust_opapi.so"
BUILD = "build the op with scripts/build_ascend_op.sh"


def requested(environ: Mapping[str, str] = os.environ) -> Choice:
    """Read the implementation that PROTENIX_MS_EVO_ATTN asks for; "auto" if none.

    Raises:
        ConfigError: for a value that names none.
    """
    value = environ.get(VARIABLE, "auto").strip().lower() or "auto"
    if value not in get_args(Choice):
        known = ", ".join(get_args(Choice))
        raise ConfigError(f"unknown attention '{value}'", where=VARIABLE, fix=f"use one of {known}")
    return value


def toolkit_version(home: Path) -> str | None:
    """Read ``major.minor`` of the toolkit installed in `home`; None if it does not say."""
    for name in ("version.info", "version.cfg", "runtime/version.info", "compiler/version.info"):
        path = home / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            if match := re.search(r"(?im)^\s*(?:runtime_running_)?version\s*=\D*(\d+\.\d+)", text):
                return match[1]
    return None


def _toolkit_obstacle(environ: Mapping[str, str]) -> str | None:
    home = environ.get("ASCEND_HOME_PATH") or environ.get("ASCEND_TOOLKIT_HOME")
    if not home or not environ.get("ASCEND_OPP_PATH"):
        return "the toolkit's environment is not set; source its set_env.sh"
    version = toolkit_version(Path(home))
    if version is not None and version not in TOOLKITS:
        return f"toolkit {version} is none of those that MindSpore accepts ({', '.join(TOOLKITS)})"
    return None


def _op_obstacle(environ: Mapping[str, str], installed: Path) -> str | None:
    folder = ascend_op_folder(environ)
    if folder is None and (installed / ASCEND_HEADER).is_file():
        return (
            "the op is built but not announced; before starting Python, export "
            f"ASCEND_CUSTOM_OPP_PATH={installed}:$ASCEND_CUSTOM_OPP_PATH"
        )
    if folder is None:
        return f"the op is not built; {BUILD}"
    if not (folder / LIBRARY).is_file():
        return f"{folder} lacks {LIBRARY}; {BUILD}"
    if shutil.which("g++", path=environ.get("PATH")) is None:
        return "g++ is missing, by which MindSpore compiles the op's call-back; install it"
    made_for = folder / "built_for"
    version = toolkit_version(Path(environ.get("ASCEND_HOME_PATH", "")))
    if version and made_for.is_file() and made_for.read_text(encoding="ascii").strip() != version:
        return f"the op in {folder} was built for another toolkit than {version}; {BUILD}"
    return None


def ascend_obstacle(
    chip: str, environ: Mapping[str, str] = os.environ, installed: Path = ASCEND_OP
) -> str | None:
    """Say in one sentence, with the remedy, why our op cannot run here; None if it can.

    Args:
        chip: the device's name, such as "Ascend910B2".
        environ: environment variables.
        installed: where the build script puts the op.
    """
    if not chip.startswith(CHIPS):
        return f"the device '{chip}' is none of {', '.join(CHIPS)}"
    return _toolkit_obstacle(environ) or _op_obstacle(environ, installed)
