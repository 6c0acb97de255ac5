# SPDX-License-Identifier: Apache-2.0
"""What `predict` hands to the run of what its search finds."""

import argparse

import pytest

from protenix_ms.cli import predict


class ReachedError(Exception):
    """Carries the choices of the featuriser to the test."""


def test_structures_beside_the_databases_are_used(tmp_path, monkeypatch):
    folder = tmp_path / "databases" / "mmcif_files"
    folder.mkdir(parents=True)
    (folder / "1abc.cif").write_text("data_1abc\n")
    (tmp_path / "a.fasta").write_text(">a|protein\nMKTAYIAK\n")

    def stop(*choices):
        raise ReachedError(choices[4])

    monkeypatch.setattr(predict, "Settings", stop)
    monkeypatch.setattr(predict, "search_jobs", lambda *_: ([tmp_path / "a.fasta"], []))
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    parser.add_argument("--debug", action="store_true")
    words = ["--input", tmp_path / "a.fasta", "--output", tmp_path / "out", "--random-weights", 0,
             "--databases", tmp_path / "databases"]
    with pytest.raises(ReachedError) as caught:
        predict.run(parser.parse_args(list(map(str, words))))
    assert caught.value.args[0].templates.folder == folder
