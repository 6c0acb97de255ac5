# SPDX-License-Identifier: Apache-2.0
"""Every refusal a person can meet: one sentence that names what, where, and how to fix it."""

from __future__ import annotations


class ProtenixError(Exception):
    """Base of all typed errors. The command line prints it without a traceback.

    Args:
        message: what is wrong and what was expected, without a full stop.
        where: the place, outermost first: file, job, entity, position, line.
        fix: what the person should do.
    """

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        self.message, self.where, self.fix = message, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.fix}" if self.fix else ""
        return f"{place}{self.message}{remedy}."


class InputError(ProtenixError):
    """A job file (JSON, FASTA), an alignment or a structure that cannot be used as it stands."""


class ChemistryError(ProtenixError):
    """An unknown component, a ligand without a usable structure, a bond that cannot be made."""


class ConfigError(ProtenixError):
    """An unknown model, setting or value."""


class CheckpointError(ProtenixError):
    """A weights file that is absent, damaged, refused or of another model."""


class ResourceError(ProtenixError):
    """Memory, disk, device or compiler that the request needs and the machine lacks."""


class NonFiniteError(ProtenixError):
    """A stage produced NaN or infinity; names the stage."""


class OutputError(ProtenixError):
    """A result that exists already with another fingerprint, or cannot be written."""
