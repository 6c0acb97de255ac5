# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms`: one command, a subcommand per task."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from protenix_ms import __version__
from protenix_ms.cli import launch
from protenix_ms.cli.arguments import Parser, replace_flags
from protenix_ms.cli.report import lasting_streams
from protenix_ms.errors import CheckpointError, ProtenixError, explain, is_out_of_memory, nearest

COMMANDS = {
    "predict": "structures and confidences of jobs (FASTA, JSON)",
    "score": "confidences of structures that are there already",
    "report": "a page about a finished job, and a table of a folder of jobs",
    "search": "alignments and templates that jobs lack",
    "export": "results as AlphaFold 3 writes them, or as PDB",
    "json": "a job of a structure (mmCIF, PDB)",
    "convert": "a PyTorch checkpoint into ours, or back",
    "fetch": "an official checkpoint, converted",
    "embed": "vectors, contacts and logits of sequences by an ESM-2 encoder",
    "mutations": "scores of substitutions by an ESM-2 encoder",
    "function": "terms of proteins (EC, GO, any) by a head on an ESM-2 encoder",
    "prepare-data": "mmCIF files into entries that training reads",
    "train": "train or fine-tune",
    "evaluate": "a checkpoint on held-out entries",
    "doctor": "check this installation",
}
NEED_MINDSPORE = ("predict", "score", "embed", "mutations", "function", "train", "evaluate")
OF_FILES = ("convert", "fetch")  # here a checkpoint that is refused ends with 1, not 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: words after the command's name; None takes the process's own and allows it to
            be started anew with MindSpore's settings.

    Returns:
        0 done; 1 some of it failed; 2 nothing could start.
    """
    with lasting_streams():
        code = _run(arguments)
    launch.end_at_once(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    words = replace_flags(sys.argv[1:] if arguments is None else arguments)
    if arguments is None and words[:1] and words[0] in NEED_MINDSPORE:
        launch.relaunch()
    parser = Parser("protenix-ms", description="AlphaFold3-class structure prediction with "
                    "MindSpore.")
    parser.add_argument("--version", action="version", version=__version__)
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = sub.add_parser(name, help=COMMANDS[name])
        if name in words[:1]:  # only the chosen command is imported: help stays instant
            importlib.import_module(_module(name)).add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show tracebacks")
            command.require_options(words[1:])
    if not words:
        parser.print_help()
        return 0
    _require_command(parser, words[0])
    args = parser.parse_args(words)
    try:
        return importlib.import_module(_module(args.command)).run(args)
    except ProtenixError as error:
        if args.debug:
            raise
        print(f"protenix-ms {args.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, CheckpointError) and args.command in OF_FILES else 2
    except (MemoryError, RuntimeError, OSError, ImportError) as error:
        if args.debug or not is_out_of_memory(error):
            raise
        print(f"protenix-ms {args.command}: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1


def _require_command(parser: Parser, word: str) -> None:
    """Refuse a first word that is no command, with the one that is meant."""
    if word.startswith("-"):
        if word not in ("-h", "--help", "--version"):
            parser.error(f"{word} stands before a command; write one first: {', '.join(COMMANDS)}")
    elif word not in COMMANDS:
        near = nearest(word, COMMANDS)
        parser.error(f"unknown command {word!r}; " + (
            f"did you mean {near}?" if near else f"the commands are {', '.join(COMMANDS)}"))


def _module(command: str) -> str:
    """Name the module of a command; the converter brings its own."""
    name = "pages" if command == "report" else command.replace("-", "_")
    return "ckpt_convert.__main__" if command == "convert" else f"protenix_ms.cli.{name}"


if __name__ == "__main__":
    sys.exit(main())
