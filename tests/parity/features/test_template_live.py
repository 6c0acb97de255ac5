# SPDX-License-Identifier: Apache-2.0
"""Templates of hits against upstream's own code run here and now, on deposited structures."""

import dataclasses
import datetime
import gzip
import importlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.features.optional import NUM_TEMPLATES
from protenix_ms.features.template import merged_template_features
from protenix_ms.features.template_alignment import align_pair
from protenix_ms.features.template_choice import TemplateOptions, choose_templates
from protenix_ms.io.template_hits import read_hits
from protenix_ms.io.template_structure import TemplateFile
from protenix_ms.job import Polymer

LATEST = datetime.date(2021, 9, 30)
# Altered pieces of chains of these entries ask for templates; hits name chains of all entries.
QUERIES = ("1ay7", "1k6p", "5zng", "3o5r", "1mol")
NO_PROTEIN = ("1bna", "4gxy")


class OurAligner:
    """Stands in for the program where it is not installed; its alignments are tested elsewhere."""

    def __init__(self, **_) -> None:
        pass

    def align(self, sequences: list[str]) -> list[str]:
        query, target = sequences
        rows, end = ["", ""], 0
        for letter, place in zip(query, align_pair(query, target).tolist()):
            for other in range(end, place):
                rows = [rows[0] + "-", rows[1] + target[other]]
            rows = [rows[0] + letter, rows[1] + (target[place] if place >= 0 else "-")]
            end = max(end, place + 1)
        return [rows[0] + "-" * (len(target) - end), rows[1] + target[end:]]


@pytest.fixture(scope="module")
def folder(deposits, tmp_path_factory) -> Path:
    """Unpacked structures, and the table of their dates."""
    path = tmp_path_factory.mktemp("structures")
    sources = [deposits]
    if "PROTENIX_MS_DATA_SEARCH" in os.environ:
        sources.append(Path(os.environ["PROTENIX_MS_DATA_SEARCH"]) / "mmcif")
    dates = {}
    for packed in sorted(file for source in sources for file in source.glob("*.cif.gz")):
        name = packed.name.removesuffix(".cif.gz")
        text = gzip.decompress(packed.read_bytes()).decode()
        (path / f"{name}.cif").write_text(text)
        date = None if name in NO_PROTEIN else TemplateFile(text, name).release_date
        dates[name] = {"release_date": str(date or "2000-01-01")}
    (path / "release_date_cache.json").write_text(json.dumps(dates))
    return path


@pytest.fixture(scope="module")
def upstream(folder):
    """Upstream's featurizer of hits, as `InferenceDataset` makes it."""
    utils = importlib.import_module("protenix.data.template.template_utils")
    if not shutil.which("kalign"):
        utils.Kalign = OurAligner
    return utils.TemplateHitFeaturizer(
        mmcif_dir=str(folder), max_hits=NUM_TEMPLATES, kalign_binary_path="kalign",
        max_template_date=str(LATEST), _max_template_candidates_num=20,
        release_dates_path=str(folder / "release_date_cache.json"))


def altered(sequence: str, rng: np.random.Generator) -> str:
    """A piece of a sequence with a tenth of its residues changed and a few left out."""
    letters = np.array(list(sequence[int(rng.integers(8)):].replace("X", "G")))
    change = rng.random(len(letters)) < 0.1
    letters[change] = rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), change.sum())
    return "".join(np.delete(letters, rng.integers(0, len(letters), 3)))


def header(name: str, size: int) -> str:
    return f">{name}/1-{size} [subseq from] mol:protein length:{size}  TITLE"


def hit_file(folder: Path, path: Path, query: str, rng: np.random.Generator) -> Path:
    """Write hits of all chains, in random order; some are absent, short, doubled or misnamed."""
    size = len(query)
    rows = []
    for file in sorted(folder.glob("*.cif")):
        if file.stem in NO_PROTEIN:
            continue
        structure = TemplateFile(file.read_text(), file.stem)
        for name in structure.names:
            letters = (structure.chain(name).sequence * (size // 10 + 2))[:size]
            rows.append((header(f"{file.stem}_{name}", size), letters))
    rows += [(header("102m_Z", size), "W" * size), (header("9zzz_A", size), "H" * size),
             (header("1bna_A", size), "F" * size), (header("1aki_A", size), query),
             (header("1k1a_A", size), "K" * (size // 20) + "-" * (size - size // 20)),
             (header("1mol_A", size), rows[0][1]), (">1mol_A mol:na length:4  DNA", "ACGT")]
    order = rng.permutation(len(rows))
    path.write_text("".join(f"{rows[i][0]}\n{rows[i][1]}\n" for i in order))
    return path


@pytest.mark.parametrize("entry", QUERIES)
def test_templates_of_hits_are_upstreams(entry, folder, upstream, tmp_path):
    parser = importlib.import_module("protenix.data.template.template_parser")
    assembly = importlib.import_module("protenix.data.template.template_featurizer")
    rng = np.random.default_rng(sum(entry.encode()))
    structure = TemplateFile((folder / f"{entry}.cif").read_text(), entry)
    query = altered(structure.chain(structure.names[0]).sequence, rng)
    path = hit_file(folder, tmp_path / "hits.a3m", query, rng)
    hits = parser.HmmsearchA3MParser.parse(query, path.read_text(), skip_first=False)
    theirs = upstream.get_templates("", query, hits)[0].features
    ours = choose_templates(Polymer("protein", query, templates=path),
                            TemplateOptions(folder=folder, latest=LATEST), True)
    assert len(theirs) == len(ours.templates) == NUM_TEMPLATES
    for one, other in zip(theirs, ours.templates):
        np.testing.assert_array_equal(one["template_aatype"], other.restype)
        np.testing.assert_array_equal(one["template_all_atom_masks"] > 0, other.mask)
        np.testing.assert_array_equal(one["template_all_atom_positions"], other.positions)
    info = {0: {"chain_id": "A", "entity_id": 0, "sequence": query, "templates": theirs,
                "chain_entity_type": "polypeptide(L)"}}
    n = np.arange(len(query))
    expected = assembly.TemplateFeatureAssemblyLine(NUM_TEMPLATES).assemble(info, n)
    features = merged_template_features([(len(query), ours.templates)], 0 * n, n + 1)
    for name, value in expected.as_protenix_dict().items():
        np.testing.assert_array_equal(features[name], value, err_msg=name)


def test_hits_are_read_as_upstream_reads_them(golden):
    parser = importlib.import_module("protenix.data.template.template_parser")
    folder = golden / "features"
    if not (folder / "template_hhr").is_dir():
        pytest.skip(f"no recording of templates in {golden}: set PROTENIX_MS_GOLDEN")
    path = folder / "template_hhr" / "hba_human.hhr"
    pairs = [(path, parser.HHRParser.parse(path.read_text()))]
    path = folder / "template_hmmsearch" / "monellin_hmmsearch.a3m"
    text = path.read_text()
    pairs.append((path, parser.HmmsearchA3MParser.parse("X" * 94, text, skip_first=False)))
    for file, theirs in pairs:
        ours = read_hits(file).hits
        assert len(ours) == len(theirs) > 1
        for one, other in zip(ours, map(dataclasses.asdict, theirs)):
            assert other["name"].startswith(one.name)
            assert (one.aligned, one.sum_probs) == (other["aligned_cols"], other["sum_probs"] or 0)
            assert one.sequence == other["hit_sequence"].replace("-", "")
            if file.suffix == ".hhr":
                both = [(q, h) for q, h in zip(other["indices_query"], other["indices_hit"])
                        if q >= 0 and h >= 0]
                assert list(zip(one.query_positions, one.hit_positions)) == both
