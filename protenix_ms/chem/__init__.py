# SPDX-License-Identifier: Apache-2.0
"""Chemistry: the component dictionary, reference conformers, ligands, atom tables."""
