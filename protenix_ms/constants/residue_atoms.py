# SPDX-License-Identifier: Apache-2.0
"""The elements, and the heavy atoms of the standard residues as the confidence head counts them.

An atom's position in `RESIDUE_ATOMS[name]` (upstream's `RES_ATOMS_DICT`) is `atom_to_tokatom_idx`.
Template features use the same order without the terminal OXT (`DENSE_ATOMS`, at most 24).
"""

from __future__ import annotations

from types import MappingProxyType

import gemmi

from protenix_ms.constants.restypes import (
    DNA_RESTYPES,
    PROTEIN_RESTYPES,
    RESTYPE_INDEX,
    RESTYPES,
    RNA_RESTYPES,
)

# Symbols are in upper case, as the CCD and mmCIF write them.
ATOMIC_NUMBER = MappingProxyType({gemmi.Element(n).name.upper(): n for n in range(1, 119)})
NUM_ELEMENT_CLASSES = 128  # of the one-hot: 118 elements and ten spare classes (AF3 SI table 5)

_SIDE_CHAINS = {
    "ALA": "CB",
    "ARG": "CB CG CD NE CZ NH1 NH2",
    "ASN": "CB CG OD1 ND2",
    "ASP": "CB CG OD1 OD2",
    "CYS": "CB SG",
    "GLN": "CB CG CD OE1 NE2",
    "GLU": "CB CG CD OE1 OE2",
    "GLY": "",
    "HIS": "CB CG ND1 CD2 CE1 NE2",
    "ILE": "CB CG1 CG2 CD1",
    "LEU": "CB CG CD1 CD2",
    "LYS": "CB CG CD CE NZ",
    "MET": "CB CG SD CE",
    "PHE": "CB CG CD1 CD2 CE1 CE2 CZ",
    "PRO": "CB CG CD",
    "SER": "CB OG",
    "THR": "CB OG1 CG2",
    "TRP": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2",
    "TYR": "CB CG CD1 CD2 CE1 CE2 CZ OH",
    "VAL": "CB CG1 CG2",
    "UNK": "CB CG",
}
_BASES = {
    "A": "N9 C8 N7 C5 C6 N6 N1 C2 N3 C4",
    "G": "N9 C8 N7 C5 C6 O6 N1 C2 N2 N3 C4",
    "C": "N1 C2 O2 N3 C4 N4 C5 C6",
    "U": "N1 C2 O2 N3 C4 O4 C5 C6",
    "T": "N1 C2 O2 N3 C4 O4 C5 C7 C6",
    "N": "",
}
_PHOSPHATE_AND_RIBOSE = "OP3 P OP1 OP2 O5' C5' C4' O4' C3' O3' C2'"


def _atoms(name: str) -> tuple[str, ...]:
    if name in _SIDE_CHAINS:
        return tuple(f"N CA C O {_SIDE_CHAINS[name]} OXT".split())
    hydroxyl = "O2'" if name in RNA_RESTYPES else ""
    return tuple(f"{_PHOSPHATE_AND_RIBOSE} {hydroxyl} C1' {_BASES[name[-1]]}".split())


RESIDUE_ATOMS = MappingProxyType(
    {name: _atoms(name) for name in (*PROTEIN_RESTYPES, *RNA_RESTYPES, *DNA_RESTYPES)}
)

# Token centre: C-alpha, C1'. Frames: N-CA-C, C1'-C3'-C4' (AF3 SI 4.3.2).
PROTEIN_CENTRE_ATOM = "CA"
NUCLEIC_CENTRE_ATOM = "C1'"
PROTEIN_FRAME_ATOMS = ("N", "CA", "C")
NUCLEIC_FRAME_ATOMS = ("C1'", "C3'", "C4'")


def _distogram_atom(name: str) -> str:
    if name in PROTEIN_RESTYPES:
        return "CA" if name == "GLY" else "CB"
    return {"A": "C4", "G": "C4", "N": NUCLEIC_CENTRE_ATOM}.get(name[-1], "C2")


# Representative atom of the distogram and of template pseudo-beta (AF3 SI 4.4); N and DN, whose
# base is unknown, take C1'.
DISTOGRAM_ATOM = MappingProxyType({name: _distogram_atom(name) for name in RESIDUE_ATOMS})

# Dense atoms of template features: unknown residues and gap have none.
MAX_DENSE_ATOMS = 24
DENSE_ATOMS = MappingProxyType(
    {
        name: ()
        if name in ("UNK", "N", "DN", "-")
        else tuple(atom for atom in RESIDUE_ATOMS[name] if atom != "OXT")
        for name in RESTYPES
    }
)


def dense_index(restype: str, atom: str) -> int:
    """Find the column of `atom` among the dense atoms of `restype`; 0, as upstream, if absent."""
    atoms = DENSE_ATOMS[restype]
    return atoms.index(atom) if atom in atoms else 0


# Dense column of the pseudo-beta atom, by restype index.
PSEUDO_BETA_INDEX = tuple(
    dense_index(name, DISTOGRAM_ATOM.get(name, "")) for name in RESTYPE_INDEX
)

# Atoms of amino acids, in the order in which structures of templates hold them.
ATOM37 = (
    "N", "CA", "C", "CB", "O", "CG", "CG1", "CG2", "OG", "OG1", "SG", "CD", "CD1", "CD2", "ND1",
    "ND2", "OD1", "OD2", "SD", "CE", "CE1", "CE2", "CE3", "NE", "NE1", "NE2", "OE1", "OE2", "CH2",
    "NH1", "NH2", "OH", "CZ", "CZ2", "CZ3", "NZ", "OXT",
)  # fmt: skip
# Per restype index, the place in `ATOM37` of every dense atom. Unused places hold N, as upstream.
ATOM37_OF_DENSE = tuple(
    tuple(ATOM37.index(atom) if atom in ATOM37 else 0
          for atom in DENSE_ATOMS[name] + ("N",) * (MAX_DENSE_ATOMS - len(DENSE_ATOMS[name])))
    for name in RESTYPES
)
