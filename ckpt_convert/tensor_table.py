# SPDX-License-Identifier: Apache-2.0
"""What a file says of its tensors before any of them is read."""

from __future__ import annotations


class TensorTable:
    """Names, types and shapes; a reader of one format fills `table` and adds `read`.

    Attributes:
        table: name -> (dtype tag as in safetensors, shape, place in the file), in file order.
    """

    table: dict[str, tuple]

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def names(self) -> list[str]:
        return list(self.table)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.table[name][1]

    def dtype(self, name: str) -> str:
        return self.table[name][0]
