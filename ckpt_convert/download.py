# SPDX-License-Identifier: Apache-2.0
"""Fetching a published checkpoint: resumable, checked, never half a file under its final name."""

from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ckpt_convert.official import WITHDRAWN, OfficialFile
from protenix_ms.errors import CheckpointError, ResourceError
from protenix_ms.files import file_sha256

PIECE = 1 << 18
BUSY = (408, 425, 429, 500, 502, 503, 504)
Progress = Callable[[int, int], object]  # bytes so far, bytes in total (0: unknown)


class _SafeRedirects(HTTPRedirectHandler):
    """Follows a redirect only to http(s), and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            raise CheckpointError(f"is redirected to {ascii(newurl[:200])}", where=req.full_url,
                                  fix="fetch the file in a browser and use 'convert'")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Download:
    """One file on its way from `url` to `target`, gathered in `<target>.part`."""

    url: str
    target: Path
    model: str = ""
    known: OfficialFile | None = None
    progress: Progress = lambda done, total: None
    attempts: int = 5  # failures in a row, without a single new byte
    pause: float = 1.0  # seconds before the second attempt; doubles

    def run(self) -> Path:
        """Fetch what is missing, check it, move it to `target`.

        Raises:
            CheckpointError: refused by the server, another file than the published one.
            ResourceError: no connection, or it keeps dropping.
        """
        if self._fetched():
            return self.target
        opener = build_opener(_SafeRedirects)
        self.etag = ""
        with self._locked() as part:
            self._require_room(part)
            failures, reason = 0, ""
            while not self._complete(part):
                if failures >= self.attempts:
                    raise ResourceError(
                        f"the connection keeps failing ({reason}) after {part.tell()} bytes",
                        where=self.url, fix="run the same command again, it goes on from there")
                if failures:
                    time.sleep(self.pause * 2 ** (failures - 1))
                before = part.seek(0, 2)
                try:
                    self._continue(opener, part)
                    reason = "it ends too early"
                except HTTPError as error:
                    reason = self._refused(error, part)
                except (URLError, HTTPException, OSError) as error:
                    reason = str(getattr(error, "reason", error) or type(error).__name__)
                failures = 0 if part.seek(0, 2) > before else failures + 1
            self._check(part)
            part_path = Path(part.name)
            part_path.replace(self.target)
        return self.target

    def _fetched(self) -> bool:
        """Whether an earlier run fetched the whole file, and only its conversion failed."""
        known = self.known
        return (known is not None and self.target.is_file()
                and self.target.stat().st_size == known.size
                and (not known.sha256 or file_sha256(self.target) == known.sha256))

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self.total = self.known.size if self.known else 0
        path = self.target.with_name(self.target.name + ".part")
        with path.open("ab+") as part:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ResourceError("is being fetched by another process", where=str(path),
                                    fix="wait for it") from error
            try:
                yield part
            finally:
                if part.seek(0, 2) == 0:
                    path.unlink(missing_ok=True)

    def _require_room(self, part: BinaryIO) -> None:
        """The rest of the file and the converted copy."""
        needed = 2 * self.total - part.seek(0, 2)
        free = shutil.disk_usage(self.target.parent).free
        if needed > free:
            raise ResourceError(f"needs {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB "
                                "free", where=str(self.target.parent), fix="choose another disk")

    def _complete(self, part: BinaryIO) -> bool:
        size = part.seek(0, 2)
        if self.total and size > self.total:
            part.truncate(0)  # not ours: a longer file cannot be a beginning of this one
            size = 0
        return bool(self.total) and size == self.total

    def _continue(self, opener, part: BinaryIO) -> None:
        """One request for the rest of the file."""
        have = part.seek(0, 2)
        request = Request(self.url, headers={"User-Agent": "protenix-ms"})
        if have:
            request.add_header("Range", f"bytes={have}-")
            if self.etag:
                request.add_header("If-Range", self.etag)
        with opener.open(request, timeout=30) as response:
            if response.status != 206:
                part.truncate(0)
                have = 0
            self._announced(response, have)
            while piece := response.read(PIECE):
                if have == 0 and piece[:4] != b"PK\x03\x04":
                    raise self._other(f"starts with {ascii(piece[:16].decode('latin1'))}")
                have += len(piece)
                if self.total and have > self.total:
                    part.truncate(0)
                    raise self._other(f"goes on beyond {self.total} bytes")
                part.write(piece)
                self.progress(have, self.total)
            part.flush()
            if not self.total:
                self.total = have  # no length announced: the archive's own checks must do

    def _announced(self, response: HTTPResponse, have: int) -> None:
        """Total length and kind of the file as the server states them."""
        self.etag = response.headers.get("ETag", "")
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/"):
            raise self._other(f"is {ascii(kind[:40])}, a page and not the file")
        total = int(response.headers.get("Content-Length") or 0) + have
        if response.status == 206:
            stated = response.headers.get("Content-Range", "")
            matched = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", stated)
            if not matched or int(matched[1]) != have:
                raise self._other(f"continues with {ascii(stated[:60])} instead of byte {have}")
            total = int(matched[3])
        if self.total and total and total != self.total:
            raise self._other(f"has {total} bytes instead of {self.total}")
        self.total = self.total or (total if total > have else 0)

    def _refused(self, error: HTTPError, part: BinaryIO) -> str:
        """Why to try again, or the refusal."""
        if error.code in BUSY:
            return f"HTTP {error.code}"
        if error.code == 416:  # the part is not a beginning of the file there
            part.truncate(0)
            return "HTTP 416"
        if error.code == 403 and self.model in WITHDRAWN:
            raise CheckpointError(f"HTTP 403 for {self.model}: {WITHDRAWN[self.model]}",
                                  where=self.url) from error
        fix = "upstream may have withdrawn or moved it: fetch it in a browser and use 'convert'"
        raise CheckpointError(f"the server answers HTTP {error.code}", where=self.url,
                              fix=fix) from error

    def _other(self, what: str) -> CheckpointError:
        return CheckpointError(f"the answer {what}", where=self.url,
                               fix="a proxy or a login page may stand between; fetch the file in "
                                   "a browser and use 'convert'")

    def _check(self, part: BinaryIO) -> None:
        part.flush()
        if self.known and self.known.sha256 and file_sha256(Path(part.name)) != self.known.sha256:
            part.truncate(0)
            raise CheckpointError("the fetched file has another sha256 than the published one",
                                  where=self.url, fix="run the command again")
