# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms doctor`: is this installation fit to predict? One line each, a fix per failure."""

from __future__ import annotations

import argparse
import importlib
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from protenix_ms.errors import ProtenixError
from protenix_ms.files import file_sha256

_GIGABYTE = 1e9
_LEAST_MEMORY = 4e9  # bytes; protenix_tiny on a small job


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and the fix when it is not well.

    Attributes:
        needed: whether a prediction fails without it.
    """

    subject: str
    found: str
    fix: str = ""
    needed: bool = True

    def __str__(self) -> str:
        mark = "ok  " if not self.fix else ("FAIL" if self.needed else "note")
        remedy = f"  -> {self.fix}" if self.fix else ""
        return f"{mark}  {self.subject:<10}  {self.found}{remedy}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Check this installation."
    parser.add_argument("--device", choices=("CPU", "Ascend"), default="CPU",
                        help="the device that predictions shall run on (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print every finding; 0 when nothing needed is missing, 1 otherwise."""
    failed = False
    for check in (python, numpy, memory, compiler, plots, dictionary, weights,
                  mindspore(args.device), attention(args.device)):  # what takes seconds comes last
        for finding in check():
            print(finding, flush=True)
            failed |= bool(finding.fix) and finding.needed
    return int(failed)


def python() -> Iterator[Finding]:
    """The interpreter."""
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding("python", f"{platform.python_version()} ({sys.executable})",
                  "" if fits else "MindSpore 2.10 has wheels for 3.10 to 3.12 only")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def numpy() -> Iterator[Finding]:
    """numpy below 2, as MindSpore wants it."""
    found = _version("numpy")
    fits = found is not None and found.startswith("1.")
    yield Finding("numpy", found or "absent",
                  "" if fits else "pip install 'numpy>=1.26,<2': MindSpore fails with numpy 2")


def mindspore(device: str) -> Callable[[], Iterator[Finding]]:
    """MindSpore's version, and a product on the device."""

    def check() -> Iterator[Finding]:
        found = _version("mindspore")
        if found is None:
            yield Finding("mindspore", "absent", "pip install mindspore==2.10.0")
            return
        yield Finding("mindspore", found, "" if found.startswith("2.10") else
                      "pip install mindspore==2.10.0: no other version is tested")
        yield Finding("device", device, _device_fault(device))

    return check


def _device_fault(device: str) -> str:
    """Why a small matrix product on the device fails; "" when it works."""
    from protenix_ms.cli import launch

    try:
        launch.configure(device)
        ops = importlib.import_module("mindspore").ops
        one = ops.ones((2, 2))
        if float(ops.matmul(one, one).sum().asnumpy()) == 8.0:
            return ""
        return "a matrix product is wrong: reinstall MindSpore"
    except (ImportError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"{reason}; use --device CPU, or install the driver and CANN of this device"


def attention(device: str) -> Callable[[], Iterator[Finding]]:
    """Our attention op for Ascend: where it is, and on Ascend whether it passes its self-test."""

    def check() -> Iterator[Finding]:
        from protenix_ms.config.home import ascend_op_folder

        found = str(ascend_op_folder() or "not found")
        if device != "Ascend":
            yield Finding("ascend op", f"{found}; only Ascend needs it")
            return
        from protenix_ms.ops.evoformer_attention.dispatch import ascend_obstacle

        reason = ascend_obstacle()
        yield Finding("ascend op", found, f"the vendor's attention serves: {reason}" if reason
                      else "", needed=False)

    return check


def memory() -> Iterator[Finding]:
    """Memory that is free now."""
    from protenix_ms.runtime.resources import available_bytes

    free = available_bytes()
    if free is None:
        yield Finding("memory", "unknown on this system")
        return
    yield Finding("memory", f"{free / _GIGABYTE:.1f} GB free", "" if free > _LEAST_MEMORY else
                  "free some: small jobs of the tiny model want 4 GB")


def compiler() -> Iterator[Finding]:
    """A C++ compiler, for our own CPU kernels."""
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    yield Finding("compiler", found or "none",
                  "" if found else "install g++ 9 or later for faster kernels", needed=False)


def dictionary() -> Iterator[Finding]:
    """The chemical component dictionary."""
    from protenix_ms.chem.ccd import ComponentDictionary

    try:
        table = ComponentDictionary.load()
        yield Finding("ccd", f"{len(table)} components, sha256 {table.sha256[:16]}")
    except ProtenixError as error:
        yield Finding("ccd", str(error), "reinstall protenix-ms, or name a table with --ccd")


def plots() -> Iterator[Finding]:
    """matplotlib, for pictures."""
    found = _version("matplotlib")
    yield Finding("plots", f"matplotlib {found}" if found else "no matplotlib",
                  "" if found else "pip install matplotlib to get pictures", needed=False)


def weights() -> Iterator[Finding]:
    """Converted checkpoints in the weights folder."""
    from protenix_ms.config.home import weights_dir

    folder = weights_dir()
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.ckpt"))
    for path in files:
        yield Finding("weights", f"{path.name}, sha256 {file_sha256(path)}")
    if not files:
        yield Finding("weights", f"none in {folder}", "protenix-ms fetch MODEL, or predict with "
                      "--checkpoint FILE or --random-weights SEED", needed=False)
