# SPDX-License-Identifier: Apache-2.0
"""Sliding windows of atoms: our unfold beside MindSpore's im2col, and what it does to a prediction.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python scripts/bench/unfold.py --tokens 128 --json u.json

MindSpore's `unfold` takes images, so atoms become an image's height; its result has windows last
and is permuted. Two such forms: channels as the image's channels, and as its width. For the whole
prediction, which reads windows in place where its attention kernel serves, they are cut out here by
our unfold and by the first form. Runs alternate, the median counts. Times are of the clock and, in
brackets, of all cores together; ratios are to the first of each group.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from math import prod
from pathlib import Path

os.environ.setdefault("GLOG_v", "4")

import mindspore
import numpy as np
import predict
from mindspore import Tensor, ops
from sides import alternating, make_features

from protenix_ms.model import atom_windows
from protenix_ms.ops.unfold import windows

QUERIES, KEYS = atom_windows.QUERIES, atom_windows.KEYS


def im2col(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """`windows` along axis 1 by MindSpore's unfold, channels as an image's channels."""
    b, atoms, *rest = x.shape
    channels = prod(rest)
    image = ops.transpose(ops.reshape(x, (b, atoms, channels)), (0, 2, 1))
    y = ops.unfold(ops.reshape(image, (b, channels, atoms, 1)), (size, 1), stride=(step, 1))
    y = ops.transpose(ops.reshape(y, (b, channels, size, -1)), (0, 3, 2, 1))
    return ops.reshape(y, (b, -1, size, *rest))


def im2col_wide(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """The same with channels as an image's width: one permute less."""
    b, atoms, *rest = x.shape
    channels = prod(rest)
    image = ops.reshape(x, (b, 1, atoms, channels))
    y = ops.unfold(image, (size, channels), stride=(step, channels))
    y = ops.transpose(ops.reshape(y, (b, size, channels, -1)), (0, 3, 1, 2))
    return ops.reshape(y, (b, -1, size, *rest))


FORMS = {"unfold": windows, "im2col": im2col, "im2col wide": im2col_wide}


def one_call(atoms: int, samples: int, repeats: int) -> dict[str, list[float]]:
    """Keys of all windows of one attention: 4 heads of 32 channels."""
    n_windows = -(-atoms // QUERIES)
    padded = (n_windows - 1) * QUERIES + KEYS
    rng = np.random.default_rng(0)
    x = Tensor.from_numpy(rng.standard_normal((samples, padded, 4, 32), dtype=np.float32))
    results = {name: form(x, 1, KEYS, QUERIES).asnumpy() for name, form in FORMS.items()}
    assert all(np.array_equal(results["unfold"], y) for y in results.values())
    return alternating({name: lambda form=form: form(x, 1, KEYS, QUERIES).asnumpy()
                        for name, form in FORMS.items()}, repeats)


def prediction(args: argparse.Namespace) -> dict[str, list[float]]:
    """Whole predictions: windows in place, by our unfold, by im2col."""
    run, in_place = predict.ours(args)(args.tokens), atom_windows.windows_in_place

    def cutting(form: Callable) -> Callable[[], None]:
        def once() -> None:
            atom_windows.windows_in_place = lambda dtype, width: None
            atom_windows.sliding_windows = form
            run()
            atom_windows.windows_in_place = in_place
            atom_windows.sliding_windows = windows

        return once

    ways = {"in place": run, "unfold": cutting(windows), "im2col": cutting(im2col)}
    return alternating(ways, args.repeats)


def show(name: str, seconds: dict[str, list[float]]) -> None:
    first = next(iter(seconds.values()))
    for form, (clock, cores) in seconds.items():
        ratio = clock / first[0], cores / first[1]
        print(f"{name:34}{form:13}{1e3 * clock:10.2f} ({1e3 * cores:.2f}){ratio[0]:8.2f} "
              f"({ratio[1]:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--model", default="protenix_tiny_default_v0.5.0")
    parser.add_argument("--cycles", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    mindspore.runtime.launch_blocking()
    atoms = len(make_features(args.tokens)["atom_to_token_idx"])
    print(f"{args.tokens} tokens, {atoms} atoms, load {os.getloadavg()[0]:.1f}; ms (CPU ms), ratio")
    record = {"atoms": atoms, "load": os.getloadavg(), "settings": vars(args)}
    for samples in (1, 5):
        seconds = one_call(atoms, samples, 4 * args.repeats)
        show(f"windows of keys, {samples} samples", seconds)
        record[f"windows, {samples} samples"] = seconds
    record["prediction"] = prediction(args)
    show(f"{args.model[9:]}, {args.steps} steps", record["prediction"])
    if args.json:
        args.json.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
