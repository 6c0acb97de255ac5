# SPDX-License-Identifier: Apache-2.0
"""Small databases of made-up relatives, for searches where no real database is."""

from pathlib import Path

import numpy as np

PROTEINS = ("MATIALVDDDRNILTSVSLALEAEGFDVRSFTDGVAALAEFGRNAPDLAVLDIKMPRLDGMELLRRLRLKSDLPVIFLTSKDEE",
            "GEWEIIDIGPFTQNLGKFAVDEENKIGQYGRLTFNKVIRPCMKKTIYENEREIKGYEYQLYVYASDKLFRADISEDYKTRGRKLLRFNG")
RNA = "GCGGAUUUAGCUCAGUUGGGAGAGCGCCAGACUGAAGAUCUGGAGGUCCUGUGUUCGAUCCACAGAAUUCGCACCA"
SPECIES = ("HUMAN", "MOUSE", "YEAST", "ECOLI")


def _changed(sequence: str, letters: str, seed: int) -> str:
    """Change a fifth of the letters, and delete two."""
    rng = np.random.default_rng(seed)
    row = np.array(list(sequence))
    places = rng.choice(len(row), len(row) // 5, replace=False)
    row[places] = rng.choice(list(letters), len(places))
    return "".join(np.delete(row, [20, 21]))


def write_databases(folder: Path) -> Path:
    """Write uniref90, uniprot, pdb_seqres and rfam with four relatives of each chain."""
    folder.mkdir(exist_ok=True)
    texts = dict.fromkeys(("uniref90", "uniprot", "pdb_seqres", "rfam"), "")
    for i, sequence in enumerate(PROTEINS):
        for k, species in enumerate(SPECIES):
            row = _changed(sequence, "ACDEFGHIKLMNPQRSTVWY", 10 * i + k)
            texts["uniref90"] += f">UniRef90_R{i}X{k} made n=1 TaxID={k + 7} RepID=X\n{row}\n"
            texts["uniprot"] += f">tr|Q{i}AAA{k}|Q{i}AAA{k}_{species} made OS=Made OX={k}\n{row}\n"
            header = f">{k + 1}abc_{'AB'[i]} mol:protein length:{len(row)}  MADE"
            texts["pdb_seqres"] += f"{header}\n{row}\n"
    for k in range(4):
        row = _changed(RNA, "ACGU", 50 + k).replace("U", "T")
        texts["rfam"] += f">R{k} made\n{row}\n"
    for kind, text in texts.items():
        (folder / f"{kind}.fasta").write_text(text)
    return folder
