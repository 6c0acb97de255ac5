# SPDX-License-Identifier: Apache-2.0
"""The rules of the code base, read from its syntax trees: floors, sizes, words, docstrings."""

import ast
import re
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
    ["errors", "typing", "constants", "config", "geometry", "job"],
    ["chem", "io"],
    ["msa", "templates"],
    ["features", "structures"],
    ["runtime", "ops"],
    ["nn", "sampler", "model"],  # the sampler knows no network, the model calls it
    ["loss", "metrics"],
    ["train", "predict"],
    ["cli"],
]
PLACE = {name: (f, i) for f, floor in enumerate(FLOORS) for i, name in enumerate(floor)}
WITHOUT_MINDSPORE = {name for floor in FLOORS[:4] for name in floor} | {"metrics", "__init__"}
BANNED_NAMES = {"utils", "common", "helpers", "misc", "v2", "new"}
BANNED_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cPickle"}
# Each function there is a module of the model by the same name, as its first lines say.
SELF_EVIDENT = {"protenix_ms/config/manifest.py"}
# Signatures that another project prescribes: (file, function).
FOREIGN = {("protenix_ms/ops/evoformer_attention/compatible.py", "evo_attention")}
MAX_LINES, MEDIAN_LINES = 400, 160
TOP_LEVEL = {
    "setup.py", "protenix_ms", "configs", "scripts", "tests", "ckpt_convert", "README.md",
    "LICENSE", "pyproject.toml", ".ci", ".gitignore",
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def unit_of(path: Path) -> str:
    """First name below the top package: `chem` for protenix_ms/chem/ccd.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "protenix_ms" else parts[0]


def imports_of(tree: ast.AST) -> list[str]:
    """Dotted names of all imports below `tree`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import on line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def all_files(kind=EVERYTHING):
    return pytest.mark.parametrize("path", kind, ids=relative)


@all_files(PRODUCT)
def test_imports_go_down(path):
    if path.is_relative_to(ROOT / "ckpt_convert"):
        ours = [n for n in imports_of(tree_of(path)) if n.startswith("protenix_ms.")]
        upward = [n for n in ours if PLACE[n.split(".")[1]][0] > 0]
        assert not upward, f"ckpt_convert knows floor 0 only: {upward}"
        return
    unit = unit_of(path)
    if unit == "__init__":
        assert not [n for n in imports_of(tree_of(path)) if n.startswith("protenix_ms")]
        return
    floor, place = PLACE[unit]
    for name in imports_of(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "ckpt_convert":
            assert floor >= 7, f"{name}: only floors 7 and 8 use the converter"
        if parts[0] != "protenix_ms" or parts[1] in (unit, "__version__"):
            continue
        other_floor, other_place = PLACE[parts[1]]
        assert (other_floor, other_place) < (floor, place), f"{name} is above floor {floor}"


@all_files(PRODUCT)
def test_mindspore_stays_above_floor_three(path):
    if unit_of(path) not in WITHOUT_MINDSPORE | {"ckpt_convert", "cli"}:
        return
    tree = tree_of(path)
    # typing.py resolves Tensor, the converter writes .ckpt, and cli/ starts work: lazily
    lazy = unit_of(path) in {"typing", "cli", "ckpt_convert"}
    nodes = tree.body if lazy else [tree]
    names = [n for node in nodes if not (lazy and isinstance(node, ast.FunctionDef | ast.ClassDef))
             for n in imports_of(node)]
    assert not [n for n in names if n.split(".")[0] in ("mindspore", "torch", "protenix")]


@all_files(PRODUCT)
def test_torch_and_upstream_are_never_imported(path):
    names = {n.split(".")[0] for n in imports_of(tree_of(path))}
    assert not names & {"torch", "protenix", "runner", "biotite"}


def test_modules_of_a_package_make_no_circle():
    graph = {}
    for path in PRODUCT:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        body = [n for n in tree_of(path).body if isinstance(n, ast.Import | ast.ImportFrom)]
        graph[name] = {n for node in body for n in imports_of(node)}
    edges = {
        name: {m for n in found for m in (n, n.rpartition(".")[0]) if m in graph and m != name}
        for name, found in graph.items()
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


@all_files()
def test_licence_and_length(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:1] == ["# SPDX-License-Identifier: Apache-2.0"] or not lines
    assert len(lines) <= MAX_LINES


def test_median_length():
    sizes = sorted(len(p.read_text(encoding="utf-8").splitlines()) for p in PRODUCT)
    assert sizes[len(sizes) // 2] <= MEDIAN_LINES


@all_files()
def test_names_of_files(path):
    assert not BANNED_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)


def test_top_level_is_fixed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the top level may hold build products")
    import subprocess

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


@all_files(PRODUCT)
def test_forbidden_constructs(path):
    tree, unit = tree_of(path), unit_of(path)
    for node in ast.walk(tree):
        place = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler):
            assert not is_broad(node), f"broad except on {place}"
        if isinstance(node, ast.ImportFrom):
            assert node.names[0].name != "*", f"star import on {place}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "yaml.load"), f"{called} on {place}"
            speaks = unit == "cli" or path.name == "__main__.py" or path.parent.name == "cli"
            assert called != "print" or speaks or unit == "ckpt_convert", f"print on {place}"
    if path != ROOT / "ckpt_convert" / "unpickle.py":
        assert not BANNED_IMPORTS & {n.split(".")[0] for n in imports_of(tree)}
    if unit not in ("nn", "model", "sampler"):
        found = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)]
        assert not found, f"assert outside nn/ and model/ on lines {found}"


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> list:
    """Public functions and classes of a module, and public methods of public classes."""
    found = []
    for node in tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += [m for m in node.body
                          if isinstance(m, FUNCTION) and not m.name.startswith("_")]
    return found


@all_files(PRODUCT)
def test_public_things_are_documented(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), "module without a docstring"
    if relative(path) in SELF_EVIDENT:
        return
    short = {"construct"}  # documented by its class, as MindSpore does
    bare = [n.name for n in public(tree)
            if not ast.get_docstring(n) and n.name not in short and len(n.body) > 3]
    assert not bare, f"without a docstring: {bare}"


@all_files(PRODUCT)
def test_functions_fit_a_screen(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, FUNCTION):
            doc = (ast.get_docstring(node) or "").splitlines()
            length = node.end_lineno - node.lineno + 1 - len(doc)
            assert length <= 60, f"{node.name} has {length} lines"
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [a for a in arguments if a.arg not in ("self", "cls")]
            free = node.name in ("__init__", "construct", "bprop") or node.name.startswith("_")
            limit = 10 if free else 7
            limit = limit if (relative(path), node.name) not in FOREIGN else 8
            assert len(named) <= limit, f"{node.name} takes {len(named)} arguments"


@all_files(PRODUCT)
def test_public_functions_are_annotated(path):
    for node in public(tree_of(path)):
        if isinstance(node, FUNCTION):
            named = [a for a in [*node.args.args, *node.args.kwonlyargs]
                     if a.arg not in ("self", "cls")]
            bare = [a.arg for a in named if a.annotation is None]
            assert not bare, f"{node.name}: {bare} without annotation"


@all_files()
def test_no_registry_hosts_and_no_open_ends(path):
    text = path.read_text(encoding="utf-8")
    hosts = "|".join(["py" + r"pi\.org", "files" + r"\.pythonhosted", "anaconda" + r"\.org"])
    assert not re.search(hosts, text)
    assert not re.search(r"\b(TO" + "DO|FIX" + r"ME|X" + "XX)\\b", text)
