# SPDX-License-Identifier: Apache-2.0
"""One recorded case of upstream: configuration, features, outputs, and its rule-made weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import mindspore as ms
import numpy as np
import pytest

from protenix_ms.config.variants import from_upstream


class Recording:
    """Holds a folder of ``golden/tiny`` or ``golden/full`` (`tests/golden/README.md`)."""

    def __init__(self, folder: Path) -> None:
        self.meta = json.loads((folder / "meta.json").read_text())
        self.config = from_upstream(self.meta["config"])
        with np.load(folder / "features.npz") as z:
            self.features = {k: z[k] for k in z.files}
        with np.load(folder / "outputs.npz") as z:
            self.outputs = {k: z[k] for k in z.files}

    def __getitem__(self, key: str) -> np.ndarray:
        return self.outputs[key]

    @property
    def trunk(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return s_inputs, s, z after the last cycle."""
        last = self.config.model.N_cycle - 1
        stack = f"act/pairformer_stack#{last}"
        return self["act/input_embedder#0"], self[f"{stack}/0"], self[f"{stack}/1"]

    def _weight(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Apply the rule of `tests/golden/README.md`."""
        if f"const/{name}" in self.outputs:
            return self[f"const/{name}"]
        seed = (crc32(name.encode()) + self.meta["wseed"]) % 2**32
        x = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
        if len(shape) == 1:
            return 1 + np.float32(0.1) * x if name.endswith(".weight") else np.float32(0.1) * x
        fan = shape[1] if len(shape) == 3 else shape[-1]
        return (x * self.meta["gain"] / np.sqrt(fan)).astype(np.float32)

    def load(self, cell: ms.nn.Cell, prefix: str) -> ms.nn.Cell:
        """Give `cell` the weights of upstream's module `prefix`, all of them."""
        parameters = {f"{prefix}.{n}": p for n, p in cell.parameters_and_names()}
        theirs = {n: s for n, s in self.names() if n.startswith(f"{prefix}.")}
        assert {n: list(p.shape) for n, p in parameters.items()} == theirs
        for name, parameter in parameters.items():
            parameter.set_data(ms.Tensor(self._weight(name, tuple(parameter.shape))))
        return cell

    def names(self) -> Iterator[tuple[str, list[int]]]:
        """List names and shapes of upstream's state dict."""
        state = self.meta["state_dict"]
        yield from ((n, list(s)) for n, s in (state.items() if isinstance(state, dict) else state))

    def draws(self, kind: str, function: str) -> list[np.ndarray]:
        """Return the recorded random draws of one place, in order of use."""
        return [self[k] for k in sorted(self.outputs) if k.startswith("rng/")
                and k.split("_", 1)[1] == f"{kind}@{function}"]


@pytest.fixture(scope="session")
def recording(golden):
    """``recording("tiny/protenix-v2")``, read once."""
    cache = {}

    def read(case: str) -> Recording:
        if case not in cache:
            folder = golden / case
            if not folder.is_dir():
                pytest.skip(f"no recording at {folder}: set PROTENIX_MS_GOLDEN")
            cache[case] = Recording(folder)
        return cache[case]

    return read
