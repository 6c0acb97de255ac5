# SPDX-License-Identifier: Apache-2.0
"""Reading the words of a command: options with suggestions, numbers, seeds; shared options."""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from protenix_ms.config import DEFAULT_MODEL, VARIANTS
from protenix_ms.errors import nearest
from protenix_ms.job import MAX_SEED

MOST_SEEDS = 100_000  # of one command; a range is counted before it is written out
_OPTION = re.compile(r"--?[A-Za-z][^=]*")
# Options that several commands have.
SHARED: dict[str, dict[str, Any]] = {
    "--model": {"metavar": "NAME",
                "help": f"default {DEFAULT_MODEL}; one of {', '.join(VARIANTS)}"},
    "--config": {"metavar": "FILE[:ARG]", "help": "a file with get_config(), as in configs/"},
    "--set": {"action": "append", "default": [], "metavar": "KEY=VALUE", "dest": "overrides",
              "help": "any setting, e.g. sample_diffusion.gamma0=0.5 or training.lr=1e-3"},
    "--device": {"choices": ("CPU", "Ascend"), "default": "CPU", "help": "default %(default)s"},
    "--dtype": {"choices": ("fp32", "bf16"), "default": "fp32", "help":
                "numbers of the network; bf16, on Ascend only, computes products in bf16 beside "
                "fp32 islands, weights and losses stay fp32 (default %(default)s)"},
    "--ccd-extra": {"type": Path, "metavar": "FILE",
                    "help": "mmCIF file of further components, which win over those of the table"},
    "--esm": {"metavar": "NAME|FILE",
              "help": "encoder of the esm and ism variants: its name, file, or folder of "
              "transformers (default: the variant's own, in the cache folder)"},
    "--embeddings": {"type": Path, "metavar": "DIR",
                     "help": "vectors of residues made before: files of `embed`, npz, npy, or "
                     "upstream's .pt, named by the sequence's sha256 or <job>_<entity>"},
    "--allow-zero-embeddings": {"action": "store_true", "help": "read zeros for sequences without "
                                "a file in --embeddings; then no encoder is needed"},
    "--ccd": {"type": Path, "metavar": "FILE", "help": "another component table"},
    "--conformers": {"type": Path, "metavar": "FILE",
                     "help": "reference conformers (npz) that replace the table's"},
    "--quiet": {"action": "store_true", "help": "print only errors"},
}


def add_shared(parser: argparse._ActionsContainer, *names: str) -> None:
    """Declare options of `SHARED`."""
    for name in names:
        parser.add_argument(name, **SHARED[name])


def replace_flags(words: Sequence[str]) -> list[str]:
    """Replace ``--config.KEY=VALUE``, ml_collections' way of writing, by ``--set KEY=VALUE``."""
    pairs = (["--set", word.removeprefix("--config.")] if word.startswith("--config.") else [word]
             for word in words)
    return [word for pair in pairs for word in pair]


class Parser(argparse.ArgumentParser):
    """Refuses arguments in one sentence, after a line of usage where that helps."""

    def error(self, message: str) -> None:
        """End the process with code 2."""
        needed = [" ".join([*a.option_strings[:1], str(a.metavar or a.dest)])
                  for a in self._actions if a.required]
        usage = f"usage: {' '.join([self.prog, *needed, '[options]'])}\n"
        about_a_value = message.startswith("argument ")
        self.exit(2, f"{'' if about_a_value else usage}{self.prog}: {message}\n")

    def require_options(self, words: Sequence[str]) -> None:
        """Refuse a word that looks like an option and is none, with the one that is meant.

        `argparse` would complain first about what is missing, and never suggest.
        """
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                if words and words[0] in action.choices:
                    action.choices[words[0]].require_options(words[1:])
                return
        known = [name for action in self._actions for name in action.option_strings]
        for word in words[:words.index("--")] if "--" in words else words:
            matched = _OPTION.match(word)
            if matched and not any(name.startswith(matched[0]) for name in known):
                near = nearest(matched[0], known)
                self.error(f"unknown option {matched[0]}; " + (
                    f"did you mean {near}?" if near else f"{self.prog} --help lists the options"))


def whole(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    """Make a reader of whole numbers from `low` to `high`, for `add_argument(type=...)`."""

    def read(text: str) -> int:
        digits = text.strip()
        if not re.fullmatch("[0-9]{1,30}", digits) or not low <= int(digits) <= high:
            most = f" to {high}" if high < 2**63 - 1 else " or more"
            raise argparse.ArgumentTypeError(f"expected a whole number, {low}{most}, got {text!r}")
        return int(digits)

    return read


def ranges(noun: str, low: int, high: int, example: str = "10-40,55",
           ) -> Callable[[str], tuple[int, ...]]:
    """Make a reader of comma-separated numbers and ranges; both ends belong to a range.

    Nothing is written out before all of it is checked: a range may name billions. The reader
    refuses a word that is no number, a range that runs backwards, and too many.

    Args:
        noun: what a number is.
        example: how to write them, for refusals.
    """

    def read(text: str) -> tuple[int, ...]:
        parts = []
        for word in text.split(","):
            matched = re.fullmatch(r"\s*([0-9]{1,30})\s*(?:-\s*([0-9]{1,30})\s*)?", word)
            if not matched:
                raise argparse.ArgumentTypeError(
                    f"{word.strip()!r} is no {noun}; write {example}")
            first, last = int(matched[1]), int(matched[2] or matched[1])
            for number in (first, last):
                if not low <= number <= high:
                    size = "large" if number > high else "small"
                    raise argparse.ArgumentTypeError(
                        f"{noun} {number} is too {size}; use {low} to {high}")
            if last < first:
                raise argparse.ArgumentTypeError(
                    f"the range {word.strip()} runs backwards; write {last}-{first}")
            parts.append(range(first, last + 1))
        if (count := sum(map(len, parts))) > MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f"{text!r} names {count} {noun}s; one command takes at most {MOST_SEEDS}")
        return tuple(number for part in parts for number in part)

    return read


seeds = ranges("seed", 0, MAX_SEED, "numbers like 101,102 or a range like 1-5")


def iso_date(text: str) -> datetime.date:
    """Read a date like 2021-09-30."""
    try:
        return datetime.datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date like 2021-09-30, got {text!r}") from None


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def above_zero(text: str) -> float:
    """Read a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def gibibytes(text: str) -> int:
    """Read a positive number of GiB as bytes."""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise argparse.ArgumentTypeError(f"expected GiB above 0, got {text!r}")
    return int(size * 2**30)
