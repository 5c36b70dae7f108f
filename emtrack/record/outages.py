"""Times in which we ourselves could not receive: silence does not count then. Most are of all wearers; where several workers share
the record, one of a shard is of its wearers only. Orders from elsewhere say whom one concerns: that is kept as of a shard of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from emtrack.db.connect import Connection
from emtrack.record.changes import OUTAGE_ENTERED
from emtrack.record.entering import OrderWriter
from emtrack.record.shards import shard_count
from geofence import ALWAYS_MS, Interval, datetime_of, merged, subtracted

OUTAGES = """
SELECT epoch_ms(lower(during)) AS begin_ms, epoch_ms(upper(during)) AS end_ms
FROM outages ORDER BY during
"""
# What was recorded under another division says nothing of the shards of today: it is of all whom they may be.
SHARD_OUTAGES = """
SELECT CASE WHEN o.shards = n.shards THEN o.shard END AS shard, CASE WHEN o.shards = $1 THEN o.shard END AS wearer_no,
       epoch_ms(lower(o.during)) AS begin_ms, epoch_ms(upper(o.during)) AS end_ms
FROM shard_outages o CROSS JOIN shard_count n ORDER BY o.during
"""
NEW_OUTAGE = "INSERT INTO outages (during, cause, recorded_at) VALUES ($1, $2, $3)"
NEW_WEARER_OUTAGE = """
INSERT INTO shard_outages (shard, shards, during, cause, recorded_at) VALUES ($1, $2, $3, $4, $5)
"""
NEW_SHARD_OUTAGE = """
INSERT INTO shard_outages (shard, shards, during, cause, recorded_at) SELECT $1, shards, $2, $3, $4 FROM shard_count
"""


OF_ONE = 1 << 62
"""Of so many shards each has one wearer, whose number it is."""


class Outages(NamedTuple):
    """Our own outages, each list sorted and apart. `common`: of all; `of_shards`: of shards that had some of their own, all of
    theirs; `shards`: how many there are; `of_wearers`: beside these, as orders tell of them."""

    shards: int
    common: tuple[Interval, ...]
    of_shards: Mapping[int, tuple[Interval, ...]]
    of_wearers: Mapping[int, tuple[Interval, ...]]

    def of_shard(self, shard: int) -> tuple[Interval, ...]:
        return self.of_shards.get(shard, self.common)

    def of(self, wearer_no: int) -> tuple[Interval, ...]:
        """In which a wearer's tag could not be heard."""
        of_shard = self.of_shards.get(wearer_no % self.shards, self.common) if self.of_shards else self.common
        own = self.of_wearers.get(wearer_no)
        return of_shard if own is None else tuple(merged([*of_shard, *own]))


NO_OUTAGES = Outages(1, (), {}, {})


async def load_outages(connection: Connection) -> Outages:
    """All of them. The one before we were first ready has no beginning."""
    count = await shard_count(connection)
    common = [_interval(row) for row in await connection.fetch(OUTAGES)]
    apart: dict[int, list[Interval]] = {}
    of_one: dict[int, list[Interval]] = {}
    for row in await connection.fetch(SHARD_OUTAGES, OF_ONE):
        if row["wearer_no"] is not None:
            of_one.setdefault(row["wearer_no"], []).append(_interval(row))
        elif row["shard"] is None:
            common.append(_interval(row))
        else:
            apart.setdefault(row["shard"], []).append(_interval(row))
    together = tuple(merged(common))
    return Outages(
        count,
        together,
        {shard: tuple(merged([*together, *some])) for shard, some in apart.items()},
        {wearer_no: tuple(merged(some)) for wearer_no, some in of_one.items()},
    )


def _interval(row: Any) -> Interval:
    return Interval(ALWAYS_MS if row["begin_ms"] is None else row["begin_ms"], row["end_ms"])


async def record_outage(connection: Connection, outage: Interval, cause: str, now: Any) -> None:
    """Record an outage of all; it must not overlap one that is recorded."""
    await connection.execute(NEW_OUTAGE, _range(outage), cause, now)


async def record_shard_outage(connection: Connection, shard: int, outage: Interval, cause: str, now: Any) -> None:
    """The same of one shard."""
    await connection.execute(NEW_SHARD_OUTAGE, shard, _range(outage), cause, now)


def _range(outage: Interval) -> Any:
    return asyncpg.Range(
        None if outage.begin_ms <= ALWAYS_MS else datetime_of(outage.begin_ms), datetime_of(outage.end_ms)
    )


async def enter_outages(
    writer: OrderWriter, outages: Sequence[Interval], of_wearers: Mapping[int, Sequence[Interval]]
) -> None:
    """Outages that orders tell of, of all and of some: the parts that are not recorded yet as those of all, and then as theirs."""
    if outages:
        rows = await writer.connection.fetch(OUTAGES)
        for outage in subtracted(outages, [_interval(row) for row in rows]):
            await record_outage(writer.connection, outage, "entered", writer.now)
            writer.changed(OUTAGE_ENTERED, None)
    if not of_wearers:
        return
    known = await load_outages(writer.connection)
    for wearer_no, some in of_wearers.items():
        for outage in subtracted(list(merged(some)), known.of(wearer_no)):
            await writer.connection.execute(
                NEW_WEARER_OUTAGE, wearer_no, OF_ONE, _range(outage), "entered", writer.now
            )
            writer.changed(OUTAGE_ENTERED, wearer_no)
