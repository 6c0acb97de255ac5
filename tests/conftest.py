# SPDX-License-Identifier: Apache-2.0
"""Test session: shape checks at every annotated call, synchronous errors, recordings."""

import os
import re
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "4")
os.environ.setdefault("LAYERNORM_TYPE", "torch")  # at import, else it compiles CUDA (trap H34)

import pytest
from jaxtyping import install_import_hook

install_import_hook("protenix_ms", "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]
TOLD = frozenset(os.environ)  # before any test module sets a default of its own


def pytest_collection_finish() -> None:
    """Kernels run in the calling thread: otherwise MindSpore's waiting threads spin, and a busy
    machine is twenty times slower. Tests that never import MindSpore do not load it here."""
    if "mindspore" in sys.modules:
        sys.modules["mindspore"].runtime.launch_blocking()


def _excused(reason: str) -> bool:
    """Whether a skip names data whose place nobody has told: absent by design."""
    variables = re.findall(r"PROTENIX_\w+", reason)
    if "recording" in reason:
        variables.append("PROTENIX_MS_GOLDEN")
    return any(name not in TOLD for name in variables)


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under PROTENIX_MS_REQUIRE_ORACLE what should run and does not, fails."""
    skipped = report.outcome == "skipped" and not hasattr(report, "wasxfail")
    if not skipped or os.environ.get("PROTENIX_MS_REQUIRE_ORACLE") != "1":
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not _excused(reason):
        report.outcome = "failed"
        report.longrepr = f"must run here (PROTENIX_MS_REQUIRE_ORACLE), but: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _judge(report)
    return report


@pytest.fixture(scope="session")
def golden() -> Path:
    """Recordings of upstream: the large set where it is, else what the project carries."""
    default = ROOT.parent / "shared" / "golden"
    path = Path(os.environ.get("PROTENIX_MS_GOLDEN", default))
    return path if path.is_dir() else ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_examples() -> Path:
    """Real inputs; skipped loudly where the workplace does not have them."""
    path = Path(os.environ.get("PROTENIX_MS_EXAMPLES", ROOT.parent / "shared" / "examples"))
    if not path.is_dir():
        pytest.skip(f"no examples at {path}: set PROTENIX_MS_EXAMPLES")
    return path


@pytest.fixture(scope="session")
def cases() -> Path:
    """Inputs that failed once, each in a folder with `expect.md`; skipped loudly where absent."""
    path = os.environ.get("PROTENIX_MS_CASES")
    if path is None:
        pytest.skip("no inputs that failed once: set PROTENIX_MS_CASES")
    return Path(path)
