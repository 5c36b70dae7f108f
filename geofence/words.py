"""The field's words as types: what a fact, a presence and a finding can be called.

Instants are integers: milliseconds of UTC since 1970. A time without a zone cannot be read (`parse_instant`),
and what is finer than a millisecond is cut off.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import NewType

from geofence.time_grammar import NotAnInstant, read_time

WearerId = NewType("WearerId", str)
DeviceId = NewType("DeviceId", str)
ActivationId = NewType("ActivationId", str)
RequirementId = NewType("RequirementId", str)
EntryId = NewType("EntryId", str)
"""One version (entry) of a requirement; each is judged by itself."""

ALWAYS_MS = -(2**62)
FOREVER_MS = 2**62
"""Ends of the time line: an interval without a beginning or an end. Not "unknown"."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
FIRST_MS = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // _MS
LAST_MS = (datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH) // _MS


class Presence(IntEnum):
    """Where a wearer is with regard to a zone. UNKNOWN is a value, never read as one of the others."""

    OUTSIDE = -1
    UNKNOWN = 0
    INSIDE = 1


class Mechanism(StrEnum):
    """How a position was found. A position by RF is a position like the others, not a home-unit sighting."""

    RF = "RF"
    GPS = "GPS"
    WIFI = "WIFI"
    LBS = "LBS"


class ObligationKind(StrEnum):
    EXCLUSION = "EXCLUSION"
    INCLUSION = "INCLUSION"
    CURFEW = "CURFEW"
    ATTENDANCE = "ATTENDANCE"


class EvidenceKind(StrEnum):
    """What a device can tell of places: positions of its own, or whether a home unit hears it."""

    POSITION = "POSITION"
    RF = "RF"


class EventType(StrEnum):
    RF_IN = "RF_IN"
    RF_OUT = "RF_OUT"
    HMU_MOVED = "HMU_MOVED"
    HMU_POWER_LOST = "HMU_POWER_LOST"
    HMU_POWER_RESTORED = "HMU_POWER_RESTORED"
    STRAP_TAMPER = "STRAP_TAMPER"
    STRAP_CLEAR = "STRAP_CLEAR"
    CASE_TAMPER = "CASE_TAMPER"
    CASE_CLEAR = "CASE_CLEAR"
    BATTERY_LOW = "BATTERY_LOW"
    BATTERY_CRITICAL = "BATTERY_CRITICAL"
    BATTERY_OK = "BATTERY_OK"
    JAMMING = "JAMMING"
    JAMMING_CLEAR = "JAMMING_CLEAR"
    ALCOHOL_DETECTED = "ALCOHOL_DETECTED"
    ALCOHOL_CLEAR = "ALCOHOL_CLEAR"
    HEARTBEAT = "HEARTBEAT"


class Kind(StrEnum):
    """Kinds of finding (RULES.md section 5)."""

    EXCLUSION = "EXCLUSION"
    APPROACH = "APPROACH"
    INCLUSION = "INCLUSION"
    CURFEW = "CURFEW"
    ATTENDANCE = "ATTENDANCE"
    UNVERIFIED = "UNVERIFIED"
    NO_COMMUNICATION = "NO_COMMUNICATION"
    TAMPER = "TAMPER"
    BATTERY = "BATTERY"
    HMU = "HMU"
    JAMMING = "JAMMING"
    ALCOHOL = "ALCOHOL"


class CurfewReason(StrEnum):
    OUT_AT_START = "OUT_AT_START"
    RETURNED_LATE = "RETURNED_LATE"
    LEFT_DURING = "LEFT_DURING"
    OUT_AT_END = "OUT_AT_END"
    OUT_ENTIRE_PERIOD = "OUT_ENTIRE_PERIOD"
    SEEN_OUT = "SEEN_OUT"


def instant_of(moment: datetime) -> int:
    """Milliseconds since 1970 of `moment`; what is finer is cut off. Raises NotAnInstant without a zone."""
    if moment.tzinfo is None:
        raise NotAnInstant("a time without a zone; write it as 2026-03-02T19:00:00Z")
    instant_ms: int = (moment - _EPOCH) // _MS
    if not FIRST_MS <= instant_ms <= LAST_MS:
        raise NotAnInstant("a time outside the years 1 to 9999 of UTC")
    return instant_ms


def parse_instant(text: str) -> int:
    """Milliseconds since 1970 of a time with a zone, by the grammar of `time_grammar`. Raises NotAnInstant, which says what is
    wrong."""
    size = len(text)
    if (size == 20 or size == 24) and text[10] == "T" and text[13] == text[16] == ":" and text[-1] == "Z":
        # As devices write it: 0.7 of 5 µs.
        hour, minute, second = _HOURS_MS.get(text[11:13]), _MINUTES_MS.get(text[14:16]), _SECONDS_MS.get(text[17:19])
        fraction = 0 if size == 20 else _FRACTIONS_MS.get(text[19:23])
        if hour is not None and minute is not None and second is not None and fraction is not None:
            try:
                instant_ms = _midnight_ms(text[:10]) + hour + minute + second + fraction
            except NotAnInstant:
                return instant_of(read_time(text))  # what is said of a day that is none names the whole text
            if instant_ms <= LAST_MS:
                return instant_ms
    return instant_of(read_time(text))


@lru_cache(maxsize=4_096)
def _midnight_ms(day: str) -> int:
    return instant_of(read_time(day + "T00:00:00Z"))


_HOURS_MS = {f"{hour:02}": hour * 3_600_000 for hour in range(24)}
_MINUTES_MS = {f"{minute:02}": minute * 60_000 for minute in range(60)}
_SECONDS_MS = {f"{second:02}": second * 1_000 for second in range(60)}
_FRACTIONS_MS = {f"{sign}{ms:03}": ms for ms in range(1_000) for sign in ".,"}


def instant_or_none(moment: datetime | None) -> int | None:
    """The same of a moment that may not be there."""
    return None if moment is None else instant_of(moment)


def datetime_of(instant_ms: int) -> datetime:
    """The UTC datetime of an instant. Raises OverflowError beyond the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=instant_ms)


def format_instant(instant_ms: int) -> str:
    """ISO 8601 in UTC with Z; milliseconds only where they are not zero."""
    text = datetime_of(instant_ms).isoformat(timespec="milliseconds" if instant_ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")
