# SPDX-License-Identifier: Apache-2.0
"""Models of JSON objects: what counts as absent, and how an error is said."""

from pathlib import Path
from typing import Annotated, Any

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io.json_model import (
    CamelModel,
    JsonModel,
    OneOf,
    Text,
    Texts,
    Whole,
    read_model,
    unsupported,
    walk_entities,
    within,
)


class Change(CamelModel):
    new_name: Text
    position: Annotated[Whole, within(1, 9)] = 1


class Chain(CamelModel):
    kept_blank = ("inlineText",)
    names: Texts = []
    inline_text: str | None = None
    changes: list[Change] = []
    old: Annotated[Any, unsupported("{name} is not supported", "remove it")] = None


class Entry(OneOf):
    protein_chain: Chain | None = None
    ion: Change | None = None


class Loose(JsonModel):
    ignores_empty = True
    otherwise = "write another file"
    switch: bool = True


class Document(CamelModel):
    meant = {"parts": "write 'sequences'"}
    sequences: list[Entry]
    model_seeds: list[Whole] = []
    loose: Loose | None = None


def refusal(document):
    with pytest.raises(InputError) as caught:
        read_model(Document, document, "x.json", "job 1")
    return str(caught.value)


def chain(**content):
    return {"sequences": [{"proteinChain": content}]}


@pytest.mark.parametrize(("document", "sentence"), [
    ([], "x.json: job 1 is a list; write an object."),
    ({}, "x.json: sequences is missing; add 'sequences'."),
    ({"sequences": "x"}, "x.json: sequences is text; write a list."),
    ({"sequences": ["x"]}, "x.json: entity 1 is text; write an object."),
    ({"sequences": [], "parts": []}, "x.json: unknown key 'parts'; write 'sequences'."),
    ({"sequences": [], "modelSeeds": [1, 2.5]},
     "x.json: modelSeeds 2 is a number; write a whole number."),
    ({"sequences": [], "modelSeeds": [True]},
     "x.json: modelSeeds 1 is true/false; write a whole number."),
    ({"sequences": [{"ion": 3}]},
     "x.json, entity 1 (ion): ion is a whole number; write an object."),
    (chain(changes=[{}]),
     "x.json, entity 1 (proteinChain), changes 1: newName is missing; add 'newName'."),
    (chain(changes=[{"newName": " "}]),
     "x.json, entity 1 (proteinChain), changes 1: newName is empty; write a value."),
    (chain(changes=[{"newName": "A", "position": 10}]),
     "x.json, entity 1 (proteinChain), changes 1: position is 10; use 1 to 9."),
    (chain(changes=[{"newName": "A", "position": 10**25}]),
     "x.json, entity 1 (proteinChain), changes 1: position is a huge number; use 1 to 9."),
    (chain(change=[]), "x.json, entity 1 (proteinChain): unknown key 'change'; "
     "write 'changes' if that is meant, or remove it."),
    (chain(old=1), "x.json, entity 1 (proteinChain): old is not supported; remove it."),
    ({"sequences": [{"ion": {}, "proteinChain": {}}]},
     "x.json, entity 1: an entity has exactly one of proteinChain, ion, this one has ion, "
     "proteinChain; write one object per entity."),
    ({"sequences": [{"Protein_Chain": {}}]},
     "x.json, entity 1: an entity has exactly one of proteinChain, ion, this one has "
     "Protein_Chain; write 'proteinChain' if that is meant."),
    ({"sequences": [], "loose": {"zzz": 1}},
     "x.json, loose: unknown key 'zzz'; write another file."),
])
def test_an_error_is_a_sentence(document, sentence):
    assert refusal(document) == sentence


def test_what_counts_as_absent():
    content = {"names": "A", "inlineText": "", "changes": {}, "old": None}
    document = {**chain(**content), "modelSeeds": ["7"], "loose": {"other": [], "switch": False}}
    document["sequences"].append({"ion": {"newName": "MG"}, "proteinChain": None})
    model = read_model(Document, document, "x.json")
    notes = []
    (place, first), (other, ion) = walk_entities(model.sequences, "x.json", Path(), notes)
    assert (first.names, first.inline_text, first.changes, first.old) == (["A"], "", [], None)
    assert model.model_seeds == [7] and model.loose.switch is False
    assert (other.key, ion.new_name, ion.value_of("newName")) == ("ion", "MG", "MG")
    assert place.where == "x.json, entity 1 (proteinChain)" and place.key == "proteinChain"
    place.note("read otherwise")
    assert notes == ["entity 1 (proteinChain): read otherwise"]
    assert first.list_unused("names", "old") == ["names is not used"]
    assert first.value_of("absent") is None
