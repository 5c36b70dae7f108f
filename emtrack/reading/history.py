"""Where somebody was: read only after it is on record who asks, for which purpose and for which time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.people.looks import (
    AGAIN_MS,
    ALERT,
    PURPOSES,
    Looker,
    What,
    look_at_alert_again,
    record_look,
    refuse_transaction,
)
from geofence import DeviceEvent, EventType, Mechanism, Position, datetime_of, instant_of, parse_instant
from ingest import NAME_A_UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from emtrack.db.connect import Connection
    from emtrack.record.plans import Assignment

LONGEST_MS = 14 * 86_400_000
"""A view shows at most so much."""
EARLIEST_MS = parse_instant("1990-01-01T00:00:00Z")
LATEST_AHEAD_MS = 86_400_000
VIEW_LASTS_MS = 3_600_000
"""After this a purpose is asked for again."""
MOST_FIXES = 50_000
"""Of more the newest are read, and the page says so."""


class UnfitView(ValueError):
    """A view that cannot be had as it was asked for. The message says what to change."""


class View(NamedTuple):
    """A look at a history that is on record."""

    view_no: int
    wearer_no: int
    begin_ms: int
    end_ms: int
    purpose: str
    alert_no: int | None
    viewed_ms: int


class StoredFix(NamedTuple):
    """A stored position of an activation. `speed_kmh`, `direction_deg`: as the device said, or None."""

    activation_no: int
    position: Position
    speed_kmh: float | None
    direction_deg: float | None


class StoredEvent(NamedTuple):
    """A stored event of an activation. `hmu_id`: the home unit that it names."""

    activation_no: int
    event: DeviceEvent
    hmu_id: str | None


VIEW = "SELECT * FROM looks WHERE look_no = $1 AND looked_by = $2 AND looked_at > $3 AND what = 'positions'"
# Positions are the wearer's while an activation says so; as known at an instant, so are activations and receipts.
OF_WEARER = """
FROM activation_versions v
CROSS JOIN LATERAL (
    SELECT * FROM positions WHERE device_no = v.device_no AND fix_time >= greatest(lower(v.during), $2)
        AND fix_time < least(coalesce(upper(v.during), 'infinity'), $3)
    UNION ALL
    SELECT * FROM future_positions WHERE device_no = v.device_no AND fix_time >= greatest(lower(v.during), $2)
        AND fix_time < least(coalesce(upper(v.during), 'infinity'), $3)) p
WHERE v.wearer_no = $1 AND v.recorded @> $4::timestamptz AND v.during && tstzrange($2, $3) AND p.received_at <= $4
"""
FIXES = f"""
SELECT v.activation_no, p.fact_id, epoch_ms(p.fix_time) AS fix_ms, p.lat_deg, p.lon_deg,
       p.precision_m, p.mechanism, epoch_ms(p.received_at) AS received_ms, p.speed_kmh, p.direction_deg
{OF_WEARER} ORDER BY p.fix_time DESC, p.fact_id DESC LIMIT $5
"""
COUNT = f"SELECT count(*) {OF_WEARER}"
SOME_FIXES = f"SELECT count(*) FROM (SELECT 1 {OF_WEARER} LIMIT $5) found"  # noqa: S608
TIMES = f"SELECT epoch_ms(p.fix_time) AS fix_ms {OF_WEARER} ORDER BY p.fix_time OFFSET $5 LIMIT $6"


EVENTS = """
SELECT v.activation_no, e.fact_id, epoch_ms(e.event_time) AS event_ms, e.type, e.hmu_id, e.sent_by,
       epoch_ms(e.received_at) AS received_ms
FROM activation_versions v
JOIN device_events e ON e.device_no = v.device_no AND e.event_time >= greatest(lower(v.during), $2)
     AND e.event_time < least(coalesce(upper(v.during), 'infinity'), $3)
WHERE v.wearer_no = $1 AND v.recorded @> $4::timestamptz AND v.during && tstzrange($2, $3) AND e.received_at <= $4
ORDER BY e.event_time, e.fact_id LIMIT $5
"""


SOME_EVENTS = """
SELECT count(*) FROM (
    SELECT 1 FROM activation_versions v
    JOIN device_events e ON e.device_no = v.device_no AND e.event_time >= greatest(lower(v.during), $2)
         AND e.event_time < least(coalesce(upper(v.during), 'infinity'), $3)
    WHERE v.wearer_no = $1 AND v.recorded @> $4::timestamptz AND v.during && tstzrange($2, $3) AND e.received_at <= $4
    LIMIT $5) found
"""


async def record_view(
    connection: Connection,
    looker: Looker,
    wearer_no: int,
    begin_ms: int,
    end_ms: int,
    *,
    alert_no: int | None = None,
    now_ms: int,
) -> View:
    """Put on record that somebody looks, and commit it: only then may positions be read. Not inside a transaction.
    Raises UnfitView."""
    refuse_transaction(connection)
    _refuse_unfit(begin_ms, end_ms, looker.purpose, alert_no, now_ms)
    number = await record_look(
        connection, looker, What.POSITIONS, wearer_no, (begin_ms, end_ms), alert_no=alert_no, now_ms=now_ms
    )
    return View(number, wearer_no, begin_ms, end_ms, looker.purpose, alert_no, now_ms)


async def view_of_alert(
    connection: Connection, looker: Looker, wearer_no: int, begin_ms: int, end_ms: int, alert_no: int, now_ms: int
) -> View:
    """The look at what an alert is about. Who loads its page again, while it lasts too, has looked once in 15 minutes."""
    look = await look_at_alert_again(connection, looker, wearer_no, alert_no, (begin_ms, end_ms), now_ms)
    if look is None:
        covered_ms = now_ms + AGAIN_MS if end_ms >= now_ms else end_ms
        view = await record_view(
            connection, looker, wearer_no, begin_ms, covered_ms, alert_no=alert_no, now_ms=now_ms
        )
        return view._replace(end_ms=end_ms)
    return View(look.look_no, wearer_no, begin_ms, end_ms, look.purpose, alert_no, look.looked_ms)


def _refuse_unfit(begin_ms: int, end_ms: int, purpose: str, alert_no: int | None, now_ms: int) -> None:
    if begin_ms >= end_ms:
        raise UnfitView("The end is not after the beginning. Choose a later end.")
    if begin_ms < EARLIEST_MS:
        raise UnfitView("Nobody was monitored before 1990. Choose a later beginning.")
    if alert_no is None and end_ms > now_ms + LATEST_AHEAD_MS:
        raise UnfitView("The end lies in the future, of which nothing is known. Choose an earlier end.")
    if end_ms - begin_ms > LONGEST_MS:
        raise UnfitView("At most 14 days can be seen at a time. Choose a shorter time.")
    if purpose not in PURPOSES or (purpose == ALERT) != (alert_no is not None):
        raise UnfitView("Select a reason.")


async def view_of(connection: Connection, view_no: int, name: str, now_ms: int) -> View | None:
    """A view that this account recorded, not too long ago."""
    row = await connection.fetchrow(VIEW, view_no, name, datetime_of(now_ms - VIEW_LASTS_MS))
    if row is None:
        return None
    during = row["during"]
    return View(
        row["look_no"], row["wearer_no"], instant_of(during.lower), instant_of(during.upper), row["purpose"],
        row["alert_no"], instant_of(row["looked_at"]),
    )  # fmt: skip


async def fixes_of(connection: Connection, view: View, *, known_ms: int, lead_ms: int = 0) -> list[StoredFix]:
    """What was received by `known_ms` of the time that the view is for, in order of time; with a lead before it that
    is needed to weigh the first ones, and not shown."""
    rows = await connection.fetch(
        FIXES, view.wearer_no, datetime_of(view.begin_ms - lead_ms), datetime_of(view.end_ms), datetime_of(known_ms), MOST_FIXES
    )  # fmt: skip
    return [
        StoredFix(
            row["activation_no"],
            Position(
                row["fix_ms"], row["lat_deg"], row["lon_deg"], row["precision_m"], Mechanism(row["mechanism"]),
                row["received_ms"], row["fact_id"],
            ),
            row["speed_kmh"],
            row["direction_deg"],
        )
        for row in reversed(rows)
    ]  # fmt: skip


class PlaceInHistory(NamedTuple):
    """Where some rows lie among all positions of a view: how many there are, from when to when the rows are, and how many lie
    before the first of their instants."""

    size: int
    from_ms: int
    to_ms: int
    before: int


async def place_in_history(connection: Connection, view: View, known_ms: int, skip: int, most: int) -> PlaceInHistory:
    """Of at most `most` positions after the first `skip`, in order of time. No position is read."""
    columns = view.wearer_no, datetime_of(view.begin_ms), datetime_of(view.end_ms), datetime_of(known_ms)
    count = await connection.fetchval(COUNT, *columns)
    times = [row["fix_ms"] for row in await connection.fetch(TIMES, *columns, skip, most)]
    if not times:
        return PlaceInHistory(count, view.end_ms, view.end_ms, count)
    until_first = (columns[0], columns[1], datetime_of(times[0]), columns[3])
    return PlaceInHistory(count, times[0], times[-1], await connection.fetchval(COUNT, *until_first))


async def is_little(connection: Connection, view: View, *, known_ms: int, lead_ms: int, most: int) -> bool:
    """Whether there are at most so many facts in the time of a view and a lead before it. Not more of them are counted."""
    span = datetime_of(view.begin_ms - lead_ms), datetime_of(view.end_ms), datetime_of(known_ms)
    counted = 0
    for some in (SOME_FIXES, SOME_EVENTS):
        counted += await connection.fetchval(some, view.wearer_no, *span, most + 1)
    return counted <= most


async def events_of(
    connection: Connection, view: View, assignments: Mapping[int, Assignment], *, known_ms: int, lead_ms: int = 0
) -> list[StoredEvent]:
    """What the devices said in the time of the view, likewise."""
    rows = await connection.fetch(
        EVENTS, view.wearer_no, datetime_of(view.begin_ms - lead_ms), datetime_of(view.end_ms), datetime_of(known_ms), MOST_FIXES
    )  # fmt: skip
    return [_said(row, assignments.get(row["activation_no"])) for row in rows]


def _said(row: asyncpg.Record, assignment: Assignment | None) -> StoredEvent:
    own_ms, unit = row["event_ms"], row["hmu_id"]
    named = unit if row["type"] in NAME_A_UNIT else None
    requirement_id = named if assignment is None else assignment.requirement_of_unit(named, own_ms)
    event = DeviceEvent(
        own_ms, EventType(row["type"]), requirement_id, row["received_ms"], row["fact_id"], row["sent_by"]
    )
    return StoredEvent(row["activation_no"], event, unit)
