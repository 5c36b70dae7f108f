"""Requests that are kept whole, as they came: of tags that send what is new, and nothing else.

Nearly every request is of one tag and brings reports that are good, in order, and all new. That they are new follows from their
numbers: each lies above the highest that is kept of the device and its boot. Such a request is one row. Whatever else comes (a
number that is not above the highest, a report that is refused, what a home unit sends or a device signs) is kept report by report,
as `store.py` says; whether its number was used by a request that is kept whole is looked up here.

Requests of one device and boot that are kept whole lie apart in their numbers and ascend: at most one of them can hold a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from geofence import datetime_of
from ingest.incoming import Accepted, Incoming, Tell
from ingest.reports import Refusal
from ingest.wire import Body, ContentType, read_request

MOST_KNOWN = 250_000
"""Devices and boots of which the highest number is known without asking: some 50 MB."""
MOST_BYTES, BYTES_A_REPORT = 1_024, 512
"""A request that has more bytes than these and those of its reports is kept report by report: that a number was used is told by
reading the request that it was used in."""

Name = tuple[int, int]
"""A device and its boot."""


class Request(NamedTuple):
    """The reports of a request on their way into the record. `body`: None of one that must not be kept whole."""

    items: Sequence[Incoming]
    body: Body | None = None

    @property
    def name(self) -> Name:
        first = self.items[0]
        return first.device_no, first.received.boot

    @property
    def is_short(self) -> bool:
        return self.body is not None and len(self.body.content) <= MOST_BYTES + BYTES_A_REPORT * len(self.items)

    @property
    def has_ids_in_a_row(self) -> bool:
        """Whether its reports are found by the fact id of the first."""
        return self.items[-1].fact_id - self.items[0].fact_id == len(self.items) - 1


class Whole(NamedTuple):
    """A request that is kept whole, with what its reports say."""

    request: Request
    facts: list[Accepted]


HIGHEST = """
SELECT n.device_no, n.boot, greatest(
    (SELECT max(last_seq) FROM raw_requests r WHERE (r.device_no, r.boot) = (n.device_no, n.boot)),
    (SELECT max(seq) FROM raw_reports r WHERE (r.device_no, r.boot) = (n.device_no, n.boot)), -1) AS seq
FROM unnest($1::bigint[], $2::bigint[]) AS n (device_no, boot)
"""


class HighestNumbers:
    """The highest number that is kept of each device and boot. Memory follows the disk: what a turn adds holds when it is adopted."""

    def __init__(self) -> None:
        self._kept: dict[Name, int] = {}
        self._of_turn: dict[Name, int] = {}
        self._of_others: Collection[int] = ()

    def forget(self) -> None:
        """Everything: the disk is asked again."""
        self._kept, self._of_turn = {}, {}

    def forget_devices(self, device_nos: Collection[int]) -> None:
        """Of some devices the disk is asked again: others may have added to them."""
        if not device_nos:
            return
        for name in [name for name in self._kept if name[0] in device_nos]:
            del self._kept[name]

    def begin_turn(self) -> None:
        """What a turn before added and was not adopted is forgotten."""
        self._of_turn, self._of_others = {}, ()

    def others_add_to(self, device_nos: Collection[int]) -> None:
        """Of these devices the disk is asked in this turn, whatever is remembered. Their locks are taken."""
        self._of_others = device_nos

    async def ask(self, connection: asyncpg.Connection[Any], names: Iterable[Name]) -> None:
        """Know what is kept of some devices."""
        missing = [name for name in dict.fromkeys(names) if name not in self._kept or name[0] in self._of_others]
        if not missing:
            return
        rows = await connection.fetch(HIGHEST, [device_no for device_no, _ in missing], [boot for _, boot in missing])
        self._kept.update(((row["device_no"], row["boot"]), row["seq"]) for row in rows)

    def of(self, name: Name) -> int:
        """-1: nothing is kept. Raises KeyError for a device of which it was not asked."""
        return max(self._kept[name], self._of_turn.get(name, -1))

    def add(self, name: Name, seq: int) -> None:
        """A number is stored in this turn."""
        self._of_turn[name] = max(seq, self._of_turn.get(name, -1))

    def adopt(self) -> None:
        """The turn is committed. Of too many devices those are forgotten that were heard least lately."""
        for name, seq in self._of_turn.items():
            self._kept[name] = max(seq, self._kept.pop(name, -1))
        self._of_turn = {}
        while len(self._kept) > MOST_KNOWN:
            del self._kept[next(iter(self._kept))]


def apart(
    requests: Iterable[Request], tell: Tell, highest: HighestNumbers
) -> tuple[list[Whole], list[Incoming], list[Incoming]]:
    """Requests that can be kept whole; reports that are kept one by one and are new by their numbers; and those that may repeat
    something. In order: what a request brings counts for the next."""
    whole: list[Whole] = []
    new: list[Incoming] = []
    known: list[Incoming] = []
    for request in requests:
        if not request.items:
            continue
        facts = _facts_if_whole(request, tell, highest.of(request.name))
        if facts is not None:
            whole.append(Whole(request, facts))
            highest.add(request.name, _number(request.items[-1]))
            continue
        before = highest.of(request.name)
        for item in request.items:
            if item.received.seq is None or item.received.seq > before:
                new.append(item)
            else:
                known.append(item)
            highest.add(request.name, -1 if item.received.seq is None else item.received.seq)
    return whole, new, known


def _number(item: Incoming) -> int:
    assert item.received.seq is not None, "only what has a number is kept whole"
    return item.received.seq


def _facts_if_whole(request: Request, tell: Tell, highest: int) -> list[Accepted] | None:
    """What the reports say, if each is of the tag that sent it, can be used, and has a higher number than the one before it."""
    if not (request.is_short and request.has_ids_in_a_row):
        return None
    facts = []
    for item in request.items:
        received = item.received
        if received.seq is None or received.seq <= highest or isinstance(received.report, Refusal):
            return None
        told = tell(item.device_no, received.report)
        if isinstance(told, Refusal) or len(told) != 1 or told[0].device_no != item.device_no:
            return None
        highest = received.seq
        facts.append(Accepted(item.fact_id, item.device_no, told[0].report, item.received_ms, item.device_no))
    return facts


COLUMNS = (
    "request_no", "reports", "device_no", "boot", "first_seq", "last_seq", "received_at", "content_type", "body", "salt",
)  # fmt: skip


async def store_whole(
    connection: asyncpg.Connection[Any], requests: Sequence[Request], salts: Sequence[bytes]
) -> None:
    """Keep requests whole. Nothing of them is stored yet."""
    rows = [_row(request, salt) for request, salt in zip(requests, salts, strict=True)]
    if rows:
        await connection.copy_records_to_table("raw_requests", records=rows, columns=COLUMNS)


def _row(request: Request, salt: bytes) -> tuple[Any, ...]:
    first, last = request.items[0], request.items[-1]
    assert request.body is not None, "it is kept whole"
    return (
        first.fact_id, len(request.items), first.device_no, first.received.boot, _number(first), _number(last),
        datetime_of(first.received_ms), request.body.content_type, request.body.content, salt,
    )  # fmt: skip


HOLDING = """
SELECT DISTINCT ON (r.request_no) r.request_no, r.device_no, r.boot, r.content_type, r.body
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (device_no, boot, seq)
CROSS JOIN LATERAL (
    SELECT * FROM raw_requests q WHERE (q.device_no, q.boot) = (n.device_no, n.boot) AND q.last_seq >= n.seq
    ORDER BY q.last_seq LIMIT 1) AS r
WHERE r.first_seq <= n.seq
"""


class Used(NamedTuple):
    """A number that a request used which is kept whole: by which fact, and for which content."""

    fact_id: int
    digest: bytes


async def used_numbers(
    connection: asyncpg.Connection[Any], items: Sequence[Incoming]
) -> Mapping[tuple[int, int, int], Used]:
    """Of the numbers of some reports (device, boot, seq) those that requests used which are kept whole."""
    named = [item for item in items if item.received.seq is not None]
    if not named:
        return {}
    rows = await connection.fetch(
        HOLDING,
        [item.device_no for item in named],
        [item.received.boot for item in named],
        [item.received.seq for item in named],
    )
    wanted = {(item.device_no, item.received.boot, item.received.seq) for item in named}
    return {
        name: used
        for row in rows
        for name, used in _numbers_in(row["device_no"], row["request_no"], row["body"], row["content_type"])
        if name in wanted
    }


def _numbers_in(
    device_no: int, request_no: int, body: bytes, content_type: ContentType
) -> Iterable[tuple[tuple[int, int, int], Used]]:
    for place, received in enumerate(read_request(body, content_type).reports):
        if received.seq is not None:
            yield (device_no, received.boot, received.seq), Used(request_no + place, received.digest)
