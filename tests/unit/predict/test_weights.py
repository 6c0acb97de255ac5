# SPDX-License-Identifier: Apache-2.0
"""Where weights come from: a file, the cache folder, or the rule of the recordings."""

import numpy as np
import pytest

from protenix_ms.config.parameters import released_shapes
from protenix_ms.errors import CheckpointError
from protenix_ms.model.weights import rule_array
from protenix_ms.predict.weights import Weights, find_weights, random_arrays

MODEL = "protenix_tiny_default_v0.5.0"


def test_a_missing_checkpoint_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        find_weights(MODEL, None, None)
    message = str(caught.value)
    for part in (f"{MODEL}.safetensors", f"https://protenix.tos-cn-beijing.volces.com/checkpoint/"
                 f"{MODEL}.pt", "python -m ckpt_convert", str(tmp_path / "weights"),
                 "--random-weights"):
        assert part in message


def test_weights_in_the_cache_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / f"{MODEL}.ckpt").write_bytes(b"x")
    assert find_weights(MODEL, None, None).path.name == f"{MODEL}.ckpt"
    (tmp_path / "weights" / f"{MODEL}.safetensors").write_bytes(b"x")
    assert find_weights(MODEL, None, None).path.suffix == ".safetensors"


def test_random_weights_are_labelled(tmp_path):
    weights = find_weights(MODEL, None, 7)
    assert weights.label == "RANDOM WEIGHTS (seed 7), not a prediction"
    assert weights.fingerprint() == "random-7"
    with pytest.raises(CheckpointError, match=r"absent\.pt"):
        find_weights(MODEL, tmp_path / "absent.pt", None)


def test_the_fingerprint_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"abc")
    digest = Weights(tmp_path / "w.safetensors").fingerprint()
    assert digest.startswith("ba7816bf8f01cfea")


def test_the_rule_is_that_of_the_recordings(golden):
    torch = pytest.importorskip("torch")
    path = golden / "tiny/protenix_base_default_v1.0.0/protenix_base_default_v1.0.0.pt"
    if not path.is_file():
        pytest.skip(f"no recording with a checkpoint at {path}: set PROTENIX_MS_GOLDEN")
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    for name, value in list(state.items())[::37]:
        if ".fourier_embedding." not in name and not name.endswith("_bins"):
            np.testing.assert_array_equal(rule_array(name, tuple(value.shape)), value.numpy())


def test_every_parameter_but_fixed_ones_gets_its_own_numbers():
    shapes = {n: s for n, s in released_shapes(MODEL).items() if len(s) == 1}
    arrays = dict(random_arrays(shapes, seed=1))
    assert set(shapes) - set(arrays) == {n for n in shapes if "fourier" in n or n.endswith("_bins")}
    assert all(np.abs(array).min() > 0 for array in arrays.values())
    name = next(iter(arrays))
    assert not np.array_equal(arrays[name], rule_array(name, shapes[name], 2))


def test_a_checkpoint_beside_random_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="both a checkpoint and random weights"):
        find_weights("protenix_tiny_default_v0.5.0", tmp_path / "file.pt", 0)


def test_advice_names_only_options_that_the_command_has(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="--checkpoint FILE") as caught:
        find_weights(MODEL, None, None, may_be_random=False)
    assert "--random-weights" not in str(caught.value)
