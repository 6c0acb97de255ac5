# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms mutations` as a person types it."""

import csv
import json

import numpy as np
import pytest

from protenix_ms.cli import main as command
from protenix_ms.cli.main import main
from protenix_ms.errors import NonFiniteError
from protenix_ms.esm import encode, load_encoder, mutations
from protenix_ms.esm.weights import StreamedLayers
from protenix_ms.io.protein_sequences import ProteinSequence
from protenix_ms.io.substitutions import Scan
from protenix_ms.predict.encoders import random_weights


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(command.launch, "configure", lambda device: None)
    monkeypatch.setattr(command.launch, "stop_softly", lambda: None)


def score(folder, *more, text=">a\nMKXA\n>b/2\nGAVL\n", table=None):
    (folder / "x.fasta").write_text(text)
    if table is not None:
        (folder / "v.tsv").write_text(table)
        more = (*more, "--variants", folder / "v.tsv")
    words = ["mutations", "--input", folder / "x.fasta", "--output", folder / "out", "--model",
             "esm2_t6_8M_UR50D", "--random-weights", 1, "--random-layers", 1, *more]
    return main([str(word) for word in words])


def rows(path):
    return list(csv.DictReader(path.open(), delimiter="\t"))


def test_every_substitution(tmp_path, capsys):
    assert score(tmp_path) == 0
    out = tmp_path / "out"
    table = rows(out / "mutations.tsv")
    assert len(table) == (3 + 4) * 19  # X has no wild type
    assert table[0] == {"name": "a", "variant": "M1A", "position": "1", "wild_type": "M",
                        "mutant": "A", "log_odds": table[0]["log_odds"]}
    encoder = load_encoder(random_weights("esm2_t6_8M_UR50D", 1, 1))
    (truth,) = encode(encoder, ["M<mask>XA"], (), logits=True)
    k, w = 15, 22  # tokens
    (k2w,) = [row for row in table if row["name"] == "a" and row["variant"] == "K2W"]
    assert float(k2w["log_odds"]) == pytest.approx(truth.logits[2, w] - truth.logits[2, k],
                                                   abs=2e-5)
    assert sorted(p.name for p in out.glob("*.png")) == ["heat_map_1_a.png", "heat_map_2_b_2.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in out.glob("*.png"))
    record = json.loads((out / "run.json").read_text())
    assert record["positions"] == {"a": 3, "b/2": 4} and record["score"] == "masked"
    assert "sequences: 2, positions: 7;" in capsys.readouterr().out


def test_variants_are_sums_of_what_the_table_of_substitutions_says(tmp_path, capsys):
    text = "name\tvariant\tseen\nb/2\tG1A:L4W\t7\nb/2\tG1G\t\n"
    assert score(tmp_path, "--score", "wildtype", "--no-plots", table=text) == 0
    table = rows(tmp_path / "out/mutations.tsv")
    single = {row["variant"]: float(row["log_odds"]) for row in table}
    assert len(single) == 2 * 19
    double, none = rows(tmp_path / "out/variants.tsv")
    assert double["seen"] == "7" and float(none["log_odds"]) == 0
    assert float(double["log_odds"]) == pytest.approx(single["G1A"] + single["L4W"], abs=2e-5)
    assert not list(tmp_path.glob("out/*.png"))
    assert "nothing to score in a" in capsys.readouterr().out


def test_layers_from_disk_give_the_same_table(tmp_path, monkeypatch):
    tables, read = [], []
    inner = StreamedLayers.__iter__
    monkeypatch.setattr(StreamedLayers, "__iter__", lambda self: read.append(1) or inner(self))
    for more in ((), ("--memory", "0.012")):  # GiB: two layers of four
        assert score(tmp_path, "--random-layers", 4, "--positions", "2", "--no-plots", *more) == 0
        tables.append((tmp_path / "out/mutations.tsv").read_bytes())
    assert tables[0] == tables[1] and read


@pytest.mark.parametrize("more, text, table, says", [
    ((), ">a\nMKTJ\n", None, "position 4: 'J'"),
    ((), ">a\nXX\n", None, "none of the positions holds one of the twenty residues"),
    (("--positions", "3-5"), ">a\nMKTA\n", None, "position 5 is out of range"),
    (("--positions", "5-3"), ">a\nM\n", None, "the range 5-3 runs backwards"),
    (("--positions", "0"), ">a\nM\n", None, "position 0 is too small; use 1 to"),
    (("--positions", "a"), ">a\nM\n", None, "'a' is no position; write 10-40,55"),
    ((), ">a\nMK\n", "", "v.tsv"),
    ((), ">a\nMK\n", "variant\nA2R\n", "A2R does not fit the sequence, which has K"),
    (("--dtype", "fp16"), ">a\nM\n", None, "fp16 overflows"),
    (("--model", "esm2_t6_8M"), ">a\nM\n", None, "esm2_t6_8M_UR50D"),
    (("--memory", "0.0001"), ">a\nM\n", None, "GB of memory"),
], ids=["letter", "no residue", "position", "backwards", "zero", "word", "empty table", "wild type",
        "fp16", "name", "memory"])
def test_refusals(tmp_path, capsys, more, text, table, says):
    try:
        code = score(tmp_path, *more, text=text, table=table)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and says in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


def test_logits_that_are_not_finite(monkeypatch):
    weights = random_weights("esm2_t6_8M_UR50D", 1, 1)
    encoder = load_encoder(weights)
    encoder.lm_head.bias.set_data(encoder.lm_head.bias * np.nan)
    with pytest.raises(NonFiniteError, match="a: the encoder's logits"):
        list(mutations.scan_substitutions(encoder, [Scan(ProteinSequence("a", "MK"), (1,))]))
