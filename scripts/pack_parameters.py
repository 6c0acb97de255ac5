# SPDX-License-Identifier: Apache-2.0
"""Pack the names and shapes of upstream's state dicts into the table that the package ships.

`python scripts/pack_parameters.py [--keys tests/golden/keys] [--output FILE]`. A file of KEYS is
called `keys_<variant>.txt`; its lines hold a name and a shape, separated by a tab.
"""

import argparse
import json
import lzma
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from protenix_ms.config import VARIANTS  # noqa: E402
from protenix_ms.config.parameters import TABLE  # noqa: E402


def pack(keys: Path) -> bytes:
    """Return one line per variant, its name and its parameters in JSON, compressed."""
    lines = []
    for model in VARIANTS:
        rows = [line.split("\t") for line in
                (keys / f"keys_{model}.txt").read_text(encoding="utf-8").splitlines() if line]
        shapes = {name: json.loads(shape) for name, shape, *_ in rows}
        lines.append(f"{model}\t{json.dumps(shapes, separators=(',', ':'))}\n")
    return lzma.compress("".join(lines).encode(), preset=9)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=Path, default=ROOT / "tests/golden/keys")
    parser.add_argument("--output", type=Path, default=TABLE)
    args = parser.parse_args()
    args.output.write_bytes(pack(args.keys))
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
