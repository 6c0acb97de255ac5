# SPDX-License-Identifier: Apache-2.0
"""Train: `python scripts/train.py --config configs/train.py:stage1 --data DIR --output DIR ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protenix_ms.cli import launch  # noqa: E402
from protenix_ms.cli.main import main  # noqa: E402

if __name__ == "__main__":
    launch.relaunch()
    sys.exit(main(["train", *sys.argv[1:]]))
