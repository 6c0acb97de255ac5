# SPDX-License-Identifier: Apache-2.0
"""Writes `report.html`: everything about a finished job on one page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from protenix_ms.errors import InputError
from protenix_ms.files import file_sha256
from protenix_ms.io.atomic import write_text
from protenix_ms.report.document import asset, packed, render
from protenix_ms.report.doubts import branch, job_doubts, sample_doubts
from protenix_ms.report.results import (
    JobResults,
    SampleFiles,
    read_arrays,
    read_json,
    read_results,
)
from protenix_ms.report.structure import Structure, read_structure
from protenix_ms.typing import Array, Float, Int

PAGE = "report.html"
ROOM = 11_200_000  # letters of samples on a page; the best comes whatever it takes
MAP_SIDE = 1536  # most points along a map of pairs; larger ones are averaged over blocks
PAE_STEPS = 8  # per angstrom, so that a byte reaches 31.9
_SUMMARY = (
    "chain_ids", "chain_plddt", "chain_ptm", "chain_iptm", "chain_pair_iptm",
    "chain_pair_ipsae_max", "chain_pair_pae_min", "chain_pair_pdockq2_max", "chain_pair_lis_mean",
    "constraints", "guidance_energy", "has_clash", "disorder", "num_recycles", "gpde", "valid",
    "close_contacts", "wrong_chirality", "wrong_double_bonds", "non_planar_groups",
    "wrong_bond_lengths", "validity", "templates", "ptm", "iptm", "plddt", "ranking_score",
)
_RECORD = ("model", "random_weights", "weights_file", "notes", "chains", "templates",
           "alignments", "versions", "machine", "settings", "input", "ccd_file", "language_model")
CITATION = """\
Protenix-MS, a port of Protenix to MindSpore (Apache-2.0).
Zhang, Y. et al. Protenix-v1: Toward High-Accuracy Open-Source Biomolecular Structure Prediction. \
bioRxiv (2026). doi:10.64898/2026.02.05.703733
Abramson, J. et al. Accurate structure prediction of biomolecular interactions with AlphaFold 3. \
Nature 630, 493-500 (2024). doi:10.1038/s41586-024-07487-w
Structures are drawn by 3Dmol.js: Rego, N. & Koes, D. Bioinformatics 31, 1322-1324 (2015)."""


def write_page(folder: Path) -> Path:
    """Write the page of a finished job into its folder; the same bytes for the same files.

    Raises:
        InputError: the results are half-written, damaged, or of another program.
        OutputError: the page cannot be written.
    """
    results = read_results(folder)
    path = folder / PAGE
    write_text(path, render(results.name, _content(results), ("3Dmol-min.js", "page.js"),
                            "page-body.html"))
    return path


def _content(results: JobResults) -> dict:
    """Collect what the page shows; samples that find no room stay in the ranking alone."""
    shown, contacts, room = [], {}, ROOM
    first = None
    for files in results.samples:
        structure, summary = read_structure(files.structure), read_json(files.summary)
        arrays = read_arrays(files.full_data) if files.full_data else {}
        token = _tokens(structure, arrays, files)
        first = first or (structure, token)
        if len(token) != len(first[1]):
            raise InputError(f"it has {len(token)} atoms, the best sample has {len(first[1])}",
                             where=str(files.structure), fix="run predict again with --overwrite")
        sample = _sample(files, structure, summary, token, arrays)
        contact = packed(_bytes(arrays["contact_probs"] * 255)) if arrays else ""
        size = sum(len(sample[key]) for key in ("cif", "pae")) + len(contact) * (
            contact not in contacts)
        if shown and size > room:
            break
        room -= size
        sample["contacts"] = contacts.setdefault(contact, len(contacts))
        shown.append(sample)
    return {
        "job": results.name, "samples": shown, "contacts": list(contacts),
        "ranking": [files.row for files in results.samples],
        "tokens": describe_tokens(*first), "doubts": list(job_doubts(results.record)),
        "record": {key: results.record[key] for key in _RECORD if key in results.record}
        | {"seeds": dict.fromkeys(branch(results.record, "seeds"))},  # their seconds vary
        "paeSteps": PAE_STEPS, "citation": CITATION, "licence": asset("3Dmol-LICENSE.txt"),
    }


def _sample(
    files: SampleFiles, structure: Structure, summary: dict, token: Int[Array, "a"],
    arrays: Mapping[str, Array],
) -> dict:
    plddt = np.bincount(token, structure.plddt) / np.bincount(token)
    names = [f"{chain} {name}" for chain, name in zip(
        structure.chain[_firsts(token)], token_names(structure, token))]
    return {
        "row": files.row, "turn": structure.view(), "plddt": np.round(plddt, 1).tolist(),
        "summary": {key: summary[key] for key in _SUMMARY if key in summary},
        "doubts": list(sample_doubts(summary, plddt, names)),
        "sha256": file_sha256(files.structure), "cif": packed(structure.text.encode()),
        "pae": packed(_bytes(arrays["token_pair_pae"] * PAE_STEPS)) if arrays else "",
        "fullData": files.full_data.name if files.full_data else "",
    }


def _tokens(
    structure: Structure, arrays: Mapping[str, Array], files: SampleFiles
) -> Int[Array, "a"]:
    """Number the token of every atom; without arrays a residue is a token."""
    if not arrays:
        return structure.residues()
    token = arrays["atom_to_token_idx"].astype(np.int64)
    if len(token) != len(structure.chain):
        raise InputError(f"it is of {len(token)} atoms, the structure has {len(structure.chain)}",
                         where=str(files.full_data), fix="run predict again with --overwrite")
    return token


def _firsts(token: Int[Array, "a"]) -> Int[Array, "n"]:
    return np.unique(token, return_index=True)[1]


def token_names(structure: Structure, token: Int[Array, "a"]) -> list[str]:
    """Name tokens as "ALA 12", and those of one atom with it, as "ATP 1 PG"."""
    first, alone = _firsts(token), np.bincount(token) == 1
    return [f"{c} {n} {a}" if one else f"{c} {n}" for c, n, a, one in zip(
        structure.component[first], structure.number[first], structure.atom[first], alone)]


def describe_tokens(structure: Structure, token: Int[Array, "a"]) -> dict:
    """Describe tokens and chains, which all samples of a job share.

    Returns:
        "names" of tokens, "ofAtom" (packed uint32), and "chains": name, entity, kind, and the
        first token and the one after the last.
    """
    first = _firsts(token)
    chain = structure.chain[first]
    starts = np.flatnonzero(np.r_[True, chain[1:] != chain[:-1]])
    entity = structure.entity[first]
    chains = [{"name": str(chain[a]), "entity": str(entity[a]), "start": int(a), "end": int(b),
               "kind": structure.kinds.get(str(entity[a]), "chain")}
              for a, b in zip(starts, [*starts[1:], len(first)])]
    return {"names": token_names(structure, token), "chains": chains,
            "ofAtom": packed(token.astype("<u4"))}


def _bytes(values: Float[Array, "n n"]) -> bytes:
    """Round values to bytes, averaging blocks where a map would be larger than `MAP_SIDE`."""
    step = -(-len(values) // MAP_SIDE)
    if step > 1:
        edges = np.arange(0, len(values), step)
        size = np.diff([*edges, len(values)])
        values = np.add.reduceat(np.add.reduceat(values, edges, 0), edges, 1)
        values = values / np.outer(size, size)
    return np.clip(np.round(values), 0, 255).astype(np.uint8).tobytes()
