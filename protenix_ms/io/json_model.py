# SPDX-License-Identifier: Apache-2.0
"""JSON documents read through pydantic models, whose errors become one sentence that says where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from protenix_ms.errors import InputError, nearest

_TYPE_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true/false",
               int: "a whole number", float: "a number", type(None): "null"}
_EXPECTED = {"string_type": "text", "list_type": "a list", "int_type": "a whole number",
             "float_type": "a number", "bool_type": "true/false", "dict_type": "an object",
             "model_type": "an object"}
# places that people number, by the key of their list
_LABELS = {"sequences": "entity", "covalent_bonds": "covalent bond", "chains": "chain",
           "bondedAtomPairs": "bonded atom pair", "templates": "template"}
_BLANK: tuple[Any, ...] = ("", [], {})  # upstream takes them, like null, for absent
Model = TypeVar("Model", bound="JsonModel")
Number = int | float


class FieldError(InputError, ValueError):
    """An error that validators of models may raise; ``{name}`` stands for the value's key."""


def parse_json(text: str, where: str) -> Any:
    """Parse a JSON document.

    Raises:
        InputError: truncated or malformed text, NaN or Infinity, a repeated key, deep nesting.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number,
                          object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise InputError(f"this is not valid JSON: {error.msg}",
                         where=f"{where}, line {error.lineno}, column {error.colno}",
                         fix="check brackets, quotes and commas there") from None
    except RecursionError:
        raise InputError("the JSON is nested too deeply", where=where,
                         fix="a job needs about six levels") from None
    except ValueError as error:
        raise InputError(f"the JSON is unusable: {error}", where=where, fix="correct it") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"the number {name} is not allowed")


def _whole_number(digits: str) -> int:
    if len(digits) > 30:
        raise ValueError(f"a whole number has {len(digits)} digits")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen.add(key)
    return dict(pairs)


def name_type(value: object) -> str:
    """Name the JSON type of a value, as in "a list"."""
    return _TYPE_NAMES.get(type(value), type(value).__name__)


class JsonModel(BaseModel):
    """Base of the models of JSON objects: exact types, no unknown keys, null is as good as absent.

    Attributes:
        meant: for keys that people write by mistake, what to write instead.
        drops_blank: a blank value of an optional key is as good as absent, too.
        kept_blank: optional keys under which an empty text means something.
        otherwise: what to do about any other key; "" names the keys that are known.
        ignores_empty: an unknown key may stand there with an empty list or object.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    meant: ClassVar[Mapping[str, str]] = {}
    drops_blank: ClassVar[bool] = True
    kept_blank: ClassVar[tuple[str, ...]] = ()
    otherwise: ClassVar[str] = ""
    ignores_empty: ClassVar[bool] = False

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        """List the fields by the keys under which JSON has them."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, value: Any) -> Any:
        """Drop nulls and blank optional values, and refuse keys that nobody reads."""
        if not isinstance(value, dict):
            return value
        keys = cls.keys()
        optional = {key for key, field in keys.items() if cls.drops_blank and not (
            key in cls.kept_blank or field.is_required() or field.default)}
        value = {key: item for key, item in value.items()
                 if item is not None and not (item in _BLANK and key in optional)}
        for key, item in value.items():
            if key not in keys and not (cls.ignores_empty and item in ([], {})):
                near = nearest(key[:60], keys)
                raise FieldError(f"unknown key {key[:60]!r}", fix=cls.meant.get(
                    key, f"write {near!r} if that is meant, or remove it" if near
                    else cls.otherwise or f"remove it; the keys here are {', '.join(keys)}"))
        return value

    def value_of(self, key: str) -> Any:
        """Return the value under a key of the JSON; None where the model has no such key."""
        names = dict(zip(self.keys(), type(self).model_fields))
        return getattr(self, names[key]) if key in names else None

    def list_unused(self, *keys: str) -> list[str]:
        """Note which of `keys` are there; they are legal and change nothing."""
        return [f"{key} is not used" for key in keys if key in self.model_fields_set]


class CamelModel(JsonModel):
    """Base of the models whose keys are written like ``modelSeeds``."""

    model_config = ConfigDict(alias_generator=to_camel)


class OneOf(CamelModel):
    """Base of the models of objects that have exactly one of their keys, as entities do."""

    drops_blank = False

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = cls.keys()
        present = [key for key, item in value.items() if item is not None]
        if len(present) == 1 and present[0] in known:
            return value
        near = next(filter(None, (nearest(key[:60], known) for key in present)), None)
        raise FieldError(
            f"an entity has exactly one of {', '.join(known)}, "
            f"this one has {', '.join(key[:40] for key in present) or 'nothing'}",
            fix="write one object per entity" if near is None or near in present
            else f"write {near!r} if that is meant")

    @property
    def chosen(self) -> tuple[str, Any]:
        """The key that is there, and its value."""
        return next((key, getattr(self, name)) for key, name in zip(
            self.keys(), type(self).model_fields) if name in self.model_fields_set)


def refuse_blank(value: Any) -> Any:
    """Refuse an empty list and a text without any letter."""
    if not value or (isinstance(value, str) and not value.strip()):
        raise FieldError("{name} is empty",
                         fix="write a value" if isinstance(value, str) else "add at least one")
    return value


def check_range(
    value: Number, low: Number, high: Number, name: str = "{name}", where: str = ""
) -> None:
    """Raise a FieldError if a number is outside of [low, high]."""
    if not low <= value <= high:
        shown = value if abs(value) < 10**20 else "a huge number"
        raise FieldError(f"{name} is {shown}", where=where,
                      fix=f"use {low} to {high}" if low < high else f"use {low}")


def within(low: Number, high: Number) -> AfterValidator:
    """Limit a number of a model to [low, high]."""

    def check(value: Any) -> Any:
        check_range(value, low, high)
        return value

    return AfterValidator(check)


def unsupported(message: str, fix: str) -> BeforeValidator:
    """Refuse any value of a field of a model."""

    def refuse(value: Any) -> Any:
        raise FieldError(message, fix=fix)

    return BeforeValidator(refuse)


def digits_as_number(value: Any) -> Any:
    """Read digits in quotes as a number, as they stand in upstream's own examples."""
    plain = isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit()
    return int(value) if plain else value


def _text_as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(refuse_blank)]
Whole = Annotated[int, BeforeValidator(digits_as_number)]
Texts = Annotated[list[Text], BeforeValidator(_text_as_list), AfterValidator(refuse_blank)]


def read_model(model: type[Model], value: Any, where: str, name: str = "the document") -> Model:
    """Read a JSON value as `model`.

    Args:
        where: its place, outermost first.
        name: what messages call it.

    Raises:
        InputError: the first thing that does not fit, with its place and a remedy.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], where, name) from None


def _explain(error: ErrorDetails, where: str, name: str) -> InputError:
    """Say an error of pydantic in a sentence."""
    places = [where]
    for before, key in zip(("", *error["loc"]), error["loc"]):
        if isinstance(key, str) and isinstance(before, int) and places[-1].startswith("entity "):
            name, places[-1] = key, f"{places[-1]} ({key})"
            continue
        name = str(key) if key != "[key]" else name
        if isinstance(key, int):
            label = _LABELS.get(before, before) if isinstance(before, str) else "item"
            name = f"{label} {key + 1}"
            places = places[:-1] if isinstance(before, str) else places
        places.append(name)
    refusal = error.get("ctx", {}).get("error")
    if isinstance(refusal, InputError):
        message, fix = refusal.message.replace("{name}", name), refusal.fix
    elif error["type"] == "missing":
        message, fix = f"{name} is missing", f"add {name!r}"
    else:
        message = f"{name} is {name_type(error['input'])}"
        fix = f"write {_EXPECTED.get(error['type'], 'another value')}"
    if places[-1] == name and name in message:
        places.pop()
    return InputError(message, where=", ".join(places), fix=fix)


@dataclass(frozen=True)
class EntityPlace:
    """Where an entity stands, as readers of its fields need it.

    Attributes:
        job: place of the job.
        key: what its dialect calls it, like "proteinChain".
        name: "entity 1 (proteinChain)".
        folder: folder in which its files are looked up first.
        notes: sentences for the job about what is read otherwise than it is written.
    """

    job: str
    key: str
    name: str
    folder: Path
    notes: list[str]

    @property
    def where(self) -> str:
        """The whole place."""
        return f"{self.job}, {self.name}"

    def note(self, text: str) -> None:
        """Add a sentence about this entity to the job's notes."""
        self.notes.append(f"{self.name}: {text}")


def walk_entities(
    sequences: Sequence[OneOf], job: str, folder: Path, notes: list[str]
) -> Iterator[tuple[EntityPlace, Any]]:
    """Yield place and content of every entity of a job."""
    for number, entry in enumerate(sequences, 1):
        key, content = entry.chosen
        yield EntityPlace(job, key, f"entity {number} ({key})", folder, notes), content
