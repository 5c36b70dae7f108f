"""What home units say, of which requirements, and when it takes precedence over positions (RULES.md section 3).

While the latest sighting said "in range", and is young enough, positions on its requirement are recorded and not used. A sighting
"out of range" ends that, and so does a unit that is moved or without power, until the next sighting.

A heartbeat that names a unit *repeats* what the unit saw last, as a sighting at its own time, unless the unit was in trouble since,
or a position that was used said the opposite.
"""

from __future__ import annotations

import msgspec

from geofence.facts import DeviceEvent
from geofence.obligations import Requirement
from geofence.words import ALWAYS_MS, EventType, ObligationKind, Presence

_SAYS = {EventType.RF_IN: Presence.INSIDE, EventType.RF_OUT: Presence.OUTSIDE}
_TROUBLE = frozenset({EventType.HMU_MOVED, EventType.HMU_POWER_LOST})


class HomeUnitState(msgspec.Struct, frozen=True, array_like=True):
    """What was said last: the sighting, until when it holds presence, until when it overrules positions, and whether a heartbeat
    repeats it."""

    value: int = Presence.UNKNOWN
    holds_to_ms: int = ALWAYS_MS
    overrules_to_ms: int = ALWAYS_MS
    is_repeated: bool = False

    def after_trouble(self, cut_ms: int) -> HomeUnitState:
        """The unit was moved or lost power: it speaks no longer."""
        return HomeUnitState(self.value, min(self.holds_to_ms, cut_ms))

    def after_position(self, value: int) -> HomeUnitState:
        """A position was used that says a decisive value."""
        if not self.is_repeated or value == self.value:
            return self
        return msgspec.structs.replace(self, is_repeated=False)

    def overrules(self, at_ms: int) -> bool:
        """Whether a position at an instant is recorded and not used."""
        return at_ms < self.overrules_to_ms


def sighted(value: int, at_ms: int, rf_gap_ms: int, max_gap_ms: int) -> HomeUnitState:
    """After a sighting that counts. rf_gap_ms: how long it speaks; it never overrules positions for longer than max_gap."""
    overrules_to_ms = at_ms + min(rf_gap_ms, max_gap_ms) if value == Presence.INSIDE else ALWAYS_MS
    return HomeUnitState(value, at_ms + rf_gap_ms, overrules_to_ms, is_repeated=True)


def concerns(event: DeviceEvent, requirement: Requirement) -> bool:
    """Whether what a home unit says bears on a requirement: on the curfew that it names, or on every curfew if it names none."""
    named = event.requirement_id in (None, requirement.requirement_id)
    return named and requirement.kind is ObligationKind.CURFEW and event.is_judged


def is_trouble(event: DeviceEvent) -> bool:
    """Whether a home unit says that it can no longer be believed."""
    return event.type in _TROUBLE


def verdict_of_sighting(event: DeviceEvent, requirement: Requirement, unit: HomeUnitState) -> Presence:
    """What an event says of a requirement as a sighting; UNKNOWN if it is none, or of another. unit: as it was before the event."""
    if not concerns(event, requirement):
        return Presence.UNKNOWN
    if event.type is EventType.HEARTBEAT and unit.is_repeated:
        return Presence(unit.value)
    return _SAYS.get(event.type, Presence.UNKNOWN)
