# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms doctor`: check this installation, a line per subject, with the fix of a failure."""

from __future__ import annotations

import argparse
import importlib
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from protenix_ms.cli import launch
from protenix_ms.cli.arguments import add_shared
from protenix_ms.cli.report import Console, table
from protenix_ms.config import DEMO_MODEL, require_variant
from protenix_ms.config.home import ascend_op_folder, databases_dir, weights_dir
from protenix_ms.errors import ProtenixError
from protenix_ms.files import file_sha256
from protenix_ms.predict.weights import find_weights
from protenix_ms.search.databases import find_databases
from protenix_ms.search.programs import PACKAGES

_LEAST_MEMORY = 4e9  # bytes; protenix_tiny on a small job


@dataclass(frozen=True)
class Finding:
    """One line: a subject, its state, and the fix where it is not well.

    Attributes:
        needed: whether a prediction fails without it.
    """

    subject: str
    state: str
    fix: str = ""
    needed: bool = True

    def __str__(self) -> str:
        mark = "ok  " if not self.fix else ("FAIL" if self.needed else "note")
        remedy = f"  -> {self.fix}" if self.fix else ""
        return f"{mark}  {self.subject:<10}  {self.state}{remedy}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Check this installation for predictions on a device, or weights by "
                          "deposited structures that the package carries.")
    add_shared(parser, "--device")
    parser.add_argument("--weights", metavar="NAME", help="predict three small deposits with the "
                        "weights of a model (`demo` is the demonstration model) and judge them")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE",
                        help="with --weights: a file instead of the one in the cache folder")


def run(args: argparse.Namespace) -> int:
    """Print every finding as it comes; 0 when nothing needed is missing, 1 otherwise.

    Raises:
        ProtenixError: the weights that are to be tried cannot be used.
    """
    if args.weights is not None:
        return _judge(args)
    failed = False
    for check in (python(), numpy(), memory(), compiler(), plots(), dictionary(), weights(),
                  search_tools(), databases(),  # what takes seconds comes last
                  mindspore(args.device), attention(args.device)):
        for finding in check:
            print(finding, flush=True)
            failed |= bool(finding.fix) and finding.needed
    return int(failed)


def _judge(args: argparse.Namespace) -> int:
    """Print how well weights predict known structures; 0 if as well as expected, else 1."""
    from protenix_ms.predict.trial import report_line, trial_jobs, try_weights

    if args.weights != DEMO_MODEL:
        require_variant(args.weights)
    weights = find_weights(args.weights, args.checkpoint, None, may_be_random=False)
    launch.configure(args.device)
    names = ", ".join(job.name for job in trial_jobs(args.weights))
    print(f"{args.weights}, {weights.label}: predicts {names}", flush=True)
    trials = list(try_weights(args.weights, weights, Console().progress))
    rows = [(t.job, *(f"{t.scores[key]:.3f}" for key in ("lddt", "tm_score", "rmsd", "plddt")),
             f"{t.least} or more", "ok" if t.passed else "LOW") for t in trials]
    print(table(("structure", "lDDT", "TM-score", "RMSD", "pLDDT", "lDDT expected", ""), rows))
    print(f"For a report: {report_line(args.weights, weights, trials)}")
    return int(not all(trial.passed for trial in trials))


def python() -> Iterator[Finding]:
    """Check the interpreter's version."""
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding("python", f"{platform.python_version()} ({sys.executable})",
                  "" if fits else "MindSpore 2.10 has wheels for 3.10 to 3.12 only")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def numpy() -> Iterator[Finding]:
    """Check that numpy is below 2, as MindSpore wants it."""
    number = _version("numpy")
    yield Finding("numpy", number or "absent", "" if number.startswith("1.") else
                  "pip install 'numpy>=1.26,<2': MindSpore fails with numpy 2")


def mindspore(device: str) -> Iterator[Finding]:
    """Check MindSpore's version, and a matrix product on the device."""
    number = _version("mindspore")
    yield Finding("mindspore", number or "absent", "" if number.startswith("2.10") else
                  "pip install mindspore==2.10.0: no other version is tested")
    if number:
        yield Finding("device", device, _device_fault(device))


def _device_fault(device: str) -> str:
    """Say why a small matrix product on the device fails; "" when it works."""
    try:
        launch.configure(device)
        ops = importlib.import_module("mindspore").ops
        one = ops.ones((2, 2))
        right = float(ops.matmul(one, one).sum().asnumpy()) == 8.0
        return "" if right else "a matrix product is wrong: reinstall MindSpore"
    except (ProtenixError, ImportError, RuntimeError, ValueError) as error:
        text = getattr(error, "message", str(error)).strip()
        reason = text.splitlines()[0] if text else type(error).__name__
        return f"{reason}; use --device CPU, or install the driver and CANN of this device"


def attention(device: str) -> Iterator[Finding]:
    """Check our attention op for Ascend: its place, and on Ascend its self-test."""
    place = str(ascend_op_folder() or "not found")
    if device != "Ascend":
        yield Finding("ascend op", f"{place}; only Ascend needs it")
        return
    from protenix_ms.ops.evoformer_attention.dispatch import ascend_obstacle

    reason = ascend_obstacle()
    yield Finding("ascend op", place, f"the vendor's attention serves: {reason}" if reason else "",
                  needed=False)


def memory() -> Iterator[Finding]:
    """Check the memory that this process may still take."""
    from protenix_ms.runtime.resources import available_bytes

    free = available_bytes()
    state = "unknown on this system" if free is None else f"{free / 1e9:.1f} GB free"
    yield Finding("memory", state, "" if free is None or free > _LEAST_MEMORY else
                  "free some: small jobs of the tiny model want 4 GB")


def compiler() -> Iterator[Finding]:
    """Look for a C++ compiler, which builds our CPU kernels."""
    path = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    yield Finding("compiler", path or "none",
                  "" if path else "install g++ 9 or later for faster kernels", needed=False)


def dictionary() -> Iterator[Finding]:
    """Read the chemical component dictionary."""
    from protenix_ms.chem.ccd import ComponentDictionary

    try:
        table = ComponentDictionary.load()
        yield Finding("ccd", f"{len(table)} components, sha256 {table.sha256[:16]}")
    except ProtenixError as error:
        yield Finding("ccd", str(error), "reinstall protenix-ms, or name a table with --ccd")


def plots() -> Iterator[Finding]:
    """Look for matplotlib, which draws pictures."""
    number = _version("matplotlib")
    yield Finding("plots", f"matplotlib {number}" if number else "no matplotlib",
                  "" if number else "pip install matplotlib to get pictures", needed=False)


def search_tools() -> Iterator[Finding]:
    """Look for the programs and the package that `search` calls."""
    programs = [name for name in PACKAGES if shutil.which(name)]
    number = _version("pyhmmer")
    there = [*programs, *([f"pyhmmer {number}"] if number else [])]
    needed = "jackhmmer" in programs or number
    yield Finding("search", ", ".join(there) or "no HMMER, no MMseqs2", "" if needed else
                  "pip install pyhmmer, or apt-get install hmmer mmseqs2, to search for alignments",
                  needed=False)


def databases() -> Iterator[Finding]:
    """List the sequence databases of the default folder."""
    folder = databases_dir()
    try:
        there = find_databases(folder) if folder.is_dir() else []
        fix = "" if there else "protenix-ms fetch databases says what to download"
        yield Finding("databases", ", ".join(database.name for database in there) or
                      f"none in {folder}", fix, needed=False)
    except ProtenixError as error:
        yield Finding("databases", error.where, f"{error.message}; {error.fix}", needed=False)


def weights() -> Iterator[Finding]:
    """List the converted checkpoints of the weights folder, with their digests."""
    folder = weights_dir()
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.ckpt"))
    for path in files:
        yield Finding("weights", f"{path.name}, sha256 {file_sha256(path)}")
    if not files:
        yield Finding("weights", f"none in {folder}", "protenix-ms fetch MODEL, or predict with "
                      "--checkpoint FILE or --random-weights SEED", needed=False)
