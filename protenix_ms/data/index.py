# SPDX-License-Identifier: Apache-2.0
"""Make and read the index of chains and interfaces that training samples from.

Upstream: `make_indices`, `calc_weights_for_df` (AF3 SI 2.5.1).
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protenix_ms.data.entry import Entry
from protenix_ms.errors import InputError
from protenix_ms.features.annotation import AnnotatedAtoms
from protenix_ms.geometry.distances import near_pairs
from protenix_ms.io.text_file import read_text
from protenix_ms.typing import Array, Float, Int

INTERFACE_RADIUS = 5.0  # angstrom between heavy atoms of two chains
SHORTEST_CLUSTERED = 10  # residues; shorter proteins are their own cluster
TO_CLUSTER = "sequence="  # marks a cluster that `clusters.cluster` has yet to name
_CLUSTER_GUARD = 1e-9

Row = dict[str, str]
COLUMNS = (
    "type", "pdb_id", "cluster_id", "assembly_id", "release_date", "resolution", "num_tokens",
    "num_prot_chains", "eval_type", "mol_type_group", "entity_1_id", "entity_2_id", "chain_1_id",
    "chain_2_id", "mol_1_type", "mol_2_type", "cluster_1_id", "cluster_2_id",
)  # fmt: skip


def entry_rows(entry: Entry) -> list[Row]:
    """List the lines of one entry: every chain with a resolved centre atom, then every interface.

    Clusters of proteins are left open: `TO_CLUSTER` and the sequence.
    """
    atoms = entry.atoms
    chains = [row for rows in atoms.chains() if (row := _chain(entry, rows)) is not None]
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
    """Describe a chain; None when no centre atom is resolved."""
    atoms = entry.atoms
    if not (atoms.is_resolved[rows] & (atoms.centre_atom_mask[rows] > 0)).any():
        return None
    entity = str(atoms.entity_id[rows.start])
    kind = entry.polymers.get(entity, "")
    chain = atoms[rows]
    codes = chain.res_name[chain.residue_starts()].tolist()
    sequence = entry.sequences.get(entity, "")
    if "polypeptide" in kind:
        mol_type, cluster = "prot", _protein_cluster(kind, sequence, codes)
    elif "ribonucleotide" in kind:
        mol_type, cluster = "nuc", sequence
    else:
        mol_type, cluster = "ligand", "_".join(codes)
    types = set(chain.mol_type.tolist())
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


def _interfaces(atoms: AnnotatedAtoms, chains: list[Row]) -> Iterator[list[Row]]:
    """List pairs of chains with resolved atoms within 5 angstrom, each pair once."""
    rows = np.flatnonzero(atoms.is_resolved)
    names, chain = np.unique(atoms.chain_id[rows], return_inverse=True)
    first, second = near_pairs(atoms.coord[rows], atoms.coord[rows], INTERFACE_RADIUS).T
    touching = np.zeros((len(names), len(names)), bool)
    touching[chain[first], chain[second]] = True
    near = set(map(tuple, names[np.argwhere(touching)].tolist()))
    for i, own in enumerate(chains):
        for other in sorted(chains[i + 1 :], key=lambda c: c["chain"]):
            if (own["chain"], other["chain"]) in near:
                yield [own, other]


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
    """Tell DNA and RNA of a group apart, unless a chain mixes them."""
    if group not in ("intra_nuc", "nuc_prot") or "hybrid" in nucleic:
        return group
    if group == "intra_nuc":
        return f"intra_{nucleic[0]}"
    return "dna_prot" if "dna" in nucleic else "rna_prot"


def with_clusters(rows: list[Row], cluster_of: dict[str, str]) -> list[Row]:
    """Fill in protein clusters; an interface's cluster is that of its two chains.

    Args:
        cluster_of: sequence -> name of its cluster.
    """

    def named(cluster: str) -> str:
        is_open = cluster.startswith(TO_CLUSTER)
        return cluster_of[cluster.removeprefix(TO_CLUSTER)] if is_open else cluster

    filled = []
    for row in rows:
        names = [named(row["cluster_1_id"]), named(row["cluster_2_id"])]
        pair = names if row["type"] == "interface" else names[:1]
        filled.append(row | {"cluster_1_id": names[0], "cluster_2_id": names[1],
                             "cluster_id": ":".join(sorted(pair))})
    return filled


def index_text(rows: list[Row]) -> str:
    """Write the index as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def read_index(path: Path) -> list[Row]:
    """Read the lines of an index CSV.

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


def chains_of(row: Row) -> list[str]:
    """Name the chain, or the two chains, that a line of the index is about."""
    names = [row["chain_1_id"], row["chain_2_id"]]
    return names[:1] if row["type"] == "chain" else names


@dataclass(frozen=True)
class RowFilter:
    """Limits of the lines of an index that take part.

    Attributes:
        max_tokens, min_tokens: size of the whole entry; 0 for no limit.
        max_resolution: angstrom, 0 for no limit; unknown resolution passes.
        released_before, released_after: "YYYY-MM-DD", exclusive; "" for no limit.
        without_types: lines with such a molecule are left out (upstream trains on no ions).
        names: only these entries; empty for all.
    """

    max_tokens: int = 0
    min_tokens: int = 0
    max_resolution: float = 0.0
    released_before: str = ""
    released_after: str = ""
    without_types: tuple[str, ...] = ("ions",)
    names: frozenset[str] = frozenset()

    def keeps(self, row: Row) -> bool:
        """Tell whether a line takes part."""
        tokens, date = int(row["num_tokens"]), row["release_date"]
        too_coarse = bool(self.max_resolution) and float(row["resolution"]) > self.max_resolution
        return not (
            (self.max_tokens and tokens > self.max_tokens)
            or tokens < self.min_tokens
            or too_coarse
            or (self.released_before and date >= self.released_before)
            or (self.released_after and date <= self.released_after)
            or {row["mol_1_type"], row["mol_2_type"]} & set(self.without_types)
            or (self.names and row["pdb_id"] not in self.names)
        )


@dataclass(frozen=True)
class Weighting:
    """Weights of AF3 SI 2.5.1: beta by kind of line, alpha by type of molecule."""

    chain: float = 0.5
    interface: float = 1.0
    prot: float = 3.0
    nuc: float = 3.0
    ligand: float = 1.0

    def weight(self, row: Row) -> float:
        """Multiply beta by the sum of alpha; molecules of other types count nothing."""
        beta = self.chain if row["type"] == "chain" else self.interface
        alpha = {"prot": self.prot, "nuc": self.nuc, "ligand": self.ligand}
        return beta * sum(alpha.get(row[key], 0.0) for key in ("mol_1_type", "mol_2_type"))


def row_weights(rows: list[Row], weighting: Weighting = Weighting()) -> Float[Array, "r"]:  # noqa: B008
    """Weigh every line, without normalisation.

    ``beta * sum(alpha of its molecules) / size of its cluster / copies in its entry``; the size
    of a cluster counts entity pairs per entry once.
    """
    pairs = [_entities(row) for row in rows]
    copies = Counter(pairs)
    members: dict[str, set[tuple[str, ...]]] = {}
    for row, pair in zip(rows, pairs):
        members.setdefault(row["cluster_id"], set()).add(pair)
    return np.array([
        weighting.weight(row) / (len(members[row["cluster_id"]]) + _CLUSTER_GUARD) / copies[pair]
        for row, pair in zip(rows, pairs)
    ])


def _entities(row: Row) -> tuple[str, ...]:
    return (row["pdb_id"], row["assembly_id"], *sorted((row["entity_1_id"], row["entity_2_id"])))


def epoch_order(weights: Float[Array, "r"], size: int, seed: int, epoch: int) -> Int[Array, "k"]:
    """Draw the lines of one epoch, with replacement; the same for the same seed and epoch.

    Raises:
        InputError: nothing has a weight.
    """
    total = float(weights.sum())
    if not total > 0:
        raise InputError("no line of the index has a sampling weight",
                         fix="loosen the filters or prepare more entries")
    rng = np.random.default_rng([seed, epoch])
    return rng.choice(len(weights), size=size, p=weights / total)
