# SPDX-License-Identifier: Apache-2.0
"""Reasons to distrust a result, read from a job's record and a sample's scores.

Keys of other versions may be absent or of another kind; what is not there gives no reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from protenix_ms.typing import Array, Float

SHALLOW = 30  # rows of an alignment, below which accuracy falls
_FEW_STEPS = 20
_LOW, _LOW_SHARE, _LOW_RUN = 50.0, 0.2, 10  # pLDDT; share of tokens; tokens in a row
_WEAK_PTM, _WEAK_INTERFACE = 0.5, 0.6
_MOST_REGIONS = 6
_FAULTS = {"close_contacts": "close contacts between chains", "wrong_chirality": "wrong chiral "
           "centres", "wrong_double_bonds": "wrong double bonds", "non_planar_groups":
           "groups that should be flat and are not", "wrong_bond_lengths": "wrong bond lengths"}
_DROPPED = ("ignored", "no alignment", "not used", "without a template", "chance hit", "cannot")


def job_doubts(record: Mapping) -> Iterator[str]:
    """Say what of the run itself makes all of its samples doubtful, the worst first."""
    weights = str(record.get("weights_file") or "").rpartition("/")[2]
    if record.get("random_weights"):
        yield "The weights are random numbers: these structures mean nothing."
    elif "demo" in str(record.get("model", "")) or weights.startswith("demo"):
        yield ("The weights are those of the small demonstration model: it knows the jobs it was "
               "trained on, and no others.")
    config = branch(record, "settings", "config", "sample_diffusion")
    steps = number(config.get("N_step"))
    if steps is not None and steps < _FEW_STEPS:
        yield f"Only {steps:.0f} denoising steps were made; the models expect more."
    for note in record.get("notes") or ():
        if any(word in str(note) for word in _DROPPED):
            yield f"Input: {note}."
    for entry in record.get("alignments") or ():
        rows = number(branch(entry).get("rows"))
        if rows is not None and 1 < rows < SHALLOW:
            yield (f"The alignment of entity {entry.get('entity')} has {rows:.0f} rows; below "
                   f"{SHALLOW} accuracy falls.")
    for seed, entry in branch(record, "seeds").items():
        if branch(entry).get("state") in ("incomplete", "failed", "interrupted"):
            yield f"Seed {seed} is {entry['state']}: {entry.get('detail') or 'no reason recorded'}."


def sample_doubts(
    summary: Mapping, plddt: Float[Array, "n"], names: list[str]
) -> Iterator[str]:
    """Say what of one sample is doubtful.

    Args:
        summary: what `*_summary_confidence_sample_*.json` holds.
        plddt: of every token, 0-100.
        names: of every token.
    """
    if summary.get("has_clash"):
        yield "Chains clash: many of their atoms overlap."
    faults = [f"{summary[key]:.0f} {word}" for key, word in _FAULTS.items()
              if number(summary.get(key))]
    if faults:
        yield f"Wrong chemistry: {', '.join(faults)}."
    ptm, iptm = number(summary.get("ptm")), number(summary.get("iptm"))
    if ptm is not None and ptm < _WEAK_PTM:
        yield f"pTM is {ptm:.2f}: below {_WEAK_PTM} the overall fold is likely wrong."
    several = len(summary.get("chain_ids") or summary.get("chain_ptm") or ()) > 1
    if several and iptm is not None and iptm < _WEAK_INTERFACE:
        yield (f"ipTM is {iptm:.2f}: below {_WEAK_INTERFACE} the arrangement of the chains is "
               "likely wrong.")
    yield from _low_regions(plddt, names)
    for constraint in summary.get("constraints") or ():
        if branch(constraint) and not constraint.get("satisfied"):
            yield (f"Constraint not met: {constraint.get('first')} - {constraint.get('second')} "
                   f"({constraint.get('kind')}).")


def _low_regions(plddt: Float[Array, "n"], names: list[str]) -> Iterator[str]:
    low = plddt < _LOW
    share = float(low.mean())
    edges = np.flatnonzero(np.diff(np.r_[False, low, False])).reshape(-1, 2)
    runs = [f"{names[a]} to {names[b - 1]}" for a, b in edges if b - a >= _LOW_RUN]
    more = f" and {len(runs) - _MOST_REGIONS} more" if len(runs) > _MOST_REGIONS else ""
    if share >= _LOW_SHARE or runs:
        where = f": {', '.join(runs[:_MOST_REGIONS])}{more}" if runs and share < 1 else ""
        yield f"{share:.0%} of the tokens have a pLDDT below {_LOW:.0f}{where}."


def number(value: object) -> float | None:
    """Return a finite number as it is, and None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    return None


def branch(tree: object, *keys: str) -> dict:
    """Go down a tree of dictionaries; return an empty one where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
