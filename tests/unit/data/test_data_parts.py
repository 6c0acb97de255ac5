# SPDX-License-Identifier: Apache-2.0
"""Small parts of the parser: components, contacts, operations, clashes, clusters, packing."""

import numpy as np
import pytest

from protenix_ms.chem.columns import connected_groups, merge_bonds
from protenix_ms.data.assembly import list_motions, parse_operation
from protenix_ms.data.clusters import cluster, exact_clusters
from protenix_ms.data.completion import chosen_leaving_atoms
from protenix_ms.data.constraints import PairSampling, draw_contacts
from protenix_ms.data.crop import Sites
from protenix_ms.data.dataset import Sparse, pack, unpack
from protenix_ms.data.filters import clash_loser
from protenix_ms.errors import ResourceError
from protenix_ms.geometry.distances import near_pairs


@pytest.mark.parametrize("size, edges", [(0, 0), (1, 0), (50, 20), (50, 60), (300, 200)])
def test_connected_components(size, edges):
    rng = np.random.default_rng(size + edges)
    pairs = rng.integers(0, max(size, 1), (edges, 2))
    label = list(range(size))
    for first, second in pairs.tolist():  # plainly: join the two sets
        old, new = label[second], label[first]
        label = [new if x == old else x for x in label]
    expected = np.array([list(dict.fromkeys(label)).index(x) for x in label], np.int64)
    assert (connected_groups(size, pairs) == expected).all()


def test_a_long_chain_is_one_component():
    order = np.random.default_rng(0).permutation(2000)
    pairs = np.stack([order[:-1], order[1:]], axis=1)
    assert connected_groups(2000, pairs).max() == 0


def test_merged_bonds_are_sorted_and_single():
    first, second = np.array([[3, 1, 2]]), np.array([[1, 3, 1], [0, 2, 1]])
    assert merge_bonds(first, second).tolist() == [[0, 2, 1], [1, 3, 2]]


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("sizes", [(0, 5), (1, 1), (60, 80)])
def test_near_pairs_are_those_of_the_distance_matrix(sizes, scale):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(scale=scale, size=(n, 3)).astype(np.float32) for n in sizes)
    far = np.linalg.norm(x[:, None].astype(float) - y[None].astype(float), axis=-1)
    assert near_pairs(x, y, 5.0).tolist() == np.argwhere(far <= 5.0).tolist()


@pytest.mark.parametrize("text, steps", [
    ("1", [("1",)]),
    ("1,2", [("1",), ("2",)]),
    ("(1-3)", [("1",), ("2",), ("3",)]),
    ("(X0)(1-2,5)", [("X0", "1"), ("X0", "2"), ("X0", "5")]),
    ("(1,2)(3,4)", [("1", "3"), ("2", "3"), ("1", "4"), ("2", "4")]),
])
def test_operations(text, steps):
    assert list_motions(parse_operation(text)) == steps


@pytest.mark.parametrize("overlap, sizes, loser", [
    ((3, 3), (10, 10), ()),  # 30 % is not over 30 %
    ((4, 1), (10, 10), (0,)),
    ((1, 4), (10, 10), (1,)),
    ((4, 8), (10, 20), (0,)),  # equal shares: the smaller chain
    ((8, 4), (20, 10), (1,)),
    ((5, 5), (10, 10), (1,)),  # all equal: the later name
    ((0, 0), (0, 10), (0,)),  # no centre atom resolved
    ((0, 0), (10, 0), (1,)),
])
def test_which_of_two_clashing_chains_goes(overlap, sizes, loser):
    assert clash_loser((0, 1), overlap, sizes) == loser


def test_leaving_groups_that_are_not_resolved_go_first():
    groups = [["O1"], ["O2", "H2"], ["O3"]]
    assert chosen_leaving_atoms(groups, [True, False, True], 1) == ["O2", "H2"]
    assert chosen_leaving_atoms(groups, [True, False, True], 2) == ["O2", "H2", "O1"]
    assert chosen_leaving_atoms(groups, [True, False, True], 5) == ["O2", "H2", "O1", "O3"]


def mutated(sequence, share, seed):
    rng = np.random.default_rng(seed)
    letters = list(sequence)
    for place in rng.choice(len(letters), int(share * len(letters)), replace=False):
        letters[place] = "ARNDCQEGHILKMFPSTWYV"[rng.integers(20)]
    return "".join(letters)


def test_clusters_hold_relatives_and_nobody_else():
    rng = np.random.default_rng(0)
    founders = ["".join(rng.choice(list("ARNDCQEGHILKMFPSTWYV"), 150)) for _ in range(3)]
    family = [[f, mutated(f, 0.3, 1), mutated(f, 0.2, 2), f[5:]] for f in founders]
    half = founders[0][:70]  # identical, but covers less than 80 %
    cluster_of = cluster([s for members in family for s in members] + [half])
    names = [{cluster_of[s] for s in members} for members in family]
    assert [len(n) for n in names] == [1, 1, 1]
    assert len(set.union(*names)) == 3
    assert cluster_of[half] not in set.union(*names)


def test_clusters_do_not_depend_on_order_or_repetition():
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACDEFGHIKL"), 40)) for _ in range(12)]
    assert cluster(sequences) == cluster([*sequences[::-1], *sequences])
    assert exact_clusters([]) == {}


MMSEQS = """#!/bin/sh
[ "$1" = easy-cluster ] || exit 3
printf '0\t0\n0\t2\n1\t1\n' > "$3_cluster.tsv"
"""


def test_mmseqs_is_asked_when_it_is_there(tmp_path):
    program = tmp_path / "mmseqs"
    program.write_text(MMSEQS)
    program.chmod(0o755)
    sequences = ["A" * 30, "C" * 20, "D" * 10]
    cluster_of = cluster(sequences, str(program))
    assert cluster_of[sequences[0]] == cluster_of[sequences[2]] != cluster_of[sequences[1]]
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    with pytest.raises(ResourceError, match="no space left"):
        cluster(sequences, str(program))


@pytest.mark.parametrize("by_interface", [False, True])
def test_contacts_of_the_crop_or_of_every_interface(by_interface):
    rng = np.random.default_rng(0)
    sites = Sites(np.repeat([3, 5, 9], 8), np.arange(24), np.full(24, "protein"),
                  np.zeros(24, bool), np.ones(24, bool), rng.standard_normal((24, 3)))
    options = PairSampling(1.0, (("PP", 50.0, 50.0),), size=2.0, by_interface=by_interface)
    pairs, limit = draw_contacts(sites, options, rng)
    chains = sites.chain[pairs]
    assert np.all(limit == 50) and np.all(chains[:, 0] != chains[:, 1])
    interfaces = {tuple(sorted(c)) for c in chains.tolist()}
    assert len(pairs) == (6 if by_interface else 2)
    assert interfaces == {(3, 5), (3, 9), (5, 9)} if by_interface else len(interfaces) <= 2


def test_packing_gives_the_arrays_back():
    rng = np.random.default_rng(0)
    one_hot = np.eye(128, dtype=np.int64)[rng.integers(0, 128, 400)]
    arrays = {
        "one_hot": one_hot, "dense": rng.normal(size=(300, 300)).astype(np.float32),
        "nothing": np.broadcast_to(np.float32(0), (400, 400, 3)), "zeros": np.zeros((500, 500)),
        "ones": np.broadcast_to(np.float32(1), (400, 400)), "small": np.arange(3),
        "mask": rng.random((700, 700)) < 0.001, "scalar": np.array(3),
    }  # fmt: skip
    packed = pack(arrays)
    assert {k for k, v in packed.items() if isinstance(v, Sparse)} == {
        "one_hot", "nothing", "zeros", "mask"}
    again = unpack(packed)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)
