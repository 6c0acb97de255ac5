# SPDX-License-Identifier: Apache-2.0
"""A value inside a JSON document together with the place it stands, for refusals that say where."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protenix_ms.errors import InputError

_TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true/false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"the number {name} is not allowed")


def _whole_number(digits: str) -> int:
    if len(digits) > 30:
        raise ValueError(f"a whole number has {len(digits)} digits")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


def parse_json(text: str, where: str) -> Field:
    """The document as a `Field`.

    Raises:
        InputError: truncated or malformed text, NaN or Infinity, a repeated key, deep nesting.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_whole_number,
            object_pairs_hook=_unique_keys,
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"this is not valid JSON: {error.msg}",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            fix="check brackets, quotes and commas there",
        ) from None
    except RecursionError:
        raise InputError(
            "the JSON is nested too deeply", where=where, fix="a job needs about six levels"
        ) from None
    except ValueError as error:
        raise InputError(f"the JSON is unusable: {error}", where=where, fix="correct it") from None
    return Field(value, where)


@dataclass(frozen=True)
class Field:
    """A JSON value and its place. Accessors return typed Python values or raise `InputError`.

    Attributes:
        value: what `json` made of it.
        where: the place, outermost first.
        name: the key it stands under, for messages.
    """

    value: Any
    where: str
    name: str = "the document"

    def fail(self, message: str, fix: str = "") -> InputError:
        """The error to raise about this field."""
        return InputError(message, where=self.where, fix=fix)

    def expect(self, *types: type) -> None:
        """Refuse a value of any other JSON type."""
        value_type = type(self.value)
        if value_type not in types:
            found = _TYPE_NAMES.get(value_type, value_type.__name__)
            raise self.fail(
                f"{self.name} is {found}", f"write {' or '.join(_TYPE_NAMES[t] for t in types)}"
            )

    def at(self, place: str) -> Field:
        """The same value, with `place` added to where it stands."""
        return Field(self.value, f"{self.where}, {place}", self.name)

    @property
    def given(self) -> bool:
        """False for what upstream treats as absent: null, "", [] and {}."""
        return self.value not in (None, "", [], {})

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def get(self, *keys: str) -> Field:
        """The first present of `keys` (newer name first), or a `Field` of None."""
        self.expect(dict)
        for key in keys:
            if self.value.get(key) is not None:
                return Field(self.value[key], self.where, key)
        return Field(None, self.where, keys[0])

    def require(self, *keys: str) -> Field:
        """As `get`, but absence is an error."""
        field = self.get(*keys)
        if field.value is None:
            raise self.fail(f"{keys[0]} is missing", f"add {keys[0]!r}")
        return field

    def items(self) -> Iterator[Field]:
        """The elements of a list, each with its 1-based place."""
        self.expect(list)
        for index, value in enumerate(self.value, 1):
            yield Field(value, self.where, f"{self.name} {index}")

    def text(self) -> str:
        """A non-empty piece of text."""
        self.expect(str)
        if not self.value.strip():
            raise self.fail(f"{self.name} is empty", "write a value")
        return self.value

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high]; digits in quotes count, as in upstream's own examples."""
        value = self.value
        if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int:
            self.expect(int)
        if not low <= value <= high:
            shown = value if abs(value) < 10**20 else "a huge number"
            raise self.fail(f"{self.name} is {shown}", f"use {low} to {high}")
        return value

    def number(self, low: float, high: float) -> float:
        """A number in [low, high]; a JSON number that overflows to infinity is outside it."""
        self.expect(int, float)
        if not low <= self.value <= high:
            raise self.fail(f"{self.name} is out of range", f"use {low:g} to {high:g}")
        return float(self.value)

    def only(self, *known: str) -> None:
        """Refuse keys that look like a misspelling of a known one; others are left alone."""
        self.expect(dict)
        for key in self.value:
            if key not in known:
                close = difflib.get_close_matches(key[:60], known, 1, cutoff=0.8)
                if close:
                    raise self.fail(
                        f"unknown key {key[:60]!r}", f"write {close[0]!r} if that is meant"
                    )
