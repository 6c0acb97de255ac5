# SPDX-License-Identifier: Apache-2.0
"""`import protenix_ms` is cheap, and its three functions work whatever was imported before."""

import subprocess
import sys

import pytest

from protenix_ms.errors import InputError


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=True)
    return done.stdout.strip()


def test_import_and_reading_jobs_load_no_mindspore():
    code = "import protenix_ms, protenix_ms.io, sys; print('mindspore' in sys.modules)"
    assert python(code) == "False"


def test_read_jobs_of_the_package_loads_no_mindspore(tmp_path):
    (tmp_path / "j.fasta").write_text(">a\nMKV\n")
    code = ("import protenix_ms, sys\n"
            f"(job,) = protenix_ms.read_jobs({str(tmp_path / 'j.fasta')!r})\n"
            "print(job.name, 'mindspore' in sys.modules, protenix_ms.read_jobs.__module__)")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, timeout=120, check=True)
    assert done.stdout.split() == ["j", "False", "protenix_ms.io.detect"] and done.stderr == ""


def test_predict_can_be_called_before_and_after_its_package_is_imported():
    code = ("import protenix_ms\n"
            "first = callable(protenix_ms.predict)\n"
            "import protenix_ms.predict.predictor, protenix_ms.predict.weights\n"
            "print(first, callable(protenix_ms.predict), callable(protenix_ms.load),\n"
            "      callable(protenix_ms.read_jobs))")
    assert python(code) == "True True True True"


def test_the_package_passes_its_arguments_on(predictor, jobs):
    import protenix_ms.predict

    result = protenix_ms.predict(predictor, jobs[0], seed=102, progress=lambda *_: None)
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match="seed: expected a whole number from 0 to 4294967295"):
            protenix_ms.predict(predictor, jobs[0], seed=seed)
    assert result.seed == 102 and result.samples[0].summary["ranking_score"] == 0.9
