# SPDX-License-Identifier: Apache-2.0
"""The index of chains and interfaces that training samples from (upstream `make_indices`)."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.data.entry import Entry
from protenix_ms.data.segments import chain_rows
from protenix_ms.errors import InputError
from protenix_ms.geometry.distances import near_pairs
from protenix_ms.io.text_file import read_text

INTERFACE_RADIUS = 5.0  # angstrom between heavy atoms of two chains
SHORTEST_CLUSTERED = 10  # residues; shorter proteins are their own cluster
TO_CLUSTER = "sequence="  # marks a cluster that awaits `clusters.assign`

Row = dict[str, str]
COLUMNS = (
    "type", "pdb_id", "cluster_id", "assembly_id", "release_date", "resolution", "num_tokens",
    "num_prot_chains", "eval_type", "mol_type_group", "entity_1_id", "entity_2_id", "chain_1_id",
    "chain_2_id", "mol_1_type", "mol_2_type", "cluster_1_id", "cluster_2_id",
)  # fmt: skip


def entry_rows(entry: Entry) -> list[Row]:
    """Lines of one entry: every chain with a resolved centre atom, then every interface.

    Clusters of proteins are left open: `TO_CLUSTER` and the sequence.
    """
    atoms = entry.atoms
    chains = [row for rows in chain_rows(atoms) if (row := _chain(entry, rows)) is not None]
    proteins = {e for e, kind in entry.polymers.items() if "polypeptide" in kind}
    facts = {
        "pdb_id": entry.name, "assembly_id": "1", "release_date": entry.release_date,
        "resolution": repr(entry.resolution), "num_tokens": str(entry.n_token),
        "num_prot_chains": str(
            len(np.unique(atoms.chain_id[np.isin(atoms.entity_id, list(proteins))]))
        ),
    }  # fmt: skip
    lines = [_line("chain", [chain]) | facts for chain in chains]
    return lines + [_line("interface", pair) | facts for pair in _interfaces(atoms, chains)]


def _chain(entry: Entry, rows: slice) -> dict[str, str] | None:
    """Facts of a chain; None when no centre atom is resolved."""
    atoms = entry.atoms
    seen = atoms.extra["is_resolved"][rows] & (atoms.extra["centre_atom_mask"][rows] > 0)
    if not seen.any():
        return None
    entity = str(atoms.entity_id[rows.start])
    kind = entry.polymers.get(entity, "")
    starts = atoms[rows].residue_starts() + rows.start
    codes = atoms.res_name[starts].tolist()
    sequence = entry.sequences.get(entity, "")
    if "polypeptide" in kind:
        mol_type, cluster = "prot", _protein_cluster(kind, sequence, codes)
    elif "ribonucleotide" in kind:
        mol_type, cluster = "nuc", sequence
    else:
        mol_type, cluster = "ligand", "_".join(codes)
    types = set(atoms.extra["mol_type"][rows].tolist())
    nucleic = next(iter(types)) if types in ({"dna"}, {"rna"}) else "hybrid"
    return {
        "entity": entity, "chain": str(atoms.chain_id[rows.start]), "cluster": cluster,
        "mol": "ions" if rows.stop - rows.start == 1 else mol_type,
        "nucleic": nucleic if mol_type == "nuc" else "",
    }  # fmt: skip


def _protein_cluster(kind: str, sequence: str, codes: list[str]) -> str:
    if len(sequence) < SHORTEST_CLUSTERED or kind == "polypeptide(D)":
        return sequence
    if set(sequence) == {"X"}:
        return "poly_UNK" if set(codes) == {"UNK"} else "_".join(codes)
    return TO_CLUSTER + sequence


def _interfaces(
    atoms: AtomTable, chains: list[dict[str, str]]
) -> Iterable[list[dict[str, str]]]:
    """Pairs of chains with resolved atoms within 5 angstrom, each pair once."""
    by_name = {chain["chain"]: chain for chain in chains}
    rows = np.flatnonzero(atoms.extra["is_resolved"])
    names, chain = np.unique(atoms.chain_id[rows], return_inverse=True)
    pairs = near_pairs(atoms.coord[rows], atoms.coord[rows], INTERFACE_RADIUS)
    touching = np.zeros((len(names), len(names)), bool)
    touching[chain[pairs[:, 0]], chain[pairs[:, 1]]] = True
    place = {str(name): i for i, name in enumerate(names)}
    seen = set()
    for first in by_name:
        for second in names[touching[place[first]]].tolist():
            pair = frozenset((first, second))
            if len(pair) == 2 and second in by_name and pair not in seen:
                seen.add(pair)
                yield [by_name[first], by_name[second]]


def _line(kind: str, chains: list[dict[str, str]]) -> Row:
    row = dict.fromkeys(COLUMNS, "") | {"type": kind}
    for number, chain in enumerate(chains, 1):
        row |= {
            f"entity_{number}_id": chain["entity"], f"chain_{number}_id": chain["chain"],
            f"mol_{number}_type": chain["mol"], f"cluster_{number}_id": chain["cluster"],
        }  # fmt: skip
    types = sorted(chain["mol"] for chain in chains)
    group = f"intra_{types[0]}" if kind == "chain" else "_".join(types)
    row["mol_type_group"] = group
    row["eval_type"] = _evaluated_as(group, [chain["nucleic"] for chain in chains])
    return row


def _evaluated_as(group: str, nucleic: list[str]) -> str:
    """The group with DNA and RNA told apart, unless a chain mixes them."""
    if group not in ("intra_nuc", "nuc_prot") or "hybrid" in nucleic:
        return group
    if group == "intra_nuc":
        return f"intra_{nucleic[0]}"
    return "dna_prot" if "dna" in nucleic else "rna_prot"


def with_clusters(rows: list[Row], cluster_of: dict[str, str]) -> list[Row]:
    """The lines with protein clusters filled in; an interface's is that of its two chains.

    Args:
        cluster_of: sequence -> name of its cluster.
    """
    filled = []
    for row in rows:
        names = []
        row = dict(row)
        for key in ("cluster_1_id", "cluster_2_id"):
            if row[key].startswith(TO_CLUSTER):
                row[key] = cluster_of[row[key].removeprefix(TO_CLUSTER)]
            names.append(row[key])
        pair = names if row["type"] == "interface" else names[:1]
        filled.append(row | {"cluster_id": ":".join(sorted(pair))})
    return filled


def index_text(rows: list[Row]) -> str:
    """The index as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def read_index(path: Path) -> list[Row]:
    """Lines of an index CSV.

    Raises:
        InputError: absent, or not an index of `prepare-data`.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"the index lacks columns {', '.join(sorted(missing))}",
                         where=str(path), fix="make it with prepare-data")
    # equal values share one string: an index of the whole PDB has over a million lines
    return [{key: sys.intern(value) for key, value in row.items()} for row in reader]
