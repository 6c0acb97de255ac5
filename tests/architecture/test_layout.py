# SPDX-License-Identifier: Apache-2.0
"""The rules of the code base, read from its syntax trees: floors, sizes, words, docstrings."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = sorted([*ROOT.glob("protenix_ms/**/*.py"), *ROOT.glob("ckpt_convert/**/*.py")])
THIN = sorted([*ROOT.glob("scripts/**/*.py"), *ROOT.glob("configs/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
EVERYTHING = [*PRODUCT, *THIN, *TESTS]

# Floor of every package, and its place among its neighbours: a module imports from lower floors,
# and on its own floor only from what stands left of it.
FLOORS = [
    ["errors", "typing", "files", "constants", "config", "geometry", "job"],
    ["chem", "io"],
    ["guidance"],
    ["features", "search", "data"],
    ["runtime", "ops"],
    ["model", "esm", "function"],
    ["loss", "metrics"],
    ["predict", "train", "report"],
    ["cli"],
]
PLACE = {name: (f, i) for f, floor in enumerate(FLOORS) for i, name in enumerate(floor)}
WITHOUT_MINDSPORE = {name for floor in FLOORS[:4] for name in floor} | {
    "metrics", "report", "__init__"}
BANNED_NAMES = {"utils", "common", "helpers", "misc", "v2", "new"}
BANNED_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cPickle"}
# Signatures that another project prescribes: (file, function).
FOREIGN = {("protenix_ms/ops/evoformer_attention/compatible.py", "evo_attention")}
# What the converter asks, inside a function, for the shapes of sizes that were never released.
CUSTOM_SIZES = {"protenix_ms.model.weights.parameter_shapes"}
MAX_LINES, MEDIAN_LINES = 400, 160
TOP_LEVEL = {
    "setup.py", "protenix_ms", "configs", "scripts", "tests", "ckpt_convert", "docs", "README.md",
    "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "NOTICE", "LICENSE",
    "pyproject.toml", ".ci", ".gitignore", ".pre-commit-config.yaml",
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def unit_of(path: Path) -> str:
    """Return the first name below the top package: `chem` for protenix_ms/chem/ccd.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "protenix_ms" else parts[0]


def imports_of(tree: ast.AST) -> list[str]:
    """List the dotted names of all imports below `tree`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import on line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def hold(rule: Callable[[Path], Iterable[str]], files: Sequence[Path] = EVERYTHING) -> None:
    """Fail once for a rule, with every offence by file; `rule` yields the offences of a file."""
    offences = [f"{relative(path)}: {offence}" for path in files for offence in rule(path)]
    assert not offences, "\n" + "\n".join(offences)


def upward_imports(path: Path) -> Iterator[str]:
    names = [n for n in imports_of(tree_of(path)) if n.startswith(("protenix_ms.", "ckpt_convert"))]
    unit = unit_of(path)
    if unit == "ckpt_convert":
        ours = {n for n in names if n.startswith("protenix_ms.")}
        yield from (f"{n}: the converter knows floor 0 only" for n in ours - CUSTOM_SIZES
                    if PLACE[n.split(".")[1]][0] > 0)
    elif unit == "__init__":
        yield from names
    else:
        for name in names:
            other = name.split(".")[1] if name.startswith("protenix_ms.") else None
            if other is None and PLACE[unit][0] < 7:
                yield f"{name}: only floors 7 and 8 use the converter"
            elif other not in (None, unit, "__version__") and PLACE[other] >= PLACE[unit]:
                yield f"{name} is above floor {PLACE[unit][0]}"


def test_imports_go_down():
    hold(upward_imports, PRODUCT)


def eager_mindspore(path: Path) -> Iterator[str]:
    if unit_of(path) not in WITHOUT_MINDSPORE | {"ckpt_convert", "cli"}:
        return
    tree = tree_of(path)
    # typing.py resolves Tensor, the converter writes .ckpt, and cli/ starts work: lazily
    lazy = unit_of(path) in {"typing", "cli", "ckpt_convert"}
    nodes = tree.body if lazy else [tree]
    names = [n for node in nodes if not (lazy and isinstance(node, ast.FunctionDef | ast.ClassDef))
             for n in imports_of(node)]
    yield from (n for n in names if n.split(".")[0] in ("mindspore", "torch", "protenix"))


def test_mindspore_stays_above_floor_three():
    hold(eager_mindspore, PRODUCT)


def foreign_imports(path: Path) -> Iterable[str]:
    names = {n.split(".")[0] for n in imports_of(tree_of(path))}
    return names & {"torch", "protenix", "runner", "biotite"}


def test_torch_and_upstream_are_never_imported():
    hold(foreign_imports, PRODUCT)


def test_modules_of_a_package_make_no_circle():
    graph = {}
    for path in PRODUCT:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        body = [n for n in tree_of(path).body if isinstance(n, ast.Import | ast.ImportFrom)]
        graph[name] = {n for node in body for n in imports_of(node)}
    edges = {
        name: {m for n in imported for m in (n, n.rpartition(".")[0]) if m in graph and m != name}
        for name, imported in graph.items()
    }
    # a package's __init__ re-exports its modules; that is not a circle
    edges = {n: {m for m in e if not n.startswith(f"{m}.")} for n, e in edges.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def licence_and_length(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines and lines[0] != "# SPDX-License-Identifier: Apache-2.0":
        yield "no licence line"
    if len(lines) > MAX_LINES:
        yield f"{len(lines)} lines"


def test_licence_and_length():
    hold(licence_and_length)


def test_median_length():
    sizes = sorted(len(p.read_text(encoding="utf-8").splitlines()) for p in PRODUCT)
    assert sizes[len(sizes) // 2] <= MEDIAN_LINES


def test_names_of_files():
    hold(lambda path: BANNED_NAMES & set(path.relative_to(ROOT).with_suffix("").parts))


def test_top_level_is_fixed():
    if not (ROOT / ".git").exists():
        pytest.skip("this machine has no git checkout here: build products may lie about")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.splitlines()
    assert {name.split("/")[0] for name in listed} <= TOP_LEVEL
    for folder in ("configs", "scripts", "tests"):
        assert not list((ROOT / folder).rglob("__init__.py"))


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return caught is None or any(
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds
    )


def forbidden_constructs(path: Path) -> Iterator[str]:
    tree, unit = tree_of(path), unit_of(path)
    speaks = unit in ("cli", "ckpt_convert") or path.name == "__main__.py"
    banned = {"eval", "exec", "yaml.load"} | (set() if speaks else {"print"})
    for node in ast.walk(tree):
        place = f"on line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler) and is_broad(node):
            yield f"broad except {place}"
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            yield f"star import {place}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in banned:
            yield f"{ast.unparse(node.func)} {place}"
        if isinstance(node, ast.Assert) and unit not in ("nn", "model", "sampler"):
            yield f"assert outside nn/ and model/ {place}"
    if path != ROOT / "ckpt_convert" / "unpickle.py":
        yield from BANNED_IMPORTS & {n.split(".")[0] for n in imports_of(tree)}


def test_forbidden_constructs():
    hold(forbidden_constructs, PRODUCT)


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> list:
    """List public functions and classes of a module, and public methods of public classes."""
    nodes = []
    for node in tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef) and not node.name.startswith("_"):
            nodes.append(node)
            if isinstance(node, ast.ClassDef):
                nodes += [m for m in node.body
                          if isinstance(m, FUNCTION) and not m.name.startswith("_")]
    return nodes


def undocumented(path: Path) -> Iterator[str]:
    tree = tree_of(path)
    if not ast.get_docstring(tree):
        yield "module without a docstring"
    short = {"construct"}  # documented by its class, as MindSpore does
    yield from (f"{n.name} without a docstring" for n in public(tree)
                if not ast.get_docstring(n) and n.name not in short and len(n.body) > 3)


def test_public_things_are_documented():
    hold(undocumented, PRODUCT)


def oversized_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, FUNCTION):
            doc = (ast.get_docstring(node) or "").splitlines()
            length = node.end_lineno - node.lineno + 1 - len(doc)
            if length > 60:
                yield f"{node.name} has {length} lines"
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [a for a in arguments if a.arg not in ("self", "cls")]
            free = node.name in ("__init__", "construct", "bprop") or node.name.startswith("_")
            limit = 10 if free else 7
            limit = limit if (relative(path), node.name) not in FOREIGN else 8
            if len(named) > limit:
                yield f"{node.name} takes {len(named)} arguments"


def test_functions_fit_a_screen():
    hold(oversized_functions, PRODUCT)


def bare_arguments(path: Path) -> Iterator[str]:
    for node in public(tree_of(path)):
        if isinstance(node, FUNCTION):
            named = [a for a in [*node.args.args, *node.args.kwonlyargs]
                     if a.arg not in ("self", "cls")]
            yield from (f"{node.name}: {a.arg} without annotation" for a in named
                        if a.annotation is None)


def test_public_functions_are_annotated():
    hold(bare_arguments, PRODUCT)


def registry_hosts_and_open_ends(path: Path) -> Iterable[str]:
    text = path.read_text(encoding="utf-8")
    hosts = "|".join(["py" + r"pi\.org", "files" + r"\.pythonhosted", "anaconda" + r"\.org"])
    ends = r"\b(?:TO" + "DO|FIX" + r"ME|X" + "XX)\\b"
    return re.findall(f"{hosts}|{ends}", text)


def test_no_registry_hosts_and_no_open_ends():
    hold(registry_hosts_and_open_ends)
