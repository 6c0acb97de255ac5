# SPDX-License-Identifier: Apache-2.0
"""Trees of sugars in one line of text: ``NAG(4-1 NAG(4-1 BMA(3-1 MAN)(6-1 MAN)))``.

A code is followed by any number of branches in parentheses. ``(4-1 SUBTREE)`` bonds O4 of the sugar
before the parenthesis to C1 of the branch's first sugar (Chai). A branch may leave its linkage out
(AlphaFold Server), for a caller that knows the usual ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from protenix_ms.errors import InputError

MAX_SUGARS = 200
_BRANCH = re.compile(r"\(\s*(?:(\d)\s*-\s*(\d)\s+)?")
_CODE = re.compile(r"[A-Za-z0-9]{1,5}\s*")


@dataclass(frozen=True)
class Linkage:
    """A bond between two sugars, by their 1-based positions: O`oxygen` of the parent to C`carbon`.

    Both numbers are None where the text leaves the linkage out.
    """

    parent: int
    child: int
    oxygen: int | None
    carbon: int | None


def parse_glycan(text: str, where: str) -> tuple[tuple[str, ...], tuple[Linkage, ...]]:
    """Read a tree of sugars.

    Returns:
        CCD codes in the order of writing, and the bonds between them.

    Raises:
        InputError: at the first character that does not fit the grammar.
    """
    codes: list[str] = []
    linkages: list[Linkage] = []
    parents: list[int] = []  # sugars whose branches are open
    place, branch = 0, None
    text = text.strip()
    while place < len(text) or not codes:
        code = _CODE.match(text, place)
        if code is None or len(codes) == MAX_SUGARS:
            raise _misfit(text, place, "a CCD code", where)
        codes.append(code[0].strip().upper())
        if branch is not None:
            numbers = (int(branch[1]), int(branch[2])) if branch[1] else (None, None)
            linkages.append(Linkage(parents[-1], len(codes), *numbers))
        current, place = len(codes), code.end()
        while text[place : place + 1] == ")" and parents:
            current, place = parents.pop(), place + 1
            place += len(text[place:]) - len(text[place:].lstrip())
        if place == len(text):
            break
        branch = _BRANCH.match(text, place)
        if branch is None:
            raise _misfit(text, place, "'(', a linkage like 4-1 and a CCD code", where)
        parents.append(current)
        place = branch.end()
    if parents:
        raise _misfit(text, len(text), "')'", where)
    return tuple(codes), tuple(linkages)


def _misfit(text: str, place: int, expected: str, where: str) -> InputError:
    shown = ascii(text[place]) if place < len(text) else "the end"
    return InputError(
        f"the glycan has {shown} where {expected} (of at most {MAX_SUGARS} sugars) is expected",
        where=f"{where}, character {place + 1}",
        fix="write it like NAG(4-1 NAG(4-1 BMA(3-1 MAN)(6-1 MAN)))")
