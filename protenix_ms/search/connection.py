# SPDX-License-Identifier: Apache-2.0
"""Requests to a server: limited in time and size, repeated where that helps, never redirected."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.request as web
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit

from protenix_ms import __version__
from protenix_ms.errors import ConfigError, ResourceError
from protenix_ms.io.text_file import MAX_UNPACKED

ATTEMPTS = 5  # failures in a row
SILENCE = 30.0  # seconds without a byte
LONGEST = 600.0  # seconds for one answer
BUSY = (429, 503)
_PIECE = 1 << 16


class _NoRedirects(web.HTTPRedirectHandler):
    """Follows no redirection: sequences and passwords go to the host that was named, only."""

    def redirect_request(self, *args: object) -> None:
        return None


@dataclass
class Connection:
    """A server, and how it is asked.

    Attributes:
        url: its address, without a slash at the end.
        headers: sent with every request.
        pace: factor of all pauses (tests use a small one).
        say: told about pauses and repeated attempts.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: float = 1.0
    say: Callable[[str], None] = lambda text: None
    silence: float = SILENCE
    longest: float = LONGEST
    end: float = float("inf")  # of all waiting, on the monotonic clock
    busy: float = 15.0  # seconds of the last pause for a busy server; doubles

    def ask(self, path: str, fields: Mapping[str, str] | None = None) -> dict[str, object]:
        """Send a request (POST with `fields`, else GET) and return the JSON object it answers.

        Raises:
            ResourceError: no answer, a refusal, or an answer that is no JSON object.
        """
        content = self.fetch(path, fields)
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            shown = ascii(" ".join(content[:200].decode("utf-8", "replace").split())[:60])
            raise ResourceError(f"the answer is not JSON, it begins with {shown}",
                                where=self.url + path,
                                fix="check --msa-server; a proxy or login page may stand between")
        return value

    def fetch(self, path: str, fields: Mapping[str, str] | None = None) -> bytes:
        """Send a request and return the bytes of its answer. Raises as `ask`."""
        failures, pause, reason = 0, 2.0, ""
        while failures < ATTEMPTS:
            if failures:
                self.say(f"{self.url}: {reason}, attempt {failures + 1} of {ATTEMPTS}")
                self.wait(pause)
                pause *= 2
            try:
                return self._open(path, fields)
            except HTTPError as error:
                if error.code in BUSY:
                    self._yield(error)
                    continue
                if error.code < 500:
                    raise self._refused(error, path) from None
                reason = f"HTTP {error.code}"
            except (URLError, HTTPException, OSError) as error:
                reason = str(getattr(error, "reason", error) or type(error).__name__)
            failures += 1
        raise ResourceError(f"no answer in {ATTEMPTS} attempts ({reason})", where=self.url + path,
                            fix="check the address and the network, or try again later")

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            WaitedEnoughError: all waiting has come to its end.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise WaitedEnoughError
        time.sleep(min(seconds * self.pace, left))

    def _open(self, path: str, fields: Mapping[str, str] | None) -> bytes:
        data = urlencode(fields).encode() if fields is not None else None
        request = web.Request(self.url + path, data, {
            "User-Agent": f"protenix-ms/{__version__}", **self.headers})
        late, content = time.monotonic() + self.longest, bytearray()
        opener = web.build_opener(_NoRedirects)
        with opener.open(request, timeout=self.silence) as response:
            while piece := response.read1(_PIECE):
                content += piece
                if len(content) > MAX_UNPACKED:
                    raise ResourceError(f"the answer is longer than {MAX_UNPACKED >> 20} MiB",
                                        where=self.url + path, fix="ask for fewer chains at once")
                if time.monotonic() > late:
                    raise TimeoutError(f"the answer takes longer than {self.longest:.0f} seconds")
            length = response.headers.get("Content-Length", "")
        if length.isdigit() and len(content) < int(length):
            raise ConnectionError(f"{len(content)} of {length} bytes came")
        return bytes(content)

    def _yield(self, error: HTTPError) -> None:
        """Pause as long as a busy server asks for, at least a while."""
        stated = error.headers.get("Retry-After", "") or ""
        self.busy = min(2 * self.busy, 300.0)
        seconds = max(float(stated) if stated.isdigit() else 0.0, self.busy)
        self.say(f"{self.url}: HTTP {error.code}, the server is busy; "
                 f"asking again in {seconds:.0f} s")
        self.wait(seconds)

    def _refused(self, error: HTTPError, path: str) -> ResourceError:
        if 300 <= error.code < 400:
            target = ascii(error.headers.get("Location", "")[:100])
            return ResourceError(f"the server redirects to {target}", where=self.url + path,
                                 fix="if you trust that address, give it as --msa-server")
        if error.code in (401, 403):
            return ResourceError(f"the server demands other credentials (HTTP {error.code})",
                                 where=self.url + path,
                                 fix="name a variable that holds them by --msa-server-auth-env")
        text = " ".join(error.read(300).decode("utf-8", "replace").split())
        return ResourceError(f"the server refuses the request (HTTP {error.code}: {ascii(text)})",
                             where=self.url + path,
                             fix="check --msa-server, and that the sequences hold the 20 letters "
                             "and X only")


class WaitedEnoughError(Exception):
    """All the waiting that was allowed is over."""


def require_url(url: str) -> str:
    """Return the address of a server, without slashes at its end.

    Raises:
        ConfigError: no scheme, another one than http and https, no host, a password in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url[:80]!r} is not the address of a server", where="--msa-server",
                          fix="write it with its scheme, like https://host/api")
    if parts.username or parts.password:
        raise ConfigError("the address holds a user name or password", where="--msa-server",
                          fix="put user:password into a variable, named by --msa-server-auth-env")
    return url.rstrip("/")


def read_credentials(variable: str | None) -> dict[str, str]:
    """Make the header that the value of an environment variable stands for.

    ``user:password`` is HTTP basic authentication, ``X-API-Key: value`` that header, and anything
    else a bearer token.

    Raises:
        ConfigError: the variable is not set.
    """
    if variable is None:
        return {}
    value = os.environ.get(variable, "").strip()
    if not value or not value.isprintable():
        raise ConfigError(f"the environment variable {variable} is "
                          f"{'not one line of text' if value else 'not set'}",
                          where="--msa-server-auth-env",
                          fix="set it to user:password, 'Header: value', or a token")
    name, colon, rest = value.partition(": ")
    if colon and " " not in name:
        return {name: rest.strip()}
    if ":" in value:
        return {"Authorization": f"Basic {base64.b64encode(value.encode()).decode()}"}
    return {"Authorization": f"Bearer {value}"}
