# SPDX-License-Identifier: Apache-2.0
"""Permutation of labels beside upstream's, on random complexes of copies."""

import random

import numpy as np
import pytest

from protenix_ms.geometry.rigid import random_rotations
from protenix_ms.metrics.permutation import NoMatchError, permute_chains, permute_labels
from protenix_ms.runtime.draws import SeededDraws

torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
theirs = pytest.importorskip("protenix.utils.permutation.permutation", reason="needs protenix")

COPIES = {"A": 3, "B": 2, "L": 3}  # kinds of molecules: two polymers, a ligand
RESIDUES = {"A": 8, "B": 5, "L": 1}
ATOMS = 5  # per residue; the last two are alike
ORDERS = np.array([[0, 0], [1, 1], [2, 2], [3, 4], [4, 3]])


class Draws(SeededDraws):
    """Always draws one candidate."""

    def __init__(self, choice: int) -> None:
        super().__init__(0)
        self.choice = choice

    def integer(self, site: str, low: int, high: int) -> int:
        assert site == "anchor_chain" and low == 0
        return self.choice % high


def complex_of_copies(rng) -> dict[str, np.ndarray]:
    """Make a known structure: copies of each kind, turned and moved, some atoms unresolved."""
    columns = {k: [] for k in ("coordinate", "mol_id", "entity_mol_id", "mol_atom_index",
                               "pae_rep_atom_mask", "is_ligand")}
    molecule = 0
    for entity, (kind, copies) in enumerate(COPIES.items()):
        n = RESIDUES[kind] * ATOMS
        shape = 4 * rng.standard_normal((n, 3))
        for _ in range(copies):
            turn = random_rotations(rng, 1)[0]
            columns["coordinate"].append(shape @ turn.T + 15 * rng.standard_normal(3))
            columns["mol_id"].append(np.full(n, molecule))
            columns["entity_mol_id"].append(np.full(n, entity))
            columns["mol_atom_index"].append(np.arange(n))
            ligand = kind == "L"
            columns["pae_rep_atom_mask"].append(np.arange(n) % ATOMS == 1 if not ligand
                                                else np.ones(n, int))
            columns["is_ligand"].append(np.full(n, ligand))
            molecule += 1
    whole = {k: np.concatenate(v) for k, v in columns.items()}
    whole = {k: v.astype("f4" if k == "coordinate" else "i8") for k, v in whole.items()}
    whole["coordinate_mask"] = (rng.random(len(whole["mol_id"])) < 0.9).astype("i8")
    return whole


def example(seed: int):
    """Make a crop, all molecules, and a prediction in which copies and alike atoms swap places."""
    rng = np.random.default_rng(seed)
    full = complex_of_copies(rng)
    residue = np.arange(len(full["mol_id"])) // ATOMS
    if seed % 2:  # a crop: some residues are left out of every copy, some copies altogether
        place = full["mol_atom_index"] // ATOMS
        full = {k: v[(place != 2) | (full["entity_mol_id"] > 0)] for k, v in full.items()}
        residue = np.arange(len(full["mol_id"])) // ATOMS
        kept = ~np.isin(full["mol_id"], rng.choice(8, 2, replace=False))
    else:
        kept = np.ones(len(residue), bool)
    crop = {k: v[kept] for k, v in full.items()}
    x = crop["coordinate"].copy()
    for entity in range(3):  # copies change places
        copies = [np.flatnonzero(crop["mol_id"] == m)
              for m in np.unique(crop["mol_id"][crop["entity_mol_id"] == entity])]
        for here, there in zip(copies, [copies[i] for i in rng.permutation(len(copies))]):
            x[here] = crop["coordinate"][there]
    turn = random_rotations(rng, 1)[0]
    x = (x @ turn.T + 5 + 0.5 * rng.standard_normal(x.shape)).astype("f4")
    flip = rng.random(len(x) // ATOMS) < 0.5
    for i in np.flatnonzero(flip) * ATOMS:
        x[[i + 3, i + 4]] = x[[i + 4, i + 3]]
    features = {k: crop[k] for k in ("mol_id", "entity_mol_id", "mol_atom_index",
                                     "pae_rep_atom_mask", "is_ligand")}
    features["ref_space_uid"] = np.unique(residue[kept], return_inverse=True)[1]
    labels = {k: crop[k] for k in ("coordinate", "coordinate_mask")}
    full.pop("is_ligand")
    return x, features, labels, full


def upstream(x, features, labels, full, monkeypatch, choice: int):
    from ml_collections import ConfigDict

    config = ConfigDict({
        "chain_permutation": {
            "train": {"mini_rollout": True},
            "configs": {"use_center_rmsd": False, "find_gt_anchor_first": False,
                        "accept_it_as_it_is": False}},
        "atom_permutation": {"train": {"mini_rollout": True},
                             "global_align_wo_symmetric_atom": False}})
    monkeypatch.setattr(random, "choice", lambda values: values[choice % len(values)])
    tensors = [{k: torch.tensor(v) for k, v in d.items()} for d in (features, labels, full)]
    tensors[0]["atom_perm_list"] = ORDERS.tolist() * (len(x) // ATOMS)
    permutation = theirs.SymmetricPermutation(config)
    permuted, log = permutation.permute_label_to_match_mini_rollout(
        torch.tensor(x)[None], *tensors)
    return permuted["coordinate"].numpy(), permuted["coordinate_mask"].numpy(), log


@pytest.mark.parametrize("seed", range(12))
def test_labels_are_permuted_alike(seed, monkeypatch):
    x, features, labels, full = example(seed)
    expected, mask, log = upstream(x, features, labels, full, monkeypatch, seed)
    orders = [ORDERS] * (len(x) // ATOMS)
    ours = permute_labels(x, features, (labels, full), orders, Draws(seed))
    assert np.array_equal(ours.x, expected)
    assert np.array_equal(ours.resolved, mask.astype(bool))
    assert log["minirollout_perm/Chain-has_sym_chain"]


def test_copies_and_atoms_do_change_places():
    changed = 0
    for seed in range(4):
        x, features, labels, full = example(seed)
        orders = [ORDERS] * (len(x) // ATOMS)
        ours = permute_labels(x, features, (labels, full), orders, Draws(0))
        changed += not np.array_equal(ours.x, labels["coordinate"])
    assert changed == 4


def test_copies_with_different_atoms_leave_labels_as_they_are():
    x, features, labels, full = example(0)
    last = np.flatnonzero(full["mol_id"] == 1)[-1]
    shorter = {k: np.delete(v, last, 0) for k, v in full.items()}
    with pytest.raises(NoMatchError):
        permute_chains(x, features, shorter, Draws(0))
    orders = [np.arange(ATOMS)[:, None]] * (len(x) // ATOMS)
    kept = permute_labels(x, features, (labels, shorter), orders, Draws(0))
    assert np.array_equal(kept.x, labels["coordinate"])
