# SPDX-License-Identifier: Apache-2.0
"""A tiny model and one example, without recordings."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.cli.configuration import load_config
from protenix_ms.model.protenix import Protenix
from protenix_ms.model.weights import load_weights, rule_array

TOKENS, ATOMS = 6, 18


def tiny_config():
    """Read `tests/data/tiny_training.py`, read as the command reads it."""
    file = Path(__file__).resolve().parents[2] / "data" / "tiny_training.py"
    return load_config(None, str(file), (), {})


@dataclass
class SmallExample:
    """Holds six protein tokens of three atoms each."""

    features: dict
    labels: dict
    labels_full: dict
    permutations: list = field(default_factory=list)


def small_example(seed: int = 0) -> SmallExample:
    rng = np.random.default_rng(seed)
    token = np.repeat(np.arange(TOKENS), ATOMS // TOKENS)
    place = np.tile(np.arange(ATOMS // TOKENS), TOKENS)
    centre = (place == 1).astype("i8")
    ones, zeros = np.ones(ATOMS, "i8"), np.zeros(ATOMS, "i8")
    one_hot = np.eye(32, dtype="f4")[rng.integers(0, 20, TOKENS)]
    pairs = (1, TOKENS, TOKENS)
    features = {
        "token_index": np.arange(TOKENS), "residue_index": np.arange(TOKENS),
        "asym_id": np.zeros(TOKENS, "i8"), "entity_id": np.zeros(TOKENS, "i8"),
        "sym_id": np.zeros(TOKENS, "i8"), "restype": one_hot, "profile": one_hot,
        "deletion_mean": np.zeros(TOKENS, "f4"), "token_bonds": np.zeros((TOKENS, TOKENS), "f4"),
        "ref_pos": rng.standard_normal((ATOMS, 3)).astype("f4"), "ref_mask": ones,
        "ref_element": np.eye(128, dtype="i8")[rng.integers(5, 8, ATOMS)], "ref_charge": zeros,
        "ref_atom_name_chars": np.eye(64, dtype="i8")[rng.integers(30, 60, (ATOMS, 4))],
        "ref_space_uid": token, "atom_to_token_idx": token, "atom_to_tokatom_idx": place,
        "has_frame": np.ones(TOKENS, "i8"),
        "frame_atom_index": np.arange(ATOMS).reshape(TOKENS, 3),
        "is_protein": ones, "is_ligand": zeros, "is_dna": zeros, "is_rna": zeros,
        "mol_id": zeros, "entity_mol_id": zeros, "mol_atom_index": np.arange(ATOMS),
        "pae_rep_atom_mask": centre, "plddt_m_rep_atom_mask": centre,
        "distogram_rep_atom_mask": centre, "bond_mask": np.zeros((ATOMS, ATOMS), "i8"),
        "resolution": np.array([2.0], "f4"),
        "msa": rng.integers(0, 20, (3, TOKENS)), "has_deletion": np.zeros((3, TOKENS), "f4"),
        "deletion_value": np.zeros((3, TOKENS), "f4"),
        "template_aatype": np.zeros((1, TOKENS), "i8"),
        "template_distogram": np.zeros((*pairs, 39), "f4"),
        "template_pseudo_beta_mask": np.zeros(pairs, "f4"),
        "template_unit_vector": np.zeros((*pairs, 3), "f4"),
        "template_backbone_frame_mask": np.zeros(pairs, "f4"),
    }
    x = (4 * rng.standard_normal((TOKENS, 1, 3)) + rng.standard_normal((TOKENS, 3, 3)))
    labels = {"coordinate": x.reshape(ATOMS, 3).astype("f4"), "coordinate_mask": ones}
    full = labels | {k: features[k] for k in ("mol_id", "entity_mol_id", "mol_atom_index",
                                              "pae_rep_atom_mask")}
    return SmallExample(features, labels, full, [np.arange(3)[:, None]] * TOKENS)


def new_model() -> Protenix:
    """Build a model with the same weights every time."""
    model = Protenix(tiny_config())
    load_weights(model, ((n, rule_array(n, tuple(p.shape)))
                         for n, p in model.parameters_and_names() if p.requires_grad))
    return model


def examples(start: int):
    """Make examples without end, by position."""
    while True:
        yield small_example(start % 3)
        start += 1


@pytest.fixture(name="new_model")
def new_model_fixture():
    return new_model


@pytest.fixture
def training():
    """Return fast settings: two samples, an update of full rate at once."""
    return tiny_config().training


@pytest.fixture(name="examples")
def examples_fixture():
    return examples
