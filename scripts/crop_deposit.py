# SPDX-License-Identifier: Apache-2.0
"""Cut parts of a deposited structure into a small deposit of its own.

    python scripts/crop_deposit.py 5zyh.cif.gz A:191-218 A:9N0 --output 5zyh_crop.cif

The crop holds the chosen parts of the first model, without hydrogens, waters and alternative
places, under the entry's identifier, title, method, resolution and date. Polymer residues count
from 1 in the crop. It is read by `prepare-data` and `json` as any deposit is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gemmi

HEADER = ("_struct.title", "_exptl.method", "_refine.ls_d_res_high",
          "_pdbx_database_status.recvd_initial_deposition_date",
          "_citation.title", "_citation.pdbx_database_id_DOI")
REVISIONS = ("_pdbx_audit_revision_history.", ("ordinal", "data_content_type", "major_revision",
                                               "minor_revision", "revision_date"))


def crop(path: Path, parts: list[str]) -> gemmi.cif.Document:
    """Cut parts of a deposit.

    Args:
        parts: ``CHAIN:FIRST-LAST`` by `label_seq_id`, ``CHAIN`` for its polymer, or
            ``CHAIN:COMPONENT`` for its first ligand of that name.

    Raises:
        SystemExit: a part that is not there.
    """
    source = gemmi.cif.read(str(path)).sole_block()
    deposit = gemmi.make_structure_from_block(source)
    deposit.setup_entities()
    deposit.remove_hydrogens()
    deposit.remove_alternative_conformations()
    small = gemmi.Structure()
    small.name, model = deposit.name, gemmi.Model(1)
    for place, part in enumerate(parts):
        residues = _residues(deposit, part)
        if not residues:
            sys.exit(f"{path}: there is no part {part}; write CHAIN:FIRST-LAST or CHAIN:COMPONENT")
        name = chr(ord("A") + place)
        chain = gemmi.Chain(name)
        polymer = residues[0].entity_type == gemmi.EntityType.Polymer
        for number, residue in enumerate(residues, 1):
            copy = residue.clone()
            copy.subchain, copy.seqid = name, gemmi.SeqId(number, " ")
            copy.label_seq = number if polymer else None
            chain.add_residue(copy)
        model.add_chain(chain)
        _add_entity(small, deposit, residues, name)
    small.add_model(model)
    document = small.make_mmcif_document()
    block = document.sole_block()
    for key in HEADER:
        if value := source.find_value(key):
            block.set_pair(key, value)
    category, names = REVISIONS
    if table := source.find(category, list(names)):
        loop = block.init_loop(category, list(names))
        for row in table:
            loop.add_row(list(row))
    return document


def _residues(deposit: gemmi.Structure, part: str) -> list[gemmi.Residue]:
    chain, _, which = part.partition(":")
    if which and not which[0].isdigit() or "-" not in which and which:
        return [r for c in deposit[0] if c.name == chain for r in c.get_ligands()
                if r.name == which][:1]
    polymer = [r for r in deposit[0][chain].get_polymer() if r.entity_type ==
               gemmi.EntityType.Polymer]
    if not which:
        return polymer
    first, last = map(int, which.split("-"))
    return [r for r in polymer if first <= r.label_seq <= last]


def _add_entity(
    small: gemmi.Structure, deposit: gemmi.Structure, residues: list[gemmi.Residue], name: str
) -> None:
    """Declare the part's entity; equal sequences share one."""
    kind = residues[0].entity_type
    sequence = [residue.name for residue in residues]
    for entity in small.entities:
        if entity.full_sequence == sequence and kind == gemmi.EntityType.Polymer:
            entity.subchains = [*entity.subchains, name]
            return
    entity = gemmi.Entity(str(len(small.entities) + 1))
    entity.entity_type, entity.subchains, entity.full_sequence = kind, [name], sequence
    if kind == gemmi.EntityType.Polymer:
        of = next(e for e in deposit.entities if residues[0].subchain in e.subchains)
        entity.polymer_type = of.polymer_type
    small.entities.append(entity)


def main() -> None:
    """Read the command line and write the crop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("deposit", type=Path)
    parser.add_argument("parts", nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.write_text(crop(args.deposit, args.parts).as_string())


if __name__ == "__main__":
    main()
