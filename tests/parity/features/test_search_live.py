# SPDX-License-Identifier: Apache-2.0
"""Features of searched jobs equal those that upstream makes of the same files."""

import json
import os
from pathlib import Path

import fake_msa_server as fakes
import numpy as np
import pytest
from comparison import compare
from own_relatives import PROTEINS, RNA, write_databases

from protenix_ms.cli.main import main
from protenix_ms.features import FeatureOptions, build
from protenix_ms.io import read_jobs
from protenix_ms.io.a3m import parse_a3m

FASTA = f">A|protein\n{PROTEINS[0]}\n>B|protein\n{PROTEINS[1]}\n>R|rna\n{RNA}\n"


def absolute(value, folder: Path):
    """Upstream looks paths up in the working directory only."""
    if isinstance(value, list):
        return [absolute(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: str(folder / item) if key.endswith("Path") else absolute(item, folder)
                for key, item in value.items()}
    return value


def search(tmp_path: Path, *words) -> Path:
    (tmp_path / "job.fasta").write_text(FASTA)
    assert main(["search", "--input", str(tmp_path / "job.fasta"), "--output",
                 str(tmp_path / "out"), *map(str, words)]) == 0
    return tmp_path / "out" / "job.json"


def require_equal(path: Path, upstream_features, ccd) -> dict:
    theirs = upstream_features(absolute(json.loads(path.read_text())[0], path.parent))
    options = FeatureOptions(upstream_quirks=True)
    ours = build(read_jobs(path)[0], ccd, np.random.default_rng(0), options).features
    wrong = [row for row in compare(ours, theirs) if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))
    return ours


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("protenix_ms.cli.search.PACE", 1e-4)


@pytest.mark.parametrize("paired", [True, False])
def test_local_search(paired, tmp_path, upstream_features, ccd):
    pytest.importorskip("pyhmmer", reason="this machine has no pyhmmer")
    own = write_databases(tmp_path / "own")
    if not paired:
        (own / "uniprot.fasta").unlink()  # species then come from the headers of uniref90
    features = require_equal(search(tmp_path, "--databases", own), upstream_features, ccd)
    assert int(features["prot_pair_num_alignments"]) == 5


@pytest.mark.parametrize("layout", ["colabfold", "protenix"])
def test_server(layout, tmp_path, upstream_features, ccd):
    fake = fakes.FakeServer()
    if layout == "protenix":
        fake.answers["msa"] = fakes.protenix_msa
    try:
        path = search(tmp_path, "--msa-server", fake.url)
    finally:
        fake.close()
    features = require_equal(path, upstream_features, ccd)
    rows = 1 + {"colabfold": 3, "protenix": 2}[layout]  # row 2 has one chain only
    assert int(features["prot_pair_num_alignments"]) == rows


def test_real_databases(tmp_path, upstream_features, ccd):
    if "PROTENIX_MS_DATA_SEARCH" not in os.environ:
        pytest.skip("no databases: set PROTENIX_MS_DATA_SEARCH")
    data = Path(os.environ["PROTENIX_MS_DATA_SEARCH"])
    queries = ("UniRef90_A0A651EH65", "UniRef90_UPI00210E2C07")
    sequences = [parse_a3m((data / f"queries/{name}.fa").read_text()).rows[0].decode()[-210:]
                 for name in queries]
    (tmp_path / "job.fasta").write_text("".join(f">x\n{s}\n" for s in sequences))
    assert main(["search", "--input", str(tmp_path / "job.fasta"), "--output",
                 str(tmp_path / "out"), "--databases", str(data)]) == 0
    features = require_equal(tmp_path / "out" / "job.json", upstream_features, ccd)
    assert int(features["prot_pair_num_alignments"]) > 2
