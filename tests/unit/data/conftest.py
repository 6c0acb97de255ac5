# SPDX-License-Identifier: Apache-2.0
"""A small deposit written by ourselves, and data prepared from it; no outside files needed."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.data.preparation import Preparation, prepare_files, write_index
from protenix_ms.features import assemble
from protenix_ms.io.mmcif_write import StructureInfo, mmcif_text
from protenix_ms.job import Job, Ligand, Polymer

SEQUENCE = "MKTAYIARQRGSDEFHLNPW"
OTHER = "GSHMSWLEEVRKALDNHPYCIT"


def deposit_text(ccd: ComponentDictionary, name: str, chains: tuple[str, ...] = (SEQUENCE,)) -> str:
    """Write chains as bent rods side by side, a ligand at the first, as a deposit with an
    assembly."""
    polymers = [Polymer("protein", sequence) for sequence in chains]
    job = Job(name, (*polymers, Ligand(codes=("ATP",)), Ligand(codes=("MG",))))
    atoms = assemble(job, ccd, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    number = np.unique(atoms.chain_id, return_inverse=True)[1]
    coord = np.stack([3.6 * atoms.res_id, 6.0 * number, np.sin(atoms.res_id)], 1)
    coord = (coord + rng.normal(scale=0.8, size=coord.shape)).astype(np.float32)
    kinds = dict(zip(atoms.entity_id.tolist(), atoms.chain_type.tolist()))
    info = StructureInfo(name, "made for a test", kinds, {})
    document = gemmi.cif.read_string(mmcif_text(atoms, coord, np.full(len(atoms), 50.0), info))
    block = document.sole_block()
    block.set_pair("_refine.ls_d_res_high", "2.5")
    names = ",".join(dict.fromkeys(atoms.chain_id.tolist()))
    block.set_mmcif_category("_pdbx_struct_assembly.", {"id": ["1"], "oligomeric_count": ["2"]})
    block.set_mmcif_category("_pdbx_struct_assembly_gen.", {
        "assembly_id": ["1"], "oper_expression": ["1"], "asym_id_list": [names]})
    motion = {f"matrix[{i}][{j}]": [str(int(i == j))] for i in (1, 2, 3) for j in (1, 2, 3)}
    motion |= {f"vector[{i}]": ["0"] for i in (1, 2, 3)}
    block.set_mmcif_category("_pdbx_struct_oper_list.", {"id": ["1"], **motion})
    return document.as_string()


@pytest.fixture(scope="session")
def deposit_files(ccd, tmp_path_factory) -> Path:
    """Make a folder with two good deposits and two bad ones."""
    folder = tmp_path_factory.mktemp("cif")
    (folder / "1abc.cif").write_text(deposit_text(ccd, "1abc", (SEQUENCE, SEQUENCE, OTHER)))
    (folder / "2xyz.cif").write_text(deposit_text(ccd, "2xyz", (OTHER,)))
    (folder / "3bad.cif").write_text("data_3bad\nloop_\n_atom_site.id\n1 2\n")
    (folder / "4not.cif").write_text("hello")
    return folder


@pytest.fixture(scope="session")
def prepared(deposit_files, tmp_path_factory) -> Path:
    """Prepare the good deposits."""
    preparation = Preparation(tmp_path_factory.mktemp("prepared"))
    outcomes = list(prepare_files(sorted(deposit_files.glob("*.cif")), preparation, 1))
    write_index(outcomes, preparation)
    return preparation.output
