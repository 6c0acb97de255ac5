# SPDX-License-Identifier: Apache-2.0
"""What stands around our op on Ascend: the script that verifies it, and its sources."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_verification_keeps_the_python_path_of_the_toolkit(tmp_path):
    line = next(x for x in (ROOT / "scripts/verify_on_ascend.sh").read_text().splitlines()
                if "PYTHONPATH=" in x)
    value = line.split()[0]
    printed = subprocess.run(
        ["bash", "-c", f'root=/ours; {value} bash -c \'echo "$PYTHONPATH"\''], check=True,
        env=os.environ | {"PYTHONPATH": "/toolkit"}, capture_output=True, text=True).stdout
    assert printed.strip() == "/ours:/toolkit"


def test_host_functions_stay_out_of_the_kernels():
    source = (ROOT / "protenix_ms/ops/evoformer_attention/csrc/ascend/op_kernel/evo_sync.h")
    text = source.read_text()
    assert text.index("#define EVO_KERNEL") < text.index('#include "evo_tiling.h"')
