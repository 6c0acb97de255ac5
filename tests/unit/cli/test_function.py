# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms function`: train, predict, evaluate, as a person types them."""

import csv
import json

import pytest

from protenix_ms.cli import launch
from protenix_ms.cli.main import main
from protenix_ms.predict import function

ENCODER = ["--model", "esm2_t6_8M_UR50D", "--random-weights", "0", "--random-layers", "1"]
FAMILIES = {"3.2.2.9": "MKTAYIAKQRQISFVK", "1.1.1.1": "GGSSPPDDEEGGSSPP",
            "2.7.1.-": "WWYYFFHHCCWWYYFF"}


@pytest.fixture(name="data")
def fixture_data(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "configure", lambda device: None)
    monkeypatch.setattr(function, "embeddings_dir", lambda: tmp_path / "home")
    fasta, labels = [], ["# name\tsplit\tterms"]
    for number in range(24):
        term, stem = list(FAMILIES.items())[number % 3]
        turn = number // 3
        fasta.append(f">P{number}\n{stem[turn:]}{stem}{stem[:turn]}")
        split = ("train", "train", "valid", "test")[turn % 4]
        labels.append(f"P{number}\t{split}\t{term}")
    (tmp_path / "s.fasta").write_text("\n".join(fasta))
    (tmp_path / "labels.tsv").write_text("\n".join(labels))
    return tmp_path


def words(data, action, output, *more):
    return ["function", action, "--input", str(data / "s.fasta"), *ENCODER, "--output",
            str(data / output), "--quiet", *map(str, more)]


def test_train_predict_evaluate(data, capsys):
    labels = ["--labels", data / "labels.tsv"]
    train = words(data, "train", "run", *labels, "--split", "train", "--valid-split", "valid",
                  "--ontology", "ec", "--epochs", "20", "--hidden", "32", "--rate", "0.01")
    assert main(train) == 0
    head = (data / "run" / "head.safetensors").read_bytes()
    assert main(train) == 0 and (data / "run" / "head.safetensors").read_bytes() == head
    assert main([*train, "--seed", "1"]) == 2
    assert "a head of another training is there; add --overwrite" in capsys.readouterr().err
    assert not (data / "run" / "state.safetensors").exists()

    assert main(words(data, "evaluate", "judged", *labels, "--split", "test", "--run",
                      data / "run")) == 0
    rows = {row["method"]: float(row["Fmax"]) for row in csv.DictReader(
        (data / "judged" / "metrics.tsv").open(), delimiter="\t")}
    assert list(rows) == ["head", "nearest vector", "3-mer neighbour", "naive"]
    assert rows["head"] > 0.95 > 0.8 > rows["naive"]
    assert (data / "judged" / "precision_recall.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((data / "judged" / "run.json").read_text())
    assert record["metrics"][0]["method"] == "head" and record["proteins"] == 6

    assert main(words(data, "predict", "out", "--run", data / "run")) == 0
    lines = [line.split("\t") for line in
             (data / "out" / "predictions.tsv").read_text().splitlines()]
    best = {}
    for name, term, score in lines:
        best.setdefault(name, []).append((term, float(score)))
    assert len(best) == 24 and best["P0"][0][0] in ("3.-.-.-", "3.2.-.-", "3.2.2.-", "3.2.2.9")
    assert all(0.01 <= score <= 1 for terms in best.values() for _, score in terms)


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda d: (d / "labels.tsv").write_text("Q\ttrain\t1.1.1.1\n"), "have no sequence, such as Q"),
    (lambda d: (d / "s.fasta").write_text(">P0\nMKT1\n"), "'1' is not a residue"),
    (lambda d: (d / "labels.tsv").write_text("P0\ttrain\tenzyme\n"), "'enzyme' is no EC number"),
    (lambda d: (d / "labels.tsv").unlink(), "labels.tsv"),
], ids=["sequence", "letter", "number", "file"])
def test_bad_input_is_one_sentence(change, sentence, data, capsys):
    change(data)
    assert main(words(data, "train", "run", "--labels", data / "labels.tsv", "--split", "train",
                      "--ontology", "ec")) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said and said.count("\n") == 1
    assert not (data / "run").exists()


def test_words_that_are_nearly_right(data, capsys):
    with pytest.raises(SystemExit):
        main(["function", "train", "--labls", "x"])
    assert "unknown option --labls; did you mean --labels?" in capsys.readouterr().err
    assert main(words(data, "train", "run", "--labels", data / "labels.tsv", "--ontology",
                      "go.obo")) == 2
    assert "'go.obo' is neither ec, flat nor an OBO file" in capsys.readouterr().err
    assert main(words(data, "predict", "out", "--run", data / "none")) == 2
    assert "no training has finished here" in capsys.readouterr().err
