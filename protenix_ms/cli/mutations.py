# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms mutations`: log-odds of substitutions by an ESM-2 encoder, as table and heat map."""

from __future__ import annotations

import argparse
import csv
import heapq
import io
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import ranges
from protenix_ms.cli.embed import add_encoder_arguments, choose_weights
from protenix_ms.cli.report import Console, counting
from protenix_ms.config.encoder import EncoderWeights
from protenix_ms.constants.restypes import AMINO_ACIDS
from protenix_ms.files import replacing
from protenix_ms.io.atomic import make_folder, write_bytes
from protenix_ms.io.protein_sequences import read_proteins
from protenix_ms.io.substitutions import (
    RESULT,
    Scan,
    Substitution,
    VariantTable,
    plan_scans,
    read_variants,
)
from protenix_ms.typing import Array, Float

HEAD = ("name", "variant", "position", "wild_type", "mutant", RESULT)
BEST = 5  # substitutions that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add_encoder_arguments(parser)
    add("--positions", type=ranges("position", 1, 10**9), metavar="10-40,55",
        help="positions to score, counted from 1 (default: those of --variants, else all)")
    add("--score", choices=("masked", "wildtype"), default="masked",
        help="mask each position, one run of the encoder for each; or read all positions from "
        "one run over the sequence as it stands (default %(default)s)")
    add("--variants", type=Path, metavar="TSV",
        help="table with columns name and variant (A42G, or A42G:K50R): sums into variants.tsv")


def run(args: argparse.Namespace) -> int:
    """Score substitutions; 0 done.

    Raises:
        ProtenixError: nothing could start, or no memory.
    """
    proteins = read_proteins(args.input)
    table = None if args.variants is None else read_variants(args.variants, proteins)
    scans = plan_scans(proteins, args.positions, table)
    weights = choose_weights(args)
    weights.require_heads(contacts=False, logits=True)
    make_folder(args.output)
    launch.configure(args.device)
    launch.stop_softly()
    console = Console(args.quiet, args.debug)
    if left_out := {p.name for p in proteins} - {scan.protein.name for scan in scans}:
        console.line(f"nothing to score in {', '.join(sorted(left_out))}")
    for remark in weights.remarks:
        console.line(f"{weights.label}: {remark}")
    start = time.perf_counter()
    scores = _score(args, scans, weights)
    _write(args, scans, scores, table)
    _draw(args, scans, scores, weights.label, console)
    _record(args, scans, weights, time.perf_counter() - start)
    best = heapq.nlargest(BEST, _rows(scans, scores), key=lambda row: row[-1])
    console.line(f"{weights.label}, {args.score}; sequences: {len(scans)}, positions: "
                 f"{sum(len(s.positions) for s in scans)}; results in {args.output}; likeliest: "
                 + ", ".join(f"{row[0]} {row[1]} {row[-1]:+.2f}" for row in best))
    return 0


def _score(
    args: argparse.Namespace, scans: list[Scan], weights: EncoderWeights
) -> list[Float[Array, "_ 20"]]:
    from protenix_ms.esm import load_encoder
    from protenix_ms.esm.mutations import scan_substitutions, sequences_to_encode
    from protenix_ms.predict.embeddings import Wish, memory_to_take, require_memory
    from protenix_ms.runtime.policy import Policy, using

    memory = memory_to_take(weights, args.memory)
    sequences = sequences_to_encode(scans, args.score)
    require_memory(weights, sequences, Wish((), logits=True), memory)
    with (using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)),
          counting("layers", args.quiet) as progress):
        return list(scan_substitutions(load_encoder(weights, memory), scans, args.score, progress))


def _rows(
    scans: Sequence[Scan], scores: Sequence[Float[Array, "_ 20"]]
) -> Iterator[tuple[str, str, int, str, str, float]]:
    """Yield every substitution with its score; a proteome has too many for a list."""
    for scan, array in zip(scans, scores):
        for position, wild, row in zip(scan.positions, scan.wild_types, array):
            for mutant, score in zip(AMINO_ACIDS, row):
                if mutant != wild:
                    yield (scan.protein.name, str(Substitution(wild, position, mutant)), position,
                           wild, mutant, float(score))


def _write(
    args: argparse.Namespace, scans: Sequence[Scan], scores: Sequence[Float[Array, "_ 20"]],
    table: VariantTable | None,
) -> None:
    """Write the table of substitutions, and the one of variants."""
    from protenix_ms.esm.mutations import score_variant

    rows = ((*row[:-1], f"{row[-1]:.5f}") for row in _rows(scans, scores))
    _write_tsv(args.output / "mutations.tsv", HEAD, rows)
    if table is not None:
        place = {scan.protein.name: (scan, array) for scan, array in zip(scans, scores)}
        sums = ((*v.cells, f"{score_variant(v, *place[v.protein]):.5f}") for v in table.variants)
        _write_tsv(args.output / "variants.tsv", (*table.columns, RESULT), sums)


def _write_tsv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
        text.detach()


def _draw(
    args: argparse.Namespace, scans: Sequence[Scan], scores: Sequence[Float[Array, "_ 20"]],
    label: str, console: Console,
) -> None:
    """Draw a heat map for each sequence, named by its number and name."""
    from protenix_ms.predict.plots import can_plot, mutations_png

    if args.no_plots:
        return
    if not can_plot():
        console.line("no pictures: matplotlib is not installed (extra 'plot')")
        return
    for number, (scan, array) in enumerate(zip(scans, scores), 1):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", scan.protein.name)[:100]
        png = mutations_png(array, scan, f"{scan.protein.name}, {args.score}", label)
        write_bytes(args.output / f"heat_map_{number}_{name}.png", png)


def _record(
    args: argparse.Namespace, scans: Sequence[Scan], weights: EncoderWeights, seconds: float
) -> None:
    from protenix_ms.predict.job_folder import write_record

    write_record(args.output / "run.json", {
        "encoder": weights.label, "sha256": weights.digest, "score": args.score,
        "dtype": args.dtype, "seconds": round(seconds, 3),
        "positions": {scan.protein.name: len(scan.positions) for scan in scans}})
