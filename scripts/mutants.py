# SPDX-License-Identifier: Apache-2.0
"""Change one line of the product at a time and see whether a test notices.

python scripts/mutants.py --count 100 --out output/mutants.tsv
python scripts/mutants.py --number 17        # one of them again, with what the tests print

Mutants are drawn by --seed from all lines of model/, loss/, metrics/ and features/: another
operator, comparison or constant, a negated condition, swapped arguments, a statement left out.
Each is applied to a private copy of the tree, in which the tests of `TESTS` run until the first
fails. A run goes on where its table ends. Exit code 1: a mutant survives that
`tests/data/equivalent_mutants.json` does not explain.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tests" / "data" / "equivalent_mutants.json"
PACKAGES = ("model", "loss", "metrics", "features")
COPIED = ("protenix_ms", "ckpt_convert", "configs", "scripts", "tests", "pyproject.toml")
# The tests of a file: those of the first row whose pattern fits. P is tests/parity, U tests/unit.
# Most replays are left out: they take minutes, and live parity sees what they see.
TESTS = (
    (r"model/protenix",
     "P/test_trunk_replay.py U/model/test_smallest_job.py P/test_trunk_initial_weights.py"),
    (r"model/(diffusion|sampler|atom_|relative)",
     "P/test_diffusion_live.py U/model/test_sampler.py U/model/test_atom_windows.py "
     "U/model/test_atom_features.py U/model/test_smallest_job.py P/test_trunk_stacks.py"),
    (r"model/confidence", "P/test_confidence_live.py U/model/test_smallest_job.py"),
    (r"model/",
     "P/test_trunk_primitives.py P/test_trunk_modules.py P/test_trunk_stacks.py "
     "U/model/test_layers.py U/model/test_residual.py U/model/test_large_pairs.py "
     "U/model/test_smallest_job.py U/model/test_parameter_shapes.py "
     "P/test_trunk_initial_weights.py U/train/test_train_gradient.py"),
    (r"loss/", "U/loss/test_loss_labels.py P/test_loss_live.py P/test_loss_recorded.py"),
    (r"metrics/", "U/metrics tests/cases/test_scores.py P/test_metrics_live.py"),
    (r"features/msa",
     "U/features P/test_msa_features.py U/predict/test_pairing_notes.py "
     "tests/cases/test_alignments.py P/features/test_features_recorded.py"),
    (r"features/(guidance|build)",
     "U/features/test_build.py U/guidance P/recorded/test_guidance_recorded.py "
     "P/features/test_features_recorded.py"),
    (r"features/", "U/features P/features/test_features_recorded.py "
     "P/features/test_features_recorded_atoms.py P/features/test_features_live.py"),
)
OPERATORS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "//"), ast.Pow: ("**", "*"), ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.And: ("and", "or"),
    ast.Or: ("or", "and"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}
LIBRARIES = ("np", "ops", "range", "isinstance", "max", "min")  # swapped arguments just fail


@dataclass(frozen=True)
class Mutant:
    """One changed line of a file: characters `start` to `stop` become `text`."""

    file: str
    line: int
    start: int
    stop: int
    text: str

    def source(self) -> str:
        """Return the line as it is in the tree."""
        return (ROOT / self.file).read_text(encoding="utf-8").splitlines()[self.line - 1]

    def changed(self) -> str:
        """Return the line with the change."""
        raw = self.source().encode()  # columns of `ast` count bytes
        return (raw[:self.start] + self.text.encode() + raw[self.stop:]).decode()

    def tests(self) -> str:
        """Return the tests that should notice."""
        tests = next(tests for pattern, tests in TESTS if re.search(pattern, self.file))
        return tests.replace("P/", "tests/parity/").replace("U/", "tests/unit/")


def edits(node: ast.AST, text: str) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """Yield what may change at a node: from the begin of a part to the end of a part, new text."""
    def written(part: ast.AST) -> str:
        return ast.get_source_segment(text, part) or ""

    def between(first: ast.AST, second: ast.AST) -> str:
        line = text.splitlines()[first.lineno - 1].encode()
        return line[first.end_col_offset:second.col_offset].decode()

    match node:
        case (ast.BinOp(left, kind, right) | ast.Compare(left, [kind], [right])
              | ast.BoolOp(kind, [left, right])) if left.end_lineno == right.lineno:
            old, new = OPERATORS.get(type(kind), ("", ""))
            if old:
                middle = between(left, right).replace(old, new, 1)
                yield left, right, f"{written(left)}{middle}{written(right)}"
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield node, node, written(operand)
        case ast.Constant(bool(value)):
            yield node, node, str(not value)
        case ast.Constant(int(value) | float(value)):
            yield node, node, repr(value + 1 if isinstance(value, int) else value * 2 or 1.0)
        case ast.IfExp(test) | ast.If(test):
            yield test, test, f"not ({written(test)})"
        case ast.Call(called, [first, second, *_]) if first.end_lineno == second.lineno:
            if written(called).split(".")[0] not in LIBRARIES and written(first) != written(second):
                yield first, second, f"{written(second)}{between(first, second)}{written(first)}"
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield node, node, "pass"


def candidates(path: Path) -> Iterator[Mutant]:
    """List every mutant of a file. Annotations, messages and assertions are left alone."""
    text = path.read_text(encoding="utf-8")
    nodes: list[ast.AST] = [ast.parse(text)]
    while nodes:
        node = nodes.pop()
        for first, last, change in edits(node, text):
            if first.lineno == last.end_lineno and "\n" not in change:
                yield Mutant(str(path.relative_to(ROOT)), first.lineno, first.col_offset,
                             last.end_col_offset, change)
        if not isinstance(node, ast.Assert | ast.JoinedStr):
            nodes += [child for name, value in ast.iter_fields(node)
                      if name not in ("annotation", "returns", "decorator_list", "exc")
                      for child in (value if isinstance(value, list) else [value])
                      if isinstance(child, ast.AST)]


def draw(seed: int, count: int) -> list[Mutant]:
    """Draw lines from all files, then one mutant of each line."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / "protenix_ms" / package).glob("*.py")):
            for mutant in candidates(path):
                by_line.setdefault((mutant.file, mutant.line), []).append(mutant)
    rng = random.Random(seed)
    lines = rng.sample(sorted(by_line), min(count, len(by_line)))
    return [rng.choice(sorted(by_line[line], key=lambda m: (m.start, m.stop, m.text)))
            for line in lines]


def copy_tree(target: Path) -> None:
    """Copy what tests need; recordings are linked."""
    unchanged = shutil.ignore_patterns("__pycache__", "golden")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unchanged)
        else:
            shutil.copy(source, target / name)
    (target / "tests" / "golden").symlink_to(ROOT / "tests" / "golden")


def run_tests(tree: Path, tests: str, limit: float) -> tuple[str, str]:
    """Run tests in a copy of the tree until the first fails.

    Returns:
        the verdict, empty when all pass: the test that fails; and what pytest prints.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=short",
               *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, cwd=tree, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"the time limit of {limit:.0f} s", ""
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return (failed or ["an end of the interpreter"])[0] if process.returncode else "", output


def explanations() -> dict[tuple[str, str, str], str]:
    """Read the reasons of equivalent mutants by file, line and changed line."""
    rows = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return {(row["file"], row["line"], row["becomes"]): row["because"] for row in rows}


def judge(mutant: Mutant, tree: Path, limits: dict[str, float]) -> tuple[str, str]:
    """Run a mutant's tests; the verdict, and what pytest prints."""
    tests, place = mutant.tests(), tree / mutant.file
    if tests not in limits:
        start = time.monotonic()
        failure, output = run_tests(tree, tests, 7200.0)
        if failure:
            sys.exit(f"{failure} fails without any change:\n{output[-3000:]}")
        limits[tests] = 60.0 + 4.0 * (time.monotonic() - start)
    whole = place.read_text(encoding="utf-8")
    lines = whole.split("\n")
    lines[mutant.line - 1] = mutant.changed()
    place.write_text("\n".join(lines), encoding="utf-8")
    killer, output = run_tests(tree, tests, limits[tests])
    place.write_text(whole, encoding="utf-8")
    because = explanations().get((mutant.file, mutant.source().strip(), mutant.changed().strip()))
    if killer:
        return f"killed by {killer}", output
    return (f"equivalent because {because}" if because else "SURVIVED"), output


def main() -> int:
    """Run the command of this module."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", default="", help="only files whose path has this pattern")
    parser.add_argument("--number", type=int, help="only this mutant, with the output of its tests")
    parser.add_argument("--out", type=Path, default=Path("output/mutants.tsv"))
    args = parser.parse_args()
    mutants = dict(enumerate(draw(args.seed, args.count)))
    rows = {} if args.number is not None or not args.out.is_file() else {
        int(line.split("\t")[0]): line for line in args.out.read_text().splitlines()[1:]}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    limits: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        copy_tree(Path(folder))
        for number, mutant in mutants.items():
            chosen = args.number in (None, number) and re.search(args.only, mutant.file)
            if number in rows or not chosen:
                continue
            verdict, output = judge(mutant, Path(folder), limits)
            rows[number] = "\t".join([str(number), f"{mutant.file}:{mutant.line}",
                                      mutant.source().strip(), mutant.changed().strip(), verdict])
            sys.stdout.write(f"{rows[number]}\n{output if args.number is not None else ''}")
            sys.stdout.flush()
            if args.number is None:
                table = ["number\tplace\tline\tbecomes\tverdict", *(rows[n] for n in sorted(rows))]
                args.out.write_text("\n".join(table) + "\n", encoding="utf-8")
    return int(any(row.endswith("\tSURVIVED") for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
