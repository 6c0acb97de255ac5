# SPDX-License-Identifier: Apache-2.0
"""The network: one file per group of AF3 algorithms, parameters named as in upstream's files."""
