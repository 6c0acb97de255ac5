# SPDX-License-Identifier: Apache-2.0
"""Pack the weights of a training run as the demonstration model of the package.

    python scripts/pack_demo.py RUN

Takes the averaged weights of the run's last checkpoint and writes them in half precision to
`protenix_ms/predict/demo/demo.safetensors`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ckpt_convert import load_arrays
from protenix_ms.config import DEMO_MODEL, get_config
from protenix_ms.io.atomic import write_bytes
from protenix_ms.model.weights import parameter_shapes
from protenix_ms.predict.weights import DEMO_WEIGHTS, find_weights


def main() -> None:
    """Read the command line and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    path = find_weights(DEMO_MODEL, parser.parse_args().run, None).path
    arrays = load_arrays(path, parameter_shapes(get_config(DEMO_MODEL)))
    half = {name: np.ascontiguousarray(array, np.float16) for name, array in arrays}
    write_bytes(DEMO_WEIGHTS, save(half, {"format": "pt"}))
    size = sum(array.size for array in half.values())
    print(f"{DEMO_WEIGHTS}: {size:,} numbers of {path}")


if __name__ == "__main__":
    main()
