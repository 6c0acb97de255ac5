# SPDX-License-Identifier: Apache-2.0
"""Alignments of chains into one alignment of the whole assembly: encode, pair, merge."""
