# SPDX-License-Identifier: Apache-2.0
"""doctor: one line per subject, a fix for each failure, an exit code that tells."""

import argparse
import subprocess
import sys

import pytest

from protenix_ms.cli import doctor, launch
from protenix_ms.config.home import ASCEND_HEADER
from protenix_ms.ops.evoformer_attention import dispatch

CPU = argparse.Namespace(device="CPU", weights=None)
SUBJECTS = ["python", "numpy", "memory", "compiler", "plots", "ccd", "weights", "search",
            "databases", "mindspore", "device", "ascend"]


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """Fake the device: it can be set once per process, and other tests have used MindSpore in
    this one."""
    monkeypatch.setattr(launch, "configure", lambda device: None)


def test_the_command_in_a_process_of_its_own():
    done = subprocess.run([sys.executable, "-m", "protenix_ms.cli.main", "doctor"], text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    device" in done.stdout and "47353 components" in done.stdout


def test_one_line_each(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "m.safetensors").write_bytes(b"abc")
    monkeypatch.setattr(doctor, "dictionary", lambda: iter([doctor.Finding("ccd", "fine")]))
    assert doctor.run(CPU) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == SUBJECTS
    assert "ba7816bf8f01cfea" in lines[SUBJECTS.index("weights")]


def test_lines_come_before_mindspore_is_imported():
    """Whoever waits for the import has read everything else by then."""
    code = ("import sys\nfrom protenix_ms.cli import doctor, launch\n"
            "def stop(device): sys.exit('mindspore' in sys.modules)\n"
            "launch.configure = stop\n"
            "import argparse\ndoctor.run(argparse.Namespace(device='CPU', weights=None))")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = [line.split()[1] for line in done.stdout.splitlines()]
    assert shown == SUBJECTS[:SUBJECTS.index("device")]


def test_a_failure_has_a_fix_and_an_exit_code(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PROTENIX_MS_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_version", lambda package: "2.4.1" if package == "numpy" else "")
    monkeypatch.setattr(doctor, "dictionary", lambda: iter([doctor.Finding("ccd", "fine")]))
    assert doctor.run(CPU) == 1
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["numpy"].startswith("FAIL") and "numpy>=1.26,<2" in lines["numpy"]
    assert lines["mindspore"].startswith("FAIL") and "mindspore==2.10.0" in lines["mindspore"]
    assert lines["weights"].startswith("note") and "protenix-ms fetch" in lines["weights"]
    assert lines["plots"].startswith("note")


def test_a_device_that_is_not_there(monkeypatch):
    def absent(device):
        raise RuntimeError("no device\nlong story")

    monkeypatch.setattr(launch, "configure", absent)
    (_, finding) = doctor.mindspore("Ascend")
    assert finding.fix.startswith("no device; use --device CPU")


def test_the_op_for_ascend_is_found_or_says_what_serves(monkeypatch, tmp_path):
    monkeypatch.delenv("ASCEND_CUSTOM_OPP_PATH", raising=False)
    (finding,) = doctor.attention("CPU")
    assert str(finding).startswith("ok") and "not found" in finding.state
    header = tmp_path / ASCEND_HEADER
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", f"/elsewhere:{tmp_path}")
    for reason in ("its self-test is off", None):
        monkeypatch.setattr(dispatch, "ascend_obstacle", lambda reason=reason: reason)
        (finding,) = doctor.attention("Ascend")
        assert finding.state == str(tmp_path)
        assert str(finding).startswith("note" if reason else "ok") and (reason or "") in finding.fix


def test_no_compiler_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    (finding,) = doctor.compiler()
    assert str(finding).startswith("note") and "g++" in finding.fix
