# SPDX-License-Identifier: Apache-2.0
"""What a finished result depends on, as one digest: a rerun skips only what would be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from protenix_ms.files import file_sha256
from protenix_ms.job import Job


def _content(value: object) -> object:
    """JSON form of a job's parts; files count by content, not by name."""
    if isinstance(value, Path):
        return {"file": file_sha256(value)}
    if isinstance(value, Mapping):
        return {str(k): _content(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_content(v) for v in value]
    return value


def job_content(job: Job) -> dict:
    """Everything of a job that its result depends on: not its source, seeds and notes."""
    tree = asdict(job)
    for key in ("source", "seeds", "notes"):
        tree.pop(key)
    for entity in tree["entities"]:
        for key in ("paired_msa", "unpaired_msa"):
            if entity.get(key) is not None:
                entity[key] = hashlib.sha256(entity[key]["text"].encode()).hexdigest()
    return _content(tree)


def fingerprint(job: Job, seed: int, settings: Mapping) -> str:
    """Digest of a (job, seed) under `settings`: configuration, weights, tables, version."""
    everything = {"job": job_content(job), "seed": seed, "settings": _content(settings)}
    text = json.dumps(everything, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
