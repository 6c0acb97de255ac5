# SPDX-License-Identifier: Apache-2.0
"""No sum of an inner loop is kept on the stack: read from the compiled units, of every
instruction set, also of one that this machine cannot run."""

import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

from protenix_ms.ops import compile_kernels

UNITS = {"isa_plain.cc": r"mulps|vfmadd", "isa_avx2.cc": "vfmadd", "isa_avx512.cc": "vfmadd"}
"""Units, and the instruction by which each multiplies."""

FEWEST = 12  # multiplications of the loop of a product
JUMP = re.compile(r"j(?!mp)\w+\s+([0-9a-f]+)\b")
OTHER = re.compile(r"j|call|v?(div|sqrt)")  # what no loop of a product has
STACK = re.compile(r"\(%r[sb]p\)")


class Loop(NamedTuple):
    """Describes an inner loop: where it stands, how often it multiplies, what it keeps on the
    stack."""

    function: str
    products: int
    broadcasts: int
    stack_operands: int


def functions(listing: str) -> dict[str, list[tuple[int, str]]]:
    """Yield address and instructions of every function that objdump lists."""
    code: dict[str, list[tuple[int, str]]] = {}
    for line in listing.splitlines():
        if title := re.match(r"[0-9a-f]+ <(.*)>:", line):
            current = code.setdefault(title[1], [])
        elif instruction := re.match(r"\s+([0-9a-f]+):\s+(.*)", line):
            current.append((int(instruction[1], 16), instruction[2]))
    return code


def inner_loops(listing: str, multiplies: str) -> list[Loop]:
    """Yield loops of additions and multiplications without a jump inside."""
    loops = []
    for name, code in functions(listing).items():
        place = {address: i for i, (address, _) in enumerate(code)}
        for end, (_, text) in enumerate(code):
            jump = JUMP.match(text)
            start = place.get(int(jump[1], 16)) if jump else None
            if start is None or start >= end:
                continue
            body = [text for _, text in code[start:end]]
            if not any(OTHER.match(text) for text in body):
                loops.append(Loop(name, *(
                    sum(bool(re.search(pattern, text)) for text in body)
                    for pattern in (multiplies, "broadcast|shufps", STACK))))
    return loops


@pytest.mark.parametrize("unit", UNITS)
def test_products_keep_their_sums_in_registers(tmp_path, unit):
    compiler = compile_kernels.find_compiler()
    if compiler is None or shutil.which("objdump") is None:
        pytest.skip("this machine has no C++ compiler or no objdump (binutils)")
    if compile_kernels.machine() not in ("x86_64", "amd64"):
        pytest.skip(f"this machine has no x86 instructions: {compile_kernels.machine()}")
    target = tmp_path / "unit.o"
    flags = (*compile_kernels.FLAGS, *compile_kernels.units()[unit])
    subprocess.run([compiler, *flags, "-c", compile_kernels.SOURCES / unit, "-o", target],
                   check=True, timeout=300)
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", target], check=True,
                             capture_output=True, text=True, timeout=60).stdout
    loops = [loop for loop in inner_loops(listing, UNITS[unit])
             if loop.products >= FEWEST and loop.broadcasts >= 4]
    assert len(loops) >= 5, "the loops of products are not recognised"
    assert not [loop for loop in loops if loop.stack_operands]


def test_a_spilled_sum_is_seen():
    loop = "\n".join(f"  {i:x}:\tvfmadd231ps 0x20(%rsp),%ymm1,%ymm2" for i in range(16, 28))
    listing = f"0000 <pms::edges>:\n{loop}\n  1c:\tjne    10 <pms::edges+0x10>\n"
    assert inner_loops(listing, "vfmadd") == [Loop("pms::edges", 12, 0, 12)]
