# SPDX-License-Identifier: Apache-2.0
"""Files made to do harm: refused in one sentence, at once, in little memory, nothing executed."""

import builtins
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
import torch

from ckpt_convert import open_checkpoint
from protenix_ms.errors import CheckpointError

STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
TENSOR = REBUILD + b"(" + STORAGE + b"K\0K\x04\x85K\x01\x85\x89}tR"
WATCHED = ("import", "exec", "compile", "os.", "subprocess.", "pickle.", "ctypes.", "socket.",
           "shutil.", "object.__", "code.__")
events: list[str] = []
watching = [False]


def watch(event, arguments, watching=watching):  # kept when the module's names are cleared at exit
    if watching[0] and event.startswith(WATCHED):
        events.append(event)


sys.addaudithook(watch)


def archive(path, stream, storages=None, **extra):
    """Write a PyTorch zip with a given object stream and storages of four floats."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", stream)
        file.writestr("archive/byteorder", "little")
        for key, data in (storages or {"0": np.arange(4, dtype="<f4").tobytes()}).items():
            file.writestr(f"archive/data/{key}", data)
        file.writestr("archive/version", "3\n")
        for name, data in extra.items():
            file.writestr(name, data)
    return path


def with_tensor(body):
    """Make a state dict with one good tensor and, under another key, hostile opcodes."""
    return b"\x80\x02}(X\x01\0\0\0w" + TENSOR + b"X\x01\0\0\0x" + body + b"u."


def refusal(path, within=3.0):
    """Return the message of the refusal; fail if it was slow, hungry, or anything at all ran."""
    open_checkpoint(archive(path.with_suffix(".warm"), GOOD)).close()  # codecs load lazily
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    events.clear()
    watching[0] = True
    try:
        with pytest.raises(CheckpointError) as caught:
            checkpoint = open_checkpoint(path)
            for name in checkpoint.names():
                checkpoint.read(name)
    finally:
        watching[0] = False
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert not events, events
    assert grown < 500_000 and time.thread_time() - start < within, (grown, "kB")
    message = str(caught.value)
    assert message.isascii() and len(message) < 600 and path.name in message
    return message


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


CALLS = {
    "posix.system": lambda mark: Call(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
    "builtins.exec": lambda mark: Call(exec, f"open({str(mark)!r}, 'w')"),
    "subprocess.Popen": lambda mark: Call(subprocess.Popen, ["touch", str(mark)]),
    "builtins.getattr": lambda mark: CallChain(),
    "builtins.__import__": lambda mark: Call(builtins.__import__, "antigravity"),
    "torch.serialization.load": lambda mark: Call(torch.load, str(mark)),
    "numpy.core.multiarray._reconstruct": lambda mark: np.ones(3),
    "functools.partial": lambda mark: __import__("functools").partial(print, 1),
    "torch._utils._rebuild_sparse_tensor": lambda mark: torch.eye(2).to_sparse(),
}


class CallChain:
    """Pickles as getattr(getattr(...), ...): the usual way around a list of allowed modules."""

    def __reduce__(self):
        return getattr, (Call(getattr, Call(dict, ()), "__class__"), "__base__")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_calls_are_refused_by_name_and_never_made(tmp_path, name, protocol):
    mark, path = tmp_path / "executed", tmp_path / "a.pt"
    hostile = CALLS[name](mark)
    if name.endswith("tensor"):
        torch.save({"model": {}, "optimizer": hostile}, path, pickle_protocol=protocol)
    else:
        archive(path, pickle.dumps({"model": {}, "x": hostile}, protocol))
    message = refusal(path)
    # protocol 2 calls some modules by their names of Python 2
    assert f"{name.rpartition('.')[2]}'" in message and "nothing was executed" in message
    assert not mark.exists()


LONG = 1_000_000
VAST = struct.pack("<Q", 2**62)
STREAMS = {
    "getattr by a dotted name": b"\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93",
    "old class": b"(iposix\nsystem\n", "class by mark": b"(cposix\nsystem\nK\x01o",
    "new object": b"ccollections\nOrderedDict\n)\x81",
    "new object with keywords": b"ccollections\nOrderedDict\n)}\x92",
    "extension": b"\x82\x01", "next buffer": b"\x97",
    "text persistent id": b"Pposix\n",
    "persistent id of a function": b"(X\x07\0\0\0storagecposix\nsystem\nX\x01\0\0\x000NK\x01tQ",
    "persistent id of a container": b"(X\x07\0\0\0storagectorch\nSize\nX\x01\0\0\x000NK\x01tQ",
    "persistent id is text": b"X\x07\0\0\0storageQ",
    "persistent id climbs": STORAGE.replace(b"X\x01\0\0\x000", b"X\x0d\0\0\0../../secrets"),
    "storage of negative size": STORAGE.replace(b"K\x04", b"J\xff\xff\xff\xff"),
    "call of text": b"X\x01\0\0\0a)R", "call without a tuple": b"ctorch\nSize\n]R",
    "call with too many": b"ctorch\ndevice\n(" + b"K\x01" * 9 + b"tR",
    "call of a type": b"ctorch\nFloatStorage\n)R", "call of a dtype": b"ctorch\nfloat32\n)R",
    "tensor of text": REBUILD + b"(X\x01\0\0\0aK\0)))tR",
    "state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\0\0\0__code__NsN\x86b",
    "state of a tensor": TENSOR + b"}b", "item of a tensor": TENSOR + b"K\x01K\x02s",
    "append to a dictionary": b"}K\x01a", "extend a tensor": TENSOR + b"(K\x01e",
    "object of a function": b"ccollections\nOrderedDict\n)\x81",
    "namespace with arguments": b"cargparse\nNamespace\nK\x01\x85\x81",
    "namespace by keyword": b"cargparse\nNamespace\n)}\x92",
    "item of a namespace": b"cargparse\nNamespace\n)\x81X\x01\0\0\0aK\x01s",
    "state of a namespace": b"cargparse\nNamespace\n)\x81K\x01b",
    "subclass": b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n))tR",
    "subclass of a function": b"ctorch._tensor\n_rebuild_from_type_v2\n(" + REBUILD
    + b"ctorch._utils\n_rebuild_tensor\n))tR",
    "parameter of itself": b"ctorch._utils\n_rebuild_parameter\n(}K\x01}tR",
    "key is a deep tuple": b"}(" + b")" + b"\x85" * LONG + b"K\x01u",
    "key is a large integer": b"}(\x8a\x10" + b"\x7f" * 16 + b"K\x01u",
    "key is a float": b"}(G" + b"\x3f" * 8 + b"K\x01u",
    "memo index of four billion": b"j\xff\xff\xff\xff",
    "bytes of 2**62": b"\x8e" + VAST, "bytearray of 2**62": b"\x96" + VAST,
    "text of 2**62": b"\x8d" + VAST, "integer of 2**31 bytes": b"\x8b\xff\xff\xff\x7f",
    "integer of 2000 bytes": b"\x8b" + struct.pack("<I", 2000) + b"\x7f" * 2000,
    "integer of a million digits": b"I" + b"9" * LONG + b"\n",
    "integer of 3000 digits": b"I" + b"9" * 3000 + b"\n",
    "endless line": b"F" + b"1" * LONG, "pop of nothing": b"0" * 9, "mark of nothing": b"t",
    "odd items": b"(K\x01d", "protocol 9": b"\x80\x09",
}


@pytest.mark.parametrize("case", STREAMS)
def test_hostile_streams_are_refused(tmp_path, case):
    refusal(archive(tmp_path / "a.pt", with_tensor(STREAMS[case])))


def read_past(path):
    events.clear()
    watching[0] = True
    start = time.thread_time()
    try:
        checkpoint = open_checkpoint(path)
        got = checkpoint.read("w")
    finally:
        watching[0] = False
    assert not events and time.thread_time() - start < 5
    np.testing.assert_array_equal(got, np.arange(4, dtype=np.float32))


LAUGHS = b"(K\x01l" + b"".join(b"q%c0(" % i + b"h%c" % i * 9 + b"l" for i in range(60))
ENDLESS = {
    "deep lists": b"]" * LONG + b"a" * (LONG - 1), "deep tuples": b")" + b"\x85" * LONG,
    "deep dictionaries": b"}X\x01\0\0\0a" * 100_000 + b"N" + b"s" * 100_000,
    "billion laughs": LAUGHS,
    "a list that holds itself": b"]q\x00h\x00a",
    "memo slot four billion": b"Nr\xff\xff\xff\xff",
    "one long list used again and again": b"](" + b"N" * LONG + b"eq\x000"
    + b"(" + b"cbuiltins\nset\nh\x00\x85R" * 50_000 + b"l",
    "frame of 2**62": b"\x95" + b"\0" * 7 + b"\x40N",
    "state of an ordered dictionary": b"ccollections\nOrderedDict\n)R}X\x09\0\0\0__class__"
    b"ctorch\nSize\nsb",
}


@pytest.mark.parametrize("case", ENDLESS)
def test_bombs_beside_the_model_cost_nothing(tmp_path, case):
    """Plain data however wound up is read past: time and memory stay linear in the stream."""
    stream = b"\x80\x02}(X\x05\0\0\0model}X\x01\0\0\0w" + TENSOR + b"sX\x01\0\0\0x"
    read_past(archive(tmp_path / "a.pt", stream + ENDLESS[case] + b"u."))


def view(offset=b"K\0", size=b"K\x04\x85", stride=b"K\x01\x85", storage=STORAGE):
    return REBUILD + b"(" + storage + offset + size + stride + b"\x89}tR"


MINUS = b"J\xff\xff\xff\xff"
VIEWS = {
    "negative stride": view(stride=MINUS + b"\x85"), "negative offset": view(offset=MINUS),
    "negative size": view(size=MINUS + b"\x85"), "size is true": view(size=b"\x88\x85"),
    "beyond the storage": view(offset=b"K\x01"), "stride beyond": view(stride=b"K\x02\x85"),
    "float stride": view(stride=b"G" + b"\0" * 8 + b"\x85"),
    "lengths differ": view(size=b"K\x02K\x02\x86"),
    "broadcast to terabytes": view(size=b"\x8a\x06" + b"\xff" * 5 + b"\x0f\x85", stride=b"K\0\x85"),
    "empty but vast": view(size=b"K\0J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87",
                           stride=b"K\0K\0K\0\x87"),
    "33 axes": view(size=b"(" + b"K\x01" * 33 + b"t", stride=b"(" + b"K\x01" * 33 + b"t"),
    "storage longer than its entry": view(storage=STORAGE.replace(b"K\x04", b"K\x05")),
    "storage shorter than its entry": view(storage=STORAGE.replace(b"K\x04", b"K\x03"),
                                           size=b"K\x03\x85"),
    "absent storage": view(storage=STORAGE.replace(b"\x000X", b"\x007X")),
}


@pytest.mark.parametrize("case", VIEWS)
def test_views_outside_their_storage_are_refused(tmp_path, case):
    refusal(archive(tmp_path / "a.pt", b"\x80\x02}X\x01\0\0\0w" + VIEWS[case] + b"s."))


GOOD = b"\x80\x02}X\x01\0\0\0w" + TENSOR + b"s."


def rewritten(path, change):
    archive(path, GOOD)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    change(data, central, data.index(b"PK\x01\x02", central + 4))
    path.write_bytes(data)
    return path


def same_header(data, first, second):
    """Point the second directory entry to the first one's bytes, under the same name."""
    data[second + 42 : second + 46] = data[first + 42 : first + 46]


ZIPS = {
    "encrypted": (lambda d, a, b: d.__setitem__(a + 8, d[a + 8] | 1), "encrypted"),
    "other file's bytes": (same_header, "differs"),
    "size beyond the file": (
        lambda d, a, b: d.__setitem__(slice(a + 20, a + 28), b"\xf0\xff\xff\x7f" * 2), "beyond"),
    "bomb by declaration": (
        lambda d, a, b: d.__setitem__(slice(a + 24, a + 28), b"\xf0\xff\xff\x7f"), "compressed"),
    "link": (lambda d, a, b: d.__setitem__(slice(a + 38, a + 42), b"\0\0\xff\xa1"), "link"),
    "directory of 4 GB": (
        lambda d, a, b: d.__setitem__(slice(len(d) - 10, len(d) - 6), b"\xf0\xff\xff\xff"),
        "directory"),
    "cut short": (lambda d, a, b: d.__delitem__(slice(a, None)), "cut short"),
    "flipped data": (lambda d, a, b: d.__setitem__(40, d[40] ^ 1), "."),
}


@pytest.mark.parametrize("case", ZIPS)
def test_broken_archives_are_refused(tmp_path, case):
    change, word = ZIPS[case]
    assert word in refusal(rewritten(tmp_path / "a.pt", change))


def test_overlapping_entries_are_refused(tmp_path):
    """An entry hidden in the bytes of another, complete with its own header."""
    crc = zlib.crc32(b"xxxx")
    inner = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, crc, 4, 4, 14, 0)
    inner += b"archive/data/7xxxx"
    path = archive(tmp_path / "a.pt", GOOD, {"0": inner, "1": b"1234"})
    data = bytearray(path.read_bytes())
    at = data.index(inner)
    entry = data.rindex(b"archive/data/1") - 46  # directory entry of data/1 becomes data/7
    data[entry + 46 + 13 : entry + 46 + 14] = b"7"
    data[entry + 16 : entry + 20] = struct.pack("<I", crc)
    data[entry + 42 : entry + 46] = struct.pack("<I", at)
    path.write_bytes(data)
    assert "overlap" in refusal(path)


def test_duplicate_names_and_climbing_paths(tmp_path):
    with pytest.warns(UserWarning):
        path = archive(tmp_path / "a.pt", GOOD, **{"archive/data/0": b"x" * 16})
    assert "two entries" in refusal(path)
    for name in ("archive/../x", "../x", "/etc/x", "archive/data/..", "archive\\x", "x", "archive/",
                 "archive/a\nb", "other/data.pkl"):
        assert refusal(archive(tmp_path / "b.pt", GOOD, **{name: b"x"}))


def test_compression_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", GOOD)
        file.writestr("archive/data/0", bytes(50_000_000))
    assert "compressed" in refusal(path)


FORMATS = {
    "legacy": (lambda p: torch.save({"w": torch.ones(1)}, p, _use_new_zipfile_serialization=False),
               "legacy PyTorch file"),
    "bare": (lambda p: p.write_bytes(pickle.dumps({"w": 1}, 2)), "bare stream"),
    "tar": (lambda p: p.write_bytes(bytes(257) + b"ustar" + bytes(300)), "tar"),
    "html": (lambda p: p.write_bytes(b"\n<html>denied</html>"), "web page"),
    "empty": (lambda p: p.write_bytes(b""), "empty"),
    "text": (lambda p: p.write_bytes(b"hello world, I am text"), "neither"),
    "prefixed": (lambda p: p.write_bytes(b"#!/bin/sh\n" + archive(p, GOOD).read_bytes()),
                 "behind other data"),
    "no zip, two disks": (lambda p: p.write_bytes(  # found by fuzzing: zipfile raises here
        b"\0" * 30 + b"PK\x06\x07" + b"\x02" * 16 + b"PK\x05\x06" + bytes(18)),
        "behind other data"),
    "folder": (lambda p: p.mkdir(), "folder"), "absent": (lambda p: None, "cannot be opened"),
    "script": (lambda p: torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1)), p),
               "TorchScript"),
    "list": (lambda p: torch.save([torch.ones(1)], p), "no dictionary"),
    "no tensor": (lambda p: torch.save({"model": {}}, p), "no tensor"),
    "whole model": (lambda p: torch.save(torch.nn.Linear(1, 1), p), "torch.nn.modules.linear"),
    "a number among tensors": (lambda p: torch.save({"w": torch.ones(1), "n": 3}, p), "'n'"),
    "half prefixed": (lambda p: torch.save({"module.w": torch.ones(1), "v": torch.ones(1)}, p),
                      "'v' does not"),
    "complex": (lambda p: torch.save({"w": torch.ones(1, dtype=torch.complex64)}, p), "Complex"),
    "float8": (lambda p: torch.save({"w": torch.ones(1).to(torch.float8_e4m3fn)}, p), "float8"),
    "safetensors too short": (lambda p: p.write_bytes(b"\xff\0\0\0\0\0\0\0{}"), "header"),
    "safetensors deep": (lambda p: p.write_bytes(
        struct.pack("<Q", 200_000) + b"{\"a\":" + b"[" * 199_995), "header"),
    "safetensors vast": (lambda p: p.write_bytes(
        struct.pack("<Q", 72) + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":'
        b"[0,399999999996]}}"[:72].ljust(72)), "header"),
    "ckpt garbage": (lambda p: p.write_bytes(b"\n\x7fgarbage" * 9), "MindSpore"),
}


@pytest.mark.parametrize("case", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_other_files_are_refused_in_one_sentence(tmp_path, case):
    make, words = FORMATS[case]
    path = tmp_path / "a.pt"
    make(path)
    assert words in refusal(path)
