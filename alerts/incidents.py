"""Platform incidents: when many tags of one network fall silent at once, it is the network (RULES.md section 8). The first part
is pure; the second opens and widens incidents in the turn's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from alerts.grading import Severity
from alerts.store import NewAlert, TakeNumbers, note_changes, open_new_alerts
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from alerts.store import Connection

INCIDENT = "PLATFORM_INCIDENT"
"""The kind of its alert; it is no kind of finding."""
WINDOW_MS = 10 * 60_000
LEAST = 20
LEAST_SHARE = 0.2


class NetworkSilence(NamedTuple):
    """One NO_COMMUNICATION finding of a network."""

    begin_ms: int
    finding_no: int
    activation_no: int


class Burst(NamedTuple):
    """Silences that make an incident. `known_ms`: the begin of the one that completed it."""

    known_ms: int
    silences: list[NetworkSilence]


def burst(silences: Sequence[NetworkSilence], activations: int) -> Burst | None:
    """The first window of 10 minutes in which enough activations of the network fell silent, with every silence that
    goes on from it without a gap of more than that. `silences`: in order of their begin. `activations`: of the network."""
    enough = max(LEAST, LEAST_SHARE * activations)
    first = 0
    for last, silence in enumerate(silences):
        while silence.begin_ms - silences[first].begin_ms > WINDOW_MS:
            first += 1
        if len({s.activation_no for s in silences[first : last + 1]}) >= enough:
            return Burst(silence.begin_ms, going_on(silences, silences[first].begin_ms))
    return None


def going_on(silences: Sequence[NetworkSilence], from_ms: int) -> list[NetworkSilence]:
    """The silences from an instant on, each at most 10 minutes after the one before. In order of their begin."""
    found: list[NetworkSilence] = []
    reach_ms = from_ms
    for silence in silences:
        if from_ms <= silence.begin_ms <= reach_ms + WINDOW_MS:
            found.append(silence)
            reach_ms = silence.begin_ms
    return found


# ---------------------------------------------------------------------------------------------- in the database

CountActive = Callable[[str, int], int]
"""How many activations of a network there are at an instant."""


class SilenceChange(NamedTuple):
    """A NO_COMMUNICATION finding as it stands after the turn; `begin_ms` None: it was withdrawn. `is_new`: it was found in
    this turn; only that can make an incident, or an older silence would make one whenever it is amended."""

    finding_no: int
    activation_no: int
    network: str
    begin_ms: int | None
    is_new: bool


NOTE = """
INSERT INTO network_silences (finding_no, network, activation_no, begin_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[])
ON CONFLICT (finding_no) DO UPDATE SET network = excluded.network, begin_at = excluded.begin_at
"""
FORGET = "DELETE FROM network_silences WHERE finding_no = ANY($1::bigint[])"
# Those that belong to no incident, or to this one.
SILENCES = """
SELECT begin_at, finding_no, activation_no FROM network_silences
WHERE network = $1 AND begin_at BETWEEN $2 AND $3 AND (incident_no IS NULL OR incident_no = $4)
ORDER BY begin_at, finding_no
"""
OPEN_INCIDENT = "SELECT alert_no FROM alerts WHERE network = $1 AND closed_at IS NULL FOR UPDATE"
# How far back an open incident reaches, and how far on.
REACH = "SELECT min(begin_at) AS first, max(begin_at) AS last FROM network_silences WHERE incident_no = $1"
# Not that with the highest number: each worker has blocks of its own.
PREVIOUS_INCIDENT = "SELECT alert_no FROM alerts WHERE network = $1 ORDER BY raised_at DESC, alert_no DESC LIMIT 1"
TAKE_PART = "UPDATE network_silences SET incident_no = $1 WHERE finding_no = ANY($2::bigint[])"
# An alert that was there before, for an earlier silence, is a case of its own and stays where it is.
GROUP = """
UPDATE alerts a SET incident_no = $1
WHERE a.closed_at IS NULL AND a.incident_no IS NULL AND a.kind = 'NO_COMMUNICATION' AND a.known_at >= $3
  AND a.alert_no IN (SELECT alert_no FROM alert_occurrences WHERE finding_no = ANY($2::bigint[]))
RETURNING a.alert_no
"""
# A new silence that is none of the incident's is a reason of its own to look at the person: back to the queue.
UNGROUP = """
UPDATE alerts a SET incident_no = NULL
WHERE a.closed_at IS NULL AND a.incident_no IS NOT NULL AND a.alert_no IN (
    SELECT o.alert_no FROM alert_occurrences o JOIN network_silences s USING (finding_no)
    WHERE o.finding_no = ANY($1::bigint[]) AND s.incident_no IS DISTINCT FROM a.incident_no)
RETURNING a.alert_no
"""


async def note_silences(
    connection: Connection,
    changes: Sequence[SilenceChange],
    count_active: CountActive,
    take_numbers: TakeNumbers,
    now_ms: int,
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
    fresh = [change for change in there if change.is_new]
    changed = 0
    for network in sorted({change.network for change in fresh}):
        of_network = [c.begin_ms for c in fresh if c.network == network and c.begin_ms is not None]
        changed += await _note_network(connection, network, of_network, count_active, take_numbers, now_ms)
    back = await connection.fetch(UNGROUP, [change.finding_no for change in fresh]) if fresh else []
    if back:
        await note_changes(connection, [(row["alert_no"], "occurrence") for row in back], now_ms)
    return changed + len(back)


async def _note_network(
    connection: Connection,
    network: str,
    begins_ms: Sequence[int],
    count_active: CountActive,
    take_numbers: TakeNumbers,
    now_ms: int,
) -> int:
    row = await connection.fetchrow(OPEN_INCIDENT, network)
    if row is not None:
        return await _widen(connection, network, row["alert_no"], begins_ms, now_ms)
    silences = await _silences(connection, network, min(begins_ms) - WINDOW_MS, max(begins_ms) + WINDOW_MS, None)
    if len(silences) < LEAST:
        return 0
    found = burst(silences, count_active(network, begins_ms[0]))
    if found is None:
        return 0
    (number,) = await take_numbers(connection, 1)
    previous = await connection.fetchval(PREVIOUS_INCIDENT, network)
    incident = NewAlert(
        number, INCIDENT, Severity.CRITICAL, found.known_ms, network=network, previous_alert_no=previous
    )
    await open_new_alerts(connection, [incident], now_ms)
    await note_changes(connection, [(number, "raised")], now_ms)
    return 1 + await _group(connection, number, found.silences, now_ms)


async def _widen(connection: Connection, network: str, number: int, begins_ms: Sequence[int], now_ms: int) -> int:
    """Silences that go on from those of the open incident join it."""
    reach = await connection.fetchrow(REACH, number)
    assert reach is not None, "aggregates are one row"
    if reach["first"] is None:
        return 0
    first_ms, last_ms = instant_of(reach["first"]), instant_of(reach["last"])
    silences = await _silences(connection, network, first_ms, max(last_ms, *begins_ms) + WINDOW_MS, number)
    return await _group(connection, number, going_on(silences, first_ms), now_ms)


async def _silences(
    connection: Connection, network: str, from_ms: int, to_ms: int, incident_no: int | None
) -> list[NetworkSilence]:
    rows = await connection.fetch(SILENCES, network, datetime_of(from_ms), datetime_of(to_ms), incident_no)
    return [NetworkSilence(instant_of(row["begin_at"]), row["finding_no"], row["activation_no"]) for row in rows]


async def _group(connection: Connection, number: int, silences: Sequence[NetworkSilence], now_ms: int) -> int:
    if not silences:
        return 0
    numbers = [silence.finding_no for silence in silences]
    await connection.execute(TAKE_PART, number, numbers)
    rows = await connection.fetch(GROUP, number, numbers, datetime_of(silences[0].begin_ms))
    if rows:  # one change tells of them all: the queue is read anew
        await note_changes(connection, [(number, "grouped")], now_ms)
    return len(rows)
