# SPDX-License-Identifier: Apache-2.0
"""Every contraction of the model: our einsum, permutes with BatchMatMul, and torch.einsum.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python scripts/bench/einsum.py --tokens 256

Shapes are those of the base model with 128 alignment rows and 8 atoms a token. "permutes" counts
tensors laid out anew, ours and of the plain form, which brings both operands to [batch, rows,
summed] and [batch, summed, columns] and the result to its order. Runs alternate, the median
counts: of the clock and, in brackets, of all cores together. PyTorch's column is empty where it is
not installed.
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
from mindspore import Tensor, ops
from sides import MSA_ROWS, alternating, peak_gflops

from protenix_ms.ops.einsum import einsum, plan

try:
    import torch
except ImportError:
    torch = None

Site = tuple[str, str, tuple[int, ...], tuple[int, ...]]

_product = ops.BatchMatMul()


def sites(n: int) -> list[Site]:
    """Name, equation and shapes of every kind of contraction at n tokens."""
    pairs, windows, m = n * n, n * 8 // 32, MSA_ROWS
    some = max(1, min(n, 2**24 // (n * 1024)))  # rows of the pair per chunk of outer products
    return [
        ("Linear, pair transition", "mi,oi->mo", (pairs, 128), (512, 128)),
        ("Linear, diffusion, 5 samples", "mi,oi->mo", (5 * n, 768), (1536, 768)),
        ("triangle, projection", "oi,mi->om", (128, 128), (pairs, 128)),
        ("triangle, outgoing", "cik,cjk->cij", (128, n, n), (128, n, n)),
        ("triangle, incoming", "cki,ckj->cij", (128, n, n), (128, n, n)),
        ("triangle, to channels last", "im,oi->mo", (128, pairs), (128, 128)),
        ("triangle attention, bias", "oi,mi->om", (4, 128), (pairs, 128)),
        ("outer product mean, a channel", "mi,mj->ij", (m, some), (m, n * 32)),
        ("MSA weighted average", "hrj,hij->hri", (8, m * 8, n), (8, n, n)),
        ("diffusion biases, 24 blocks", "hc,qkc->hqk", (384, 128), (n, n, 128)),
        ("pairformer bias", "hc,wqkc->whqk", (16, 128), (1, n, n, 128)),
        ("atom window bias", "hc,wqkc->whqk", (4, 16), (windows, 32, 128, 16)),
        ("contact probabilities", "rnk,k->rn", (n, n, 64), (64,)),
        ("confidence, atoms of a place", "ac,ck->ak", (n, 384), (384, 50)),
        ("substructure encoder", "li,oi->lo", (1024, 128), (384, 128)),
        ("composed attention, logits", "gqhd,gkhd->ghqk", (n, n, 4, 32), (n, n, 4, 32)),
        ("composed attention, average", "ghqk,gkhd->gqhd", (n, 4, n, n), (n, n, 4, 32)),
    ]


def plain(equation: str, x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """The textbook form: permutes around one BatchMatMul; how many there were."""
    inputs, _, out = equation.partition("->")
    left, right = inputs.split(",")
    extent = dict(zip(left + right, x.shape + y.shape))
    batch = [c for c in out if c in left and c in right]
    rows, columns = ([c for c in t if c in out and c not in batch] for t in (left, right))
    summed = [c for c in left if c in right and c not in out]
    count = 0

    def permuted(t: Tensor, now: str, wanted: list[str]) -> Tensor:
        nonlocal count
        order = tuple(now.index(c) for c in wanted)
        moved = [i for i in order if t.shape[i] > 1]
        if moved == sorted(moved):  # a view
            return ops.reshape(t, tuple(t.shape[i] for i in order))
        count += 1
        return ops.transpose(t, order).contiguous()

    def size(letters: list[str]) -> int:
        return prod(extent[c] for c in letters)

    a = ops.reshape(permuted(x, left, batch + rows + summed), (size(batch), -1, size(summed)))
    b = ops.reshape(permuted(y, right, batch + summed + columns), (size(batch), size(summed), -1))
    made = [*batch, *rows, *columns]
    o = ops.reshape(_product(a, b), tuple(extent[c] for c in made))
    return permuted(o, "".join(made), list(out)), count


def ways(site: Site) -> tuple[dict[str, Callable], int]:
    """What is timed; permutes of the plain form. All forms must agree."""
    _, equation, *shapes = site
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    tensors = [Tensor.from_numpy(a) for a in arrays]
    forms = {"ours": lambda: einsum(equation, *tensors).asnumpy(),
             "plain": lambda: plain(equation, *tensors)[0].asnumpy()}
    if torch is not None:
        theirs = [torch.from_numpy(a) for a in arrays]
        forms["torch"] = lambda: torch.einsum(equation, *theirs).contiguous().numpy()
    results = [form() for form in forms.values()]
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, rtol=1e-3, atol=1e-3)
    return forms, plain(equation, *tensors)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    mindspore.runtime.launch_blocking()
    if torch is not None:
        torch.set_num_threads(2)
    peak, rows = peak_gflops(), []
    print(f"{args.tokens} tokens, peak {peak:.0f} GFLOP/s, load {os.getloadavg()[0]:.1f}; ms")
    print(f"{'contraction':31}{'equation':17}{'permutes':>9}{'plain':>6}{'ours':>17}{'plain':>17}"
          f"{'torch':>17}{'of peak':>9}  plan")
    for site in sites(args.tokens):
        name, equation, x, y = site
        how, (forms, permutes) = plan(equation, x, y), ways(site)
        seconds = alternating(forms, args.repeats)
        letters = dict(zip(equation.partition("->")[0].replace(",", ""), x + y))
        of_peak = 2 * prod(letters.values()) / seconds["ours"][0] / 1e9 / peak
        rows.append({"name": name, "equation": equation, "shapes": (x, y), "plan": str(how),
                     "permutes": how.permutes, "plain_permutes": permutes, "seconds": seconds,
                     "of_peak": of_peak})
        ms = {form: f"{1e3 * a:.2f} ({1e3 * b:.1f})" for form, (a, b) in seconds.items()}
        print(f"{name:31}{equation:17}{how.permutes:9}{permutes:6}{ms['ours']:>17}{ms['plain']:>17}"
              f"{ms.get('torch', '-'):>17}{of_peak:9.0%}  {how}", flush=True)
    if args.json:
        record = {"tokens": args.tokens, "peak_gflops": peak, "load": os.getloadavg(),
                  "rows": rows}
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
