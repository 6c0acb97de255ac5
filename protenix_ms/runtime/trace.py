# SPDX-License-Identifier: Apache-2.0
"""`trace(name, x)` shows intermediate values to a replay.

Without a listener a call costs one comparison. The model calls it after every stage whose value
a recording of upstream may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_sink: Callable[[str, object], None] | None = None


def trace(name: str, value: object) -> None:
    """Show `value` (a tensor or a tuple of tensors) to the listener, if there is one.

    Args:
        name: name of the stage in recordings, e.g. ``pairformer_stack``. The listener counts the
            calls of each name, and copies what it keeps: the model may write over it.
    """
    if _sink is not None:
        _sink(name, value)


def tracing() -> bool:
    """Tell whether someone listens; values for a trace alone need not be computed otherwise."""
    return _sink is not None


@contextmanager
def listening(sink: Callable[[str, object], None]) -> Iterator[None]:
    """Send every `trace` inside the block to `sink(name, value)`."""
    global _sink
    before, _sink = _sink, sink
    try:
        yield
    finally:
        _sink = before
