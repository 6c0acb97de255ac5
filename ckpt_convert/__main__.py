# SPDX-License-Identifier: Apache-2.0
"""`python -m ckpt_convert SRC DST`: exit code 0 done, 1 refused, 2 wrong usage."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from ckpt_convert.command import add_arguments, run
from protenix_ms.errors import ProtenixError


def main() -> int:
    """Entry of the module."""
    parser = ArgumentParser(prog="ckpt_convert")
    add_arguments(parser)
    try:
        return run(parser.parse_args(), lambda line: sys.stdout.write(f"{line}\n"))
    except ProtenixError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
