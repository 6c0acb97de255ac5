# SPDX-License-Identifier: Apache-2.0
"""Where weights and compiled kernels live on this machine.

`~/.cache/protenix_ms/{weights,kernels}`; the environment variable `PROTENIX_MS_HOME` moves both.
The folders are named here, not made: who writes into one makes it.
"""

from __future__ import annotations

import os
from pathlib import Path


def home_dir() -> Path:
    """`$PROTENIX_MS_HOME`, else `~/.cache/protenix_ms`."""
    moved = os.environ.get("PROTENIX_MS_HOME", "")
    return Path(moved).expanduser() if moved else Path("~/.cache/protenix_ms").expanduser()


def weights_dir() -> Path:
    """Folder of converted checkpoints, `<model>.safetensors` beside `<model>.json`."""
    return home_dir() / "weights"


def kernels_dir() -> Path:
    """Folder of kernels compiled on this machine at first use."""
    return home_dir() / "kernels"
