# SPDX-License-Identifier: Apache-2.0
"""Geometry in numpy: distances, rigid motions, binned quantities, TM-score terms."""
