# SPDX-License-Identifier: Apache-2.0
"""Test session: shape checks at every annotated call, synchronous errors, recordings."""

import os
import re
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("GLOG_v", "4")
os.environ.setdefault("LAYERNORM_TYPE", "torch")  # at import, else upstream compiles CUDA

import pytest
from jaxtyping import install_import_hook

install_import_hook("protenix_ms", "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]
TOLD = frozenset(os.environ)  # before any test module sets a default of its own


def pytest_collection_finish() -> None:
    """Run kernels in the calling thread: otherwise MindSpore's waiting threads spin, and a busy
    machine is twenty times slower. Tests that never import MindSpore do not load it here."""
    if "mindspore" in sys.modules:
        sys.modules["mindspore"].runtime.launch_blocking()


def _excuse(reason: str) -> str | None:
    """Return why a skip is right: the machine's nature, or a variable that nobody has set."""
    if "this machine has no" in reason:
        return re.search(r"this machine has no.*", reason).group()
    variables = re.findall(r"PROTENIX_\w+", reason)
    if "recording" in reason:
        variables.append("PROTENIX_MS_GOLDEN")
    return next((f"{name} is not set" for name in variables if name not in TOLD), None)


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under PROTENIX_MS_REQUIRE_ORACLE what should run and does not, fails."""
    skipped = report.outcome == "skipped" and not hasattr(report, "wasxfail")
    if not skipped or os.environ.get("PROTENIX_MS_REQUIRE_ORACLE") != "1":
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if _excuse(reason) is None:
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


def pytest_terminal_summary(terminalreporter) -> None:
    """Count the skips by their excuse, so that a green run says what it did not try."""
    skips = terminalreporter.stats.get("skipped", [])
    reasons = Counter(_excuse(str(s.longrepr)) or "other reasons" for s in skips)
    if reasons:
        terminalreporter.section("not tried here")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5d} tests: {reason}")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of recordings of upstream: those that PROTENIX_MS_GOLDEN names, else
    those of the clone."""
    return Path(os.environ.get("PROTENIX_MS_GOLDEN", ROOT / "tests" / "golden"))


@pytest.fixture(scope="session")
def ccd():
    """Load the shipped component table."""
    from protenix_ms.chem.ccd import ComponentDictionary  # after the import hook

    return ComponentDictionary.load()


@pytest.fixture(scope="session")
def deposits() -> Path:
    """Return the folder of deposited structures (gzipped mmCIF, wwPDB) that the clone carries."""
    return ROOT / "tests" / "golden" / "cif"


@pytest.fixture(scope="session")
def shared_examples() -> Path:
    """Return the folder of real inputs of users; skipped loudly where nobody says where they
    are."""
    if "PROTENIX_MS_EXAMPLES" not in os.environ:
        pytest.skip("no examples: set PROTENIX_MS_EXAMPLES")
    return Path(os.environ["PROTENIX_MS_EXAMPLES"])


@pytest.fixture(scope="session")
def cases() -> Path:
    """Return the folder of inputs that failed once, each in a folder with `expect.md`; skipped
    loudly where absent."""
    path = os.environ.get("PROTENIX_MS_CASES")
    if path is None:
        pytest.skip("no inputs that failed once: set PROTENIX_MS_CASES")
    return Path(path)
