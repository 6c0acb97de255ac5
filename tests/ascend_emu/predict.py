# SPDX-License-Identifier: Apache-2.0
"""Work per use site from the emulated machine's counters, as a table. Arithmetic, not measurement.

`report.py` prints it. Counters do not depend on the data, so one tile of queries (forward) or the
difference between two numbers of groups (backward) is run and multiplied. A vector instruction is
counted as a cycle per repeat and a 16x16x16 product as a cycle, both without latency: lower bounds
per core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import emulated_device as device
import numpy as np
from emulated_device import Counters, Machine, Shape

CORES = 24
LENGTHS = (256, 768, 1536, 3072)


@dataclass(frozen=True)
class Site:
    """Holds a place of the model at one length: groups, heads, queries, keys, head dimension."""

    name: str
    groups: int
    heads: int
    queries: int
    keys: int
    width: int
    shared: bool = True


def sites(n: int) -> list[Site]:
    """List the use sites of a complex of n tokens; 8 atoms per token, 5 samples."""
    return [
        Site("triangle attention", n, 4, n, n, 32),
        Site("pair-biased attention", 1, 16, n, n, 24),
        Site("diffusion transformer", 5, 16, n, n, 48),
        Site("atom windows", n // 4, 4, 32, 128, 32, shared=False),
    ]


def _numbers(c: Counters) -> np.ndarray:
    """Count vector repeats, products, bytes to and from global memory."""
    return np.array([c.vector_repeats, c.mmad, c.mte2 + c.mte3 + c.fix], float)


def _counted(site: Site, groups: int, queries: int, keys: int, grad: bool) -> np.ndarray:
    div = 1 if site.shared else groups
    case = device.random_case((groups, 1, queries, keys, site.width), div, masked=False)
    machine = Machine(cores=1)
    if not grad:
        device.forward(case, machine)
    else:
        dout = case.q
        answer = device.exact(case, dout)
        device.backward(case, dout, answer["lse"], answer["delta"], machine)
    return _numbers(machine.counters)


def forward_work(site: Site) -> np.ndarray:
    """Count the work of all cores, with queries in whole tiles of 128."""
    tile = min(128, site.queries)
    tiles = site.groups * site.heads * site.queries // tile
    return _counted(site, 1, tile, site.keys, False) * tiles


def backward_work(site: Site) -> np.ndarray:
    """Count the work of the gradient; the first group of a tile of bias also pays for the bias."""
    tile_q, tile_k = min(128, site.queries), min(128, site.keys)
    tiles = site.heads * (site.queries // tile_q) * (site.keys // tile_k)
    one, two = (_counted(site, g, tile_q, tile_k, True) for g in (1, 2))
    more = (two - one) * (site.groups - 1)
    return (one + more) * tiles


def served(site: Site) -> bool:
    """Tell whether the tiling cuts the real problem into the tiles that were counted."""
    div = site.groups if site.shared else 1
    shape = Shape(site.groups, site.heads, site.queries, site.keys, site.width, div, 1, 0, 1.0)
    tiling, tile = device.tiling_of(shape, False, CORES), min(128, site.queries)
    return tiling is not None and tiling.tileQ == tile


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| site | tokens | pass | vector cycles/core | cube cycles/core | GB moved |"
    yield "|---|---|---|---|---|---|"
    for n in LENGTHS:
        for site in sites(n):
            for name, work in (("forward", forward_work), ("backward", backward_work)):
                vector, cube, moved = work(site)
                note = "" if name == "backward" or served(site) else " *"
                yield (f"| {site.name}{note} | {n} | {name} | {vector / CORES / 2:.2e} | "
                       f"{cube / CORES:.2e} | {moved / 1e9:.3g} |")
