# SPDX-License-Identifier: Apache-2.0
"""From job files to features, equal to what upstream recorded: every case, every key."""

from pathlib import Path

import numpy as np
import pytest
from comparison import compare, with_recorded_ligands

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features import Example, FeatureOptions, assemble, featurize
from protenix_ms.features.template_choice import TemplateOptions
from protenix_ms.io import read_jobs

BASE = "tiny/protenix_base_default_v1.0.0"
JOBS = {
    "features/covalent": "inputs/feat_covalent.json",
    "features/smiles": "inputs/feat_smiles.json",
    "features/small": "inputs/small.json",
    "features/template_hhr": "features/template_hhr/input.json",
    "features/template_hmmsearch": "features/template_hmmsearch/input.json",
    "features/7r6r": "examples/example_7r6r.json",
    "features/9gmw": "examples/examples_with_rna_msa/example_9gmw_2.json",
    "features/constraint": "inputs/fixture_constraint.json",
    BASE: "inputs/fixture.json",
    f"{BASE}_mcdropout": "inputs/fixture.json",
    f"{BASE}_msa": "inputs/fixture_msa.json",
    f"{BASE}_template": "inputs/fixture.json",
    f"{BASE}_realtemplate": "inputs/fixture_template.json",
    "tiny/protenix-v2": "inputs/fixture1.json",
    "tiny/protenix_base_default_v0.5.0": "inputs/fixture.json",
    "tiny/protenix_mini_default_v0.5.0": "inputs/fixture.json",
    "tiny/protenix_mini_esm_v0.5.0": "inputs/fixture.json",
    "tiny/protenix_mini_ism_v0.5.0": "inputs/fixture1.json",
    "tiny/protenix_tiny_default_v0.5.0": "inputs/fixture_msa.json",
    "full/protenix_base_default_v1.0.0": "inputs/fixture.json",
    "full/protenix_tiny_default_v0.5.0": "inputs/fixture.json",
}
TEMPLATES = "template_"
# Synthetic alignments and templates are not of this floor yet; only what they leave alone is
# compared.
LEFT_OUT = {f"{BASE}_template": (TEMPLATES, "msa", "deletion_value", "has_deletion")}
OF_ATOMS = (
    "ref_", "is_", "resolution", "mol_", "entity_mol_id", "plddt_m_rep_atom_mask",
    "modified_res_mask", "bond_mask",
)  # fmt: skip


def featurized(
    folder: Path, job_file: Path, ccd: ComponentDictionary, deposits: Path
) -> Example:
    rng = np.random.default_rng(0)
    job = read_jobs(job_file)[0]
    atoms = assemble(job, ccd, rng, upstream_quirks=True)
    if (folder / "atoms.npz").exists():
        atoms = with_recorded_ligands(atoms, np.load(folder / "atoms.npz"))
    reads_msa = not folder.name.startswith(("protenix_mini_esm", "protenix_mini_ism"))
    options = FeatureOptions(use_msa=reads_msa, upstream_quirks=True,
                             templates=TemplateOptions(folder=deposits))
    return featurize(job, atoms, rng, options)


def job_file(name: str, request, monkeypatch) -> Path:
    """Return the job's path; its own paths count from the folder that upstream ran in."""
    root = request.getfixturevalue("golden")
    if JOBS[name].startswith("examples/"):
        root = request.getfixturevalue("shared_examples").parent
        monkeypatch.chdir(root)
    return root / JOBS[name]


@pytest.mark.parametrize("name", JOBS)
def test_recorded_case(name, golden, ccd, deposits, request, monkeypatch):
    folder = golden / name
    if not (folder / "features.npz").exists():
        pytest.skip(f"{name} is not in the recordings at {golden}")
    path = job_file(name, request, monkeypatch)
    ours = featurized(folder, path, ccd, deposits).features
    rows = list(compare(ours, dict(np.load(folder / "features.npz"))))
    compared = [row for row in rows if not row.name.startswith(LEFT_OUT.get(name, ("nothing",)))]
    wrong = [row for row in compared if not row.equal]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(compared) >= len(OF_ATOMS)
