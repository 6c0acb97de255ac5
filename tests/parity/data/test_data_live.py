# SPDX-License-Identifier: Apache-2.0
"""Our parser beside upstream's: the same atoms, coordinates, bonds, annotations, index lines."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.data import read_entry
from protenix_ms.errors import InputError

ENTRIES = (
    "102m", "1aki", "1ay7", "1bna", "1igy", "1k1a", "1k6p", "1mol",
    "2lwu", "3o5r", "4gxy", "5ugo", "5zng", "5zyh", "7zzx", "8f9h",
)  # fmt: skip
_spec = importlib.util.spec_from_file_location("edits", Path(__file__).with_name("edits.py"))
edits = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edits)

# upstream's annotation -> ours
ANNOTATIONS = {
    "chain_id": "chain_id", "res_id": "res_id", "res_name": "res_name", "atom_name": "atom_name",
    "element": "element", "label_entity_id": "entity_id", "hetero": "hetero",
    "is_resolved": "is_resolved", "mol_type": "mol_type", "chain_mol_type": "chain_type",
    "centre_atom_mask": "centre_atom_mask", "distogram_rep_atom_mask": "distogram_rep_atom_mask",
    "plddt_m_rep_atom_mask": "plddt_m_rep_atom_mask", "cano_seq_resname": "canonical_resname",
    "tokatom_idx": "tokatom_idx", "modified_res_mask": "modified_res_mask",
    "asym_id_int": "asym_id", "entity_id_int": "entity_index", "sym_id_int": "sym_id",
    "mol_id": "mol_id", "entity_mol_id": "entity_mol_id", "mol_atom_index": "mol_atom_index",
    "ref_space_uid": "ref_space_uid", "ref_mask": "ref_mask", "ref_charge": "charge",
}  # fmt: skip


def check(ours, output, but=()):
    theirs, atoms = output["atom_array"], ours.atoms
    assert len(atoms) == len(theirs)
    for name, own in ANNOTATIONS.items():
        if name in but:
            continue
        column = getattr(atoms, own)
        expected = theirs.get_annotation(name)
        assert (column == expected.astype(column.dtype)).all(), name
    assert np.abs(atoms.coord - theirs.coord).max() <= 1e-4
    assert {tuple(pair) for pair in atoms.bonds[:, :2].tolist()} == {
        tuple(pair) for pair in theirs.bonds.as_array()[:, :2].tolist()
    }
    assert ours.sequences == output["sequences"]
    assert ours.n_token == output["num_tokens"]
    assert (ours.release_date, ours.resolution) == (output["release_date"], output["resolution"])


@pytest.mark.parametrize("name", ENTRIES)
def test_deposit(name, both):
    entry, assembly, _ = both(name)
    check(entry, assembly)


@pytest.mark.parametrize("name", edits.EDITS)
def test_edited_deposit(name, ccd, parser, deposits, tmp_path):
    source, edit = edits.EDITS[name]
    path = edits.edited(deposits / f"{source}.cif.gz", tmp_path / f"{source}.cif", edit)
    check(read_entry(path, ccd), parser(path).get_bioassembly())


@pytest.mark.parametrize("name", ["1ay7", "1igy", "2lwu", "4gxy", "5ugo", "7zzx"])
def test_unfiltered(name, ccd, distillation_parser, deposits, tmp_path):
    """Upstream's way with predicted structures, but that all their atoms count as resolved."""
    path = edits.edited(deposits / f"{name}.cif.gz", tmp_path / f"{name}.cif",
                        edits.heavy_atoms_without_water)
    upstream = distillation_parser(path)
    output = upstream.get_structure_dict()
    output |= {"release_date": upstream.release_date, "resolution": upstream.resolution}
    ours = read_entry(path, ccd, filtered=False)
    output["atom_array"].set_annotation("is_resolved", ours.atoms.is_resolved)
    check(ours, output, but=("mol_id", "entity_mol_id", "mol_atom_index"))


def test_glycans_counted_downwards_keep_their_residues(ccd, deposits, tmp_path):
    """Upstream numbers them all 1 and drops the entry."""
    path = edits.edited(deposits / "1igy.cif.gz", tmp_path / "1igy.cif", edits.falling_numbers)
    ours, plain = read_entry(path, ccd).atoms, read_entry(deposits / "1igy.cif.gz", ccd).atoms
    assert (ours.bonds == plain.bonds).all()
    for column in ("chain_id", "res_id", "res_name", "atom_name", "coord"):
        assert (getattr(ours, column) == getattr(plain, column)).all(), column


def test_lonely_molecules_are_refused(ccd, parser, deposits, tmp_path):
    """Over twenty molecules and no two of them near each other."""
    edit = edits.copies([500.0 * i for i in range(24)])
    path = edits.edited(deposits / "1aki.cif.gz", tmp_path / "1aki.cif", edit)
    assert parser(path).get_bioassembly()["atom_array"] is None
    with pytest.raises(InputError, match="near each other"):
        read_entry(path, ccd)
