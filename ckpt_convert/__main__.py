# SPDX-License-Identifier: Apache-2.0
"""The conversion as a command: `python -m ckpt_convert SRC DST` and `protenix-ms convert`.

Exit code 0: done, 1: refused, 2: wrong usage.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from math import sqrt
from pathlib import Path

import numpy as np

from ckpt_convert.checkpoint import Checkpoint
from ckpt_convert.convert import NARROW, Options, convert, identify, open_source
from protenix_ms.config import VARIANTS
from protenix_ms.errors import OutputError, ProtenixError

_SUFFIXES = {".safetensors": "safetensors", ".ckpt": "ckpt", ".pt": "pt"}
WHOLE = "whole file"  # the last row of an audit


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of the conversion."""
    parser.description = ("Convert a checkpoint of Protenix or ESM-2 without PyTorch and without "
                          "running it.")
    parser.add_argument("source", type=Path, metavar="SRC",
                        help="PyTorch .pt, safetensors or MindSpore .ckpt; for ESM-2 also a "
                        "folder of transformers")
    parser.add_argument("target", type=Path, metavar="DST", nargs="?",
                        help="the file to write; a sidecar DST.json is written beside it")
    parser.add_argument("--model", default="", metavar="NAME",
                        help=f"released model, instead of recognising it: {', '.join(VARIANTS)}")
    parser.add_argument("--config", type=Path, metavar="JSON",
                        help="upstream configuration of a model with other sizes")
    parser.add_argument("--format", choices=("safetensors", "ckpt"),
                        help="default: by DST's ending, else safetensors")
    parser.add_argument("--dtype", choices=tuple(NARROW), default="",
                        help="default: as in SRC")
    parser.add_argument("--reverse", action="store_true",
                        help="write a .pt that PyTorch and upstream load")
    parser.add_argument("--provenance", default="", metavar="TEXT",
                        help="where the weights come from, for the sidecar")
    parser.add_argument("--audit", action="store_true",
                        help="print parameters, mean, std, zeros and non-finite by module")


def run(args: Namespace, say: Callable[[str], object] = print) -> int:
    """Convert, audit or both, and report by `say`.

    Raises:
        CheckpointError, ConfigError, OutputError, ResourceError: one sentence each.
    """
    if args.target is None and not args.audit:
        raise OutputError("no DST is given", fix="name a file, or ask --audit")
    options = Options(_choose_format(args) if args.target else "", args.model, args.config,
                      args.dtype, args.provenance)
    if args.audit:
        with closing(open_source(args.source)) as checkpoint:
            say(f"{args.source}: {identify(checkpoint, options).model}")
            say(audit(checkpoint))
    if args.target is not None:
        report = convert(args.source, args.target, options)
        kinds = ", ".join(f"{n} {kind}" for kind, n in report.dtype.items())
        say(f"{args.target}: {report.model}, {report.parameters:,} parameters in "
            f"{report.tensors} tensors ({kinds}), {report.result['bytes'] / 1e6:,.1f} MB")
        for remark in report.remarks:
            say(f"  {remark}")
        if report.rounding and report.rounding.tensor:
            say(f"  worst rounding: {report.rounding.tensor}, {report.rounding.relative:.2e} of "
                f"its largest value ({report.rounding.absolute:.2e})")
        say(f"  sha256 {report.result['sha256']}")
    return 0


def _choose_format(args: Namespace) -> str:
    by_suffix = _SUFFIXES.get(args.target.suffix)
    chosen = "pt" if args.reverse else args.format or by_suffix or "safetensors"
    if (by_suffix or chosen) != chosen or (args.reverse and args.format):
        raise OutputError(f"ends in {args.target.suffix}, but {chosen} was asked for",
                          where=str(args.target), fix="change one of the two")
    if chosen == "pt" and not args.reverse:
        raise OutputError("is a PyTorch file", where=str(args.target),
                          fix="say --reverse to write one")
    return chosen


def audit(checkpoint: Checkpoint) -> str:
    """Tabulate tensors, parameters, moments, zeros and non-finite values by module, as text.

    Modules are the first parts of parameter names, in the order of the file; the last row is the
    whole file. Mean and standard deviation are those of the finite parameters.

    Args:
        checkpoint: an open file; every tensor is read once.
    """
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(6))
    for name in checkpoint.names():
        values = checkpoint.read(name).astype(np.float64).reshape(-1)
        finite = values[np.isfinite(values)]
        row = (1, values.size, np.count_nonzero(values == 0), values.size - finite.size,
               finite.sum(), np.dot(finite, finite))
        for module in (ascii(name.partition(".")[0][:60])[1:-1], WHOLE):
            sums[module] += row
    sums[WHOLE] = sums.pop(WHOLE)  # to the end
    lines = [f"{'module':<32}{'tensors':>8}{'parameters':>13}{'mean':>12}{'std':>12}"
             f"{'zeros':>11}{'non-finite':>12}"]
    for module, (tensors, parameters, zeros, non_finite, total, squares) in sums.items():
        count = max(parameters - non_finite, 1)
        mean = total / count
        std = sqrt(max(squares / count - mean**2, 0.0))
        lines.append(f"{module:<32}{tensors:>8.0f}{parameters:>13,.0f}{mean:>12.4g}{std:>12.4g}"
                     f"{zeros:>11,.0f}{non_finite:>12,.0f}")
    return "\n".join(lines)


def main() -> int:
    """Run the command of this module."""
    parser = ArgumentParser(prog="ckpt_convert")
    add_arguments(parser)
    try:
        return run(parser.parse_args(), lambda line: sys.stdout.write(f"{line}\n"))
    except ProtenixError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
