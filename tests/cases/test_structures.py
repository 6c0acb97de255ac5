# SPDX-License-Identifier: Apache-2.0
"""Structure files of jobs that other programs once read wrongly or not at all."""

import io

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.features import assemble
from protenix_ms.io import read_jobs
from protenix_ms.io.mmcif_write import write_mmcif
from protenix_ms.predict.outputs import JobFolder, structure_info


@pytest.fixture
def write(cases, tmp_path):
    """Write the structure of a case's job where `predict` does; return path, text and atoms."""
    ccd = ComponentDictionary.load()

    def path_text_and_atoms(name: str):
        (job,) = read_jobs(cases / name / "job.json")
        atoms = assemble(job, ccd, np.random.default_rng(0))
        info = structure_info(job, ccd, sorted(set(atoms.res_name.tolist())), f"{job.name}; seed 1")
        path = JobFolder(tmp_path, job.name).sample(1, "", 0, ".cif")
        write_mmcif(path, atoms, atoms.ref_pos, np.full(len(atoms), 50.0), info)
        return path, path.read_text(encoding="utf-8"), atoms

    return path_text_and_atoms


def test_a_ligand_costs_the_protein_no_bond(write):
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    _, text, atoms = write("structure-bonds-ligand")
    file = pdbx.CIFFile.read(io.StringIO(text))
    read = pdbx.get_structure(file, model=1, include_bonds=True)
    assert len(read.bonds.as_array()) == len(atoms.bonds)
    assert set(read.bonds.as_array()[:, :2].ravel().tolist()) == set(range(len(atoms)))


def test_the_last_atom_is_followed_by_a_mark(write):
    _, text, _ = write("structure-last-atom")
    assert text.endswith("\n#\n")


def test_a_name_outside_ascii(write):
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    bio = pytest.importorskip("Bio.PDB.MMCIFParser")
    path, text, atoms = write("job-name-unicode")
    assert text.isascii() and "résumé" in path.name
    assert gemmi.read_structure(str(path))[0].count_atom_sites() == len(atoms)
    assert len(pdbx.get_structure(pdbx.CIFFile.read(path), model=1)) == len(atoms)
    structure = bio.MMCIFParser(QUIET=True).get_structure("x", path)
    assert len(list(structure.get_atoms())) == len(atoms)


def test_modified_residues_have_parents(write):
    path, _, _ = write("modified-residue-labels")
    block = gemmi.cif.read(str(path)).sole_block()
    (row,) = block.find("_entity_poly.", ["nstd_monomer", "pdbx_seq_one_letter_code_can"])
    assert list(row) == ["yes", "ASDKGYSLGM"]
    records = block.find("_atom_site.", ["group_PDB", "label_comp_id"])
    assert {r[1] for r in records if r[0] == "HETATM"} == {"SEP", "MLY", "PTR"}
