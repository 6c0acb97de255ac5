# SPDX-License-Identifier: Apache-2.0
"""The one immutable input object: what a person wants predicted.

Readers in `io/` make a `Job` from FASTA or JSON; everything after them (MSA, templates, features,
outputs) reads only this. Positions are 1-based, as people write them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from protenix_ms.errors import InputError

PolymerKind = Literal["protein", "dna", "rna"]
MAX_SEED = 2**32 - 1
LIGAND_SUFFIXES = (".sdf", ".mol", ".mol2", ".pdb")


@dataclass(frozen=True)
class Modification:
    """A modified residue: CCD code `code` at 1-based `position` of its chain."""

    code: str
    position: int


@dataclass(frozen=True)
class Alignment:
    """An a3m alignment: its text, and where it came from (a path or "inline") for messages."""

    text: str
    source: str


@dataclass(frozen=True)
class TemplateStructure:
    """A structure that the job gives as a template of a protein.

    Attributes:
        text: content of an mmCIF file.
        source: where it came from, for messages.
        name: of its file, for tables.
        chain: the author's name of its chain; "" where it has one protein chain only.
        query_indices, template_indices: pairs of residues, from 0, by position in the sequence of
            the job and in the whole sequence of the structure's chain; empty: aligned here.
    """

    text: str
    source: str = field(compare=False)
    name: str = field(compare=False)
    chain: str = ""
    query_indices: tuple[int, ...] = ()
    template_indices: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """Its name in tables."""
        return f"{self.name} {self.chain}".strip()


@dataclass(frozen=True)
class Polymer:
    """A protein, DNA or RNA chain, present `count` times.

    Attributes:
        kind: type of the chain.
        sequence: one-letter codes, upper case.
        count: number of identical copies.
        ids: chain names given by the user, one per copy, or empty for A, B, C, ...
        modifications: modified residues.
        paired_msa: rows pairable across chains by species (protein only).
        unpaired_msa: rows of this chain alone (protein, RNA).
        templates: template hits (a3m from hmmsearch, or hhr), protein only.
        template_structures: structures that are templates as they are, protein only.
        keep_rows: rows of the alignments stay as written, duplicates included, so that row k of
            one chain stands beside row k of the others (AlphaFold 3's pairing by hand).
        labels: what the user calls the copies (headers of FASTA), one per copy, or empty.
    """

    kind: PolymerKind
    sequence: str
    count: int = 1
    ids: tuple[str, ...] = ()
    modifications: tuple[Modification, ...] = ()
    paired_msa: Alignment | None = None
    unpaired_msa: Alignment | None = None
    templates: Path | None = None
    template_structures: tuple[TemplateStructure, ...] = ()
    keep_rows: bool = False
    labels: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Ligand:
    """A small molecule, given in exactly one of three ways.

    Attributes:
        codes: CCD codes; several make one chain of joined residues (``CCD_NAG_BMA``).
        smiles: SMILES text.
        file: SDF, MOL, MOL2 or PDB file with 3D coordinates.
        count: number of identical copies.
        ids: chain names, or empty.
        labels: what the user calls the copies, one per copy, or empty.
        is_ion: written as ``ion`` in the job. Chemically a one-component ligand; remembered
            because upstream treats MSA and template columns of ions differently
            (`upstream_quirks` brings that back).
    """

    codes: tuple[str, ...] = ()
    smiles: str | None = None
    file: Path | None = None
    count: int = 1
    ids: tuple[str, ...] = ()
    is_ion: bool = False
    labels: tuple[str, ...] = field(default=(), compare=False)


Entity = Polymer | Ligand


@dataclass(frozen=True)
class AtomAddress:
    """An atom (or residue) of the job: 1-based entity, copy, position, and an atom.

    `copy` None means "every copy, pairwise". `atom` is an atom name, or for SMILES and file
    ligands also a 0-based index or an atom-map number (upstream's rules); None names the residue.
    """

    entity: int
    position: int
    atom: str | int | None = None
    copy: int | None = None


@dataclass(frozen=True)
class CovalentBond:
    """A bond between two atoms of the job."""

    first: AtomAddress
    second: AtomAddress


@dataclass(frozen=True)
class Contact:
    """Two residues or atoms wanted within [min_distance, max_distance] angstrom."""

    first: AtomAddress
    second: AtomAddress
    max_distance: float
    min_distance: float = 0.0


@dataclass(frozen=True)
class Pocket:
    """A binder chain (entity, copy) wanted within `max_distance` angstrom of residues."""

    binder: tuple[int, int]
    residues: tuple[AtomAddress, ...]
    max_distance: float


@dataclass(frozen=True)
class Job:
    """One prediction: entities in the user's order, bonds, constraints, seeds.

    Attributes:
        name: job and folder name.
        entities: polymers and ligands, 1-based by position in the list for addresses.
        bonds: covalent bonds between entities.
        contacts, pocket: constraints, which only the constraint model reads.
        seeds: ``modelSeeds`` of the job, empty when absent.
        entity_numbers: per entity, the number of the first one it is a copy of (its own if it
            is none); empty: no entity is a copy of another. Bonds address the first one.
        source: file the job was read from, and its index there, for messages.
        notes: sentences about what the reader changed or left out, for the run and `run.json`.
        own_components: mmCIF text of components that only this job knows, or "".
        document: the JSON object of Protenix or AlphaFold 3 that it was read from; None for others.
    """

    name: str
    entities: tuple[Entity, ...]
    bonds: tuple[CovalentBond, ...] = ()
    contacts: tuple[Contact, ...] = ()
    pocket: Pocket | None = None
    seeds: tuple[int, ...] = ()
    entity_numbers: tuple[int, ...] = ()
    own_components: str = field(default="", repr=False)
    source: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    document: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def numbered_entities(self) -> Iterator[tuple[int, Entity]]:
        """List the entities with the numbers under which the model knows them."""
        numbers = self.entity_numbers or range(1, len(self.entities) + 1)
        return zip(numbers, self.entities)


def require_seed(seed: int, where: str = "seed") -> int:
    """Return the seed itself, if it is one: a whole number from 0 to `MAX_SEED`.

    Raises:
        InputError: it is not.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= MAX_SEED:
        raise InputError(f"expected a whole number from 0 to {MAX_SEED}, got {seed!r:.40}",
                         where=where, fix="choose another seed")
    return int(seed)
