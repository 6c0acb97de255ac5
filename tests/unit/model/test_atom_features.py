# SPDX-License-Identifier: Apache-2.0
"""Atoms and tokens: means, broadcasts, windows."""

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.model.atom_features import AtomFeatures
from protenix_ms.model.atom_windows import AtomWindows, key_windows, query_windows


def features(token: list[int], n_tokens: int) -> dict[str, np.ndarray]:
    n = len(token)
    return {
        "ref_pos": np.arange(3 * n, dtype=np.float32).reshape(n, 3),
        "ref_charge": np.zeros(n), "ref_mask": np.ones(n), "ref_element": np.zeros((n, 128)),
        "ref_atom_name_chars": np.zeros((n, 4, 64)), "ref_space_uid": np.arange(n) // 3 + 1,
        "atom_to_token_idx": np.array(token), "restype": np.zeros((n_tokens, 32)),
    }


def test_mean_over_the_atoms_of_a_token():
    """Uneven, unordered and empty tokens, every sample for itself."""
    token = [0, 3, 0, 0, 3, 1]
    atoms = AtomFeatures.from_features(features(token, 4))
    x = np.random.default_rng(0).standard_normal((2, 6, 5)).astype(np.float32)
    expected = np.zeros((2, 4, 5), np.float32)
    for t in (0, 1, 3):
        expected[:, t] = x[:, np.array(token) == t].mean(1)
    np.testing.assert_allclose(atoms.to_tokens(ms.Tensor(x)).asnumpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(
        atoms.to_atoms(ms.Tensor(expected)).asnumpy(), expected[:, token]
    )


def test_offsets_are_zero_between_conformers_and_at_padding():
    """Padding has space 0, which is no conformer's here; as a key it is masked."""
    atoms = AtomFeatures.from_features(features([0] * 40, 1))
    offset, same = atoms.offset.asnumpy(), atoms.same_space.asnumpy()
    assert offset.shape == (2, 32, 128, 3)
    # window 0: key j is atom j - 48; window 1: key j is atom j - 16
    np.testing.assert_array_equal(offset[0, 1, 48 + 0], [3, 3, 3])  # atom 1 minus atom 0
    np.testing.assert_array_equal(offset[1, 0, 16 + 31], [3, 3, 3])  # atom 32 minus atom 31
    assert same[0, 1, 48 + 2] == 1 and same[0, 1, 48 + 3] == 0
    assert not offset[0, 1, 48 + 3].any() and not offset[0, 0, :48].any()
    assert not offset[1, 8:].any(), "padded queries"


@pytest.mark.parametrize("n_atoms", [1, 32, 33, 128, 129])
def test_windows_on_tensors_are_those_in_numpy(n_atoms):
    windows = AtomWindows.over(n_atoms)
    x = np.random.default_rng(0).standard_normal((2, n_atoms, 3)).astype(np.float32)
    queries, keys = windows.queries(ms.Tensor(x)), windows.keys(ms.Tensor(x))
    for b in range(2):
        np.testing.assert_array_equal(queries[b].asnumpy(), query_windows(x[b]))
        np.testing.assert_array_equal(keys[b].asnumpy(), key_windows(x[b]))
    np.testing.assert_array_equal(windows.merge(queries).asnumpy(), x)
    kept = windows.key_bias.asnumpy()[:, 0, 0] == 0
    np.testing.assert_array_equal(kept, key_windows(np.ones(n_atoms, bool)))
    assert kept.any(-1).all(), "a window without keys"
    assert kept.shape == (-(-n_atoms // 32), 128)
