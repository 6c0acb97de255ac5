# SPDX-License-Identifier: Apache-2.0
"""Hold the documents to what is in the tree: links, commands, paths, the length of the README."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
                                      "tests/README.md")] + sorted(ROOT.glob("docs/*.md"))
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]+)?\)")
PATH = re.compile(r"`((?:tests|scripts|docs|configs|ckpt_convert|protenix_ms)/[\w./-]*)`")
COMMAND = re.compile(r"^(?:python|bash|nohup nice -n 10 python|\s+)\s*(scripts/[\w./]+)", re.M)
OUTSIDE = re.compile(r"\btrap H\d|reference [a-z_]+\.md|\.\./shared")


def anchors(document: Path) -> set[str]:
    """List the anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(document: Path, text: str) -> Iterator[str]:
    for target, anchor in LINK.findall(text):
        if target.startswith(("http:", "https:")):
            continue
        other = (document.parent / target).resolve() if target else document
        if not other.exists():
            yield f"{target} is not there"
        elif anchor and anchor not in anchors(other):
            yield f"{target}{anchor} has no such heading"


def offences(document: Path) -> Iterator[str]:
    text = document.read_text(encoding="utf-8")
    yield from broken_links(document, text)
    for path in [*PATH.findall(text), *COMMAND.findall(text)]:
        if not (ROOT / path).exists():
            yield f"{path} is not there"
    if document.name == "upstream_traps.md":
        rows = [line.rsplit("|", 2)[1] for line in text.splitlines() if re.match(r"\| \d", line)]
        for path in re.findall(r"`([\w./]+)`", " ".join(rows)):
            if not ((ROOT / "protenix_ms" / path).exists() or (ROOT / path).exists()):
                yield f"{path} is not there"
    else:
        yield from (f"{hit!r} points outside the repository" for hit in OUTSIDE.findall(text))


def test_documents_name_what_is_there():
    broken = [f"{d.relative_to(ROOT)}: {offence}" for d in DOCUMENTS for offence in offences(d)]
    assert not broken, "\n" + "\n".join(broken)


def test_every_document_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb")]}
    assert {name for name in names if name not in text} == set()


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_numbers_of_traps_are_unique():
    text = (ROOT / "docs" / "upstream_traps.md").read_text(encoding="utf-8")
    numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.M)]
    assert len(numbers) == len(set(numbers)) and set(numbers) == set(range(1, max(numbers) + 1))


def test_examples_in_the_documents_are_jobs(tmp_path):
    import protenix_ms

    text = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
    example = re.search(r"```json\n(.*?)```", text, re.S)[1]  # later ones are parts of jobs
    content = json.loads(example)
    del content[0]["sequences"][0]["proteinChain"]["unpairedMsaPath"]  # no such file here
    (tmp_path / "job.json").write_text(json.dumps(content))
    (job,) = protenix_ms.read_jobs(tmp_path / "job.json")
    assert len(job.entities) == 4
