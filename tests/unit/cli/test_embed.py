# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms embed` as a person types it."""

import csv
import json

import pytest

from protenix_ms.cli import main as command
from protenix_ms.cli.main import main
from protenix_ms.predict.embeddings import read_arrays


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(command.launch, "configure", lambda device: None)
    monkeypatch.setattr(command.launch, "stop_softly", lambda: None)


def embed(folder, *more, text=">a x\nMKTAYI\n>b/2\nGAVL\n>c\nMKTAYI\n"):
    (folder / "x.fasta").write_text(text)
    words = ["embed", "--input", folder / "x.fasta", "--output", folder / "out", "--model",
             "esm2_t6_8M_UR50D", "--random-weights", 1, "--random-layers", 1, *more]
    return main([str(word) for word in words])


def test_a_run_and_its_repetition(tmp_path, capsys):
    assert embed(tmp_path, "--pool", "both", "--contacts", "--one-file") == 0
    out = tmp_path / "out"
    rows = list(csv.DictReader((out / "summary.tsv").open(), delimiter="\t"))
    assert [(row["name"], row["residues"]) for row in rows] == [("a", "6"), ("b/2", "4"),
                                                               ("c", "6")]
    assert rows[0]["file"] == rows[2]["file"] != rows[1]["file"]
    arrays = read_arrays(out / rows[1]["file"])
    assert arrays["layer_1"].shape == (4, 320) and arrays["contacts"].shape == (4, 4)
    assert len(list(out.glob("*.png"))) == 2
    assert len(read_arrays(out / "embeddings.safetensors")) == 9
    record = json.loads((out / "run.json").read_text())
    assert record["encoded"] == 2 and record["residues_per_second"] > 0
    assert record["peak_memory_gb"] > 0
    assert "residues a second" in capsys.readouterr().out
    assert embed(tmp_path, "--pool", "both", "--contacts", "--no-plots") == 0
    assert "2 there already" in capsys.readouterr().out


@pytest.mark.parametrize("more, text, says", [
    ((), ">a\nMKTJ\n", "position 4: 'J'"), ((), "", "x.fasta"),
    (("--layers", "7"), ">a\nM\n", "no layer 7; choose among 0 to 1"),
    (("--layers", "a"), ">a\nM\n", "'a' is no list of layers"),
    (("--dtype", "bf16"), ">a\nM\n", "bf16 runs on Ascend only"),
    (("--dtype", "fp16"), ">a\nM\n", "fp16 overflows"),
    (("--model", "esm2_t6_8M"), ">a\nM\n", "esm2_t6_8M_UR50D"),
], ids=["letter", "empty", "layer", "no layer", "bf16", "fp16", "name"])
def test_refusals(tmp_path, capsys, more, text, says):
    try:
        code = embed(tmp_path, *more, text=text)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and says in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.safetensors"))


@pytest.mark.parametrize("name, says", [
    ("esm2_t30_150M_UR50D", "protenix-ms fetch esm2_t30_150M_UR50D"),
    ("esm2_t30", "did you mean esm2_t30_150M_UR50D"),
    ("x.fasta", "neither a PyTorch zip, nor safetensors"),
])
def test_encoders_that_are_not_there(tmp_path, capsys, monkeypatch, name, says):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.fasta").write_text(">a\nMKT\n")
    assert main(["embed", "--input", "x.fasta", "--output", "out", "--model", name]) == 2
    assert says in capsys.readouterr().err
