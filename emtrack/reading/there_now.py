"""Is the person there now? At home, in the zone, or not known: what the judgement says of the presence at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.reading.band import presence_parts
from emtrack.record.facts import load_facts
from emtrack.record.plans import Assignment, load_assignments
from geofence import Interval, ObligationKind, Presence, Requirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emtrack.db.connect import Connection
    from emtrack.reading.history import View
    from emtrack.record.zone_sets import ZoneSetCache

LEAD_MS = 24 * 3_600_000
"""Facts are weighed from so long before the time of the view."""


class There(NamedTuple):
    """`requirement` None: the person has none in force that the question could be about. `since_ms` None: for longer than the view.
    `has_tag`: whether one is worn."""

    requirement: Requirement | None
    presence: Presence
    since_ms: int | None
    has_tag: bool


async def there_at(
    connection: Connection, view: View, requirement_id: str | None, known_ms: int, zone_sets: ZoneSetCache
) -> There:
    """At the end of a view, about a requirement; None: about the address of a curfew, if there is one."""
    worn = [
        a for a in (await load_assignments(connection, known_ms, [view.wearer_no])).values() if _is_worn(a, known_ms)
    ]
    if not worn:
        return There(None, Presence.UNKNOWN, None, has_tag=False)
    assignment = worn[-1]
    requirement = _asked(assignment.plan.requirements, requirement_id, known_ms)
    if requirement is None:
        return There(None, Presence.UNKNOWN, None, has_tag=True)
    activation = assignment.plan.activation
    begin_ms = max(view.begin_ms, activation.from_ms, requirement.from_ms)
    span = Interval(min(begin_ms, known_ms - 1), known_ms)
    facts = (await load_facts(connection, [(assignment, span.begin_ms - LEAD_MS)]))[assignment.activation_no]
    sets = await zone_sets.sets_of(connection, [requirement])
    parts = presence_parts(assignment.plan, requirement, facts, span, known_ms, sets)
    if not parts:
        return There(requirement, Presence.UNKNOWN, None, has_tag=True)
    last = parts[-1]
    return There(requirement, last.presence, last.begin_ms if last.begin_ms > span.begin_ms else None, has_tag=True)


def _is_worn(assignment: Assignment, now_ms: int) -> bool:
    activation = assignment.plan.activation
    return activation.from_ms <= now_ms < activation.to_ms


def _asked(requirements: Sequence[Requirement], requirement_id: str | None, now_ms: int) -> Requirement | None:
    in_force = [r for r in requirements if r.from_ms <= now_ms < r.to_ms]
    if requirement_id is not None:
        return next((r for r in in_force if r.requirement_id == requirement_id), None)
    return next((r for r in in_force if r.kind is ObligationKind.CURFEW), None)
