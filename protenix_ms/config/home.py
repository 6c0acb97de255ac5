# SPDX-License-Identifier: Apache-2.0
"""Folders of weights, embeddings and compiled kernels on this machine.

`~/.cache/protenix_ms/{weights,embeddings,kernels}`; the environment variable `PROTENIX_MS_HOME`
moves all. The folders are only named here: whoever writes into one makes it. The op for Ascend is
built into the package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ASCEND_OP = Path(__file__).resolve().parents[1] / "ops" / "_ascend" / "vendors" / "protenix_ms"
"""Where `scripts/build_ascend_op.sh` puts the compiled op."""

ASCEND_HEADER = "op_api/include/aclnn_evoformer_attention_ptx.h"
"""What a folder that holds the op has."""


def home_dir() -> Path:
    """Return `$PROTENIX_MS_HOME`, else `~/.cache/protenix_ms`."""
    moved = os.environ.get("PROTENIX_MS_HOME", "")
    return Path(moved).expanduser() if moved else Path("~/.cache/protenix_ms").expanduser()


def weights_dir() -> Path:
    """Return the folder of converted checkpoints, `<model>.safetensors` beside `<model>.json`."""
    return home_dir() / "weights"


def kernels_dir() -> Path:
    """Return the folder of kernels compiled on this machine at first use."""
    return home_dir() / "kernels"


def search_dir() -> Path:
    """Return the folder of finished searches for alignments and of open tickets."""
    return home_dir() / "search"


def databases_dir() -> Path:
    """Return the folder where sequence databases are looked for when none is named."""
    return home_dir() / "databases"


def embeddings_dir() -> Path:
    """Return the folder of vectors that encoders made, below it one folder for each encoder."""
    return home_dir() / "embeddings"


def ascend_op_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Find the first folder of ASCEND_CUSTOM_OPP_PATH that holds our op: the one that serves."""
    for entry in environ.get("ASCEND_CUSTOM_OPP_PATH", "").split(":"):
        if entry and (Path(entry) / ASCEND_HEADER).is_file():
            return Path(entry)
    return None


def ascend_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Make the variables that announce an op built into the package, before MindSpore is loaded.

    Nothing if there is none or another one is announced. MindSpore also compiles a call-back of
    the op when it is first used; without a place for it that would be the current folder.
    """
    if not (ASCEND_OP / ASCEND_HEADER).is_file() or ascend_op_folder(environ):
        return {}
    paths = [str(ASCEND_OP), *filter(None, [environ.get("ASCEND_CUSTOM_OPP_PATH")])]
    cache = environ.get("MS_COMPILER_CACHE_PATH") or str(kernels_dir() / "ascend")
    return {"ASCEND_CUSTOM_OPP_PATH": ":".join(paths), "MS_COMPILER_CACHE_PATH": cache}
