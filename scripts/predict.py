# SPDX-License-Identifier: Apache-2.0
"""Predict structures: `python scripts/predict.py --input FILE --output DIR [--model NAME] ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protenix_ms.cli import launch  # noqa: E402
from protenix_ms.cli.main import main  # noqa: E402

if __name__ == "__main__":
    launch.relaunch()
    sys.exit(main(["predict", *sys.argv[1:]]))
