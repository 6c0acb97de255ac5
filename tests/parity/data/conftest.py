# SPDX-License-Identifier: Apache-2.0
"""Deposited structures, and the component table with upstream's own reference conformers."""

import pytest


@pytest.fixture(scope="session")
def parser():
    """Return upstream's `MMCIFParser` with the small component cache."""
    pytest.importorskip("protenix", reason="parity needs protenix 2.0.0 (extra `test`)")
    from protenix.data.core import parser as module

    return module.MMCIFParser


@pytest.fixture(scope="session")
def distillation_parser(parser):
    """Return upstream's parser of predicted structures."""
    from protenix.data.core import parser as module

    return module.DistillationMMCIFParser


@pytest.fixture(scope="session")
def both(parser, ccd, deposits):
    """Read once, `both("5zyh")`: our entry, upstream's bioassembly and its lines of the index.

    The bioassembly also holds upstream's `release_date` and, of tokens, `token_array`.
    """
    from protenix.data.tokenizer import AtomArrayTokenizer

    from protenix_ms.data import read_entry

    entries = {}

    def read(name: str):
        if name not in entries:
            path = deposits / f"{name}.cif.gz"
            upstream = parser(path)
            assembly = upstream.get_bioassembly()
            lines = upstream.make_indices(assembly)
            atoms = assembly["atom_array"]
            atoms.set_annotation("resolution", [upstream.resolution] * len(atoms))
            assembly["token_array"] = AtomArrayTokenizer(atoms).get_token_array()
            entries[name] = read_entry(path, ccd), assembly, lines
        return entries[name]

    return read
