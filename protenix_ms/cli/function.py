# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms function`: train a head that annotates proteins, use it, judge it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import Parser, above_zero, share, whole
from protenix_ms.cli.embed import add_encoder_arguments, choose_weights
from protenix_ms.cli.report import Console, counting, table
from protenix_ms.config.encoder import EncoderWeights
from protenix_ms.errors import CheckpointError, ConfigError, InputError, OutputError
from protenix_ms.files import replacing
from protenix_ms.io.annotations import (
    LabelledProtein,
    join_labels,
    prediction_lines,
    read_labels,
)
from protenix_ms.io.atomic import make_folder, write_bytes, write_text
from protenix_ms.io.protein_sequences import read_proteins
from protenix_ms.io.vocabulary import Vocabulary, build_vocabulary, read_vocabulary
from protenix_ms.job import MAX_SEED
from protenix_ms.typing import Array

if TYPE_CHECKING:
    from protenix_ms.metrics.annotation import AnnotationScores

HEAD, TRAINING, PREDICTIONS = "head.safetensors", "training", "predictions.tsv"
METRICS = "metrics.tsv"
WEIGHTINGS = ("none", "inverse")
Scores = Mapping[str, "AnnotationScores"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three commands and their arguments."""
    parser.description = "Annotate proteins with terms by a head on an ESM-2 encoder."
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION",
                                     parser_class=Parser, help="train, predict or evaluate")
    train = commands.add_parser("train", help="train a head on labelled sequences")
    add_encoder_arguments(train)
    _add_labels(train, "of the training")
    add = train.add_argument
    add("--valid-split", metavar="NAME", help="split of --labels by which the best epoch is chosen")
    add("--ontology", default="flat", metavar="OBO|ec|flat", help="which term implies which: an "
        "OBO file, EC numbers, or none (default %(default)s)")
    add("--vocabulary", type=Path, metavar="TSV",
        help="terms of the head, instead of those of the labels")
    add("--unfreeze", type=whole(0), default=0, metavar="K",
        help="the last K layers of the encoder learn, too (default %(default)s)")
    add("--hidden", type=whole(1), default=512, metavar="N", help="hidden channels (default 512)")
    add("--epochs", type=whole(1), default=60, metavar="N", help="default %(default)s")
    add("--batch", type=whole(1), default=64, metavar="N",
        help="proteins of an update (default 64)")
    add("--rate", type=above_zero, default=1e-3, metavar="X", help="learning rate (default 0.001)")
    add("--dropout", type=share, default=0.3, metavar="X", help="default %(default)s")
    add("--class-weights", choices=WEIGHTINGS, default="none",
        help="inverse: rare terms weigh more, by 1 / sqrt(frequency) (default %(default)s)")
    add("--seed", type=whole(0, MAX_SEED), default=0, metavar="N", help="default %(default)s")
    add("--overwrite", action="store_true", help="train again where a run has finished")
    predict = commands.add_parser("predict", help="terms of sequences, in CAFA's format")
    judge = commands.add_parser("evaluate", help="Fmax, Smin, AUPR beside simple methods")
    for command in (predict, judge):
        add_encoder_arguments(command)
        command.add_argument("--run", type=Path, required=True, metavar="RUN", dest="folder",
                             help="the --output of `function train`")
    _add_labels(judge, "of the evaluation")


def _add_labels(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--labels", type=Path, required=True, metavar="TSV",
                        help="lines of name and terms (commas between), or name, split and terms")
    parser.add_argument("--split", metavar="NAME", help=f"split of --labels {what}")


def run(args: argparse.Namespace) -> int:
    """Run one of the three; 0 done.

    Raises:
        ProtenixError: nothing could start, or no memory.
    """
    return {"train": _train, "predict": _predict, "evaluate": _evaluate}[args.action](args)


def _labelled(args: argparse.Namespace, split: str | None) -> list[LabelledProtein]:
    labels = read_labels(args.labels, split)
    return join_labels(read_proteins(args.input), labels, split, str(args.labels))


def _start(args: argparse.Namespace) -> tuple[EncoderWeights, Console]:
    """Open the encoder, make the output's folder, and set MindSpore up."""
    weights, console = choose_weights(args), Console(args.quiet, args.debug)
    make_folder(args.output)
    launch.configure(args.device)
    launch.stop_softly()
    for remark in weights.remarks:
        console.line(f"{weights.label}: {remark}")
    return weights, console


def _require_run(folder: Path) -> None:
    """Refuse a folder without a finished training. Raises CheckpointError."""
    if not (folder / HEAD).is_file():
        raise CheckpointError(f"there is no {HEAD}: no training has finished here",
                              where=str(folder), fix="give the --output of `function train`, or "
                              "run that again")


def _train(args: argparse.Namespace) -> int:
    proteins = _labelled(args, args.split)
    valid = _labelled(args, args.valid_split) if args.valid_split else []
    vocabulary = _vocabulary(args, [p.terms for p in (*proteins, *valid)])
    weights, console = _start(args)
    if args.unfreeze > weights.sizes.layers:
        raise ConfigError(f"{args.unfreeze} layers are to learn, the encoder has "
                          f"{weights.sizes.layers}", where="--unfreeze", fix="give fewer")
    from protenix_ms.predict.function import write_head
    from protenix_ms.train.function import STATE

    settings = {key: getattr(args, key) for key in (
        "epochs", "batch", "rate", "dropout", "class_weights", "unfreeze", "hidden", "seed")}
    mark = json.dumps([settings, weights.digest, list(vocabulary.terms), [
        [[p.protein.sequence, p.terms] for p in group] for group in (proteins, valid)]])
    if (args.output / HEAD).exists() and not args.overwrite:
        if (args.output / f"{TRAINING}.json").read_text(encoding="utf-8") == mark:
            console.line(f"{args.output}: the training has finished already")
            return 0
        raise OutputError("a head of another training is there", where=str(args.output),
                          fix="add --overwrite, or choose another --output")
    (args.output / HEAD).unlink(missing_ok=True)
    write_text(args.output / f"{TRAINING}.json", mark)
    write_text(args.output / f"{TRAINING}.fasta", "".join(
        f">{p.protein.name}\n{p.protein.sequence}\n" for p in proteins))
    write_text(args.output / f"{TRAINING}.tsv", "".join(
        f"{p.protein.name}\t{','.join(p.terms)}\n" for p in proteins if p.terms))
    start = time.perf_counter()
    arrays, log = _fit(args, weights, vocabulary, (proteins, valid), mark, console)
    write_text(args.output / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log))
    write_head(args.output, arrays, vocabulary, weights.digest, args.unfreeze)
    (args.output / STATE).unlink(missing_ok=True)
    _record(args, weights, start, {"proteins": len(proteins), "terms": len(vocabulary), **settings})
    console.line(f"{len(proteins)} proteins, {len(vocabulary)} terms: head in {args.output}")
    return 0


def _vocabulary(args: argparse.Namespace, labels: list[tuple[str, ...]]) -> Vocabulary:
    """Read or build the head's terms. Raises InputError, ConfigError."""
    if args.vocabulary is not None:
        return read_vocabulary(args.vocabulary)
    if args.ontology not in ("flat", "ec") and not Path(args.ontology).is_file():
        raise ConfigError(f"{args.ontology!r} is neither ec, flat nor an OBO file",
                          where="--ontology", fix="check the path")
    vocabulary, renamed = build_vocabulary(labels, args.ontology, str(args.labels))
    for i, terms in enumerate(labels):
        labels[i] = tuple(renamed.get(term, term) for term in terms)
    return vocabulary


def _fit(
    args: argparse.Namespace, weights: EncoderWeights, vocabulary: Vocabulary,
    groups: Sequence[list[LabelledProtein]], mark: str, console: Console,
) -> tuple[dict[str, Array], list[dict]]:
    """Train, and return the head's weights and a line for every epoch."""
    import hashlib

    from protenix_ms.esm import load_encoder
    from protenix_ms.function import FunctionHead, HeadSizes
    from protenix_ms.function.tuned import TunedEncoder
    from protenix_ms.predict.function import pooled_vectors
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.function import Annotated, FunctionTrainer, HeadTraining

    config = HeadTraining(args.epochs, args.batch, args.rate, args.dropout, args.class_weights,
                          args.unfreeze, args.seed)
    log: list[dict] = []
    with (using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)),
          counting("layers", args.quiet) as progress):
        train, valid = (Annotated(
            sequences := [p.protein.sequence for p in group],
            pooled_vectors(weights, sequences, args.memory, progress),
            vocabulary.matrix(p.terms for p in group)) if group else None for group in groups)
        head = FunctionHead(HeadSizes(weights.sizes.width, args.hidden, len(vocabulary)))
        tuned = TunedEncoder(load_encoder(weights, args.memory), args.unfreeze
                             ) if args.unfreeze else None
        trainer = FunctionTrainer(head, config, train, valid, vocabulary.informative(),
                                  args.output, tuned, hashlib.sha256(mark.encode()).hexdigest())

        def report(line: dict) -> None:
            log.append(line)
            console.line(f"epoch {line['epoch']} of {args.epochs}: loss {line['loss']:.4f}"
                         + (f", Fmax {line['fmax']:.3f}" if "fmax" in line else ""))

        return trainer.run(report), log


def _predict(args: argparse.Namespace) -> int:
    _require_run(args.folder)
    proteins = read_proteins(args.input)
    weights, console = _start(args)
    start, names = time.perf_counter(), [p.name for p in proteins]
    vocabulary, scores = _scored(args, weights, [p.sequence for p in proteins])
    _write_predictions(args.output / PREDICTIONS, names, vocabulary, scores)
    _record(args, weights, start, {"proteins": len(proteins), "terms": len(vocabulary)})
    console.line(f"{len(proteins)} proteins, {len(vocabulary)} terms: "
                 f"{args.output / PREDICTIONS}")
    return 0


def _scored(
    args: argparse.Namespace, weights: EncoderWeights, sequences: list[str]
) -> tuple[Vocabulary, Array]:
    """Score sequences by the head of a run; parents have at least the scores of their children."""
    from protenix_ms.predict.function import head_vectors, read_head
    from protenix_ms.runtime.policy import Policy, using
    from protenix_ms.train.function import predict_scores

    trained = read_head(args.folder)
    with (using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)),
          counting("layers", args.quiet) as progress):
        vectors = head_vectors(trained, weights, sequences, args.memory, progress)
        return trained.vocabulary, trained.vocabulary.propagate(
            predict_scores(trained.head, vectors))


def _write_predictions(
    path: Path, names: Sequence[str], vocabulary: Vocabulary, scores: Array
) -> None:
    with replacing(path) as file:
        for line in prediction_lines(names, list(vocabulary.terms), scores):
            file.write(line.encode("utf-8", "backslashreplace"))


def _evaluate(args: argparse.Namespace) -> int:
    _require_run(args.folder)
    proteins = _labelled(args, args.split)
    known = read_vocabulary(args.folder / "vocabulary.tsv").terms
    labels = [term for p in proteins for term in p.terms]
    strange = sum(term not in known for term in labels)
    proteins = [p for p in proteins if any(term in known for term in p.terms)]
    if not proteins:
        raise InputError("the head knows none of the labels", where=str(args.labels),
                         fix="give labels of the terms in vocabulary.tsv of the run")
    weights, console = _start(args)
    if strange:
        console.line(f"{strange} of {len(labels)} labels are terms that the head does not know; "
                     f"they are left out, and {len(proteins)} proteins are judged")
    start = time.perf_counter()
    results = _judge(args, weights, proteins)
    rows = [{"method": name, "fmax": s.fmax, "threshold": s.threshold, "smin": s.smin,
             "aupr": s.aupr, "coverage": s.coverage} for name, s in results.items()]
    cells = [(r["method"], *(f"{x:.4f}" for x in list(r.values())[1:])) for r in rows]
    head = ("method", "Fmax", "threshold", "Smin", "AUPR", "coverage")
    write_text(args.output / METRICS, "".join("\t".join(row) + "\n" for row in [head, *cells]))
    _draw(args, results, f"{args.labels.name}, {args.split or 'all'}", weights.label, console)
    _record(args, weights, start, {"proteins": len(proteins), "metrics": rows})
    console.line(table(head, cells))
    console.line(f"{len(proteins)} proteins; results in {args.output}")
    return 0


def _judge(
    args: argparse.Namespace, weights: EncoderWeights, proteins: list[LabelledProtein]
) -> Scores:
    """Score the head and the simple methods; write the predictions and the truth."""
    from protenix_ms.metrics.annotation import score_annotations
    from protenix_ms.predict import function
    from protenix_ms.runtime.policy import Policy, using

    sequences = [p.protein.sequence for p in proteins]
    vocabulary, scores = _scored(args, weights, sequences)
    known = join_labels(read_proteins(args.folder / f"{TRAINING}.fasta"),
                        read_labels(args.folder / f"{TRAINING}.tsv"), "", str(args.folder))
    letters = [p.protein.sequence for p in known]
    truth, taught = (vocabulary.matrix(p.terms for p in group) for group in (proteins, known))
    with (using(Policy(device=args.device, dtype=args.dtype, memory=args.memory)),
          counting("layers", args.quiet) as progress):
        mine, theirs = (function.pooled_vectors(weights, s, args.memory, progress)
                        for s in (sequences, letters))
    methods: dict[str, Callable[[], Array]] = {
        "head": lambda: scores,
        "nearest vector": lambda: function.neighbour_scores(function.cosine(mine, theirs), taught),
        "3-mer neighbour": lambda: function.neighbour_scores(
            function.kmer_similarity(sequences, letters), taught),
        "naive": lambda: function.naive_scores(taught, len(proteins)),
    }
    names, bits = [p.protein.name for p in proteins], vocabulary.information(taught)
    _write_predictions(args.output / PREDICTIONS, names, vocabulary, scores)
    write_text(args.output / "truth.tsv", "".join(
        f"{name}\t{term}\n" for name, row in zip(names, truth)
        for term, true in zip(vocabulary.terms, row) if true))
    write_text(args.output / "information.tsv", "".join(
        f"{term}\t{bit:.6f}\n" for term, bit in zip(vocabulary.terms, bits)))
    return {name: score_annotations(truth, method(), bits, vocabulary.informative())
            for name, method in methods.items()}


def _draw(
    args: argparse.Namespace, results: Scores, title: str, label: str, console: Console
) -> None:
    from protenix_ms.predict.plots import can_plot, precision_recall_png

    if args.no_plots:
        return
    if not can_plot():
        console.line("no pictures: matplotlib is not installed (extra 'plot')")
        return
    curves = {name: (s.recall, s.precision) for name, s in results.items()}
    write_bytes(args.output / "precision_recall.png", precision_recall_png(curves, title, label))


def _record(
    args: argparse.Namespace, weights: EncoderWeights, start: float, content: dict
) -> None:
    from protenix_ms.predict.job_folder import write_record

    write_record(args.output / "run.json", {
        "action": args.action, "encoder": weights.label, "sha256": weights.digest,
        "seconds": round(time.perf_counter() - start, 3), **content})
