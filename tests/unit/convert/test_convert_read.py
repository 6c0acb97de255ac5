# SPDX-License-Identifier: Apache-2.0
"""Reading what torch.save writes: every layout that can be produced here, against torch itself."""

import io
import zipfile

import numpy as np
import pytest
import torch
from torch.serialization import set_crc32_options

from ckpt_convert import load_arrays, mindspore_file, open_checkpoint, safetensors_file
from protenix_ms.errors import CheckpointError


def saved(path, tree, **options):
    torch.save(tree, path, **options)
    return path


def assert_equal_to_torch(path, tensors):
    checkpoint = open_checkpoint(path)
    assert checkpoint.names() == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach()
        expected = (expected.float() if expected.dtype == torch.bfloat16 else expected).numpy()
        got = checkpoint.read(name)
        assert checkpoint.shapes()[name] == got.shape == expected.shape
        assert got.dtype == expected.dtype and got.flags.c_contiguous
        np.testing.assert_array_equal(got, expected)
    checkpoint.close()


TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
         torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.uint32,
         torch.uint64]


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_type_and_protocol(tmp_path, protocol):
    table = {str(t): torch.arange(-3, 9).reshape(3, 4).to(t) for t in TYPES}
    path = saved(tmp_path / "a.pt", table, pickle_protocol=protocol)
    assert_equal_to_torch(path, table)


def test_views_and_shared_storages(tmp_path):
    base = torch.arange(60.0).reshape(3, 4, 5)
    table = {
        "whole": base, "same": base, "transposed": base.permute(2, 0, 1), "offset": base[1:, 2],
        "steps": base[::2, 1::3, ::2], "broadcast": torch.ones(3, 1).expand(3, 7),
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
        "odd": torch.arange(9, dtype=torch.bfloat16)[1::2],
    }
    assert_equal_to_torch(saved(tmp_path / "a.pt", table), table)


def test_parameters_buffers_and_attributes(tmp_path):
    marked = torch.nn.Parameter(torch.ones(2))
    marked.owner = "me"
    plain = torch.ones(3)
    plain.owner = 3
    table = {"p": torch.nn.Parameter(torch.zeros(2), requires_grad=False), "marked": marked,
             "buffer": torch.nn.Buffer(torch.ones(2)), "plain": plain}
    assert_equal_to_torch(saved(tmp_path / "a.pt", table), table)


@pytest.mark.parametrize("key", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_state_dict_is_found_and_prefix_cut(tmp_path, key, prefix):
    linear = torch.nn.Linear(3, 2)
    table = type(linear.state_dict())({prefix + k: v for k, v in linear.state_dict().items()})
    path = saved(tmp_path / "a.pt", {key: table} if key else table)
    assert_equal_to_torch(path, linear.state_dict())


def test_training_checkpoint_is_read_past(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tree = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 2**40,
            "scheduler": scheduler.state_dict(), "size": torch.Size([2]), "raw": b"\xff\x00",
            "device": torch.device("cpu"), "dtype": torch.float32, "set": {1, 2}, "f": 1.5,
            "complex": torch.ones(1, dtype=torch.complex64),
            "f8": torch.ones(1).to(torch.float8_e5m2)}
    for protocol in (2, 5):
        path = saved(tmp_path / "a.pt", tree, pickle_protocol=protocol)
        assert_equal_to_torch(path, model.state_dict())


def test_without_checksums(tmp_path):
    set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pt", {"w": torch.ones(3)})
    finally:
        set_crc32_options(True)
    assert_equal_to_torch(path, {"w": torch.ones(3)})


def test_big_endian(tmp_path):
    """As a big-endian machine writes: the marker, and every element byte-swapped."""
    table = {"w": torch.arange(5.0), "h": torch.arange(5).bfloat16(), "i": torch.arange(3)}
    path = saved(tmp_path / "a.pt", table)
    swapped = io.BytesIO()
    widths = iter((4, 2, 8))
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(swapped, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if "/data/" in info.filename:
                data = np.frombuffer(data, f"<u{next(widths)}").byteswap().tobytes()
            elif info.filename.endswith("byteorder"):
                data = b"big"
            target.writestr(info.filename, data)
    path.write_bytes(swapped.getvalue())
    assert_equal_to_torch(path, table)
    assert torch.equal(torch.load(path)["w"], table["w"])  # torch agrees that this is the format


@pytest.mark.parametrize("module, name, head", [
    (mindspore_file, "n" * 27, b"\n<"), (safetensors_file, "n" * 15336, b" <")])
def test_lengths_that_look_like_a_web_page(tmp_path, module, name, head):
    """A first record of 60 bytes and a header of 15392 bytes begin with the character `<`."""
    with (tmp_path / "a").open("wb") as file:
        module.write(file, [(name, "F32", (4,))], lambda _: np.arange(4, dtype="<f4"), {})
    assert (tmp_path / "a").read_bytes()[:2] == head
    assert_equal_to_torch(tmp_path / "a", {name: torch.arange(4.0)})


def test_load_arrays_is_strict_and_float32(tmp_path):
    path = saved(tmp_path / "a.pt", {"a": torch.ones(2).bfloat16(), "b": torch.arange(3)})
    arrays = dict(load_arrays(path, {"b": (3,), "a": (2,)}))
    assert list(arrays) == ["b", "a"]
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float32)}
    with pytest.raises(CheckpointError) as refusal:
        load_arrays(path, {"a": (3,), "c": (1,)})
    text = str(refusal.value)
    assert "1 missing:\n    c\n" in text and "1 unexpected:\n    b\n" in text
    assert "a is (2,), expected (3,)" in text


def test_tolerated_absences_are_zero_and_said(tmp_path, caplog):
    path = saved(tmp_path / "a.pt", {"constraint_embedder.w": torch.ones(2)})
    expected = {"constraint_embedder.w": (2,), "input_embedder.linear_esm.weight": (4, 3),
                "template_embedder.linear_no_bias_z.weight": (2, 2)}
    arrays = dict(load_arrays(path, expected))
    assert not arrays["input_embedder.linear_esm.weight"].any()
    assert "linear_esm" in caplog.text and "template" in caplog.text
    with pytest.raises(CheckpointError, match="linear_esm"):  # only the constraint model may
        load_arrays(saved(tmp_path / "b.pt", {"w": torch.ones(2)}),
                    {"w": (2,), "input_embedder.linear_esm.weight": (4, 3)})
    with pytest.raises(CheckpointError, match="2 missing:\n    template_embedder"):
        load_arrays(path, {**expected, "template_embedder.pairformer_stack.blocks.0.w": (1,)})
