# SPDX-License-Identifier: Apache-2.0
"""Sizes of ESM-2 encoders, and the names and shapes of their parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protenix_ms.constants.restypes import TOKENS
from protenix_ms.errors import CheckpointError, ConfigError
from protenix_ms.typing import Array, Float

Shapes = dict[str, tuple[int, ...]]

_FLOAT = 4  # bytes
EXPANSION = 4
"""Channels of a transition, over the width."""

EMBEDDING, CONTACT_WEIGHT = "embed_tokens.weight", "contact_head.regression.weight"
LM_BIAS = "lm_head.bias"
FREQUENCIES = "layers.{}.self_attn.rot_emb.inv_freq"
"""A buffer of each layer; the released files hold values that were rounded to fp16."""

_LAYER = re.compile(r"layers\.(\d+)\.")


@dataclass(frozen=True)
class EncoderSizes:
    """The sizes that make an encoder.

    Attributes:
        layers: number of transformer layers.
        width: channels of the representations.
        heads: heads of each layer; their width is even.
        token_dropout: inputs are rescaled by the share of masked tokens, as in training.
    """

    layers: int
    width: int
    heads: int
    token_dropout: bool = True

    @property
    def head_width(self) -> int:
        """Return the channels of one head."""
        return self.width // self.heads


RELEASED = {
    "esm2_t6_8M_UR50D": EncoderSizes(6, 320, 20),
    "esm2_t12_35M_UR50D": EncoderSizes(12, 480, 20),
    "esm2_t30_150M_UR50D": EncoderSizes(30, 640, 20),
    "esm2_t33_650M_UR50D": EncoderSizes(33, 1280, 20),
    "esm2_t36_3B_UR50D": EncoderSizes(36, 2560, 40),
    "esm2_t48_15B_UR50D": EncoderSizes(48, 5120, 40),
    "ism_t33_650M_uc30pdb": EncoderSizes(33, 1280, 20),
    "esm2_t36_3B_UR50D_ism": EncoderSizes(36, 2560, 40),
}
"""Sizes of the released encoders, ESM-2 and ISM. A file's sizes are read from its shapes."""

OF_VARIANT = {"esm2-3b": "esm2_t36_3B_UR50D", "esm2-3b-ism": "esm2_t36_3B_UR50D_ism"}
"""Encoder that a Protenix variant reads, by the `esm.model_name` of its configuration."""


def plain_frequencies(width: int) -> Float[Array, "_"]:
    """Compute the rotary frequencies ``10000^(-2i/d)`` of a head width d, i below d/2, in float32.

    Files of released models hold others, rounded to fp16 (see docs/encoder.md): these serve only
    where a file has none.
    """
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return (1.0 / 10000.0 ** exponents).astype(np.float32)


def layer_shapes(width: int) -> Shapes:
    """List the trained parameters of one layer: fair-esm's name within the layer -> shape."""
    shapes: Shapes = {}
    for name, c_in, c_out in (
        *((f"self_attn.{x}_proj", width, width) for x in "kvq"),
        ("self_attn.out_proj", width, width),
        ("fc1", width, EXPANSION * width), ("fc2", EXPANSION * width, width),
    ):
        shapes |= {f"{name}.weight": (c_out, c_in), f"{name}.bias": (c_out,)}
    for name in ("self_attn_layer_norm", "final_layer_norm"):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def encoder_shapes(sizes: EncoderSizes, lm_head: bool = True, contact_head: bool = True) -> Shapes:
    """List the parameters of an encoder: fair-esm's name -> shape, frequencies included.

    Args:
        lm_head: with the head for logits, whose matrix is the embedding.
        contact_head: with the regression for contacts.
    """
    c = sizes.width
    shapes: Shapes = {EMBEDDING: (len(TOKENS), c)}
    for layer in range(sizes.layers):
        shapes |= {f"layers.{layer}.{name}": s for name, s in layer_shapes(c).items()}
        shapes[FREQUENCIES.format(layer)] = (sizes.head_width // 2,)
    shapes |= {"emb_layer_norm_after.weight": (c,), "emb_layer_norm_after.bias": (c,)}
    if lm_head:
        shapes |= {LM_BIAS: (len(TOKENS),),
                   "lm_head.dense.weight": (c, c), "lm_head.dense.bias": (c,),
                   "lm_head.layer_norm.weight": (c,), "lm_head.layer_norm.bias": (c,)}
    if contact_head:
        shapes |= {CONTACT_WEIGHT: (1, sizes.layers * sizes.heads),
                   "contact_head.regression.bias": (1,)}
    return shapes


def read_sizes(
    shapes: Mapping[str, tuple[int, ...]], heads: int | None = None, where: str = "",
    token_dropout: bool = True,
) -> EncoderSizes:
    """Tell the sizes of an encoder from the shapes of its parameters, and hold them to these.

    Args:
        shapes: under fair-esm's names, in any order.
        heads: as the file's own settings say; None reads it from the length of the frequencies.
        where: the file.

    Raises:
        CheckpointError: the parameters are not those of an ESM-2 encoder.
    """
    embedding = shapes.get(EMBEDDING, ())
    numbers = {int(match[1]) for match in map(_LAYER.match, shapes) if match}
    if len(embedding) != 2 or embedding[0] != len(TOKENS) or not numbers:
        raise CheckpointError("these are not the weights of an ESM-2 encoder", where=where,
                              fix="give an ESM-2 or ISM file (esm2_t33_650M_UR50D, ...)")
    width, pair = embedding[1], shapes.get(FREQUENCIES.format(0), ())
    if heads is None:
        if len(pair) != 1 or not pair[0]:
            raise CheckpointError("the number of heads stands neither in the file's settings nor "
                                  "in its rotary frequencies", where=where,
                                  fix="give the official file, or the folder with config.json")
        heads = width // (2 * pair[0])
    if heads < 1 or width % (2 * heads) or (pair and pair != (width // heads // 2,)):
        raise CheckpointError(f"{heads} heads do not fit a width of {width} and "
                              f"{pair[0] if pair else 'no'} rotary frequencies", where=where,
                              fix="fetch the file again from its source")
    sizes = EncoderSizes(max(numbers) + 1, width, heads, token_dropout)
    _require_shapes(sizes, shapes, where)
    return sizes


def _require_shapes(
    sizes: EncoderSizes, shapes: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Refuse parameters that are missing or of another shape; frequencies may be absent."""
    expected = encoder_shapes(sizes, LM_BIAS in shapes, CONTACT_WEIGHT in shapes)
    for name, shape in expected.items():
        if name not in shapes and not name.endswith("inv_freq"):
            raise CheckpointError(f"'{name}' is missing", where=where,
                                  fix="fetch the file again from its source")
        if shapes.get(name, shape) != shape:
            raise CheckpointError(f"'{name}' has shape {shapes[name]}, an encoder of these sizes "
                                  f"has {shape}", where=where,
                                  fix="give files of one and the same model")


@dataclass(frozen=True)
class EncoderWeights:
    """Where an encoder's weights are read from.

    Attributes:
        sizes: of the encoder.
        names: the parameters that are there, by fair-esm's names.
        read: returns one of them.
        digest: sha256 of the file, or what made the numbers.
        label: what to call them in logs and errors.
        remarks: sentences about what the file lacks.
    """

    sizes: EncoderSizes
    names: frozenset[str]
    read: Callable[[str], Array]
    digest: str
    label: str
    remarks: tuple[str, ...] = ()

    @property
    def shapes(self) -> Shapes:
        """List the parameters that the encoder will have."""
        return encoder_shapes(self.sizes, LM_BIAS in self.names, CONTACT_WEIGHT in self.names)

    @property
    def bytes_in_memory(self) -> int:
        """Return the size of all parameters in fp32."""
        return _FLOAT * sum(int(np.prod(shape)) for shape in self.shapes.values())

    def array(self, name: str) -> Array:
        """Read a parameter as float32; frequencies that the file lacks follow the formula."""
        if name not in self.names and name.endswith("inv_freq"):
            return plain_frequencies(self.sizes.head_width)
        return np.asarray(self.read(name), np.float32)

    def require_heads(self, contacts: bool, logits: bool) -> None:
        """Refuse a wish that these weights have no head for. Raises CheckpointError."""
        if contacts and CONTACT_WEIGHT not in self.names:
            raise absent_head(contacts=True, where=self.label)
        if logits and LM_BIAS not in self.names:
            raise absent_head(contacts=False, where=self.label)


def absent_head(contacts: bool, where: str = "") -> CheckpointError:
    """Make the refusal for weights without a head, for contacts or else for logits."""
    if contacts:
        return CheckpointError(
            "the encoder's file has no regression for contacts", where=where,
            fix="put <name>-contact-regression.pt beside the official file and convert it again, "
            "or leave the contacts out")
    return CheckpointError("the encoder's file has no head for logits (lm_head)", where=where,
                           fix="give the official file, or leave the logits out")


def number_layers(wanted: Sequence[int], layers: int) -> tuple[int, ...]:
    """Number representations from 0 to `layers`; negative ones count from the end.

    Raises:
        ConfigError: there is none of that number.
    """
    for number in wanted:
        if not -layers - 1 <= number <= layers:
            raise ConfigError(f"the encoder has no layer {number}", where="--layers",
                              fix=f"choose among 0 to {layers}, or -1 to {-layers - 1}")
    return tuple(dict.fromkeys(number % (layers + 1) for number in wanted))
