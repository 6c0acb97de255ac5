# SPDX-License-Identifier: Apache-2.0
"""How features are built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureOptions:
    """Choices of featurisation.

    Attributes:
        use_msa: off, every job is treated as having no alignments (upstream `use_msa`).
        use_rna_msa: off, alignments of RNA chains are ignored (the v0.5 models never saw any).
        upstream_quirks: on, exactly upstream, whose ions shift the MSA columns of the chains
            after them (reference trap H17), and which bonds no caps but ACE and NME.
    """

    use_msa: bool = True
    use_rna_msa: bool = True
    upstream_quirks: bool = False
