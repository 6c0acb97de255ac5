# SPDX-License-Identifier: Apache-2.0
"""Every MindSpore call of the model in its Ascend form, against what MindSpore has on Ascend.

A call that is not documented there, breaks a limit that its docstring names, has a type or rank
that Ascend lacks, or mixes types where Ascend takes one, is a finding. What a docstring says or
does not say can be explained in `EXPLAINED`; everything else has to be fixed in our code. Read from
the wheel, not from a device.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mindspore
import numpy as np
from emulated_ops import device_ops
from mindspore import Tensor
from platforms import documented, registered, remarks
from recorder import Recorder, Signature, kernels_run

from protenix_ms.ops.evoformer_attention import evoformer_attention
from protenix_ms.runtime.policy import Policy, using

MOST_AXES = 8  # of an aclnn tensor
NO_TYPES = ("Float64", "Complex64", "Complex128")
PROMOTING = {f"Tensor.__{r}{n}__" for n in ("add", "sub", "mul", "truediv") for r in ("", "r")}

# What docstrings say of Ascend, as questions that every call is asked.
LIMITS: dict[str, Callable[..., bool]] = {
    "LayerNorm": lambda norm, *_: norm.begin_norm_axis == norm.begin_params_axis,
    "ops.gather": lambda x, i, axis, **_: _within(i, x.shape[axis]),
    "ops.gather_elements": lambda x, dim, index: _within(index, x.shape[dim])
    and all(j <= n for a, (j, n) in enumerate(zip(index.shape, x.shape)) if a != dim),
    "ops.matmul": lambda x, y: min(x.ndim, y.ndim) >= 1 and max(x.ndim, y.ndim) <= 6,
    "ops.tile": lambda x, dims: len(dims) <= MOST_AXES and sum(d > 1 for d in dims) <= 4,
    "ops.transpose": lambda x, axes: min(axes, default=0) >= 0,
    "ops.unsorted_segment_sum": lambda x, ids, _: _within(ids, len(x)),
}

_HOST = "copies to the host or asks on the host: no operator of the device"
EXPLAINED = {
    "Tensor.__float__": _HOST,
    "Tensor.asnumpy": _HOST,
    "Tensor.is_contiguous": _HOST,
    "Tensor.set_data": "replaces the tensor of a parameter; of the same shape and type here",
    "Tensor.value": "the parameter's own tensor",
    "Tensor.__getitem__": "slices and integers are views, or copies by StridedSlice: in the "
    "adapters, as is its gradient",
    "Tensor.contiguous": "Contiguous and Copy, which the library launches by aclnn",
    "Custom": "our own op: ascend.py registers it for Ascend with these types, and "
    "build_ascend_op.sh builds it, which its remarks are about",
    "MatMul": "its remark is that float64 is not served, and no call has it",
    "BiasAdd": "its remark is that Ascend takes all types of numbers",
    "ops.bias_add": "its remark is that Ascend takes all types of numbers",
    "AllReduce": "its remark is the name of the group of all processes on Ascend",
}
EXPLAINED_KERNELS: dict[str, str] = {}


def _within(index: Tensor, length: int) -> bool:
    i = index.asnumpy()
    return bool(i.size == 0 or (i.min() >= 0 and i.max() < length))


@dataclass
class Row:
    """Holds a call of ours, or a primitive that ran (`kernel`), and what is known of it on
    Ascend."""

    name: str
    kernel: bool = False
    platforms: str = ""
    registered: str = ""
    types: list[str] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def open(self) -> bool:
        """Tell whether something stands here that nobody explained."""
        return bool(self.findings) and not self.reason


def call_row(name: str, signatures: set[Signature], broken: bool) -> Row:
    """Make the row of a call of ours."""
    types = sorted({t for s in signatures for t, _ in s})
    ranks = sorted({r for s in signatures for _, r in s})
    row = Row(name, False, documented(name), registered(name), types, ranks)
    if "Ascend" not in row.platforms:
        row.findings.append("not documented for Ascend")
    if broken:
        row.findings.append("breaks a limit of Ascend")
    row.findings += [] if name in LIMITS else [f"remark: {text}" for text in remarks(name)]
    row.findings += [f"type {t}" for t in types if t in NO_TYPES]
    row.findings += [f"{r} axes" for r in ranks if r > MOST_AXES]
    mixed = [s for s in signatures if len({t for t, _ in s if "Float" in t}) > 1]
    if mixed and name not in PROMOTING:
        row.findings.append(f"mixes types, {mixed[0]}")
    words = all(f.startswith(("remark", "not documented")) for f in row.findings)
    row.reason = EXPLAINED.get(name, "") if words or name == "Custom" else ""
    return row


def kernel_row(name: str) -> Row:
    """Make the row of a primitive that ran, forward or backward."""
    row = Row(name, True, documented(name), registered(name))
    if not row.registered and "Ascend" not in row.platforms:
        row.findings.append("neither registered nor documented for Ascend")
    row.reason = EXPLAINED_KERNELS.get(name, "")
    return row


def named_in_sources(package: Path) -> set[str]:
    """List the functions and primitives of `ops` that the package names, run or not."""
    here = set()
    for path in package.rglob("*.py"):
        if path.stem.endswith("cpu"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ops":
                # primitives are recorded under their own names
                here.add(node.attr if node.attr[0].isupper() else f"ops.{node.attr}")
    return here


class Check:
    """Collects calls over several runs."""

    def __init__(self) -> None:
        self.recorder = Recorder(LIMITS)
        self.kernels: set[str] = set()

    @contextmanager
    def run(self, dtype: str, obstacle: str | None = None) -> Iterator[None]:
        """Record the block as on Ascend, call by call rather than as graphs.

        An `obstacle` makes attention the vendor's.
        """
        with using(Policy(device="Ascend", dtype=dtype, jit=False)), device_ops(obstacle), \
                self.recorder.recording(), kernels_run(self.kernels):
            yield

    def rows(self, named: set[str] = frozenset()) -> list[Row]:
        """Make one row for each call and each primitive; `named` are calls in the sources."""
        calls = self.recorder.calls
        rows = [call_row(name, calls.get(name, set()), name in self.recorder.broken)
                for name in sorted({*calls, *named})]
        return rows + [kernel_row(name) for name in sorted(self.kernels)]


def attention_and_gradients() -> None:
    """Call our op or the vendor's as a use site would in bf16, backwards too."""
    rng = np.random.default_rng(0)
    shapes = ((1, 3, 20, 2, 16), (1, 3, 20, 2, 16), (1, 3, 20, 2, 16), (1, 1, 2, 20, 20))
    low = [Tensor(rng.normal(size=s).astype(np.float32)).astype(mindspore.bfloat16) for s in shapes]
    mask = Tensor(rng.random((1, 3, 1, 1, 20)) < 0.7)

    def total(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        out = evoformer_attention(q, k, v, bias, mask, gate=q)
        return (out.astype(mindspore.float32) * 2).sum()

    mindspore.value_and_grad(total, (0, 1, 2, 3))(*low)


def table(rows: list[Row]) -> str:
    """Render rows as text, what is open first."""
    lines = ["| call | Ascend | types | axes | finding | reason |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: not r.open):
        served = "documented" if "Ascend" in row.platforms else row.registered or "?"
        kind = "kernel " if row.kernel else ""
        ranks = " ".join(map(str, row.ranks))
        what = "; ".join(row.findings)
        lines.append(f"| {kind}{row.name} | {served} | {' '.join(row.types)} | {ranks} | {what} | "
                     f"{row.reason or ('OPEN' if row.open else '')} |")
    return "\n".join(lines)
