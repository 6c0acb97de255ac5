# SPDX-License-Identifier: Apache-2.0
"""ESM-2 encoders in every layout that is about: fair-esm's files, folders of transformers, ours.

Names become fair-esm's without a prefix. The number of heads stands in the settings beside the
tensors, or follows from the rotary frequencies; a name of a file says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from ckpt_convert.checkpoint import Checkpoint, Column, ReadBits
from ckpt_convert.read import open_checkpoint
from ckpt_convert.torch_file import write as write_torch
from protenix_ms.config.encoder import (
    CONTACT_WEIGHT,
    EMBEDDING,
    FREQUENCIES,
    LM_BIAS,
    RELEASED,
    Shapes,
    encoder_shapes,
    plain_frequencies,
    read_sizes,
)
from protenix_ms.errors import CheckpointError
from protenix_ms.files import replacing

TIED = "lm_head.weight"  # is the embedding, under a second name
REGRESSION = "-contact-regression.pt"
_SETTINGS, _MOST_SETTINGS = "config.json", 1 << 20  # bytes
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_FILES = ("model.safetensors", "pytorch_model.bin")
_PREFIXES = ("encoder.sentence_encoder.", "esm.", "encoder.")
_OFFICIAL = re.compile(r"layers\.|embed_tokens\.|emb_layer_norm_after\.|lm_head\.|contact_head\.")
_LAYER = re.compile(r"layer\.(\d+|\*)\.(.+)\.(weight|bias|inv_freq)")
# Names of transformers within a layer, and outside of them.
IN_LAYER = {
    **{f"attention.self.{name}": f"self_attn.{name[0]}_proj" for name in ("query", "key", "value")},
    "attention.self.rotary_embeddings": "self_attn.rot_emb",
    "attention.output.dense": "self_attn.out_proj",
    "attention.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1", "output.dense": "fc2", "LayerNorm": "final_layer_norm",
}
_OUTSIDE = {"embeddings.word_embeddings.weight": EMBEDDING, "lm_head.decoder.weight": TIED,
            "rotary_embeddings.inv_freq": FREQUENCIES.format("*")}
_UNUSED = re.compile(r"embeddings\.position_|pooler\.|lm_head\.decoder\.bias$")


def is_encoder(names: Iterable[str]) -> bool:
    """Tell from the names of its tensors whether a file holds an ESM-2 encoder."""
    return any(name.endswith((EMBEDDING, "embeddings.word_embeddings.weight")) for name in names)


def our_name(name: str) -> str:
    """Translate a name to fair-esm's without a prefix; "" for what no encoder reads.

    A star stands for every layer.

    Raises:
        KeyError: an ESM-2 encoder has nothing of that name.
    """
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if _UNUSED.match(name):
        return ""
    if _OFFICIAL.match(name) and name not in _OUTSIDE:
        return name
    match = _LAYER.fullmatch(name)
    return f"layers.{match[1]}.{IN_LAYER[match[2]]}.{match[3]}" if match else _OUTSIDE[name]


class EncoderCheckpoint(Checkpoint):
    """An encoder, from one file or several.

    Attributes:
        sizes: of the encoder.
        remarks: sentences about what the files lack.
    """

    def __init__(self, parts: list[Checkpoint], path: Path, settings: Mapping) -> None:
        self.parts, self.path, self.kind = parts, path, parts[0].kind
        self.saved_as, self.settings = parts[0].saved_as, dict(settings)
        self.table, self.remarks = {}, []
        self.list_tensors()
        heads = _number(settings, "encoder_attention_heads", "num_attention_heads", "heads")
        self.sizes = read_sizes(
            {name: shape for name, shape in self.shapes().items() if name != TIED}, heads,
            " with ".join(str(p) for p in dict.fromkeys([path, *(p.path for p in parts[1:])])),
            str(settings.get("token_dropout", True)).lower() != "false")
        self._check()

    def list_tensors(self) -> None:
        """Fill `table`: our name -> (type, shape, (file, its name))."""
        for part in self.parts:
            for name in part.names():
                try:
                    ours = our_name(name)
                except KeyError:
                    raise CheckpointError(
                        f"tensor {ascii(name[:120])} has no place in an ESM-2 encoder",
                        where=str(part.path), fix="give an ESM-2 or ISM file") from None
                if ours:
                    self.table[ours] = (part.dtype(name), part.shapes()[name], (part, name))
        shared = self.table.pop(FREQUENCIES.format("*"), None)
        numbers = {name.split(".")[1] for name in self.table if name.startswith("layers.")}
        for number in numbers if shared else ():
            self.table.setdefault(FREQUENCIES.format(number), shared)

    def _check(self) -> None:
        """Refuse settings and tensors that another network has; note what is absent."""
        kind = self.settings.get("position_embedding_type", "rotary")
        if kind != "rotary" or self.settings.get("emb_layer_norm_before"):
            raise CheckpointError(f"an encoder of another architecture (positions: {kind!a})",
                                  where=str(self.path), fix="give an ESM-2 or ISM file")
        if TIED in self.table:
            if not np.array_equal(self.read(TIED), self.read(EMBEDDING)):
                raise CheckpointError(f"{TIED} is not the embedding, as in every ESM-2 encoder",
                                      where=str(self.path), fix="give the official file")
            del self.table[TIED]
        if FREQUENCIES.format(0) not in self.table:
            self.remarks.append("the file holds no rotary frequencies (inv_freq): those of the "
                                "formula are used, and released models differ from them")
        if CONTACT_WEIGHT not in self.table:
            self.remarks.append("without a regression for contacts; representations need none")

    def expected(self) -> Shapes:
        """List what an encoder of these sizes has and the files hold, in fair-esm's order."""
        shapes = encoder_shapes(self.sizes, LM_BIAS in self.table, CONTACT_WEIGHT in self.table)
        return {name: shape for name, shape in shapes.items() if name in self.table}

    def metadata(self) -> dict[str, str]:
        """Return the settings that our own file keeps beside the tensors."""
        return {"heads": str(self.sizes.heads),
                "token_dropout": str(self.sizes.token_dropout).lower()}

    def name(self) -> str:
        """Return the released model that names tell, if the sizes fit, else the file's stem."""
        text = f"{self.path.resolve()} {self.saved_as}"
        names = [n for n in RELEASED if n in text and self.fits(n)]
        stem = self.path.name.partition(".")[0]
        return max(names, key=len, default="another encoder" if stem in RELEASED else stem)

    def fits(self, model: str) -> bool:
        """Tell whether a released model of that name has these sizes."""
        return replace(self.sizes, token_dropout=True) == RELEASED.get(model)

    def read(self, name: str) -> np.ndarray:
        """Read a tensor, see `Checkpoint`."""
        part, theirs = self.table[name][2]
        return part.read(theirs)

    def close(self) -> None:
        """Release the files."""
        for part in self.parts:
            part.close()


def _number(settings: Mapping, *names: str) -> int | None:
    value = next((settings[name] for name in names if name in settings), None)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return 0  # which fits no width, and is refused by the sizes


def open_encoder(path: Path) -> EncoderCheckpoint:
    """Open an encoder: a `.pt` with its contact regression, safetensors, or a folder.

    Raises:
        CheckpointError: absent, damaged, refused, or of another architecture.
    """
    files = _files_of(path) if path.is_dir() else [path]
    settings = path / _SETTINGS if path.is_dir() else None
    regression = path.with_name(path.stem + REGRESSION)
    with ExitStack() as on_failure:
        parts = []
        for file in [*files, *([regression] if regression.is_file() else [])]:
            parts.append(open_checkpoint(file))
            on_failure.callback(parts[-1].close)
        read = parts[0].settings | (_read_json(settings) if settings else {})
        encoder = EncoderCheckpoint(parts, path, read)
        on_failure.pop_all()
    return encoder


def _files_of(folder: Path) -> list[Path]:
    """List the files of a transformers folder: one, or all that an index names."""
    for index in (folder / name for name in _INDICES):
        if index.is_file():
            table = _read_json(index).get("weight_map")
            names = set(table.values()) if type(table) is dict else {""}
            if not all(type(n) is str and n and Path(n).name == n for n in names):
                raise CheckpointError("weight_map does not name files of this folder",
                                      where=str(index), fix="fetch the folder again")
            return [folder / name for name in sorted(names)]
    files = [folder / name for name in _FILES if (folder / name).is_file()]
    if not files:
        raise CheckpointError(f"the folder holds none of {', '.join([*_FILES, *_INDICES])}",
                              where=str(folder), fix="give a folder of transformers, or a file")
    return files[:1]


def _read_json(path: Path) -> dict:
    try:
        with path.open("rb") as file:
            tree = json.loads(file.read(_MOST_SETTINGS))
        if type(tree) is dict:
            return tree
    except (OSError, ValueError, RecursionError):
        pass
    raise CheckpointError("is no JSON object that can be read", where=str(path),
                          fix="fetch the folder again")


def write_official(
    target: Path, encoder: EncoderCheckpoint, columns: list[Column], read: ReadBits
) -> list[str]:
    """Write a `.pt` that fair-esm loads, and its contact regression beside it.

    Frequencies that the source lacks are computed. Returns remarks.
    """
    sizes = encoder.sizes
    table = {name: (name, dtype, shape) for name, dtype, shape in columns}
    regression = [table.pop(name) for name in list(table) if name.startswith("contact_head.")]
    for layer in range(sizes.layers):
        name = FREQUENCIES.format(layer)
        table.setdefault(name, (name, "F32", (sizes.head_width // 2,)))
    if LM_BIAS in table:
        table[TIED] = (TIED, *table[EMBEDDING][1:])

    def bits(name: str) -> np.ndarray:
        ours = name.removeprefix("encoder.").removeprefix("sentence_encoder.")
        ours = EMBEDDING if ours == TIED else ours
        if ours.endswith("inv_freq") and ours not in encoder.table:
            return plain_frequencies(sizes.head_width)
        return read(ours)

    renamed = [(f"encoder.{'' if n.startswith('lm_head.') else 'sentence_encoder.'}{n}", *rest)
               for n, *rest in table.values()]
    settings = {"_name": "esm2", "encoder_layers": sizes.layers, "encoder_embed_dim": sizes.width,
                "encoder_ffn_embed_dim": 4 * sizes.width,
                "encoder_attention_heads": sizes.heads, "token_dropout": sizes.token_dropout}
    with replacing(target) as file:
        write_torch(file, renamed, bits, {}, settings)
    beside = target.with_name(target.stem + REGRESSION)
    if not regression:
        return [f"fair-esm asks for {beside.name} beside it, for which the source has no weights"]
    with replacing(beside) as file:
        write_torch(file, regression, read, {})
    if not target.stem.startswith("esm2"):
        return ["fair-esm reads this layout only from files whose name begins with esm2"]
    return []
