# SPDX-License-Identifier: Apache-2.0
"""Files of a language model's vectors: every format, every name, and what cannot serve."""

import io
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from ckpt_convert import torch_file
from protenix_ms.errors import InputError
from protenix_ms.job import Job, Ligand, Polymer
from protenix_ms.predict.embedding_files import (
    SUFFIXES,
    embedding_path,
    find_embedding,
    proteins_by_sequence,
    read_embedding,
)

VECTORS = np.arange(24, dtype=np.float32).reshape(4, 6)


def save_tensor(path, array):
    """Write a tensor as `torch.save(tensor)` does: without a dictionary around it."""
    with zipfile.ZipFile(path, "w") as archive:
        stream = torch_file._tensor(0, "F32", array.shape)
        archive.writestr("archive/data.pkl", b"\x80\x02" + stream + b".")
        archive.writestr("archive/data/0", array.tobytes())
        archive.writestr("archive/version", "3\n")


SAVE = {
    ".safetensors": lambda path, array: save_file({"layer_2": array, "layer_10": array + 1,
                                                   "mean_10": array[0]}, path),
    ".npz": lambda path, array: np.savez_compressed(path, vectors=array + 1),
    ".npy": lambda path, array: np.save(path, (array + 1).astype(np.float64)),
    ".pt": lambda path, array: save_tensor(path, array + 1),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path, suffix):
    path = tmp_path / f"job_1{suffix}"
    SAVE[suffix](path, VECTORS)
    vectors = read_embedding(path, 4, 6)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS + 1)


def test_what_torch_saves(tmp_path):
    torch = pytest.importorskip("torch", reason="torch, of the extra 'test', is not installed")
    for number, tensor in enumerate((torch.tensor(VECTORS), torch.tensor(VECTORS).bfloat16(),
                                     torch.tensor(VECTORS.T.copy()).T)):
        path = tmp_path / f"{number}.pt"
        torch.save(tensor, path)
        np.testing.assert_array_equal(read_embedding(path, 4, 6), VECTORS)


def test_names_and_their_order(tmp_path):
    labels = ("sp|P1|X", "../secret", "a\0b", "n" * 300)
    job = Job("job", (Ligand(codes=("MG",)), Polymer("protein", "GAVL", labels=labels),
                      Polymer("rna", "GA"), Polymer("protein", "GAVL")))
    proteins = proteins_by_sequence(job)
    assert proteins == {"GAVL": {2: ["job_2", "sp|P1|X"], 4: ["job_4"]}}
    names = [name for some in proteins["GAVL"].values() for name in some]
    assert find_embedding(tmp_path, "GAVL", names) is None
    upstreams = tmp_path / "job_4" / "job_4.pt"
    upstreams.parent.mkdir()
    for path in (upstreams, tmp_path / "job_4.npy", tmp_path / "sp|P1|X.npz",
                 tmp_path / "job_2.pt", embedding_path(tmp_path, "GAVL").with_suffix(".npy"),
                 embedding_path(tmp_path, "GAVL")):
        path.touch()
        assert find_embedding(tmp_path, "GAVL", names) == path


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def huge_npy():
    """Declare 10^12 rows in a file of a few bytes."""
    content = npy(np.zeros((10, 6), np.float32))
    return content.replace(b"(10, 6), }           ", b"(1000000000000, 6), }")


@pytest.mark.parametrize("suffix, content, says", [
    (".safetensors", b"abc", "neither a PyTorch zip"),
    (".pt", b"\x80\x04}.", "a bare stream of Python objects"),
    (".npy", b"abc", "cannot be read"), (".npz", b"PK\x03\x04", "cannot be read"),
    (".npy", npy(np.array([{}])), "cannot be read"), (".npy", huge_npy(), "cannot be read"),
    (".npy", npy(VECTORS)[:-3], "cannot be read"),
    (".npz", npz(a=np.zeros((20000, 600))), "larger than the vectors"),
    (".npz", npz(a=VECTORS, b=VECTORS), "expected one array, or layer_1.* it holds 'a', 'b'"),
    (".npz", npz(), "it holds no array"),
    (".npy", npy(VECTORS[:3]), r"an array \(3, 6\), expected \(4, 6\).*embed the sequence"),
    (".npy", npy(VECTORS[:, :5]), r"an array \(4, 5\), expected \(4, 6\)"),
    (".npy", npy(np.zeros((6, 6))), r"an array \(6, 6\).*cut the first and the last row"),
    (".npy", npy(VECTORS.astype(int)), r"an array \(4, 6\) of int64"),
    (".npy", npy(np.full((4, 6), np.inf)), "not finite"),
], ids=["safetensors", "pickle", "npy", "npz", "objects", "huge", "cut", "bomb", "two arrays",
        "none", "length", "width", "tokens", "integers", "infinite"])
def test_files_that_do_not_serve(tmp_path, suffix, content, says):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){says}") as refusal:
        read_embedding(path, 4, 6)
    assert str(path) in str(refusal.value) and refusal.value.fix
