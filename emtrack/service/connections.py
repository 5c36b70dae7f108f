"""What a connection may take before anybody knows who is at its other end: bytes of a head, time, and a place among all of them.

The parser of uvicorn takes heads and waits for requests without an end. Here

    a head      has at most `MOST_HEAD_BYTES`, else 431
    a request   has come, head and body, `WITHIN_S` after its first byte, and the first of a connection after it was opened, else 408
    an answer   is taken by its reader: one who reads nothing for `WITHIN_S` is cut off
    a source    has at most so many connections; one more is closed. A proxy that is trusted speaks for many, and has no such limit
    all         together have fewer than the process has descriptors. Where one more comes, one gives way of which no request has come
                in whole: the oldest that is late already, else the one that has been idle longest, else the oldest.

So who only opens connections, or sends half of a request, never keeps out who sends a whole one.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Protocol

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emtrack.people.guesses import source_of_address

MOST_HEAD_BYTES = 32 * 1024
MOST_BYTES_WITHOUT_LENGTH = 4 * 1024 * 1024
WITHIN_S = 30.0
"""More than the device door gives a body, which says so in its own words."""
HURRIED_S = 2.0
"""Where places are scarce, a request that has not come in whole after so long gives way first."""
LOOK_EACH_S = 1.0
RESERVED_DESCRIPTORS = 128
"""For the database, files, processes."""
MOST_DESCRIPTORS = 65_536
FEWEST_DESCRIPTORS = 256

log = structlog.get_logger()


def raised_descriptors() -> int:
    """The limit of open files of this process, raised as far as it may be. The system sets it: `ulimit -n`, LimitNOFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    found = MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    log.info("open files", limit=found)
    if found < FEWEST_DESCRIPTORS:
        log.warning("few open files are allowed; raise the limit (ulimit -n, LimitNOFILE)", limit=found)
    return found


def most_connections(chosen: int | None) -> int:
    """Of all together: what was chosen, or what the descriptors of this process allow, whichever is less."""
    limit = raised_descriptors()
    allowed = max(limit - RESERVED_DESCRIPTORS, limit // 4)
    return allowed if chosen is None else min(chosen, allowed)


class Held(Protocol):
    """A connection, of whatever protocol, as the book of places needs it."""

    def end_late(self) -> None:
        """What it sends did not come in whole in time."""

    def cut_off(self) -> None:
        """At once, without a word."""


class Places:
    """All connections there are, of people, programs and trackers.

    `most`: of all; `most_of_one`: of a source that is no proxy. `stopwatch` in seconds."""

    def __init__(self, most: int, most_of_one: int, proxies: Collection[str], stopwatch: Callable[[], float]) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._proxies = frozenset(proxies)
        self._stopwatch = stopwatch
        self._all = Counter[str]()
        self._receiving: dict[Held, float] = {}
        self._idle: dict[Held, None] = {}
        self._unread: dict[Held, float] = {}

    def come(self, connection: Held, source: str) -> bool:
        """A connection was opened; whether it has a place. It is to be told in `gone` if it has."""
        if source not in self._proxies and self._all[source] >= self._most_of_one:
            return False
        if self._all.total() >= self._most and not self._give_way():
            return False
        self._all[source] += 1
        self.receives(connection)
        return True

    def gone(self, connection: Held, source: str) -> None:
        self._all[source] -= 1
        if not self._all[source]:
            del self._all[source]
        for book in (self._receiving, self._idle, self._unread):
            book.pop(connection, None)

    def receives(self, connection: Held) -> None:
        """It waits for a whole request from now on."""
        self._idle.pop(connection, None)
        self._receiving[connection] = self._stopwatch()

    def received(self, connection: Held) -> None:
        """A request has come in whole."""
        self._receiving.pop(connection, None)

    def idles(self, connection: Held) -> None:
        """It was answered, and may be used again."""
        if connection not in self._receiving:
            self._idle[connection] = None

    def is_unread(self, connection: Held) -> None:
        """Its reader does not take the answer."""
        self._unread[connection] = self._stopwatch()

    def is_read(self, connection: Held) -> None:
        self._unread.pop(connection, None)

    def end_late(self) -> None:
        """Those whose time is over."""
        since_s = self._stopwatch() - WITHIN_S
        for connection in _before(self._receiving, since_s):
            connection.end_late()
        for connection in _before(self._unread, since_s):
            connection.cut_off()

    def _give_way(self) -> bool:
        """One of them is closed, so that another has its place."""
        first = next(iter(self._receiving), None)
        is_hurried = first is not None and self._receiving[first] <= self._stopwatch() - HURRIED_S
        chosen = first if is_hurried else next(iter(self._idle), first)
        if chosen is None:
            return False
        chosen.cut_off()
        return True


def _before(book: dict[Held, float], instant_s: float) -> list[Held]:
    """They stand in order of time."""
    found = []
    for connection, since_s in book.items():
        if since_s > instant_s:
            break
        found.append(connection)
    return found


class Connection(HttpToolsProtocol):
    """uvicorn's, within bounds."""

    def __init__(self, *arguments: Any, places: Places, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._places = places
        self._source = ""
        self._has_place = False
        self._bytes = 0
        self._is_in_head = True
        self._has_length = True
        self._is_between = False
        """Two requests: nothing of the next has come."""
        self._is_deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._source = source_of_address(self.client[0] if self.client else "")
        self._has_place = self._places.come(self, self._source)
        if not self._has_place:
            self._is_deaf = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._is_between:
            self._begin_head()
        self._bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._bytes > MOST_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", b"the head is larger than 32 KiB")
        elif not self._has_length and self._bytes > MOST_BYTES_WITHOUT_LENGTH:
            self.cut_off()  # it was told 411 before: nobody here reads such a body, and its trailers have no end

    def _begin_head(self) -> None:
        self._is_between, self._is_in_head, self._has_length, self._bytes = False, True, True, 0
        self._unset_keepalive_if_required()
        self._places.receives(self)

    def on_message_begin(self) -> None:
        if self._is_between:  # the next came with the end of the one before
            self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._bytes > MOST_HEAD_BYTES and self._size_of_head() > MOST_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", b"the head is larger than 32 KiB")
            return
        if self._is_deaf:
            return
        super().on_headers_complete()
        self._has_length = all(name != b"transfer-encoding" for name, _ in self.headers)

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._places.received(self)
        self._is_between = True
        if not self._is_deaf:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_place and not self.pipeline and self._is_between:
            self._places.idles(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._places.is_unread(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._places.is_read(self)

    def end_late(self) -> None:
        """The request did not come in whole in time."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.cut_off()
            return
        self._refuse(b"408 Request Timeout", b"the request did not come within 30 s; send again")

    def cut_off(self) -> None:
        """At once, without a word."""
        self._leave()
        self._is_deaf = True
        self.transport.abort()

    def _refuse(self, status: bytes, what: bytes) -> None:
        if self._is_deaf:
            return
        self._is_deaf = True
        if self.cycle is None or self.cycle.response_complete:
            body = b'{"error":"' + what + b'"}'
            length = str(len(body)).encode()
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: " + length
                + b"\r\nconnection: close\r\n\r\n" + body
            )  # fmt: skip
        self._leave()
        self.transport.close()

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            self._places.gone(self, self._source)


async def end_late_ones(places: Places) -> None:
    """Until it is cancelled."""
    while True:
        places.end_late()
        await asyncio.sleep(LOOK_EACH_S)
