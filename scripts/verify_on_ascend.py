# SPDX-License-Identifier: Apache-2.0
"""Check attention on an Ascend device: parity with float64 by use site, then times and memory.

verify_on_ascend.sh starts it. We never ran it on hardware. `--device CPU` makes the same tables
with the implementations for CPU, which is how the script itself is tested.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor

from protenix_ms.ops.evoformer_attention.dispatch import form
from protenix_ms.ops.evoformer_attention.env import ascend_obstacle
from protenix_ms.runtime.policy import policy, using

TOLERANCE = {"fp16": 2e-3, "bf16": 2e-2, "fp32": 1e-4}
TYPES = {"fp16": mindspore.float16, "bf16": mindspore.bfloat16, "fp32": mindspore.float32}


@dataclass(frozen=True)
class Site:
    """Describe a place of the model that attends; `shared`: all rows have one bias."""

    name: str
    rows: int
    queries: int
    keys: int
    heads: int
    width: int
    shared: bool = True


def sites(tokens: int) -> list[Site]:
    """List the use sites of a complex of so many tokens."""
    windows = max(1, tokens * 8 // 32)
    return [
        Site("triangle attention", tokens, tokens, tokens, 4, 32),
        Site("pair-biased attention", 1, tokens, tokens, 16, 24),
        Site("diffusion transformer", 5, tokens, tokens, 16, 48),
        Site("atom windows", windows, 32, 128, 4, 32, shared=False),
    ]


def inputs(site: Site, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw q, k, v, bias and the mask of a site; a tenth of the keys is masked."""
    rng = np.random.default_rng(seed)
    arrays = [
        rng.normal(size=(1, site.rows, s, site.heads, site.width)).astype(np.float32)
        for s in (site.queries, site.keys, site.keys)
    ]
    groups = 1 if site.shared else site.rows
    bias = rng.normal(size=(1, groups, site.heads, site.queries, site.keys)).astype(np.float32)
    return [*arrays, bias], rng.random((1, site.rows, 1, 1, site.keys)) < 0.9


def gradients(name: str, arrays: list, mask: np.ndarray, dtype: str, jit: bool) -> list[np.ndarray]:
    """Compute the output and the four gradients of its sum of squares, in float32."""
    attention, keep = form(name), Tensor(mask)
    scale = arrays[0].shape[-1] ** -0.5

    def total(q, k, v, bias):
        out = attention(q, k, v, bias, keep, scale)
        return (out.astype(mindspore.float32) ** 2).sum(), out

    call = mindspore.value_and_grad(total, (0, 1, 2, 3), has_aux=True)
    call = mindspore.jit(call) if jit else call
    (_, out), grads = call(*(Tensor(x).astype(TYPES[dtype]) for x in arrays))
    return [x.astype(mindspore.float32).asnumpy() for x in (out, *grads)]


def exact(arrays: list, mask: np.ndarray) -> list[np.ndarray]:
    """Compute the same by NumPy in float64, a row at a time."""
    q, k, v = (x[0].astype(np.float64).transpose(0, 2, 1, 3) for x in arrays[:3])
    bias = arrays[3][0].astype(np.float64)
    scale = q.shape[-1] ** -0.5
    arrays = [np.zeros_like(x) for x in (q, q, k, v, bias)]
    out, dq, dk, dv, dbias = arrays
    for r in range(len(q)):
        shared = 0 if len(bias) == 1 else r
        logits = scale * q[r] @ k[r].swapaxes(1, 2) + bias[shared]
        logits = np.where(mask[0, r, 0], logits, -1e9)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p *= mask[0, r, 0] / p.sum(-1, keepdims=True)
        out[r] = p @ v[r]
        dout = 2 * out[r]
        ds = p * (dout @ v[r].swapaxes(1, 2) - (dout * out[r]).sum(-1, keepdims=True))
        dq[r], dk[r] = scale * ds @ k[r], scale * ds.swapaxes(1, 2) @ q[r]
        dv[r] = p.swapaxes(1, 2) @ dout
        dbias[shared] += ds
    return [*(x.transpose(0, 2, 1, 3)[None] for x in arrays[:4]), dbias[None]]


def parity(name: str, site: Site, dtype: str, jit: bool) -> dict:
    """Compare with float64 from inputs of the same type: largest error over largest value."""
    arrays, mask = inputs(site)
    arrays = [Tensor(x).astype(TYPES[dtype]).astype(mindspore.float32).asnumpy() for x in arrays]
    pairs = zip(gradients(name, arrays, mask, dtype, jit), exact(arrays, mask))
    errors = {
        n: float(np.abs(x - y).max() / np.abs(y).max())
        for n, (x, y) in zip(("out", "dq", "dk", "dv", "dbias"), pairs)
    }
    passed = all(e <= TOLERANCE[dtype] for e in errors.values())
    return {"site": site.name, "tokens": site.queries, "form": name, "dtype": dtype,
            "mode": "jit" if jit else "PyNative", "passed": passed, **errors}


def peak_bytes() -> int:
    """Read the largest memory of the device so far, 0 where the runtime does not tell."""
    try:
        return int(mindspore.runtime.max_memory_allocated())
    except (RuntimeError, AttributeError):
        return 0


def timing(name: str, site: Site, dtype: str, repeats: int = 10) -> dict:
    """Measure the median milliseconds of the forward pass, and peak memory."""
    arrays, mask = inputs(site)
    q, k, v, bias = (Tensor(x).astype(TYPES[dtype]) for x in arrays)
    keep, scale = Tensor(mask), site.width**-0.5
    seconds = []
    for _ in range(repeats + 2):
        mindspore.runtime.synchronize()
        begin = time.perf_counter()
        form(name)(q, k, v, bias, keep, scale)
        mindspore.runtime.synchronize()
        seconds.append(time.perf_counter() - begin)
    return {"site": site.name, "tokens": site.queries, "form": name, "dtype": dtype,
            "ms": round(1e3 * statistics.median(seconds[2:]), 3), "peak_bytes": peak_bytes()}


def attempt(function, *arguments) -> dict:
    """Make a row of a table; one that fails says why and counts as failed."""
    try:
        return function(*arguments)
    except (RuntimeError, ValueError, TypeError) as error:
        name, site = arguments[:2]
        return {"site": site.name, "form": name, "passed": False, "error": str(error)[:300]}


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--title", default="all optimisations on")
    parser.add_argument("--times-only", action="store_true")
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--device", choices=("Ascend", "CPU"), default="Ascend")
    return parser.parse_args()


def main() -> int:
    """Make both tables; return 1 if a value is beyond its tolerance."""
    args = parse()
    mindspore.set_device(args.device)
    on_ascend = args.device == "Ascend"
    if on_ascend:
        obstacle = ascend_obstacle(str(mindspore.hal.get_device_name(0, "Ascend")))
        if obstacle:
            print(f"verify_on_ascend: {obstacle}", file=sys.stderr)
            return 2
    forms = ("ascend", "vendor", "reference") if on_ascend else ("cpu", "reference")
    dtypes = ("fp16", "bf16") if on_ascend else ("fp32",)
    small, large = ((64,), (64,)) if args.quick else ((128, 384), (256, 768, 1536))
    rows = []
    with using(replace(policy(), device=args.device)):
        if not args.times_only:
            rows += [
                attempt(parity, name, site, dtype, jit)
                for n in small for site in sites(n) for name in forms if name != "reference"
                for dtype in dtypes for jit in (False, True)
            ]
        rows += [
            attempt(timing, name, site, dtypes[-1])
            for n in large for site in sites(n) for name in forms
        ]
    print(args.title)
    for row in rows:
        print("  ".join(f"{k}={v:.2e}" if isinstance(v, float) and k != "ms" else f"{k}={v}"
                        for k, v in row.items()))
    args.out.write_text(json.dumps({"title": args.title, "rows": rows}, indent=1), "utf-8")
    return 0 if all(row.get("passed", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
