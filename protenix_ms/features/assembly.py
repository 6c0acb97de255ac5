# SPDX-License-Identifier: Apache-2.0
"""Build the atoms of a job: entities, copies, chain names, bonds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from protenix_ms.chem.atom_table import AtomTable, concatenate
from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.chem.covalent import apply_covalent_bonds, selenomethionine_to_methionine
from protenix_ms.chem.ligand import build_ligand
from protenix_ms.chem.own_components import dictionary_of
from protenix_ms.chem.polymer import build_polymer, unbonded_neighbours
from protenix_ms.errors import ChemistryError
from protenix_ms.features.annotation import AnnotatedAtoms, annotate
from protenix_ms.features.molecules import assign_molecules
from protenix_ms.job import Job, Polymer

_SEED_RANGE = 2**31 - 1


def assemble(
    job: Job, ccd: ComponentDictionary, rng: np.random.Generator, upstream_quirks: bool = False
) -> AnnotatedAtoms:
    """Build the annotated atoms of a job, in model order (upstream: `SampleDictToFeatures`).

    Every entity is built once and repeated; then come covalent bonds (leaving atoms are removed
    only now), MSE -> MET, annotations and molecules.

    Args:
        rng: seeds SMILES conformers and chooses among equivalent leaving groups.
        upstream_quirks: bond caps as upstream does, and leave residues without a bond as they are.

    Raises:
        ChemistryError: a residue, ligand or bond that cannot be built; neighbours in a chain that
            nothing bonds.
    """
    ccd = dictionary_of(job, ccd)
    names = chain_names(job)
    built: dict[int, AtomTable] = {}
    copies: list[AtomTable] = []
    count: Counter[int] = Counter()
    ligands = 0  # without a code
    for number, entity in job.numbered_entities():
        if number not in built:
            seed = int(rng.integers(_SEED_RANGE))
            if isinstance(entity, Polymer):
                built[number] = build_polymer(entity.kind, entity.sequence, entity.modifications,
                                              ccd, upstream_quirks)
            else:
                ligands += not entity.codes
                built[number] = build_ligand(entity, ccd, seed, ligands)
        for _ in range(entity.count):
            count[number] += 1
            copies.append(built[number].with_values(
                entity_id=str(number), chain_id=next(names), copy_id=count[number]))
    atoms = concatenate(copies)
    atoms = apply_covalent_bonds(atoms, job.bonds, ccd, rng, check_valence=not upstream_quirks)
    if not upstream_quirks:
        _require_whole_chains(job, atoms)
    atoms = annotate(selenomethionine_to_methionine(atoms), ccd)
    return assign_molecules(atoms, set(atoms.entity_id.tolist()))


def chain_names(job: Job) -> Iterator[str]:
    """Name the chains in model order: the user's names, else the next free of A, B, ..., Z, AA."""
    taken = {name for entity in job.entities for name in entity.ids}
    free = (name for name in map(_letters, range(1, 1 << 60)) if name not in taken)
    for entity in job.entities:
        for copy in range(entity.count):
            yield entity.ids[copy] if entity.ids else next(free)


def _letters(number: int) -> str:
    """Write 1 as A, 26 as Z, 27 as AA (upstream `int_to_letters`)."""
    text = ""
    while number > 0:
        number, letter = divmod(number - 1, 26)
        text = chr(ord("A") + letter) + text
    return text


def _require_whole_chains(job: Job, atoms: AtomTable) -> None:
    """Refuse a chain of which two neighbours are not bonded; only modified ones can be so."""
    for number, entity in dict(job.numbered_entities()).items():
        if not isinstance(entity, Polymer) or not entity.modifications:
            continue
        usual = ("a peptide bond joins a carbonyl atom C to an atom N" if entity.kind == "protein"
                 else "two nucleotides are joined by O3' and P")
        mine = atoms[atoms.entity_id == str(number)]
        for copy in np.unique(mine.copy_id):
            chain = mine[mine.copy_id == copy]
            for place in unbonded_neighbours(chain):
                first, second = (chain.res_name[chain.res_id == i][0] for i in (place, place + 1))
                raise ChemistryError(
                    f"{first} and {second} are neighbours that nothing bonds: {usual}",
                    where=f"{job.source} {job.name!r}, entity {number}, positions {place} and "
                    f"{place + 1}".strip(),
                    fix="write their bond in covalent_bonds, or choose other components")
