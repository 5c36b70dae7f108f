"""Silences of a turn against those of their networks: incidents are opened and joined in the turn's own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from alerts.grading import Severity
from alerts.incidents import INCIDENT, LEAST, WINDOW_MS, Silence, burst, going_on
from alerts.store import CHANGED
from emtrack.docket import Seat
from emtrack.record.progress import Ids
from geofence.words import datetime_of, instant_of


class Change(NamedTuple):
    """A NO_COMMUNICATION finding as it stands after the turn; `begin_ms` None: it was withdrawn."""

    finding_no: int
    activation_no: int
    network: str
    begin_ms: int | None


NOTE = """
INSERT INTO network_silences (finding_no, network, activation_no, begin_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[])
ON CONFLICT (finding_no) DO UPDATE SET network = excluded.network, begin_at = excluded.begin_at
"""
FORGET = "DELETE FROM network_silences WHERE finding_no = ANY($1::bigint[])"
SILENCES = """
SELECT begin_at, finding_no, activation_no FROM network_silences
WHERE network = $1 AND begin_at BETWEEN $2 AND $3 ORDER BY begin_at, finding_no
"""
OPEN_INCIDENT = "SELECT alert_no, known_at FROM alerts WHERE network = $1 AND closed_at IS NULL FOR UPDATE"
# How far back an open incident reaches, and how far on: the first and the last silence that is grouped under it.
REACH = """
SELECT min(s.begin_at) AS first, max(s.begin_at) AS last
FROM alerts a JOIN alert_occurrences o USING (alert_no) JOIN network_silences s USING (finding_no) WHERE a.incident_no = $1
"""
NEW_INCIDENT = """
INSERT INTO alerts (alert_no, kind, severity, raised_at, known_at, network, previous_alert_no)
VALUES ($1, $2, $3, $4, $5, $6::text, (SELECT max(alert_no) FROM alerts WHERE network = $6))
"""
# An alert that was there before, for an earlier silence, is a case of its own and stays where it is.
GROUP = """
UPDATE alerts a SET incident_no = $1
WHERE a.closed_at IS NULL AND a.incident_no IS NULL AND a.kind = 'NO_COMMUNICATION' AND a.known_at >= $3
  AND a.alert_no IN (SELECT alert_no FROM alert_occurrences WHERE finding_no = ANY($2::bigint[]))
RETURNING a.alert_no
"""


async def note_silences(
    connection: asyncpg.Connection[Any], changes: Sequence[Change], seats: Mapping[int, Seat], ids: Ids, now_ms: int
) -> int:
    """Keep what is known of silences, and open or widen incidents. How many alerts changed."""
    gone = [change.finding_no for change in changes if change.begin_ms is None]
    there = [change for change in changes if change.begin_ms is not None]
    if gone:
        await connection.execute(FORGET, gone)
    if not there:
        return 0
    begins_ms = [change.begin_ms for change in there if change.begin_ms is not None]
    await connection.execute(
        NOTE,
        [change.finding_no for change in there],
        [change.network for change in there],
        [change.activation_no for change in there],
        [datetime_of(begin_ms) for begin_ms in begins_ms],
    )
    changed = 0
    for network in sorted({change.network for change in there}):
        of_network = [c.begin_ms for c in there if c.network == network and c.begin_ms is not None]
        changed += await _note_network(connection, network, of_network, seats.values(), ids, now_ms)
    return changed


async def _note_network(
    connection: asyncpg.Connection[Any],
    network: str,
    begins_ms: Sequence[int],
    seats: Iterable[Seat],
    ids: Ids,
    now_ms: int,
) -> int:
    row = await connection.fetchrow(OPEN_INCIDENT, network)
    if row is not None:
        return await _widen(connection, network, row["alert_no"], begins_ms, now_ms)
    silences = await _silences(connection, network, min(begins_ms) - WINDOW_MS, max(begins_ms) + WINDOW_MS)
    if len(silences) < LEAST:
        return 0
    found = burst(silences, _active(seats, network, begins_ms[0]))
    if found is None:
        return 0
    (number,) = await ids.take(connection, 1)
    now, known = datetime_of(now_ms), datetime_of(found.known_ms)
    await connection.execute(NEW_INCIDENT, number, INCIDENT, int(Severity.CRITICAL), now, known, network)
    await connection.execute(CHANGED, [number], ["raised"], now)
    return 1 + await _group(connection, number, found.silences, now_ms)


async def _widen(
    connection: asyncpg.Connection[Any], network: str, number: int, begins_ms: Sequence[int], now_ms: int
) -> int:
    """Silences that go on from those of the open incident join it."""
    reach = await connection.fetchrow(REACH, number)
    assert reach is not None, "aggregates are one row"
    if reach["first"] is None:
        return 0
    first_ms, last_ms = instant_of(reach["first"]), instant_of(reach["last"])
    silences = await _silences(connection, network, first_ms, max(last_ms, *begins_ms) + WINDOW_MS)
    return await _group(connection, number, going_on(silences, first_ms), now_ms)


async def _silences(connection: asyncpg.Connection[Any], network: str, from_ms: int, to_ms: int) -> list[Silence]:
    rows = await connection.fetch(SILENCES, network, datetime_of(from_ms), datetime_of(to_ms))
    return [Silence(instant_of(row["begin_at"]), row["finding_no"], row["activation_no"]) for row in rows]


async def _group(connection: asyncpg.Connection[Any], number: int, silences: Sequence[Silence], now_ms: int) -> int:
    if not silences:
        return 0
    numbers = [silence.finding_no for silence in silences]
    rows = await connection.fetch(GROUP, number, numbers, datetime_of(silences[0].begin_ms))
    if rows:  # one change tells of them all: the queue is read anew
        await connection.execute(CHANGED, [number], ["grouped"], datetime_of(now_ms))
    return len(rows)


def _active(seats: Iterable[Seat], network: str, at_ms: int) -> int:
    """Activations of the network at an instant."""
    activations = (seat.assignment.plan.activation for seat in seats)
    return sum(1 for a in activations if a.network == network and a.from_ms <= at_ms < a.to_ms)
