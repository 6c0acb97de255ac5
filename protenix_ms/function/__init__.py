# SPDX-License-Identifier: Apache-2.0
"""The function head: terms of a protein from the mean of its residues' vectors."""

from protenix_ms.function.head import FunctionHead, HeadSizes

__all__ = ["FunctionHead", "HeadSizes"]
