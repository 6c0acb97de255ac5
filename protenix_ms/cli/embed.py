# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms embed`: sequences in, vectors, contacts and logits of an ESM-2 encoder out."""

from __future__ import annotations

import argparse
import csv
import io
import time
from pathlib import Path

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared, gibibytes, whole
from protenix_ms.cli.report import Console, counting
from protenix_ms.config.encoder import RELEASED, EncoderWeights, number_layers
from protenix_ms.errors import ConfigError
from protenix_ms.io.atomic import make_folder, write_bytes, write_text
from protenix_ms.io.protein_sequences import ProteinSequence, read_proteins
from protenix_ms.job import MAX_SEED
from protenix_ms.predict.encoders import find_encoder, open_weights, random_weights
from protenix_ms.predict.settings import require_device

SUMMARY = ("name", "residues", "file")


def layer_numbers(text: str) -> tuple[int, ...]:
    """Read ``33,-1``."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of layers; write for example 33,-1") from None


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command of the encoder takes."""
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="FASTA|JSON|DIR",
        help="every record of a FASTA file, every protein of a job, or a folder of such files")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--model", required=True, metavar="NAME|FILE",
        help=f"an encoder: {', '.join(RELEASED)}; or its file, or a folder of transformers")
    add("--random-weights", type=whole(0, MAX_SEED), metavar="SEED",
        help="numbers by rule instead of weights: the results mean nothing")
    add("--random-layers", type=whole(1), metavar="N", help="fewer layers, for a quick test")
    add("--memory", type=gibibytes, metavar="GIB",
        help="memory to take: below the encoder's size its layers are read one at a time")
    add("--no-plots", action="store_true", help="draw no pictures")
    add("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32",
        help="numbers of the products; bf16 on Ascend only (default %(default)s)")
    add_shared(parser, "--device", "--quiet")


def choose_weights(args: argparse.Namespace) -> EncoderWeights:
    """Open the weights that the arguments name, or make them by rule.

    Raises:
        ProtenixError: a device, numbers or weights that cannot be had.
    """
    if args.dtype == "fp16":
        raise ConfigError("fp16 overflows in the residual stream of large encoders",
                          where="--dtype", fix="use bf16 on Ascend; embed also has --store fp16")
    require_device(args.device, args.dtype)
    if args.random_weights is None:
        return open_weights(find_encoder(args.model))
    return random_weights(args.model, args.random_weights, args.random_layers)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add_encoder_arguments(parser)
    add("--layers", type=layer_numbers, default=(-1,), metavar="33,-1",
        help="representations: 0 the embedding, the last one normalised, negative ones from the "
        "end (default -1)")
    add("--pool", choices=("residues", "mean", "both"), default="residues",
        help="a vector for each residue, their mean, or both (default %(default)s)")
    add("--contacts", action="store_true", help="also contact probabilities, with pictures")
    add("--logits", action="store_true", help="also scores of every token at every residue")
    add("--store", choices=("fp32", "fp16"), default="fp32",
        help="numbers in the files (default %(default)s)")
    add("--one-file", action="store_true", help="also all arrays in embeddings.safetensors")


def run(args: argparse.Namespace) -> int:
    """Encode every sequence that is not there yet; 0 done.

    Raises:
        ProtenixError: nothing could start, or no memory.
    """
    proteins = read_proteins(args.input)
    weights = choose_weights(args)
    number_layers(args.layers, weights.sizes.layers)
    weights.require_heads(args.contacts, args.logits)
    make_folder(args.output)
    launch.configure(args.device)
    launch.stop_softly()
    return _embed(args, proteins, weights, Console(args.quiet, args.debug))


def _embed(
    args: argparse.Namespace, proteins: list[ProteinSequence], weights: EncoderWeights,
    console: Console,
) -> int:
    from protenix_ms.predict.embeddings import EmbeddingStore, Wish
    from protenix_ms.predict.job_folder import peak_memory_gb, write_record
    from protenix_ms.runtime.policy import Policy, using

    wish = Wish(args.layers, args.pool, args.contacts, args.logits, args.store, args.dtype)
    store = EmbeddingStore(args.output, weights, wish)
    for remark in weights.remarks:
        console.line(f"{weights.label}: {remark}")
    console.line(f"{len(proteins)} sequence{'s' * (len(proteins) != 1)}, {weights.label}: "
                 f"{weights.sizes.layers} layers, width {weights.sizes.width}")
    start = time.perf_counter()
    with (using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)),
          counting("layers", args.quiet) as progress):
        count = store.fill([p.sequence for p in proteins], args.memory, progress)
    seconds = time.perf_counter() - start
    _write_results(args, proteins, store, console)
    record = {"encoder": weights.label, "sha256": weights.digest, "wish": store.mark(),
              "sequences": len(proteins), "encoded": count.encoded, "there_already": count.there,
              "residues_encoded": count.residues, "seconds": round(seconds, 3),
              "residues_per_second": round(count.residues / seconds, 1)}
    write_record(args.output / "run.json", record)
    console.line(f"{count.encoded} encoded ({count.residues / seconds:.0f} residues a second), "
                 f"{count.there} there already, peak memory {peak_memory_gb():.2f} GB, "
                 f"results in {args.output}")
    return 0


def _write_results(
    args: argparse.Namespace, proteins: list[ProteinSequence], store, console: Console
) -> None:
    """Write the summary, the one file, and the pictures."""
    from protenix_ms.predict.embeddings import read_arrays, write_one_file
    from protenix_ms.predict.plots import can_plot, contacts_png

    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(SUMMARY)
    for protein in proteins:
        path = store.path(protein.sequence)
        writer.writerow((protein.name, len(protein.sequence), path.name))
    write_text(args.output / "summary.tsv", table.getvalue())
    if args.one_file:
        write_one_file(args.output / "embeddings.safetensors",
                       {p.name: store.path(p.sequence) for p in proteins})
    if args.contacts and not args.no_plots:
        if not can_plot():
            console.line("no pictures: matplotlib is not installed (extra 'plot')")
            return
        for protein in proteins:
            path = store.path(protein.sequence)
            png = contacts_png(read_arrays(path)["contacts"], protein.name, store.weights.label)
            write_bytes(path.with_suffix(".png"), png)
