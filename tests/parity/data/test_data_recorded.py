# SPDX-License-Identifier: Apache-2.0
"""From mmCIF files to training features, labels and permutations: equal to upstream's recordings.

`ref_pos` up to a rigid motion per residue. The recorded template features are upstream's
placeholders under names that no model reads, and ours are the empty templates of prediction.
"""

import json

import numpy as np
import pytest
from comparison import compare

from protenix_ms.data import (
    CropOptions,
    ExampleOptions,
    Symmetries,
    read_entry,
    training_example,
)

# Contiguous "crops" larger than the entry leave out nothing but lone ions.
WITHOUT_IONS = ExampleOptions(CropOptions(size=5000, weights=(1.0, 0.0, 0.0)))
ENTRIES = ("1ay7", "1k6p", "4gxy", "5ugo", "5zyh", "7zzx")


@pytest.fixture(scope="module", params=ENTRIES)
def pair(request, golden, ccd, deposits):
    """Return our example of a whole entry and the recording."""
    path = golden / "data" / request.param / "train_inputs.npz"
    if not path.exists():
        pytest.skip(f"no recording {path}")
    entry = read_entry(deposits / f"{request.param}.cif.gz", ccd)
    chains = [str(entry.atoms.chain_id[0])]
    rng = np.random.default_rng(0)
    ours = training_example(entry, chains, rng, WITHOUT_IONS, Symmetries(ccd))
    return ours, dict(np.load(path))


def group(recorded, name):
    start = f"{name}/"
    return {key.removeprefix(start): v for key, v in recorded.items() if key.startswith(start)}


def test_features(pair):
    ours, recorded = pair
    theirs = group(recorded, "input_feature_dict")
    theirs = {k: v for k, v in theirs.items() if not k.startswith(("template_", "atom_perm"))}
    wrong = [row for row in compare(ours.features, theirs) if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(theirs) >= 38


@pytest.mark.parametrize("name", ["label_dict", "label_full_dict"])
def test_labels(pair, name):
    ours, recorded = pair
    theirs = group(recorded, name)
    actual = ours.labels if name == "label_dict" else ours.labels_full
    assert actual.keys() == theirs.keys()
    wrong = [row for row in compare(actual, theirs) if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))


def test_permutations(pair):
    ours, recorded = pair
    theirs = json.loads(str(recorded["input_feature_dict/atom_perm_list.json"]))
    actual = [row for columns in ours.permutations for row in columns.tolist()]
    assert actual == theirs
