# SPDX-License-Identifier: Apache-2.0
"""Summary confidence from recorded logits equals upstream's recorded summary."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from protenix_ms.geometry.bins import PDE, PLDDT, expected
from protenix_ms.geometry.tm_terms import TmTables
from protenix_ms.metrics.confidence import KEYS, Layout, summarize

CASES = [
    "tiny/protenix_base_default_v1.0.0", "tiny/protenix-v2",
    "tiny/protenix_base_constraint_v0.5.0", "tiny/protenix_tiny_default_v0.5.0",
    "full/protenix_tiny_default_v0.5.0",
]


@dataclass(frozen=True)
class Sample:
    atom_plddt: np.ndarray
    pae: np.ndarray
    pde: np.ndarray
    tm_complex: np.ndarray
    tm_pair: np.ndarray


def reduced(outputs, features, i) -> Sample:
    """Return the arrays of sample `i`, PAE reduced in uneven row chunks."""
    tables, logits = TmTables.from_chains(features["asym_id"]), outputs["pred/pae"][i]
    rows = [slice(k, k + 17) for k in range(0, len(logits), 17)]
    chunks = [tables.reduce(logits[some], some) for some in rows]
    pae, whole, pair = (np.concatenate(parts) for parts in zip(*chunks))
    plddt = expected(outputs["pred/plddt"][i], PLDDT)
    return Sample(plddt, pae, expected(outputs["pred/pde"][i], PDE), whole, pair)


@pytest.mark.parametrize("case", CASES)
def test_recorded_summary(golden, case):
    folder = golden / case
    if not folder.is_dir():
        pytest.skip(f"{case} is not among the recordings at {golden}")
    outputs, features = np.load(folder / "outputs.npz"), dict(np.load(folder / "features.npz"))
    layout = Layout.from_features(features)
    cycles = json.loads((folder / "meta.json").read_text())["config"]["model"]["N_cycle"]
    for i, coordinates in enumerate(outputs["pred/coordinate"]):
        sample = reduced(outputs, features, i)
        summary = summarize(sample, coordinates, outputs["pred/contact_probs"], layout, cycles)
        for key in KEYS:
            recorded = outputs[f"pred/summary_confidence/{i}/{key}"]
            np.testing.assert_allclose(summary[key], recorded, rtol=1e-5, atol=1e-6, err_msg=key)
        for ours, name in ((sample.pae, "pae"), (sample.pde, "pde")):
            recorded = outputs[f"full_data/{i}/token_pair_{name}"]
            np.testing.assert_allclose(ours, recorded, rtol=1e-5, atol=1e-5)


def test_every_upstream_key_is_written(golden):
    written = json.loads(
        next((golden / "tiny/protenix-v2").glob("upstream/*/*/*/*summary*_0.json")).read_text()
    )
    assert set(written) == set(KEYS)


def layout(chain, ligand=()) -> Layout:
    chain = np.asarray(chain)
    is_ligand = np.isin(np.arange(chain.max() + 1), ligand)
    return Layout(chain, np.ones(len(chain), bool), chain, ~is_ligand[chain], is_ligand)


def perfect(n: int, error: float = 0.0) -> Sample:
    terms = np.ones((n, n), np.float32)
    return Sample(np.ones(n, np.float32), terms * error, terms * error, terms, terms)


def test_perfect_dimer_scores_one():
    coordinates = np.arange(18, dtype=np.float32).reshape(6, 3) * 5
    scores = summarize(perfect(6), coordinates, np.ones((6, 6)), layout([0] * 3 + [1] * 3), 4)
    assert scores["ptm"] == pytest.approx(1) and scores["iptm"] == pytest.approx(1)
    assert scores["ranking_score"] == pytest.approx(1) and scores["plddt"] == pytest.approx(100)
    assert scores["has_clash"] is False and scores["num_recycles"] == 4


def test_monomer_has_no_interface():
    coordinates = np.arange(9, dtype=np.float32).reshape(3, 3) * 5
    scores = summarize(perfect(3), coordinates, np.ones((3, 3)), layout([0, 0, 0]), 1)
    assert scores["iptm"] == 0 and scores["ranking_score"] == pytest.approx(0.2)
    assert scores["chain_pair_iptm"].shape == (1, 1) and scores["chain_iptm"].tolist() == [0.0]


def test_a_complex_without_frames_scores_zero():
    bare = layout([0, 1])
    bare = Layout(bare.chain, np.zeros(2, bool), bare.atom_chain, bare.atom_is_polymer,
                  bare.ligand_chain)
    coordinates = np.array([[0, 0, 0], [9, 9, 9]], np.float32)
    scores = summarize(perfect(2), coordinates, np.ones((2, 2)), bare, 1)
    assert scores["ptm"] == 0 and scores["iptm"] == 0


def test_chunks_of_rows_do_not_matter():
    rng = np.random.default_rng(0)
    asym = np.array([0, 0, 2, 2, 2, 5, 7])
    logits = rng.standard_normal((7, 7, 64)).astype(np.float32)
    whole = TmTables.from_chains(asym).reduce(logits, slice(0, 7))
    rows = [TmTables.from_chains(asym).reduce(logits[i : i + 1], slice(i, i + 1)) for i in range(7)]
    for a, parts in zip(whole, zip(*rows)):
        np.testing.assert_allclose(a, np.concatenate(parts), rtol=1e-6)
