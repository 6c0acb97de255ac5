# SPDX-License-Identifier: Apache-2.0
"""The shipped component table: size, contents, speed, memory, damage."""

import subprocess
import sys
import time

import numpy as np
import pytest

from protenix_ms.chem.ccd import SHIPPED, ComponentDictionary
from protenix_ms.chem.conformer import ConformerSource
from protenix_ms.errors import ChemistryError


@pytest.fixture(scope="module")
def columns():
    with np.load(SHIPPED, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def test_size_and_plainness(columns):
    assert SHIPPED.stat().st_size < 25e6
    assert all(column.dtype.kind in "biufS" for column in columns.values())
    assert b"biotite" in columns["about"].item()


def test_covers_the_dictionary(ccd, columns):
    assert len(ccd) > 47_000
    assert len(set(ccd)) == len(ccd)
    assert columns["atom_start"][-1] == len(columns["atom_name"]) > 1_200_000
    assert columns["bond_start"][-1] == len(columns["bond"])
    sizes = np.diff(columns["atom_start"])
    assert (sizes > 0).sum() >= len(ccd) - 20  # UNL and a few others have no heavy atom
    assert not set(columns["symbol"].tolist()) & {b"H", b"D"}


def test_conformers_are_made_here(columns):
    embedded = np.isin(columns["conformer_source"],
                   [ConformerSource.ETKDG, ConformerSource.RANDOM_COORDINATES])
    assert embedded.mean() > 0.97
    assert columns["mask"].mean() > 0.999
    assert (columns["position_unit"] >= 9.9e-4).all()
    assert (columns["position_unit"] > 1.1e-3).sum() < 50


def test_bonds_have_sane_lengths(ccd):
    """Conformers belong to their atoms: bonded C, N, O lie 1.0 to 1.85 angstrom apart."""
    rng = np.random.default_rng(0)
    for code in rng.choice(list(ccd), 400, replace=False):
        component = ccd[str(code)]
        if component.conformer_source != ConformerSource.ETKDG:
            continue
        light = np.isin(component.element, ["C", "N", "O"])
        pairs = component.bonds[light[component.bonds].all(axis=1)]
        length = np.linalg.norm(np.diff(component.ref_pos[pairs], axis=1), axis=-1)
        assert ((length > 1.0) & (length < 1.85)).all(), code


def test_a_component_is_what_it_says(ccd):
    ala = ccd["ALA"]
    assert ala.atom_name.tolist() == ["N", "CA", "C", "O", "CB", "OXT"]
    assert ala.element.tolist() == ["N", "C", "C", "O", "C", "O"]
    assert ala.leaving.tolist() == [False] * 5 + [True]
    assert ala.hydrogens.tolist() == [2, 1, 0, 0, 3, 1]
    assert (ala.type, ala.one_letter, ala.mol_type) == ("L-PEPTIDE LINKING", "A", "protein")
    assert ala.release_date == "1999-07-08" and ala.atom_stereo[1] == "S"
    orders = {frozenset(ala.atom_name[p].tolist()): o for p, o in zip(ala.bonds, ala.bond_order)}
    assert orders[frozenset(["C", "O"])] == 2 and orders[frozenset(["C", "CA"])] == 1
    assert ccd["MSE"].parent == "MET"
    assert ccd["DA"].mol_type == "dna" and ccd["ATP"].mol_type == "ligand"
    assert ccd["ZN"].charge.tolist() == [2] and ccd["HEM"].element.tolist().count("FE") == 1
    assert ccd["A1AAA"].code == "A1AAA"
    assert ccd["TYR"].bond_aromatic.sum() == 6


def test_l_amino_acids_are_left_handed(ccd):
    """CORN rule from the conformers: CO, R, N clockwise seen from H."""
    for code in "ALA ARG CYS GLN LEU LYS SER THR TRP TYR".split():  # noqa: SIM905
        at = dict(zip(ccd[code].atom_name.tolist(), ccd[code].ref_pos))
        n, c, b = (at[name] - at["CA"] for name in ("N", "C", "CB"))
        assert np.dot(np.cross(n, c), b) > 0.5, code


def test_speed(ccd):
    ccd["GLY"]
    codes = np.random.default_rng(1).choice(list(ccd), 200, replace=False)
    times = []
    for code in codes:
        start = time.thread_time()
        ccd[str(code)]
        times.append(time.thread_time() - start)
    assert np.median(times) < 0.005 and max(times) < 0.2


def test_memory_and_lightness():
    """A fresh process: under 300 MB, without RDKit, MindSpore or biotite."""
    code = (
        "import sys\n"
        "from protenix_ms.chem.ccd import ComponentDictionary\n"
        "ccd = ComponentDictionary.load()\n"
        "[ccd[c] for c in ('ALA', 'ATP', 'HEM')]\n"
        "assert not {'rdkit', 'mindspore', 'biotite', 'torch'} & set(sys.modules)\n"
        # ru_maxrss would report the test process itself: Linux carries it over the fork
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(peak[0].split()[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300e3


def test_one_load_per_process(ccd):
    assert ComponentDictionary.load(SHIPPED) is ccd
    assert len(ccd.sha256) == 64 and ccd.conformers_sha256 is None


@pytest.mark.parametrize("code, hint", [("atp", "'ATP'"), ("ATPP", "'ATP'"), ("QQQQQ", "SMILES")])
def test_unknown_code(ccd, code, hint):
    assert code not in ccd and ccd.mol_type(code) == "ligand"
    with pytest.raises(ChemistryError, match=f"'{code}'.*{hint}"):
        ccd[code]


def test_damaged_files(tmp_path):
    whole = SHIPPED.read_bytes()
    for name, content in [("cut.npz", whole[: len(whole) // 2]), ("text.npz", b"not a table"),
                          ("empty.npz", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ChemistryError, match=name):
            ComponentDictionary.load(tmp_path / name)
    with pytest.raises(ChemistryError, match="there is no component table"):
        ComponentDictionary.load(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ChemistryError, match="format 1"):
        ComponentDictionary.load(tmp_path / "other.npz")


def test_bytes_changed_inside(tmp_path):
    damaged = bytearray(SHIPPED.read_bytes())
    for place in range(len(damaged) // 4, len(damaged) // 2, 4096):
        damaged[place] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(damaged)
    with pytest.raises(ChemistryError, match="damaged"):
        ComponentDictionary.load(tmp_path / "flipped.npz")


def override(path, code, **change):
    component = ComponentDictionary.load()[code]
    n = len(component)
    columns = {"name": component.atom_name[::-1], "position": np.ones((n, 3), np.float32),
               "mask": np.arange(n) > 0, "charge": np.zeros(n, np.int8), **change}
    np.savez(path, **{f"{code}/{key}": value for key, value in columns.items()})
    return path


def test_conformers_from_a_file(ccd, tmp_path):
    path = override(tmp_path / "c.npz", "ALA")
    other = ccd.with_conformers(path)
    assert other["ALA"].ref_mask.tolist() == [1, 1, 1, 1, 1, 0]  # matched by name: reversed
    assert (other["ALA"].ref_pos[:5] == 1).all() and (other["ALA"].ref_pos[5] == 0).all()
    assert other["ALA"].conformer_source == ConformerSource.IMPORTED
    assert (other["GLY"].ref_pos == ccd["GLY"].ref_pos).all()
    assert other.sha256 == ccd.sha256 and len(other.conformers_sha256) == 64
    assert (ccd["ALA"].ref_mask == 1).all()


def test_conformers_with_missing_atoms(ccd, tmp_path):
    path = override(tmp_path / "c.npz", "ALA", name=np.array(["N", "CA", "C", "O", "CB", "X"]))
    with pytest.raises(ChemistryError, match="ALA lacks atoms OXT"):
        ccd.with_conformers(path)["ALA"]
    with pytest.raises(ChemistryError, match="there is no conformer file"):
        ccd.with_conformers(tmp_path / "absent.npz")


def test_knows_the_double_bonds_of_aromatic_rings(ccd):
    tyrosine = ccd["TYR"]
    double = {tuple(tyrosine.atom_name[pair]) for pair in tyrosine.bonds[tyrosine.kekule]}
    assert double == {("CG", "CD1"), ("CD2", "CE2"), ("CE1", "CZ")}
    assert not ccd["EDO"].kekule.any()
