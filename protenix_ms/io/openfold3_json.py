# SPDX-License-Identifier: Apache-2.0
"""OpenFold3's queries: ``{"queries": {name: {"chains": [...]}}}``, rewritten as Protenix jobs."""

from __future__ import annotations

from typing import Any

from protenix_ms.errors import InputError
from protenix_ms.io.json_field import Field

_POLYMERS = {"protein": "proteinChain", "rna": "rnaSequence", "dna": "dnaSequence"}
_SHARED = ("molecule_type", "chain_ids", "description")
_LIGAND = ("ccd_codes", "smiles", "sdf_file_path")
_ALIGNMENTS = (  # OpenFold3's files, our key, the switch that turns them off
    ("main_msa_file_paths", "unpairedMsaPath", "use_main_msas"),
    ("paired_msa_file_paths", "pairedMsaPath", "use_paired_msas"),
)
_SWITCHES = ("use_msas", "use_main_msas", "use_paired_msas", "use_templates")


def is_openfold3(field: Field) -> bool:
    """Tell whether a JSON document is a set of OpenFold3 queries."""
    return isinstance(field.value, dict) and "queries" in field.value


def rewrite_openfold3(document: Field) -> list[Field | InputError]:
    """Rewrite every query as a job of a Protenix JSON, or say why it has no counterpart there.

    Raises:
        InputError: no queries, or an unknown field beside them.
    """
    _refuse_others(document, "queries", "seeds")
    queries = document.require("queries")
    queries.expect(dict)
    if not queries.value:
        raise queries.fail("queries is empty", "add a query")
    seeds = {"modelSeeds": document.value["seeds"]} if document.get("seeds").given else {}
    jobs: list[Field | InputError] = []
    for name, query in queries.value.items():
        place = Field(query, f"{document.where}, query {name!r}", "the query")
        try:
            job = {"name": name, "sequences": _rewrite_chains(place), **seeds}
            jobs.append(Field(job, place.where, name))
        except InputError as error:
            jobs.append(error)
    return jobs


def _rewrite_chains(query: Field) -> list[dict[str, Any]]:
    query.expect(dict)
    _refuse_others(query, "query_name", "chains", *_SWITCHES)
    off = {key for key in _SWITCHES if query.value.get(key) is False}
    chains = enumerate(query.require("chains").items(), 1)
    return [_rewrite_chain(chain.at(f"chain {i}"), off) for i, chain in chains]


def _rewrite_chain(chain: Field, off: set[str]) -> dict[str, Any]:
    """Rewrite a chain as an entity; `off` are the switches that the query turns off."""
    kind = chain.require("molecule_type").text().lower()
    names = chain.require("chain_ids")
    ids = [names.value] if isinstance(names.value, str) else [n.text() for n in names.items()]
    copies = {"count": len(ids), "id": ids}
    if kind == "ligand":
        _refuse_others(chain, *_SHARED, *_LIGAND)
        given = [key for key in _LIGAND if chain.get(key).given]
        if len(given) != 1:
            raise chain.fail(f"a ligand has exactly one of {', '.join(_LIGAND)}", "keep one")
        value = chain.get(given[0])
        if given[0] == "ccd_codes":
            codes = [value] if isinstance(value.value, str) else list(value.items())
            return {"ligand": {"ligand": "CCD_" + "_".join(c.text() for c in codes), **copies}}
        prefix = "FILE_" if given[0] == "sdf_file_path" else ""
        return {"ligand": {"ligand": prefix + value.text(), **copies}}
    if kind not in _POLYMERS:
        raise chain.fail(f"molecule_type is {kind[:40]!r}",
                         f"use {', '.join([*_POLYMERS, 'ligand'])}")
    files_keys = [key for key, *_ in _ALIGNMENTS]
    _refuse_others(chain, *_SHARED, "sequence", "non_canonical_residues", *files_keys, *_SWITCHES)
    off = off | {key for key in _SWITCHES if chain.value.get(key) is False}
    entity = {"sequence": chain.require("sequence").text(), **copies}
    changes = chain.get("non_canonical_residues")
    if changes.given:
        changes.expect(dict)
        keys = (("ptmType", "ptmPosition") if kind == "protein"
                else ("modificationType", "basePosition"))
        entity["modifications"] = [
            {keys[0]: f"CCD_{code}", keys[1]: position}
            for position, code in changes.value.items()
        ]
    for key, ours, switch in _ALIGNMENTS:
        files = chain.get(key)
        if files.given and not off & {"use_msas", switch}:
            listed = [files] if isinstance(files.value, str) else list(files.items())
            if len(listed) > 1:
                raise chain.fail(f"{key} names {len(listed)} files", "give one a3m file")
            entity[ours] = listed[0].text()
    return {_POLYMERS[kind]: entity}


def _refuse_others(field: Field, *known: str) -> None:
    """Refuse fields that would be lost."""
    for key, value in field.value.items():
        if key not in known and value not in (None, [], {}):
            raise field.fail(f"{key[:40]!r} of OpenFold3 is not read", "write this job as a "
                             "Protenix or AlphaFold 3 JSON")
