# SPDX-License-Identifier: Apache-2.0
"""Addresses, sizes and digests of the checkpoints that upstream publishes.

Addresses are those of upstream's `web_service/dependency_url.py`. Upstream publishes no
checksums: sizes and sha256 are those that several independent public projects recorded of the
files they use. For protenix-v2 they come from copies made before it was withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protenix_ms.files import file_sha256

BASE_URL = "https://protenix.tos-cn-beijing.volces.com/checkpoint/"


@dataclass(frozen=True)
class OfficialFile:
    """Size in bytes and, where known, sha256 of a published `<model>.pt`."""

    size: int
    sha256: str = ""

    def matches(self, path: Path) -> bool:
        """Tell whether a file has this size and, where known, this sha256."""
        return (path.stat().st_size == self.size
                and (not self.sha256 or file_sha256(path) == self.sha256))


FILES = {
    "protenix-v2": OfficialFile(
        1_859_785_497, "8f931f9774a396b67033d0e58628e1834f4a1448165e04254b40a780b0c0d599"),
    "protenix_base_default_v1.0.0": OfficialFile(
        1_475_950_125, "2b7d5a8b30494514fc47fd2271a16260528cdba170ba09cc112fdecd8f85ec04"),
    "protenix_base_20250630_v1.0.0": OfficialFile(1_475_945_945),
    "protenix_base_default_v0.5.0": OfficialFile(
        1_474_265_486, "9ea20b0aba42f2256711da1d0cd081510a4b291e64375bff6b70ced70b87a5f1"),
    "protenix_base_constraint_v0.5.0": OfficialFile(1_475_206_741),
    "protenix_mini_default_v0.5.0": OfficialFile(
        537_049_294, "3803340c5d9958c038e799ddd2b53b532db21855f261592ad455a5f003791f81"),
    "protenix_tiny_default_v0.5.0": OfficialFile(443_171_586),
    "protenix_mini_esm_v0.5.0": OfficialFile(541_640_990),
    "protenix_mini_ism_v0.5.0": OfficialFile(541_640_990),
}

_FAIR_ESM = "https://dl.fbaipublicfiles.com/fair-esm/"
ENCODERS = {
    **{name: (f"{_FAIR_ESM}models/{name}.pt", f"{_FAIR_ESM}regression/{name}-contact-regression.pt")
       for name in ("esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D", "esm2_t30_150M_UR50D",
                    "esm2_t33_650M_UR50D", "esm2_t36_3B_UR50D", "esm2_t48_15B_UR50D")},
    "esm2_t36_3B_UR50D_ism": (f"{BASE_URL}esm2_t36_3B_UR50D_ism.pt",
                              f"{BASE_URL}esm2_t36_3B_UR50D_ism-contact-regression.pt"),
}
"""Addresses of encoders and of their contact regressions, as fair-esm and upstream name them."""

WITHDRAWN = {
    "protenix-v2": "upstream withdrew the protenix-v2 weights in April 2026; take "
                   "protenix_base_default_v1.0.0, or convert a copy you hold with "
                   "'protenix-ms convert'",
}


def address(model: str, base_url: str = BASE_URL) -> str:
    """Give the URL of a model's published file."""
    return f"{base_url.rstrip('/')}/{model}.pt"
