# SPDX-License-Identifier: Apache-2.0
"""Representations that a person wants to keep of a seed: embeddings of the trunk, distogram.

They are float16, one file per seed and kind, uncompressed, since such numbers hardly shrink.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from protenix_ms.errors import ResourceError
from protenix_ms.geometry.bins import DISTOGRAM_FIRST, DISTOGRAM_LAST, linspace
from protenix_ms.io.atomic import write_npz
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.predict.settings import SAVED
from protenix_ms.typing import Array

_HALF = 2  # bytes
_ARRAYS = {"embeddings": ("s", "z"), "distogram": ("distogram",)}


def saved_bytes(config: ConfigDict, n_token: int, kinds: Collection[str]) -> int:
    """Count the bytes of one seed's files."""
    widths, bins = config.widths, config.model.distogram_head.no_bins
    size = {"embeddings": n_token * widths.c_s + n_token**2 * widths.c_z,
            "distogram": n_token**2 * bins}
    return _HALF * sum(size[kind] for kind in kinds)


def require_space(folder: Path, needed: int, where: str) -> None:
    """Refuse files that the disk has no room for. Raises ResourceError."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(f"--save needs {needed / 1e9:.1f} GB per seed, {folder} has "
                            f"{free / 1e9:.1f} GB free", where=where,
                            fix="save less, or choose another --output")


def write_saved(folder: JobFolder, seed: int, arrays: Mapping[str, Array]) -> None:
    """Write `<name>_embeddings.npz` (`s`, `z`) and `<name>_distogram.npz`, whichever is there.

    The latter has probabilities of distances, and the inner edges of their bins in angstrom.

    Raises:
        OutputError: a file cannot be written.
    """
    for kind in SAVED:
        content = {name: arrays[name] for name in _ARRAYS[kind] if name in arrays}
        if "distogram" in content:
            bins = content["distogram"].shape[-1]
            content["bin_edges"] = linspace(DISTOGRAM_FIRST, DISTOGRAM_LAST, bins - 1)
        if content:
            path = folder.predictions(seed) / f"{folder.name}_{kind}.npz"
            write_npz(path, content, compressed=False)
