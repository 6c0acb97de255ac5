# SPDX-License-Identifier: Apache-2.0
"""Scores of every pair of chains from aligned error, pLDDT and coordinates, in numpy.

ipSAE (Dunbrack 2025), pDockQ (Bryant 2022), pDockQ2 (Zhu 2023, as Dunbrack's script reads it: per
pair of chains) and LIS (Kim 2024) equal the author's script, version 4. They compare residues, so
a pair with a ligand, an ion or a glycan has none: NaN here, null in files.
Rows of the aligned error are the aligned tokens, columns the scored ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protenix_ms.chem.atom_table import AtomTable
from protenix_ms.chem.columns import starts_of_runs
from protenix_ms.geometry.distances import near_pairs
from protenix_ms.geometry.tm_terms import tm_d0
from protenix_ms.typing import Array, Bool, Float, Int

CONTACT = 8.0  # angstrom, between CB atoms
PDOCKQ2_SCALE = 10.0  # angstrom
LIS_CUTOFF = 12.0  # angstrom
FEWEST_PARTNERS = 26  # ipSAE computes its distance scale for at least so many residues
STANDARD_NUCLEOTIDES = ("A", "C", "G", "U", "DA", "DC", "DG", "DT")
# The atom whose token stands for a residue, and the atom from which its distances are measured.
STANDING_FOR = {"protein": ("CA", "CB"), "dna": ("C1'", "C3'"), "rna": ("C1'", "C3'")}
INTERFACE_KEYS = (
    "chain_ids", "ipsae_pae_cutoff", "chain_pair_ipsae", "chain_pair_ipsae_max",
    "chain_pair_ipsae_min", "chain_pair_pdockq", "chain_pair_pdockq2", "chain_pair_pdockq2_max",
    "chain_pair_lis", "chain_pair_lis_mean", "chain_pair_pae_mean", "chain_pair_pae_min",
)


@dataclass(frozen=True)
class Residues:
    """The residues of a job's polymers, with the token and the atom that stand for each.

    A modified residue has one token per atom; it counts once, by its CA (C1') token. A residue
    without that atom, as most caps, takes no part.

    Attributes:
        chain_ids: names of all chains, in the order of their numbers.
        chain_start: first token of every chain; chains stand one after another.
        chain: chain number of every residue.
        token: token of its CA, or C1' of a nucleotide.
        atom: row of its CB, or C3' of a nucleotide; of the CA (C1') where it has none.
        nucleic: chains that hold a standard nucleotide.
    """

    chain_ids: tuple[str, ...]
    chain_start: Int[Array, "c"]
    chain: Int[Array, "r"]
    token: Int[Array, "r"]
    atom: Int[Array, "r"]
    nucleic: Bool[Array, "c"]

    @classmethod
    def from_atoms(
        cls, atoms: AtomTable, atom_to_token: Int[Array, "a"], kinds: Mapping[str, str]
    ) -> Residues:
        """Find the residues in a table of atoms.

        Args:
            kinds: "protein", "dna" or "rna" by label of the polymer entities; whatever its
                component is, an entity that is not among them is a ligand.
        """
        nobody = ("", "")
        wanted = np.array([STANDING_FOR.get(kinds.get(str(e), ""), nobody)
                           for e in atoms.entity_id]).reshape(-1, 2)
        is_centre, is_side = (wanted == atoms.atom_name[:, None]).T
        starts = atoms.residue_starts()
        residue = np.repeat(np.arange(len(starts)), np.diff([*starts, len(atoms)]))
        side = np.full(len(starts), -1)
        side[residue[is_side]] = np.flatnonzero(is_side)
        centre = np.flatnonzero(is_centre)
        side = side[residue[centre]]
        chains = np.flatnonzero(starts_of_runs(atoms.chain_id))
        chain = np.repeat(np.arange(len(chains)), np.diff([*chains, len(atoms)]))
        standard = is_centre & np.isin(atoms.res_name, STANDARD_NUCLEOTIDES)
        return cls(
            chain_ids=tuple(atoms.chain_id[chains].tolist()),
            chain_start=atom_to_token[chains],
            chain=chain[centre],
            token=atom_to_token[centre],
            atom=np.where(side < 0, centre, side),
            nucleic=np.bincount(chain[standard], minlength=len(chains)) > 0,
        )


def score_interfaces(
    pae: Float[Array, "n n"],
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    residues: Residues,
    cutoff: float,
) -> dict[str, object]:
    """Score all pairs of chains of one sample, under the names of `INTERFACE_KEYS`.

    Matrices are (c, c), in the order of `chain_ids`. In `chain_pair_ipsae`, `chain_pair_pdockq2`,
    `chain_pair_lis`, `chain_pair_pae_mean` and `chain_pair_pae_min` the row is the aligned chain
    and the column the scored one. The others are symmetric: a pair's value is the larger of both
    directions of ipSAE and pDockQ2, and the mean of both of LIS.

    Args:
        pae: expected aligned error, angstrom, unrounded.
        coordinates: angstrom.
        plddt: 0-100.
        cutoff: ipSAE counts pairs whose aligned error is below it, angstrom.
    """
    n_chain = len(residues.chain_ids)
    ipsae, lis = np.full((2, n_chain, n_chain), np.nan)
    tokens = [residues.token[residues.chain == c] for c in range(n_chain)]
    for a, b in np.argwhere(~np.eye(n_chain, dtype=bool)):
        if len(tokens[a]) and len(tokens[b]):
            block = pae[np.ix_(tokens[a], tokens[b])].astype(np.float64)
            least = 2.0 if residues.nucleic[a] or residues.nucleic[b] else 1.0
            ipsae[a, b], lis[a, b] = _compute_ipsae(block, cutoff, least), _compute_lis(block)
    pdockq, pdockq2 = _compute_pdockq(pae, coordinates, plddt, residues)
    absent = np.isnan(ipsae)
    pdockq[absent] = pdockq2[absent] = np.nan
    # over all tokens of the chains, ligands too; band by band, so that nothing is as large as `pae`
    starts, ends = residues.chain_start, [*residues.chain_start[1:], len(pae)]
    bands = [pae[start:end] for start, end in zip(starts, ends)]
    total = np.add.reduceat([band.sum(0, dtype=np.float64) for band in bands], starts, axis=1)
    least_pae = np.minimum.reduceat([band.min(0) for band in bands], starts, axis=1)
    size = np.diff([*starts, len(pae)])
    values = (
        list(residues.chain_ids), float(cutoff), ipsae, np.maximum(ipsae, ipsae.T),
        np.minimum(ipsae, ipsae.T), pdockq, pdockq2, np.maximum(pdockq2, pdockq2.T),
        lis, (lis + lis.T) / 2, total / np.outer(size, size), least_pae,
    )
    return dict(zip(INTERFACE_KEYS, values, strict=True))


def _compute_ipsae(block: Float[Array, "i j"], cutoff: float, least: float) -> float:
    """Take the best aligned residue's mean TM term over its partners below `cutoff`; else 0.

    The distance scale follows the number of partners and is at least `least` angstrom.
    """
    near = block < cutoff
    partners = near.sum(1)
    d0 = np.array([max(least, tm_d0(max(n, FEWEST_PARTNERS))) for n in partners.tolist()])
    terms = np.where(near, 1.0 / (1.0 + (block / d0[:, None]) ** 2), 0.0).sum(1)
    return float((terms / np.maximum(partners, 1)).max())


def _compute_lis(block: Float[Array, "i j"]) -> float:
    """Average (12 - e) / 12 over pairs with an error e below 12 angstrom; 0 without any."""
    near = block[block < LIS_CUTOFF]
    return float((1.0 - near / LIS_CUTOFF).mean()) if len(near) else 0.0


def _compute_pdockq(
    pae: Float[Array, "n n"],
    coordinates: Float[Array, "a 3"],
    plddt: Float[Array, "a"],
    residues: Residues,
) -> tuple[Float[Array, "c c"], Float[Array, "c c"]]:
    """Compute pDockQ (symmetric) and pDockQ2 (row aligned) of all pairs; 0 without contact."""
    n_chain = len(residues.chain_ids)
    shape, chain = (n_chain, n_chain), residues.chain
    x = coordinates[residues.atom]
    i, j = near_pairs(x, x, CONTACT).T
    between = chain[i] != chain[j]
    i, j = i[between], j[between]
    pair = chain[i] * n_chain + chain[j]
    contacts = np.bincount(pair, minlength=n_chain**2)
    error = pae[residues.token[i], residues.token[j]].astype(np.float64)
    terms = np.bincount(pair, 1.0 / (1.0 + (error / PDOCKQ2_SCALE) ** 2), n_chain**2)
    # every residue at an interface counts once there
    place, member = np.unique(np.stack([pair, i]), axis=1)
    total = np.bincount(place, plddt[residues.atom[member]], n_chain**2).reshape(shape)
    count = np.bincount(place, minlength=n_chain**2).reshape(shape)
    mean = (total + total.T) / np.maximum(count + count.T, 1)
    number = np.maximum(contacts.reshape(shape), 1)
    quality = mean * np.log10(number), mean * terms.reshape(shape) / number
    pdockq = 0.724 / (1.0 + np.exp(-0.052 * (quality[0] - 152.611))) + 0.018
    pdockq2 = 1.31 / (1.0 + np.exp(-0.075 * (quality[1] - 84.733))) + 0.005
    touching = contacts.reshape(shape) > 0
    return np.where(touching, pdockq, 0.0), np.where(touching, pdockq2, 0.0)
