# SPDX-License-Identifier: Apache-2.0
"""Alignments of crops beside upstream's training featuriser, on made-up alignments."""

import json

import numpy as np
import pytest

from protenix_ms.data.example import Alignments, crop_msa_features
from protenix_ms.features.tokens import tokenize
from protenix_ms.io.alignment_files import AlignmentFiles

LETTERS = np.array(list("ARNDCQEGHILKMFPSTWYV-"))
RNA_LETTERS = np.array(list("ACGU-"))


def alignment(sequence: str, letters, rng, depth: int, named: str) -> str:
    """Make an a3m of mutated copies with a few insertions; species repeat over chains."""
    text = [f">query\n{sequence}\n"]
    for i in range(depth):
        row = np.array(list(sequence))
        changed = rng.random(len(row)) < 0.4
        row[changed] = rng.choice(letters, int(changed.sum()))
        aligned = "".join(c + ("ac" if rng.random() < 0.03 else "") for c in row)
        text.append(f">{named.format(i % 17)}\n{aligned}\n")
    return "".join(text)


@pytest.fixture
def alignments(tmp_path):
    """Return `alignments(entry)`: upstream's featuriser and our files, over the same made-up
    rows."""
    from protenix.data.msa.msa_featurizer import MSAFeaturizer

    def make(entry):
        rng = np.random.default_rng(5)
        index, rna_index, paired, unpaired = {}, {}, {}, {}
        for number, (entity, sequence) in enumerate(entry.sequences.items()):
            kind = entry.polymers[entity]
            folder = tmp_path / str(number)
            folder.mkdir(exist_ok=True)
            if kind == "polypeptide(L)" and sequence not in index:
                index[sequence] = str(number)
                for name, species, into in (("pairing", "UniRef100_X_{}/", paired),
                                            ("non_pairing", "row{}", unpaired)):
                    into[sequence] = folder / f"{name}.a3m"
                    into[sequence].write_text(alignment(sequence, LETTERS, rng, 40, species))
            if kind == "polyribonucleotide":
                rna_index[sequence] = [str(number)]
                unpaired[sequence] = folder / f"{number}_all.a3m"
                unpaired[sequence].write_text(alignment(sequence, RNA_LETTERS, rng, 20, "r{}"))
        (tmp_path / "prot.json").write_text(json.dumps(index))
        (tmp_path / "rna.json").write_text(json.dumps(rna_index))
        upstream = MSAFeaturizer(
            "test", [str(tmp_path / "prot.json")], [str(tmp_path)], [str(tmp_path / "rna.json")],
            [str(tmp_path)], ["pairing"], ["pairing-non_pairing"], ["sequence"], ["sequence"],
        )
        return upstream, Alignments(AlignmentFiles(paired, unpaired))

    return make


@pytest.mark.parametrize("name", ["1ay7", "1k6p", "4gxy", "5ugo", "1igy"])
def test_crop_of_an_entry(name, both, alignments):
    from protenix.data.pipeline.data_pipeline import DataPipeline

    entry, assembly, _ = both(name)
    upstream, files = alignments(entry)
    tokens = tokenize(entry.atoms)
    rng = np.random.default_rng(1)
    chosen = np.sort(rng.choice(len(tokens), len(tokens) * 2 // 3, replace=False))
    atoms = entry.atoms[np.isin(tokens.atom_to_token, chosen)]
    crop = tokenize(atoms)
    ours = crop_msa_features(entry, crop, atoms.entity_id[crop.centre_atom], files)
    theirs = upstream.make_msa_features(
        assembly, chosen, DataPipeline.get_label_entity_id_to_asym_id_int(assembly["atom_array"])
    )
    assert len(theirs) == 9 and theirs["msa"].shape[0] > 1 - (name == "5ugo")
    for key, value in theirs.items():
        value = np.asarray(value)
        if value.dtype.kind == "f":
            np.testing.assert_allclose(ours[key], value, rtol=0, atol=1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(ours[key], value, err_msg=key)
