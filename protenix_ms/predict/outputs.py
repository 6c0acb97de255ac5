# SPDX-License-Identifier: Apache-2.0
"""What one job leaves on disk: upstream's layout, and per job the ranking and the best model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from protenix_ms import __version__
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.errors import OutputError
from protenix_ms.io.atomic import write_bytes, write_text
from protenix_ms.io.confidence_write import (
    choose_suffixes,
    write_full_data,
    write_summary,
    write_table,
)
from protenix_ms.io.mmcif_write import StructureInfo, write_mmcif
from protenix_ms.job import Job, Polymer
from protenix_ms.predict.predictor import SeedResult

_DESCRIPTION = 1000  # letters of an entity's description
RANKING = ("rank", "seed", "sample", "ranking_score", "plddt", "ptm", "iptm", "gpde", "has_clash",
           "interface", "ipsae", "pdockq2", "lis", "file")


@dataclass(frozen=True)
class JobFolder:
    """Names and places of a job's results: `<output>/<name>/...`."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / self.name

    def seed(self, seed: int) -> Path:
        return self.path / f"seed_{seed}"

    def sample(self, seed: int, kind: str, rank: int, suffix: str) -> Path:
        """File of a sample; `kind` is "", "summary_confidence_", "full_data_", "confidence_"."""
        return self.seed(seed) / "predictions" / f"{self.name}_{kind}sample_{rank}{suffix}"

    def marker(self, seed: int) -> Path:
        """Written last: its presence means the seed is finished, its text under what settings."""
        return self.seed(seed) / "fingerprint.txt"

    def finished(self, seed: int, fingerprint: str) -> bool:
        """Whether the seed is done under the same fingerprint.

        Raises:
            OutputError: it is done under another one.
        """
        marker = self.marker(seed)
        if not marker.is_file():
            return False
        if marker.read_text(encoding="utf-8").strip() == fingerprint:
            return True
        raise OutputError(
            "results of another input, configuration, weights or version are there",
            where=str(self.seed(seed)),
            fix="add --overwrite to redo them, or choose another --output",
        )


def structure_info(
    job: Job, ccd: ComponentDictionary, residues: list[str], title: str
) -> StructureInfo:
    """What the structure files of a job say beside their atoms."""
    kinds, descriptions = {}, {}
    for number, entity in enumerate(job.entities, 1):
        polymer = isinstance(entity, Polymer)
        kinds[str(number)] = entity.kind if polymer else "ligand"
        if not polymer and (entity.smiles or entity.file):
            source = entity.smiles or entity.file.name
            descriptions[str(number)] = source
        elif entity.labels:
            label = ", ".join(dict.fromkeys(filter(None, entity.labels)))[:_DESCRIPTION]
            descriptions[str(number)] = re.sub("[^ -~]", "?", label)  # CIF is printable ASCII
    components = {name: ccd[name] for name in residues if name in ccd}
    return StructureInfo(job.name, title, kinds, components, descriptions, __version__)


def write_seed(
    folder: JobFolder, result: SeedResult, ccd: ComponentDictionary, label: str, fingerprint: str,
    full_data: str = "auto",
) -> None:
    """All files of a seed, the finished mark last.

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
    write_text(folder.marker(result.seed), fingerprint + "\n")


def forget_seed(folder: JobFolder, seed: int) -> None:
    """Before redoing a seed: remove its finished mark and the samples it had."""
    folder.marker(seed).unlink(missing_ok=True)
    predictions = folder.sample(seed, "", 0, "").parent
    for path in predictions.iterdir() if predictions.is_dir() else ():
        if path.name.startswith(f"{folder.name}_"):
            path.unlink()


def choose_interface(summary: dict) -> dict:
    """Choose the pair of chains with the highest ipSAE of a summary that was read.

    Returns:
        Its names and the pair's scores, as columns of `RANKING`. The first of equal pairs wins;
        without two polymer chains all are None.
    """
    values = summary.get("chain_pair_ipsae_max", [])
    pairs = [(-values[i][j], i, j) for i in range(len(values)) for j in range(i + 1, len(values))
             if values[i][j] is not None]
    if not pairs:
        return dict.fromkeys(("interface", "ipsae", "pdockq2", "lis"))
    _, i, j = min(pairs)
    names = summary["chain_ids"]
    return {"interface": f"{names[i]}-{names[j]}", "ipsae": values[i][j],
            "pdockq2": summary["chain_pair_pdockq2_max"][i][j],
            "lis": summary["chain_pair_lis_mean"][i][j]}


def ranking(folder: JobFolder, seeds: list[int]) -> list[dict]:
    """Every finished sample of the seeds, best first, as rows of `RANKING`; read from disk."""
    rows = []
    for seed in seeds:
        if not folder.marker(seed).is_file():
            continue
        rank = 0
        while (path := folder.sample(seed, "summary_confidence_", rank, ".json")).is_file():
            summary = json.loads(path.read_text(encoding="utf-8"))
            place = folder.sample(seed, "", rank, ".cif").relative_to(folder.path)
            rows.append({**summary, **choose_interface(summary), "seed": seed, "sample": rank,
                         "file": place.as_posix()})
            rank += 1
    rows.sort(key=lambda row: -row["ranking_score"])
    return [{key: {**row, "rank": i}[key] for key in RANKING} for i, row in enumerate(rows)]


def write_ranking(folder: JobFolder, seeds: list[int]) -> list[dict]:
    """`ranking.csv`, and copies of the best model and its summary at the top; the table's rows."""
    rows = ranking(folder, seeds)
    if rows:
        write_table(folder.path / "ranking.csv", RANKING, rows)
        seed, sample = rows[0]["seed"], rows[0]["sample"]
        for kind, suffix, name in (("", ".cif", "model.cif"),
                                   ("summary_confidence_", ".json", "summary_confidence.json")):
            best = folder.sample(seed, kind, sample, suffix).read_bytes()
            write_bytes(folder.path / f"{folder.name}_{name}", best)
    return rows
