# SPDX-License-Identifier: Apache-2.0
"""The ESM-2 encoder: a sequence in, a vector for each residue out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from protenix_ms.config.encoder import EncoderSizes, absent_head, number_layers
from protenix_ms.esm.contacts import ContactHead, ContactMaps
from protenix_ms.esm.layers import Embedding, EncoderLayer, TokenHead
from protenix_ms.esm.tokens import Packing, pack, tokenize
from protenix_ms.model.layers import LayerNorm
from protenix_ms.typing import Array, Float

TOKENS_AT_ONCE = 4096
"""Sequences are packed up to so many tokens; a longer one runs alone."""

Progress = Callable[[int, int], None]
"""Takes how many layers times sequences are done, and how many there are."""


class Encoder(nn.Cell):
    """Encodes packed sequences by transformer layers (ESM-2; ISM has the same architecture).

    Args:
        sizes: of the network.
        lm_head, contact_head: whether there is a head for logits, and one for contacts.
        layers: what gives the layers in their order, as often as asked; None makes them all.
        tokens_per_sweep: so many tokens go through each layer before the next layer is taken,
            which pays where layers are read from disk.
    """

    def __init__(
        self, sizes: EncoderSizes, lm_head: bool = True, contact_head: bool = True,
        layers: Iterable[EncoderLayer] | None = None, tokens_per_sweep: int = 0,
    ) -> None:
        super().__init__()
        self.sizes, self.tokens_per_sweep, c = sizes, tokens_per_sweep, sizes.width
        self.embed_tokens = Embedding(c)
        self.layers = nn.CellList([EncoderLayer(c, sizes.heads) for _ in range(sizes.layers)]
                                  ) if layers is None else layers
        self.emb_layer_norm_after = LayerNorm(c)
        self.lm_head = TokenHead(c) if lm_head else None
        self.contact_head = ContactHead(sizes.layers * sizes.heads) if contact_head else None

    def embed(self, packing: Packing) -> Float[Tensor, "t c"]:
        """Look up the tokens; masked ones are zero, the others rescaled (representation 0)."""
        x = ops.gather(self.embed_tokens.weight, Tensor(packing.tokens), 0)
        if self.sizes.token_dropout:
            x = x * ops.expand_dims(Tensor(packing.rescaling()), 1)
        return x

    def construct(self, packing: Packing) -> Float[Tensor, "t c"]:
        """Return the last representation; everything is differentiable."""
        return self.finish(self.run_layers(self.embed(packing), packing))

    def run_layers(
        self, x: Float[Tensor, "t c"], packing: Packing, first: int = 0, last: int | None = None,
    ) -> Float[Tensor, "t c"]:
        """Run the layers from `first` on, up to `last`, both counted from 0.

        Fine-tuning of the last layers runs the first ones once, outside of the gradient.
        """
        for layer in list(self.layers)[first:last]:
            x = layer(x, packing)
        return x

    def finish(self, x: Float[Tensor, "t c"]) -> Float[Tensor, "t c"]:
        """Normalise the residual stream of the last layer."""
        return self.emb_layer_norm_after(x)

    def logits(self, x: Float[Tensor, "t c"]) -> Float[Tensor, "t v"]:
        """Score every token at every place from the last representation.

        Raises:
            CheckpointError: the weights have no such head.
        """
        if self.lm_head is None:
            raise absent_head(contacts=False)
        return self.lm_head(x, self.embed_tokens.weight)

    def contact_maps(self, packing: Packing) -> ContactMaps:
        """Return what watches the layers and gives contacts.

        Raises:
            CheckpointError: the weights have no regression.
        """
        if self.contact_head is None:
            raise absent_head(contacts=True)
        return ContactMaps(self.contact_head, packing)


@dataclass(frozen=True)
class Encoding:
    """What the encoder says about one sequence.

    Attributes:
        sequence: its letters.
        representations: by number, float32 ``[t, c]`` with a row for the begin and the end token:
            0 the embedding, k the residual stream after layer k, the last one normalised.
        logits: ``[t, 33]``, or None.
        contacts: probabilities between residues ``[l, l]``, or None.
    """

    sequence: str
    representations: dict[int, Float[Array, "t c"]]
    logits: Float[Array, "t v"] | None = None
    contacts: Float[Array, "l l"] | None = None

    def residues(self, layer: int) -> Float[Array, "l c"]:
        """Return the vectors of the residues."""
        return self.representations[layer][1:-1]

    def mean(self, layer: int) -> Float[Array, "c"]:
        """Return the mean over the residues."""
        return self.residues(layer).mean(0)


def encode(
    encoder: Encoder, sequences: Sequence[str], layers: Sequence[int] = (-1,),
    contacts: bool = False, logits: bool = False, progress: Progress | None = None,
) -> Iterator[Encoding]:
    """Encode sequences of any lengths, in their order.

    Args:
        encoder: as `load_encoder` makes it.
        sequences: see `tokenize`.
        layers: representations to return (see `Encoding`); negative ones count from the end.
        contacts, logits: also compute these.

    Raises:
        InputError: a letter that is no residue.
        ConfigError: no such layer.
        CheckpointError: the weights lack the head that is asked for.
    """
    numbers = number_layers(layers, encoder.sizes.layers)
    rows = [tokenize(sequence, f"sequence {i}") for i, sequence in enumerate(sequences, 1)]
    passages = [_Passage(encoder, packing, places, numbers, contacts)
                for places, packing in pack(rows, TOKENS_AT_ONCE)]
    steps, done = encoder.sizes.layers * len(passages), 0
    for sweep in _sweeps(passages, encoder.tokens_per_sweep):
        for number, layer in enumerate(encoder.layers, 1):
            for passage in sweep:
                passage.through(layer, number)
                done += 1
                if progress is not None:
                    progress(done, steps)
        for passage in sweep:
            yield from passage.encodings(sequences, logits)


class _Passage:
    """One packing on its way through the layers."""

    def __init__(
        self, encoder: Encoder, packing: Packing, places: range, numbers: tuple[int, ...],
        contacts: bool,
    ) -> None:
        self._encoder, self.packing, self._places = encoder, packing, places
        self._numbers, self._kept = numbers, {}
        self._maps = encoder.contact_maps(packing) if contacts else None
        self._x: Tensor | None = None

    def through(self, layer: EncoderLayer, number: int) -> None:
        """Run the next layer, and keep its representation if it is wanted."""
        if number == 1:
            self._keep(0, self._encoder.embed(self.packing))
        x = layer(self._x, self.packing, self._maps)
        self._keep(number, self._encoder.finish(x) if number == self._encoder.sizes.layers else x)

    def _keep(self, number: int, x: Tensor) -> None:
        self._x = x
        if number in self._numbers:
            self._kept[number] = x.asnumpy()

    def encodings(self, sequences: Sequence[str], logits: bool) -> Iterator[Encoding]:
        """Yield what the encoder says about each sequence, and forget it."""
        scores = self._encoder.logits(self._x).asnumpy() if logits else None
        maps = self._maps.probabilities() if self._maps else [None] * len(self._places)
        for place, part, contacts in zip(self._places, self.packing.parts, maps):
            yield Encoding(sequences[place], {k: x[part].copy() for k, x in self._kept.items()},
                           None if scores is None else scores[part].copy(), contacts)
        self._x, self._maps, self._kept = None, None, {}


def _sweeps(passages: Sequence[_Passage], tokens: int) -> Iterator[list[_Passage]]:
    """Group packings that go through each layer before the next layer is taken."""
    sweep: list[_Passage] = []
    for passage in passages:
        if sweep and sum(len(p.packing.tokens) for p in [*sweep, passage]) > tokens:
            yield sweep
            sweep = []
        sweep.append(passage)
    if sweep:
        yield sweep
