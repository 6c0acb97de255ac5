# SPDX-License-Identifier: Apache-2.0
"""Prepared data: resume, table of the dropped, sampling, and a loader that repeats itself."""

import csv
import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.data import CropOptions, ExampleOptions
from protenix_ms.data.dataset import DataOptions, Loader, Source, TrainingData
from protenix_ms.data.example import sampled_rows
from protenix_ms.data.index import RowFilter, epoch_order, read_index, row_weights
from protenix_ms.data.preparation import ENTRIES, read_alignments
from protenix_ms.errors import InputError, ResourceError

SMALL = ExampleOptions(CropOptions(size=24))


@pytest.fixture
def options(prepared) -> DataOptions:
    return DataOptions((Source(prepared, example=SMALL),), seed=7, epoch_size=12)


def same(first, second):
    assert first.features.keys() == second.features.keys()
    for name, array in first.features.items():
        assert array.dtype == second.features[name].dtype
        np.testing.assert_array_equal(array, second.features[name], err_msg=name)
    for name, array in first.labels.items():
        np.testing.assert_array_equal(array, second.labels[name], err_msg=name)


def test_command_resumes_and_tells_what_was_dropped(deposit_files, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["prepare-data", str(deposit_files), "--output", str(output), "--processes", "1",
             "--no-mmseqs"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert "2 entries made, 0 kept from before, 2 dropped" in first
    index = (output / "index.csv").read_bytes()
    assert [row["name"] for row in csv.DictReader((output / "dropped.csv").open())] == [
        "3bad", "4not"]
    (output / ENTRIES / "2xyz.npz").write_bytes(b"half a file")
    assert main(words) == 0
    assert "1 entries made, 1 kept from before, 2 dropped" in capsys.readouterr().out
    assert (output / "index.csv").read_bytes() == index
    rows = read_index(output / "index.csv")
    clusters = {row["chain_1_id"]: row["cluster_id"] for row in rows
                if row["pdb_id"] == "1abc" and row["type"] == "chain"}
    assert clusters["A"] == clusters["B"] != clusters["C"]
    assert clusters["D"] == "ATP"


def test_several_processes_make_the_same(deposit_files, prepared, tmp_path):
    words = ["prepare-data", str(deposit_files), "--output", str(tmp_path), "--processes", "2",
             "--no-mmseqs"]
    assert main(words) == 0
    for name in ("index.csv", "entries/1abc.npz", "entries/2xyz.npz"):
        assert (tmp_path / name).read_bytes() == (prepared / name).read_bytes()


def test_empty_folder_is_refused(tmp_path, capsys):
    assert main(["prepare-data", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "no mmCIF files" in capsys.readouterr().err


def test_alignments_are_found_by_sequence(deposit_files, tmp_path, capsys):
    sequence = "GSHMSWLEEVRKALDNHPYCIT"
    (tmp_path / "msa").mkdir()
    (tmp_path / "msa" / "any.a3m").write_text(f">q\n{sequence}\n>r\n{sequence[:-1]}-\n")
    output = tmp_path / "out"
    assert main(["prepare-data", str(deposit_files), "--output", str(output), "--msa",
                 str(tmp_path / "msa"), "--processes", "1"]) == 0
    assert "1 of 2 polymer sequences have an alignment" in capsys.readouterr().out
    assert read_alignments(output).unpaired.keys() == {sequence}
    data = TrainingData(DataOptions((Source(output, example=SMALL),), epoch_size=40))
    depths = {len(data.example(position).example.features["msa"]) for position in range(30)}
    assert depths == {2, 3}  # the query stands in both blocks


def test_templates_are_found_by_entity(deposit_files, tmp_path, capsys):
    (tmp_path / "hits").mkdir()
    (tmp_path / "cif").mkdir()
    sequence = "GSHMSWLEEVRKALDNHPYCIT"
    text = (deposit_files / "2xyz.cif").read_text()
    date = "loop_\n_pdbx_audit_revision_history.revision_date\n2001-02-03\n"
    (tmp_path / "cif" / "2xyz.cif").write_text(text + date)
    row = f"{sequence[:12]}{'-' * 10}"
    (tmp_path / "hits" / "2xyz_1.a3m").write_text(
        f">2xyz_A/1-12 [subseq from] mol:protein length:22  X\n{row}\n")
    output, words = tmp_path / "out", ["--template-hits", str(tmp_path / "hits")]
    start = ["prepare-data", str(deposit_files), "--output", str(output), "--processes", "1"]
    assert main([*start, *words]) == 2
    assert "--template-structures go together" in capsys.readouterr().err
    assert main([*start, *words, "--template-structures", str(tmp_path / "cif")]) == 0
    assert "1 of 2 protein sequences have template hits" in capsys.readouterr().out
    data = TrainingData(DataOptions((Source(output, example=SMALL),), epoch_size=40))
    features = [data.example(position).example.features for position in range(30)]
    assert {f["template_backbone_frame_mask"][0].any() for f in features} == {True, False}
    same(data.example(3).example, data.example(3).example)
    without = replace(SMALL, use_templates=False)
    data = TrainingData(DataOptions((Source(output, example=without),), epoch_size=40))
    assert not any(data.example(p).example.features["template_distogram"].any() for p in range(9))


def test_order_is_by_weight_and_repeats():
    weights = np.array([1.0, 0.0, 3.0])
    order = epoch_order(weights, 4000, 3, 0)
    assert (order == epoch_order(weights, 4000, 3, 0)).all()
    assert (order != epoch_order(weights, 4000, 3, 1)).any()
    assert (order != 1).all()
    assert 0.7 < (order == 2).mean() < 0.8
    with pytest.raises(InputError):
        epoch_order(np.zeros(3), 4, 0, 0)


def test_copies_of_an_entity_share_their_weight(prepared):
    rows = [row for row in read_index(prepared / "index.csv") if RowFilter().keeps(row)]
    weight = {(row["pdb_id"], row["chain_1_id"], row["chain_2_id"]): w
              for row, w in zip(rows, row_weights(rows))}
    assert weight["1abc", "C", ""] == pytest.approx(weight["2xyz", "A", ""])
    assert weight["1abc", "A", ""] == weight["1abc", "B", ""]
    assert not [row for row in rows if "ions" in (row["mol_1_type"], row["mol_2_type"])]


@pytest.mark.parametrize("limits, left", [
    (RowFilter(max_tokens=60), {"2xyz"}),
    (RowFilter(min_tokens=60), {"1abc"}),
    (RowFilter(names=frozenset({"2xyz"})), {"2xyz"}),
    (RowFilter(max_resolution=9.0), {"1abc", "2xyz"}),
])
def test_filters(limits, left, prepared):
    rows = [row for row in read_index(prepared / "index.csv") if limits.keeps(row)]
    assert {row["pdb_id"] for row in rows} == left


def test_nothing_left_is_refused(prepared):
    with pytest.raises(InputError, match="no line of the index passes"):
        TrainingData(DataOptions((Source(prepared, rows=RowFilter(max_resolution=1.0)),)))


def test_example_at_a_position_is_always_the_same(options):
    """Whatever was made before it, and over the border of an epoch."""
    forward, backward = TrainingData(options), TrainingData(options)
    examples = [forward.example(position) for position in range(15)]
    for position in reversed(range(15)):
        again = backward.example(position)
        assert again.row == examples[position].row
        same(again.example, examples[position].example)
    rows = [tuple(e.row[k] for k in ("pdb_id", "chain_1_id", "chain_2_id")) for e in examples]
    assert len(set(rows)) > 2


def test_ranks_share_one_order(options):
    alone = TrainingData(options)
    pair = [TrainingData(replace(options, rank=rank, ranks=2)) for rank in (0, 1)]
    for position in range(8):
        mine, theirs = alone.example(position), pair[position % 2].example(position // 2)
        assert mine.row == theirs.row
        same(mine.example, theirs.example)


def test_loader_tells_what_is_wrong_with_the_data(options, tmp_path):
    nothing = replace(options, sources=(Source(tmp_path),))
    for processes in (0, 1):
        with pytest.raises(InputError, match="index.csv"):
            next(Loader(nothing, processes=processes).examples())


def test_sources_have_their_share(prepared):
    first = Source(prepared, share=3.0, rows=RowFilter(names=frozenset({"1abc"})), example=SMALL)
    second = Source(prepared, rows=RowFilter(names=frozenset({"2xyz"})), weighting=None,
                    example=replace(SMALL, distillation=True))
    data = TrainingData(DataOptions((first, second), epoch_size=400))
    assert data.weights.sum() == pytest.approx(4.0)
    order = epoch_order(data.weights, 4000, 0, 0)
    assert np.mean([data.rows[i][0] == 0 for i in order]) == pytest.approx(0.75, abs=0.03)
    for position in range(12):
        drawn = data.example(position)
        assert drawn.example.features["is_distillation"][0] == (drawn.row["pdb_id"] == "2xyz")
        resolution = 2.5 if drawn.row["pdb_id"] == "1abc" else -1.0
        assert drawn.example.features["resolution"][0] == np.float32(resolution)


def test_rows_of_alignments_are_sampled():
    rng = np.random.default_rng(0)
    features = {"msa": np.arange(50)[:, None] * np.ones((1, 3), int), "profile": np.ones((3, 32)),
                "has_deletion": np.arange(50)[:, None] * np.ones((1, 3))}
    sampled = sampled_rows(features, 8, rng)
    assert sampled["msa"].shape == (8, 3) and sampled["profile"].shape == (3, 32)
    assert sampled["msa"][0, 0] == 0 and (np.diff(sampled["msa"][:, 0]) > 0).all()
    np.testing.assert_array_equal(sampled["msa"], sampled["has_deletion"])
    assert sampled_rows(features, 50, rng) is features


def test_loader_reads_ahead_and_resumes(options):
    here = [x for x, _ in zip(Loader(options, processes=0).examples(), range(6))]
    ahead = Loader(options, processes=1, ahead=3).examples()
    first = [next(ahead) for _ in range(3)]
    ahead.close()
    resumed = Loader(options, processes=2, ahead=2).examples(first[-1].position + 1)
    both = first + [next(resumed) for _ in range(3)]
    resumed.close()
    for mine, expected in zip(both, here, strict=True):
        assert (mine.position, mine.row) == (expected.position, expected.row)
        same(mine.example, expected.example)


def test_a_killed_process_is_told(options):
    examples = Loader(options, processes=1, ahead=2).examples()
    next(examples)
    (child,) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ResourceError, match="makes training examples died"):
        for _ in range(4):
            next(examples)


def test_a_damaged_entry_costs_no_step(deposit_files, prepared, tmp_path):
    (tmp_path / ENTRIES).mkdir()
    for name in ("index.csv", "entries/1abc.npz"):
        (tmp_path / name).write_bytes((prepared / name).read_bytes())
    (tmp_path / "entries/2xyz.npz").write_bytes(b"broken")
    data = TrainingData(DataOptions((Source(tmp_path, example=SMALL),), epoch_size=30))
    drawn = [data.example(position) for position in range(20)]
    assert {d.row["pdb_id"] for d in drawn} == {"1abc"}
    assert any("damaged" in reason for d in drawn for reason in d.skipped)
