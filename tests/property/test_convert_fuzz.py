# SPDX-License-Identifier: Apache-2.0
"""Mutated checkpoints: a typed refusal or a correct result, never a crash. 2 000 cases."""

import io
import zipfile
from functools import cache
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckpt_convert import mindspore_file, open_checkpoint, safetensors_file, torch_file
from ckpt_convert.checkpoint import Checkpoint
from protenix_ms.errors import CheckpointError

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
BASE = torch.arange(24.0).reshape(4, 6)
TABLE = {
    "a.weight": BASE,
    "a.view": BASE.T[1:3],
    "b.bias": torch.arange(5).bfloat16(),
    "c": torch.nn.Parameter(torch.ones(2, dtype=torch.float16)),
    "d": torch.arange(3),
    "e": torch.tensor(1.5),
}
OPCODES = (
    b"N\x88\x89IJKMLFGX\x8c\x8dBC\x8e]})\x8flt\x91d\x85\x86\x87c\x93hjg2"
    b"\x80\x95(01qrp\x94ae\x90suRQb."
)


def columns(checkpoint: Checkpoint):
    return [(name, checkpoint.dtype(name), shape) for name, shape in checkpoint.shapes().items()]


@cache
def originals(folder):
    """Return one file of each layout as bytes, by name."""
    files = {}
    for protocol in (2, 4):
        path = folder / f"torch{protocol}.pt"
        torch.save(
            {"model": TABLE, "optimizer": {0: {"step": 1.0, "avg": BASE}}},
            path,
            pickle_protocol=protocol,
        )
        files[f"torch{protocol}"] = path.read_bytes()
    checkpoint = open_checkpoint(folder / "torch2.pt")
    bits = {name: checkpoint.read(name) for name in checkpoint.names()}
    plain = [(n, "F32" if d == "BF16" else d, s) for n, d, s in columns(checkpoint)]
    for module in (safetensors_file, mindspore_file, torch_file):
        stream = io.BytesIO()
        module.write(stream, plain, bits.__getitem__, {})
        files[module.__name__.split(".")[-1]] = stream.getvalue()
    return files, bits


@st.composite
def edits(draw):
    """Draw up to five edits (place, kind, bytes); places as fractions, so that they shrink well."""
    places = st.floats(0, 1, exclude_max=True)
    kinds = st.sampled_from(["set", "flip", "insert", "delete", "cut", "copy", "zero", "high"])
    pieces = st.one_of(
        st.binary(min_size=1, max_size=9),
        st.sampled_from(
            [bytes([code]) for code in OPCODES] + [b"\xff\xff\xff\x7f", b"PK\x03\x04", b"\0" * 8]
        ),
    )
    return draw(st.lists(st.tuples(places, kinds, pieces), min_size=1, max_size=5))


def mutated(data: bytes, changes) -> bytes:
    data = bytearray(data)
    for place, kind, piece in changes:
        at, n = int(place * len(data)), len(piece)
        if kind == "set":
            data[at : at + n] = piece
        elif kind == "flip" and data:
            data[at] ^= 1 << (piece[0] % 8)
        elif kind == "insert":
            data[at:at] = piece
        elif kind == "delete":
            del data[at : at + piece[0] + 1]
        elif kind == "cut" and piece[0] < 64:
            del data[at:]
        elif kind == "copy":
            data[at:at] = data[max(0, at - 4 * n) : at]
        elif kind in ("zero", "high"):
            data[at : at + n] = (b"\0" if kind == "zero" else b"\xff") * n
    return bytes(data)


def outcome(path, data):
    """Return the arrays of the file, or None when it is refused with a printable sentence."""
    path.write_bytes(data)
    try:
        checkpoint = open_checkpoint(path)
        try:
            arrays = {name: checkpoint.read(name) for name in checkpoint.names()}
        finally:
            checkpoint.close()
    except CheckpointError as error:
        assert len(str(error)) < 800 and str(error).isprintable()
        return None
    for name, dtype, shape in columns(checkpoint):
        assert arrays[name].shape == shape and arrays[name].size == prod(shape)
        assert arrays[name].flags.c_contiguous and dtype
    return arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("layout", ["torch2", "torch4", "torch_file"])
@settings(max_examples=250, deadline=None, database=None, suppress_health_check=QUIET)
@given(changes=edits())
def test_mutated_archives(folder, layout, changes):
    """Checksums cover names and numbers: whatever is accepted equals the original."""
    files, bits = originals(folder)
    arrays = outcome(folder / "m.pt", mutated(files[layout], changes))
    if arrays is not None:
        assert list(arrays) == list(bits)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, bits[name])


@pytest.mark.parametrize("layout", ["torch2", "torch4"])
@settings(max_examples=400, deadline=None, database=None, suppress_health_check=QUIET)
@given(changes=edits())
def test_mutated_object_streams(folder, layout, changes):
    """Behind a correct checksum: what is accepted lies within the storages of the file."""
    stream = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(originals(folder)[0][layout]))
    with zipfile.ZipFile(stream, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            changed = mutated(data, changes) if info.filename.endswith("data.pkl") else data
            target.writestr(info.filename, changed)
    outcome(folder / "m.pt", stream.getvalue())


@pytest.mark.parametrize("layout", ["safetensors_file", "mindspore_file"])
@settings(max_examples=250, deadline=None, database=None, suppress_health_check=QUIET)
@given(changes=edits())
def test_mutated_plain_formats(folder, layout, changes):
    outcome(folder / "m.bin", mutated(originals(folder)[0][layout], changes))


@settings(max_examples=250, deadline=None, database=None, suppress_health_check=QUIET)
@given(
    data=st.binary(max_size=400),
    head=st.sampled_from([b"PK\x03\x04", b"\n\x14", b"\x30\0\0\0\0\0\0\0{", b""]),
)
def test_noise(folder, data, head):
    outcome(folder / "m.bin", head + data)
