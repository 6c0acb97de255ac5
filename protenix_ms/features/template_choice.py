# SPDX-License-Identifier: Apache-2.0
"""Choose the templates of a chain: filter hits, read their structures, align them, say why not.

Upstream: `TemplateHitFilter`, `TemplateHitProcessor`, `TemplateHitFeaturizer`. Structures come from
a folder, never from the network, and so do their dates.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain as joined
from itertools import islice
from pathlib import Path

import numpy as np

from protenix_ms.constants.restypes import ALIGNMENT_LETTERS, GAP
from protenix_ms.errors import InputError
from protenix_ms.features.optional import NUM_TEMPLATES
from protenix_ms.features.template_alignment import SHORTEST, align_pair
from protenix_ms.features.template_folder import open_structure, read_folder, stamp
from protenix_ms.io.template_hits import TemplateHit, read_hits
from protenix_ms.io.template_structure import TemplateChain, TemplateFile, require_chain
from protenix_ms.job import Polymer, TemplateStructure
from protenix_ms.typing import Array, Bool, Float, Int

SHORTEST_TEMPLATED = 5  # chains up to four residues have no templates, as upstream
DEFAULT_DATE = datetime.date(2021, 9, 30)  # upstream's, for every model
MAX_CANDIDATES = 20
MIN_ALIGNED = 0.1  # of the query's length, exclusive
MAX_COPY = 0.95  # of the query's length, up to which a piece of the query itself may be a template
MIN_HIT = 10  # residues
MIN_ATOMS = 5
MAX_STEP = 150.0  # angstrom between neighbouring C-alphas
MAX_CELLS = 10**8  # residues of the query times residues of the template
MIN_CONFIRMED = 0.5  # of a hit's own pairs that the alignment of the whole chain keeps


@dataclass(frozen=True)
class TemplateOptions:
    """How templates are chosen.

    Attributes:
        use: off, no chain has any (models without a template embedder).
        folder: folder of structures; None: no hit has one.
        latest: the last release date of a hit that is used.
        min_identity: smallest share of equal residues among the aligned ones.
    """

    use: bool = True
    folder: Path | None = None
    latest: datetime.date = DEFAULT_DATE
    min_identity: float = 0.0


@dataclass(frozen=True)
class Template:
    """A structure laid over a chain; rows are the chain's residues.

    Attributes:
        name: entry and chain.
        restype: index of the residue type, gap where nothing is aligned.
        positions, mask: the 37 atoms, in angstrom.
        sha256: of the structure file.
    """

    name: str
    restype: Int[Array, "q"]
    positions: Float[Array, "q 37 3"]
    mask: Bool[Array, "q 37"]
    sha256: str


@dataclass(frozen=True)
class TemplateRow:
    """What became of a hit or of a structure of the job.

    Attributes:
        name: entry and chain.
        reason: why it is not used; "" if it is.
        aligned, identity: aligned residues, and the share of equal ones among them; None if it
            was never aligned.
        chance: whether the alignment of the whole chain contradicts the hit's own one.
    """

    name: str
    reason: str = ""
    aligned: int | None = None
    identity: float | None = None
    chance: bool = False


@dataclass(frozen=True)
class ChosenTemplates:
    """The templates of a chain in their order, and what became of every hit."""

    templates: tuple[Template, ...] = ()
    rows: tuple[TemplateRow, ...] = ()
    notes: tuple[str, ...] = ()


class _RejectedError(Exception):
    """Says why a hit is not used; `row` is what is known of it, None if it was never aligned."""

    def __init__(self, reason: str, row: TemplateRow | None = None) -> None:
        super().__init__(reason)
        self.row = row


def choose_templates(
    polymer: Polymer, options: TemplateOptions, upstream_quirks: bool = False
) -> ChosenTemplates:
    """Choose at most four templates of a protein: the job's own structures first, then hits.

    Choices are remembered until the file of hits or the folder of structures changes.

    Args:
        upstream_quirks: see `TemplateFile`; and where the folder has a table of dates, a hit that
            is not in it is not used.

    Raises:
        InputError: unreadable hits, or a structure of the job that does not fit.
    """
    if not (options.use and (polymer.templates or polymer.template_structures)):
        return ChosenTemplates()
    stamps = tuple(stamp(path) for path in (polymer.templates, options.folder) if path)
    return _choose_templates(polymer, options, upstream_quirks, stamps)


@lru_cache(maxsize=64)
def _choose_templates(
    polymer: Polymer, options: TemplateOptions, upstream_quirks: bool,
    stamps: tuple[tuple[int, int], ...],
) -> ChosenTemplates:  # fmt: skip
    if len(polymer.sequence) < SHORTEST_TEMPLATED:
        return ChosenTemplates(notes=(f"chains under {SHORTEST_TEMPLATED} residues are run "
                                      "without templates",))
    choice, notes = _Choice(polymer.sequence, options, upstream_quirks), []
    for structure in polymer.template_structures:
        choice.take(structure.label, partial(_own_template, structure, polymer.sequence))
    if polymer.templates:
        listed = read_hits(polymer.templates)
        choice.take_hits(choice.candidates(listed.hits))
        if not listed.hits:
            notes.append(f"{polymer.templates.name} holds no template hits")
        if listed.skipped:
            notes.append(f"{listed.skipped} rows of {polymer.templates.name} are no template hits, "
                         f"the first is {listed.first_skipped[:60]!r}")
    return ChosenTemplates(tuple(choice.templates), tuple(choice.rows), tuple(notes))


def draw_templates(
    sequence: str, hits: Path, options: TemplateOptions, rng: np.random.Generator
) -> tuple[Template, ...]:
    """Draw up to four templates of a training example among the first twenty candidates.

    The number is drawn first, so that examples without templates occur, as upstream trains.
    """
    choice = _Choice(sequence, options, most_candidates=None)
    waiting = choice.candidates(read_hits(hits).hits)
    first = list(islice(waiting, MAX_CANDIDATES))
    choice.most = min(NUM_TEMPLATES, int(rng.integers(len(first) + 1)))
    choice.take_hits(joined([first[i] for i in rng.permutation(len(first))], waiting))
    return tuple(choice.templates)


class _Choice:
    """Templates that are kept so far, and a row for everything that was looked at.

    Args:
        most_candidates: hits that are tried at most; None for all.

    Attributes:
        most: templates that are kept at most.
    """

    def __init__(
        self, sequence: str, options: TemplateOptions, upstream_quirks: bool = False,
        most_candidates: int | None = MAX_CANDIDATES,
    ) -> None:  # fmt: skip
        self._sequence, self._options, self._quirks = sequence, options, upstream_quirks
        self._folder = read_folder(options.folder) if options.folder else None
        self._most_candidates = most_candidates
        self.most = NUM_TEMPLATES
        self.templates: list[Template] = []
        self.rows: list[TemplateRow] = []

    def take(self, name: str, lay: Callable[[], tuple[Template, TemplateRow]]) -> None:
        """Add a template, or a row that says why not."""
        try:
            self._require_place()
            template, row = lay()
            if any(np.array_equal(template.restype, other.restype) for other in self.templates):
                raise _RejectedError("the same aligned residues as a template before", row)
        except _RejectedError as rejected:
            self.rows.append(replace(rejected.row or TemplateRow(name), reason=str(rejected)))
        else:
            self.templates.append(template)
            self.rows.append(row)

    def candidates(self, hits: Sequence[TemplateHit]) -> Iterator[TemplateHit]:
        """Yield the hits that may be templates, best first, those of equal residues once."""
        useful = []
        for hit in hits:
            if flaw := _flaw(hit, self._sequence):
                self.rows.append(TemplateRow(hit.name, flaw))
            else:
                useful.append(hit)
        seen: set[str] = set()
        for hit in sorted(useful, key=lambda hit: -hit.sum_probs):
            try:
                self._require_place()
                if hit.sequence in seen:
                    raise _RejectedError("the same residues as a hit before")
                self._open(hit)
                if len(seen) == self._most_candidates:
                    raise _RejectedError(f"not among the first {len(seen)} candidates")
            except _RejectedError as rejected:
                self.rows.append(TemplateRow(hit.name, str(rejected)))
            else:
                seen.add(hit.sequence)
                yield hit

    def take_hits(self, candidates: Iterable[TemplateHit]) -> None:
        """Add templates of hits in their order."""
        for hit in candidates:
            self.take(hit.name, partial(_template_of_hit, hit, self._open, self._sequence,
                                        self._options.min_identity))

    def _require_place(self) -> None:
        if len(self.templates) >= self.most:
            raise _RejectedError(f"{self.most} templates are kept already")

    def _open(self, hit: TemplateHit) -> tuple[TemplateFile, str]:
        """Read the structure of a hit, if there is one that is old enough."""
        folder, latest = self._folder, self._options.latest
        if folder is None:
            raise _RejectedError("no --template-structures is given")
        known = hit.entry if hit.entry in folder.dates else folder.current(hit.entry)
        if self._quirks and folder.dates and known not in folder.dates:
            raise _RejectedError("its release date is not in the table")
        path = folder.find(folder.current(hit.entry))
        if path is None:
            raise _RejectedError(f"no structure in {folder.path}")
        try:
            file, sha256 = open_structure(path, self._quirks)
        except InputError as error:
            raise _RejectedError(error.message) from None
        for date in (folder.dates.get(known, file.release_date), file.release_date):
            if date is None:
                raise _RejectedError("its structure tells no release date")
            if date > latest:
                raise _RejectedError(f"released {date}, after {latest}")
        return file, sha256


def _flaw(hit: TemplateHit, sequence: str) -> str:
    """Say why a hit is useless whatever its structure; "" if it is not."""
    if not hit.entry:
        return "its name is not like 1abc_A"
    if hit.aligned / len(sequence) <= MIN_ALIGNED:
        return f"its aligned columns are at most {MIN_ALIGNED:.0%} of the query"
    if hit.sequence in sequence and len(hit.sequence) / len(sequence) > MAX_COPY:
        return "a copy of the query"
    return f"under {MIN_HIT} residues" if len(hit.sequence) < MIN_HIT else ""


def _template_of_hit(
    hit: TemplateHit, open_file: Callable[[TemplateHit], tuple[TemplateFile, str]], sequence: str,
    min_identity: float,
) -> tuple[Template, TemplateRow]:  # fmt: skip
    """Align the whole chain of a hit with the query; the hit's own alignment is not used."""
    file, sha256 = open_file(hit)
    chain = file.chain(hit.chain)
    if chain is None or chain.name != hit.chain:
        raise _RejectedError(f"no protein chain {hit.chain}, there are {', '.join(file.names)}")
    shortest = min(len(sequence), len(chain.sequence))
    if shortest < SHORTEST or len(sequence) * len(chain.sequence) > MAX_CELLS:
        raise _RejectedError(f"{shortest} and {len(chain.sequence)} residues cannot be aligned")
    matched = align_pair(sequence, chain.sequence)
    row = _row(hit.name, sequence, chain, matched)
    if row.identity is not None and row.identity < min_identity:
        raise _RejectedError(f"identity under {min_identity:.0%}", row)
    if chain.largest_step() > MAX_STEP:
        raise _RejectedError(f"neighbours over {MAX_STEP:.0f} angstrom apart", row)
    template = _laid(hit.name, chain, matched, sha256)
    if template.mask.sum() < MIN_ATOMS:
        raise _RejectedError(f"under {MIN_ATOMS} atoms at the aligned residues", row)
    inside = hit.query_positions < len(sequence)
    own = matched[hit.query_positions[inside]] == hit.hit_positions[inside]
    return template, replace(row, chance=bool(own.sum() < MIN_CONFIRMED * len(own)))


def _own_template(structure: TemplateStructure, sequence: str) -> tuple[Template, TemplateRow]:
    """Lay a structure of the job over its chain, by its index lists or by alignment."""
    chain = require_chain(structure, len(sequence))
    if structure.query_indices:
        matched = np.full(len(sequence), -1)
        matched[list(structure.query_indices)] = structure.template_indices
    elif len(sequence) * len(chain.sequence) > MAX_CELLS:
        raise _RejectedError(f"{len(sequence)} and {len(chain.sequence)} residues cannot be "
                             "aligned; give queryIndices and templateIndices")
    else:
        matched = align_pair(sequence, chain.sequence)
    sha256 = hashlib.sha256(structure.text.encode()).hexdigest()
    template = _laid(structure.label, chain, matched, sha256)
    row = _row(structure.label, sequence, chain, matched)
    if not template.mask.any():
        raise _RejectedError("no atoms at the aligned residues", row)
    return template, row


def _row(
    name: str, sequence: str, chain: TemplateChain, matched: Int[Array, "q"]
) -> TemplateRow:
    pairs = [(letter, chain.sequence[i]) for letter, i in zip(sequence, matched.tolist()) if i >= 0]
    same = sum(first == second for first, second in pairs)
    return TemplateRow(name, aligned=len(pairs), identity=same / len(pairs) if pairs else None)


def _laid(
    name: str, chain: TemplateChain, matched: Int[Array, "q"], sha256: str
) -> Template:
    """Lay a chain over a query."""
    aligned = matched >= 0
    letters = ALIGNMENT_LETTERS["protein"]
    restype = np.array([letters[chain.sequence[i] if i >= 0 else GAP] for i in matched.tolist()])
    mask = chain.mask[matched] & aligned[:, None]
    positions = np.where(mask[..., None], chain.centred()[matched], np.float32(0))
    return Template(name, restype, positions, mask, sha256)
