"""Writing what was received: raw reports, positions, events, quarantine, counts. All inside the caller's transaction.

Every statement is safe to run again with the same rows: what is there already comes back as a duplicate.
"""

from __future__ import annotations

import asyncio
import io
import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import asyncpg
import msgspec

from geofence import FUTURE_LIMIT_MS, datetime_of
from ingest.binary_copy import COLUMNS, SALT_BYTES, positions_as_bytes, says_more
from ingest.incoming import Accepted, Incoming, Tell, Told
from ingest.reports import EventReport, PositionReport, Refusal, RefusalReason
from ingest.tasks import ended
from ingest.whole_requests import HighestNumbers, Request, apart, store_whole, used_numbers
from ingest.wire import Received, received_in

DAY_MS = 86_400_000


class StoreOutcome(NamedTuple):
    """What became of the reports of a turn. `refused`: why, by fact id, of those that are new. `repeated`: of those whose number and
    content a request had that is kept whole, the fact id that they had there. `whole`: of requests that are kept whole now, the fact
    ids of their first reports."""

    accepted: list[Accepted]
    refused: dict[int, Refusal]
    clashes: list[Incoming]
    repeated: dict[int, int]
    whole: frozenset[int]


class Counts(msgspec.Struct):
    """Of one device: received = stored + duplicates + refused."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    refused: int = 0


WAITING_REASONS = (RefusalReason.NO_ACTIVATION, RefusalReason.NO_HOME_UNIT_ENTRY)
"""What is refused for these is examined again when orders change."""


class Kept(NamedTuple):
    """What is known of what is kept, so that it need not be asked. `newest_ms`: of a request's facts, the own time that all stored
    positions of that device are not after; None: not known. `can_copy`: whether the database lets this role COPY into positions.
    `meanwhile`: what can be done with facts while they are written."""

    highest: HighestNumbers
    newest_ms: Callable[[Sequence[Accepted]], int | None]
    can_copy: bool
    meanwhile: Meanwhile


class Meanwhile(Protocol):
    """Told of facts that are on their way into the database, and that must be new."""

    def work_out(self, accepted: Sequence[Accepted]) -> None:
        """The database has them and writes. Never raises."""

    def forget(self) -> None:
        """One of them was there already, and none is written so."""


class CannotStore(Exception):
    """The database would not have a value of the reports. `why`: what it said."""

    def __init__(self, why: Exception) -> None:
        super().__init__(type(why).__name__)
        self.why = why


@contextmanager
def _of_the_reports() -> Iterator[None]:
    """What is raised here for a value comes from what devices sent, and from nothing else."""
    try:
        yield
    except (
        asyncpg.DataError,
        asyncpg.IntegrityConstraintViolationError,
        ArithmeticError,
        ValueError,
    ) as error:
        raise CannotStore(error) from error


async def store_reports(
    connection: asyncpg.Connection[Any], requests: Sequence[Request], tell: Tell, kept: Kept
) -> StoreOutcome:
    """Write the requests of a turn. Partitions for all their days must be there (`make_days`). Raises CannotStore."""
    with _of_the_reports():
        return await _store_all(connection, requests, tell, kept)


async def _store_all(
    connection: asyncpg.Connection[Any], requests: Sequence[Request], tell: Tell, kept: Kept
) -> StoreOutcome:
    await kept.highest.ask(connection, (request.name for request in requests if request.items))
    whole, new, known = apart(requests, tell, kept.highest)
    await store_whole(connection, [one.request for one in whole], salts(len(whole)))
    fresh, clashes, repeated = await _store_one_by_one(connection, new, known)
    refused: dict[int, Refusal] = {}
    usable: list[Accepted] = []
    for item in fresh:
        told = told_by(item, tell)
        if isinstance(told, Refusal):
            refused[item.fact_id] = told
        else:
            usable += [Accepted(item.fact_id, *one, item.received_ms, item.device_no) for one in told]
    await _store_quarantine(connection, [item for item in fresh if item.fact_id in refused], refused)
    accepted = await _store_news(connection, [one.facts for one in whole], usable, kept)
    await _store_integrity(connection, clashes)
    await _store_counts(connection, _counts(requests, accepted, refused))
    firsts = frozenset(one.facts[0].fact_id for one in whole)
    return StoreOutcome(accepted, refused, clashes, repeated, firsts)


async def _store_one_by_one(
    connection: asyncpg.Connection[Any], new: Sequence[Incoming], known: Sequence[Incoming]
) -> tuple[list[Incoming], list[Incoming], dict[int, int]]:
    """Of reports that are kept one by one, by their numbers new or perhaps known: those that are new, those of them that clash with
    another of the same number, and those that repeat one of a request that is kept whole (by fact id)."""
    used = await used_numbers(connection, known)
    repeated, others, clashing = {}, list(new), set()
    for item in known:
        before = used.get((item.device_no, item.received.boot, item.received.seq or 0))
        if before is not None and before.digest == item.received.digest:
            repeated[item.fact_id] = before.fact_id
            continue
        others.append(item)
        if before is not None:
            clashing.add(item.fact_id)
    fresh, clashes = await _store_raw(connection, others)
    found = {item.fact_id for item in clashes} | clashing
    return fresh, [item for item in fresh if item.fact_id in found], repeated


async def _store_news(
    connection: asyncpg.Connection[Any], whole: Sequence[list[Accepted]], usable: Sequence[Accepted], kept: Kept
) -> list[Accepted]:
    """Write the facts of a turn; those that are new. Positions of requests that are kept whole go by COPY where all of them must be
    new; if one is not, all are looked for."""
    copied: list[Accepted] = []
    others: list[Accepted] = []
    for facts in whole:
        are_new = kept.can_copy and _all_follow(facts, kept.newest_ms(facts))
        for fact in facts:
            (copied if are_new and isinstance(fact.report, PositionReport) else others).append(fact)
    others += usable
    if not await _copy_positions(connection, copied, kept.meanwhile):
        kept.meanwhile.forget()
        others, copied = [*copied, *others], []
    return [*copied, *await store_facts(connection, others)]


def _all_follow(facts: Sequence[Accepted], newest_ms: int | None) -> bool:
    """Whether the positions of a request are each newer than the one before, the first than all that is stored of its device, and
    none too far ahead. `newest_ms`: None: it is not known."""
    if newest_ms is None:
        return False
    for fact in facts:
        if isinstance(fact.report, EventReport):
            continue
        if fact.report.fix_ms <= newest_ms or _is_ahead(fact):
            return False
        newest_ms = fact.report.fix_ms
    return True


def told_by(item: Incoming, tell: Tell) -> Sequence[Told] | Refusal:
    """What a report says of which devices, or why it cannot be used."""
    report = item.received.report
    return report if isinstance(report, Refusal) else tell(item.device_no, report)


def _counts(
    requests: Iterable[Request], accepted: Iterable[Accepted], refused: dict[int, Refusal]
) -> dict[int, Counts]:
    counts: dict[int, Counts] = defaultdict(Counts)
    stored = {item.fact_id for item in accepted}
    for item in (item for request in requests for item in request.items):
        count = counts[item.device_no]
        count.received += 1
        if item.fact_id in stored:
            count.stored += 1
        elif item.fact_id in refused:
            count.refused += 1
        else:
            count.duplicates += 1
    return counts


def salts(count: int) -> list[bytes]:
    """What makes the leaf of a row unguessable when the row is gone, for `count` rows. The database has a default for the column,
    which asks the machine for each row by itself (4.9 µs); here it is asked once (0.2 µs a row)."""
    drawn = secrets.token_bytes(SALT_BYTES * count)
    return [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]


# ---------------------------------------------------------------------------------------------- raw reports

# `clash` sees the table as it was before the statement: the same number of the same boot with other content. It is a
# subquery for each row, so that the planner cannot choose to read the whole table (OFFSET 0 keeps it one).
STORE_RAW = """
WITH incoming AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::timestamptz[], $7::bytea[],
                         $8::bytea[])
        AS t (fact_id, device_no, boot, seq, digest, received_at, body, salt)
), clash AS (
    SELECT fact_id FROM incoming i WHERE EXISTS (
        SELECT FROM raw_reports r WHERE (r.device_no, r.boot, r.seq) = (i.device_no, i.boot, i.seq) AND r.digest <> i.digest
        OFFSET 0)
), stored AS (
    INSERT INTO raw_reports (fact_id, device_no, boot, seq, digest, received_at, body, salt)
    SELECT fact_id, device_no, boot, seq, digest, received_at, body, salt FROM incoming
    ON CONFLICT DO NOTHING RETURNING fact_id
)
SELECT stored.fact_id, clash.fact_id IS NOT NULL AS clashes FROM stored LEFT JOIN clash USING (fact_id)
"""


async def _store_raw(
    connection: asyncpg.Connection[Any], incoming: Sequence[Incoming]
) -> tuple[list[Incoming], list[Incoming]]:
    """The reports that are new, and those of them that clash with another of the same number. A report without a
    number cannot be told from another, so it is always new."""
    named = [item for item in incoming if item.received.seq is not None]
    nameless = [item for item in incoming if item.received.seq is None]
    if not named:
        return nameless, []
    rows = await connection.fetch(
        STORE_RAW,
        [item.fact_id for item in named],
        [item.device_no for item in named],
        [item.received.boot for item in named],
        [item.received.seq for item in named],
        [item.received.digest for item in named],
        [datetime_of(item.received_ms) for item in named],
        [item.received.body for item in named],
        salts(len(named)),
    )
    clashing = {row["fact_id"] for row in rows if row["clashes"]}
    stored = {row["fact_id"] for row in rows}
    fresh = [item for item in named if item.fact_id in stored]
    clashing |= _clashes_among(fresh)
    return fresh + nameless, [item for item in fresh if item.fact_id in clashing]


def _clashes_among(fresh: Iterable[Incoming]) -> set[int]:
    """Two new reports of one turn with one number and different content: the later one clashes."""
    seen: dict[tuple[int, int, int | None], bytes] = {}
    clashing = set()
    for item in fresh:
        name = (item.device_no, item.received.boot, item.received.seq)
        if seen.setdefault(name, item.received.digest) != item.received.digest:
            clashing.add(item.fact_id)
    return clashing


# ---------------------------------------------------------------------------------------------- facts

# A position that was once too far ahead stays what it was: it is not stored again when its time has come.
STORE_POSITIONS = """
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at,
                       recorded_time, uploaded_time, speed_kmh, direction_deg, satellites, hdop, salt)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::float8[], $6::float8[], $7::float8[],
                     $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::float4[], $12::float4[], $13::bigint[],
                     $14::float4[], $15::bytea[])
    AS t (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at,
          recorded_time, uploaded_time, speed_kmh, direction_deg, satellites, hdop, salt)
WHERE NOT EXISTS (
    SELECT FROM future_positions f
    WHERE (f.device_no, f.fix_time, f.mechanism, f.lat_deg, f.lon_deg) = (t.device_no, t.fix_time, t.mechanism, t.lat_deg, t.lon_deg)
      AND f.precision_m IS NOT DISTINCT FROM t.precision_m OFFSET 0)
ON CONFLICT DO NOTHING RETURNING fact_id, device_no
"""
STORE_FUTURE_POSITIONS = """
INSERT INTO future_positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at,
                              recorded_time, uploaded_time, speed_kmh, direction_deg, satellites, hdop, salt)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::float8[], $6::float8[], $7::float8[],
                     $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::float4[], $12::float4[], $13::bigint[],
                     $14::float4[], $15::bytea[])
ON CONFLICT DO NOTHING RETURNING fact_id, device_no
"""
STORE_EVENTS = """
INSERT INTO device_events (fact_id, device_no, event_time, type, hmu_id, received_at, sent_by)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
ON CONFLICT DO NOTHING RETURNING fact_id, device_no
"""


POSITION_COLUMNS = (
    "fact_id", "device_no", "fix_time", "mechanism", "lat_deg", "lon_deg", "precision_m", "received_at", "recorded_time",
    "uploaded_time", "speed_kmh", "direction_deg", "satellites", "hdop", "salt",
)  # fmt: skip
CAN_COPY = "SELECT NOT row_security_active('positions')"


async def can_copy(connection: asyncpg.Connection[Any]) -> bool:
    """Where row-level security holds for a role, even if it lets everything through, there is no COPY for it."""
    return bool(await connection.fetchval(CAN_COPY))


DEVICES_AHEAD = "SELECT DISTINCT device_no FROM future_positions"


async def devices_ahead(connection: asyncpg.Connection[Any]) -> set[int]:
    """Devices that once sent a position too far ahead of its time: whether another is the same must be looked for."""
    return {row["device_no"] for row in await connection.fetch(DEVICES_AHEAD)}


def ahead_among(accepted: Iterable[Accepted]) -> set[int]:
    """The same of new facts."""
    return {item.device_no for item in accepted if _is_ahead(item)}


def _is_ahead(item: Accepted) -> bool:
    return isinstance(item.report, PositionReport) and item.report.fix_ms > item.received_ms + FUTURE_LIMIT_MS


def _says_more(item: Accepted) -> bool:
    return isinstance(item.report, PositionReport) and says_more(item.report)


class _Told(io.BytesIO):
    """Says when all of it was taken."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.taken = asyncio.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        read = super().read(size)
        if not read:
            self.taken.set()
        return read


async def _copy_usual(connection: asyncpg.Connection[Any], items: Sequence[Accepted], meanwhile: Meanwhile) -> None:
    rows = _Told(positions_as_bytes(items))
    copying = asyncio.ensure_future(
        connection.copy_to_table("positions", source=rows, columns=COLUMNS, format="binary")
    )
    sent = asyncio.ensure_future(rows.taken.wait())
    try:
        await asyncio.wait({copying, sent}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)  # the end of the copy goes out as well
        if not copying.done():
            meanwhile.work_out(items)
        await copying
    finally:
        sent.cancel()
        await ended(copying)  # the connection is free again


async def _copy_positions(
    connection: asyncpg.Connection[Any], items: Sequence[Accepted], meanwhile: Meanwhile
) -> bool:
    """Write positions that should all be new. False: one of them is there already, and none is written."""
    if not items:
        return True
    usual = [item for item in items if not _says_more(item)]
    others = [item for item in items if _says_more(item)]
    try:
        async with connection.transaction():
            if others:
                records = zip(*_position_columns(others), strict=True)
                await connection.copy_records_to_table("positions", records=records, columns=POSITION_COLUMNS)
            if usual:
                await _copy_usual(connection, usual, meanwhile)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def store_facts(connection: asyncpg.Connection[Any], usable: Sequence[Accepted]) -> list[Accepted]:
    """Write positions and events; those of them that are new, duplicates left out."""
    stored: set[tuple[int, int]] = set()
    now: list[Accepted] = []
    ahead: list[Accepted] = []
    events: list[Accepted] = []
    for item in usable:
        if isinstance(item.report, EventReport):
            events.append(item)
        else:
            (ahead if _is_ahead(item) else now).append(item)
    events.sort(key=_by_receipt)
    for statement, items in ((STORE_FUTURE_POSITIONS, ahead), (STORE_POSITIONS, now)):
        if items:
            stored |= {tuple(row) for row in await connection.fetch(statement, *_position_columns(items))}
    if events:
        stored |= {tuple(row) for row in await connection.fetch(STORE_EVENTS, *_event_columns(events))}
    return [item for item in usable if (item.fact_id, item.device_no) in stored]


def _by_receipt(item: Accepted) -> tuple[int, bool]:
    """Received together, what a device sent itself is kept before what a home unit sent of it."""
    return item.received_ms, isinstance(item.report, EventReport) and item.report.sent_by is not None


def _moment(instant_ms: int | None) -> datetime | None:
    return None if instant_ms is None else datetime_of(instant_ms)


def _position_columns(items: Sequence[Accepted]) -> list[list[Any]]:
    reports = [item.report for item in items if isinstance(item.report, PositionReport)]
    return [
        [item.fact_id for item in items],
        [item.device_no for item in items],
        [datetime_of(report.fix_ms) for report in reports],
        [report.mechanism for report in reports],
        [report.lat_deg for report in reports],
        [report.lon_deg for report in reports],
        [report.precision_m for report in reports],
        [datetime_of(item.received_ms) for item in items],
        [_moment(report.recorded_ms) for report in reports],
        [_moment(report.uploaded_ms) for report in reports],
        [report.speed_kmh for report in reports],
        [report.direction_deg for report in reports],
        [report.satellites for report in reports],
        [report.hdop for report in reports],
        salts(len(items)),
    ]


def _event_columns(items: Sequence[Accepted]) -> list[list[Any]]:
    reports = [item.report for item in items if isinstance(item.report, EventReport)]
    return [
        [item.fact_id for item in items],
        [item.device_no for item in items],
        [datetime_of(report.event_ms) for report in reports],
        [report.type for report in reports],
        [report.hmu_id for report in reports],
        [datetime_of(item.received_ms) for item in items],
        [report.sent_by for report in reports],
    ]


def days_of(incoming: Iterable[Incoming], tell: Tell) -> set[int]:
    """Days since 1970 of the positions that may be stored as such: inside an activation and not too far ahead."""
    days = set()
    for item in incoming:
        report = item.received.report
        if isinstance(report, PositionReport) and report.fix_ms <= item.received_ms + FUTURE_LIMIT_MS:
            day = report.fix_ms // DAY_MS
            if day not in days and not isinstance(tell(item.device_no, report), Refusal):
                days.add(day)
    return days


KNOWN_DAYS = """
SELECT (to_date(right(c.relname, 10), 'YYYY_MM_DD') - date '1970-01-01')::bigint AS day
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'positions'::regclass
"""


async def known_days(connection: asyncpg.Connection[Any]) -> set[int]:
    """Days (since 1970) that have a partition."""
    return {row["day"] for row in await connection.fetch(KNOWN_DAYS)}


MAKE_DAY = "SELECT make_positions_day($1::date)"


async def make_days(connection: asyncpg.Connection[Any], days: Iterable[int]) -> None:
    """Make the partitions of these days (since 1970) where they are missing. Raises CannotStore."""
    with _of_the_reports():
        await _make_days(connection, days)


async def _make_days(connection: asyncpg.Connection[Any], days: Iterable[int]) -> None:
    for day in sorted(days):
        await connection.execute(MAKE_DAY, datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date())


# ---------------------------------------------------------------------------------------------- the rest

STORE_QUARANTINE = """
INSERT INTO quarantine (fact_id, device_no, received_at, boot, seq, reason, action, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bytea[])
"""


async def _store_quarantine(
    connection: asyncpg.Connection[Any], items: Sequence[Incoming], refused: dict[int, Refusal]
) -> None:
    if not items:
        return
    await connection.execute(
        STORE_QUARANTINE,
        [item.fact_id for item in items],
        [item.device_no for item in items],
        [datetime_of(item.received_ms) for item in items],
        [item.received.boot for item in items],
        [item.received.seq for item in items],
        [refused[item.fact_id].reason for item in items],
        [f"{refused[item.fact_id].what}: {refused[item.fact_id].action}" for item in items],
        [item.received.body for item in items],
    )


STORE_INTEGRITY = """
INSERT INTO integrity_events (fact_id, device_no, noticed_at, what)
SELECT fact_id, device_no, noticed_at, 'the same boot and seq were used for another content'
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS t (fact_id, device_no, noticed_at)
"""


async def _store_integrity(connection: asyncpg.Connection[Any], clashes: Sequence[Incoming]) -> None:
    if clashes:
        await connection.execute(
            STORE_INTEGRITY,
            [item.fact_id for item in clashes],
            [item.device_no for item in clashes],
            [datetime_of(item.received_ms) for item in clashes],
        )


STORE_COUNTS = """
INSERT INTO device_counts AS c (device_no, received, stored, duplicates, refused)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
ON CONFLICT (device_no) DO UPDATE
SET received = c.received + excluded.received, stored = c.stored + excluded.stored,
    duplicates = c.duplicates + excluded.duplicates, refused = c.refused + excluded.refused
"""


async def _store_counts(connection: asyncpg.Connection[Any], counts: dict[int, Counts]) -> None:
    if counts:
        values = list(counts.values())
        await connection.execute(
            STORE_COUNTS,
            list(counts),
            [count.received for count in values],
            [count.stored for count in values],
            [count.duplicates for count in values],
            [count.refused for count in values],
        )


# ---------------------------------------------------------------------------------------------- second examination

# So many that were received first, of some devices, each from where it was examined to; the body only of what is examined. A whole
# request, which has no number, could not be read, or the database would not have a value in it.
IN_QUARANTINE = """
SELECT q.fact_id, q.device_no, q.received_at, epoch_ms(q.received_at) AS received_ms, q.boot, q.seq IS NULL AS is_whole,
       CASE WHEN CASE WHEN q.seq IS NULL THEN r.fact_id IS NULL AND q.reason = 'unreadable' AND q.device_no = ANY($5::bigint[])
                      ELSE (r.fact_id IS NULL OR q.device_no = ANY($6::bigint[])) AND q.reason = ANY($4::text[]) END
            THEN q.body END AS body
FROM (
    SELECT of_one.fact_id FROM unnest($1::bigint[], $2::timestamptz[], $7::bigint[]) AS d (device_no, received_at, fact_id)
    CROSS JOIN LATERAL (
        SELECT received_at, fact_id FROM quarantine
        WHERE device_no = d.device_no AND (received_at, fact_id) > (d.received_at, d.fact_id)
        ORDER BY received_at, fact_id LIMIT $3) of_one
    ORDER BY of_one.received_at, of_one.fact_id LIMIT $3) first
JOIN quarantine q USING (fact_id) LEFT JOIN quarantine_releases r USING (fact_id)
ORDER BY q.received_at, q.fact_id
"""
DEVICES_WITH_MORE = """
SELECT device_no FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS d (device_no, received_at, fact_id)
WHERE EXISTS (
    SELECT FROM quarantine q WHERE q.device_no = d.device_no AND (q.received_at, q.fact_id) > (d.received_at, d.fact_id))
"""
DEVICES_WAITING = """
SELECT DISTINCT device_no FROM quarantine q
WHERE q.reason IN ('no_activation', 'no_home_unit_entry')
  AND NOT EXISTS (SELECT FROM quarantine_releases r WHERE r.fact_id = q.fact_id)
"""
DEVICES_IN_QUARANTINE = """
SELECT DISTINCT device_no FROM quarantine q WHERE NOT EXISTS (SELECT FROM quarantine_releases r WHERE r.fact_id = q.fact_id)
"""
RELEASED = "SELECT fact_id FROM quarantine_releases WHERE fact_id = ANY($1::bigint[])"
RELEASE = """
INSERT INTO quarantine_releases (fact_id, released_at, outcome)
SELECT fact_id, $3, CASE WHEN fact_id = ANY($2::bigint[]) THEN 'stored' ELSE 'duplicate' END
FROM unnest($1::bigint[]) AS t (fact_id)
"""
# What a home unit sent of itself, some of it, in the order of its numbers: the key has that, and no index has receipts. It can have
# been received a little before its own time, and long after it.
REPORTS_OF_A_UNIT = """
SELECT r.boot, r.seq, r.digest, r.fact_id, r.device_no, epoch_ms(r.received_at) AS received_ms, r.body FROM raw_reports r
WHERE r.device_no = $1 AND (r.boot, r.seq, r.digest) > ($2, $3, $4::bytea) AND r.received_at >= $5 AND NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.fact_id = r.fact_id AND NOT EXISTS (SELECT FROM quarantine_releases l WHERE l.fact_id = q.fact_id))
ORDER BY r.boot, r.seq, r.digest LIMIT $6
"""
RECOUNT = """
UPDATE device_counts SET refused = refused - $2 - $3, stored = stored + $2, duplicates = duplicates + $3 WHERE device_no = $1
"""

# A request that was refused as one is counted by its reports.
UNCOUNT = "UPDATE device_counts SET received = received - 1, refused = refused - 1 WHERE device_no = $1"


async def devices_waiting(connection: asyncpg.Connection[Any]) -> list[int]:
    """Devices with reports that were refused for want of an activation, or of the entry of a home unit."""
    return [row["device_no"] for row in await connection.fetch(DEVICES_WAITING)]


async def devices_in_quarantine(connection: asyncpg.Connection[Any]) -> list[int]:
    """Devices of which anything is in quarantine, for whatever reason."""
    return [row["device_no"] for row in await connection.fetch(DEVICES_IN_QUARANTINE)]


class Examination(NamedTuple):
    """Which refusals are examined again. `new_ids`: (connection, how many) -> ids for the reports of whole requests that could not be
    stored or read; None: those are left alone. `takes_apart`: whether those of a device, by its number, are ours."""

    reasons: Sequence[RefusalReason]
    new_ids: Callable[[asyncpg.Connection[Any], int], Awaitable[Sequence[int]]] | None = None
    takes_apart: Callable[[int], bool] = lambda _: True


ORDERS_CHANGED = Examination(WAITING_REASONS)


MOST_WAITED_FOR = 20_000
"""Reports of one home unit: two months of one that was away and speaks each five minutes. Some tenths of a second."""
MOST_READ_AGAIN = 1_000
"""Of what is in quarantine a turn reads so much again, in reports: some tenth of a second, if all of them can be used."""
A_WHOLE_REQUEST = A_NEW_DAY = 250


class Examined(NamedTuple):
    """Up to where what is in quarantine was looked at: ids alone do not follow receipts, where several workers hand them out."""

    received_at: datetime
    fact_id: int


NOTHING_EXAMINED = Examined(datetime(1, 1, 1, tzinfo=UTC), 0)


class PutAside(NamedTuple):
    """A report that is kept and was read again, but could not be used. `why`: the kind of error, and no value of the report."""

    fact_id: int
    why: str


class StoredAgain(NamedTuple):
    """What became of reports that were read again."""

    accepted: list[Accepted]
    put_aside: list[PutAside]


class ReadAgain(NamedTuple):
    """Of what is in quarantine of some devices. `usable`: reports that can be stored now; `requests`: whole ones, each with its id,
    device, receipt and what was received in it. `device_nos`: of whom all was looked at up to `examined_to`; `unfinished`: of these,
    who has more."""

    device_nos: Sequence[int] = ()
    examined_to: Examined = NOTHING_EXAMINED
    unfinished: frozenset[int] = frozenset()
    usable: Sequence[Accepted] = ()
    requests: Sequence[tuple[int, int, int, Sequence[Received]]] = ()

    @property
    def finished(self) -> set[int]:
        return set(self.device_nos) - self.unfinished


async def read_again(
    connection: asyncpg.Connection[Any],
    examined_to: Mapping[int, Examined],
    read: Callable[[bytes], PositionReport | EventReport | Refusal],
    tell: Tell,
    known_days: Collection[int],
    examination: Examination = ORDERS_CHANGED,
    is_of_several: Callable[[int], bool] = lambda _: False,
    most: int = MOST_READ_AGAIN,
) -> ReadAgain:
    """Reports that were refused and can be used now (for want of an activation or an entry, unless more is asked for), in the order
    in which they were received, as many as a turn has time for. `examined_to`: so far, by the number of the device.
    `known_days`: those that have a partition. `is_of_several`: whether a device, by its number, speaks of people of several workers:
    what another took out of quarantine is told of people here, too. `most`: not more than so many."""
    most = min(most, MOST_READ_AGAIN)
    if not examined_to or not most:
        return ReadAgain()
    device_nos = list(examined_to)
    apart = [no for no in device_nos if examination.new_ids is not None and examination.takes_apart(no)]
    several = list(filter(is_of_several, device_nos))
    moments, fact_ids = zip(*examined_to.values(), strict=True)
    rows = await connection.fetch(
        IN_QUARANTINE, device_nos, moments, most, examination.reasons, apart, several, fact_ids
    )
    usable: list[Accepted] = []
    requests: list[tuple[int, int, int, Sequence[Received]]] = []
    read_to, left, new_days = NOTHING_EXAMINED, most, set[int]()
    for row in rows:
        if left <= 0:
            break
        read_to, body = Examined(row["received_at"], row["fact_id"]), row["body"]
        left -= 1
        if body is not None and row["is_whole"]:
            left -= A_WHOLE_REQUEST
            received = received_in(body, row["boot"] or 0)
            requests += [(row["fact_id"], row["device_no"], row["received_ms"], received)] if received else []
        elif body is not None:
            found = _usable(row, read, tell)
            usable += found
            days = days_among(found)
            left -= A_NEW_DAY * len(days - new_days.union(known_days))
            new_days |= days
    if not rows:
        return ReadAgain(device_nos)
    with_more = await devices_with_more(connection, dict.fromkeys(device_nos, read_to))
    return ReadAgain(device_nos, read_to, frozenset(with_more), usable, requests)


async def devices_with_more(connection: asyncpg.Connection[Any], examined_to: Mapping[int, Examined]) -> set[int]:
    """Devices of which there is more in quarantine than was looked at."""
    rows = await connection.fetch(DEVICES_WITH_MORE, list(examined_to), *zip(*examined_to.values(), strict=True))
    return {row["device_no"] for row in rows}


def days_among(usable: Iterable[Accepted]) -> set[int]:
    """Since 1970, of positions that are stored as such: what is too far ahead is kept apart, and no day is made for it."""
    reports = ((fact.report, fact.received_ms) for fact in usable)
    return {
        report.fix_ms // DAY_MS
        for report, received_ms in reports
        if isinstance(report, PositionReport) and report.fix_ms <= received_ms + FUTURE_LIMIT_MS
    }


def _usable(
    row: asyncpg.Record, read: Callable[[bytes], PositionReport | EventReport | Refusal], tell: Tell
) -> list[Accepted]:
    report, sender_no = read(row["body"]), row["device_no"]
    told = report if isinstance(report, Refusal) else tell(sender_no, report)
    if isinstance(told, Refusal):
        return []
    return [Accepted(row["fact_id"], *one, row["received_ms"], sender_no) for one in told]


async def store_again(
    connection: asyncpg.Connection[Any],
    found: ReadAgain,
    tell: Tell,
    now_ms: int,
    kept: Kept,
    examination: Examination = ORDERS_CHANGED,
) -> StoredAgain:
    """What can be used is stored with its first receipt, in the order in which it was received."""
    stored = StoredAgain([], [])
    usable = deque(found.usable)
    for request, device_no, received_ms, received in found.requests:
        earlier = [
            usable.popleft()
            for _ in range(len(usable))
            if (usable[0].received_ms, usable[0].fact_id) < (received_ms, request)
        ]
        await _release(connection, earlier, now_ms, stored)
        assert examination.new_ids is not None, "whole requests are read for those that have them"
        ids = await examination.new_ids(connection, len(received))
        again = [Incoming(fact_id, device_no, one, received_ms) for fact_id, one in zip(ids, received, strict=True)]
        stored.accepted.extend(await _take_apart(connection, request, again, tell, now_ms, kept))
    await _release(connection, usable, now_ms, stored)
    return stored


async def _take_apart(
    connection: asyncpg.Connection[Any],
    request: int,
    incoming: Sequence[Incoming],
    tell: Tell,
    now_ms: int,
    kept: Kept,
) -> list[Accepted]:
    """A request that was one refusal becomes the reports that it has, each counted and refused by itself. If one of them cannot be
    stored, it stays what it is."""
    try:
        async with connection.transaction():
            with _of_the_reports():
                await make_days(connection, days_of(incoming, tell))
                outcome = await store_reports(connection, [Request(incoming)], tell, kept)
                stored = [request] if outcome.accepted else []
                await connection.execute(RELEASE, [request], stored, datetime_of(now_ms))
                await connection.execute(UNCOUNT, incoming[0].device_no)
    except CannotStore:
        return []
    return outcome.accepted


async def _release(
    connection: asyncpg.Connection[Any], usable: Iterable[Accepted], now_ms: int, stored: StoredAgain
) -> None:
    async def release(facts: Sequence[Accepted]) -> list[Accepted]:
        return await _release_together(connection, facts, now_ms)

    await _store_what_can_be(connection, _by_report(usable), release, stored)


def _by_report(facts: Iterable[Accepted]) -> list[list[Accepted]]:
    """What a report says of several devices stands together."""
    return [list(of_one) for _, of_one in groupby(facts, lambda fact: fact.fact_id)]


async def _store_what_can_be(
    connection: asyncpg.Connection[Any],
    reports: Sequence[Sequence[Accepted]],
    store: Callable[[Sequence[Accepted]], Awaitable[list[Accepted]]],
    stored: StoredAgain,
) -> None:
    """Facts of reports that were read again, in their order. What is wrong with one of them is no fault of the reports of this turn,
    nor of the others: where the database will not have all, it is asked for half of them, down to the one that stays where it is."""
    if not reports:
        return
    try:
        async with connection.transaction():
            with _of_the_reports():
                accepted = await store([fact for facts in reports for fact in facts])
        stored.accepted.extend(accepted)
    except CannotStore as error:
        if len(reports) > 1:
            middle = len(reports) // 2
            await _store_what_can_be(connection, reports[:middle], store, stored)
            await _store_what_can_be(connection, reports[middle:], store, stored)
        elif not _has_gone(error.why):
            stored.put_aside.append(PutAside(reports[0][0].fact_id, type(error.why).__name__))


def _has_gone(error: Exception) -> bool:
    """Whether a report was deleted from quarantine since it was read."""
    is_foreign = isinstance(error, asyncpg.ForeignKeyViolationError)
    return is_foreign and getattr(error, "constraint_name", None) == "quarantine_releases_fact_id_fkey"


async def _release_together(
    connection: asyncpg.Connection[Any], usable: Sequence[Accepted], now_ms: int
) -> list[Accepted]:
    await _make_days(connection, days_among(usable))
    accepted = await store_facts(connection, usable)
    rows = await connection.fetch(RELEASED, [item.fact_id for item in usable])
    by_others = {row["fact_id"] for row in rows}  # before we had the lock of the device
    ours = [(item.fact_id, item.sender_no) for item in usable if item.fact_id not in by_others]
    released = dict.fromkeys(ours)
    stored = {(item.fact_id, item.sender_no) for item in accepted}.intersection(released)
    columns = [fact_id for fact_id, _ in released], [fact_id for fact_id, _ in stored]
    await connection.execute(RELEASE, *columns, datetime_of(now_ms))
    all_of, new = Counter(sender_no for _, sender_no in released), Counter(sender_no for _, sender_no in stored)
    for sender_no, count in all_of.items():
        await connection.execute(RECOUNT, sender_no, new[sender_no], count - new[sender_no])
    return accepted


# ---------------------------------------------------------------------------------------------- what home units said of themselves

A_UNIT = 20
"""To look at what a unit said costs as much as some reports."""


class ToldTo(NamedTuple):
    """Up to which of its reports, by their numbers, what a home unit said since an instant was told."""

    device_no: int
    since_ms: int
    boot: int = -1
    seq: int = -1
    digest: bytes = b""


class HeardAgain(NamedTuple):
    """What some home units said of themselves, told of tags that they are there to hear by now. `told`: the units that were looked
    at, each with where to go on; None: that was all."""

    told: Mapping[ToldTo, ToldTo | None]
    usable: Sequence[Accepted] = ()

    @property
    def unfinished(self) -> set[int]:
        return {former.device_no for former, after in self.told.items() if after is not None}


async def hear_again(
    connection: asyncpg.Connection[Any],
    units: Iterable[ToldTo],
    read: Callable[[bytes], PositionReport | EventReport | Refusal],
    tell: Tell,
    most: int = MOST_READ_AGAIN,
    waited_for: Collection[int] = (),
) -> HeardAgain:
    """As much as a turn has time for, and not more than `most` reports. With its first receipt; nothing is counted anew, because the
    reports were. `waited_for`: units with a request that is answered only if all is told in this turn; told in parts it would never
    be, as each repetition of it begins from the beginning."""
    told: dict[ToldTo, ToldTo | None] = {}
    usable: list[Accepted] = []
    left = min(most, MOST_READ_AGAIN)
    for unit in units:
        limit = max(left, MOST_WAITED_FOR) if unit.device_no in waited_for else left
        if limit <= 0:
            continue
        since = datetime_of(unit.since_ms - FUTURE_LIMIT_MS)
        rows = await connection.fetch(
            REPORTS_OF_A_UNIT, unit.device_no, unit.boot, unit.seq, unit.digest, since, limit
        )
        for row in rows:
            usable += _told_of_itself(row, read, tell)
        is_all = len(rows) < limit
        told[unit] = None if is_all else ToldTo(unit.device_no, unit.since_ms, *(rows[-1][n] for n in range(3)))
        left -= len(rows) + A_UNIT
    return HeardAgain(told, usable)


def _told_of_itself(
    row: asyncpg.Record, read: Callable[[bytes], PositionReport | EventReport | Refusal], tell: Tell
) -> list[Accepted]:
    report, sender_no = read(row["body"]), row["device_no"]
    if not isinstance(report, EventReport) or report.tag is not None:
        return []
    told = tell(sender_no, report)
    if isinstance(told, Refusal):
        return []
    return [Accepted(row["fact_id"], *one, row["received_ms"], sender_no) for one in told]


async def store_heard(connection: asyncpg.Connection[Any], heard: HeardAgain) -> StoredAgain:
    """What of it is new."""
    stored = StoredAgain([], [])
    await _store_what_can_be(connection, _by_report(heard.usable), partial(store_facts, connection), stored)
    return stored
