# SPDX-License-Identifier: Apache-2.0
"""Every refusal a person can meet: one sentence that names what, where, and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from os.path import commonprefix


class ProtenixError(Exception):
    """Base of all typed errors. The command line prints it without a traceback.

    Args:
        message: what is wrong and what was expected, without a full stop.
        where: the place, outermost first: file, job, entity, position, line.
        fix: what the person should do.
        remedies: several ways out, of which each stands on a line of its own.
    """

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", remedies: tuple[str, ...] = ()
    ) -> None:
        self.message, self.where, self.fix, self.remedies = message, where, fix, remedies
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.fix}" if self.fix else ""
        listed = "".join(f"\n  - {way}" for way in self.remedies)
        return f"{place}{self.message}{remedy}{':' if listed else '.'}{listed}"


class InputError(ProtenixError):
    """A job file (JSON, FASTA), an alignment or a structure that cannot be used as it stands."""


class ChemistryError(ProtenixError):
    """An unknown component, a ligand without a usable structure, a bond that cannot be made."""


class ConfigError(ProtenixError):
    """An unknown model, setting or value."""


class CheckpointError(ProtenixError):
    """A weights file that is absent, damaged, refused or of another model."""


class ResourceError(ProtenixError):
    """Memory, disk, device or compiler that the request needs and the machine lacks."""


class NonFiniteError(ProtenixError):
    """A stage produced NaN or infinity; names the stage."""


class OutputError(ProtenixError):
    """A result that exists already with another fingerprint, or cannot be written."""


_ALIKE = 0.6  # the ratio of `difflib` from which a name counts as meant


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the name that a person meant by `word`, None when nothing is like it.

    A name that begins with the word beats one with a later part that does (`tiny`), and both beat
    a name of similar spelling. Case and `-`, `_`, `.` do not count. Among equals the first of
    `known` wins, so callers list defaults first.
    """
    wanted = _plain(word)
    best, choice = _ALIKE, None
    for name in known if wanted else ():
        plain = _plain(name)
        starts = [m.start() for m in re.finditer(r"\b\w", plain)]
        score = max((_likeness(wanted, plain[i:]) - 0.01 * bool(i) for i in starts), default=0.0)
        if score > best:
            best, choice = score, name
    return choice


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip().lower()).strip("-")


def _likeness(word: str, name: str) -> float:
    """2 when `name` begins with `word`, else how alike they or their beginnings are, up to 1."""
    if len(word) > 1 and name.startswith(word):
        return 2.0
    same = 0.05 * len(commonprefix([word, name])) / max(len(word), 1)
    return same + max(SequenceMatcher(None, word, text).ratio()
                      for text in (name, name[:len(word)]))


_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|out of memory|cannot allocate memory|malloc|memory (is )?not enough"
    r"|resource temporarily unavailable"  # no address space for another thread
    r"|failed to map segment"  # nor for a library
    r"|alloc\w* .*memory.* fail|fail\w* to alloc", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell from an error's kind and text whether memory ran out, in Python or in MindSpore."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


def explain(error: BaseException) -> str:
    """Say in one line what an unforeseen error is; MindSpore's call stacks are left out."""
    text = " ".join(str(error).split("\n\n---")[0].split())
    if isinstance(error, ProtenixError):
        return text
    if is_out_of_memory(error):
        return ("the memory of this process ran out; ask for fewer --samples, cut the job, choose "
                "a smaller --model, or use a larger machine.")
    return f"{type(error).__name__}: {text or 'no message'}"
