# SPDX-License-Identifier: Apache-2.0
"""Scores in numpy: confidence summaries, clashes, and comparisons with a known structure."""
