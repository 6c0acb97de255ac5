# SPDX-License-Identifier: Apache-2.0
"""HTML pages about finished jobs, made from their files; nothing here loads MindSpore."""

from protenix_ms.report.index import write_index
from protenix_ms.report.page import write_page
from protenix_ms.report.results import JobResults, find_jobs, read_results

__all__ = ["JobResults", "find_jobs", "read_results", "write_index", "write_page"]
