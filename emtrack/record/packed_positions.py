"""Positions packed by device and hour: made of hours that are over, and read in place of their rows.

An hour is made ready in two steps. First it is entered: from that commit on, whatever is stored or deleted of it leaves a mark
(triggers of migration 42). Then, when all who wrote before that have ended (`fence_now`, `has_passed`), its devices are packed in
slices, each of which sees its positions and the marks in one snapshot and takes away exactly those marks. So a device's hour without
a mark says what is stored; one with a mark is read from `positions`, and packed again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np

from emtrack.db.connect import Connection
from emtrack.db.locks import UNPACKING_LOCK, shared_lock
from emtrack.record.position_columns import nothing, positions_of
from emtrack.sealing.store import ended_before
from geofence import Interval, datetime_of
from geofence.nearness import FORM, HEAD, HOUR_MS, Heads, Trail, Unpacked, packed, unpacked

SLICE = 1_000
"""Devices that are packed in one transaction: 60,000 positions of a minute each."""
MOST_LATE = 500
"""Device hours that are packed again in one transaction."""

# Hours of days that have positions, over by $1, that are not entered: the newest first.
NOT_ENTERED = """
SELECT epoch_ms(h.hour) AS hour_ms
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT to_date(right(c.relname, 10), 'YYYY_MM_DD')::timestamp AT TIME ZONE 'UTC' AS begin_at) d
CROSS JOIN LATERAL generate_series(d.begin_at, d.begin_at + interval '23 hours', interval '1 hour') AS h (hour)
WHERE i.inhparent = 'positions'::regclass AND h.hour + interval '1 hour' <= $1
      AND NOT EXISTS (SELECT FROM packed_hours p WHERE p.hour = h.hour AND p.form = $2)
ORDER BY h.hour DESC LIMIT $3
"""
TO_PACK = "SELECT epoch_ms(hour) AS hour_ms FROM packed_hours WHERE form = $1 AND NOT is_ready ORDER BY hour DESC"
ENTER = """
INSERT INTO packed_hours (hour, form) SELECT hour, $2 FROM unnest($1::timestamptz[]) AS t (hour)
ON CONFLICT (hour) DO UPDATE SET form = excluded.form, is_ready = false
"""
# A number of its own: whoever has written without seeing what was entered has a lower one. (The snapshot's upper end will not do: it
# is the highest number that has ended, and a higher one may be at work.)
FENCE = "SELECT pg_current_xact_id()::text::bigint"
EMPTY_HOUR = "DELETE FROM packed_positions WHERE hour = $1"
NEXT_DEVICES = "SELECT device_no FROM devices WHERE device_no > $1 ORDER BY device_no LIMIT $2"
MARKS_OF = "SELECT late_no FROM packed_late WHERE hour = $1 AND device_no = ANY ($2::bigint[])"
TAKE_MARKS = "DELETE FROM packed_late WHERE late_no = ANY ($1::bigint[])"
TAKE_PACKED = "DELETE FROM packed_positions WHERE hour = $1 AND device_no = ANY ($2::bigint[])"
STORE = """
INSERT INTO packed_positions (hour, device_no, head, body)
SELECT $1, t.* FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) AS t (device_no, head, body)
"""
READY = "UPDATE packed_hours SET is_ready = true WHERE hour = $1"
LATE = """
SELECT epoch_ms(l.hour) AS hour_ms, l.device_no FROM packed_late l JOIN packed_hours p USING (hour)
WHERE p.is_ready AND p.form = $1 AND l.late_no <= $2 ORDER BY l.hour, l.device_no LIMIT $3
"""
LAST_MARK = "SELECT coalesce(max(late_no), 0) FROM packed_late"
READY_IN = """
SELECT epoch_ms(hour) AS hour_ms FROM packed_hours WHERE hour >= $1 AND hour < $2 AND is_ready AND form = $3
"""
LATE_IN = "SELECT DISTINCT epoch_ms(hour) AS hour_ms, device_no FROM packed_late WHERE hour >= $1 AND hour < $2"
HEADS = "SELECT string_agg(head, ''::bytea) FROM packed_positions WHERE hour >= $1 AND hour < $2"
# All in one row: each row of its own costs more on the way than the positions in it. Aggregates of one pass are in one order.
BODIES = """
SELECT string_agg(int8send(device_no), ''::bytea) AS device, string_agg(int8send(epoch_ms(hour)), ''::bytea) AS hour_ms,
       string_agg(int8send(octet_length(body)::bigint), ''::bytea) AS size, string_agg(body, ''::bytea) AS bodies
FROM packed_positions WHERE hour = ANY ($1::timestamptz[]) AND device_no = ANY ($2::bigint[])
"""


class PackedSpan(NamedTuple):
    """What of a span is packed: beginnings of hours, in order; and of which devices anything came late, by such an hour."""

    hours_ms: list[int]
    late_in: Mapping[int, set[int]]

    @property
    def late(self) -> set[int]:
        """Devices of which anything came late in one of them."""
        return set().union(*self.late_in.values())

    def part(self, span: Interval) -> PackedSpan:
        """Of the hours that a span touches, which lie among these."""
        hours = hours_of(span)
        ready = [hour_ms for hour_ms in self.hours_ms if hours[0] <= hour_ms <= hours[-1]]
        return PackedSpan(ready, {at: devices for at, devices in self.late_in.items() if hours[0] <= at <= hours[-1]})

    def stretches(self, span: Interval) -> tuple[list[Interval], list[Interval]]:
        """The parts of a span that are packed, and those that are not, each in order; neighbours are one."""
        ready = set(self.hours_ms)
        parts: tuple[list[Interval], list[Interval]] = ([], [])
        for hour_ms in hours_of(span):
            chosen = parts[0 if hour_ms in ready else 1]
            begin_ms, end_ms = max(span.begin_ms, hour_ms), min(span.end_ms, hour_ms + HOUR_MS)
            if chosen and chosen[-1].end_ms == begin_ms:
                begin_ms = chosen.pop().begin_ms
            chosen.append(Interval(begin_ms, end_ms))
        return parts


def hours_of(span: Interval) -> range:
    """Beginnings of the hours that a span touches."""
    return range(span.begin_ms // HOUR_MS * HOUR_MS, span.end_ms, HOUR_MS)


# ---------------------------------------------------------------------------------------------- making


async def hours_to_enter(connection: Connection, end_ms: int, most: int) -> list[int]:
    """Hours of days that have positions, over by `end_ms`, that are not entered: the newest first."""
    rows = await connection.fetch(NOT_ENTERED, datetime_of(end_ms), FORM, most)
    return [row["hour_ms"] for row in rows]


async def enter_hours(connection: Connection, hours_ms: Iterable[int]) -> None:
    """From its commit on, what comes late is marked."""
    await connection.execute(ENTER, [datetime_of(hour_ms) for hour_ms in hours_ms], FORM)


async def hours_to_pack(connection: Connection) -> list[int]:
    """Entered, and not ready: the newest first."""
    return [row["hour_ms"] for row in await connection.fetch(TO_PACK, FORM)]


async def fence_now(connection: Connection) -> int:
    """Whoever writes now, and does not see what was entered, has a transaction before it. Outside of a transaction, after the
    entry has committed."""
    fence: int = await connection.fetchval(FENCE)
    return fence


async def has_passed(connection: Connection, fence: int) -> bool:
    """Whether all of those have ended."""
    return await ended_before(connection) > fence


async def pack_devices(connection: Connection, hour_ms: int, after: int) -> int | None:
    """Pack a slice of the devices of an hour: the next ones after a number, 0 at first. The last one's number; None: there was no
    more, and the hour is ready. A transaction of its own."""
    hour = datetime_of(hour_ms)
    async with _slice(connection):
        if after == 0:
            await connection.execute(EMPTY_HOUR, hour)
        devices: list[int] = [row["device_no"] for row in await connection.fetch(NEXT_DEVICES, after, SLICE)]
        if not devices:
            await connection.execute(READY, hour)
            return None
        await _pack(connection, hour_ms, devices)
    return devices[-1]


async def last_mark(connection: Connection) -> int:
    """Number of the newest mark."""
    number: int = await connection.fetchval(LAST_MARK)
    return number


async def pack_late(connection: Connection, until: int) -> bool:
    """Pack again some of what came late, by marks up to a number. Whether there was any. A transaction of its own."""
    async with _slice(connection):
        rows = await connection.fetch(LATE, FORM, until, MOST_LATE)
        for hour_ms in sorted({row["hour_ms"] for row in rows}):
            await _pack(connection, hour_ms, sorted({row["device_no"] for row in rows if row["hour_ms"] == hour_ms}))
    return bool(rows)


@asynccontextmanager
async def _slice(connection: Connection) -> AsyncIterator[None]:
    """One snapshot, in which nobody deletes: else what was deleted could stand here (the other side is in migration 42). The lock is
    taken before the transaction, whose first statement is what it sees."""
    async with shared_lock(connection, UNPACKING_LOCK), connection.transaction(isolation="repeatable_read"):
        yield


async def _pack(connection: Connection, hour_ms: int, devices: Sequence[int]) -> None:
    hour = datetime_of(hour_ms)
    marks = [row["late_no"] for row in await connection.fetch(MARKS_OF, hour, devices)]
    known = await positions_of(connection, devices, Interval(hour_ms, hour_ms + HOUR_MS))
    rows = await asyncio.to_thread(lambda: list(packed(hour_ms, known.device, trail_in(known))))
    await connection.execute(TAKE_PACKED, hour, devices)
    await connection.execute(
        STORE, hour, [row.device_no for row in rows], [row.head for row in rows], [row.body for row in rows]
    )
    await connection.execute(TAKE_MARKS, marks)


def trail_in(known: Unpacked) -> Trail:
    """Without the facts' ids, which are not packed."""
    return Trail(known.fix_ms, known.lon_deg, known.lat_deg, known.radius_m, np.zeros(len(known.device), np.int64))


# ---------------------------------------------------------------------------------------------- reading


async def packed_span(connection: Connection, span: Interval) -> PackedSpan:
    """What is packed of the hours that a span touches."""
    hours = hours_of(span)
    begin, end = datetime_of(hours[0]), datetime_of(hours[-1] + HOUR_MS)
    ready = await connection.fetch(READY_IN, begin, end, FORM)
    late_in: dict[int, set[int]] = defaultdict(set)
    for row in await connection.fetch(LATE_IN, begin, end) if ready else []:
        late_in[row["hour_ms"]].add(row["device_no"])
    return PackedSpan(sorted(row["hour_ms"] for row in ready), late_in)


async def heads_in(connection: Connection, span: Interval) -> Heads:
    """Of all devices, of the hours that a span touches; in no order."""
    hours = hours_of(span)
    found = await connection.fetchval(HEADS, datetime_of(hours[0]), datetime_of(hours[-1] + HOUR_MS))
    return np.frombuffer(found or b"", HEAD)


async def bodies_in(
    connection: Connection, devices: Iterable[int], hours_ms: Sequence[int], span: Interval
) -> Unpacked:
    """The positions of devices in a span that packed hours hold, by device and time."""
    numbers = sorted(devices)
    if not numbers or not hours_ms:
        return nothing()
    row = await connection.fetchrow(BODIES, [datetime_of(hour_ms) for hour_ms in hours_ms], numbers)
    if row is None or row["bodies"] is None:
        return nothing()
    device, hour_ms, sizes = (
        np.frombuffer(row[name], ">i8").astype(np.int64) for name in ("device", "hour_ms", "size")
    )
    return unpacked(device, hour_ms, sizes, row["bodies"], span)
