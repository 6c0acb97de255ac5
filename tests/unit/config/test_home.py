# SPDX-License-Identifier: Apache-2.0
"""Folders of weights and kernels follow the environment."""

from pathlib import Path

from protenix_ms.config.home import kernels_dir, weights_dir


def test_home_moves_with_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    assert (weights_dir(), kernels_dir()) == (tmp_path / "weights", tmp_path / "kernels")
    monkeypatch.setenv("PROTENIX_MS_HOME", "")
    assert weights_dir() == Path.home() / ".cache/protenix_ms/weights"
