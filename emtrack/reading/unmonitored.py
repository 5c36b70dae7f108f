"""Tagged but not monitored: everybody on an order in force without a working tag or contact, with the reason and since when."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts import GapWork, Silent, silent_people, work_on
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

    from emtrack.db.connect import Connection

MOST = 500

# An order is in force while a requirement of it is, or while the order of a court says so. A tag that gives no evidence of places
# (for alcohol) monitors nobody's whereabouts.
OBLIGED = """-- of which a statement is made
    SELECT wearer_no, min(since) AS since FROM (
        SELECT wearer_no, lower(valid) AS since FROM requirement_versions WHERE upper_inf(recorded) AND valid @> $1::timestamptz
        UNION ALL
        SELECT wearer_no, order_begins::timestamp AT TIME ZONE $2 FROM wearer_details
        WHERE upper_inf(recorded) AND order_begins <= ($1::timestamptz AT TIME ZONE $2)::date
            AND (order_ends IS NULL OR order_ends >= ($1::timestamptz AT TIME ZONE $2)::date)) q
    WHERE {which} GROUP BY wearer_no
"""
TAGGED = """
SELECT wearer_no FROM activation_versions WHERE upper_inf(recorded) AND during @> $1::timestamptz AND evidence <> '{}'
"""
WITHOUT_TAG = f"""
SELECT o.wearer_no, o.since, l.ended_at, l.device_id
FROM ({OBLIGED.format(which=f"wearer_no NOT IN ({TAGGED})")}) o LEFT JOIN LATERAL (
    SELECT upper(v.during) AS ended_at, d.device_id FROM activation_versions v JOIN devices d USING (device_no)
    WHERE v.wearer_no = o.wearer_no AND upper_inf(v.recorded) AND lower(v.during) <= $1 AND v.evidence <> '{{}}'
    ORDER BY upper(v.during) DESC LIMIT 1) l ON true
"""  # noqa: S608  constants made of constants
OBLIGED_AMONG = OBLIGED.format(which="wearer_no = ANY($3::bigint[])")
NAMES = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_no = ANY($1::bigint[])"


class Reason(StrEnum):
    """Why somebody is not monitored."""

    NOT_FITTED = "not fitted yet"
    NO_TAG = "no tag"
    STRAP_OPEN = "strap open"
    SILENT = "no contact"


class Gap(NamedTuple):
    """Somebody on an order whom nobody monitors. `alert_no`: the alert that says so. `device_id`: the tag, or the last one."""

    wearer_no: int
    reason: Reason
    since_ms: int
    alert_no: int | None = None
    device_id: str | None = None
    wearer_id: str = ""
    name: str | None = None
    work: GapWork | None = None


class Unmonitored(NamedTuple):
    """`gaps`: the longest first, at most `MOST`. `counts` are of all; `taken`: of how many of those shown somebody sees to."""

    gaps: list[Gap]
    counts: dict[Reason, int]

    @property
    def size(self) -> int:
        return sum(self.counts.values())

    @property
    def taken(self) -> int:
        return sum(gap.work is not None for gap in self.gaps)


async def unmonitored(connection: Connection, timezone: str, now_ms: int) -> Unmonitored:
    """After the look is on record."""
    now = datetime_of(now_ms)
    gaps = {row["wearer_no"]: _without_tag(row) for row in await connection.fetch(WITHOUT_TAG, now, timezone)}
    silent = await silent_people(connection)
    obliged = await connection.fetch(OBLIGED_AMONG, now, timezone, list(silent))
    for row in obliged:
        gaps.setdefault(row["wearer_no"], _silent(silent[row["wearer_no"]]))
    counts = {reason: sum(gap.reason is reason for gap in gaps.values()) for reason in Reason}
    shown = sorted(gaps.values(), key=lambda gap: (gap.since_ms, gap.wearer_no))[:MOST]
    return Unmonitored(await _named(connection, shown), counts)


def _without_tag(row: asyncpg.Record) -> Gap:
    since_ms = instant_of(row["since"])
    if row["device_id"] is None:
        return Gap(row["wearer_no"], Reason.NOT_FITTED, since_ms)
    ended_ms = since_ms if row["ended_at"] is None else instant_of(row["ended_at"])
    return Gap(row["wearer_no"], Reason.NO_TAG, max(since_ms, ended_ms), device_id=row["device_id"])


def _silent(one: Silent) -> Gap:
    reason = Reason.STRAP_OPEN if one.kind == "TAMPER" else Reason.SILENT
    return Gap(one.wearer_no, reason, one.since_ms, one.alert_no)


async def _named(connection: Connection, gaps: Iterable[Gap]) -> list[Gap]:
    gaps = list(gaps)
    names = {row["wearer_no"]: row for row in await connection.fetch(NAMES, [gap.wearer_no for gap in gaps])}
    works = await work_on(connection, {gap.wearer_no: gap.since_ms for gap in gaps})
    return [
        gap._replace(
            wearer_id=names[gap.wearer_no]["wearer_id"],
            name=names[gap.wearer_no]["name"],
            work=works.get(gap.wearer_no),
        )
        for gap in gaps
        if gap.wearer_no in names
    ]
