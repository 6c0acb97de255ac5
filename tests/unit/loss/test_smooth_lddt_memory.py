# SPDX-License-Identifier: Apache-2.0
"""Smooth lDDT never holds an atom-by-atom matrix, neither forward nor for the backward pass."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ATOMS = 6000
MATRIX = 4 * ATOMS**2 / 1e6  # 144 MB

# A process of its own: MindSpore's pool would serve a matrix from what other tests gave back.
CODE = """
import json, sys
from pathlib import Path

import mindspore as ms
import numpy as np
from smooth_lddt_forms import dense_smooth_lddt_loss
from protenix_ms.loss.smooth_lddt import Neighbours, smooth_lddt_loss
from protenix_ms.runtime.policy import Policy, using

ms.runtime.launch_blocking()

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))

def added(form, atoms):
    known = (20 * np.random.default_rng(0).standard_normal((atoms, 3))).astype("f4")
    ones = np.ones(atoms, "f4")
    near = Neighbours(ms.Tensor(known), ms.Tensor(ones), ms.Tensor(15 * ones))
    x = ms.Tensor(1.1 * known[None])
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    _, gradient = ms.value_and_grad(lambda x: form(x, near))(x)
    assert np.abs(gradient.asnumpy()).max() > 0
    return status("VmHWM") - before

most, found = int(sys.argv[1]), {}
forms = {"kernel": (smooth_lddt_loss, Policy(), most),
         "rows": (smooth_lddt_loss, Policy(kernels=False, chunk=64), most),
         "dense": (dense_smooth_lddt_loss, Policy(), most // 3)}
for name, (form, policy, atoms) in forms.items():
    with using(policy):
        added(form, 50)  # loads the operators
        found[name] = added(form, atoms)
print(json.dumps(found))
"""


def test_no_matrix_of_pairs():
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "oracle")])
    done = subprocess.run([sys.executable, "-c", CODE, str(ATOMS)], cwd=ROOT, check=True,
                          env={**os.environ, "PYTHONPATH": path},
                          stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["kernel"] < MATRIX / 4 and measured["rows"] < MATRIX / 2, measured
    # What this would show: the form that keeps all pairs, of a third of the atoms.
    assert measured["dense"] > MATRIX, measured
