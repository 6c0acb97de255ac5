# SPDX-License-Identifier: Apache-2.0
"""The searches of `hmmer` by pyhmmer (extra `search`), for machines without HMMER's programs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protenix_ms.io.a3m import A3m, parse_a3m
from protenix_ms.search.hmmer import (
    F3,
    PROTEIN_OPTIONS,
    QUERY,
    RNA_E,
    SHORT_F3,
    SHORT_RNA,
    TEMPLATE_OPTIONS,
    first_rows_of,
    without_padding,
)
from protenix_ms.search.stockholm import parse_stockholm, profile_stockholm, to_query_columns


def has_pyhmmer() -> bool:
    """Tell whether pyhmmer is installed."""
    return find_spec("pyhmmer") is not None


def _load() -> Any:
    """Import pyhmmer when the first search wants it."""
    return import_module("pyhmmer")


@dataclass(frozen=True)
class HmmerLibrary:
    """HMMER inside this process. Methods as those of `Hmmer`."""

    name = "pyhmmer"

    def search_proteins(self, sequence: str, database: Path, cpus: int) -> A3m:
        """Search a protein database as jackhmmer does in its first iteration."""
        pyhmmer = _load()
        alphabet = pyhmmer.easel.Alphabet.amino()
        query = _digital(sequence, alphabet)
        with pyhmmer.easel.SequenceFile(database, digital=True, alphabet=alphabet) as file:
            (hits,) = pyhmmer.hmmer.phmmer(query, file, cpus=cpus, **PROTEIN_OPTIONS)
        traces = [pyhmmer.plan7.Trace.from_sequence(query)]
        msa = hits.to_msa(alphabet, sequences=[query], traces=traces, all_consensus_cols=True)
        return to_query_columns(parse_stockholm(_write(msa)))

    def search_rna(self, sequence: str, database: Path, cpus: int, most: int) -> A3m:
        """Search a nucleotide database, then align the hits to the query."""
        pyhmmer = _load()
        alphabet = pyhmmer.easel.Alphabet.rna()
        query = _digital(sequence, alphabet)
        f3 = SHORT_F3 if len(sequence) < SHORT_RNA else F3
        with pyhmmer.easel.SequenceFile(database, digital=True, alphabet=alphabet) as file:
            (hits,) = pyhmmer.hmmer.nhmmer(query, file, cpus=cpus, E=RNA_E, F3=f3)
        rows = A3m([QUERY], [sequence.encode()])
        relatives = _included(hits, alphabet)
        if not relatives.rows:
            return rows
        bare = [_digital(row.translate(None, b".-").decode(), alphabet, name)
                for name, row in zip(relatives.names[:most], relatives.rows)]
        builder = pyhmmer.plan7.Builder(alphabet)
        text = pyhmmer.easel.TextMSA(name=QUERY.encode(), sequences=[
            pyhmmer.easel.TextSequence(name=QUERY.encode(), sequence=sequence)])
        profile, _, _ = builder.build_msa(text.digitize(alphabet),
                                          pyhmmer.plan7.Background(alphabet))
        msa = pyhmmer.hmmer.hmmalign(profile, bare, digitize=True, all_consensus_cols=True)
        aligned = parse_a3m(_write(msa, "a2m"))
        return A3m([*rows.names, *relatives.names[:most]],
                   [*rows.rows, *without_padding(aligned).rows])

    def search_templates(self, alignment: A3m, database: Path, cpus: int) -> A3m:
        """Search sequences of deposited chains with the profile of an alignment."""
        pyhmmer = _load()
        alphabet = pyhmmer.easel.Alphabet.amino()
        text = profile_stockholm(first_rows_of(alignment)).encode()
        with pyhmmer.easel.MSAFile(io.BytesIO(text), format="stockholm", digital=True,
                                   alphabet=alphabet) as file:
            msa = file.read()
        msa.name = msa.name or QUERY.encode()
        builder = pyhmmer.plan7.Builder(alphabet, architecture="hand")
        profile, _, _ = builder.build_msa(msa, pyhmmer.plan7.Background(alphabet))
        with pyhmmer.easel.SequenceFile(database, digital=True, alphabet=alphabet) as sequences:
            (hits,) = pyhmmer.hmmer.hmmsearch(profile, sequences, cpus=cpus, **TEMPLATE_OPTIONS)
        return without_padding(_included(hits, alphabet))


def _included(hits: Any, alphabet: Any) -> A3m:
    """Align the hits that count, of which there may be none."""
    if not any(domain.included for hit in hits for domain in hit.domains):
        return A3m([], [])
    return parse_stockholm(_write(hits.to_msa(alphabet, all_consensus_cols=True)))


def _digital(sequence: str, alphabet: Any, name: str = QUERY) -> Any:
    pyhmmer = _load()
    return pyhmmer.easel.TextSequence(
        name=name.split()[0].encode(), sequence=sequence).digitize(alphabet)


def _write(msa: Any, style: str = "stockholm") -> str:
    buffer = io.BytesIO()
    msa.write(buffer, style)
    return buffer.getvalue().decode("utf-8", "replace")
