# SPDX-License-Identifier: Apache-2.0
"""An unforeseen error is one line, and one that means too little memory says so."""

import pytest

from protenix_ms.errors import InputError, explain

STACK = "\n\n----\n- C++ Call Stack: (For framework developers)\n----\nmindspore/x.cc:1300 {}\n"


@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("std::bad_alloc"), OSError(12, "Cannot allocate memory"),
    RuntimeError("Allocate memory failed" + STACK.format("MallocForOutputs")),
    RuntimeError("Resource temporarily unavailable"),
    RuntimeError("Out of memory: need 5 GB" + STACK.format("Run")),
])
def test_out_of_memory_in_every_dialect(error):
    assert "memory of this process ran out" in explain(error) and "\n" not in explain(error)


def test_other_errors_are_one_line_without_the_stack():
    assert explain(RuntimeError("bad\n  shape" + STACK.format("Run"))) == "RuntimeError: bad shape"
    assert explain(KeyError()) == "KeyError: no message"
    assert explain(InputError("no chain", where="x.json")) == "x.json: no chain."
