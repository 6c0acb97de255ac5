# SPDX-License-Identifier: Apache-2.0
"""Measure the ESM-2 encoder beside fair-esm, fair-esm with PyTorch's fused attention, and
transformers, which has that attention of its own (`pip install transformers`)."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from measure import Work, alternate, serve

from ckpt_convert.encoder import IN_LAYER
from protenix_ms.config.encoder import RELEASED, EncoderSizes, EncoderWeights, encoder_shapes
from protenix_ms.esm.tokens import tokenize

SIDES = ("ours", "fair-esm", "sdpa")  # and "transformers", which no extra installs
SIZES = {name.split("_")[2]: sizes for name, sizes in RELEASED.items() if name.endswith("UR50D")}
SIZES["24L"] = EncoderSizes(24, 1280, 20)
LETTERS = "LAGVSERTIDPKQNFYMHWC"


def weights_of(sizes: EncoderSizes) -> EncoderWeights:
    """Draw weights quickly, the same on every side."""
    shapes = encoder_shapes(sizes, contact_head=False)

    def read(name: str) -> np.ndarray:
        shape = shapes[name]
        if len(shape) == 1:
            return np.full(shape, 1.0 if name.endswith("norm.weight") else 0.01, np.float32)
        rng = np.random.default_rng(len(name))
        return rng.standard_normal(shape, np.float32) / np.float32(2 * np.sqrt(shape[-1]))

    return EncoderWeights(sizes, frozenset(n for n in shapes if "inv_freq" not in n), read, "", "")


def sequences_of(work: str, tokens: int) -> list[str]:
    """Draw one sequence of so many tokens; for mixed work eight of 64 tokens up to so many."""
    lengths = np.linspace(64, tokens, 8).astype(int) if "mixed" in work else [tokens]
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list(LETTERS), n - 2)) for n in lengths]


def ours(sizes: EncoderSizes, work: str) -> Work:
    """Encode by this program; the last representation counts."""
    import mindspore

    from protenix_ms.esm import encode, load_encoder

    mindspore.runtime.launch_blocking()
    encoder = load_encoder(weights_of(sizes))

    def prepare(tokens: int) -> Callable[[], object]:
        sequences = sequences_of(work, tokens)
        return lambda: [e.representations[sizes.layers] for e in encode(encoder, sequences)]

    return prepare


def theirs(sizes: EncoderSizes, work: str, fused: bool) -> Work:
    """Encode by fair-esm, whose batch is padded."""
    import torch
    from esm.model.esm2 import ESM2

    torch.set_num_threads(2)
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "uniform_", "normal_"):
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    model = ESM2(sizes.layers, sizes.width, sizes.heads, "ESM-1b").eval()
    weights = weights_of(sizes)
    state = {name: torch.from_numpy(weights.read(name)) for name in weights.names}
    model.load_state_dict(state | {"lm_head.weight": state["embed_tokens.weight"]}, strict=False)
    if fused:
        for layer in model.layers:
            layer.self_attn.forward = fused_attention(layer.self_attn)

    def prepare(tokens: int) -> Callable[[], object]:
        batch = [("", sequence) for sequence in sequences_of(work, tokens)]
        _, _, numbers = model.alphabet.get_batch_converter()(batch)

        @torch.no_grad()
        def run() -> object:
            last = model(numbers, repr_layers=[sizes.layers])["representations"][sizes.layers]
            return [x[: len(sequence) + 2].numpy() for x, (_, sequence) in zip(last, batch)]

        return run

    return prepare


def fused_attention(attention: object) -> Callable:
    """Make the forward pass of fair-esm's attention by scaled_dot_product_attention."""
    import torch

    def forward(query, key, value, key_padding_mask=None, **_):
        t, b, c = query.shape
        q, k, v = (f(query).view(t, b * attention.num_heads, -1).transpose(0, 1)
                   for f in (attention.q_proj, attention.k_proj, attention.v_proj))
        q, k = attention.rot_emb(q, k)
        q, k, v = (x.view(b, attention.num_heads, t, -1) for x in (q, k, v))
        kept = None if key_padding_mask is None else ~key_padding_mask[:, None, None]
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=kept)
        return attention.out_proj(o.permute(2, 0, 1, 3).reshape(t, b, c)), None

    return forward


def name_of_transformers(name: str) -> str:
    """Turn a name of fair-esm into the one of transformers."""
    if not name.startswith("layers."):
        return {"embed_tokens.weight": "embeddings.word_embeddings.weight"}.get(
            name, f"encoder.{name}")
    _, number, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    here = {theirs: mine for mine, theirs in IN_LAYER.items()}
    return f"encoder.layer.{number}.{here[part]}.{kind}"


def by_transformers(sizes: EncoderSizes, work: str) -> Work:
    """Encode by transformers' ESM with `attn_implementation="sdpa"`, whose batch is padded."""
    import torch
    from transformers import EsmConfig, EsmModel

    torch.set_num_threads(2)
    config = EsmConfig(
        vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=sizes.width,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width, position_embedding_type="rotary", token_dropout=True,
        attn_implementation="sdpa")
    model, weights = EsmModel(config, add_pooling_layer=False).eval(), weights_of(sizes)
    model.load_state_dict({name_of_transformers(name): torch.from_numpy(weights.read(name))
                           for name in weights.names if not name.startswith("lm_head")},
                          strict=False)

    def prepare(tokens: int) -> Callable[[], object]:
        rows = [tokenize(sequence) for sequence in sequences_of(work, tokens)]
        numbers = torch.ones((len(rows), max(map(len, rows))), dtype=torch.long)
        for place, row in zip(numbers, rows):
            place[: len(row)] = torch.from_numpy(row)

        @torch.no_grad()
        def run() -> object:
            last = model(numbers, attention_mask=(numbers != 1).long()).last_hidden_state
            return [x[: len(row)].numpy() for x, row in zip(last, rows)]

        return run

    return prepare


def encoder(args: argparse.Namespace) -> list[dict] | None:
    """Measure whole encoders: ours, fair-esm, and fair-esm with scaled_dot_product_attention.

    Every side has the same weights. Work is a size (8M, 35M, 150M, 650M, 24L: 24 layers of width
    1280), with "+mixed" eight sequences of 64 tokens up to `--tokens`.
    """
    if args.serve:
        sizes = SIZES[args.work.removesuffix("+mixed")]
        serve(ours(sizes, args.work) if args.serve == "ours" else
              by_transformers(sizes, args.work) if args.serve == "transformers" else
              theirs(sizes, args.work, args.serve == "sdpa"), 80)
        return None
    return [row for work in args.work.split(",") for tokens in args.tokens.split(",")
            for row in alternate(args.sides.split(","), work, int(tokens), args.repeats)]


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `encoder`."""
    parser.add_argument("--work", default="8M,35M,150M,35M+mixed")
    parser.add_argument("--tokens", default="1024")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--repeats", type=int, default=3)


WORKLOADS = {"encoder": (encoder, add_encoder)}
