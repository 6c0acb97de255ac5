# SPDX-License-Identifier: Apache-2.0
"""What became of a job's template hits and structures: notes, a table, parts of the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from protenix_ms.errors import InputError
from protenix_ms.features.msa import FeatureOptions
from protenix_ms.features.template_choice import ChosenTemplates, TemplateRow, choose_templates
from protenix_ms.job import Job, Polymer

_HEAD = ("template", "use", "aligned", "identity", "")
_CHANCE = "chance hit: the alignment of the whole chain is not the hit's own"


def template_choices(job: Job, options: FeatureOptions) -> dict[int, ChosenTemplates]:
    """List what was chosen for every entity that brings templates and whose model takes them.

    Unreadable files, which end the job when its features are made, count as none here.
    """
    choices = {}
    for number, entity in enumerate(job.entities, 1):
        if isinstance(entity, Polymer) and options.templates.use and has_templates(entity):
            try:
                choices[number] = choose_templates(
                    entity, options.templates, options.upstream_quirks)
            except InputError:
                continue
    return choices


def most_templates(job: Job, options: FeatureOptions) -> int:
    """Return the largest number of templates that a chain of the job has."""
    return max((len(choice.templates) for choice in template_choices(job, options).values()),
               default=0)


def has_templates(chain: Polymer) -> bool:
    """Tell whether a chain brings template hits or structures."""
    return bool(chain.templates or chain.template_structures)


def note_templates(job: Job, options: FeatureOptions) -> Iterator[str]:
    """Say of every entity how many of its hits and structures are templates, or why none is."""
    polymers = [entity for entity in job.entities if isinstance(entity, Polymer)]
    if options.templates.use and options.templates.folder and not any(
            chain.templates for chain in polymers):
        yield "--template-structures is not read: no chain has template hits (templatesPath)"
    for number, choice in template_choices(job, options).items():
        for note in choice.notes:
            yield f"entity {number}: {note}"
        kept = len(choice.templates)
        if choice.rows and not kept:
            first = choice.rows[0]
            yield (f"entity {number} runs without a template: none of {len(choice.rows)} can be "
                   f"used, the first is {first.name} ({first.reason})")
        elif choice.rows:
            yield f"entity {number}: {kept} of {len(choice.rows)} templates used"
        if any(row.chance for row in choice.rows if not row.reason):
            yield (f"entity {number}: a template may be a chance hit, see the table; "
                   "--min-template-identity leaves such out")


def template_lines(job: Job, options: FeatureOptions) -> Iterator[str]:
    """Write the table: a line for every hit that was aligned, the others counted by reason."""
    for number, choice in template_choices(job, options).items():
        aligned = [row for row in choice.rows if row.aligned is not None]
        cells = [_HEAD, *map(_cells, aligned)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        for row in cells if aligned else ():
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths))
            yield f"entity {number}: {line.rstrip()}"
        others = Counter(row.reason for row in choice.rows if row.aligned is None)
        for reason, count in others.most_common():
            yield f"entity {number}: {count} not used: {reason}"


def _cells(row: TemplateRow) -> tuple[str, ...]:
    identity = "-" if row.identity is None else f"{row.identity:.0%}"
    remark = row.reason or (_CHANCE if row.chance else "")
    return row.name, "no" if row.reason else "yes", str(row.aligned), identity, remark


def template_record(job: Job, options: FeatureOptions) -> dict[str, object]:
    """Collect for `run.json` how templates were chosen, and every hit; empty without any."""
    choices = template_choices(job, options)
    if not choices:
        return {}
    chosen = options.templates
    return {"folder": str(chosen.folder or ""), "latest": str(chosen.latest),
            "min_identity": chosen.min_identity,
            "hits": [{"entity": number, **asdict(row)} for number, choice in choices.items()
                     for row in choice.rows]}


def template_content(job: Job, options: FeatureOptions) -> list[tuple[object, ...]]:
    """Collect what a result depends on: structures by digest, and the residues laid on them."""
    return [(number, template.sha256, template.restype.tolist())
            for number, choice in template_choices(job, options).items()
            for template in choice.templates]
