"""What a telephone sends over HTTP when somebody checks in with it: who it calls itself, what it shows, where it says it is.

A telephone is in the hands of who is judged, and says where it was told to be: what it sends is never authenticated, whatever it
shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from geofence import Mechanism
from ingest.protocols.conversation import Reading, Report
from ingest.protocols.tracker_reports import instant

RADIUS_95_OF_68 = 1.62
"""Telephones name the radius that holds the true place 68 times of 100; for errors that are the same in all directions the one that
holds it 95 times is so much longer."""
LATEST_IN_SECONDS = 10**11
"""A greater number counts milliseconds: as seconds it is after the year 5000."""


class NotACheckIn(ValueError):
    """Who it is cannot be told. The message says what was expected."""


class CheckIn(NamedTuple):
    """`identifier`: what the telephone calls itself. `key`: the key of its device; empty: it shows none. `fields`: what it says."""

    identifier: str
    key: str
    fields: Mapping[str, Any]


class Asked(NamedTuple):
    """A request as it came. `query`: without the question mark. `key`, `user`: of its Authorization, empty where there is none."""

    query: str
    headers: Mapping[str, str]
    body: bytes
    user: str = ""
    key: str = ""


def place(at: Any, lat: Any, lon: Any, accuracy: Any, **fields: Any) -> Report:
    """What can be read as a number is one; what cannot stays as it is, and is refused with its reason."""
    said = {name: number(value) for name, value in fields.items() if value is not None}
    radius_m = number(accuracy)
    if isinstance(radius_m, float) and radius_m > 0:
        said["precision_m"] = radius_m * RADIUS_95_OF_68
    where = {"lat_deg": number(lat), "lon_deg": number(lon), "mechanism": str(Mechanism.GPS)}
    return {"type": "position", "fix_time": moment(at), **where, **said}


def number(value: Any) -> Any:
    """A finite number, or the value as it came."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return value
    return found if math.isfinite(found) else str(value)


def moment(value: Any) -> Any:
    """Seconds or milliseconds since 1970 as a time; anything else as it came."""
    counted = number(value)
    if not isinstance(counted, float):
        return value
    return instant(round(counted if abs(counted) > LATEST_IN_SECONDS else counted * 1000))


def kept(protocol: str, fields: Mapping[str, Any], *reports: Report) -> Reading:
    """With what the telephone said, so that it can be read again."""
    return Reading(tuple({"protocol": protocol, "frame": dict(fields), **report} for report in reports))
