# SPDX-License-Identifier: Apache-2.0
"""A value inside a JSON document together with the place it stands, for refusals that say where."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
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
        notes: sentences about what is read otherwise than it is written. All fields that come
            from one another share the list.
    """

    value: Any
    where: str
    name: str = "the document"
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def fail(self, message: str, fix: str = "") -> InputError:
        """The error to raise about this field."""
        return InputError(message, where=self.where, fix=fix)

    def note(self, text: str) -> None:
        """Put a sentence on the job's notes, with the entity it is about."""
        entity = self.where.rpartition(", entity ")[2] if ", entity " in self.where else ""
        self.notes.append(f"entity {entity}: {text}" if entity else text)

    def note_unused(self, *keys: str) -> None:
        """Say which of `keys` are there, for keys that are legal and change nothing."""
        self.notes.extend(f"{key} is not used" for key in keys if self.get(key).given)

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
        return replace(self, where=f"{self.where}, {place}")

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
                return replace(self, value=self.value[key], name=key)
        return replace(self, value=None, name=keys[0])

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
            yield replace(self, value=value, name=f"{self.name} {index}")

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
            span = f"{low} to {high}" if low < high else low
            raise self.fail(f"{self.name} is {shown}", f"use {span}")
        return value

    def number(self, low: float, high: float) -> float:
        """A number in [low, high]; a JSON number that overflows to infinity is outside it."""
        self.expect(int, float)
        if not low <= self.value <= high:
            raise self.fail(f"{self.name} is out of range", f"use {low:g} to {high:g}")
        return float(self.value)

    def only(self, *known: str, meant: Mapping[str, str] = MappingProxyType({})) -> None:
        """Refuse keys that are not `known`; null is as good as absent.

        Args:
            meant: for keys that people write by mistake, what to write instead.
        """
        self.expect(dict)
        for key, value in self.value.items():
            if key not in known and value is not None:
                near = _nearest(key, known)
                fix = f"write {near!r} if that is meant" if near else (
                    f"remove it; the keys here are {', '.join(known)}"
                )
                raise self.fail(f"unknown key {key[:60]!r}", meant.get(key, fix))

    def choose(self, *known: str) -> Field:
        """The value of an object that has exactly one key, one of `known`; `name` says which."""
        self.expect(dict)
        if len(self.value) == 1 and (key := next(iter(self.value))) in known:
            return replace(self.require(key), where=f"{self.where} ({key})")
        near = next(filter(None, (_nearest(key, known) for key in self.value)), None)
        raise self.fail(
            f"an entity has exactly one of {', '.join(known)}, "
            f"this one has {', '.join(str(key)[:40] for key in self.value) or 'nothing'}",
            f"write {near!r} if that is meant" if near not in (None, *self.value)
            else "write one object per entity",
        )


def _nearest(key: str, known: tuple[str, ...]) -> str | None:
    """The key that `key` is probably a misspelling of."""
    return next(iter(difflib.get_close_matches(key[:60], known, 1, cutoff=0.8)), None)
