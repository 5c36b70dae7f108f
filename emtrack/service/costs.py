"""What it would cost to judge an activation again: in facts that are fed, and days of obligations that are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from geofence import ALWAYS_MS, datetime_of
from geofence.judgement import DAY_MS

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.service.activations import LiveActivation


class Budget(NamedTuple):
    """What a turn may cost: of one activation that is judged again, and of all."""

    most: int
    turn: int


USUAL = Budget(2_000, 4_000)
"""Some 20 ms for one, and 40 ms for all. What costs more is judged beside the turns."""
UNBOUNDED = Budget(10**12, 10**15)
"""For who has all the time there is: nothing is put off."""
BY_ITSELF = 100
"""What it costs to judge one again that has no facts: it is read, compared and recorded, each with questions of its own."""
LITTLE_MS = 10 * 60_000
"""Of a fact that is late by no more nobody counts the facts of its window: there is one a second at most."""

# Counted up to a bound only: what is more is too much.
COUNTS = """
SELECT w.activation_no, p.facts + e.facts AS facts
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS w (activation_no, device_no, begin_at, end_at)
CROSS JOIN LATERAL (SELECT count(*) AS facts FROM (
    SELECT FROM positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at LIMIT $5) few) p
CROSS JOIN LATERAL (SELECT count(*) AS facts FROM (
    SELECT FROM device_events WHERE device_no = w.device_no AND event_time >= w.begin_at AND event_time < w.end_at LIMIT $5) few) e
"""


async def costs_of(connection: Connection, lives: Sequence[LiveActivation], most: int, now_ms: int) -> dict[int, int]:
    """Of judging each from its start; nobody counts further than `most`."""
    return await _counted(connection, [(live, ALWAYS_MS) for live in lives], most, now_ms)


async def late_cost(connection: Connection, live: LiveActivation, late_ms: int, most: int, now_ms: int) -> int:
    """Of judging one again from a checkpoint before a late fact, which may be as old again as the fact is."""
    age_ms = max(0, now_ms - late_ms)
    if age_ms <= LITTLE_MS:
        return 2 * age_ms // 1_000
    return (await _counted(connection, [(live, late_ms - age_ms)], most, now_ms))[live.number]


async def _counted(
    connection: Connection, wanted: Sequence[tuple[LiveActivation, int]], most: int, now_ms: int
) -> dict[int, int]:
    if not wanted:
        return {}
    spans = [(live, max(since_ms, live.assignment.plan.activation.from_ms)) for live, since_ms in wanted]
    rows = await connection.fetch(
        COUNTS,
        [live.number for live, _ in spans],
        [live.assignment.device_no for live, _ in spans],
        [datetime_of(since_ms) for _, since_ms in spans],
        [datetime_of(_until_ms(live, now_ms)) for live, _ in spans],
        most + 1,
    )
    facts = {row["activation_no"]: row["facts"] for row in rows}
    return {live.number: BY_ITSELF + facts[live.number] + _days(live, since_ms, now_ms) for live, since_ms in spans}


def _until_ms(live: LiveActivation, now_ms: int) -> int:
    return max(min(live.assignment.plan.activation.to_ms, now_ms + 1), live.assignment.plan.activation.from_ms)


def _days(live: LiveActivation, since_ms: int, now_ms: int) -> int:
    """Days of obligations, of each requirement."""
    days = max(0, _until_ms(live, now_ms) - since_ms) // DAY_MS
    return days * len(live.assignment.plan.judged)
