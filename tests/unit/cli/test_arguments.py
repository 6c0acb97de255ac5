# SPDX-License-Identifier: Apache-2.0
"""Words of a command: suggestions, usage in one line, seeds checked before they are made."""

import argparse
import subprocess
import sys
import tracemalloc

import pytest

from protenix_ms.cli import arguments
from protenix_ms.cli.main import COMMANDS, main
from protenix_ms.config import DEFAULT_MODEL, VARIANTS, get_config
from protenix_ms.errors import ConfigError, ProtenixError, nearest

TINY, MINI = "protenix_tiny_default_v0.5.0", "protenix_mini_default_v0.5.0"


@pytest.mark.parametrize("word, meant", [
    ("protenix_tiny", TINY), ("tiny", TINY), ("Tiny", TINY), ("protenix-tiny", TINY),
    ("protenix_tiny_v0.5.0", TINY), ("protenix_mini", MINI), ("mini", MINI),
    ("protenix_base", DEFAULT_MODEL), ("base", DEFAULT_MODEL), ("protenix", DEFAULT_MODEL),
    ("protenix_base_defualt", DEFAULT_MODEL), ("protenix_v2", "protenix-v2"),
    ("v2", "protenix-v2"), ("constraint", "protenix_base_constraint_v0.5.0"),
    ("ism", "protenix_mini_ism_v0.5.0"),
])
def test_a_model_is_known_by_its_beginning_or_a_part(word, meant):
    with pytest.raises(ConfigError, match=f"unknown model '{word}'; did you mean '{meant}'; known"):
        get_config(word)


def test_every_beginning_suggests_a_model_that_begins_so():
    for name in VARIANTS:
        for size in range(10, len(name)):
            assert nearest(name[:size], [DEFAULT_MODEL, *VARIANTS]).startswith(name[:size])


def test_a_word_like_nothing_suggests_nothing():
    assert nearest("boltz", VARIANTS) is None and nearest("", VARIANTS) is None
    assert nearest("x", ["xy"]) is not None and nearest("---", ["", "-"]) is None


@pytest.mark.parametrize("key, meant", [
    ("sample_difusion.N_step", "sample_diffusion"), ("sample.N_step", "sample_diffusion"),
    ("sample_diffusion.N_steps", "N_step"), ("sample_diffusion.gamma", "gamma0"),
    ("N_step", "sample_diffusion.N_step"), ("N_cycle", "model.N_cycle"),
])
def test_a_setting_is_known_by_its_beginning_or_without_its_group(key, meant):
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        get_config(TINY, {key: 1})


def refused(capsys, *words) -> list[str]:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


USUAL = ("--input", "x.json", "--output", "o")


@pytest.mark.parametrize("words, says", [
    (("predict", "--inputs", "x.json", "--output", "o"),
     "protenix-ms predict: unknown option --inputs; did you mean --input?"),
    (("predict", *USUAL, "--seed=1"[:6] + "z=1"), "unknown option --seedz; did you mean --seeds?"),
    (("predict", *USUAL, "--weights", "0"), "did you mean --random-weights?"),
    (("predict", *USUAL, "--wxyz"), "protenix-ms predict --help lists the options"),
    (("predict", *USUAL, "-i"), "unknown option -i"),
    (("train", "--learning-rate", "1"), "unknown option --learning-rate"),
    (("predcit", *USUAL), "protenix-ms: unknown command 'predcit'; did you mean predict?"),
    (("prepare_data",), "did you mean prepare-data?"),
    (("fold",), "the commands are predict, "),
    (("--input", "x"), "--input stands before a command"),
    (("predict",), "required: --input, --output"),
])
def test_a_misspelt_word_gets_one_line_and_one_of_usage(capsys, words, says):
    usage, line = refused(capsys, *words)
    assert usage.startswith("usage: protenix-ms") and says in line


def test_a_beginning_of_an_option_is_taken():
    parser = arguments.Parser("p")
    parser.add_argument("--input", required=True)
    parser.require_options(["--inp", "x", "-1", "--", "--other"])
    assert parser.parse_args(["--inp", "x"]).input == "x"


@pytest.mark.parametrize("text", [
    "1-9999999999", "5-1,3", "99999999999999999999", "9" * 5000, "4294967296", "0-4294967295",
    "-1", "-1-5", "1--5", "", ",", "1,,2", "1-", "a", "1.5", "1e3", "²", "１", "0x1", "1 2", "1;2",
])
def test_refused_seeds(capsys, text):
    tracemalloc.start()
    (line,) = refused(capsys, "predict", *USUAL, f"--seeds={text}")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert line.startswith("protenix-ms predict: argument --seeds: ")


def test_seeds():
    assert arguments.seeds("101,102") == (101, 102)
    assert arguments.seeds(" 1-3, 7 ,4294967295") == (1, 2, 3, 7, 2**32 - 1)
    assert arguments.seeds("5-5,0") == (5, 0)


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "9" * 40, "²", "1.0", "nan"])
def test_whole_numbers_have_bounds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number, 1 or more"):
        arguments.whole(1)(text)
    with pytest.raises(argparse.ArgumentTypeError, match="1 to 5"):
        arguments.whole(1, 5)("6")


def test_the_bare_command_prints_its_help(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: protenix-ms") and all(name in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text_and_a_readable_value(command):
    done = subprocess.run([sys.executable, "-c", f"""
import importlib
from protenix_ms.cli.arguments import Parser
from protenix_ms.cli.main import _module
parser = Parser("p")
importlib.import_module(_module("{command}")).add_arguments(parser)
for action in parser._actions:
    assert action.help, action
    plain = action.nargs == 0 or action.choices or action.metavar
    assert plain, action
"""], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_several_remedies_stand_on_lines_of_their_own():
    error = ProtenixError("no weights", where="x", fix="choose", remedies=("fetch them", "train"))
    assert str(error) == "x: no weights; choose:\n  - fetch them\n  - train"
