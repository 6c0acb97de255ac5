# SPDX-License-Identifier: Apache-2.0
"""What constraints may be sampled, and what they become, beside upstream's training featuriser."""

import copy

import numpy as np
import pytest
from comparison import compare

from protenix_ms.data.constraints import (
    ConstraintSampling,
    PairSampling,
    Sites,
    SubstructureSampling,
    interface_chains,
    pocket_limits,
    sample_constraints,
    split_tokens,
    substructure_feature,
    valid_contacts,
)
from protenix_ms.features.build import structure_features
from protenix_ms.features.tokens import tokenize

torch = pytest.importorskip("torch")

ENTRIES = ("1ay7", "1k6p", "5zyh", "5ugo")
ALWAYS = ConstraintSampling(
    pocket=PairSampling(1.0, (("PP", 6.0, 20.0), ("LP", 6.0, 20.0)), size=3.0),
    contact=PairSampling(1.0, (("PP", 6.0, 30.0), ("PL", 4.0, 10.0)), size=4.0),
    contact_atom=PairSampling(1.0, (("PP", 2.0, 12.0), ("PL", 2.0, 8.0)), size=2.0),
    substructure=SubstructureSampling(1.0, size=2.0, full_shares=(1.0,)),
)


@pytest.fixture(params=ENTRIES)
def pair(request, both):
    """Return our sites by token, and the arguments of upstream's featurisers."""
    entry, assembly, _ = both(request.param)
    tokens = tokenize(entry.atoms)
    theirs = {"token_array": assembly["token_array"], "atom_array": assembly["atom_array"]}
    return Sites.from_atoms(entry.atoms, tokens.centre_atom), theirs, entry


@pytest.mark.parametrize("kinds, limit, least", [("PP", 12.0, 0.0), ("PL", 9.0, 4.0)])
def test_valid_contacts(pair, kinds, limit, least):
    from protenix.data.constraint.constraint_featurizer import ContactFeaturizer

    sites, arguments, _ = pair
    upstream = ContactFeaturizer(**arguments)
    upstream._get_generation_basics()
    theirs = upstream.get_valid_contact_feature(kinds, limit, least).numpy()
    ours, limits = valid_contacts(sites, [(kinds, limit)], [least])
    assert ours.tolist() == np.argwhere(np.triu(theirs)).tolist()
    assert (limits == limit).all()


@pytest.mark.parametrize("kinds, limit", [("PP", 10.0), ("LP", 8.0)])
def test_pockets(pair, kinds, limit):
    from protenix.data.constraint.constraint_featurizer import PocketFeaturizer

    sites, arguments, _ = pair
    upstream = PocketFeaturizer(**arguments)
    upstream._get_generation_basics()
    chains, ours = pocket_limits(sites, [(kinds, limit)])
    theirs = upstream.get_valid_pocket_feature(kinds, limit, torch.tensor(chains)).numpy()
    assert ((ours > 0) == theirs).all()


def test_substructures(pair):
    from protenix.data.constraint.constraint_featurizer import SubStructureFeaturizer

    sites, arguments, _ = pair
    upstream = SubStructureFeaturizer(**arguments)
    upstream._get_generation_basics()
    kinds = {"PP": 15.0, "PL": 10.0, "LP": 10.0}
    theirs = upstream.get_valid_substructure_feature(kinds).numpy()
    assert interface_chains(sites, tuple(kinds.items())).tolist() == theirs.tolist()
    chosen = np.random.default_rng(0).random(len(sites)) < 0.2
    bins = upstream._get_distance_feature(torch.tensor(chosen), coord_noise_scale=0)
    expected = upstream.one_hot_encoder(bins, 4).numpy()
    actual = substructure_feature(sites.position.astype(np.float32), chosen)
    assert (actual != expected).any(-1).mean() < 1e-5  # distances on the edge of a bin
    assert expected.any()


def test_split_tokens(pair):
    """Features of a crop with split residues equal upstream's."""
    from protenix.data.constraint.constraint_featurizer import ConstraintFeatureGenerator
    from protenix.data.core.featurizer import Featurizer

    _, arguments, entry = pair
    rows = np.array([4, 5, 60, 61, len(entry.atoms) - 1])
    whole, atoms = split_tokens(entry.atoms, entry.atoms, rows)
    tokens = tokenize(atoms)
    theirs = copy.deepcopy(arguments)
    index = {a: i for i, t in enumerate(theirs["token_array"]) for a in t.atom_indices}
    pairs = [(int(a), int(b), 0.0, 9.0) for a, b in zip(rows[:-1], rows[1:])]
    token_array, atom_array, moved, _, full = ConstraintFeatureGenerator.expand_tokens(
        theirs["token_array"], theirs["atom_array"], pairs, index,
        copy.deepcopy(arguments["atom_array"]),
    )
    token_array.set_annotation(
        "centre_atom_index", [token.centre_atom_index for token in token_array]
    )
    expected = Featurizer(token_array, atom_array).get_all_input_features()
    expected = {key: value.numpy() for key, value in expected.items()}
    actual = structure_features(atoms, tokens, np.random.default_rng(0), False)
    actual["resolution"] = expected["resolution"]
    wrong = [row for row in compare(actual, expected) if not row.equal]
    wrong = [row for row in wrong if row.name not in ("frame_atom_index", "has_frame")]
    assert not wrong, "\n".join(map(str, wrong))
    assert [list(m[:2]) for m in moved] == tokens.atom_to_token[
        np.stack([rows[:-1], rows[1:]], axis=1)].tolist()
    assert (whole.centre_atom_mask == full.centre_atom_mask.astype(int)).all()


def test_sampled_constraints_hold_in_the_structure(pair):
    _, _, entry = pair
    example = sample_constraints(entry.atoms, entry.atoms, np.random.default_rng(2), ALWAYS)
    features = {k.removeprefix("constraint_feature/"): v for k, v in example.features.items()}
    n = len(example.tokens)
    position = example.atoms.coord[example.tokens.centre_atom].astype(float)
    far = np.linalg.norm(position[:, None] - position[None], axis=-1)
    apart = example.tokens.asym_id[:, None] != example.tokens.asym_id[None]
    for name, number in (("contact", 4), ("contact_atom", 2)):
        least, largest = np.moveaxis(features[name], -1, 0)
        pairs = np.argwhere(largest > 0)
        assert features[name].shape == (n, n, 2) and len(pairs) <= 2 * number
        assert (largest == largest.T).all() and not least.any()
        assert all(far[i, j] <= largest[i, j] + 1e-4 and apart[i, j] for i, j in pairs)
    pocket = features["pocket"][..., 0]
    binder, near = np.nonzero(pocket)
    assert len(set(example.tokens.asym_id[binder])) <= 1
    assert all((far[binder, j] <= pocket[binder[0], j] + 1e-4).any() for j in set(near))
    assert (features["substructure"].sum(-1) <= 1).all()
    constrained = features["contact"].any((1, 2)) | features["substructure"].any((1, 2))
    constrained |= features["pocket"].any((1, 2)) | features["pocket"].any((0, 2))
    constrained |= features["contact_atom"].any((1, 2))
    if entry.name in ("1ay7", "1k6p"):
        assert constrained.any()
    kinds = example.atoms.entity_mol_id[example.tokens.centre_atom]
    old = entry.atoms.entity_mol_id.max()
    molecules = example.tokens.asym_id
    assert ((kinds > old) == np.isin(molecules, molecules[constrained])).all()
