"""The core: what obliges whom, what was reported, and what follows. No I/O and no clock.

This door holds the words: ids, instants, facts, intervals, zones, obligations. What works on them has doors of its own:
`geofence.shapes` (zones out of GeoJSON, margins, sets), `geofence.judgement` (facts to findings) and `geofence.sweep` (many wearers
in one go). Who only needs the words loads no compiler.
"""

from geofence.facts import FUTURE_LIMIT_MS, DeviceEvent, Fact, Position, without_duplicates
from geofence.intervals import Interval, merged, subtracted
from geofence.obligations import (
    Activation,
    ActivationIndex,
    JudgementSettings,
    Plan,
    Requirement,
    TimetableRow,
    version_of,
    versions_of,
)
from geofence.time_grammar import NotAnInstant, read_time
from geofence.words import (
    ALWAYS_MS,
    FIRST_MS,
    FOREVER_MS,
    LAST_MS,
    ActivationId,
    CurfewReason,
    DeviceId,
    EntryId,
    EventType,
    Kind,
    Mechanism,
    ObligationKind,
    Presence,
    RequirementId,
    WearerId,
    datetime_of,
    format_instant,
    instant_of,
    parse_instant,
)
from geofence.zones import Area, Disc, LonLat, PolygonRings, Ring, SetZone, Shape, Zone

__all__ = [
    "ALWAYS_MS",
    "FIRST_MS",
    "FOREVER_MS",
    "FUTURE_LIMIT_MS",
    "LAST_MS",
    "Activation",
    "ActivationId",
    "ActivationIndex",
    "Area",
    "CurfewReason",
    "DeviceEvent",
    "DeviceId",
    "Disc",
    "EntryId",
    "EventType",
    "Fact",
    "Interval",
    "JudgementSettings",
    "Kind",
    "LonLat",
    "Mechanism",
    "NotAnInstant",
    "ObligationKind",
    "Plan",
    "PolygonRings",
    "Position",
    "Presence",
    "Requirement",
    "RequirementId",
    "Ring",
    "SetZone",
    "Shape",
    "TimetableRow",
    "WearerId",
    "Zone",
    "datetime_of",
    "format_instant",
    "instant_of",
    "merged",
    "parse_instant",
    "read_time",
    "subtracted",
    "version_of",
    "versions_of",
    "without_duplicates",
]
