# SPDX-License-Identifier: Apache-2.0
"""Where sequence databases come from, how large they are, and under which terms.

The collection is that of AlphaFold 3 (its `fetch_databases.sh`, release v3.0); sizes are unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protenix_ms.errors import ConfigError, nearest

_SOURCE = "https://storage.googleapis.com/alphafold-databases/v3.0"
_COLABFOLD = "https://opendata.mmseqs.org/colabfold"


@dataclass(frozen=True)
class Download:
    """A database that can be downloaded.

    Attributes:
        file: its name in the folder of databases.
        size: unpacked, in gigabytes of 1e9 bytes, or in words.
        terms: licence and who to name.
        use: what it serves.
        url: what to download; "" for AlphaFold 3's file of that name, packed by zstd.
    """

    file: str
    size: str
    terms: str
    use: str
    url: str = ""

    def commands(self, folder: Path) -> Iterator[str]:
        """Yield the commands that put it into `folder`."""
        url = self.url or f"{_SOURCE}/{self.file}.zst"
        if url.endswith(".tar.zst"):
            yield f"curl -fL {url} | tar --use-compress-program=zstd -xf - -C {folder}"
        elif url.endswith(".tar.gz"):
            yield f"curl -fL {url} | tar -xzf - -C {folder}"
        else:
            yield f"curl -fL {url} | zstd -d -o {folder}/{self.file}"


CATALOGUE = {
    "uniref90": Download("uniref90_2022_05.fa", "71.8 GB", "CC BY 4.0, The UniProt Consortium",
                         "proteins, and species for pairing"),
    "uniprot": Download("uniprot_all_2021_04.fa", "108.4 GB", "CC BY 4.0, The UniProt Consortium",
                        "proteins, pairing by species"),
    "mgy_clusters": Download("mgy_clusters_2022_05.fa", "128.6 GB", "CC0, MGnify (EMBL-EBI)",
                             "proteins"),
    "bfd": Download("bfd-first_non_consensus_sequences.fasta", "18.2 GB",
                    "CC BY 4.0, M. Steinegger and J. Soeding", "proteins"),
    "pdb_seqres": Download("pdb_seqres_2022_09_28.fasta", "0.2 GB", "CC0, wwPDB",
                           "template hits"),
    "mmcif_files": Download("mmcif_files", "about 235 GB", "CC0, wwPDB", "structures of templates",
                            f"{_SOURCE}/pdb_2022_09_28_mmcif_files.tar.zst"),
    "rfam": Download("rfam_14_9_clust_seq_id_90_cov_80_rep_seq.fasta", "0.2 GB", "CC0, Rfam",
                     "RNA"),
    "rnacentral": Download("rnacentral_active_seq_id_90_cov_80_linclust.fasta", "13.9 GB",
                           "CC0, RNAcentral", "RNA"),
    "nt_rna": Download("nt_rna_2023_02_23_clust_seq_id_90_cov_80_rep_seq.fasta", "81.0 GB",
                       "none stated, NCBI Nucleotide", "RNA"),
    "uniref30": Download("uniref30_2302_db", "hundreds of GB", "see colabfold.mmseqs.com",
                         "proteins, by MMseqs2", f"{_COLABFOLD}/uniref30_2302.db.tar.gz"),
    "colabfold_envdb": Download("colabfold_envdb_202108_db", "hundreds of GB",
                                "see colabfold.mmseqs.com", "proteins, by MMseqs2",
                                f"{_COLABFOLD}/colabfold_envdb_202108.db.tar.gz"),
}


def require_download(name: str) -> Download:
    """Return a database of the catalogue.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in CATALOGUE:
        near = nearest(name, CATALOGUE)
        raise ConfigError(f"unknown database {name[:40]!r}", fix=f"did you mean {near}?" if near
                          else f"use {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
