# SPDX-License-Identifier: Apache-2.0
"""Engines: many jobs on many devices, by processes of this machine or by a Ray cluster.

The unit of work is one job with one seed. Workers write finished units into the folder of results
themselves, as one process would; the driver orders units, gives them out, and writes what the
seeds of a job share.
"""
