"""Tonight's curfews: who has to be at home when, where that is and whom to ring; for paper, for when all else fails."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from emtrack.forms.wall_time import instant_of_wall
from emtrack.record.plans import load_absences, load_people
from emtrack.record.requirement_names import load_names
from emtrack.record.wearer_details import NOTHING, Details, load_details
from geofence import (
    Activation,
    ActivationId,
    DeviceId,
    Interval,
    ObligationKind,
    Plan,
    Requirement,
    WearerId,
    datetime_of,
)
from geofence.judgement import Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from emtrack.db.connect import Connection

# Who has a curfew in force on that night, by wearer id; the record of a restricted person says so, whoever opened it.
PEOPLE = """
SELECT p.wearer_no, p.wearer_id, p.name, p.is_closed OR EXISTS (
    SELECT FROM access_limits l WHERE l.wearer_no = p.wearer_no AND upper_inf(l.recorded) AND l.kind = 'restricted') AS is_closed
FROM people p WHERE ($1::text IS NULL OR p.wearer_id > $1) AND EXISTS (
    SELECT FROM requirement_versions r WHERE r.wearer_no = p.wearer_no AND r.kind = 'CURFEW' AND upper_inf(r.recorded)
    AND r.valid && tstzrange($2, $3)) ORDER BY p.wearer_id LIMIT $4
"""
NOON = "T12:00"


class Curfew(NamedTuple):
    """A curfew of the night. `periods`: without authorised absences; none is left where all of it is authorised. `absences`: of the
    night."""

    requirement_id: str
    name: str | None
    periods: list[Interval]
    absences: list[Interval]


class AtHome(NamedTuple):
    """Somebody who has a curfew tonight. Of a restricted record there is the reference alone. `has_tag`: one that tells places is
    worn at its beginning or comes by its end."""

    wearer_no: int
    wearer_id: str
    name: str | None
    is_closed: bool
    details: Details
    has_tag: bool
    curfews: list[Curfew]


def night_of(now_ms: int, timezone: str) -> Interval:
    """From noon to noon by the clock on the wall: before noon, the night that is ending."""
    zone = ZoneInfo(timezone)
    now = datetime_of(now_ms).astimezone(zone)
    day = now.date() if now.hour >= 12 else now.date() - timedelta(days=1)
    begin, end = (instant_of_wall(f"{day + timedelta(days=n)}{NOON}", zone) for n in (0, 1))
    return Interval(begin, end)


async def listed_people(
    connection: Connection, night: Interval, after: str | None, most: int
) -> list[asyncpg.Record]:
    """Who is on the list of a night: number, id, name and whether the record is closed. What they must do when is read after the
    look."""
    begin, end = datetime_of(night.begin_ms), datetime_of(night.end_ms)
    return list(await connection.fetch(PEOPLE, after, begin, end, most))


async def curfews_of(
    connection: Connection, people: Sequence[asyncpg.Record], night: Interval, timezone: str, now_ms: int
) -> list[AtHome]:
    """In the order of `people`. After the look is on record."""
    numbers = [row["wearer_no"] for row in people]
    held = await load_people(connection, now_ms, numbers)
    absences = await load_absences(connection, now_ms, numbers)
    details = await load_details(connection, [row["wearer_no"] for row in people if not row["is_closed"]])
    names = await load_names(connection, numbers)
    found = []
    for row in people:
        number, is_closed = row["wearer_no"], row["is_closed"]
        requirements, activations = held[number]
        away = absences[number]
        curfews = [
            Curfew(
                requirement.requirement_id, None if is_closed else names.get((number, requirement.requirement_id)),
                _periods(requirement, away, timezone, night), [one for one in away if _meets(one, night)],
            )
            for requirement in requirements
            if requirement.kind is ObligationKind.CURFEW and _meets(Interval(requirement.from_ms, requirement.to_ms), night)
        ]  # fmt: skip
        curfews = [one for one in curfews if one.periods or one.absences]
        if curfews:
            has_tag = any(a.evidence and _meets(Interval(a.from_ms, a.to_ms), night) for a in activations)
            found.append(
                AtHome(
                    number, row["wearer_id"], None if is_closed else row["name"], is_closed, details.get(number, NOTHING), has_tag,
                    curfews,
                )
            )  # fmt: skip
    return found


def _periods(
    requirement: Requirement, absences: Sequence[Interval], timezone: str, night: Interval
) -> list[Interval]:
    """Whoever wears the tag, or none: the order holds in any case."""
    anything = Activation(ActivationId(""), DeviceId(""), WearerId(requirement.wearer_id), requirement.from_ms)
    schedule = Schedule(Plan(anything, (requirement,), timezone, absences=tuple(absences)), requirement)
    return [one for one in schedule.periods(night.begin_ms, night.end_ms) if _meets(one, night)]


def _meets(one: Interval, other: Interval) -> bool:
    return one.begin_ms < other.end_ms and other.begin_ms < one.end_ms
