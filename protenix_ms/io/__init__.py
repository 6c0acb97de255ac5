# SPDX-License-Identifier: Apache-2.0
"""Readers and writers: FASTA, job JSON, a3m, mmCIF, confidence files. No MindSpore below here."""

from protenix_ms.io.detect import job_files, read_jobs, say_skipped, scan_jobs
from protenix_ms.io.validate import validate

__all__ = ["job_files", "read_jobs", "say_skipped", "scan_jobs", "validate"]
