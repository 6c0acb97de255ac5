# SPDX-License-Identifier: Apache-2.0
"""Files of a job: upstream's layout, and per job the ranking and the best model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.own_components import dictionary_of
from protenix_ms.errors import OutputError
from protenix_ms.guidance.validity import COUNTS
from protenix_ms.io.atomic import write_bytes
from protenix_ms.io.confidence_write import (
    choose_suffixes,
    write_full_data,
    write_summary,
    write_table,
)
from protenix_ms.io.mmcif_write import StructureInfo, write_mmcif
from protenix_ms.job import Job, Polymer
from protenix_ms.predict.job_folder import JobFolder
from protenix_ms.predict.predictor import SeedResult
from protenix_ms.predict.reference import QUALITY, Comparison

_DESCRIPTION = 1000  # letters of an entity's description
FROM_SUMMARY = ("ranking_score", "plddt", "ptm", "iptm", "gpde", "has_clash")
# A pair's scores in tables -> their matrices in a summary.
PAIR = {"ipsae": "chain_pair_ipsae_max", "pdockq2": "chain_pair_pdockq2_max",
        "lis": "chain_pair_lis_mean"}
VALIDITY = ("valid", *COUNTS)
INTERFACE = ("interface", *PAIR)
RANKING = ("rank", "seed", "sample", *FROM_SUMMARY, *VALIDITY, *INTERFACE, "file")


def structure_info(
    job: Job, ccd: ComponentDictionary, residues: list[str], title: str
) -> StructureInfo:
    """Collect what the structure files of a job say beside their atoms."""
    kinds, descriptions = {}, {}
    for number, entity in enumerate(job.entities, 1):
        polymer = isinstance(entity, Polymer)
        kinds[str(number)] = entity.kind if polymer else "ligand"
        if not polymer and (entity.smiles or entity.file):
            source = entity.smiles or entity.file.name
            descriptions[str(number)] = source
        elif entity.labels:
            label = ", ".join(dict.fromkeys(filter(None, entity.labels)))
            descriptions[str(number)] = label[:_DESCRIPTION]
    ccd = dictionary_of(job, ccd)
    components = {name: ccd[name] for name in residues if name in ccd}
    return StructureInfo(job.name, title, kinds, components, descriptions, __version__)


def write_seed(
    folder: JobFolder, result: SeedResult, ccd: ComponentDictionary, label: str,
    full_data: str = "auto",
) -> None:
    """Write all files of a seed but its mark.

    Args:
        label: how the structures were made, for titles (model, weights).
        full_data: one of `io.confidence_write.FULL_DATA_CHOICES`.

    Raises:
        OutputError: a file cannot be written.
    """
    residues = sorted(set(result.atoms.res_name.tolist()))
    for rank, sample in enumerate(result.samples):
        title = f"{label}; seed {result.seed}, sample {rank}"
        info = structure_info(result.job, ccd, residues, title)
        path = folder.sample(result.seed, "", rank, ".cif")
        write_mmcif(path, result.atoms, sample.coordinates, sample.plddt, info)
        for suffix in choose_suffixes(full_data, len(sample.full_data["token_asym_id"])):
            path = folder.sample(result.seed, "full_data_", rank, suffix)
            write_full_data(path, sample.full_data)
        path = folder.sample(result.seed, "summary_confidence_", rank, ".json")
        write_summary(path, sample.summary)


def score_pairs(summary: dict) -> dict[str, dict]:
    """Collect the scores of every pair of chains of a summary that was read, by the pair's names.

    Pairs come in the order of `chain_ids`. Those without scores (ligands, ions) are absent.
    """
    names = summary.get("chain_ids", [])
    pairs = combinations(range(len(names)), 2)
    return {f"{names[i]}-{names[j]}": {score: summary[key][i][j] for score, key in PAIR.items()}
            for i, j in pairs if summary[PAIR["ipsae"]][i][j] is not None}


def interface_columns(summary: dict) -> dict:
    """Make the columns of a ranking that tell of interfaces.

    Returns:
        `INTERFACE` of the pair with the highest ipSAE, the first of equal ones, None without any;
        then `ipsae_A-B`, `pdockq2_A-B`, `lis_A-B` of every pair A-B.
    """
    pairs = score_pairs(summary)
    best = max(pairs, key=lambda pair: pairs[pair]["ipsae"], default=None)
    columns = dict.fromkeys(INTERFACE) | {"interface": best} | pairs.get(best, {})
    return columns | {f"{score}_{pair}": value for pair, scores in pairs.items()
                      for score, value in scores.items()}


def energy_columns(summary: dict) -> dict:
    """Make the columns of a ranking that tell of guidance: `energy_before`, the weighted total,
    `energy_before_TERM` of every term, and the same after it; none without guidance."""
    return {f"energy_{when}" + ("" if term == "total" else f"_{term}"): energies[term]
            for when, energies in summary.get("guidance_energy", {}).items()
            for term in sorted(energies, key=lambda term: term != "total")}


def ranking(
    folder: JobFolder, seeds: Sequence[int], rank_by: str = "score",
    known: Comparison | None = None,
) -> list[dict]:
    """Read every sample of finished seeds, best first.

    Args:
        rank_by: "score", or "valid" to put samples without wrong chemistry before all others.
        known: compares samples with a known structure.

    Returns:
        Rows of `RANKING`, `reference.QUALITY` beside a known structure, energies of guidance, and
        the scores of all pairs.

    Raises:
        OutputError: a summary cannot be read.
    """
    rows = []
    for seed in seeds:
        rank = 0
        while (path := folder.sample(seed, "summary_confidence_", rank, ".json")).is_file():
            place = folder.sample(seed, "", rank, ".cif").relative_to(folder.path)
            scores = {"seed": seed, "sample": rank, "file": place.as_posix()}
            quality = known.scores(seed, folder.path / place) if known else {}
            rows.append(quality | _read_summary(path) | scores)
            rank += 1
    rows.sort(key=lambda row: (rank_by == "valid" and not row["valid"], -row["ranking_score"]))
    first = RANKING if known is None else (*RANKING[:3], *QUALITY, *RANKING[3:])
    columns = dict.fromkeys((*first, *(key for row in rows for key in row)))
    return [{key: {**row, "rank": i}.get(key) for key in columns} for i, row in enumerate(rows)]


def _read_summary(path: Path) -> dict:
    """Read the columns that a ranking takes from a summary. Raises OutputError."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        faults = {key: summary.get(key) for key in VALIDITY}
        scores = {key: summary[key] for key in FROM_SUMMARY} | faults
        return scores | energy_columns(summary) | interface_columns(summary)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OutputError(f"this is no summary of a sample ({error})", where=str(path),
                          fix="add --overwrite to make the seed again") from error


def write_ranking(
    folder: JobFolder, seeds: Sequence[int], rank_by: str = "score",
    known: Comparison | None = None,
) -> list[dict]:
    """Write `ranking.csv`, and copies of the best model and its summary at the top.

    Args:
        rank_by, known: see `ranking`.

    Returns:
        The table's rows.

    Raises:
        OutputError: a file cannot be read or written.
    """
    rows = ranking(folder, seeds, rank_by, known)
    if rows:
        write_table(folder.path / "ranking.csv", list(rows[0]), rows)
        seed, sample = rows[0]["seed"], rows[0]["sample"]
        for kind, suffix, name in (("", ".cif", "model.cif"),
                                   ("summary_confidence_", ".json", "summary_confidence.json")):
            best = folder.sample(seed, kind, sample, suffix).read_bytes()
            write_bytes(folder.path / f"{folder.name}_{name}", best)
    return rows
