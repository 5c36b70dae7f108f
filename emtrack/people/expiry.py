"""Until when a credential is good, as people write it. By the time of the machine: an emulated hour guards nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emtrack.errors import MendableError
from geofence import NotAnInstant, datetime_of, format_instant, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

NEVER = "never"
DAY_MS = 86_400_000
_UNITS_MS = {"d": DAY_MS, "h": 3_600_000, "m": 60_000, "s": 1000}
_LONGEST_MS = 3_660 * DAY_MS
_LENGTH = re.compile(r"([0-9]{1,6})([dhms])", re.ASCII)


class UnfitExpiry(MendableError, ValueError):
    """A time that a credential cannot have. The message says what was expected."""


def read_expiry(text: str, now_ms: int) -> datetime | None:
    """An instant, a length from now (90d, 12h, 30m, 45s), or "never" (None). Raises UnfitExpiry."""
    if text == NEVER:
        return None
    until_ms = _until_ms(text, now_ms)
    if until_ms > now_ms + _LONGEST_MS:
        raise UnfitExpiry(f"{text!r} is more than ten years ahead; write {NEVER!r} for what does not expire")
    return datetime_of(until_ms)


def _until_ms(text: str, now_ms: int) -> int:
    if match := _LENGTH.fullmatch(text):
        return now_ms + int(match[1]) * _UNITS_MS[match[2]]
    try:
        return parse_instant(text)
    except NotAnInstant as error:
        expected = f"expected a length (90d, 12h, 30m, 45s), an instant such as 2027-03-01T00:00:00Z, or {NEVER}"
        raise UnfitExpiry(f"{text[:60]!r} is no time: {expected}") from error


def told_expiry(at: datetime | None) -> str:
    """For tables and records."""
    return NEVER if at is None else format_instant(round(at.timestamp() * 1000))
