# SPDX-License-Identifier: Apache-2.0
"""Results in AlphaFold 3's names and keys and as PDB; what the trunk's copies hold."""

import json
import os

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.cli.main import main
from protenix_ms.cli.predict import saved_kinds
from protenix_ms.config import get_config
from protenix_ms.errors import InputError, ResourceError
from protenix_ms.io.confidence_write import write_full_data, write_summary
from protenix_ms.io.mmcif_write import StructureInfo, write_mmcif
from protenix_ms.predict.export import af3_name, export_af3, find_jobs
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.predict.saved import require_space, saved_bytes, write_saved

NAMES = ["N", "CA", "C", "MG"]
PAE = np.array([[0.4, 12.346], [3.0, 0.5]], np.float32)


def atoms(chain="A", ligand="MG") -> AtomTable:
    zeros = np.zeros((4, 3), np.float32)
    return AtomTable(
        np.array(NAMES), np.array(["N", "C", "C", "MG"]), np.array(["ALA"] * 3 + [ligand]),
        np.array([chain] * 3 + ["B"]), np.array(["1"] * 3 + ["2"]), np.array([1, 1, 1, 1]),
        np.zeros(4, int), np.array([False] * 3 + [True]), zeros, zeros, np.ones(4, int))


def write(root, name, seed, scores, suffix=".npz", **changes) -> JobFolder:
    """A finished seed of samples with these ranking scores."""
    folder = JobFolder(root, name)
    table = atoms(**changes)
    info = StructureInfo(name, "test", {"1": "protein", "2": "ligand"})
    for rank, score in enumerate(scores):
        write_mmcif(folder.sample(seed, "", rank, ".cif"), table,
                    np.arange(12, dtype="f4").reshape(4, 3) + rank, np.full(4, 80.0), info)
        write_summary(folder.sample(seed, "summary_confidence_", rank, ".json"), {
            "ranking_score": score, "chain_iptm": [0.3, 0.2], "chain_ptm": [0.6, 0.1],
            "chain_pair_iptm": [[0.0, 0.5], [0.5, 0.0]], "chain_pair_pae_min": PAE, "iptm": 0.5,
            "disorder": 0.0, "has_clash": False, "ptm": 0.7})
        if suffix:
            write_full_data(folder.sample(seed, "full_data_", rank, suffix), {
                "atom_plddt": np.array([0.8, 0.81239, 0.9, 0.5], "f4"), "token_pair_pae": PAE,
                "token_pair_pde": PAE, "contact_probs": PAE / 32, "token_asym_id": np.array([0, 1]),
                "token_has_frame": np.array([True, False]),
                "atom_to_token_idx": np.array([0, 0, 0, 1])})
    folder.mark(seed, "0" * 64)
    return folder


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_af3_names_and_keys(suffix, tmp_path):
    write(tmp_path / "out", "My Job", 3, [0.5, 0.4], suffix)
    write(tmp_path / "out", "My Job", 10, [0.9], suffix)
    assert main(["export", str(tmp_path / "out"), "--as", "af3"]) == 0
    job, server = tmp_path / "out-af3" / "my_job", tmp_path / "out-af3" / "fold_my_job"
    assert {p.name for p in job.iterdir()} == {
        "my_job_model.cif", "my_job_confidences.json", "my_job_summary_confidences.json",
        "my_job_ranking_scores.csv", "seed-3_sample-0", "seed-3_sample-1", "seed-10_sample-0"}
    assert {p.name for p in server.iterdir()} == {
        f"fold_my_job_{kind}" for i in range(3) for kind in (
            f"model_{i}.cif", f"full_data_{i}.json", f"summary_confidences_{i}.json")}
    sample = job / "seed-10_sample-0" / "my_job_seed-10_sample-0_confidences.json"
    assert json.loads(sample.read_text()) == {
        "atom_chain_ids": ["A", "A", "A", "B"],
        "atom_plddts": [80.0, 81.24 if suffix == ".npz" else 81.0, 90.0, 50.0],
        "contact_probs": [[0.01, 0.39], [0.09, 0.02]], "pae": [[0.4, 12.35], [3.0, 0.5]],
        "token_chain_ids": ["A", "B"], "token_res_ids": [1, 1]}
    summary = json.loads((job / "my_job_summary_confidences.json").read_text())
    assert summary.keys() == {
        "chain_iptm", "chain_pair_iptm", "chain_pair_pae_min", "chain_ptm", "fraction_disordered",
        "has_clash", "iptm", "ptm", "ranking_score"}
    assert summary["ranking_score"] == 0.9 and summary["has_clash"] == 0.0
    assert summary["chain_pair_iptm"] == [[0.6, 0.5], [0.5, 0.1]]
    assert (job / "my_job_ranking_scores.csv").read_text().splitlines() == [
        "seed,sample,ranking_score", "10,0,0.9", "3,0,0.5", "3,1,0.4"]
    assert os.path.samefile(sample, job / "my_job_confidences.json")
    assert os.path.samefile(sample, server / "fold_my_job_full_data_0.json")


def test_pdb(tmp_path, capsys):
    write(tmp_path / "out", "job", 1, [0.5], None, chain="LONG", ligand="A1H0X")
    assert main(["export", str(tmp_path / "out" / "job"), "--as", "pdb",
                 "--output", str(tmp_path / "pdb")]) == 0
    said = capsys.readouterr().err
    assert "LONG is called" in said and "A1H0X is called" in said
    structure = gemmi.read_pdb(str(tmp_path / "pdb" / "job" / "job_model.pdb"))
    assert structure[0].count_atom_sites() == 4
    assert structure[0][0][0][1].b_iso == 80.0
    assert (tmp_path / "pdb" / "job" / "job_seed-1_sample-0.pdb").is_file()


def test_what_is_lacking_is_said(tmp_path, capsys):
    with pytest.raises(InputError, match="no such folder"):
        find_jobs(tmp_path / "none")
    with pytest.raises(InputError, match="no finished result"):
        find_jobs(tmp_path)
    write(tmp_path / "out", "bare", 1, [0.5], None)
    write(tmp_path / "out", "whole", 1, [0.5])
    assert main(["export", str(tmp_path / "out"), "--as", "af3"]) == 1
    assert "bare_full_data_sample_0.npz: the full data are not there" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "out" / "bare"), "--as", "af3"]) == 2
    assert main(["export", str(tmp_path / "nothing"), "--as", "af3"]) == 2
    folder = write(tmp_path / "two", "A", 1, [0.5])
    write(tmp_path / "two", "a", 1, [0.5])
    assert main(["export", str(tmp_path / "two"), "--as", "af3"]) == 1
    assert "another job is called a" in capsys.readouterr().err
    folder.sample(1, "full_data_", 0, ".npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="has 2 bytes instead of"):
        export_af3(find_jobs(folder.path)[0], tmp_path / "x")
    folder.mark(1, "0" * 64)
    with pytest.raises(InputError, match="damaged"):
        export_af3(find_jobs(folder.path)[0], tmp_path / "x")
    for text in (folder.sample(1, "", 0, ".cif").read_text()[:-300], "data_x\n"):
        folder.sample(1, "", 0, ".cif").write_text(text)
        folder.mark(1, "0" * 64)
        assert main(["export", str(folder.path), "--as", "pdb"]) == 2
        assert "A_sample_0.cif: this is not a readable mmCIF file" in capsys.readouterr().err
    folder.sample(1, "summary_confidence_", 0, ".json").write_text("[]")
    with pytest.raises(InputError, match="no summary"):
        find_jobs(folder.path)


def test_names():
    assert [af3_name(name) for name in ("My Job", "7R6R_a.b", "Ünï", "é")] == [
        "my_job", "7r6r_a.b", "n", "job"]


def test_saved_files_and_their_size(tmp_path):
    config = get_config("protenix_tiny_default_v0.5.0")
    arrays = {"s": np.zeros((5, 384), "f2"), "z": np.zeros((5, 5, 128), "f2"),
              "distogram": np.full((5, 5, 64), 1 / 64, "f2")}
    kinds = saved_kinds("distogram, embeddings,distogram")
    assert kinds == ("distogram", "embeddings")
    assert saved_bytes(config, 5, kinds) == sum(a.nbytes for a in arrays.values())
    folder = JobFolder(tmp_path, "job")
    write_saved(folder, 7, arrays)
    sizes = {p.name: p.stat().st_size for p in folder.predictions(7).iterdir()}
    assert sizes.keys() == {"job_embeddings.npz", "job_distogram.npz"}
    assert 0 < sum(sizes.values()) - saved_bytes(config, 5, kinds) < 2000
    with np.load(folder.predictions(7) / "job_distogram.npz") as file:
        assert file["bin_edges"].shape == (63,) and file["bin_edges"][0] == np.float32(2.3125)
    require_space(tmp_path, 1, "job")
    with pytest.raises(ResourceError, match="job: --save needs 1000000.0 GB per seed"):
        require_space(tmp_path, 10**15, "job")
