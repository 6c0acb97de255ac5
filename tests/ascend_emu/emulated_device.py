# SPDX-License-Identifier: Apache-2.0
"""The Ascend kernels on the emulated machine, called with NumPy arrays. Not hardware."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "protenix_ms/ops/evoformer_attention/csrc/ascend"
HALF, BF16 = 1, 2
UNIFIED_BUFFER = 188160
SITES_ROOM = 1 << 16
LOWEST = -1e9


class EmulationError(Exception):
    """Reports what the emulated machine refuses."""


def _fields(names: str, kind: type = ctypes.c_uint32) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class Shape(ctypes.Structure):
    """`EvoShape`."""

    _fields_ = [*_fields("G H Sq Sk D biasDiv hasBias hasMask"), ("scale", ctypes.c_float)]


class Tiling(ctypes.Structure):
    """`EvoTiling`."""

    _fields_ = [
        *_fields(
            "G H Sq Sk D Dp biasDiv hasBias hasMask needDbias tileQ tileK passRows half nq nk "
            "nflag nTask blocks segments perSegment"
        ),
        ("scale", ctypes.c_float), ("workspacePerBlock", ctypes.c_uint64),
    ]


class Counters(ctypes.Structure):
    """Holds the work done by all cores: instructions' repeats, bytes moved, 16x16x16 products."""

    _fields_ = _fields(
        "vector_repeats vector_calls mte1 mte2 mte3 fix mmad scalar", ctypes.c_uint64
    )


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("grain", ctypes.c_uint64)]


class _Run(ctypes.Structure):
    _fields_ = [
        ("shape", Shape),
        *_fields("dtype cores grad needDbias"),
        ("ub", ctypes.c_uint64),
        ("tensors", _Buffer * 13),
        ("count", ctypes.c_uint32), ("listing", ctypes.c_uint32),
        ("kind", ctypes.c_char_p), ("line", ctypes.c_int32), ("id", ctypes.c_int32),
        ("tiling", Tiling), ("counters", Counters),
    ]


@dataclass(frozen=True)
class Site:
    """Names one call, or number, of the kernels that a mutation can spoil."""

    kind: str
    line: int
    id: int


@dataclass
class Machine:
    """Holds the settings of one launch, and what it counted."""

    cores: int = 2
    ub: int = UNIFIED_BUFFER
    mutant: Site | None = None
    listing: bool = False
    sites: list[Site] = field(default_factory=list)
    counters: Counters | None = None
    tiling: Tiling | None = None


def compile_machine(
    folder: Path, flags: tuple[str, ...] = (), kernels: Path = SOURCES / "op_kernel"
) -> Path:
    """Compile the library of the kernels with `flags`, such as -DEVO_OPT_ASYNC=0."""
    target = folder / "machine.so"
    here = Path(__file__).parent
    command = [
        "g++", "-std=c++17", "-O2", "-Wall", "-Werror", "-fPIC", "-shared", f"-I{here}",
        f"-I{SOURCES / 'common'}", f"-I{kernels}", *flags, str(here / "run.cpp"),
        "-o", str(target),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if built.returncode:
        raise RuntimeError(built.stderr[-4000:])
    return target


@cache
def default_library() -> Path:
    """Compile the kernels as they are, once a session."""
    return compile_machine(Path(tempfile.mkdtemp(prefix="ascend_emu")))


@cache
def default_machine() -> ctypes.CDLL:
    """Load `default_library`."""
    return ctypes.CDLL(str(default_library()))


def tiling_of(
    shape: Shape, grad: bool, cores: int, ub: int = UNIFIED_BUFFER
) -> Tiling | None:
    """Cut a shape as the host does; None where it refuses."""
    run = _Run(shape=shape, grad=grad, needDbias=1, cores=cores, ub=ub)
    return run.tiling if default_machine().evo_tiling(ctypes.byref(run)) else None


def to_device(x: np.ndarray, dtype: int) -> np.ndarray:
    """Round to fp16, or to bf16 as its 16 bits, to nearest even."""
    if dtype == HALF:
        return np.ascontiguousarray(x, np.float16)
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_device(x: np.ndarray) -> np.ndarray:
    """Widen to float64."""
    if x.dtype == np.uint16:
        return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x.astype(np.float64)


def tile_flags(keep: np.ndarray) -> np.ndarray:
    """Flag each 64 keys of ``keep [g, k]``: 0 none is kept, 2 all are, 1 otherwise."""
    g, k = keep.shape
    padded = np.zeros((g, -(-k // 64) * 64), bool)
    padded[:, :k] = keep
    whole = padded.copy()
    whole[:, k:] = True
    parts = padded.reshape(g, -1, 64), whole.reshape(g, -1, 64)
    return (parts[0].any(-1).astype(np.uint8) + parts[1].all(-1)).astype(np.uint8)


@dataclass
class Case:
    """Holds the inputs of one attention: q ``[g, s, h, d]`` and so on, already on the device's
    grid."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    bias: np.ndarray | None
    keep: np.ndarray | None
    dtype: int = HALF

    @property
    def shape(self) -> Shape:
        """Describe the shape as the kernels read it."""
        g, sq, h, d = self.q.shape
        div = 1 if self.bias is None else g // self.bias.shape[0]
        if self.bias is None:
            div = g
        return Shape(g, h, sq, self.k.shape[1], d, div, self.bias is not None,
                     self.keep is not None, d**-0.5)

    def common(self) -> list[np.ndarray]:
        """Return the six inputs with which both kernels begin."""
        nothing = np.zeros(1, np.uint16)
        keep = self.keep
        mask = nothing.astype(np.float32) if keep is None else np.where(keep, 0, LOWEST)
        return [
            self.q, self.k, self.v, nothing if self.bias is None else self.bias,
            np.ascontiguousarray(mask, np.float32),
            np.zeros(1, np.uint8) if keep is None else tile_flags(keep),
        ]


def random_case(
    sizes: tuple[int, int, int, int, int], bias_groups: int | None = 1, masked: bool = True,
    dtype: int = HALF, seed: int = 0,
) -> Case:
    """Draw a case of `sizes` (g, h, sq, sk, d); a sixth of the keys is masked, whole rows if g >
    2."""
    g, h, sq, sk, d = sizes
    rng = np.random.default_rng(seed)
    q, k, v = (to_device(rng.normal(size=(g, s, h, d)), dtype) for s in (sq, sk, sk))
    bias = None
    if bias_groups:
        bias = to_device(rng.normal(size=(bias_groups, h, sq, sk)), dtype)
    keep = None
    if masked:
        keep = rng.random((g, sk)) > 1 / 6
        keep[0, sk // 2:] = False
        if g > 2:
            keep[2] = False
    return Case(q, k, v, bias, keep, dtype)


def _launch(case: Case, machine: Machine, inputs: list, outputs: list, grad: bool, lib) -> None:
    lib = default_machine() if lib is None else lib
    run = _Run(shape=case.shape, dtype=case.dtype, cores=machine.cores, grad=grad, ub=machine.ub,
               needDbias=case.bias is not None, listing=machine.listing)
    spoil = machine.mutant or Site("", 0, 0)
    run.kind, run.line, run.id = spoil.kind.encode(), spoil.line, spoil.id
    tensors = [(x, 0) for x in inputs] + outputs
    run.count = len(tensors)
    for slot, (x, grain) in zip(run.tensors, tensors):
        slot.data, slot.bytes, slot.grain = x.ctypes.data, x.nbytes, grain
    message = ctypes.create_string_buffer(2000)
    sites = ctypes.create_string_buffer(SITES_ROOM)
    failed = lib.evo_run(ctypes.byref(run), message, ctypes.c_uint64(2000), sites,
                         ctypes.c_uint64(SITES_ROOM if machine.listing else 0))
    machine.counters, machine.tiling = run.counters, run.tiling
    lines = (line.split("|") for line in sites.value.decode().splitlines())
    machine.sites = [Site(kind, int(line), int(number)) for kind, line, number in lines]
    if failed:
        raise EmulationError(message.value.decode())


def forward(
    case: Case, machine: Machine | None = None, lib: ctypes.CDLL | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the output and log-sum-exp ``[g, h, sq]`` in float64."""
    g, sq, h, d = case.q.shape
    out, lse = np.zeros_like(case.q), np.zeros((g, h, sq), np.float32)
    _launch(case, machine or Machine(), case.common(), [(out, d * 2), (lse, 4)], False, lib)
    return from_device(out), lse.astype(np.float64)


def backward(
    case: Case, dout: np.ndarray, lse: np.ndarray, delta: np.ndarray,
    machine: Machine | None = None, lib: ctypes.CDLL | None = None,
) -> tuple[np.ndarray, ...]:
    """Compute dq, dk, dv (times scale where the kernel leaves that to its caller) and dbias."""
    g, sq, h, d = case.q.shape
    wide = -(-d // 16) * 16
    shapes = [(g, s, h, wide) for s in (sq, case.k.shape[1], case.k.shape[1])]
    shapes.append((1,) if case.bias is None else case.bias.shape)
    outputs = [np.zeros(s, np.float32) for s in shapes]
    inputs = [*case.common(), dout, lse.astype(np.float32), delta.astype(np.float32)]
    grains = [64, 64, 64, 4] if case.bias is not None else [64, 64, 64, 0]
    _launch(case, machine or Machine(), inputs, list(zip(outputs, grains)), True, lib)
    dq, dk, dv, dbias = (x.astype(np.float64) for x in outputs)
    scale = case.shape.scale
    return dq[..., :d] * scale, dk[..., :d] * scale, dv[..., :d], dbias


def exact(case: Case, dout: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Compute attention and, given `dout`, its gradients, in float64."""
    q, k, v = (from_device(x).transpose(0, 2, 1, 3) for x in (case.q, case.k, case.v))
    scale = case.shape.scale
    logits = scale * q @ k.transpose(0, 1, 3, 2)
    div = case.shape.biasDiv
    if case.bias is not None:
        logits = logits + np.repeat(from_device(case.bias), div, 0)
    alive = np.ones(len(q), bool) if case.keep is None else case.keep.any(1)
    if case.keep is not None:
        logits = np.where(case.keep[:, None, None], logits, -np.inf)
    logits[~alive] = 0
    top = logits.max(-1, keepdims=True)
    weights = np.exp(logits - top)
    total = weights.sum(-1, keepdims=True)
    p = weights / total * alive[:, None, None, None]
    out = p @ v
    lse = np.where(alive[:, None, None], (top + np.log(total))[..., 0], 1e30)
    results = {"out": out.transpose(0, 2, 1, 3), "lse": lse}
    if dout is None:
        return results
    do = from_device(dout).transpose(0, 2, 1, 3)
    delta = (do * out).sum(-1)
    ds = p * (do @ v.transpose(0, 1, 3, 2) - delta[..., None])
    swap = (0, 2, 1, 3)
    results |= {
        "delta": delta, "dq": (scale * ds @ k).transpose(swap),
        "dk": (scale * ds.transpose(0, 1, 3, 2) @ q).transpose(swap),
        "dv": (p.transpose(0, 1, 3, 2) @ do).transpose(swap),
    }
    if case.bias is not None:
        results["dbias"] = ds.reshape(-1, div, *ds.shape[1:]).sum(1)
    return results
