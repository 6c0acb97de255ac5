# SPDX-License-Identifier: Apache-2.0
"""Measure attention with pair bias beside MindSpore's operators and PyTorch's."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.setdefault("GLOG_v", "4")

import mindspore
import numpy as np
from measure import in_turns, peak_gflops
from mindspore import Tensor

from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.runtime.policy import policy, using

try:
    import torch
except ImportError:
    torch = None

BACKWARD = 3.5  # operations of forward and gradients, beside forward
Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Site:
    """A place of the model that attends: extents, rows of the bias, whether it is gated."""

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
        """Return the floating point operations of the two products."""
        return 4.0 * self.rows * self.queries * self.keys * self.heads * self.width

    def arrays(self) -> list[np.ndarray]:
        """Draw q, k, v, bias and gate in the order and layout of the model."""
        rng = np.random.default_rng(0)

        def tokens(n: int) -> np.ndarray:
            shape = (1, n, self.rows) if self.ending else (1, self.rows, n)
            return rng.standard_normal((*shape, self.heads, self.width), dtype=np.float32)

        bias = (1, self.bias_rows, self.heads, self.queries, self.keys)
        return [tokens(self.queries), tokens(self.keys), tokens(self.keys),
                rng.standard_normal(bias, dtype=np.float32), tokens(self.queries)]


def sites(n: int) -> list[Site]:
    """List where the model attends at n tokens, with 8 atoms each."""
    groups = n * 8 // 32
    return [
        Site("triangle, starting", n, n, n, 4, 32, gate=True),
        Site("triangle, ending", n, n, n, 4, 32, gate=True, ending=True),
        Site("pairformer single", 1, n, n, 16, 24),
        Site("diffusion, 5 samples", 5, n, n, 16, 48),
        Site("atom windows", groups, 32, 128, 4, 32, bias_rows=groups),
    ]


def attention_ways(site: Site) -> tuple[Ways, Ways]:
    """Return forward, and forward with all gradients: our kernel, MindSpore, PyTorch."""
    arrays = site.arrays()
    tensors = [Tensor.from_numpy(a) for a in arrays]

    def forward(q, k, v, bias, gate):
        if site.ending:
            q, k, v, gate = (x.swapaxes(1, 2) for x in (q, k, v, gate))
        o = evoformer_attention(q, k, v, bias, gate=gate if site.gate else None)
        return o.swapaxes(1, 2) if site.ending else o

    gradient = mindspore.grad(lambda *x: forward(*x).sum(), (0, 1, 2, 3))

    def run(function: Callable, kernels: bool) -> Callable[[], None]:
        def once() -> None:
            with using(replace(policy(), kernels=kernels, threads=2)):
                result = function(*tensors)
            (result[0] if isinstance(result, tuple) else result).asnumpy()

        return once

    forms = {"ours": True, "MindSpore": False}
    plain, trained = ({name: run(f, on) for name, on in forms.items()} for f in (forward, gradient))
    if torch is not None:
        plain["PyTorch"], trained["PyTorch"] = torch_attention(site, arrays)
    return plain, trained


def torch_attention(site: Site, arrays: list[np.ndarray]) -> tuple[Callable, Callable]:
    """Return the same through scaled_dot_product_attention."""
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

    return inference, gradients


def attention(args: argparse.Namespace) -> list[dict]:
    """Measure attention with pair bias at every use site: ours, MindSpore's operators, PyTorch.

    `of_peak` is our share of the machine's matrix product.
    """
    mindspore.runtime.launch_blocking()
    if torch is not None:
        torch.set_num_threads(2)
    peak, rows = peak_gflops(), []
    for tokens in map(int, args.tokens.split(",")):
        for site in sites(tokens):
            forward, gradients = attention_ways(site)
            for name, ways, factor in ((site.name, forward, 1.0),
                                       (f"{site.name}, gradients", gradients, BACKWARD)):
                timed = in_turns(ways, args.repeats)
                timed["ours"]["of_peak"] = (
                    factor * site.operations / timed["ours"]["seconds"] / 1e9 / peak)
                rows += [{"work": name, "tokens": tokens, "side": side, **row}
                         for side, row in timed.items()]
    return rows


def add_attention(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `attention`."""
    parser.add_argument("--tokens", default="128")
    parser.add_argument("--repeats", type=int, default=5)


WORKLOADS = {"attention": (attention, add_attention)}
