"""Sightings of home units: what they say, of which requirements, and when they take precedence over positions (RULES.md section 3).

While the latest sighting said "in range", and is younger than the gap, positions on its requirement are recorded and not used. A
sighting "out of range" ends that, and so does a unit that is moved or without power.
"""

from __future__ import annotations

from geofence.facts import DeviceEvent
from geofence.obligations import Requirement
from geofence.words import EventType, ObligationKind, Presence

_SAYS = {EventType.RF_IN: Presence.INSIDE, EventType.RF_OUT: Presence.OUTSIDE}
_TROUBLE = frozenset({EventType.HMU_MOVED, EventType.HMU_POWER_LOST})


def concerns(event: DeviceEvent, requirement: Requirement) -> bool:
    """Whether what a home unit says bears on a requirement: on the curfew that it names, or on every curfew if it names none."""
    named = event.requirement_id in (None, requirement.requirement_id)
    return named and requirement.kind is ObligationKind.CURFEW and event.is_judged


def verdict_of_sighting(event: DeviceEvent, requirement: Requirement) -> Presence:
    """What an event says of a requirement as a sighting; UNKNOWN if it is none, or of another."""
    return _SAYS.get(event.type, Presence.UNKNOWN) if concerns(event, requirement) else Presence.UNKNOWN


def in_range_after(in_range_ms: int | None, decided_ms: int | None, event: DeviceEvent) -> int | None:
    """The sighting "in range" that has precedence after an event that concerns the requirement; None if none has. in_range_ms: the
    one before it; decided_ms: the last decisive verdict, because at one instant the first counts."""
    if event.type in _TROUBLE:
        return None
    if event.type not in _SAYS or event.event_ms == decided_ms:
        return in_range_ms
    return event.event_ms if _SAYS[event.type] is Presence.INSIDE else None


def overrules(in_range_ms: int | None, at_ms: int, max_gap_ms: int) -> bool:
    """Whether a position at an instant is recorded and not used."""
    return in_range_ms is not None and at_ms - in_range_ms < max_gap_ms
