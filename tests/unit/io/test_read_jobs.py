# SPDX-License-Identifier: Apache-2.0
"""Every dialect and every field of a job file ends up where `Job` says."""

import json

import pytest
from template_text import helix

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs, scan_jobs
from protenix_ms.job import AtomAddress, Ligand, Modification

PROTEIN = "MKTAYIAKQR"


def _json(tmp_path, document, name="job.json"):
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


def _a3m(path, *rows):
    path.write_text("".join(f">r{i}\n{row}\n" for i, row in enumerate(rows)))
    return path


def test_protenix_json_reads_every_field(tmp_path):
    _a3m(tmp_path / "p.a3m", PROTEIN, "MKTAYI-KQR")
    (tmp_path / "t.a3m").write_text(">1abc_A/1-2 [subseq from] mol:protein length:9  X\nMK\n")
    (tmp_path / "t.cif").write_text(helix("MKTAY"))
    (tmp_path / "l.sdf").write_text("")
    job = {
        "name": "j",
        "modelSeeds": [1, 2],
        "assembly_id": "1",
        "sequences": [
            {
                "proteinChain": {
                    "sequence": PROTEIN,
                    "count": 2,
                    "id": ["X", "Y"],
                    "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 3}],
                    "pairedMsaPath": "p.a3m",
                    "unpairedMsa": f">q\n{PROTEIN}\n",
                    "templatesPath": "t.a3m",
                    "templates": [
                        {"mmcifPath": "t.cif"},
                        {"mmcif": helix("GGG", "AB"), "chain": "b", "queryIndices": [0, 9],
                         "templateIndices": [2, 1]},
                    ],
                }
            },
            {"rnaSequence": {"sequence": "ACGU", "count": 1}},
            {"dnaSequence": {"sequence": "ACGTN"}},
            {"ligand": {"ligand": "CCD_NAG_BMA", "count": 2}},
            {"ligand": {"ligand": "CC(=O)O", "count": 1}},
            {"ligand": {"ligand": "FILE_l.sdf", "count": 1}},
            {"ion": {"ion": "MG", "count": 3}},
        ],
        "covalent_bonds": [
            {
                "left_entity": "1",
                "left_position": "4",
                "left_atom": "CB",
                "right_entity": 4,
                "right_position": 2,
                "right_atom": "C1",
            },
            {
                **{"entity1": 1, "copy1": 2, "position1": 1, "atom1": "N"},
                **{"entity2": 5, "position2": 1, "atom2": "3"},
            },
        ],
        "constraint": {
            "contact": [
                {
                    **{"entity1": 1, "copy1": 1, "position1": 1},
                    **{"entity2": 1, "copy2": 2, "position2": 2, "max_distance": 8},
                }
            ],
            "pocket": {
                "binder_chain": {"entity": 4, "copy": 1},
                "contact_residues": [{"entity": 1, "copy": 1, "position": 5}],
                "max_distance": 6.5,
            },
        },
    }
    (read,) = read_jobs(_json(tmp_path, [job]))
    protein, rna, dna, glycan, smiles, file, ion = read.entities
    assert (protein.sequence, protein.count, protein.ids) == (PROTEIN, 2, ("X", "Y"))
    assert protein.modifications == (Modification("SEP", 3),)
    assert protein.paired_msa.text.count(">") == 2 and protein.paired_msa.source.endswith("p.a3m")
    assert protein.unpaired_msa.source == "inline unpairedMsa"
    assert protein.templates == tmp_path / "t.a3m"
    first, second = protein.template_structures
    assert (first.label, first.query_indices) == ("t.cif", ())
    assert (second.label, second.query_indices, second.template_indices) == (
        "template 2 b", (0, 9), (2, 1))
    assert (rna.kind, dna.kind, dna.count) == ("rna", "dna", 1)
    assert glycan == Ligand(codes=("NAG", "BMA"), count=2)
    assert smiles.smiles == "CC(=O)O" and file.file == tmp_path / "l.sdf"
    assert ion == Ligand(codes=("MG",), count=3, is_ion=True)
    assert read.bonds[0].first == AtomAddress(1, 4, "CB") and read.bonds[0].second.entity == 4
    assert read.bonds[1].second == AtomAddress(5, 1, 3, copy=1)
    assert read.contacts[0].max_distance == 8.0 and read.contacts[0].second.copy == 2
    assert read.pocket.binder == (4, 1) and read.pocket.residues[0].position == 5
    assert read.seeds == (1, 2)


def test_old_msa_folder_form(tmp_path):
    (tmp_path / "msa").mkdir()
    _a3m(tmp_path / "msa" / "pairing.a3m", PROTEIN)
    _a3m(tmp_path / "msa" / "non_pairing.a3m", PROTEIN, PROTEIN.replace("T", "S"))
    chain = {"sequence": PROTEIN, "count": 1, "msa": {"precomputed_msa_dir": "msa"}}
    (job,) = read_jobs(_json(tmp_path, [{"name": "old", "sequences": [{"proteinChain": chain}]}]))
    assert job.entities[0].paired_msa.text.count(">") == 1
    assert job.entities[0].unpaired_msa.text.count(">") == 2


def test_paths_fall_back_to_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    _a3m(tmp_path / "u.a3m", PROTEIN)
    chain = {"sequence": PROTEIN, "unpairedMsaPath": "u.a3m"}
    path = _json(tmp_path / "jobs", [{"name": "j", "sequences": [{"proteinChain": chain}]}])
    monkeypatch.chdir(tmp_path)
    assert read_jobs(path)[0].entities[0].unpaired_msa
    monkeypatch.chdir(tmp_path / "jobs")
    with pytest.raises(InputError, match="no file .*jobs/u.a3m"):
        read_jobs(path)


def test_alphafold3_json(tmp_path):
    document = {
        "dialect": "alphafold3",
        "version": 2,
        "name": "af",
        "modelSeeds": [7],
        "sequences": [
            {"ligand": {"id": ["L", "M"], "ccdCodes": ["NAG", "FUC"]}},
            {
                "protein": {
                    "id": ["A", "B"],
                    "sequence": PROTEIN,
                    "modifications": [{"ptmType": "HY3", "ptmPosition": 1}],
                    "unpairedMsa": f">q\n{PROTEIN}\n",
                    "pairedMsa": "",
                    "templates": [],
                }
            },
            {"rna": {"id": "R", "sequence": "GGC"}},
            {"ligand": {"id": "S", "smiles": "CCO"}},
        ],
        "bondedAtomPairs": [[["B", 5, "OH"], ["M", 1, "C1"]]],
    }
    (job,) = read_jobs(_json(tmp_path, document))
    ligand, protein, rna, smiles = job.entities
    assert ligand.codes == ("NAG", "FUC") and ligand.count == 2
    assert protein.ids == ("A", "B") and protein.modifications == (Modification("HY3", 1),)
    assert protein.paired_msa is None and protein.unpaired_msa is not None
    assert (rna.kind, smiles.smiles, job.seeds) == ("rna", "CCO", (7,))
    assert job.bonds[0].first == AtomAddress(2, 5, "OH", 2)
    assert job.bonds[0].second == AtomAddress(1, 1, "C1", 2)


def test_three_fasta_dialects(tmp_path):
    texts = {
        "plain": f">sp|P12|TEST x\n{PROTEIN[:5]}\n{PROTEIN[5:].lower()}*\n>b\nGSHMEV:GSHMEV",
        "boltz": f">A|protein\n{PROTEIN}\n>B|dna|empty\nGATTACA\n>C|smiles\nCC=O\n>D|ccd\nATP\n",
        "chai": f">protein|name=A\n{PROTEIN}\n>rna|name=long-name\nACGU\n>ligand|name=L\nCCO\n",
    }
    jobs = {}
    for name, text in texts.items():
        (tmp_path / f"{name}.fasta").write_text(text)
    for job in read_jobs(tmp_path):
        jobs[job.name] = job.entities
    assert [(e.sequence, e.count) for e in jobs["plain"]] == [(PROTEIN, 1), ("GSHMEV", 2)]
    kinds = [getattr(e, "kind", None) or e.smiles or e.codes for e in jobs["boltz"]]
    assert kinds == ["protein", "dna", "CC=O", ("ATP",)]
    assert [e.ids for e in jobs["boltz"]] == [("A",), ("B",), ("C",), ("D",)]
    assert [e.ids for e in jobs["chai"]] == [("A",), (), ("L",)]
    assert jobs["chai"][1].kind == "rna" and jobs["chai"][2].smiles == "CCO"


@pytest.mark.parametrize("header", ["1ABC_1|Chains A, B|NAME|x", "gi|123|gb", "A protein", "", "A"])
def test_other_headers_are_plain(header, tmp_path):
    (tmp_path / "x.fa").write_text(f">{header}\n{PROTEIN}\n")
    (job,) = read_jobs(tmp_path / "x.fa")
    assert (
        read_jobs(str(tmp_path)) == [job]
        and job.name == "x"
        and job.entities[0].kind == "protein"
        and not job.entities[0].ids
    )


def test_msa_option_matches_by_first_sequence(tmp_path):
    fasta = tmp_path / "x.fasta"
    fasta.write_text(f">a\n{PROTEIN}\n>b\nGSHMEVKLV\n")
    folder = tmp_path / "msa"
    folder.mkdir()
    _a3m(folder / "1_unpaired.a3m", PROTEIN, "MKT-YIAKQR")
    _a3m(folder / "1_paired.a3m", PROTEIN)
    (folder / "2_unpaired.a3m").write_text(">q\nGSHM\nEVKLV\n>r\nGSHMEV-LV\n")
    first, second = read_jobs(fasta, folder)[0].entities
    assert first.paired_msa and first.unpaired_msa.source.endswith("1_unpaired.a3m")
    assert second.paired_msa is None and second.unpaired_msa
    (job,) = read_jobs(fasta, folder / "2_unpaired.a3m")
    assert job.entities[0].unpaired_msa is None and job.entities[1].unpaired_msa
    _a3m(folder / "other.a3m", "WWWWW")
    with pytest.raises(InputError, match="no chain of any job"):
        read_jobs(fasta, folder / "other.a3m")


def test_scan_goes_on_after_a_broken_job(tmp_path):
    good = {"name": "good", "sequences": [{"proteinChain": {"sequence": PROTEIN}}]}
    path = _json(tmp_path, [{"name": "bad"}, good])
    bad, job = scan_jobs(path)
    assert isinstance(bad, InputError) and "sequences is missing" in str(bad)
    assert job.name == "good"
