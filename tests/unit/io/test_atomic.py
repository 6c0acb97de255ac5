# SPDX-License-Identifier: Apache-2.0
"""Writing: whole files or none, and the same bytes for the same content."""

import hashlib
import time

import numpy as np
import pytest

from protenix_ms import files
from protenix_ms.errors import OutputError
from protenix_ms.files import file_sha256, remove_leftovers
from protenix_ms.io.atomic import (
    make_folder,
    npz_bytes,
    write_bytes,
    write_npz,
    write_text,
)


def test_folders_are_made_and_nothing_is_left_over(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_bytes() == b"two\n"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_keeps_the_old_file_and_no_rubbish(tmp_path):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").touch()
    with pytest.raises(OutputError, match="taken: cannot be written"):
        write_bytes(folder, b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_full_disk_and_an_interrupt_leave_no_litter(tmp_path, monkeypatch, error, step):
    def full(*_):
        raise error

    if step == "sync":  # the content is on its way, the disk refuses
        monkeypatch.setattr(files, "sync", full)
    else:
        original = files.NamedTemporaryFile

        def opened(**options):
            file = original(**options)
            setattr(file, step, full)
            return file

        monkeypatch.setattr(files, "NamedTemporaryFile", opened)
    with pytest.raises((OutputError, KeyboardInterrupt), match=r"No space|^$"):
        write_bytes(tmp_path / "x.cif", b"content")
    assert not list(tmp_path.iterdir())


def test_digest_of_a_file_in_pieces(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(bytes(range(256)))
    monkeypatch.setattr(files, "PIECE", 100)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(bytes(range(256))).hexdigest()


def test_leftovers_of_dead_writers_go_and_other_files_stay(tmp_path):
    for name in (".x.cif.ab3_de9f", ".run.json.00000000", ".hidden", ".nfs0001", "x.cif",
                 ".a.toolongname"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".a.toolongname", ".hidden", ".nfs0001", "x.cif"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="permissions and free space"):
        write_bytes(tmp_path / "file" / "below", b"x")


def test_npz_is_deterministic_and_plain(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(True)}
    first = npz_bytes(arrays)
    time.sleep(2.1)  # zip entries have a resolution of two seconds
    assert npz_bytes(arrays) == first
    write_npz(tmp_path / "x.npz", arrays)
    loaded = np.load(tmp_path / "x.npz", allow_pickle=False)
    assert set(loaded.files) == {"a", "b"}
    np.testing.assert_array_equal(loaded["a"], arrays["a"])


def test_objects_are_refused():
    with pytest.raises(ValueError, match="allow_pickle"):
        npz_bytes({"a": np.array([{}])})


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_folder_below_a_link_to_nothing_says_so(tmp_path, below):
    (tmp_path / "link").symlink_to("/no/such/place")
    with pytest.raises(OutputError, match="link is a link to /no/such/place, which is not there; "
                                          "choose another --output"):
        make_folder(tmp_path / "link" / below)


def test_folders_are_made_or_refused_with_the_reason(tmp_path):
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "real").symlink_to(tmp_path / "a")
    make_folder(tmp_path / "real" / "c")
    assert (tmp_path / "a" / "c").is_dir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "file/x", "loop"):
        with pytest.raises(OutputError, match=f"{name.split('/')[0]}.*choose another --output"):
            make_folder(tmp_path / name)


def test_bytes_of_a_file_name_are_written_as_they_are_printed(tmp_path):
    write_text(tmp_path / "a.txt", "from caf\udce9.json")
    assert (tmp_path / "a.txt").read_text() == r"from caf\udce9.json"
