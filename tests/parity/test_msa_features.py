# SPDX-License-Identifier: Apache-2.0
"""MSA features against upstream: recorded (`features.npz`) and live, on real and made-up jobs."""

from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.features import FeatureOptions
from protenix_ms.features.msa import empty_msa_features, msa_features
from protenix_ms.features.tokens import TokenTable
from protenix_ms.io import read_jobs
from protenix_ms.job import Alignment, Job, Ligand, Polymer

QUIRKS = FeatureOptions(upstream_quirks=True)
INTEGERS = ("msa", "msa_mask", "deletion_matrix")
FLOATS = ("has_deletion", "deletion_value", "profile", "deletion_mean")
RECORDED = {
    "features/small": "golden/inputs/small.json",
    "features/smiles": "golden/inputs/feat_smiles.json",
    "features/covalent": "golden/inputs/feat_covalent.json",
    "features/constraint": "golden/inputs/fixture_constraint.json",
    "features/7r6r": "examples/example_7r6r.json",
    "features/9gmw": "examples/examples_with_rna_msa/example_9gmw_2.json",
    "tiny/protenix_base_default_v1.0.0": "golden/inputs/fixture.json",
    "tiny/protenix_base_default_v1.0.0_msa": "golden/inputs/fixture_msa.json",
    "tiny/protenix_base_default_v1.0.0_realtemplate": "golden/inputs/fixture_template.json",
}


def _table(asym_id, residue_index):
    """Make tokens of which only chain and residue matter here."""
    n = np.arange(len(asym_id))
    return TokenTable(
        atom_to_token=n,
        centre_atom=n,
        restype=np.zeros_like(n),
        residue_index=residue_index,
        asym_id=asym_id,
        entity_id=np.zeros_like(n),
        sym_id=np.zeros_like(n),
        atomwise=np.zeros(len(n), bool),
    )


def _agree(ours, theirs):
    for key in INTEGERS:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    for key in FLOATS:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-6, err_msg=key)
    for key in theirs:
        if key.endswith("num_alignments"):
            assert int(ours[key]) == int(theirs[key]), key


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case, golden, request, monkeypatch):
    path = RECORDED[case]
    root = golden
    if path.startswith("examples/"):
        root = request.getfixturevalue("shared_examples")
        monkeypatch.chdir(root.parent)  # paths in upstream's examples start at its root
    if not (golden / case).is_dir():
        pytest.skip(f"{case} is not among the recordings in {golden}")
    (job,) = read_jobs(root / path.split("/", 1)[1])
    recorded = np.load(golden / case / "features.npz")
    tokens = _table(recorded["asym_id"], recorded["residue_index"])
    ours = msa_features(job, tokens, QUIRKS)
    keys = [key for key in (*INTEGERS, *FLOATS) if key in recorded]
    assert keys[0] == "msa" and len(keys) >= 5
    keys += [key for key in recorded if key.endswith("num_alignments")]
    present = {key: recorded[key] for key in keys}
    _agree(ours, {**{key: ours[key] for key in INTEGERS}, **present})


def _tokens(job, rng):
    """Make tokens as a featuriser would: one per residue, a few atoms per ligand."""
    columns = []
    asym_id = 0
    for entity in job.entities:
        for _ in range(entity.count):
            if isinstance(entity, Polymer):
                residues = np.repeat(
                    np.arange(1, len(entity.sequence) + 1),
                    rng.choice([1, 1, 1, 4], len(entity.sequence)),  # modified residues: atoms
                )
            else:
                residues = np.repeat(np.arange(1, len(entity.codes) + 1), 3)
            columns.append(np.stack([np.full(len(residues), asym_id), residues]))
            asym_id += 1
    asym, residue = np.concatenate(columns, axis=1)
    return _table(asym, residue)


def _upstream(job, tokens, use_rna_msa):
    from biotite.structure import AtomArray
    from protenix.data.msa.msa_featurizer import InferenceMSAFeaturizer

    atoms = AtomArray(len(tokens.asym_id))
    atoms.res_id[:] = tokens.residue_index
    atoms.chain_id[:] = tokens.asym_id.astype(str)
    atoms.set_annotation("asym_id_int", tokens.asym_id)
    atoms.set_annotation("centre_atom_mask", np.ones(len(atoms), int))
    keys = {"protein": "proteinChain", "rna": "rnaSequence", "dna": "dnaSequence"}
    entities = []
    for entity in job.entities:
        if isinstance(entity, Ligand):
            key = "ion" if entity.is_ion else "ligand"
            entities.append({key: {key: entity.codes[0], "count": entity.count}})
            continue
        info = {"sequence": entity.sequence, "count": entity.count}
        for name in ("paired", "unpaired"):
            if alignment := getattr(entity, f"{name}_msa"):
                info[f"{name}Msa"] = alignment.text
        entities.append({keys[entity.kind]: info})
    return InferenceMSAFeaturizer.make_msa_feature(
        entities, atoms, msa_pair_as_unpair=True, use_rna_msa=use_rna_msa
    )


def _row(sequence, letters, rng):
    row = []
    for residue in sequence:
        draw = rng.random()
        row.append(residue if draw < 0.5 else "-" if draw < 0.7 else rng.choice(list(letters)))
        if rng.random() < 0.15:
            row.append(
                "".join(rng.choice(list("acgt"), rng.choice([1, 2, 130], p=[0.6, 0.3, 0.1])))
            )
    return "".join(row)


def _alignment(sequence, letters, depth, rng, rich):
    rows = [f">query\n{sequence}"]
    for i in range(depth):
        species = rng.integers(0, 5 if rich else 40)
        name = rng.choice([f"UniRef100_X{i}_{species}/1-9", f"tr|A0A{i:03d}|X_S{species}", f"r{i}"])
        row = "-" * len(sequence) if rng.random() < 0.05 else _row(sequence, letters, rng)
        rows.append(f">{name}\n{row}")
        if rng.random() < 0.2:
            rows.append(rows[rng.integers(0, len(rows))])
    return Alignment("\n".join(rows), "made up")


def _random_job(seed):
    rng = np.random.default_rng(seed)
    letters = {"protein": "ARNDCQEGHILKMFPSTWYVXBZJUO", "rna": "ACGUNX", "dna": "ACGTN"}
    usable = {"protein": "ARNDCQEGHILKMFPSTWYVX", "rna": "ACGUN", "dna": "ACGTN"}
    entities = []
    for kind in rng.choice(["protein"] * 4 + ["rna", "dna", "ligand", "ion"], rng.integers(1, 7)):
        count = int(rng.integers(1, 4))
        if kind in ("ligand", "ion"):
            entities.append(Ligand(codes=("NAG",), count=count, is_ion=kind == "ion"))
            continue
        sequence = "".join(rng.choice(list(usable[kind]), rng.integers(3, 12)))
        rich = bool(rng.integers(0, 2))
        paired, unpaired = (
            _alignment(sequence, letters[kind], rng.integers(0, 60), rng, rich)
            if rng.random() < 0.7 and kind != "dna" and (kind == "protein" or which == 1)
            else None
            for which in (0, 1)
        )
        entities.append(
            Polymer(str(kind), sequence, count, paired_msa=paired, unpaired_msa=unpaired)
        )
    if not any(isinstance(entity, Polymer) for entity in entities):
        entities.append(Polymer("protein", "MKTAYI"))
    return Job(f"random{seed}", tuple(entities)), rng


@pytest.mark.parametrize("seed", range(60))
def test_live_on_made_up_jobs(seed):
    """Several proteins, copies, shared species, long insertions, ions anywhere, with H17."""
    job, rng = _random_job(seed)
    tokens = _tokens(job, rng)
    use_rna_msa = bool(seed % 2)
    options = FeatureOptions(use_rna_msa=use_rna_msa, upstream_quirks=True)
    _agree(msa_features(job, tokens, options), _upstream(job, tokens, use_rna_msa))
    # without quirks an ion is what upstream makes of the same ion written as a ligand
    plain = [replace(e, is_ion=False) if isinstance(e, Ligand) else e for e in job.entities]
    fixed = msa_features(job, tokens, FeatureOptions(use_rna_msa=use_rna_msa))
    _agree(fixed, _upstream(replace(job, entities=tuple(plain)), tokens, use_rna_msa))


def test_live_on_a_deep_alignment(shared_examples, monkeypatch):
    monkeypatch.chdir(shared_examples.parent)
    (job,) = read_jobs(shared_examples / "examples_with_template" / "example_9fm7.json")
    tokens = _tokens(job, np.random.default_rng(0))
    _agree(msa_features(job, tokens, QUIRKS), _upstream(job, tokens, True))


def test_row_limits():
    """More rows than the model takes: 8192 paired, 16384 in all."""
    rng = np.random.default_rng(3)
    entities = []
    for sequence in ("MKTAYI", "GSHMEVK"):
        letters = np.array(list("ARNDCQEGHILKMFPSTWYV-"))
        rows = ["".join(row) for row in letters[rng.integers(0, 21, (12000, len(sequence)))]]
        text = [f">UniRef100_X{i}_{i // 2}/\n{row}" for i, row in enumerate(rows)]
        alone = ["".join(row) for row in letters[rng.integers(0, 21, (17000, len(sequence)))]]
        alone = [f">r{i}\n{row}" for i, row in enumerate(alone)]
        head = f">query\n{sequence}\n"
        entities.append(
            Polymer(
                "protein",
                sequence,
                paired_msa=Alignment(head + "\n".join(text), "paired"),
                unpaired_msa=Alignment(head + "\n".join(alone), "unpaired"),
            )
        )
    job = Job("deep", tuple(entities))
    tokens = _tokens(job, rng)
    ours = msa_features(job, tokens, QUIRKS)
    assert len(ours["msa"]) == 16384 and int(ours["prot_paired_num_alignments"]) == 8192
    _agree(ours, _upstream(job, tokens, True))


def test_an_ion_moves_no_column():
    """H17 fixed by default: a chain's columns are the same with and without an ion before it."""
    protein = Polymer("protein", "MKTAYIAKQR")
    ion = Ligand(codes=("MG",), is_ion=True)
    job = Job("ion", (ion, protein))
    tokens = _tokens(job, np.random.default_rng(0))
    row = msa_features(job, tokens, FeatureOptions())["msa"][0]
    at = tokens.residue_index[tokens.asym_id == 1] - 1
    expected = np.array([12, 11, 16, 0, 18, 9, 0, 11, 5, 1])[at]
    np.testing.assert_array_equal(row[tokens.asym_id == 1], expected)
    assert (row[tokens.asym_id == 0] == 20).all()
    quirky = msa_features(job, tokens, QUIRKS)["msa"][0]
    assert (quirky[tokens.asym_id == 1] == 1).all()


def test_without_msa():
    import torch
    from protenix.data.utils import make_dummy_feature

    restype = np.array([0, 20, 31, 25])
    ours = empty_msa_features(restype)
    theirs = make_dummy_feature(
        {
            "token_index": torch.arange(4),
            "atom_to_token_idx": torch.arange(4),
            "restype": torch.eye(32)[restype],
        },
        ["msa"],
    )
    assert set(theirs) - set(ours) == {"token_index", "atom_to_token_idx", "restype"}
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key].numpy(), err_msg=key)
