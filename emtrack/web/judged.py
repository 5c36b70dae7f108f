"""What is judged for readers: functions for `emtrack.reading.apart`, each with a connection in a snapshot and the zone sets.

What they read is of the caller for whom they are asked, and the look is on record by then. Their answers are made up to the bytes
where they can be, so that little is left to do in the loop.
"""

from __future__ import annotations

from typing import Any

from alerts import one_alert
from emtrack.db.connect import Connection
from emtrack.forms.errors import FormError
from emtrack.forms.orders import Orders
from emtrack.forms.reading import read_orders
from emtrack.reading.band import Band, bands_of
from emtrack.reading.casefile import (
    FactsAround,
    HistoryPage,
    PartByMechanism,
    facts_around,
    history_of,
    history_page,
    occurrences_of,
    page_by_mechanism,
)
from emtrack.reading.curfew_calendar import CurfewCalendar, curfew_calendars
from emtrack.reading.findings import findings_as_lines
from emtrack.reading.found_in_view import found_in_view
from emtrack.reading.history import View
from emtrack.reading.stays import Stays, stays_in_view
from emtrack.reading.there_now import There, there_at
from emtrack.record.findings import FindingVersion
from emtrack.record.plans import load_assignments
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.web.maps import drawn_zones, in_findings, in_their_times, map_of, played, requirements_of
from emtrack.web.wording import Words
from geofence import Mechanism


async def lines_of_findings(
    connection: Connection,
    zone_sets: ZoneSetCache,
    now_ms: int,
    known_ms: int | None,
    until_ms: int | None,
    wearer_id: str | None,
) -> bytes:
    """The body of GET /v1/findings."""
    return b"".join(await findings_as_lines(connection, now_ms, known_ms, until_ms, wearer_id, zone_sets))


async def orders_in(connection: Connection, zone_sets: ZoneSetCache, body: str, name: str) -> Orders | str:
    """The orders in a body, or what is wrong with it. Zones are checked without a look at the record."""
    del connection, zone_sets
    try:
        return read_orders(body, name)
    except FormError as error:
        return str(error)


async def facts_of_alert(
    connection: Connection, zone_sets: ZoneSetCache, view: View, version: FindingVersion, known_ms: int
) -> FactsAround:
    return await facts_around(connection, view, version, known_ms, zone_sets)


async def page_of_history(
    connection: Connection, _: ZoneSetCache, view: View, known_ms: int, first: int, most: int
) -> HistoryPage:
    return await history_page(connection, view, known_ms, first, most)


async def page_of_mechanism(
    connection: Connection,
    _: ZoneSetCache,
    view: View,
    known_ms: int,
    mechanism: Mechanism,
    first: int,
    at_ms: int | None,
    most: int,
) -> PartByMechanism:
    return await page_by_mechanism(connection, view, known_ms, mechanism, first, at_ms, most)


async def bands_of_view(
    connection: Connection, zone_sets: ZoneSetCache, view: View, known_ms: int, requirement_id: str | None
) -> list[Band]:
    return await bands_of(connection, view, known_ms, zone_sets, requirement_id)


async def calendars_of_view(
    connection: Connection, zone_sets: ZoneSetCache, view: View, known_ms: int
) -> list[CurfewCalendar]:
    return await curfew_calendars(connection, view, known_ms, zone_sets)


async def there_now(
    connection: Connection, zone_sets: ZoneSetCache, view: View, known_ms: int, requirement_id: str | None
) -> There:
    return await there_at(connection, view, requirement_id, known_ms, zone_sets)


async def map_of_history(
    connection: Connection, zone_sets: ZoneSetCache, view: View, known_ms: int, timezone: str, gap_ms: int
) -> bytes:
    """The whole history with all zones and what was found, packed."""
    del zone_sets  # nothing is judged, only weighed
    found = await found_in_view(connection, view, known_ms)
    seen = in_findings(await history_of(connection, view, known_ms), found)
    assignments = await load_assignments(connection, known_ms, [view.wearer_no])
    in_force = [
        r for r in requirements_of(assignments.values()) if r.from_ms < view.end_ms and r.to_ms > view.begin_ms
    ]
    drawn = in_their_times(await drawn_zones(connection, in_force, seen), list(assignments.values()), in_force, view)
    return map_of(drawn, seen, Words(timezone), gap_ms, played(view, found))


async def stays_of_history(
    connection: Connection, zone_sets: ZoneSetCache, view: View, known_ms: int, gap_ms: int
) -> Stays:
    del zone_sets
    return await stays_in_view(connection, view, known_ms, gap_ms)


async def map_of_facts(
    connection: Connection,
    zone_sets: ZoneSetCache,
    view: View,
    version: FindingVersion,
    known_ms: int,
    timezone: str,
    gap_ms: int,
) -> bytes:
    """What was known around a version of a finding, packed."""
    facts = await facts_around(connection, view, version, known_ms, zone_sets)
    zones: list[Any] = [] if facts.requirement is None else [facts.requirement]
    drawn = await drawn_zones(connection, zones, facts.fixes, version.finding.zone_id)
    return map_of(drawn, facts.fixes, Words(timezone), gap_ms)


async def map_of_alert(
    connection: Connection,
    zone_sets: ZoneSetCache,
    view: View,
    known_ms: int,
    timezone: str,
    gap_ms: int,
    finding_no: int | None,
) -> bytes | None:
    """A finding of the view's alert with its zone, packed; None if it was not known then."""
    assert view.alert_no is not None, "a view of an alert"
    alert = await one_alert(connection, view.alert_no)
    for occurrence in [] if alert is None else await occurrences_of(connection, alert, known_ms):
        version = occurrence.version
        if occurrence.finding_no == finding_no and version is not None:
            return await map_of_facts(connection, zone_sets, view, version, known_ms, timezone, gap_ms)
    return None
