# SPDX-License-Identifier: Apache-2.0
"""Turn experimental structures into training examples: parse, filter, crop, sample, label.

`read_entry` makes an `Entry` of an mmCIF file (upstream `MMCIFParser`); `training_example` makes
features, labels and permutations of a crop of it (upstream `BaseSingleDataset`); `preparation`
does the first for a folder, and `dataset` the second, ahead of time and in a fixed order.
"""

from protenix_ms.data.constraints import ConstraintSampling
from protenix_ms.data.crop import CropOptions, EmptyCropError
from protenix_ms.data.dataset import (
    DataOptions,
    DrawnExample,
    HeldOut,
    Loader,
    Source,
    TrainingData,
)
from protenix_ms.data.entry import Entry, read_entry
from protenix_ms.data.example import ExampleOptions, TrainingExample, training_example
from protenix_ms.data.index import RowFilter, Weighting
from protenix_ms.data.symmetry import Symmetries

__all__ = [
    "ConstraintSampling", "CropOptions", "DataOptions", "DrawnExample", "EmptyCropError", "Entry",
    "ExampleOptions", "HeldOut", "Loader", "RowFilter", "Source", "Symmetries", "TrainingData",
    "TrainingExample", "Weighting", "read_entry", "training_example",
]  # fmt: skip
