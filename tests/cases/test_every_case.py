# SPDX-License-Identifier: Apache-2.0
"""Each folder of PROTENIX_MS_CASES is checked in tests/cases, or stands here with the reason."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Checks that read no file of the folder: what its expect.md tells is in the test itself.
READS_NOTHING = {
    "attack-mmseqs": ("test_training.py", "test_data_without_protein_need_no_mmseqs"),
    "attack-seeds": ("test_chem.py", "test_seeds"),
    "clients-model-suggestion": ("test_chem.py", "test_model_suggestion"),
}
NOT_YET: dict[str, str] = {}


def test_every_folder_is_checked_or_excused(cases):
    checks = {path.name: path.read_text() for path in HERE.glob("test_*.py")}
    for name, (file, test) in READS_NOTHING.items():
        assert f"def {test}(" in checks[file], name
    named = "\n".join(text for file, text in checks.items() if file != "test_every_case.py")
    # the name alone or with a file, in quotes
    left = [folder.name for folder in sorted(cases.iterdir()) if folder.is_dir()
            and folder.name not in {*READS_NOTHING, *NOT_YET, "attack-fuzz"}
            and not re.search(rf'"{re.escape(folder.name)}[/"]', named)]
    assert left == [], "write a check in tests/cases, or a reason into NOT_YET"


@pytest.mark.parametrize("category", ["json", "a3m"])
def test_damaged_files_are_refused_by_typed_errors(cases, tmp_path, category):
    """A glance; the 10 000 cases of a release are run by hand, with seeds of the day."""
    done = subprocess.run(
        [sys.executable, cases / "attack-fuzz" / "fuzz.py", category, "40", "5"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and f"{category} seed 5: 40 cases" in done.stdout, done.stderr
    assert "UNTYPED" not in done.stdout and "HANG" not in done.stdout, done.stdout
