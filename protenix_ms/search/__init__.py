# SPDX-License-Identifier: Apache-2.0
"""Alignments and template hits for jobs that lack them: from local databases or a server."""

from protenix_ms.search.databases import Database, find_databases, name_database
from protenix_ms.search.local import LocalSearch
from protenix_ms.search.searcher import Searcher
from protenix_ms.search.server import Server
from protenix_ms.search.write import write_job

__all__ = ["Database", "LocalSearch", "Searcher", "Server", "find_databases", "name_database",
           "write_job"]
