# SPDX-License-Identifier: Apache-2.0
"""Geometry in numpy: rotations, superposition."""
