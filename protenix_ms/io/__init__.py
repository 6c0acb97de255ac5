# SPDX-License-Identifier: Apache-2.0
"""Readers and writers: FASTA, job JSON, a3m, mmCIF, confidence files. No MindSpore below here."""

from protenix_ms.io.detect import read_jobs, scan_jobs
from protenix_ms.io.job_files import job_files, say_skipped
from protenix_ms.io.validate import validate

__all__ = ["job_files", "read_jobs", "say_skipped", "scan_jobs", "validate"]
