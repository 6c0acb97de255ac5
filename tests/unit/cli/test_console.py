# SPDX-License-Identifier: Apache-2.0
"""Bars on terminals, lines elsewhere, silence on request."""

import io
import re
import subprocess
import sys

import pytest

from protenix_ms.cli import report
from protenix_ms.cli.report import Console, lasting_streams, table


class Terminal(io.StringIO):
    def isatty(self):
        return True


PLAN = {"recycle": 2.0, "step": 6.0, "sample": 2.0}


def planned(console):
    console.expect(PLAN)
    return console


def walk(progress):
    for stage, total in (("recycle", 2), ("step", 3), ("sample", 1)):
        for done in range(1, total + 1):
            progress(stage, done, total)


def test_plain_lines_when_not_a_terminal():
    stream = io.StringIO()
    walk(planned(Console(stream=stream)).progress("job", 101))
    assert stream.getvalue().splitlines() == [
        "job, seed 101: recycles 2/2", "job, seed 101: sampler steps 3/3",
        "job, seed 101: scored samples 1/1"]


def test_one_bar_over_all_stages_on_a_terminal():
    stream = Terminal()
    walk(planned(Console(stream=stream)).progress("job", 101))
    text = stream.getvalue()
    shares = [int(share) for share in re.findall(r"(\d+)%", text)]
    assert sorted(set(shares)) == shares[:1] + [10, 20, 40, 60, 80, 100]
    assert "job seed 101: sampler steps 2/3 |" in text and "left" in text and "?" not in text[-80:]


def test_lines_say_how_much_time_is_left(monkeypatch):
    now = iter([0.0, 10.0, 10.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stream = io.StringIO()
    progress = planned(Console(stream=stream)).progress("job", 101)
    progress("recycle", 2, 2)
    assert stream.getvalue() == "job, seed 101: recycles 2/2, about 40 s left\n"


def test_quiet_says_nothing(capsys):
    stream = io.StringIO()
    console = Console(quiet=True, stream=stream)
    console.line("news")
    walk(planned(console).progress("job", 101))
    console.defect(ValueError("x"))
    assert stream.getvalue() == "" and capsys.readouterr().out == ""


def test_tracebacks_only_under_debug():
    stream = io.StringIO()
    Console(debug=True, stream=stream).defect(ValueError("why"))
    assert "ValueError: why" in stream.getvalue()


def test_table():
    assert table(("job", "seed", ""), [("a", 101, "x y"), ("long name", 1, "")]) == (
        "job        seed\na          101   x y\nlong name  1")


class Broken(io.StringIO):
    """Fails every write, as a pipe that nobody reads."""

    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, Broken(), io.TextIOWrapper(io.BytesIO(), "ascii")])
def test_streams_that_cannot_show_a_line_cost_only_the_line(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with lasting_streams():
        console = Console()
        for _ in range(2):
            console.line("job \u00e9 \udcff")
            walk(planned(console).progress("\u00e9", 101))
            print("\u00e9", file=sys.stderr, flush=True)
    assert sys.stdout is stream
    if isinstance(stream, io.TextIOWrapper):
        assert b"job \\xe9 \\udcff\n" in stream.buffer.getvalue()


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&- <&-", "| true", "> /dev/full"])
def test_a_process_ends_with_its_own_code(tmp_path, redirection):
    """Descriptors 0 to 2 never become a result's file, and the last flush does not count."""
    script = tmp_path / "s.py"
    script.write_text(
        "import os, sys, time\nfrom protenix_ms.cli.report import lasting_streams\n"
        "with lasting_streams():\n"
        "    time.sleep(0.3)\n    print('x' * 100000)\n    print('y', file=sys.stderr)\n"
        "    file = open(sys.argv[1], 'w')\n    os.write(2, b'log')\n    file.write('result')\n"
        "    file.close()\nsys.exit(7)\n")
    command = f"{sys.executable} {script} {tmp_path}/out {redirection}"
    command += "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], timeout=60, capture_output=True, text=True)
    assert done.returncode == 7 and "Error" not in done.stderr
    assert (tmp_path / "out").read_text() == "result"


def test_counting_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(report, "_PLAIN_SECONDS", 0.0)
    for quiet in (False, True):
        with report.counting("layers", quiet) as progress:
            progress(3, 4)
    assert capsys.readouterr().err == "layers: 3 of 4\n"
