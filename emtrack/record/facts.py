"""Stored facts, joined to activations on device AND interval when they are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from emtrack.db.connect import Connection
from emtrack.record.plans import Assignment
from geofence import FOREVER_MS, LAST_MS, DeviceEvent, EventType, Fact, Mechanism, Position, datetime_of
from ingest import NAME_A_UNIT, EventReport, PositionReport, fact_of

if TYPE_CHECKING:
    from datetime import datetime


# One row of `wanted` for each activation: which device, from when to when. Both tables are read by their own index.
POSITIONS = """
SELECT w.activation_no, p.fact_id, epoch_ms(p.fix_time) AS own_ms, p.lat_deg, p.lon_deg,
       p.precision_m, p.mechanism, epoch_ms(p.received_at) AS received_ms
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS w (activation_no, device_no, begin_at, end_at)
CROSS JOIN LATERAL (
    SELECT * FROM positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at
    UNION ALL
    SELECT * FROM future_positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at) p
"""
EVENTS = """
SELECT w.activation_no, e.fact_id, epoch_ms(e.event_time) AS own_ms, e.type, e.hmu_id, e.sent_by,
       epoch_ms(e.received_at) AS received_ms
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS w (activation_no, device_no, begin_at, end_at)
JOIN device_events e ON e.device_no = w.device_no AND e.event_time >= w.begin_at AND e.event_time < w.end_at
"""


def _until(assignment: Assignment) -> datetime | None:
    to_ms = assignment.plan.activation.to_ms
    return datetime_of(LAST_MS if to_ms >= FOREVER_MS else to_ms)


def spans_of(
    wanted: Iterable[tuple[Assignment, int]],
) -> tuple[list[int], list[datetime], list[datetime | None]]:
    """Of activations, each from an instant on (never before the activation): devices, begins and ends."""
    pairs = list(wanted)
    begins = [datetime_of(max(from_ms, assignment.plan.activation.from_ms)) for assignment, from_ms in pairs]
    return [assignment.device_no for assignment, _ in pairs], begins, [_until(assignment) for assignment, _ in pairs]


async def load_facts(connection: Connection, wanted: Iterable[tuple[Assignment, int]]) -> Mapping[int, list[Fact]]:
    """Facts of activations, each from an instant on (never before the activation), by activation number; unsorted."""
    pairs = list(wanted)
    facts: dict[int, list[Fact]] = defaultdict(list)
    numbers = [assignment.activation_no for assignment, _ in pairs]
    for row in await connection.fetch(POSITIONS, numbers, *spans_of(pairs)):
        facts[row["activation_no"]].append(
            Position(
                row["own_ms"],
                row["lat_deg"],
                row["lon_deg"],
                row["precision_m"],
                Mechanism(row["mechanism"]),
                row["received_ms"],
                row["fact_id"],
            )
        )
    for number, events in (await load_events(connection, pairs)).items():
        facts[number] += events
    return facts


async def load_events(
    connection: Connection, wanted: Iterable[tuple[Assignment, int]]
) -> defaultdict[int, list[DeviceEvent]]:
    """What devices and their home units said, likewise."""
    pairs = list(wanted)
    by_number = {assignment.activation_no: assignment for assignment, _ in pairs}
    events: defaultdict[int, list[DeviceEvent]] = defaultdict(list)
    for row in await connection.fetch(EVENTS, [a.activation_no for a, _ in pairs], *spans_of(pairs)):
        named = row["hmu_id"] if row["type"] in NAME_A_UNIT else None
        unit = by_number[row["activation_no"]].requirement_of_unit(named, row["own_ms"])
        event = DeviceEvent(
            row["own_ms"], EventType(row["type"]), unit, row["received_ms"], row["fact_id"], row["sent_by"]
        )
        events[row["activation_no"]].append(event)
    return events


def stored_fact(assignment: Assignment, report: PositionReport | EventReport, received_ms: int, fact_id: int) -> Fact:
    """A report that was stored just now, as the judgement of its activation takes it."""
    unit = None
    if isinstance(report, EventReport):
        unit = assignment.requirement_of_unit(report.hmu_id, report.event_ms)
    return fact_of(report, unit, received_ms, fact_id)
