# SPDX-License-Identifier: Apache-2.0
"""Layers of the ESM-2 encoder and their gradients, beside live fair-esm."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.config.encoder import EncoderSizes
from protenix_ms.esm import load_encoder, rule_weights
from protenix_ms.esm.layers import EncoderLayer, TokenHead
from protenix_ms.esm.tokens import Packing, tokenize

torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
esm = pytest.importorskip("esm", reason="parity needs fair-esm 2.0.0 (extra `test`)")

SEQUENCES = ("MKT<mask>YIAKQR", "GAVLIX", "MQIFVKTLTGKTIT<mask>EV")
SIZES = EncoderSizes(2, 48, 2)


def packing(*sequences: str) -> Packing:
    return Packing(tuple(tokenize(sequence) for sequence in sequences))


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("heads", [2, 4], ids=["width 24", "width 12"])
def test_layer(compare, heads):
    theirs = esm.modules.TransformerLayer(48, 192, heads, add_bias_kv=False,
                                          use_esm1b_layer_norm=True, use_rotary_embeddings=True)
    frequencies = theirs.self_attn.rot_emb.inv_freq.half().float().numpy()
    rows = packing(*SEQUENCES)

    def upstream(layer, x):
        layer.self_attn.rot_emb._seq_len_cached = None  # its tables have the last call's type
        parts = [layer(x["x"][part][:, None])[0][:, 0] for part in rows.parts]
        return torch.cat(parts)

    compare(
        EncoderLayer(48, heads), theirs, {"x": normal(len(rows.tokens), 48)},
        call_ours=lambda layer, x: layer(x["x"], rows), call_upstream=upstream,
        fixed={"self_attn.rot_emb.inv_freq": frequencies}, bound=1e-4,
    ).run()


def test_token_head(compare):
    embedding = normal(33, 48)
    theirs = esm.modules.RobertaLMHead(48, 33, torch.nn.Parameter(torch.tensor(embedding)))
    del theirs._parameters["weight"]
    theirs.register_buffer("weight", torch.tensor(embedding), persistent=False)
    compare(
        TokenHead(48), theirs, {"x": normal(7, 48)},
        call_ours=lambda head, x: head(x["x"], ms.Tensor(embedding)),
        call_upstream=lambda head, x: head(x["x"]),
    ).run()


@pytest.fixture(scope="module")
def gradients():
    """Gradients of the weighted last representation by every parameter: ours, fair-esm's."""
    weights = rule_weights(SIZES, gain=1.5)
    theirs = esm.ESM2(SIZES.layers, SIZES.width, SIZES.heads, "ESM-1b").double().eval()
    state = {name: torch.tensor(weights.array(name)).double() for name in weights.shapes
             if "inv_freq" not in name}
    assert not theirs.load_state_dict(state, strict=False).unexpected_keys
    _, _, tokens = theirs.alphabet.get_batch_converter()([("", s) for s in SEQUENCES])
    cotangent = normal(tokens.shape[0], tokens.shape[1], SIZES.width)
    cotangent[tokens.numpy() == 1] = 0
    last = theirs(tokens, repr_layers=[2])["representations"][2]
    (last * torch.tensor(cotangent)).sum().backward()
    exact = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    ours = load_encoder(weights)
    rows = packing(*SEQUENCES)
    factor = ms.Tensor(np.concatenate([c[: len(r)] for c, r in zip(cotangent, rows.rows)]))
    return ours, rows, factor, exact


def by_name(total, encoder, names):
    parameters = [p for n, p in encoder.parameters_and_names() if n in names]
    _, values = ms.value_and_grad(total, None, parameters)()
    return dict(zip([n for n, _ in encoder.parameters_and_names() if n in names],
                    (v.asnumpy() for v in values)))


def assert_close(mine, exact):
    for name, value in mine.items():
        error = np.abs(value - exact[name]).max() / np.abs(exact[name]).max()
        assert error <= 1e-4, f"{name}: {error:.1e}"


def test_gradient_of_all_layers(gradients):
    encoder, rows, factor, exact = gradients
    names = {n for n in exact if not n.startswith(("lm_head", "contact_head"))}
    assert len(names) == 1 + 2 * 16 + 2
    assert_close(by_name(lambda: (encoder(rows) * factor).sum(), encoder, names), exact)


def test_gradient_of_the_last_layer_alone(gradients):
    encoder, rows, factor, exact = gradients
    x = encoder.run_layers(encoder.embed(rows), rows, last=1)
    names = {n for n in exact if n.startswith(("layers.1.", "emb_layer_norm_after"))}

    def total():
        return (encoder.finish(encoder.run_layers(x, rows, first=1)) * factor).sum()

    assert_close(by_name(total, encoder, names), exact)
