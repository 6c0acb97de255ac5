# SPDX-License-Identifier: Apache-2.0
"""The command, as a person types it: jobs in, files out, the same bytes again."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED
from protenix_ms.guidance.validity import COUNTS
from protenix_ms.metrics.confidence import KEYS
from protenix_ms.metrics.interface import INTERFACE_KEYS
from protenix_ms.ops import native

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
from protenix_ms.config import get_config as variant

def get_config():
    blocks = {"n_blocks": 1}
    return variant("protenix_tiny_default_v0.5.0", {
        "model": {"N_cycle": 2, "pairformer": blocks, "confidence_head": blocks,
                  "input_embedder": blocks, "diffusion_module": {"transformer": blocks}},
        "sample_diffusion": {"N_step": 3, "N_sample": 2}})
"""
JOBS = [
    {"name": "mixed", "modelSeeds": [5], "sequences": [
        {"proteinChain": {"sequence": "GSKC", "count": 2,
                          "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 2}]}},
        {"dnaSequence": {"sequence": "AT", "count": 1}},
        {"ligand": {"ligand": "CC(=O)Oc1ccccc1C(=O)O", "count": 1}},
        {"ligand": {"ligand": "CCD_NAG", "count": 1}},
        {"ion": {"ion": "MG", "count": 1}}],
     "covalent_bonds": [{"entity1": "1", "copy1": 1, "position1": "3", "atom1": "NZ",
                         "entity2": "4", "copy2": 1, "position2": "1", "atom2": "C1"}]},
    {"name": "unbuildable", "sequences": [
        {"ligand": {"ligand": "[Xx]", "count": 1}}]},
]
ONEDNN = {"plain": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}
"""Names of instruction sets in PROTENIX_MS_ISA, and in the variable of MindSpore's products."""

pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="no component table yet")


def predict(folder: Path, *words, cores: set[int] | None = None, **environment):
    command = [sys.executable, "scripts/predict.py", "--input", folder / "jobs.json", "--config",
               folder / "config.py", "--random-weights", "0", *words]
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    return subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True,
                          text=True, timeout=300, preexec_fn=pin,
                          env={**os.environ, **environment})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs.json").write_text(json.dumps(JOBS))
    (folder / "config.py").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def done(folder):
    return predict(folder, "--output", folder / "one")


def test_one_job_fails_the_other_is_finished(done):
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "unbuildable" in done.stderr
    assert "RANDOM WEIGHTS" in done.stdout and "mixed, seed 5: 2 samples" in done.stdout
    assert "recycles 2/2" in done.stderr and "sampler steps 3/3" in done.stderr


def test_files_keep_upstreams_names_and_keys(done, folder):
    job = folder / "one" / "mixed"
    predictions = job / "seed_5" / "predictions"
    expected = {f"mixed_{kind}sample_{i}.{suffix}" for i in range(2) for kind, suffix in (
        ("", "cif"), ("summary_confidence_", "json"), ("full_data_", "npz"),
        ("full_data_", "json"), ("confidence_", "png"))}
    assert {p.name for p in predictions.iterdir()} == expected
    summary = json.loads((predictions / "mixed_summary_confidence_sample_0.json").read_text())
    assert tuple(summary) == KEYS + INTERFACE_KEYS + (*COUNTS, "valid")
    assert summary["num_recycles"] == 2
    assert summary["chain_ids"] == ["A", "B", "C", "D", "E", "F"]
    for i, row in enumerate(summary["chain_pair_ipsae"]):  # two proteins, DNA; then ligands
        assert [value is None for value in row] == [i == j or max(i, j) > 2 for j in range(6)]
    scores = [float(row["ranking_score"]) for row in csv.DictReader((job / "ranking.csv").open())]
    assert scores == sorted(scores, reverse=True) and len(scores) == 2
    record = json.loads((job / "run.json").read_text())
    assert record["random_weights"] and record["versions"]["mindspore"].startswith("2.")
    assert record["peak_memory_gb"] > 0.1 and record["settings"]["ccd"]


def test_three_libraries_read_the_structure_with_its_links(done, folder):
    path = folder / "one" / "mixed" / "mixed_model.cif"
    full = np.load(next((folder / "one").rglob("mixed_full_data_sample_0.npz")))
    n_atom = len(full["atom_plddt"])
    structure = gemmi.read_structure(str(path))
    assert structure[0].count_atom_sites() == n_atom
    links = {(c.partner1.atom_name, c.partner2.atom_name) for c in structure.connections}
    assert ("NZ", "C1") in links
    parser = pytest.importorskip("Bio.PDB.MMCIFParser").MMCIFParser(QUIET=True)
    assert len(list(parser.get_structure("x", path).get_atoms())) == n_atom
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    read = pdbx.get_structure(pdbx.CIFFile.read(path), model=1, include_bonds=True)
    assert len(read) == n_atom
    aspirin = np.flatnonzero(read.res_name == "l01")
    assert len(aspirin) == 13
    bonds = read.bonds.as_array()
    assert np.isin(bonds[:, :2], aspirin).all(1).sum() == 13  # a ring of six and seven more


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name != "run.json"}


def test_a_rerun_skips_what_is_finished(done, folder):
    before = files(folder / "one")
    again = predict(folder, "--output", folder / "one")
    assert "mixed, seed 5: there already" in again.stdout and "loading" not in again.stdout
    assert files(folder / "one") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_finished_seeds(folder, number):
    """MindSpore installs a handler of its own, which would end the process at once."""
    output = folder / f"stopped{number}"
    command = [sys.executable, "scripts/predict.py", "--input", folder / "jobs.json", "--config",
               folder / "config.py", "--random-weights", "0", "--seeds", "5,6,7,8", "--output",
               output]
    with subprocess.Popen([str(word) for word in command], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "seed 5: 2 samples" in line:
                process.send_signal(number)
        assert process.wait(timeout=60) == 1, "".join(lines)
    assert any("interrupted" in line for line in lines)
    job = output / "mixed"
    assert json.loads((job / "run.json").read_text())["seeds"]["5"]["state"] == "done"
    assert (job / "mixed_model.cif").is_file() and (job / "ranking.csv").is_file()
    assert not (job / "seed_8").exists()


def test_one_core_gives_the_same_bytes(done, folder):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this machine has no way to pin processes to a core")
    core = min(os.sched_getaffinity(0))
    again = predict(folder, "--output", folder / "two", "--quiet", cores={core})
    assert again.returncode == 1 and again.stdout == ""
    assert files(folder / "two") == files(folder / "one")


@pytest.mark.parametrize("isa", ONEDNN)
def test_one_core_gives_the_same_bytes_on_every_instruction_set(folder, isa):
    library = native.library()
    if library is None:
        pytest.skip("this machine has no C++ compiler, and other products depend on its cores")
    if native.INSTRUCTION_SETS.index(isa) + 1 > library.pms_best_isa():
        pytest.skip(f"this machine has no {isa}")
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has no second core, or does not pin processes")
    # 86 atoms in three windows: an odd batch, which two threads do not divide
    (folder / "odd.json").write_text(json.dumps([{"name": "odd", "sequences": [
        {"proteinChain": {"sequence": "GWHKLE", "count": 1}},
        {"ligand": {"ligand": "CCD_ATP", "count": 1}}]}]))
    written = []
    for count in (1, 2):
        cores = set(sorted(os.sched_getaffinity(0))[:count])
        output = folder / isa / str(count)
        run = predict(folder, "--input", folder / "odd.json", "--output", output, "--quiet",
                      "--no-plots", "--seeds", "1", "--samples", "1", "--cycles", "1", "--steps",
                      "2", cores=cores, PROTENIX_MS_ISA=isa, ONEDNN_MAX_CPU_ISA=ONEDNN[isa])
        assert run.returncode == 0, run.stdout + run.stderr
        written.append(files(output))
    assert written[0] == written[1] and any(name.endswith(".cif") for name in written[0])


def test_the_library_gives_what_the_command_writes(done, folder):
    from protenix_ms import predict as predict_job
    from protenix_ms.chem.ccd import ComponentDictionary
    from protenix_ms.cli.configuration import load_config
    from protenix_ms.io import scan_jobs
    from protenix_ms.predict.predictor import load_predictor
    from protenix_ms.predict.weights import Weights

    config = load_config(None, str(folder / "config.py"), (), {})
    predictor = load_predictor(config, Weights(random_seed=0), ComponentDictionary.load())
    job = next(iter(scan_jobs(folder / "jobs.json")))
    result = predict_job(predictor, job, seed=5)
    structure = gemmi.read_structure(str(folder / "one" / "mixed" / "mixed_model.cif"))
    written = [site.atom.pos.tolist() for site in structure[0].all()]
    ours = result.samples[0].coordinates.tolist()
    np.testing.assert_allclose(sorted(written), sorted(ours), atol=1e-3)
