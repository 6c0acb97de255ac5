# SPDX-License-Identifier: Apache-2.0
"""`import protenix_ms` is cheap, and its three functions work whatever was imported before."""

import subprocess
import sys


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=True)
    return done.stdout.strip()


def test_import_and_reading_jobs_load_no_mindspore():
    code = "import protenix_ms, protenix_ms.io, sys; print('mindspore' in sys.modules)"
    assert python(code) == "False"


def test_predict_can_be_called_before_and_after_its_package_is_imported():
    code = ("import protenix_ms\n"
            "first = callable(protenix_ms.predict)\n"
            "import protenix_ms.predict.api, protenix_ms.predict.weights\n"
            "print(first, callable(protenix_ms.predict), callable(protenix_ms.load),\n"
            "      callable(protenix_ms.read_jobs))")
    assert python(code) == "True True True True"


def test_the_package_passes_its_arguments_on(predictor, jobs):
    import protenix_ms.predict

    result = protenix_ms.predict(predictor, jobs[0], seed=102, progress=lambda *_: None)
    assert result.seed == 102 and result.samples[0].summary["ranking_score"] == 0.9
