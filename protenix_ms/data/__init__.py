# SPDX-License-Identifier: Apache-2.0
"""From experimental structures to training examples: parse, filter, crop, sample, label.

`read_entry` makes an `Entry` of an mmCIF file (upstream `MMCIFParser`); `training_example` makes
features, labels and permutations of a crop of it (upstream `BaseSingleDataset`); `preparation`
does the first for a folder, and `loader` the second, ahead of time and in an order that does not
change.
"""

from protenix_ms.data.constraint_options import ConstraintSampling
from protenix_ms.data.crop import CropOptions, EmptyCropError
from protenix_ms.data.dataset import DataOptions, Source, TrainingData
from protenix_ms.data.entry import Entry, read_entry
from protenix_ms.data.example import ExampleOptions, TrainingExample, training_example
from protenix_ms.data.loader import Loaded, Loader
from protenix_ms.data.sampling import RowFilter, Weighting
from protenix_ms.data.symmetry import Symmetries

__all__ = [
    "ConstraintSampling", "CropOptions", "DataOptions", "EmptyCropError", "Entry",
    "ExampleOptions", "Loaded", "Loader", "RowFilter", "Source", "Symmetries", "TrainingData",
    "TrainingExample", "Weighting", "read_entry", "training_example",
]  # fmt: skip
