"""Who changes which alerts: advisory locks, held to the end of the transaction.

Alerts are divided as their wearers are, into shards, so that the turns of two workers do not wait for each other. A turn and a person
change the alerts of a shard one after the other: neither waits for the other's rows in a ring, and an alert is not closed over an
occurrence that comes in the same moment.

Locks are taken in this order, and none that stands earlier after one that stands later:

1. `AlertLock.ALERTS`: together by who changes alerts of some; alone by who changes those of anybody: new rules of deadlines, and the
   one process that has all shards.
2. `PartOf.WEARERS`: shards, ascending. A turn takes all of its own the first time that it needs one; pages that of the alert.
3. `PartOf.NETWORKS`: there is one. By a turn that changes an alert of a silence, as it may group those of other shards with it; by
   who changes an incident, with which those of its people are closed; by retention, which deletes all alerts of a person.
4. Rows of alerts. Whoever has 3 may wait for rows of silences of another shard; who has such rows has 3 too, or changes one alone.
5. `PartOf.UNITS`: home units by their names, ascending, and then rows of their alerts: the last that a turn looks at.

One thing does not fit: what was found of a tag stays in alerts of who was said to wear it when the tag is corrected to somebody of
another shard. The worker of that shard tells of it there under 2 of its own shards alone, so it can have 3 and wait for a row that a
turn has which waits for 3. The server ends one of the two after a second, and that turn is taken again (`emtrack/service/worker.py`).
The lock of the other shard cannot be taken any more by then, and a row that is passed over would leave readers of the feed untold.

The clock that looks at deadlines waits for the first that is due. Of other parts it takes what is free, and passes over rows that
somebody has.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts.store import OwnShards

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection


class AlertLock(IntEnum):
    """Numbers that nothing else in the database uses ("emal" and "emat" as bytes)."""

    ALERTS = 0x656D_616C
    LEDGER = 0x656D_6174
    """Of the version before, which excused a violation under this one alone. Shared until nobody has to wait for that any more."""


class PartOf(IntEnum):
    """First halves of the locks of parts ("emaw", "eman" and "emau"); the second half is the shard, 0, or of the unit's name."""

    WEARERS = 0x656D_6177
    NETWORKS = 0x656D_616E
    UNITS = 0x656D_6175


UNIT_LOCKS = 64
"""Home units share so many: each lock takes a place in the server's table, which is not large."""


class AlertPart(NamedTuple):
    """Alerts that are changed one after the other."""

    of: PartOf
    number: int


NETWORKS = AlertPart(PartOf.NETWORKS, 0)

ALONE = "SELECT pg_advisory_xact_lock($1)"
TOGETHER = "SELECT pg_advisory_xact_lock_shared($1)"
TAKE = "SELECT pg_advisory_xact_lock($1, n) FROM unnest($2::int[]) AS t (n)"
TRY = """
SELECT pg_try_advisory_xact_lock(of_part, number) AS taken
FROM unnest($1::int[], $2::int[]) WITH ORDINALITY AS t (of_part, number, place) ORDER BY place
"""
# What a part goes by never changes.
OF_ALERT = """
SELECT (a.wearer_no % c.shards)::int AS shard, a.network, a.home_unit FROM alerts a CROSS JOIN shard_count c WHERE a.alert_no = $1
"""
# Of who judges it: a tag can go to another person than the one of whom it was found.
OF_FINDING = """
SELECT (v.wearer_no % c.shards)::int FROM findings f
JOIN activation_versions v ON v.activation_no = f.activation_no AND upper_inf(v.recorded) CROSS JOIN shard_count c
WHERE f.finding_no = $1
"""


OF_WEARER = "SELECT ($1::bigint % shards)::int FROM shard_count"


def of_shard(shard: int) -> AlertPart:
    return AlertPart(PartOf.WEARERS, shard)


def of_unit(home_unit: str) -> AlertPart:
    return AlertPart(PartOf.UNITS, zlib.crc32(home_unit.encode()) % UNIT_LOCKS)


def part_of(row: asyncpg.Record) -> AlertPart:
    """Of an alert, from its shard, network and home unit."""
    if row["shard"] is not None:
        return of_shard(row["shard"])
    return NETWORKS if row["network"] is not None else of_unit(row["home_unit"])


async def part_of_alert(connection: Connection, alert_no: int) -> AlertPart | None:
    """None: there is no such alert."""
    row = await connection.fetchrow(OF_ALERT, alert_no)
    return None if row is None else part_of(row)


async def part_of_finding(connection: Connection, finding_no: int) -> AlertPart | None:
    """None: there is no such finding."""
    shard = await connection.fetchval(OF_FINDING, finding_no)
    return None if shard is None else of_shard(shard)


async def take_all(connection: Connection) -> None:
    """Waits for everybody who changes alerts."""
    await connection.execute(ALONE, AlertLock.ALERTS)


async def take_together(connection: Connection) -> None:
    """With others who take parts. Waits for who has all."""
    await connection.execute(TOGETHER, AlertLock.ALERTS)


async def take_part(connection: Connection, part: AlertPart) -> None:
    await take_together(connection)
    await _take(connection, part.of, [part.number])


async def take_alerts_of(connection: Connection, wearer_no: int) -> None:
    """All alerts of a person, those of silences too. By who deletes them."""
    await take_part(connection, of_shard(await connection.fetchval(OF_WEARER, wearer_no)))
    await take_networks(connection)


async def take_own(connection: Connection, own: OwnShards | None) -> None:
    """The shards of a worker; None: all are its own. Taken again, it waits for nobody."""
    if own is None:
        await take_all(connection)
    else:
        await take_together(connection)
        await _take(connection, PartOf.WEARERS, own.owned)


async def take_networks(connection: Connection) -> None:
    """By who has a shard, or all of them."""
    await _take(connection, PartOf.NETWORKS, [0])


async def take_units(connection: Connection, own: OwnShards | None, home_units: Iterable[str]) -> None:
    """By a turn of a worker with these shards."""
    if own is None:
        await take_all(connection)
    else:
        await take_together(connection)
        await _take(connection, PartOf.UNITS, {of_unit(unit).number for unit in home_units})


async def _take(connection: Connection, of: PartOf, numbers: Collection[int]) -> None:
    await connection.execute(TAKE, of, sorted(numbers))


async def try_parts(connection: Connection, parts: Sequence[AlertPart]) -> set[AlertPart]:
    """Those that nobody has are taken. By who waits for no other."""
    rows = await connection.fetch(TRY, [part.of for part in parts], [part.number for part in parts])
    return {part for part, row in zip(parts, rows, strict=True) if row["taken"]}


async def take_ledger(connection: Connection) -> None:
    """By a turn that writes lines: the version before excuses under this one alone."""
    await connection.execute(TOGETHER, AlertLock.LEDGER)
