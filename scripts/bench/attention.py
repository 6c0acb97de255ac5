# SPDX-License-Identifier: Apache-2.0
"""Fused attention beside MindSpore's operators and PyTorch: time, memory, fraction of peak.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python scripts/bench/attention.py --sizes 128,256

Runs alternate and the median counts. "peak" is the same machine's float32 matrix product at two
threads in MindSpore. PyTorch's rows are absent where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("GLOG_v", "4")

import mindspore
import numpy as np
from mindspore import Tensor
from sides import peak_gflops

from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.runtime.policy import policy, using

try:
    import torch
except ImportError:
    torch = None


@dataclass(frozen=True)
class Site:
    """A place of the model: extents, who shares the bias, whether the output is gated."""

    name: str
    rows: int
    queries: int
    keys: int
    heads: int
    width: int
    bias_rows: int = 1
    gate: bool = False
    ending: bool = False

    @property
    def operations(self) -> float:
        """Floating point operations of the two products."""
        return 4.0 * self.rows * self.queries * self.keys * self.heads * self.width

    def arrays(self) -> list[np.ndarray]:
        """q, k, v, bias and gate in the order and layout of the model."""
        rng = np.random.default_rng(0)

        def tokens(n: int) -> np.ndarray:
            shape = (1, n, self.rows) if self.ending else (1, self.rows, n)
            return rng.standard_normal((*shape, self.heads, self.width), dtype=np.float32)

        bias = (1, self.bias_rows, self.heads, self.queries, self.keys)
        return [
            tokens(self.queries), tokens(self.keys), tokens(self.keys),
            rng.standard_normal(bias, dtype=np.float32), tokens(self.queries),
        ]


def sites(n: int) -> list[Site]:
    """Where the model attends at n tokens (about 8 atoms each)."""
    windows = n * 8 // 32
    return [
        Site(f"triangle, starting, N {n}", n, n, n, 4, 32, gate=True),
        Site(f"triangle, ending, N {n}", n, n, n, 4, 32, gate=True, ending=True),
        Site(f"pairformer single, N {n}", 1, n, n, 16, 24),
        Site(f"diffusion, 5 samples, N {n}", 5, n, n, 16, 48),
        Site(f"atom windows, {windows}", windows, 32, 128, 4, 32, bias_rows=windows),
    ]


def ours(site: Site, arrays: list[np.ndarray], kernels: bool) -> dict[str, Callable]:
    """Forward, and forward with all gradients, of our operator."""
    tensors = [Tensor.from_numpy(a) for a in arrays]

    def forward(q, k, v, bias, gate):
        if site.ending:
            q, k, v, gate = (x.swapaxes(1, 2) for x in (q, k, v, gate))
        o = evoformer_attention(q, k, v, bias, gate=gate if site.gate else None)
        return o.swapaxes(1, 2) if site.ending else o  # as the model turns it back

    gradient = mindspore.grad(lambda *x: forward(*x).sum(), (0, 1, 2, 3))

    def run(function: Callable) -> Callable:
        def once() -> None:
            with using(replace(policy(), kernels=kernels, threads=2)):
                result = function(*tensors)
            first = result[0] if isinstance(result, tuple) else result
            first.asnumpy()

        return once

    return {"forward": run(forward), "gradients": run(gradient)}


def pytorch(site: Site, arrays: list[np.ndarray]) -> dict[str, Callable]:
    """The same through scaled_dot_product_attention."""
    tensors = [torch.from_numpy(a) for a in arrays]

    def forward() -> torch.Tensor:
        q, k, v, bias, gate = tensors
        if site.ending:
            q, k, v, gate = (x.swapaxes(1, 2) for x in (q, k, v, gate))
        q, k, v = (x[0].transpose(1, 2) for x in (q, k, v))
        bias = bias[0].expand(site.rows, -1, -1, -1)
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        o = o.transpose(1, 2)
        return o * torch.sigmoid(gate[0]) if site.gate else o

    def inference() -> None:
        with torch.no_grad():
            forward()

    def gradients() -> None:
        for x in tensors[:4]:
            x.requires_grad_(True)
            x.grad = None
        forward().sum().backward()
        for x in tensors[:4]:
            x.requires_grad_(False)

    return {"forward": inference, "gradients": gradients}


def measure(ways: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median seconds of alternating runs, after a warm-up of each."""
    times = {name: [] for name in ways}
    for round_ in range(repeats + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def main() -> None:
    """Measure every site and size; print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="128", help="token counts, comma-separated")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    mindspore.runtime.launch_blocking()
    if torch is not None:
        torch.set_num_threads(2)
    peak, results = peak_gflops(), []
    print(f"peak {peak:.0f} GFLOP/s, load {os.getloadavg()[0]:.1f}; milliseconds")
    print(f"{'site':32}{'pass':>11}{'kernel':>9}{'MindSpore':>11}{'PyTorch':>9}{'of peak':>9}")
    for site in [s for n in arguments.sizes.split(",") for s in sites(int(n))]:
        arrays = site.arrays()
        ways = {"kernel": ours(site, arrays, True), "mindspore": ours(site, arrays, False)}
        if torch is not None:
            ways["pytorch"] = pytorch(site, arrays)
        for what, factor in (("forward", 1.0), ("gradients", 3.5)):
            t = measure({name: way[what] for name, way in ways.items()}, arguments.repeats)
            fraction = factor * site.operations / t["kernel"] / 1e9 / peak
            results.append({"site": site.name, "pass": what, "seconds": t, "of_peak": fraction})
            print(f"{site.name:32}{what:>11}{1e3 * t['kernel']:9.2f}{1e3 * t['mindspore']:11.2f}"
                  f"{1e3 * t.get('pytorch', float('nan')):9.2f}{fraction:9.0%}", flush=True)
    if arguments.json:
        record = {"peak_gflops": peak, "load": os.getloadavg(), "results": results}
        arguments.json.write_text(json.dumps(record, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
