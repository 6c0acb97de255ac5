# SPDX-License-Identifier: Apache-2.0
"""External programs: found on PATH, run until they end or the search is stopped."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from protenix_ms.errors import ResourceError

PACKAGES = {"jackhmmer": "hmmer", "nhmmer": "hmmer", "hmmsearch": "hmmer", "hmmbuild": "hmmer",
            "hmmalign": "hmmer", "mmseqs": "mmseqs2"}
_GLANCE = 0.2  # seconds between looks at the stop sign


class StoppedError(Exception):
    """The search was interrupted."""


@dataclass
class Programs:
    """Runs programs; all of them end when `stop` is set."""

    stop: threading.Event = field(default_factory=threading.Event)

    @staticmethod
    def has(*names: str) -> bool:
        """Tell whether all of these programs are on PATH."""
        return all(shutil.which(name) for name in names)

    def run(self, command: Sequence[str | Path], folder: Path) -> str:
        """Run a program and return its standard output.

        Args:
            command: name of the program and its arguments.
            folder: working directory, which takes its temporary files.

        Raises:
            ResourceError: it is not installed or fails, a full disk among the reasons.
            StoppedError: the search was interrupted.
        """
        name = str(command[0])
        path = shutil.which(name)
        if path is None:
            raise ResourceError(f"the program {name} is not on PATH", fix="install it: "
                                f"apt-get install {PACKAGES.get(name, name)}")
        with TemporaryFile() as out, TemporaryFile() as err:
            process = subprocess.Popen([path, *map(str, command[1:])], stdout=out, stderr=err,
                                       stdin=subprocess.DEVNULL, cwd=folder,
                                       start_new_session=True)
            try:
                while process.poll() is None and not self.stop.is_set():
                    try:
                        process.wait(_GLANCE)
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if self.stop.is_set():
                raise StoppedError
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
        if process.returncode:
            raise self._explain(name, process.returncode, texts[1] or texts[0], folder)
        return texts[0]

    @staticmethod
    def _explain(name: str, code: int, text: str, folder: Path) -> ResourceError:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = next((line for line in lines if "rror" in line or "ail" in line),
                      lines[-1] if lines else f"exit code {code}")[:200]
        if "No space left" in text or shutil.disk_usage(folder).free < 1 << 20:
            return ResourceError(f"{name} ran out of disk space", where=str(folder),
                                 fix="free some, or set TMPDIR to a larger disk")
        return ResourceError(f"{name} failed ({reason})", fix="check the database and the program")
