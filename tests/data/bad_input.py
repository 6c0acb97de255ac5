# SPDX-License-Identifier: Apache-2.0
"""One input that must be refused, and pieces to write such inputs with."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

NAG = {"ligand": {"ligand": "CCD_NAG", "count": 1}}
SEQUENCE = "MKTAYIAKQR"
QUERY = f">query\n{SEQUENCE}\n"


@dataclass(frozen=True)
class BadInput:
    """Holds one bad input.

    Attributes:
        name: what is wrong.
        text: content of the input file (bytes are written as they are; None: no file).
        says: parts of the message, in any order: places and remedies.
        suffix: of the input file.
        files: further files, by relative path.
        msa: relative path given as ``--msa``.
        chemistry: only the component dictionary can tell.
    """

    name: str
    text: str | bytes | None
    says: tuple[str, ...]
    suffix: str = ".json"
    files: dict[str, str | bytes] = field(default_factory=dict)
    msa: str | None = None
    chemistry: bool = False

    def write(self, folder: Path) -> tuple[Path, Path | None]:
        """Write everything into `folder`; return the path to read, and the path of ``--msa``."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        path = folder / f"input{self.suffix}"
        if self.text is not None:
            path.write_bytes(self.text.encode() if isinstance(self.text, str) else self.text)
        return path, folder / self.msa if self.msa else None


def job(*entities: dict, **extra: object) -> str:
    """Make a Protenix JSON with one job."""
    return json.dumps([{"name": "j", "sequences": list(entities), **extra}])


def protein(**extra: object) -> dict:
    """Make a protein entity."""
    return {"proteinChain": {"sequence": SEQUENCE, "count": 1, **extra}}


def bond(**change: object) -> str:
    """Make a job with one bond, the usual one but for `change`; None removes a field."""
    fields = {
        "entity1": 1,
        "position1": 1,
        "atom1": "N",
        "entity2": 2,
        "position2": 1,
        "atom2": "C1",
    }
    fields.update(change)
    fields = {key: value for key, value in fields.items() if value is not None}
    return job(protein(), NAG, covalent_bonds=[fields])


def modified(**modification: object) -> str:
    """Make a job with one modification."""
    return job(protein(modifications=[modification]))


def contact(**change: object) -> str:
    """Make a job with one contact, the usual one but for `change`."""
    fields = {
        **{"entity1": 1, "copy1": 1, "position1": 1},
        **{"entity2": 2, "copy2": 1, "position2": 1, "max_distance": 8},
    }
    fields.update(change)
    return job(protein(), NAG, constraint={"contact": [fields]})


def alphafold3(*entities: dict, **extra: object) -> str:
    """Make an AlphaFold 3 JSON."""
    base = {"dialect": "alphafold3", "version": 1, "name": "a", "modelSeeds": [1]}
    return json.dumps({**copy.deepcopy(base), "sequences": list(entities), **extra})


def openfold3(query: dict | None = None, chain: dict | None = None, **extra: object) -> str:
    """Make an OpenFold3 query file with one query of one protein."""
    base = {"molecule_type": "protein", "chain_ids": "A", "sequence": SEQUENCE}
    chains = [{**base, **(chain or {})}]
    return json.dumps({"queries": {"a": {"chains": chains, **(query or {})}}, **extra})
