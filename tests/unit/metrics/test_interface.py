# SPDX-License-Identifier: Apache-2.0
"""Scores of chain pairs against loops over residues that follow the definitions word by word."""

import math
import warnings

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features.build import build
from protenix_ms.job import Job, Ligand, Modification, Polymer
from protenix_ms.metrics.interface import INTERFACE_KEYS, Residues, score_interfaces

STANDARD_NUCLEOTIDES = {"A", "C", "G", "U", "DA", "DC", "DG", "DT"}
JOB = Job("complex", (
    Polymer("protein", "GSHMKTAYIAKQRQISFVKSHFSRQLEERLGL", count=2,
            modifications=(Modification("ACE", 1), Modification("SEP", 20))),
    Polymer("protein", "WTQDVG", modifications=(Modification("TPO", 3),)),
    Polymer("dna", "ACGTAC", modifications=(Modification("5CM", 2),)),
    Polymer("rna", "GGU"),
    Ligand(codes=("ATP",)), Ligand(codes=("ALA",)), Ligand(codes=("NAG", "NAG")),
    Ligand(codes=("MG",), is_ion=True),
))
KINDS = {"1": "protein", "2": "protein", "3": "dna", "4": "rna"}
POLYMERS = range(5)


class Complex:
    """Holds atoms of `JOB` with made-up coordinates and errors, some exactly on the cutoffs."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        example = build(JOB, ComponentDictionary.load(), rng)
        self.atoms, self.token = example.atoms, example.features["atom_to_token_idx"]
        n_token, n_atom = len(example.tokens), len(self.atoms)
        spread = np.sort(rng.uniform(0, 30, (n_token, n_token)), axis=1)
        self.pae = rng.permuted(spread, axis=1).astype(np.float32)  # asymmetric
        for value in (10.0, 12.0, 15.0):
            self.pae[rng.random(self.pae.shape) < 0.05] = value
        self.pae[rng.integers(n_token, size=3)] = 31.0  # rows without partners
        self.x = rng.normal(0, 9, (n_atom, 3)).astype(np.float32)
        first, second = (np.flatnonzero((self.atoms.chain_id == name)
                                        & (self.atoms.atom_name == "CB"))[0] for name in "AB")
        self.x[first], self.x[second] = (100, 0, 0), (108, 0, 0)  # 8 angstrom: a contact
        self.plddt = rng.uniform(20, 100, n_atom)
        self.residues = Residues.from_atoms(self.atoms, self.token, KINDS)

    def scores(self, cutoff: float) -> dict:
        return score_interfaces(self.pae, self.x, self.plddt, self.residues, cutoff)


@pytest.fixture(scope="module")
def sample() -> Complex:
    return Complex(0)


def residues_by_loop(case: Complex) -> dict[str, list[tuple[int, int, str]]]:
    """Return (token of CA or C1', atom of CB or C3' or what stands in, name) by chain."""
    groups: dict[tuple, dict[str, int]] = {}
    for row in range(len(case.atoms)):
        if str(case.atoms.entity_id[row]) in KINDS:
            key = (str(case.atoms.chain_id[row]), int(case.atoms.res_id[row]),
                   str(case.atoms.res_name[row]), KINDS[str(case.atoms.entity_id[row])])
            groups.setdefault(key, {})[str(case.atoms.atom_name[row])] = row
    chains: dict[str, list] = {}
    for (chain, _, name, kind), rows in groups.items():
        centre, side = ("CA", "CB") if kind == "protein" else ("C1'", "C3'")
        if centre in rows:
            chains.setdefault(chain, []).append(
                (int(case.token[rows[centre]]), rows.get(side, rows[centre]), name))
    return chains


def by_loop(case: Complex, cutoff: float, first: str, second: str) -> dict[str, float]:
    """Compute the scores of one direction."""
    chains = residues_by_loop(case)
    a, b = chains[first], chains[second]
    nucleic = any(name in STANDARD_NUCLEOTIDES for *_, name in a + b)
    best, lis, contacts, terms, members = 0.0, [], 0, 0.0, {}
    for i, row, _ in a:
        errors = [float(case.pae[i, j]) for j, _, _ in b]
        near = [e for e in errors if e < cutoff]
        if near:
            n = max(len(near), 26)
            d = max(2.0 if nucleic else 1.0, 1.24 * (n - 15) ** (1 / 3) - 1.8)
            best = max(best, sum(1 / (1 + (e / d) ** 2) for e in near) / len(near))
        lis += [(12 - e) / 12 for e in errors if e < 12]
        for j, other, _ in b:
            if math.dist(case.x[row].tolist(), case.x[other].tolist()) <= 8:
                contacts += 1
                terms += 1 / (1 + (float(case.pae[i, j]) / 10) ** 2)
                members |= {row: case.plddt[row], other: case.plddt[other]}
    pdockq = pdockq2 = 0.0
    if contacts:
        mean = sum(members.values()) / len(members)
        pdockq = 0.724 / (1 + math.exp(-0.052 * (mean * math.log10(contacts) - 152.611))) + 0.018
        pdockq2 = 1.31 / (1 + math.exp(-0.075 * (mean * terms / contacts - 84.733))) + 0.005
    return {"chain_pair_ipsae": best, "chain_pair_pdockq": pdockq, "chain_pair_pdockq2": pdockq2,
            "chain_pair_lis": sum(lis) / len(lis) if lis else 0.0}


@pytest.mark.parametrize("cutoff", [10.0, 15.0, 3.5])
def test_every_pair_and_direction_equals_the_loops(sample, cutoff):
    scores = sample.scores(cutoff)
    assert tuple(scores) == INTERFACE_KEYS and scores["ipsae_pae_cutoff"] == cutoff
    names = scores["chain_ids"]
    touching = 0
    for a in POLYMERS:
        for b in POLYMERS:
            if a != b:
                expected = by_loop(sample, cutoff, names[a], names[b])
                touching += expected["chain_pair_pdockq"] > 0
                for key, value in expected.items():
                    assert scores[key][a, b] == pytest.approx(value, rel=1e-9), (key, a, b)
    assert 0 < touching < 20  # pairs with and without contact


def test_a_pair_is_the_larger_direction_and_the_mean_of_lis(sample):
    scores = sample.scores(10.0)
    for key, combined, join in (("chain_pair_ipsae", "chain_pair_ipsae_max", max),
                              ("chain_pair_ipsae", "chain_pair_ipsae_min", min),
                              ("chain_pair_pdockq2", "chain_pair_pdockq2_max", max),
                              ("chain_pair_lis", "chain_pair_lis_mean", lambda x, y: (x + y) / 2)):
        one, both = scores[key], scores[combined]
        assert one[0, 2] != one[2, 0]
        for a in POLYMERS:
            for b in POLYMERS:
                if a != b:
                    assert both[a, b] == join(one[a, b], one[b, a]), combined


def test_ligands_ions_and_glycans_have_none_but_aligned_errors(sample):
    scores, token_chain = sample.scores(10.0), np.zeros(len(sample.pae), int)
    outside = [c for c in range(len(scores["chain_ids"])) if c not in POLYMERS]
    assert len(outside) == 4  # a ligand that is an amino acid among them
    chains = np.unique(sample.atoms.chain_id, return_index=True)[1]
    for number, start in enumerate(sorted(chains)):
        token_chain[sample.token[start]:] = number
    for key in INTERFACE_KEYS[2:]:
        matrix = scores[key]
        if "pae" not in key:
            assert np.isnan(matrix[outside]).all() and np.isnan(matrix[:, outside]).all()
            assert np.isnan(np.diagonal(matrix)).all()
            continue
        reduce = np.mean if key.endswith("mean") else np.min
        for a in range(len(matrix)):
            for b in range(len(matrix)):
                block = sample.pae[np.ix_(token_chain == a, token_chain == b)]
                assert matrix[a, b] == pytest.approx(reduce(block.astype(float)), rel=1e-12)


def test_which_token_stands_for_a_residue(sample):
    residues, atoms = sample.residues, sample.atoms
    centre = [np.flatnonzero((sample.token == t) & np.isin(atoms.atom_name, ("CA", "C1'")))
              for t in residues.token]
    assert all(len(rows) == 1 for rows in centre)
    # the cap ACE has no CA, SEP, TPO and 5CM count once
    assert np.bincount(residues.chain).tolist() == [31, 31, 6, 6, 3]
    assert residues.nucleic.tolist() == [False] * 3 + [True] * 2 + [False] * 4
    sides = dict.fromkeys(atoms.atom_name[residues.atom].tolist())
    assert set(sides) == {"CB", "CA", "C3'"}
    without_side = {str(atoms.res_name[row]) for row in residues.atom
                    if atoms.atom_name[row] == "CA"}
    assert without_side == {"GLY"}


def test_a_transposed_error_swaps_the_directions(sample):
    scores = sample.scores(10.0)
    swapped = score_interfaces(np.ascontiguousarray(sample.pae.T), sample.x, sample.plddt,
                               sample.residues, 10.0)
    assert swapped["chain_pair_lis"][0, 2] == pytest.approx(scores["chain_pair_lis"][2, 0])
    assert swapped["chain_pair_ipsae"][0, 2] != scores["chain_pair_ipsae"][0, 2]


def only(*entities) -> dict:
    rng = np.random.default_rng(1)
    example = build(Job("few", entities), ComponentDictionary.load(), rng)
    token, n = example.features["atom_to_token_idx"], len(example.tokens)
    kinds = {str(i): e.kind for i, e in enumerate(entities, 1) if isinstance(e, Polymer)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return score_interfaces(rng.uniform(0, 5, (n, n)), rng.normal(0, 2, (len(token), 3)),
                                np.full(len(token), 80.0),
                                Residues.from_atoms(example.atoms, token, kinds), 10.0)


@pytest.mark.parametrize("entities", [
    (Polymer("protein", "GAS"),), (Ligand(codes=("ATP",)),),
    (Ligand(codes=("MG",)), Ligand(codes=("ATP",))),
    (Polymer("protein", "A"), Ligand(codes=("MG",))),
])
def test_without_two_polymers_nothing_is_scored(entities):
    scores = only(*entities)
    shape = (len(entities), len(entities))
    for key in INTERFACE_KEYS[2:]:
        assert scores[key].shape == shape
        assert "pae" in key or np.isnan(scores[key]).all()
        assert "pae" not in key or np.isfinite(scores[key]).all()


def test_homomers_are_scored_copy_by_copy_and_far_chains_are_zero():
    scores = only(Polymer("protein", "GASK", count=4))
    off = ~np.eye(4, dtype=bool)
    assert (scores["chain_pair_ipsae"][off] > 0).all() and len(scores["chain_ids"]) == 4
    case = Complex(2)
    far = case.x + 1000 * np.unique(case.atoms.chain_id, return_inverse=True)[1][:, None]
    apart = score_interfaces(np.full_like(case.pae, 20), far.astype(np.float32), case.plddt,
                             case.residues, 10.0)
    for key in ("chain_pair_ipsae", "chain_pair_pdockq", "chain_pair_pdockq2", "chain_pair_lis"):
        values = apart[key][:5, :5]
        assert (values[~np.eye(5, dtype=bool)] == 0).all(), key


def test_rounding_would_drop_what_lies_just_below_the_cutoff():
    case = Complex(3)
    case.pae[:] = 9.996
    assert by_loop(case, 10.0, "A", "B")["chain_pair_ipsae"] > 0
    assert case.scores(10.0)["chain_pair_ipsae"][0, 1] > 0
    scores = score_interfaces(np.round(case.pae, 2), case.x, case.plddt, case.residues, 10.0)
    assert scores["chain_pair_ipsae"][0, 1] == 0
