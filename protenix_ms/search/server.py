# SPDX-License-Identifier: Apache-2.0
"""Alignments from a server that speaks ColabFold's protocol (MMseqs2-App): tickets and archives.

Nothing is sent anywhere unless a person names the server. A ticket is kept until its answer has
come, so that an interrupted command goes on waiting for it instead of asking anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from protenix_ms.errors import ResourceError
from protenix_ms.io.a3m import A3m
from protenix_ms.search.answers import (
    FIRST_NAME,
    Answer,
    DamagedArchiveError,
    read_alignments,
    read_pairs,
    unpack,
)
from protenix_ms.search.cache import Cache
from protenix_ms.search.connection import ATTEMPTS, Connection, WaitedEnoughError

MODE, PAIR_MODE = "env", "pairgreedy"
MAX_WAIT = 60  # minutes
FIRST_POLL, LONGEST_POLL = (5.0, 10.0), 60.0  # seconds
_LIMITED = 30.0  # seconds of the first pause when the server limits the rate
_WAITING = ("PENDING", "RUNNING")
T = TypeVar("T")


@dataclass
class Server:
    """A server, asked for each distinct sequence once.

    Attributes:
        connection: how it is reached.
        cache: finished answers and open tickets, by address, mode and sequences.
        max_wait: minutes to wait for one answer.
    """

    connection: Connection
    cache: Cache
    max_wait: float = float(MAX_WAIT)
    status: str = field(default="no answer", init=False)
    seconds: float = field(default=0.0, init=False)  # of waiting, all in all

    def alignments(self, sequences: Sequence[str]) -> dict[str, Answer]:
        """Fetch the rows of every sequence.

        Raises:
            ResourceError: the server fails, refuses, is under maintenance or takes too long.
        """
        answers = {sequence: answer for sequence in sequences
                   if (answer := self._kept(sequence)) is not None}
        missing = [sequence for sequence in sequences if sequence not in answers]
        if missing:
            fresh = self._fetch("msa", MODE, missing, read_alignments)
            for sequence, answer in fresh.items():
                self.cache.store_rows(answer.unpaired, *self._key(MODE, sequence))
                if answer.paired is not None:
                    self.cache.store_rows(answer.paired, *self._key(f"{MODE}-paired", sequence))
            answers |= fresh
        return answers

    def pairs(self, sequences: Sequence[str]) -> dict[str, A3m]:
        """Fetch rows of which number k of every sequence belong together. Raises as `alignments`.

        Args:
            sequences: at least two distinct ones.
        """
        keys = {sequence: self._key(PAIR_MODE, sequence, *sequences) for sequence in sequences}
        kept = {sequence: self.cache.load_rows(*key) for sequence, key in keys.items()}
        if all(kept.values()):
            return {sequence: rows for sequence, rows in kept.items() if rows is not None}
        fresh = self._fetch("pair", PAIR_MODE, sequences, read_pairs)
        for sequence, rows in fresh.items():
            self.cache.store_rows(rows, *keys[sequence])
        return fresh

    def _key(self, *parts: str) -> tuple[str, ...]:
        return ("server", self.connection.url, *parts)

    def _kept(self, sequence: str) -> Answer | None:
        unpaired = self.cache.load_rows(*self._key(MODE, sequence))
        paired = self.cache.load_rows(*self._key(f"{MODE}-paired", sequence))
        return None if unpaired is None else Answer(unpaired, paired)

    def _fetch(
        self, endpoint: str, mode: str, sequences: Sequence[str],
        read: Callable[[dict[str, str], Sequence[str], str], T],
    ) -> T:  # fmt: skip
        """Submit sequences or find their open ticket, wait for the answer, and read it."""
        key = ("ticket", self.connection.url, mode, *sequences)
        start = time.monotonic()
        self.connection.end = start + 60 * self.max_wait
        try:
            ticket = self._wait(endpoint, mode, sequences, key)
            where = f"{self.connection.url}/result/download/{ticket}"
            answer = read(self._download(ticket, where), sequences, where)
        except WaitedEnoughError:
            raise ResourceError(
                f"not finished after {self.max_wait:g} minutes (last status: {self.status})",
                where=self.connection.url, remedies=(
                    "run the same command again later: the ticket is kept",
                    "raise --max-wait", "search in local databases (--databases DIR)")) from None
        finally:
            self.seconds += time.monotonic() - start
        self.cache.drop(*key)
        return answer

    def _wait(
        self, endpoint: str, mode: str, sequences: Sequence[str], key: tuple[str, ...]
    ) -> str:
        """Wait until a ticket is complete and return its id."""
        query = "".join(f">{FIRST_NAME + i}\n{s}\n" for i, s in enumerate(sequences))
        kept = replace(self.cache, reads=True).load(*key) or {}
        ticket, poll, limited, forgotten = kept.get("id"), random.uniform(*FIRST_POLL), _LIMITED, 0
        if ticket:
            self.connection.say(f"{self.connection.url}: going on with ticket {ticket}")
        while True:
            answer = (self.connection.ask(f"/ticket/{ticket}") if ticket else
                      self.connection.ask(f"/ticket/{endpoint}", {"q": query, "mode": mode}))
            status = self.status = str(answer.get("status", ""))[:40]
            if status == "UNKNOWN" and ticket and not forgotten:
                ticket, forgotten = None, 1  # an old ticket: ask anew, once
                continue
            if status == "RATELIMIT":
                self.connection.say(f"{self.connection.url} limits the rate; asking again in "
                                    f"{limited:.0f} s")
                self.connection.wait(limited)
                limited = min(2 * limited, 600.0)
                continue
            if not ticket and status in (*_WAITING, "COMPLETE"):
                ticket = self._require_id(answer)
                self.cache.store({"id": ticket}, *key)
            if status == "COMPLETE":
                return str(ticket)
            if status not in _WAITING:
                self.cache.drop(*key)
                raise self._failed(status)
            self.connection.say(f"{self.connection.url}: {status.lower()}")
            self.connection.wait(poll)
            poll = min(1.25 * poll, LONGEST_POLL)

    def _require_id(self, answer: dict[str, object]) -> str:
        ticket = str(answer.get("id", ""))
        if not ticket or not all(c.isalnum() or c in "-_" for c in ticket) or len(ticket) > 200:
            raise ResourceError(f"the server gives the ticket {ascii(ticket[:40])}",
                                where=self.connection.url, fix="check --msa-server")
        return ticket

    def _failed(self, status: str) -> ResourceError:
        reasons = {
            "MAINTENANCE": ("the server is under maintenance", "try again later"),
            "ERROR": ("the server failed on these sequences (status ERROR)",
                      "check that they hold the 20 letters and X only, or try again later"),
        }
        message, fix = reasons.get(status, (f"the server answers the status {ascii(status)}",
                                            "check --msa-server"))
        return ResourceError(message, where=self.connection.url, fix=fix)

    def _download(self, ticket: str, where: str) -> dict[str, str]:
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.connection.say(f"{where}: {reason}, attempt {attempt + 1} of {ATTEMPTS}")
                self.connection.wait(2.0 * 2**attempt)
            try:
                return unpack(self.connection.fetch(f"/result/download/{ticket}"), where)
            except DamagedArchiveError as error:
                reason = f"the archive is damaged ({error})"
        raise ResourceError(f"{reason}, in {ATTEMPTS} attempts", where=where,
                            fix="run the same command again: the ticket is kept")
