# SPDX-License-Identifier: Apache-2.0
"""Write which variant reads which input into `docs/capabilities.md`.

`python scripts/capabilities.py` prints the page; `--write` renews the file. Every cell comes from
the functions that a run asks: what `predict` would name as unused is "no" here.
"""

import argparse
import sys
from math import prod
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from protenix_ms.config import VARIANTS, get_config  # noqa: E402
from protenix_ms.config.parameters import released_shapes  # noqa: E402
from protenix_ms.errors import ConfigError  # noqa: E402
from protenix_ms.job import (  # noqa: E402
    Alignment,
    AtomAddress,
    Contact,
    Job,
    Ligand,
    Pocket,
    Polymer,
    TemplateStructure,
)
from protenix_ms.predict.language_model import reads_embeddings  # noqa: E402
from protenix_ms.predict.notes import unused_input  # noqa: E402
from protenix_ms.predict.settings import refuse_language_model, require_guidance  # noqa: E402

PAGE = ROOT / "docs" / "capabilities.md"
ATOM = AtomAddress(1, 1, "CA", 1)
RESIDUE = AtomAddress(1, 2, None, 1)
PROTEIN, ATP = "MKTAYIAK", Ligand(codes=("ATP",))
INPUTS = {
    "alignment": Job("j", (Polymer("protein", PROTEIN, unpaired_msa=Alignment(">q\n", "")),)),
    "RNA alignment": Job("j", (Polymer("rna", "GGACCUUA", unpaired_msa=Alignment(">q\n", "")),)),
    "template hits": Job("j", (Polymer("protein", PROTEIN, templates=Path("hits.a3m")),)),
    "template structures": Job("j", (Polymer(
        "protein", PROTEIN, template_structures=(TemplateStructure("", "", ""),)),)),
    "contacts": Job("j", (Polymer("protein", PROTEIN), ATP), contacts=(
        Contact(ATOM, AtomAddress(2, 1, "C1", 1), 8.0),)),
    "pocket": Job("j", (Polymer("protein", PROTEIN), ATP), pocket=Pocket((2, 1), (RESIDUE,), 6.0)),
}
TITLE = """# What each variant reads

`python scripts/capabilities.py --write` makes this page from the functions that a run asks, and a
test compares them. A job that brings what its model does not read runs without it; the run and
`run.json` name it.
"""
REST = """
Every variant reads proteins, DNA, RNA, ligands and ions, modified residues, covalent bonds, own
components, and several copies; see [inputs](inputs.md). Guidance is on request, see
[guidance](guidance.md). Vectors are those of ESM-2 or ISM, see [encoder](encoder.md); `train` and
`evaluate` refuse the variants that need them. Weights are in float32. The memory of a job is
estimated before it starts; measured sizes, up to 3 072 tokens, are in
[performance](performance.md#long-inputs).
"""


def guides(model: str) -> bool:
    """Tell whether guidance can steer a variant."""
    try:
        require_guidance(get_config(model, {"sample_diffusion.guidance.enable": True}))
    except ConfigError:
        return False
    return True


def trains(model: str) -> bool:
    """Tell whether `train` and `evaluate` take a variant."""
    try:
        refuse_language_model(get_config(model), "train")
    except ConfigError:
        return False
    return True


def row(model: str) -> list[str]:
    """List the cells of a variant."""
    config = get_config(model)
    reads = [not unused_input(job, config) for job in INPUTS.values()]
    cells = [*reads, reads_embeddings(config), guides(model), trains(model)]
    size = sum(map(prod, released_shapes(model).values()))
    return [f"`{model}`", *("yes" if cell else "no" for cell in cells), f"{4 * size / 1e9:.2f} GB"]


def notes() -> list[str]:
    """List what runs say of what they do not read, each once."""
    return list(dict.fromkeys(note for model in VARIANTS for job in INPUTS.values()
                              for note in unused_input(job, get_config(model))))


def page() -> str:
    """Write the whole page."""
    head = ["variant", *INPUTS, "vectors", "guidance", "training", "weights"]
    rows = [head, ["---"] * len(head), *map(row, VARIANTS)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    says = "\n".join(f"* {note}" for note in notes())
    return f"{TITLE}\n{table}\n{REST}\n## What a run says of the rest\n\n{says}\n"


def main() -> None:
    """Print the page, or renew the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"renew {PAGE.relative_to(ROOT)}")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
