# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms convert`: convert a checkpoint with `ckpt_convert`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ckpt_convert import __main__ as command
from protenix_ms.errors import CheckpointError


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    command.add_arguments(parser)


def run(args: Namespace) -> int:
    """Convert; 0 done, 1 the checkpoint is refused or of another model.

    Raises:
        ConfigError, OutputError, ResourceError: nothing could start.
    """
    try:
        return command.run(args, print)
    except CheckpointError as error:
        if getattr(args, "debug", False):
            raise
        print(f"protenix-ms convert: {error}", file=sys.stderr)
        return 1
