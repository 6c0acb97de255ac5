# SPDX-License-Identifier: Apache-2.0
"""Fetch a published checkpoint: go on after an interruption, check, move into place when whole."""

from __future__ import annotations

import fcntl
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib import request as web
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ckpt_convert.official import WITHDRAWN, OfficialFile
from protenix_ms.errors import CheckpointError, ResourceError
from protenix_ms.files import require_room

PIECE = 1 << 18
MAGIC = b"PK\x03\x04"
DEADLINE = 12 * 3600  # seconds
SILENCE = 30.0  # seconds that a server may keep silent, or take to announce its answer
SLOWEST = 1 << 10  # bytes a second below which a connection counts as failed
AGAIN = (408, 416, 425, 429, 500, 502, 503, 504)
_BROWSER = ("a proxy or a login page may stand between; fetch the file in a browser and use "
            "'convert'")
Progress = Callable[[int, int], object]  # bytes so far, bytes in total (0: unknown)


class _SafeRedirects(web.HTTPRedirectHandler):
    """Follows a redirect only to http(s), and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            raise CheckpointError(f"is redirected to {ascii(newurl[:200])}", where=req.full_url,
                                  fix="fetch the file in a browser and use 'convert'")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _put(part: BinaryIO, place: int, piece: bytes) -> None:
    """Write `piece` at `place` of the part; keep what follows if the piece was there already."""
    part.seek(place)
    there = part.read(len(piece))
    if piece[:len(there)] != there:
        part.truncate(place)
        there = b""
    part.seek(0, 2)
    part.write(piece[len(there):])
    part.flush()  # a killed process loses nothing


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _TimedAnswers(web.HTTPHandler, web.HTTPSHandler):
    """Ends a connection whose answer is not announced in time, however slowly bytes come."""

    def do_open(self, http_class, req, **options):
        class Timed(http_class):
            def getresponse(self):
                timer = threading.Timer(self.timeout, _end, [self.sock])
                timer.daemon = True
                timer.start()
                try:
                    return super().getresponse()
                finally:
                    timer.cancel()

        return super().do_open(Timed, req, **options)


@dataclass
class Download:
    """Fetches one file from `url` into `<target>.part`, then moves it to `target`."""

    url: str
    target: Path
    model: str = ""
    known: OfficialFile | None = None
    progress: Progress = lambda done, total: None
    attempts: int = 5  # failures in a row
    pause: float = 1.0  # seconds before the second attempt; doubles
    deadline: float = DEADLINE  # seconds for all of it
    window: float = 15.0  # seconds over which a connection's rate is measured

    def run(self) -> Path:
        """Fetch what is missing, check it, move it to `target`.

        An attempt counts as failed if it ends early with less than `SLOWEST` bytes a second.
        Every byte that has come stays in the part file.

        Raises:
            CheckpointError: refused by the server, another file than the published one.
            ResourceError: no connection, one that keeps dropping or is too slow, or no time left.
        """
        if self.known and self.target.is_file() and self.known.matches(self.target):
            return self.target  # an earlier run fetched all of it, and only its conversion failed
        opener = web.build_opener(_SafeRedirects, _TimedAnswers)
        self.etag, self.end = "", time.monotonic() + self.deadline
        with self._locked() as part:
            # the rest of the file, and the converted copy
            require_room(self.target.parent, 2 * self.total - part.seek(0, 2))
            failures, reason = 0, ""
            while not self._complete(part):
                late = time.monotonic() >= self.end
                if late or failures >= self.attempts:
                    what = (f"not complete after {self.deadline / 60:.3g} minutes" if late
                            else f"the connection keeps failing ({reason})")
                    raise ResourceError(
                        f"{what}, {part.seek(0, 2)} bytes are there", where=self.url,
                        fix="run the same command again, it goes on from there")
                if failures:
                    time.sleep(max(0.0, min(self.pause * 2 ** (failures - 1),
                                            self.end - time.monotonic())))
                before, start = part.seek(0, 2), time.monotonic()
                try:
                    self._continue(opener, part)
                    reason = "it ends too early"
                except HTTPError as error:
                    reason = self._refused(error, part)
                except (URLError, HTTPException, OSError) as error:
                    reason = str(getattr(error, "reason", error) or type(error).__name__)
                gained = part.seek(0, 2) - before
                enough = gained > SLOWEST * (time.monotonic() - start)
                failures = 0 if enough else failures + 1
            path = Path(part.name)
            if self.known and not self.known.matches(path):
                part.truncate(0)
                raise self._refusal("the fetched file has another sha256 than the published one",
                                    "run the command again")
            path.replace(self.target)
        return self.target

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

    def _complete(self, part: BinaryIO) -> bool:
        size = part.seek(0, 2)
        if 0 < self.total < size:
            part.truncate(0)  # not ours: a longer file cannot be a beginning of this one
        return 0 < self.total == size

    def _continue(self, opener, part: BinaryIO) -> None:
        """Request the rest of the file."""
        have = part.seek(0, 2)
        request = web.Request(self.url, headers={"User-Agent": "protenix-ms"})
        if have:
            request.add_header("Range", f"bytes={have}-")
            if self.etag:
                request.add_header("If-Range", self.etag)
        left = max(self.end - time.monotonic(), 0.1)
        with opener.open(request, timeout=min(SILENCE, left)) as response:
            if response.status != 206:  # from the beginning: what is the same stays
                have = 0
            self._announced(response, have)
            mark, since = have, time.monotonic()
            while piece := response.read1(PIECE):
                start = MAGIC[have:have + len(piece)]
                other = piece[:len(start)] != start
                if other or 0 < self.total < have + len(piece):
                    part.truncate(0)
                    what = (f"starts with {ascii(piece[:16].decode('latin1'))}" if other
                            else f"goes on beyond {self.total} bytes")
                    raise self._refusal(f"the answer {what}")
                _put(part, have, piece)
                have += len(piece)
                self.progress(have, self.total)
                now = time.monotonic()
                if now >= self.end:
                    return
                if now - since >= self.window:
                    if have - mark < SLOWEST * self.window:
                        raise TimeoutError(f"{(have - mark) / (now - since):.0f} bytes a second")
                    mark, since = have, now
            if not self.total:
                self.total = have  # no length announced: the archive's own checks must do

    def _announced(self, response: HTTPResponse, have: int) -> None:
        """Check the total length and the kind of the file that the server states."""
        self.etag = response.headers.get("ETag", "")
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/"):
            raise self._refusal(f"the answer is {ascii(kind[:40])}, a page and not the file")
        total = int(response.headers.get("Content-Length") or 0) + have
        if response.status == 206:
            stated = response.headers.get("Content-Range", "")
            matched = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", stated)
            if not matched or int(matched[1]) != have:
                raise self._refusal(f"the answer continues with {ascii(stated[:60])} instead of "
                                    f"byte {have}")
            total = int(matched[3])
        if self.total and total and total != self.total:
            raise self._refusal(f"the answer has {total} bytes instead of {self.total}")
        self.total = self.total or (total if total > have else 0)

    def _refused(self, error: HTTPError, part: BinaryIO) -> str:
        """Say why to try again, or refuse."""
        if error.code == 416:  # the part is not a beginning of the file there
            part.truncate(0)
        if error.code in AGAIN:
            return f"HTTP {error.code}"
        if error.code == 403 and self.model in WITHDRAWN:
            raise self._refusal(f"HTTP 403 for {self.model}: {WITHDRAWN[self.model]}", "")
        raise self._refusal(f"the server answers HTTP {error.code}", "upstream may have withdrawn "
                            "or moved it: fetch it in a browser and use 'convert'")

    def _refusal(self, message: str, fix: str = _BROWSER) -> CheckpointError:
        return CheckpointError(message, where=self.url, fix=fix)
