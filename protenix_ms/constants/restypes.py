# SPDX-License-Identifier: Apache-2.0
"""The 32 residue types of the model, the one-letter alphabets, and what helps crystals to grow.

Order of the types (AF3 SI table 13): 20 amino acids, UNK, four RNA bases and N, four DNA bases
and DN, gap.
"""

from __future__ import annotations

from string import ascii_uppercase
from types import MappingProxyType

PROTEIN_RESTYPES = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU",
    "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK",
)
RNA_RESTYPES = ("A", "G", "C", "U", "N")
DNA_RESTYPES = ("DA", "DG", "DC", "DT", "DN")
GAP = "-"

STANDARD_RESIDUES = PROTEIN_RESTYPES + RNA_RESTYPES + DNA_RESTYPES
RESTYPES = (*STANDARD_RESIDUES, GAP)
RESTYPE_INDEX = MappingProxyType({name: i for i, name in enumerate(RESTYPES)})

UNKNOWN_INDEX = RESTYPE_INDEX["UNK"]
RNA_UNKNOWN_INDEX = RESTYPE_INDEX["N"]
DNA_UNKNOWN_INDEX = RESTYPE_INDEX["DN"]
GAP_INDEX = RESTYPE_INDEX[GAP]

# Letters of an input sequence -> component code. I, X and U-in-DNA are accepted as upstream does.
PROTEIN_LETTERS = MappingProxyType(dict(zip("ARNDCQEGHILKMFPSTWYVX", PROTEIN_RESTYPES)))
RNA_LETTERS = MappingProxyType(
    {"A": "A", "G": "G", "C": "C", "U": "U", "X": "N", "I": "I", "N": "N"}
)
DNA_LETTERS = MappingProxyType(
    {"A": "DA", "G": "DG", "C": "DC", "T": "DT", "X": "DN", "I": "DI", "N": "DN", "U": "DU"}
)
SEQUENCE_LETTERS = MappingProxyType(
    {"protein": PROTEIN_LETTERS, "rna": RNA_LETTERS, "dna": DNA_LETTERS}
)


def _alignment_letters(kind: str) -> MappingProxyType[str, int]:
    if kind == "protein":
        table = {letter: RESTYPE_INDEX[name] for letter, name in PROTEIN_LETTERS.items()}
        # ambiguity codes and the two rare amino acids; J (I or L) and O count as unknown
        table.update(B=table["D"], Z=table["E"], U=table["C"], J=UNKNOWN_INDEX, O=UNKNOWN_INDEX)
    else:
        unknown = RNA_UNKNOWN_INDEX if kind == "rna" else DNA_UNKNOWN_INDEX
        names = zip("AGCU", RNA_RESTYPES) if kind == "rna" else zip("AGCT", DNA_RESTYPES)
        table = dict.fromkeys(ascii_uppercase, unknown)
        table.update({letter: RESTYPE_INDEX[name] for letter, name in names})
    table[GAP] = GAP_INDEX
    return MappingProxyType(table)


# Letters of an alignment column (upper case or gap) -> restype index.
ALIGNMENT_LETTERS = MappingProxyType(
    {kind: _alignment_letters(kind) for kind in ("protein", "rna", "dna")}
)

# Components that only help a crystal to grow are removed from training structures (AF3 SI 2.5.4,
# table 8), if the structure was determined by one of these values of `_exptl.method`.
CRYSTALLIZATION_AIDS = frozenset({
    "SO4", "GOL", "EDO", "PO4", "ACT", "PEG", "DMS", "TRS", "PGE", "PG4", "FMT", "EPE", "MPD",
    "MES", "CD", "IOD",
})
CRYSTALLIZATION_METHODS = frozenset({
    "X-RAY DIFFRACTION", "NEUTRON DIFFRACTION", "ELECTRON CRYSTALLOGRAPHY",
    "POWDER CRYSTALLOGRAPHY", "FIBER DIFFRACTION",
})

# The alphabet of ESM-2: 33 tokens, numbered as in fair-esm and in transformers.
TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")
"""Names of the tokens, by number."""

NUMBER = {token: number for number, token in enumerate(TOKENS)}
"""Numbers of the tokens, by name."""

BEGIN, PADDING, END, MASK = (NUMBER[name] for name in ("<cls>", "<pad>", "<eos>", "<mask>"))

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty standard residues, in alphabetical order."""

INSIDE = frozenset(TOKENS) - {"<cls>", "<pad>", "<eos>"}
"""What may stand in a sequence: the first token and the last are ours, padding is nobody's."""
