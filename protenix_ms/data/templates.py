# SPDX-License-Identifier: Apache-2.0
"""Templates of training examples: hits of the entries' sequences, structures from a folder.

Upstream: `TemplateFeaturizer` of the stage "train". A template must be two months older than the
entry, and of a predicted structure older than the data its predictor learned from.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protenix_ms.data.entry import SUFFIX, Entry, read_about
from protenix_ms.errors import InputError
from protenix_ms.features.template import merged_template_features
from protenix_ms.features.template_choice import (
    SHORTEST_TEMPLATED,
    Template,
    TemplateOptions,
    draw_templates,
)
from protenix_ms.features.template_folder import read_folder
from protenix_ms.features.tokens import TokenTable
from protenix_ms.io.atomic import write_text
from protenix_ms.io.json_model import parse_json
from protenix_ms.io.template_hits import HIT_SUFFIXES, read_hits
from protenix_ms.io.text_file import read_text
from protenix_ms.typing import Array, Shaped

TEMPLATES = "templates.json"  # of prepared data
SEQUENCES = "seq_to_pdb_index.json"  # upstream's table: sequence -> folder of its hits
_IN_FOLDERS = ("hmmsearch.a3m", "concat.hhr")
_OLDER_BY = datetime.timedelta(days=60)
_BEFORE_DISTILLATION = datetime.date(2018, 4, 30)
_PROTEIN = "polypeptide(L)"


@dataclass(frozen=True)
class TrainingTemplates:
    """Where the template hits of sequences are, and the structures they name."""

    hits: dict[str, Path]
    structures: Path

    def draw(
        self, sequence: str, latest: datetime.date, rng: np.random.Generator
    ) -> tuple[Template, ...]:
        """Draw templates of a protein that were released until a date."""
        if sequence not in self.hits or len(sequence) < SHORTEST_TEMPLATED:
            return ()
        options = TemplateOptions(folder=self.structures, latest=latest)
        return draw_templates(sequence, self.hits[sequence], options, rng)


def crop_template_features(
    entry: Entry, tokens: TokenTable, entities: Shaped[Array, "n"], templates: TrainingTemplates,
    rng: np.random.Generator, distillation: bool,
) -> dict[str, Array]:  # fmt: skip
    """Make the template features of a crop; copies of an entity share their templates.

    Args:
        entities: label entity of every token.

    Raises:
        InputError: hits that are unusable.
    """
    latest = datetime.date.fromisoformat(entry.release_date) - _OLDER_BY
    latest = min(latest, _BEFORE_DISTILLATION) if distillation else latest
    _, first, index = np.unique(tokens.asym_id, return_index=True, return_inverse=True)
    drawn: dict[str, tuple[int, tuple[Template, ...]]] = {}
    for entity in dict.fromkeys(entities[first].tolist()):
        sequence = entry.sequences.get(entity, "X")
        protein = entry.polymers.get(entity) == _PROTEIN
        own = templates.draw(sequence, latest, rng) if protein else ()
        drawn[entity] = len(sequence), own
    chains = [drawn[entity] for entity in entities[first].tolist()]
    return merged_template_features(chains, index, tokens.residue_index)


def write_templates(
    hits: Path, structures: Path, entries: Iterable[Path], output: Path
) -> tuple[int, int]:
    """List the hit files of the entries' proteins, in upstream's layout or named by entity.

    Args:
        hits: holds `<entry>_<entity>.a3m` or `.hhr`; or upstream's table `SEQUENCES` (or has it
            in its neighbour `common`), and `<number>/hmmsearch.a3m` or `concat.hhr`.
        structures: see `TemplateFolder`.
        entries: prepared files.
        output: folder of the prepared data.

    Returns:
        Number of protein sequences with hits, and of all protein sequences.

    Raises:
        InputError: no such folders, or a hit file that is none.
    """
    read_folder(structures)
    if not hits.is_dir():
        raise InputError("there is no such folder of template hits", where=str(hits),
                         fix="correct --template-hits")
    table = _table(hits)
    wanted: dict[str, Path | None] = {}
    for path in entries:
        about = read_about(path)
        for entity, sequence in about["sequences"].items():
            if about["polymers"].get(entity) == _PROTEIN and not wanted.get(sequence):
                stem = f"{path.name.removesuffix(SUFFIX)}_{entity}"
                wanted[sequence] = _hit_file(hits, stem, table.get(sequence))
    listed = {sequence: path.resolve() for sequence, path in wanted.items() if path}
    for path in listed.values():
        read_hits(path)
    content = {"structures": str(structures.resolve()),
               "hits": {sequence: str(path) for sequence, path in sorted(listed.items())}}
    write_text(output / TEMPLATES, json.dumps(content, indent=1) + "\n")
    return len(listed), len(wanted)


def _table(hits: Path) -> dict[str, object]:
    """Read upstream's table of sequences, empty where there is none."""
    places = [hits / SEQUENCES, hits.parent / "common" / SEQUENCES]
    path = next((place for place in places if place.is_file()), None)
    table = parse_json(read_text(path), str(path)) if path else {}
    if not isinstance(table, dict):
        raise InputError("the table is not an object", where=str(path), fix="correct or remove it")
    return table


def _hit_file(hits: Path, stem: str, number: object) -> Path | None:
    """Find the hits of a sequence."""
    places = [hits / f"{stem}{suffix}" for suffix in HIT_SUFFIXES]
    if number is not None:
        places += [hits / str(number) / name for name in _IN_FOLDERS]
    return next((place for place in places if place.is_file()), None)


def read_templates(output: Path) -> TrainingTemplates | None:
    """Read where the templates of prepared data are, None when it has none."""
    path = output / TEMPLATES
    if not path.exists():
        return None
    table = json.loads(path.read_text())
    return TrainingTemplates({s: Path(p) for s, p in table["hits"].items()},
                             Path(table["structures"]))
