# SPDX-License-Identifier: Apache-2.0
"""Pack embedded blocks and dictionary columns into one `ccd.npz`, for build_ccd.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rdkit
from component_source import SEED, ComponentSource, ReferenceAtoms, read_dictionary

from protenix_ms.chem.ccd import FORMAT

POSITION_UNIT = 1e-3  # angstrom; wider only for molecules over 65 angstrom long
STEREO = {"N": 0, "R": 1, "S": 2, "E": 1, "Z": 2}


def read_blocks(folder: Path) -> dict[int, ReferenceAtoms]:
    """Read every finished block, by component number."""
    outcomes = {}
    for path in sorted(folder.glob("block_????.npz")):
        with np.load(path) as block:
            ends = np.cumsum(block["count"])
            parts = zip(*[np.split(block[k], ends[:-1]) for k in ("position", "mask", "charge")])
            flags = zip(block["number"].tolist(), block["source"].tolist(), block["sanitized"])
            for (number, source, clean), part in zip(flags, parts):
                outcomes[number] = ReferenceAtoms(*part, source, bool(clean))
    return outcomes


def quantised(position: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre coordinates and round them to int16; return them and their unit in angstrom."""
    if mask.any():
        position = np.where(mask[:, None], position - position[mask].mean(axis=0), 0)
    unit = max(POSITION_UNIT, float(np.abs(position).max(initial=0)) / np.iinfo(np.int16).max)
    return np.rint(position / unit).astype(np.int16), unit


def component_rows(source: ComponentSource, number: int, outcome: ReferenceAtoms | None) -> dict:
    """Make the heavy-atom columns of one component."""
    raw = source[number]
    if outcome is None:
        outcome = read_dictionary(raw)
    heavy = ~np.isin(raw.element, ["H", "D"])
    place = np.cumsum(heavy) - 1
    kept = heavy[raw.bonds[:, :2]].all(axis=1)
    ends = np.concatenate([raw.bonds[:, :2], raw.bonds[:, 1::-1]])  # both directions
    hydrogens = np.bincount(ends[~heavy[ends[:, 1]], 0], minlength=len(heavy))
    mask = outcome.mask[heavy]
    position, unit = quantised(outcome.position[heavy], mask)
    return {
        "atom_name": raw.name[heavy],
        "element": raw.element[heavy],
        "charge": raw.charge[heavy],
        "ref_charge": outcome.charge[heavy],
        "hydrogens": hydrogens[heavy].astype(np.uint8),
        "leaving": raw.leaving[heavy],
        "atom_stereo": np.array([STEREO[s] for s in raw.atom_stereo[heavy].tolist()], np.uint8),
        "position": position,
        "mask": mask,
        "bond": place[raw.bonds[kept, :2]].astype(np.uint16),
        "bond_order": raw.bonds[kept, 2].astype(np.uint8),
        "bond_aromatic": raw.bond_aromatic[kept],
        "bond_stereo": np.array([STEREO[s] for s in raw.bond_stereo[kept].tolist()], np.uint8),
        "unit": unit,
        "source": outcome.source if mask.any() else 0,
    }


def text(column: np.ndarray) -> np.ndarray:
    """Turn CIF's unknown marks into empty text, as fixed-width bytes."""
    return np.where(np.isin(column, ["?", "."]), "", column).astype(np.bytes_)


def pack(source: ComponentSource, work: Path, out: Path, partial: bool = False) -> None:
    """Write the table; refuse an unfinished build unless `partial`."""
    outcomes = read_blocks(work)
    if len(outcomes) < len(source) and not partial:
        raise SystemExit(f"{work}: {len(outcomes)} of {len(source)} embedded; run embed again")
    rows = [component_rows(source, i, outcomes.get(i)) for i in range(len(source))]
    column = {k: np.concatenate([r[k] for r in rows]) for k in rows[0]
              if k not in ("unit", "source")}
    symbol, element = np.unique(column["element"].astype(np.bytes_), return_inverse=True)
    type_name, kind = np.unique(source.component["type"].astype(np.bytes_), return_inverse=True)
    date = np.char.replace(source.component["pdbx_initial_date"], "-", "")
    about = (f"chemical component dictionary of the biotite wheel; conformers: RDKit "
             f"{rdkit.__version__} ETKDGv3 seed {SEED}, stored in 0.001 angstrom")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        format=np.array(FORMAT), about=np.array(about.encode()),
        code=source.codes.astype(np.bytes_), type=kind.astype(np.uint8), type_name=type_name,
        one_letter=text(source.component["one_letter_code"]),
        parent=text(source.component["mon_nstd_parent_comp_id"]),
        date=np.where(np.char.isdigit(date), date, "0").astype(np.int32),
        obsolete=source.component["pdbx_release_status"] == "OBS",
        atom_start=np.cumsum([0] + [len(r["mask"]) for r in rows]).astype(np.int32),
        bond_start=np.cumsum([0] + [len(r["bond"]) for r in rows]).astype(np.int32),
        symbol=symbol, element=element.astype(np.uint8),
        atom_name=column["atom_name"].astype(np.bytes_),
        charge=column["charge"].astype(np.int8), ref_charge=column["ref_charge"].astype(np.int8),
        conformer_source=np.array([r["source"] for r in rows], np.uint8),
        position_unit=np.array([r["unit"] for r in rows], np.float32),
        **{k: column[k] for k in ("leaving", "hydrogens", "atom_stereo", "position", "mask", "bond",
                                  "bond_order", "bond_aromatic", "bond_stereo")},
    )
    counts = np.bincount([r["source"] for r in rows], minlength=5).tolist()
    print(f"{out}: {len(rows)} components, {len(element)} heavy atoms, "
          f"{out.stat().st_size / 1e6:.1f} MB; conformers none/ETKDG/random/ideal/model {counts}")
