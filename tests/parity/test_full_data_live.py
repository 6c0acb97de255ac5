# SPDX-License-Identifier: Apache-2.0
"""The full data as JSON beside what upstream's own writer makes of the same arrays."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
dumper = pytest.importorskip("runner.dumper")

from protenix_ms.io.confidence_write import write_full_data  # noqa: E402


def test_upstreams_writer_gives_the_same_keys_and_numbers(tmp_path):
    rng = np.random.default_rng(5)
    n_token, n_atom = 40, 160
    theirs = {
        "atom_plddt": torch.tensor(rng.random(n_atom), dtype=torch.float32),
        "token_pair_pde": torch.tensor(rng.uniform(0, 32, (n_token, n_token)), dtype=torch.float32),
        "token_pair_pae": torch.tensor(rng.uniform(0, 32, (n_token, n_token)), dtype=torch.float32),
        "contact_probs": torch.tensor(rng.random((n_token, n_token)) ** 8, dtype=torch.float32),
        "token_has_frame": torch.tensor(rng.integers(0, 2, n_token)),
        "token_asym_id": torch.tensor(np.repeat([0, 1], n_token // 2)),
        "atom_to_token_idx": torch.tensor(np.repeat(np.arange(n_token), 4)),
        "atom_is_polymer": torch.ones(n_atom), "atom_coordinate": torch.zeros(n_atom, 3),
    }
    arrays = {key: value.numpy() for key, value in theirs.items()}
    arrays["token_has_frame"] = arrays["token_has_frame"].astype(bool)
    write_full_data(tmp_path / "ours.json", arrays)
    writer = dumper.DataDumper(str(tmp_path), need_atom_confidence=True)
    data = {"summary_confidence": [{"ranking_score": torch.tensor(0.5)}], "full_data": [theirs]}
    writer._save_confidence(data, str(tmp_path), "x", 1, [0])
    ours = json.loads((tmp_path / "ours.json").read_text())
    written = json.loads((tmp_path / "x_full_data_sample_0.json").read_text())
    assert set(ours) == set(written)
    for key, value in written.items():
        value = np.array(value)
        kind = np.float32 if value.dtype.kind == "f" else np.int64
        np.testing.assert_array_equal(kind(ours[key]), kind(value), key)
    assert np.array(written["token_has_frame"]).dtype.kind == "i"
