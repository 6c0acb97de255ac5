# SPDX-License-Identifier: Apache-2.0
"""The tables of csrc/ascend/README.md: errors against float64, mutation score, predicted work.

    PYTHONPATH=tests/ascend_emu python tests/ascend_emu/report.py [errors] [mutations] [work]

All three without arguments; some minutes. Emulated, not hardware.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import emulated_device as device
import predict
from emulated_device import BF16, HALF, Machine
from mutations import Trial, relative_error, survivors

Case = tuple[tuple[int, int, int, int, int], int | None, bool, int, int]
NAMES = ("out", "lse", "dq", "dk", "dv", "dbias")

# (g, h, sq, sk, d), groups of bias, masked, dtype, cores
CASES: list[Case] = [
    ((1, 1, 16, 16, 16), None, False, HALF, 1),
    ((1, 1, 1, 1, 8), 1, False, HALF, 1),
    ((3, 2, 1, 65, 16), 3, True, HALF, 4),
    ((2, 2, 37, 77, 24), 1, True, HALF, 2),
    ((3, 1, 129, 520, 64), 3, True, HALF, 2),
    ((4, 2, 100, 300, 48), 2, True, BF16, 3),
    ((3, 3, 33, 191, 40), 1, True, BF16, 4),
    ((5, 2, 32, 128, 32), 5, True, HALF, 3),  # atom windows
    ((8, 1, 64, 64, 32), 1, False, HALF, 4),  # groups of one bias in several segments
    ((1, 1, 512, 512, 32), 1, True, HALF, 2),
]


def errors(case: Case) -> dict[str, float]:
    """Compute the largest error over the largest value (at least 1) of each output and gradient."""
    sizes, groups, masked, dtype, cores = case
    trial = Trial(device.random_case(sizes, groups, masked, dtype), cores)
    return {
        name: relative_error(x, trial.answer[name])
        for grad in (False, True) for name, x in trial.run(grad, Machine(cores=cores)).items()
    }


def error_rows() -> Iterator[str]:
    """Yield the lines of the table of errors."""
    yield f"| G, H, Sq, Sk, D | biases | mask | type | blocks | {' | '.join(NAMES)} |"
    yield "|---" * (5 + len(NAMES)) + "|"
    for case in CASES:
        sizes, groups, masked, dtype, cores = case
        error_of = errors(case)
        numbers = " | ".join(f"{error_of[n]:.0e}" if n in error_of else "" for n in NAMES)
        yield (f"| {', '.join(map(str, sizes))} | {groups or 'none'} | {'yes' if masked else 'no'} "
               f"| {'fp16' if dtype == HALF else 'bf16'} | {cores} | {numbers} |")


def mutation_rows() -> Iterator[str]:
    """Tell how many mutants of each kernel are noticed."""
    for grad, name in ((False, "forward"), (True, "backward")):
        alive, count = survivors(grad)
        yield f"mutants noticed, {name}: {count - len(alive)} of {count} {alive or ''}"


TABLES = {"errors": error_rows, "mutations": mutation_rows, "work": predict.rows}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or TABLES:
        print(*TABLES[wanted](), sep="\n", flush=True)
