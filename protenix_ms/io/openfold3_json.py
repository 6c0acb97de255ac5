# SPDX-License-Identifier: Apache-2.0
"""OpenFold3's queries: ``{"queries": {name: {"chains": [...]}}}``, each read as a job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator

from protenix_ms.errors import InputError
from protenix_ms.io import sequence as texts
from protenix_ms.io.a3m import check_alignment, read_alignment_file
from protenix_ms.io.entities import check_entities
from protenix_ms.io.json_model import (
    EntityPlace,
    FieldError,
    JsonModel,
    Text,
    Texts,
    Whole,
    read_model,
    refuse_blank,
)
from protenix_ms.io.protenix_json import Seeds, find_ligand
from protenix_ms.io.text_file import find_file
from protenix_ms.job import Entity, Job, Ligand, Polymer, PolymerKind

_MAIN, _PAIRED = "main_msa_file_paths", "paired_msa_file_paths"
_SWITCHES = {_MAIN: "use_main_msas", _PAIRED: "use_paired_msas"}
_ALIGNMENTS = {"protein": (_MAIN, _PAIRED), "rna": (_MAIN,), "dna": ()}  # read by kind of chain


def _check_type(kind: str) -> str:
    if kind.lower() not in (*_ALIGNMENTS, "ligand"):
        raise FieldError(f"{{name}} is {kind[:40]!r}", fix=f"use {', '.join(_ALIGNMENTS)}, ligand")
    return kind.lower()


class _OpenFold3(JsonModel):
    """Base of the models, in which only a key that would be lost is refused."""

    otherwise = "write this job as a Protenix or AlphaFold 3 JSON"
    ignores_empty = True


class _Switches(_OpenFold3):
    """Switches of a query or a chain."""

    use_msas: bool = True
    use_main_msas: bool = True
    use_paired_msas: bool = True
    use_templates: bool = True

    def turns_off(self, switch: str) -> bool:
        """Tell whether alignments that depend on a switch are turned off here."""
        return not (self.use_msas and getattr(self, switch))


class _Chain(_OpenFold3):
    """Keys of every chain."""

    molecule_type: Annotated[str, AfterValidator(_check_type)]
    chain_ids: Texts
    description: Any = None


class PolymerChain(_Chain, _Switches):
    """A protein, RNA or DNA chain."""

    sequence: Text
    non_canonical_residues: dict[Whole, Text] = {}
    main_msa_file_paths: Texts | None = None
    paired_msa_file_paths: Texts | None = None


class LigandChain(_Chain):
    """A ligand, given in exactly one of three ways."""

    ccd_codes: Texts | None = None
    smiles: Text | None = None
    sdf_file_path: Text | None = None


class Query(_Switches):
    """A query, which is a job."""

    query_name: Any = None
    chains: list[Any]


class Queries(_OpenFold3):
    """A set of queries."""

    queries: Annotated[dict[str, Any], AfterValidator(refuse_blank)]
    seeds: Seeds = []


def is_openfold3(value: Any) -> bool:
    """Tell whether a JSON document is a set of OpenFold3 queries."""
    return isinstance(value, dict) and "queries" in value


def read_openfold3(value: Any, path: Path) -> Iterator[Job | InputError]:
    """Yield the job of every query, or the reason why it is none.

    Raises:
        InputError: no queries, or an unknown key beside them.
    """
    document = read_model(Queries, value, str(path))
    for number, (name, query) in enumerate(document.queries.items(), 1):
        try:
            entities = _read_query(query, f"{path}, query {name[:60]!a}", path.parent)
            yield Job(texts.check_job_name(name, str(path)), entities, seeds=tuple(document.seeds),
                      source=f"{path}, job {number}")
        except InputError as error:
            yield error


def _read_query(value: Any, where: str, folder: Path) -> tuple[Entity, ...]:
    query = read_model(Query, value, where, "the query")
    entities: list[Entity] = []
    places = []
    for number, content in enumerate(query.chains, 1):
        place = EntityPlace(where, "", f"chain {number}", folder, [])
        kind = content.get("molecule_type") if isinstance(content, dict) else None
        if isinstance(kind, str) and kind.lower() == "ligand":
            entities.append(_read_ligand(read_model(LigandChain, content, place.where), place))
        else:
            chain = read_model(PolymerChain, content, place.where, "the chain")
            entities.append(_read_polymer(chain, query, place))
        places.append(place.where)
    check_entities(tuple(entities), places, where)
    return tuple(entities)


def _read_ids(chain: _Chain, place: EntityPlace) -> tuple[str, ...]:
    return tuple(texts.check_chain_name(name, place.where) for name in chain.chain_ids)


def _read_ligand(chain: LigandChain, place: EntityPlace) -> Ligand:
    ids, where = _read_ids(chain, place), place.where
    if sum(item is not None for item in (chain.ccd_codes, chain.smiles, chain.sdf_file_path)) != 1:
        raise InputError("a ligand has exactly one of ccd_codes, smiles, sdf_file_path",
                         where=where, fix="keep one")
    if chain.smiles is not None:
        return Ligand(smiles=texts.check_smiles(chain.smiles, where), count=len(ids), ids=ids)
    if chain.sdf_file_path is not None:
        return Ligand(file=find_ligand(chain.sdf_file_path, place), count=len(ids), ids=ids)
    codes = tuple(texts.check_code(code, where, "ATP") for code in chain.ccd_codes or ())
    return Ligand(codes=codes, count=len(ids), ids=ids)


def _read_polymer(chain: PolymerChain, query: Query, place: EntityPlace) -> Polymer:
    kind, where = cast(PolymerKind, chain.molecule_type), place.where
    sequence, ids = texts.check_sequence(chain.sequence, kind, where), _read_ids(chain, place)
    changes = texts.check_changes(
        [(code, position) for position, code in chain.non_canonical_residues.items()],
        ("the code", "the position"), len(sequence), where, None)
    alignments = {}
    for key, switch in _SWITCHES.items():
        paths = getattr(chain, key)
        if paths is None or query.turns_off(switch) or chain.turns_off(switch):
            continue
        if key not in _ALIGNMENTS[kind]:
            raise InputError(f"{key} is not read for {kind}", where=where, fix="remove it")
        if len(paths) > 1:
            raise InputError(f"{key} names {len(paths)} files", where=where,
                             fix="give one a3m file")
        at = f"{where}, {key}"
        alignment = read_alignment_file(find_file(paths[0], place.folder, at), at)
        alignments[key] = check_alignment(alignment, sequence, kind, where)
    return Polymer(kind, sequence, len(ids), ids, changes,
                   alignments.get(_PAIRED), alignments.get(_MAIN))
