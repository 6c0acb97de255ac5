# SPDX-License-Identifier: Apache-2.0
"""Bars on terminals, lines elsewhere, silence on request."""

import io

from protenix_ms.cli.report import Console, table


class Terminal(io.StringIO):
    def isatty(self):
        return True


def walk(progress):
    for stage, total in (("recycle", 2), ("step", 3), ("sample", 1)):
        for done in range(1, total + 1):
            progress(stage, done, total)


def test_plain_lines_when_not_a_terminal():
    stream = io.StringIO()
    walk(Console(stream=stream).progress("job", 101))
    assert stream.getvalue().splitlines() == [
        "job, seed 101: recycles 2/2", "job, seed 101: sampler steps 3/3",
        "job, seed 101: scored samples 1/1"]


def test_a_bar_per_stage_on_a_terminal():
    stream = Terminal()
    walk(Console(stream=stream).progress("job", 101))
    text = stream.getvalue()
    assert "\r" in text and "job seed 101: sampler steps" in text and "recycles" in text


def test_quiet_says_nothing(capsys):
    stream = io.StringIO()
    console = Console(quiet=True, stream=stream)
    console.line("news")
    walk(console.progress("job", 101))
    console.defect(ValueError("x"))
    assert stream.getvalue() == "" and capsys.readouterr().out == ""


def test_tracebacks_only_under_debug():
    stream = io.StringIO()
    Console(debug=True, stream=stream).defect(ValueError("why"))
    assert "ValueError: why" in stream.getvalue()


def test_table():
    assert table(("job", "seed", ""), [("a", 101, "x y"), ("long name", 1, "")]) == (
        "job        seed\na          101   x y\nlong name  1")
