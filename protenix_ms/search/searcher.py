# SPDX-License-Identifier: Apache-2.0
"""Finds what jobs lack: alignments of proteins and RNA, template hits of proteins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from protenix_ms.errors import InputError
from protenix_ms.features.msa_chain import SHORTEST_ALIGNED
from protenix_ms.io.a3m import A3m, parse_a3m
from protenix_ms.io.job_document import has_alignment
from protenix_ms.job import Entity, Job, Polymer
from protenix_ms.search.chains import count_pairs, distinct, join, split_by_taxon
from protenix_ms.search.databases import Database, Role
from protenix_ms.search.hmmer import QUERY
from protenix_ms.search.local import Hits, LocalSearch, Query
from protenix_ms.search.server import Server
from protenix_ms.search.stockholm import a3m_text


@dataclass(frozen=True)
class Source:
    """One search of a chain.

    Attributes:
        name: database or server.
        rows: found there.
        seconds: that it took; 0 if it had been made before.
        aligns: it looked for rows of an alignment, not for templates.
    """

    name: str
    rows: int
    seconds: float
    aligns: bool = True


@dataclass
class ChainResult:
    """What was found for one entity.

    Attributes:
        number: 1-based place of the entity in its job.
        polymer: the entity as the job has it.
        sources: where was searched.
        paired, unpaired: rows found, without the query; empty where nothing was searched.
        templates: hits, over the columns of the query; None where none were searched.
        searched: an alignment was looked for.
        pairs: rows that pair with a row of another protein of the job.
    """

    number: int
    polymer: Polymer
    sources: list[Source] = field(default_factory=list)
    paired: A3m = field(default_factory=lambda: A3m([], []))
    unpaired: A3m = field(default_factory=lambda: A3m([], []))
    templates: A3m | None = None
    searched: bool = False
    pairs: int = 0

    @property
    def kept(self) -> int:
        """Count the distinct rows found, without the query."""
        return len(self.paired.rows) + len(self.unpaired.rows)

    def text(self, rows: A3m) -> str:
        """Write rows as a3m text below the query."""
        return a3m_text(join([A3m([QUERY], [self.polymer.sequence.encode()]), rows]))

    def all_text(self) -> str:
        """Write all rows, those that the job brought included: paired ones first, each with its
        query, as upstream makes the profile of it."""
        if not self.searched:
            brought = (self.polymer.paired_msa, self.polymer.unpaired_msa)
            return "".join(a3m_text(parse_a3m(a.text)) for a in brought if a)
        parts = [self.text(rows) for rows in (self.paired, self.unpaired) if rows.rows]
        return "".join(parts) or self.text(self.unpaired)


@dataclass
class Searcher:
    """Searches for jobs in local databases, and by a server if one is given.

    Attributes:
        databases: those of this machine.
        local: runs their searches.
        server: None asks none.
        templates: look for template hits.
        alone: chains may stay without any relative.
    """

    databases: Sequence[Database]
    local: LocalSearch
    server: Server | None = None
    templates: bool = True
    alone: bool = False
    _hits: dict[Query, Hits] = field(default_factory=dict, init=False)

    def prepare(self, jobs: Iterable[Job]) -> None:
        """Run the searches for alignments of all jobs, several at a time. Raises as `search`."""
        queries = (query for job in jobs for entity in job.entities
                   if isinstance(entity, Polymer) and self._lacks_alignment(job, entity)
                   for query in self._queries(entity, _has_several_proteins(job)))
        self._hits |= self.local.run(queries)

    def search(self, job: Job) -> list[ChainResult]:
        """Find what a job lacks.

        Raises:
            InputError: a chain stays without any relative.
            ResourceError: a program or the server fails.
            KeyboardInterrupt: what is finished is kept.
        """
        results = [ChainResult(number, entity, searched=self._lacks_alignment(job, entity))
                   for number, entity in enumerate(job.entities, 1)
                   if isinstance(entity, Polymer)]
        several = _has_several_proteins(job)
        searched = [result for result in results if result.searched]
        self._hits |= self.local.run(
            query for result in searched for query in self._queries(result.polymer, several))
        self._ask_server([r for r in searched if r.polymer.kind == "protein"], several)
        for result in searched:
            self._collect(result, several)
        self._require_relatives(job, searched)
        self._search_templates([r for r in results if self._lacks_templates(job, r)])
        proteins = {r.polymer.sequence: r for r in results if r.polymer.kind == "protein"}
        counts = count_pairs([_paired_rows(result) for result in proteins.values()])
        by_sequence = dict(zip(proteins, counts))
        for result in results:
            result.pairs = by_sequence.get(result.polymer.sequence, 0) if several else 0
        return results

    def _of(self, *roles: Role) -> list[Database]:
        return [database for database in self.databases if database.kind.role in roles]

    def _queries(self, polymer: Polymer, several: bool) -> list[Query]:
        roles: tuple[Role, ...] = ("rna",)
        if polymer.kind == "protein":
            roles = ("unpaired", "paired") if several else ("unpaired",)
        return [Query(polymer.sequence, database) for database in self._of(*roles)]

    def _lacks_alignment(self, job: Job, entity: Entity) -> bool:
        """Tell whether an alignment is to be found: the job brings none, and does not decline."""
        if not isinstance(entity, Polymer) or entity.kind == "dna" or has_alignment(entity):
            return False
        if len(entity.sequence) < SHORTEST_ALIGNED:
            return False
        return entry_of(job, entity).get("unpairedMsa") != "" and (
            entity.kind == "protein" or bool(self._of("rna")))

    def _lacks_templates(self, job: Job, result: ChainResult) -> bool:
        polymer = result.polymer
        return (self.templates and polymer.kind == "protein" and not polymer.templates
                and not polymer.template_structures
                and len(polymer.sequence) >= SHORTEST_ALIGNED
                and not {"templates", "templatesPath"} & {*entry_of(job, polymer)})

    def _ask_server(self, results: list[ChainResult], several: bool) -> None:
        """Add what the server finds: row by row paired, or by species, as its layout is."""
        sequences = list(dict.fromkeys(result.polymer.sequence for result in results))
        if self.server is None or not sequences:
            return
        url, before = self.server.connection.url, self.server.seconds
        answers = self.server.alignments(sequences)
        apart = any(answer.paired is None for answer in answers.values())
        pairs = self.server.pairs(sequences) if apart and len(sequences) > 1 else {}
        seconds = self.server.seconds - before
        for result in results:
            answer = answers[result.polymer.sequence]
            paired = pairs.get(result.polymer.sequence, answer.paired or A3m([], []))
            if several:
                result.paired = paired
                result.unpaired = answer.unpaired
            else:
                result.unpaired = join([paired, answer.unpaired])
            rows = len(paired.rows) + len(answer.unpaired.rows)
            result.sources.append(Source(url, rows, seconds))

    def _collect(self, result: ChainResult, several: bool) -> None:
        """Join the hits of all databases with what the server found."""
        paired, unpaired = [result.paired], [result.unpaired]
        has_uniprot = bool(self._of("paired"))
        for query in self._queries(result.polymer, several):
            hits, kind = self._hits[query], query.database.kind
            result.sources.append(Source(query.database.name, len(hits.rows.rows), hits.seconds))
            if kind.role == "paired":
                paired.append(hits.rows)
            elif several and not has_uniprot and kind.name == "uniref90":
                with_species, others = split_by_taxon(hits.rows)
                paired.append(with_species)
                unpaired.append(others)
            else:
                unpaired.append(hits.rows)
        sequence = result.polymer.sequence
        result.paired = join(paired)
        result.unpaired = distinct(join(unpaired), sequence, result.paired)

    def _require_relatives(self, job: Job, results: list[ChainResult]) -> None:
        for result in results:
            sequence = result.polymer.sequence
            if self.alone or distinct(join([result.paired, result.unpaired]), sequence).rows:
                continue
            places = ", ".join(source.name for source in result.sources)
            raise InputError(
                f"no relative of this chain of {len(sequence)} residues was found"
                + (f" in {places}" if places else ": none of the databases is for it"),
                where=f"{job.source} {job.name!r}, entity {result.number}",
                fix="give more databases, an alignment by --msa, or --allow-single-sequence")

    def _search_templates(self, results: list[ChainResult]) -> None:
        databases = self._of("templates")
        if not databases:
            return
        queries = {(r.number, d): Query(r.polymer.sequence, d, r.all_text() or r.text(A3m([], [])))
                   for r in results for d in databases}
        self._hits |= self.local.run(queries.values())
        for result in results:
            hits = [(d, self._hits[queries[result.number, d]]) for d in databases]
            result.templates = join(h.rows for _, h in hits)
            result.sources += [Source(d.name, len(h.rows.rows), h.seconds, aligns=False)
                               for d, h in hits]


def entry_of(job: Job, entity: Entity) -> dict[str, object]:
    """Return what the job's document says of an entity; nothing where there is no document."""
    if job.document is None:
        return {}
    number = next(i for i, other in enumerate(job.entities) if other is entity)
    entry = job.document["sequences"][number]
    return dict(next(value for value in entry.values() if value is not None))


def _paired_rows(result: ChainResult) -> A3m:
    if result.searched or not result.polymer.paired_msa:
        return result.paired
    alignment = parse_a3m(result.polymer.paired_msa.text)
    return A3m(alignment.names[1:], alignment.rows[1:])


def _has_several_proteins(job: Job) -> bool:
    return len({e.sequence for e in job.entities
                if isinstance(e, Polymer) and e.kind == "protein"}) > 1


def notes_of(job: Job, results: Sequence[ChainResult]) -> Iterator[str]:
    """Say which chains were not searched, and which stay alone."""
    for result in results:
        polymer = result.polymer
        if result.searched and not result.kept:
            yield f"entity {result.number}: no relatives; its sequence stands alone"
        elif not result.searched and polymer.kind != "dna" and not has_alignment(polymer):
            reason = (f"chains under {SHORTEST_ALIGNED} residues have none"
                      if len(polymer.sequence) < SHORTEST_ALIGNED else
                      "the job declines one" if entry_of(job, polymer).get("unpairedMsa") == ""
                      else "no database of RNA is given")
            yield f"entity {result.number}: no alignment was searched, {reason}"
