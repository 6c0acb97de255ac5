# SPDX-License-Identifier: Apache-2.0
"""The page comes last and costs nothing; time before the work; counts of alignment rows."""

import pytest

from protenix_ms.config import get_config
from protenix_ms.errors import InputError
from protenix_ms.job import Alignment, Job, Polymer
from protenix_ms.predict.batch import Batch
from protenix_ms.predict.duration import STAGES, count_operations, say_duration
from protenix_ms.predict.memory import Size
from protenix_ms.predict.notes import count_alignments
from protenix_ms.report import write_page


@pytest.fixture
def run(predictor, jobs, make_settings, new_reporter):
    def start(publish):
        reporter = new_reporter()
        batch = Batch(make_settings(), reporter, load=lambda s: predictor, publish=publish,
                      featurize=lambda s, job, seed: predictor.featurize(job, seed))
        return [(o.job, o.seed, o.state) for o in batch.run(jobs)], reporter.lines

    return start


def test_the_page_is_made_when_all_else_is_there(run, tmp_path):
    seen = []

    def publish(folder):
        seen.append(((folder / "ranking.csv").is_file(), (folder / "run.json").is_file()))
        return write_page(folder)

    states, lines = run(publish)
    assert {state for *_, state in states} == {"done"} and seen == [(True, True)] * 2, lines
    assert (tmp_path / "out/first/report.html").stat().st_size > 500_000


@pytest.mark.parametrize("error", [InputError("torn"), ValueError("defect"), KeyboardInterrupt()])
def test_a_page_that_fails_costs_no_structure(run, tmp_path, error):
    def publish(folder):
        raise error

    states, lines = run(publish)
    assert [s for *_, s in states[:2]] == ["done", "done"]
    assert (tmp_path / "out/first/first_model.cif").is_file()
    if isinstance(error, KeyboardInterrupt):
        assert states[2:] == [("first", None, "interrupted")]
    else:
        assert len(states) == 4 and any("no report: " in line for line in lines)


def test_operations_are_those_of_the_measured_blocks():
    """A pairformer block at 256 tokens takes 99 GFLOP; time grows with every size."""
    config = get_config("protenix_base_default_v1.0.0",
                        {"model.N_cycle": 1, "sample_diffusion.N_step": 1})
    counts = count_operations(config, Size(256, 2000, 1, 1))
    assert tuple(counts) == STAGES
    assert counts["sample"] / config.model.confidence_head.n_blocks == pytest.approx(99e9, rel=0.02)
    for size in (Size(384, 2000, 1, 1), Size(256, 2000, 1, 5), Size(256, 2000, 900, 1)):
        assert sum(count_operations(config, size).values()) > sum(counts.values())
    assert [say_duration(s) for s in (0.1, 20.0, 240.0, 9e3)] == ["1 s", "20 s", "4 min", "2.5 h"]


def test_rows_of_alignments_are_counted_by_column():
    paired, unpaired = Alignment(">a\nMKTA\n>b\nM-TA\n", ""), Alignment(">a\nMKTA\n>c\nMK--\n", "")
    chain = Polymer("protein", "MKTA", 2, paired_msa=paired, unpaired_msa=unpaired)
    broken = Polymer("protein", "MK", unpaired_msa=Alignment(">a\nMK\n>b\nM\n", ""))
    job = Job("x", (Polymer("dna", "AC"), chain, broken))
    assert count_alignments(job) == [
        {"entity": 2, "rows": 4, "paired": 2, "coverage": [4, 3, 3, 3]}]
