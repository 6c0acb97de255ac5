# SPDX-License-Identifier: Apache-2.0
"""ESM-2 files in every layout: read, converted, written back, and refused."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from ckpt_convert.convert import Options, convert
from ckpt_convert.encoder import open_encoder, our_name
from protenix_ms.config.encoder import (
    RELEASED,
    EncoderSizes,
    encoder_shapes,
    plain_frequencies,
    read_sizes,
)
from protenix_ms.errors import CheckpointError
from protenix_ms.model.weights import rule_array

SIZES = EncoderSizes(2, 24, 3)
ARRAYS = {name: rule_array(name, shape) for name, shape in encoder_shapes(SIZES).items()}
IN_LAYER = {
    "self_attn.q_proj": "attention.self.query", "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value", "self_attn.out_proj": "attention.output.dense",
    "self_attn.rot_emb": "attention.self.rotary_embeddings",
    "self_attn_layer_norm": "attention.LayerNorm", "fc1": "intermediate.dense",
    "fc2": "output.dense", "final_layer_norm": "LayerNorm",
}


def official(folder, arrays=ARRAYS, stem="esm2_small", tied=None, half=False, **settings):
    """Write the two files of fair-esm."""
    def prefixed(name):
        return f"encoder.{'' if name.startswith('lm_head') else 'sentence_encoder.'}{name}"

    kind = torch.float16 if half else torch.float32
    model = {prefixed(n): torch.tensor(a).to(kind) for n, a in arrays.items()
             if not n.startswith("contact_head")}
    model["encoder.lm_head.weight"] = torch.tensor(
        arrays["embed_tokens.weight"] if tied is None else tied).to(kind)
    cfg = Namespace(encoder_layers=2, encoder_embed_dim=24, encoder_attention_heads=3,
                    token_dropout=True, other=[1, {"a": None}])
    vars(cfg).update(settings)
    torch.save({"cfg": {"model": cfg, "task": None}, "model": model}, folder / f"{stem}.pt")
    torch.save({"model": {n: torch.tensor(a) for n, a in arrays.items()
                          if n.startswith("contact_head")}},
               folder / f"{stem}-contact-regression.pt")
    return folder / f"{stem}.pt"


def transformers_names(prefix="esm."):
    """Name the arrays as transformers does."""
    arrays = {}
    for name, array in ARRAYS.items():
        part = name.split(".")
        if name.startswith("layers."):
            middle = IN_LAYER[".".join(part[2:-1])]
            name = f"{prefix}encoder.layer.{part[1]}.{middle}.{part[-1]}"
        elif name == "embed_tokens.weight":
            name = f"{prefix}embeddings.word_embeddings.weight"
        elif name.startswith("emb_layer_norm"):
            name = f"{prefix}encoder.{name}"
        elif name.startswith("contact_head"):
            name = f"{prefix}{name}"
        arrays[name] = array
    arrays[f"{prefix}embeddings.position_embeddings.weight"] = np.zeros((4, 24), np.float32)
    return arrays


def folder_of(path, arrays, **settings):
    path.mkdir()
    save_file(arrays, path / "model.safetensors")
    write_settings(path, **settings)
    return path


def write_settings(path, **settings):
    tree = {"num_attention_heads": 3, "position_embedding_type": "rotary", "token_dropout": True}
    (path / "config.json").write_text(json.dumps(tree | settings))


def assert_read(path, arrays=ARRAYS):
    encoder = open_encoder(path)
    assert encoder.sizes == SIZES and list(encoder.expected()) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(encoder.read(name), array)
    encoder.close()


def test_official_file(tmp_path):
    assert_read(official(tmp_path))


@pytest.mark.parametrize("prefix", ["esm.", ""])
def test_folder(tmp_path, prefix):
    assert_read(folder_of(tmp_path / "a", transformers_names(prefix)))


@pytest.mark.parametrize("name", ["esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq",
                                  "esm.rotary_embeddings.inv_freq"])
def test_one_entry_for_the_frequencies_of_all_layers(tmp_path, name):
    arrays = {n: a for n, a in transformers_names().items() if "inv_freq" not in n}
    arrays[name] = np.array([1.0, 0.5, 0.25, 0.125], np.float32)
    path = folder_of(tmp_path / "a", arrays)
    encoder = open_encoder(path)
    for layer in range(2):
        np.testing.assert_array_equal(
            encoder.read(f"layers.{layer}.self_attn.rot_emb.inv_freq"), arrays[name])


def test_shards_and_bin(tmp_path):
    arrays = {n: torch.tensor(a) for n, a in transformers_names().items()}
    folder = tmp_path / "a"
    folder.mkdir()
    names, table = list(arrays), {}
    for i in range(2):
        part = {n: arrays[n] for n in names[i::2]}
        torch.save(part, folder / f"pytorch_model-{i}.bin")
        table |= dict.fromkeys(part, f"pytorch_model-{i}.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": table}))
    write_settings(folder)
    assert_read(folder)
    bad = table | {names[0]: "../a.bin"}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": bad}))
    with pytest.raises(CheckpointError, match="does not name files of this folder"):
        open_encoder(folder)


def test_there_and_back(tmp_path):
    """fp16 stays on disk, frequencies stay what they are, and PyTorch reads the result."""
    source = official(tmp_path, half=True)
    report = convert(source, tmp_path / "a.safetensors", Options())
    assert report.model == "esm2_small" and report.dtype["F16"] > 30
    convert(tmp_path / "a.safetensors", tmp_path / "esm2_back.pt", Options("pt"))
    with torch.serialization.safe_globals([Namespace]):
        for stem in ("", "-contact-regression"):
            old, new = (torch.load(tmp_path / f"{name}{stem}.pt", weights_only=True)
                        for name in ("esm2_small", "esm2_back"))
            assert new["model"].keys() == old["model"].keys()
            for name, tensor in old["model"].items():
                assert torch.equal(new["model"][name], tensor), name
    assert new.get("cfg") is None
    back = torch.load(tmp_path / "esm2_back.pt", weights_only=False)["cfg"]["model"]
    assert (back.encoder_layers, back.encoder_attention_heads, back.token_dropout) == (2, 3, True)


def test_narrowing_keeps_the_frequencies(tmp_path):
    source = official(tmp_path)
    convert(source, tmp_path / "a.safetensors", Options(dtype="fp16"))
    arrays = load_file(tmp_path / "a.safetensors")
    assert arrays["layers.0.fc1.weight"].dtype == np.float16
    assert arrays["layers.0.self_attn.rot_emb.inv_freq"].dtype == np.float32
    encoder = open_encoder(tmp_path / "a.safetensors")
    assert encoder.sizes == SIZES  # heads stand beside the tensors


def test_what_is_absent_is_said(tmp_path):
    arrays = {n: a for n, a in ARRAYS.items() if "inv_freq" not in n}
    source = official(tmp_path, arrays)
    (tmp_path / "esm2_small-contact-regression.pt").unlink()
    report = convert(source, tmp_path / "a.safetensors", Options())
    assert "inv_freq" in report.remarks[0] and "contacts" in report.remarks[1]
    report = convert(source, tmp_path / "back.pt", Options("pt"))
    assert "back-contact-regression.pt" in report.remarks[-1]
    back = open_encoder(tmp_path / "back.pt")
    np.testing.assert_array_equal(back.read("layers.1.self_attn.rot_emb.inv_freq"),
                                  plain_frequencies(8))


def changed(name, shape):
    return ARRAYS | {name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize("arrays, settings, says", [
    (ARRAYS, {"encoder_attention_heads": 5}, "5 heads do not fit a width of 24"),
    (ARRAYS, {"encoder_attention_heads": "many"}, "0 heads do not fit"),
    (changed("contact_head.regression.weight", (1, 5)), {},
     r"regression.weight' has shape \(1, 5\)"),
    (changed("layers.1.fc1.weight", (90, 24)), {}, r"'layers.1.fc1.weight' has shape \(90, 24\)"),
    ({n: a for n, a in ARRAYS.items() if n != "layers.0.fc2.bias"}, {}, "fc2.bias' is missing"),
    (changed("embed_positions.weight", (9, 24)), {}, "has no place in an ESM-2 encoder"),
], ids=["heads", "no number", "regression", "shape", "missing", "esm1"])
def test_other_architectures(tmp_path, arrays, settings, says):
    with pytest.raises(CheckpointError, match=says):
        open_encoder(official(tmp_path, arrays, **settings))


def test_folders_that_do_not_serve(tmp_path):
    absolute = folder_of(tmp_path / "a", transformers_names(), position_embedding_type="absolute")
    with pytest.raises(CheckpointError, match="another architecture"):
        open_encoder(absolute)
    (absolute / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="no JSON object"):
        open_encoder(absolute)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors"):
        open_encoder(tmp_path / "empty")


def test_a_head_that_is_not_tied(tmp_path):
    with pytest.raises(CheckpointError, match="lm_head.weight is not the embedding"):
        open_encoder(official(tmp_path, tied=np.ones((33, 24), np.float32)))


def test_a_name_that_does_not_fit(tmp_path):
    source = official(tmp_path)
    for model in ("esm2_t6_8M_UR50D", "protenix_tiny_default_v0.5.0"):
        with pytest.raises(CheckpointError, match=f"2 layers and width 24, not {model}"):
            convert(source, tmp_path / "a.safetensors", Options(model=model))
    assert open_encoder(official(tmp_path, stem="esm2_t6_8M_UR50D")).name() == "another encoder"


def test_names():
    assert our_name("esm.pooler.dense.weight") == ""
    with pytest.raises(KeyError):
        our_name("esm.encoder.layer.0.attention.self.query.scale")
    with pytest.raises(CheckpointError, match="not the weights of an ESM-2"):
        read_sizes({"a": (1,)})


def test_released_sizes():
    """Numbers of parameters as fair-esm builds them; the tied matrix counts once."""
    counts = {name: sum(int(np.prod(s)) for n, s in encoder_shapes(sizes).items()
                        if "inv_freq" not in n) for name, sizes in RELEASED.items()}
    assert counts["esm2_t6_8M_UR50D"] == 7_512_474
    assert counts["esm2_t12_35M_UR50D"] == 33_501_394
    assert counts["esm2_t48_15B_UR50D"] == 15_129_100_194
    assert counts["esm2_t36_3B_UR50D"] == counts["esm2_t36_3B_UR50D_ism"] == 2_839_005_634
