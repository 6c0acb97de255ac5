# SPDX-License-Identifier: Apache-2.0
"""Every contraction of the model, and how many tensors each permutes physically.

A contraction that is not in the table, or that needs another layout, does not slip in.
"""

import ast
from dataclasses import replace
from pathlib import Path

import prediction_replay as replay
import pytest
from prediction_recording import Recording

from protenix_ms.model import residual
from protenix_ms.ops import einsum as module
from protenix_ms.runtime.policy import policy, using

PACKAGE = Path(module.__file__).parents[1]

CASES = (  # recording, whether kernels serve, from how many numbers on lean forms run
    ("protenix_base_default_v1.0.0_msa", True, residual.SMALL),
    ("protenix_base_constraint_v0.5.0", False, residual.SMALL),
    ("protenix_base_default_v1.0.0_msa", False, 0),
)
PERMUTES = {
    # The paper's forms of layers, for inputs so small that their layout does not matter.
    "ikc,jkc->ijc": 3,  # triangle multiplication, outgoing and incoming
    "kic,kjc->ijc": 3,
    "mic,mjd->ijcd": 0,  # outer product mean
    "hij,mjhd->mihd": 2,  # MSA pair-weighted averaging
    "mi,oi->mo": 0,  # every Linear; below it, channels first, and back
    "oi,mi->om": 0,
    "im,oi->mo": 0,
    "hc,qkc->hqk": 0,  # attention bias from the pair, of all blocks at once
    "hc,wqkc->whqk": 0,  # of one block, in atom windows too
    "mi,mj->ij": 0,  # outer product mean, lean: one channel of one side at a time
    "hrj,hij->hri": 0,  # MSA pair-weighted averaging, lean
    "rnk,k->rn": 0,  # contact probabilities
    "ac,ck->ak": 0,  # confidence of the atoms at one place of their tokens
    "li,oi->lo": 0,  # packed projection of the substructure encoder
    # The composed attention, which serves where no kernel does: heads lie inside tokens.
    "gqhd,gkhd->ghqk": 2,
    "ghqk,gkhd->gqhd": 2,
}
# Products that do not go through the planner: (file, how many).
BY_HAND = {
    "ops/evoformer_attention/vendor.py": 1,
    "ops/functional.py": 1,  # a transpose by an identity matrix
    "esm/layers.py": 1,  # a tied weight, transposed
    "esm/contacts.py": 2,  # weighted sums of maps
    "cli/doctor.py": 1,
    "train/setup.py": 1,  # asks how fast the machine is
}
TRIANGLE = {"cik,cjk->cij": "batch of x y^T", "cki,ckj->cij": "batch of x^T y"}


@pytest.fixture(scope="module")
def plans(golden) -> dict[str, set[module.Plan]]:
    """Collect plans that small predictions ask for, by equation."""
    by_equation: dict[str, set[module.Plan]] = {}
    original, small = module.plan, residual.SMALL

    def recorded_plan(equation, x, y):
        by_equation.setdefault(equation, set()).add(new_plan := original(equation, x, y))
        return new_plan

    module.plan = recorded_plan
    try:
        for case, kernels, residual.SMALL in CASES:
            recording = Recording.read(golden / "tiny" / case)
            with using(replace(policy(), kernels=kernels)):
                replay.run(recording, replay.build(recording))
    finally:
        module.plan, residual.SMALL = original, small
    return by_equation


def test_every_equation_is_known(plans):
    assert set(plans) == set(PERMUTES)


@pytest.mark.parametrize("equation", PERMUTES)
def test_physical_permutes(plans, equation):
    """The most that any shape needs: axes of one element have no order."""
    assert max(plan.permutes for plan in plans[equation]) == PERMUTES[equation]


@pytest.mark.parametrize("equation", TRIANGLE)
def test_triangle_multiplication_permutes_nothing(equation):
    shape = (32, 50, 50)
    assert str(module.plan(equation, shape, shape)) == TRIANGLE[equation]


def products(path: Path) -> int:
    """Count the matrix products that a file names."""
    names = {"MatMul", "BatchMatMul", "matmul", "bmm", "mm"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sum(isinstance(node, ast.Attribute) and node.attr in names
               and ast.unparse(node.value) in ("ops", "mint") for node in ast.walk(tree))


def test_no_product_avoids_the_planner():
    places = {str(path.relative_to(PACKAGE)): products(path) for path in PACKAGE.rglob("*.py")}
    counts = {place: count for place, count in places.items() if count}
    del counts["ops/einsum.py"]
    assert counts.keys() <= BY_HAND.keys()
    assert all(count <= BY_HAND[place] for place, count in counts.items())
