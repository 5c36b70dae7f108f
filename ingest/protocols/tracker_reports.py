"""Reports of trackers, as devices send them over HTTP: positions of receivers, events, and how bad is bad."""

from __future__ import annotations

from typing import Any

from geofence import DEFAULT_RADIUS_M, EventType, Mechanism, format_instant
from ingest.protocols.conversation import Report

UNKNOWN_RADIUS_M = DEFAULT_RADIUS_M[Mechanism.GPS]
"""What stands for a precision that is not known."""
METRES_OF_HDOP = 10.0
"""A GNSS receiver is off by some 5 m for a dilution of 1, and a circle of twice that holds the true place 95 times of 100."""
LOW_BATTERY_PERCENT, CRITICAL_BATTERY_PERCENT = 20, 10


def instant(at_ms: int) -> str:
    """Milliseconds since 1970 as text. One that no calendar has is written down as it is: its report is refused, and no other."""
    try:
        return format_instant(at_ms)
    except (OverflowError, ValueError):
        return f"{at_ms} ms after 1970"


def gps_position(at: str | None, lat_deg: Any, lon_deg: Any, dilution: float | None, **fields: Any) -> Report:
    """A position of a GNSS receiver. `dilution`: HDOP, or PDOP, which is never less; None: not said. Its circle is never less than
    what stands for an unknown one, and wider where the receiver says that it saw badly. `fields` that are None are left out."""
    said = {name: value for name, value in fields.items() if value is not None}
    if dilution is not None and dilution * METRES_OF_HDOP > UNKNOWN_RADIUS_M:
        said["precision_m"] = dilution * METRES_OF_HDOP
    place = {"lat_deg": lat_deg, "lon_deg": lon_deg, "mechanism": str(Mechanism.GPS)}
    return {"type": "position", "fix_time": at, **place, **said}


def event_at(at: str | None, event: EventType) -> Report:
    """An event; `at` None: of the moment at which it came in."""
    return {"type": "event", "event": str(event)} | ({} if at is None else {"event_time": at})


def battery_trouble(percent: float) -> EventType | None:
    """What a battery that is so full is to be told of."""
    if percent <= CRITICAL_BATTERY_PERCENT:
        return EventType.BATTERY_CRITICAL
    return EventType.BATTERY_LOW if percent <= LOW_BATTERY_PERCENT else None
