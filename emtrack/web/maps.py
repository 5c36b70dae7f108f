"""Positions and zones as the map takes them, and as the table beside it shows them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from emtrack.db.connect import Connection
from emtrack.reading.casefile import FactsAround, WeighedFix
from emtrack.reading.curfew_calendar import periods_of
from emtrack.reading.found_in_view import Found
from emtrack.reading.history import StoredEvent, View
from emtrack.reading.stays import Stays
from emtrack.record.plans import Assignment
from emtrack.record.zone_sets import members_near
from emtrack.web.packed import DrawnPoint, packed
from emtrack.web.wording import (
    MECHANISMS,
    POSITION_STATUSES,
    Words,
    event_words,
    length,
    margin_words,
    reporter_words,
    title_of,
    use_of,
)
from geofence import FOREVER_MS, Interval, Requirement, SetZone, Shape, merged
from geofence.judgement import PositionStatus
from geofence.shapes import geojson_from_zone

NEAR_M = 3_000.0
NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})
MOST_MEMBERS = 300
"""Of a zone set only the members near the positions are drawn, and no more than these: a browser need not carry a county."""


SIGNED, NOT_AUTHENTICATED = "Signed by the device", "Not authenticated"


class TableRow(NamedTuple):
    """A line of the table: a position (`n` stands on the map) or something the device said."""

    n: int | None
    own_ms: int
    at: str
    received: str
    what: str
    radius: str
    margin: str
    verdict: str
    use: str
    rests_on_it: bool
    within: bool
    place: str = ""
    speed: str = ""
    mechanism: str = ""
    gap: str = ""
    """Of a history: for how long nothing was known before it, where that was long."""
    found: str = ""
    """Of a history: the findings in whose time it lies."""
    grade: str = ""
    """How far its source is known, where that is more or less than usual."""


def fact_rows(facts: FactsAround, words: Words) -> list[TableRow]:
    """Positions and events in order of time, each with its grade."""

    def grade(fact_id: int) -> str:
        return SIGNED if fact_id in facts.signed else NOT_AUTHENTICATED if fact_id in facts.unauthenticated else ""

    rows = [_position_row(seen, words)._replace(grade=grade(seen.fix.position.fact_id)) for seen in facts.fixes] + [
        _event_row(stored, words)._replace(grade=grade(stored.event.fact_id)) for stored in facts.events
    ]
    return sorted(rows, key=lambda row: (row.own_ms, row.n is None, row.n or 0))


def history_rows(
    seen: Sequence[WeighedFix],
    before_ms: int | None,
    found: Sequence[Found],
    words: Words,
    gap_ms: int,
    unauthenticated: Collection[int] = (),
) -> list[TableRow]:
    """Each with the name of its zone's clock, the gap before it and the findings that it lies in: what the map shows, in words.
    `before_ms`: when the last evidence before the first of them was. `unauthenticated`: facts with only an identifier behind them."""
    rows = []
    for one in in_findings(seen, found):
        position = one.fix.position
        gap = ""
        if one.status is PositionStatus.EVIDENCE:
            if before_ms is not None and position.fix_ms - before_ms > gap_ms:
                gap = length(position.fix_ms - before_ms)
            before_ms = position.fix_ms
        names = [title_of(each.finding.kind, each.finding.reason) for each in found if each.holds_at(position.fix_ms)]
        grade = NOT_AUTHENTICATED if position.fact_id in unauthenticated else ""
        row = _position_row(one, words)._replace(gap=gap, found="; ".join(dict.fromkeys(names)), grade=grade)
        rows.append(row._replace(at=words.row(position.fix_ms), received=words.row(position.received_ms)))
    return rows


def in_findings(seen: Sequence[WeighedFix], found: Sequence[Found]) -> list[WeighedFix]:
    """Positions marked that lie in the time of a finding."""
    spans = merged(
        [
            Interval(one.finding.begin_ms, FOREVER_MS if one.finding.end_ms is None else one.finding.end_ms + 1)
            for one in found
        ]
    )
    if not spans:
        return list(seen)
    begins = [span.begin_ms for span in spans]

    def is_within(at_ms: int) -> bool:
        place = bisect_right(begins, at_ms)
        return place > 0 and at_ms < spans[place - 1].end_ms

    return [one._replace(within=True) if is_within(one.fix.position.fix_ms) else one for one in seen]


def event_rows(said: Sequence[StoredEvent], words: Words) -> list[TableRow]:
    """What was said of somebody without positions, in order of time."""
    return [_event_row(stored, words) for stored in said]


def _position_row(seen: WeighedFix, words: Words) -> TableRow:
    position, weight = seen.fix.position, seen.weighed
    return TableRow(
        n=seen.n,
        own_ms=position.fix_ms,
        at=words.short(position.fix_ms),
        received=words.short(position.received_ms),
        what=MECHANISMS[position.mechanism],
        mechanism=str(position.mechanism),
        radius=f"{position.radius_m:.0f} m" + ("" if (position.precision_m or 0) > 0 else " (assumed)"),
        margin=""
        if weight is None
        else margin_words(weight.margin_m) + (f" ({seen.zone_id})" if seen.zone_id else ""),
        verdict="" if weight is None else weight.verdict.name,
        use=POSITION_STATUSES[seen.status] if weight is None else use_of(weight),
        rests_on_it=seen.opened_or_closed,
        within=seen.within,
        place=f"{position.lat_deg:.5f}, {position.lon_deg:.5f}",
        speed="" if seen.fix.speed_kmh is None else f"{seen.fix.speed_kmh:.0f} km/h",
    )


def _event_row(stored: StoredEvent, words: Words) -> TableRow:
    event = stored.event
    what, by = event_words(event.type, stored.hmu_id), reporter_words(event.sent_by)
    at, received = words.short(event.event_ms), words.short(event.received_ms)
    return TableRow(None, event.event_ms, at, received, what, "", "", "", by, False, False)


class DrawnZones(NamedTuple):
    """Zones as the map takes them. `left_out`: members of zone sets that lie near, too, and are not among them."""

    zones: list[dict[str, Any]]
    left_out: int


async def drawn_zones(
    connection: Connection,
    requirements: Sequence[Requirement],
    seen: Sequence[WeighedFix],
    zone_id: str | None = None,
) -> DrawnZones:
    """The zones of requirements: of those on a set the members near the positions, `zone_id` in any case."""
    zones: list[dict[str, Any]] = []
    left_out = 0
    # The positions that a finding rests on come first: where there are too many members, those near them are drawn.
    telling = sorted(seen, key=lambda one: not one.opened_or_closed)
    places = [
        (one.fix.position.lon_deg, one.fix.position.lat_deg)
        for one in telling
        if one.status is PositionStatus.EVIDENCE
    ]
    for requirement in requirements:
        zone = requirement.zone
        if not isinstance(zone, SetZone):
            zones.append(_zone(requirement, zone, requirement.requirement_id))
            continue
        within_m = NEAR_M + requirement.widen_m + requirement.buffer_m
        near = await members_near(
            connection, zone.content, places, within_m=within_m, named=zone_id, most=MOST_MEMBERS
        )
        zones += [_zone(requirement, member.area, member.zone_id) for member in near.members]
        left_out += near.found - len(near.members)
    return DrawnZones(zones, left_out)


def played(view: View, found: Sequence[Found]) -> dict[str, Any]:
    """What a history has that can be played back: its time, and where playback stops."""
    findings = [
        {
            "title": title_of(one.finding.kind, one.finding.reason),
            "begin_ms": one.finding.begin_ms,
            "end_ms": one.finding.end_ms,
            "requirement_id": one.finding.requirement_id,
            "alert_no": None if one.alert is None else one.alert.alert_no,
        }
        for one in found
    ]
    return {"begin_ms": view.begin_ms, "end_ms": view.end_ms, "findings": findings}


def drawn_stops(stays: Stays) -> list[dict[str, Any]]:
    """Stops as the map takes them; `n` and `place` stand in the tables of stops, too."""
    return [
        {
            "n": number,
            "place": place_name(place),
            "lon_deg": round(stop.lon_deg, 6),
            "lat_deg": round(stop.lat_deg, 6),
            "radius_m": round(stop.radius_m, 1),
            "begin_ms": stop.begin_ms,
            "end_ms": stop.end_ms,
            "is_exact": stop.exact > 0,
        }
        for number, (stop, place) in enumerate(zip(stays.stops, stays.place_of, strict=True), 1)
    ]


def place_name(number: int) -> str:
    """A, B, … Z, AA, …: of the places, that where most time was spent first."""
    name = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        name, number = chr(ord("A") + letter) + name, number - 1
    return name


def map_of(
    drawn: DrawnZones,
    seen: Sequence[WeighedFix],
    words: Words,
    gap_ms: int,
    more: Mapping[str, Any] = NOTHING_MORE,
) -> bytes:
    """What static/map.js draws, packed."""
    head = {
        "timezone": words.timezone,
        "gap_s": gap_ms / 1000,
        "zones": drawn.zones,
        "zones_left_out": drawn.left_out,
        **more,
    }
    return packed(head, [_point(one) for one in seen])


def requirements_of(assignments: Iterable[Assignment]) -> list[Requirement]:
    """Each once, though the person has several activations."""
    found = {requirement.entry_id: requirement for a in assignments for requirement in a.plan.requirements}
    return sorted(found.values(), key=lambda requirement: (requirement.requirement_id, requirement.from_ms))


def in_their_times(
    drawn: DrawnZones, assignments: Sequence[Assignment], requirements: Sequence[Requirement], view: View
) -> DrawnZones:
    """With the times in which each was in force and obliged somebody, within a view: playback shows zones as they were then."""
    span = Interval(view.begin_ms, view.end_ms)
    times = {
        str(requirement.entry_id): {
            "from_ms": requirement.from_ms,
            "to_ms": min(requirement.to_ms, FOREVER_MS),
            "periods": [list(period) for period in periods_of(assignments, requirement, span)],
        }
        for requirement in requirements
    }
    return drawn._replace(zones=[zone | times.get(zone["entry"], {}) for zone in drawn.zones])


def _zone(requirement: Requirement, shape: Shape, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "entry": str(requirement.entry_id),
        "kind": str(requirement.kind),
        "geometry": geojson_from_zone(shape),
        "widen_m": requirement.widen_m,
        "buffer_m": requirement.buffer_m,
    }


def _point(seen: WeighedFix) -> DrawnPoint:
    position, weight = seen.fix.position, seen.weighed
    return DrawnPoint(
        n=seen.n,
        at_ms=position.fix_ms,
        lat_deg=position.lat_deg,
        lon_deg=position.lon_deg,
        radius_m=position.radius_m,
        mechanism=str(position.mechanism),
        speed_kmh=seen.fix.speed_kmh,
        direction_deg=seen.fix.direction_deg,
        verdict=None if weight is None else weight.verdict.name,
        margin_m=None if weight is None else round(weight.margin_m, 1),
        use=POSITION_STATUSES[seen.status] if weight is None else use_of(weight),
        is_evidence=seen.status is PositionStatus.EVIDENCE,
        in_finding=seen.within,
    )
