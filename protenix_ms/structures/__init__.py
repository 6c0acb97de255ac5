# SPDX-License-Identifier: Apache-2.0
"""From experimental structures to training examples: parse, filter, crop, sample, label."""

from protenix_ms.structures.crop import CropOptions, EmptyCropError
from protenix_ms.structures.entry import Entry, read_entry
from protenix_ms.structures.example import ExampleOptions, TrainingExample, training_example
from protenix_ms.structures.symmetry import Symmetries

__all__ = [
    "CropOptions", "EmptyCropError", "Entry", "ExampleOptions", "Symmetries", "TrainingExample",
    "read_entry", "training_example",
]  # fmt: skip
