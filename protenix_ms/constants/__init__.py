# SPDX-License-Identifier: Apache-2.0
"""Facts of chemistry and of the model's alphabet: residue types, their atoms, the elements."""
