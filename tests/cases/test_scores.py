# SPDX-License-Identifier: Apache-2.0
"""Cases `suite-scores` and `clients-full-data-json`."""

import json

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.constants.restypes import STANDARD_RESIDUES
from protenix_ms.io.confidence_write import FULL_DATA, choose_suffixes, write_full_data
from protenix_ms.metrics.interface import Residues, score_interfaces

KINDS = {"1": "protein", "2": "protein", "3": "dna", "5": "protein"}
DIGITS = {"ipSAE": 6, "pDockQ": 4, "pDockQ2": 4, "LIS": 4}
DIRECTED = {"ipSAE": "chain_pair_ipsae", "pDockQ": "chain_pair_pdockq",
            "pDockQ2": "chain_pair_pdockq2", "LIS": "chain_pair_lis"}
OF_PAIR = {"ipSAE": "chain_pair_ipsae_max", "pDockQ": "chain_pair_pdockq",
           "pDockQ2": "chain_pair_pdockq2_max", "LIS": "chain_pair_lis_mean"}


def atoms_of(path) -> tuple[AtomTable, np.ndarray, np.ndarray]:
    """Read the atoms of a structure file, their tokens, their coordinates."""
    table = gemmi.cif.read(str(path)).sole_block().find("_atom_site.", [
        "label_atom_id", "type_symbol", "label_comp_id", "label_asym_id", "label_entity_id",
        "label_seq_id", "Cartn_x", "Cartn_y", "Cartn_z"])
    name, element, res, chain, entity, seq, *xyz = (
        np.array([gemmi.cif.as_string(value) for value in column]) for column in zip(*table))
    x, n = np.array(xyz, np.float64).T, len(name)
    res_id = np.array([int(s) if s else 1 for s in seq])
    atoms = AtomTable(name, element, res, chain, entity, res_id, np.zeros(n, np.int64),
                      ~np.isin(res, STANDARD_RESIDUES), x, x, np.ones(n, np.int64))
    starts = atoms.hetero.copy()
    starts[atoms.residue_starts()] = True
    return atoms, np.cumsum(starts) - 1, x


@pytest.mark.parametrize("cutoff", [10, 15])
def test_suite_scores(cases, cutoff):
    folder = cases / "suite-scores"
    atoms, atom_to_token, x = atoms_of(folder / "model.cif")
    full = json.loads((folder / "full_data.json").read_text())
    residues = Residues.from_atoms(atoms, atom_to_token, KINDS)
    scores = score_interfaces(np.array(full["pae"]), x, np.array(full["atom_plddts"]), residues,
                              float(cutoff))
    place = {name: i for i, name in enumerate(scores["chain_ids"])}
    rows = json.loads((folder / "expected.json").read_text())[f"script v4, {cutoff} A"]
    assert len(rows) == 18
    for row in rows:
        keys = DIRECTED if row["Type"] == "asym" else OF_PAIR
        for column, key in keys.items():
            ours = scores[key][place[row["Chn1"]], place[row["Chn2"]]]
            tolerance = 0.51 * 10.0 ** -DIGITS[column]
            assert abs(ours - row[column]) <= tolerance, (row, key, ours)
    outside = [place[name] for name in ("D", "F")]
    for key in {*DIRECTED.values(), *OF_PAIR.values()}:
        assert np.isnan(scores[key][outside]).all() and np.isnan(scores[key][:, outside]).all()
        assert np.isnan(np.diagonal(scores[key])).all()


def test_clients_full_data_json(cases, tmp_path):
    """The JSON that goes beside this folder's npz holds what both readers ask for."""
    assert set(choose_suffixes("auto", 65)) == {".npz", ".json"}
    for path in sorted((cases / "clients-full-data-json").rglob("*_full_data_*.npz")):
        arrays = dict(np.load(path))
        write_full_data(tmp_path / "f.json", arrays)
        read = json.loads((tmp_path / "f.json").read_text())
        assert set(read) == set(FULL_DATA)
        np.testing.assert_array_equal(np.float32(read["token_pair_pae"]),
                                      np.round(arrays["token_pair_pae"], 2))
