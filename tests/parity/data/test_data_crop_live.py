# SPDX-License-Identifier: Apache-2.0
"""Crops and what is made of them, beside upstream's, with the same draws on both sides."""

import numpy as np
import pytest
from comparison import compare

from protenix_ms.data import CropOptions, ExampleOptions, Symmetries, training_example
from protenix_ms.data.crop import Sites, centre_candidates, contiguous_tokens, spatial_tokens
from protenix_ms.features.tokens import tokenize

torch = pytest.importorskip("torch")

ENTRIES = ("1igy", "1k6p", "4gxy", "5ugo", "5zyh")
SIZES = (24, 150)


def upstream_crop(assembly, chains, size):
    from protenix.utils.cropping import CropData

    return CropData(
        crop_size=size, ref_chain_indices=chains, token_array=assembly["token_array"],
        atom_array=assembly["atom_array"], contiguous_crop_complete_lig=True,
        spatial_crop_complete_lig=True, drop_last=True, remove_metal=True,
    )


@pytest.fixture
def draws(monkeypatch):
    """Let upstream's cropping draw from a numpy generator: `draws(generator)`."""
    from protenix.utils import cropping

    class FakeTorch:
        """Offers everything of torch but the two functions that draw."""

        def __init__(self, rng):
            self._rng = rng

        def __getattr__(self, name):
            return getattr(torch, name)

        def randperm(self, n):
            return torch.from_numpy(self._rng.permutation(n))

        def randint(self, low, high, size, **_):
            return torch.tensor([int(self._rng.integers(int(low), int(high)))])

    return lambda rng: monkeypatch.setattr(cropping, "torch", FakeTorch(rng))


def view_of(entry):
    tokens = tokenize(entry.atoms)
    return tokens, Sites.from_atoms(entry.atoms, tokens.centre_atom)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ENTRIES)
def test_contiguous(name, size, both, draws):
    entry, assembly, _ = both(name)
    _, view = view_of(entry)
    for seed in range(6):
        draws(np.random.default_rng(seed))
        theirs, _ = upstream_crop(assembly, [0], size).get_crop_indices("ContiguousCropping")
        ours = contiguous_tokens(view, CropOptions(size), np.random.default_rng(seed))
        assert ours.tolist() == theirs.tolist()
        assert len(ours) <= size


@pytest.mark.parametrize("interface", [False, True], ids=["spatial", "interface"])
@pytest.mark.parametrize("name", ENTRIES)
def test_spatial(name, interface, both, draws):
    entry, assembly, lines = both(name)
    tokens, view = view_of(entry)
    method = "SpatialInterfaceCropping" if interface else "SpatialCropping"
    number = dict(zip(entry.atoms.chain_id.tolist(), entry.atoms.asym_id.tolist()))
    for seed, line in enumerate(lines[:8]):
        names = [line[key] for key in ("chain_1_id", "chain_2_id") if line[key]]
        reference = np.isin(entry.atoms.chain_id[tokens.centre_atom], names)
        candidates = centre_candidates(view, reference, interface)
        rng = np.random.default_rng(seed)
        centre = int(candidates[rng.integers(0, len(candidates))])
        for size in SIZES:
            draws(np.random.default_rng(seed))
            crop = upstream_crop(assembly, [number[n] for n in names], size)
            theirs, their_centre = crop.get_crop_indices(method)
            assert centre == their_centre
            assert spatial_tokens(view, centre, size, True).tolist() == theirs.tolist()


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
                         ids=["contiguous", "spatial", "interface"])
@pytest.mark.parametrize("name", ENTRIES)
def test_example_of_a_crop(name, weights, both, ccd):
    """Features, labels, permutations of our crop equal upstream's featuriser on the same tokens."""
    from protenix.data.core.featurizer import Featurizer

    entry, assembly, lines = both(name)
    line = lines[-1] if weights[2] else lines[0]
    chains = [line[key] for key in ("chain_1_id", "chain_2_id") if line[key]]
    options = ExampleOptions(CropOptions(size=80, weights=weights), rename_ligands=True)
    rng = np.random.default_rng(3)
    ours = training_example(entry, chains, rng, options, Symmetries(ccd))
    tokens, atoms = upstream_crop(assembly, [0], 80).crop_by_indices(torch.tensor(ours.crop.tokens))
    theirs = Featurizer(tokens, atoms, lig_atom_rename=True)
    features = {k: v.numpy() for k, v in theirs.get_all_input_features().items()}
    wrong = [row for row in compare(ours.features, features) if not row.equal]
    # which of two equally near atoms makes a frame depends on the placement of the conformer
    wrong = [row for row in wrong if row.name not in ("frame_atom_index", "has_frame")]
    assert not wrong, "\n".join(map(str, wrong))
    assert same_frames(ours.features, features) >= 0.98
    lists = [row for columns in ours.permutations for row in columns.tolist()]
    assert lists == theirs.get_atom_permutation_list()
    full, _ = Featurizer.get_gt_full_complex_features(
        assembly["atom_array"], atoms, get_cropped_asym_only=not weights[0]
    )
    for actual, expected in ((ours.labels, theirs.get_labels()), (ours.labels_full, full)):
        assert actual.keys() == expected.keys()
        expected = {key: value.numpy() for key, value in expected.items()}
        wrong = [row for row in compare(actual, expected) if not row.equal]
        assert not wrong, "\n".join(map(str, wrong))


def same_frames(ours, theirs):
    equal = (np.sort(ours["frame_atom_index"]) == np.sort(theirs["frame_atom_index"])).all(1)
    return float((equal & (ours["has_frame"] == theirs["has_frame"])).mean())
