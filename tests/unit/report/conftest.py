# SPDX-License-Identifier: Apache-2.0
"""Result folders as our writers write them: atoms of a deposit, invented confidences."""

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.io.confidence_write import write_full_data, write_summary
from protenix_ms.io.mmcif_write import StructureInfo, write_mmcif
from protenix_ms.predict.job_folder import JobFolder, update_record
from protenix_ms.predict.outputs import write_ranking

DEPOSITS = Path(__file__).resolve().parents[2] / "golden" / "cif"
KINDS = {gemmi.PolymerType.PeptideL: "protein", gemmi.PolymerType.Dna: "dna",
         gemmi.PolymerType.Rna: "rna"}


def read_deposit(name: str) -> tuple[AtomTable, dict[str, str]]:
    """Read the first model of a deposit without water and hydrogens; what its entities are."""
    text = gzip.decompress((DEPOSITS / f"{name}.cif.gz").read_bytes()).decode()
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text).sole_block())
    structure.setup_entities()
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    rows, kinds = [], {}
    for chain in structure[0].subchains():
        entity = structure.get_entity_of(chain)
        label = str([e.name for e in structure.entities].index(entity.name) + 1)
        kinds[label] = KINDS.get(entity.polymer_type, "ligand")
        polymer = kinds[label] != "ligand"
        for number, residue in enumerate(chain, 1):
            rows += [(atom.name, atom.element.name.upper(), residue.name, chain.subchain_id(),
                      label, residue.label_seq or number, not polymer, atom.pos.tolist())
                     for atom in residue]
    name, element, residue, chain, entity, number, hetero, position = map(np.array, zip(*rows))
    zeros = np.zeros((len(rows), 3), np.float32)
    return AtomTable(name, element, residue, chain, entity, number, np.zeros(len(rows), int),
                     hetero, position.astype(np.float32), zeros, np.ones(len(rows), int)), kinds


def invent(atoms: AtomTable, rng: np.random.Generator) -> tuple[dict, dict]:
    """Invent the summary and full data of a sample: certain within chains, less between them."""
    residue = np.repeat(np.arange(len(atoms.residue_starts())),
                        np.diff([*atoms.residue_starts(), len(atoms)]))
    token = np.cumsum(np.r_[True, (residue[1:] != residue[:-1]) | atoms.hetero[1:]]) - 1
    first = np.unique(token, return_index=True)[1]
    names, asym = np.unique(atoms.chain_id[first], return_inverse=True)
    order = list(dict.fromkeys(atoms.chain_id.tolist()))
    asym = np.array([order.index(name) for name in names])[asym]
    n, c = len(first), len(order)
    centre = np.array([atoms.coord[token == t].mean(0) for t in range(n)])
    apart = np.linalg.norm(centre[:, None] - centre[None], axis=-1)
    wave = 74 + 22 * np.sin(np.arange(n) / 9 + rng.uniform(0, 6)) + rng.normal(0, 3, n)
    plddt = np.clip(wave, 20, 98)
    pae = np.clip(0.5 + apart / 6 + 9 * (asym[:, None] != asym) + rng.gamma(1, 0.6, (n, n))
                  + (100 - plddt)[None] / 12, 0.3, 31.6).astype(np.float32)
    arrays = {"atom_plddt": (plddt[token] / 100).astype(np.float32), "token_pair_pae": pae,
              "token_pair_pde": pae / 2, "contact_probs": np.exp(-(apart / 9) ** 2).astype(
                  np.float32), "token_asym_id": asym, "token_has_frame": np.ones(n, bool),
              "atom_to_token_idx": token}
    pairs = np.where(np.eye(c, dtype=bool), 0.0, rng.uniform(0.3, 0.9, (c, c)))
    summary = {"plddt": float(plddt.mean()), "gpde": 1.0, "ptm": float(rng.uniform(0.6, 0.9)),
               "iptm": float(pairs.max()), "has_clash": False, "num_recycles": 10,
               "disorder": 0.0, "ranking_score": float(rng.uniform(0.4, 0.9)),
               "chain_ids": order, "chain_ptm": rng.uniform(0.6, 0.9, c),
               "chain_iptm": rng.uniform(0.4, 0.9, c),
               "chain_plddt": [plddt[asym == i].mean() / 100 for i in range(c)],
               "chain_pair_iptm": np.maximum(pairs, pairs.T)}
    summary |= {f"chain_pair_{key}": np.maximum(pairs, pairs.T) * scale for key, scale in (
        ("ipsae_max", 0.8), ("pdockq2_max", 0.5), ("lis_mean", 0.4))}
    summary["chain_pair_pae_min"] = [[pae[np.ix_(asym == i, asym == j)].min() for j in range(c)]
                                     for i in range(c)]
    summary |= {"valid": True, "close_contacts": 0, "wrong_chirality": 0, "wrong_double_bonds": 0,
                "non_planar_groups": 0, "wrong_bond_lengths": 0}
    return summary, arrays


def write_results(root: Path, name: str, deposit: str, samples: int = 2, **record) -> Path:
    """Write the folder of a finished job with one seed, 101; `record` adds to `run.json`.

    The suffixes of full data are `record["full_data"]`, by default (".npz",).
    """
    folder, rng = JobFolder(root, name), np.random.default_rng(7)
    suffixes = record.pop("full_data", (".npz",))
    summary_more = record.pop("summary", {})
    atoms, kinds = read_deposit(deposit)
    for sample in range(samples):
        summary, arrays = invent(atoms, rng)
        summary |= {"ranking_score": 0.9 - sample / 10} | summary_more
        moved = atoms.coord + rng.normal(0, 0.05 * sample, atoms.coord.shape)
        write_mmcif(folder.sample(101, "", sample, ".cif"), atoms, moved,
                    arrays["atom_plddt"] * 100, StructureInfo(name, "invented", kinds))
        for suffix in suffixes:
            write_full_data(folder.sample(101, "full_data_", sample, suffix), arrays)
        write_summary(folder.sample(101, "summary_confidence_", sample, ".json"), summary)
    rows = write_ranking(folder, [101])
    content = {"job": name, "model": "protenix_base_default_v1.0.0", "random_weights": False,
               "weights_file": "/weights/protenix_base_default_v1.0.0.safetensors",
               "settings": {"version": "0.1.0", "weights": "0" * 64, "ccd": "1" * 64,
                            "device": "CPU", "dtype": "fp32", "config": {"sample_diffusion": {
                                "N_step": 200, "N_sample": samples}, "model": {"N_cycle": 10}}},
               "notes": [], "chains": [{"chain": c, "entity": 1, "name": ""} for c in
                                       dict.fromkeys(atoms.chain_id.tolist())]}
    update_record(folder, content | record, {101: {"state": "done", "detail": "", "seconds": {
        "trunk": 1.0}}}, rows[0])
    folder.mark(101, "a" * 64)
    return folder.path


@pytest.fixture(scope="session")
def result_writer():
    """Return `write_results`, for results that several tests share."""
    return write_results


@pytest.fixture
def make_results(tmp_path):
    """Return `write_results` bound to a folder of this test."""
    return lambda name="job", deposit="1mol", **more: write_results(
        tmp_path / "out", name, deposit, **more)
