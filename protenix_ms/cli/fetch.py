# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms fetch MODEL`: the official checkpoint, converted, in the weights folder.

`protenix-ms fetch databases [NAME]` fetches nothing: it says what to download for `search`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tqdm import tqdm

from ckpt_convert.convert import Options, convert
from ckpt_convert.download import DEADLINE, Download
from ckpt_convert.official import BASE_URL, ENCODERS, FILES, address
from protenix_ms.cli.arguments import whole
from protenix_ms.cli.report import table
from protenix_ms.config import require_variant
from protenix_ms.config.home import databases_dir, weights_dir
from protenix_ms.errors import ConfigError
from protenix_ms.io.atomic import make_folder
from protenix_ms.search.catalogue import CATALOGUE, require_download


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = ("Fetch upstream's official checkpoint and convert it, or say which "
                          "sequence databases to download, and how.")
    parser.add_argument("model", metavar="MODEL|databases", help=", ".join([*FILES, *ENCODERS]))
    parser.add_argument("database", nargs="?", metavar="NAME",
                        help=f"after 'databases', one of {', '.join(CATALOGUE)}")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="default: the weights folder, ~/.cache/protenix_ms/weights")
    parser.add_argument("--base-url", default=BASE_URL, metavar="URL",
                        help="a mirror that holds <MODEL>.pt")
    parser.add_argument("--deadline", type=whole(1), default=DEADLINE // 60, metavar="MINUTES",
                        help="give up after so long; a rerun goes on from what is there "
                        "(default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the .pt beside the result")
    parser.add_argument("--overwrite", action="store_true", help="fetch and convert again")


def run(args: Namespace) -> int:
    """Fetch and convert; 0 done or there already.

    Raises:
        CheckpointError: the file is refused.
        ConfigError: no such model or database.
        OutputError, ResourceError: no room, no permission, no connection, no time left.
    """
    if args.model == "databases":
        _print_databases(args.output or databases_dir(), args.database)
        return 0
    if args.database:
        raise ConfigError(f"{args.database[:40]!r} stands behind a model",
                          fix="fetch one model at a time")
    if args.model not in ENCODERS:
        require_variant(args.model)
    result = (args.output or weights_dir()) / f"{args.model}.safetensors"
    if result.exists() and not args.overwrite:
        print(f"{result} is there already; --overwrite fetches it again")
        return 0
    make_folder(result.parent)
    if args.model in ENCODERS:
        own = args.base_url if args.base_url != BASE_URL else ""
        urls = [f"{own.rstrip('/')}/{url.rpartition('/')[2]}" if own else url
                for url in ENCODERS[args.model]]
    else:
        urls = [address(args.model, args.base_url)]
    sources = [result.with_name(url.rpartition("/")[2]) for url in urls]
    for url, source in zip(urls, sources):
        _download(args, url, source)
    report = convert(sources[0], result, Options(model=args.model, provenance=urls[0]))
    for source in sources if not args.keep else ():
        source.unlink()
    print(f"{result}: {report.parameters:,} parameters, sha256 {report.result['sha256']}")
    for remark in report.remarks:
        print(f"  {remark}")
    return 0


def _download(args: Namespace, url: str, target: Path) -> None:
    """Fetch one file, with a bar."""
    with tqdm(desc=target.name, unit="B", unit_scale=True, disable=None) as bar:
        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        known = FILES.get(args.model)
        Download(url, target, args.model, known, progress, deadline=60 * args.deadline).run()


def _print_databases(folder: Path, name: str | None) -> None:
    """Say what to download, how large it is, under which terms, and where to put it."""
    if name is None:
        rows = [(name, entry.size, entry.use, entry.terms) for name, entry in CATALOGUE.items()]
        print(table(("name", "size", "serves", "terms"), rows))
        print(f"\nPut them into {folder}, or name their folder by --databases. How to download "
              "one:\n  protenix-ms fetch databases NAME\nSmall ones that help most: pdb_seqres, "
              "bfd, rfam. A server needs none: --msa-server URL.")
        return
    entry = require_download(name)
    print(f"{name}: {entry.file}, {entry.size} unpacked, for {entry.use}\nterms: {entry.terms}\n\n"
          f"  mkdir -p {folder}")
    for command in entry.commands(folder):
        print(f"  {command}")
