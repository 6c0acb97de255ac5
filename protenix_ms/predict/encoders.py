# SPDX-License-Identifier: Apache-2.0
"""Find an encoder's weights: by name in the cache folder, a file, a folder, or numbers by rule."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from ckpt_convert.encoder import EncoderCheckpoint, open_encoder
from ckpt_convert.official import ENCODERS
from protenix_ms.config.encoder import RELEASED, EncoderWeights
from protenix_ms.config.home import weights_dir
from protenix_ms.errors import CheckpointError, ConfigError, nearest
from protenix_ms.files import file_sha256

_ENDINGS = (".safetensors", ".pt", "")


def find_encoder(name: str) -> Path:
    """Find the file or folder of an encoder.

    Args:
        name: a path, or one of `config.encoder.RELEASED`, which is looked for in the cache folder.

    Raises:
        ConfigError: neither a file nor a name.
        CheckpointError: a name without a file; says how to get it.
    """
    if Path(name).exists():
        return Path(name)
    if name not in RELEASED:
        near = nearest(name, RELEASED)
        raise ConfigError(f"{name!r} is neither a file nor an encoder", where="--esm or --model",
                          fix=f"did you mean {near}" if near else f"names: {', '.join(RELEASED)}")
    for path in (weights_dir() / f"{name}{ending}" for ending in _ENDINGS):
        if path.exists():
            return path
    remedies = [f"convert a copy that you hold: protenix-ms convert {name}.pt "
                f"{weights_dir() / name}.safetensors",
                "name the file, or a folder of transformers, instead of the encoder"]
    if name in ENCODERS:
        remedies.insert(0, f"fetch it: protenix-ms fetch {name}")
    raise CheckpointError(f"no weights of the encoder {name}: expected {name}.safetensors",
                          where=str(weights_dir()), fix="get them in one of these ways",
                          remedies=tuple(remedies))


def open_weights(path: Path) -> EncoderWeights:
    """Open an encoder's file or folder; tensors are read when they are asked for.

    Raises:
        CheckpointError: damaged, refused, or of another architecture.
    """
    checkpoint = open_encoder(path)
    return EncoderWeights(checkpoint.sizes, frozenset(checkpoint.table), checkpoint.read,
                          digest(checkpoint), str(path), tuple(checkpoint.remarks))


def digest(checkpoint: EncoderCheckpoint) -> str:
    """Return the sha256 of the one file of an encoder, or of those of its files."""
    sums = [file_sha256(part.path) for part in checkpoint.parts]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def random_weights(name: str, seed: int, layers: int | None = None) -> EncoderWeights:
    """Make an encoder of a released model's sizes by rule; its vectors mean nothing.

    Args:
        layers: instead of the model's own number.

    Raises:
        ConfigError: the name is not one of `config.encoder.RELEASED`.
    """
    if name not in RELEASED:
        raise ConfigError(f"{name!r} is not an encoder whose sizes are known",
                          where="--random-weights", fix=f"names: {', '.join(RELEASED)}")
    from protenix_ms.esm.weights import rule_weights  # loads MindSpore

    sizes = RELEASED[name]
    return rule_weights(replace(sizes, layers=layers or sizes.layers), seed)
