"""Which texts are times. A grammar of our own, the same on every Python: the one of the standard library grows with its versions.

    time   = date ("T" / "t" / " ") hour ":" minute [":" second [("." / ",") 1*digit]] [zone]
    date   = year "-" month "-" day          (four, two and two digits)
    zone   = [" "] ("Z" / "z" / ("+" / "-") hour [[":"] minute])

or the same without any "-" and ":" in date and time (20260302T185900Z). Digits are those of ASCII. `docs/forms.md` says it to
people.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

_ZONE = r"(?: ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?"
_EXTENDED = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?" + _ZONE
)
_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})[Tt]([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:[.,]([0-9]+))?)?" + _ZONE)
_LONGEST = 60
_EXAMPLE = "write it as 2026-03-02T19:00:00Z"
_KNOWN_TROUBLES = (
    (re.compile(r"[+-]?[0-9]+(\.[0-9]+)?"), "a number; " + _EXAMPLE),
    (re.compile(r".*\[[A-Za-z_/+-]+\]"), "a time with the name of a zone; write the offset alone, such as +01:00"),
    (re.compile(r".*[0-9] ?[A-Za-z]{2,5}"), "a time with the name of a zone; write Z, or the offset such as +01:00"),
    (
        re.compile(r".*[\u2212\u2010-\u2015].*"),
        "a time with a minus or dash that is not the ASCII one; write - there",
    ),
    (re.compile(r"[0-9]{4}-?W[0-9]{2}.*"), "a date by its week; write month and day, as in 2026-03-02T19:00:00Z"),
    (re.compile(r"[0-9]{4}-[0-9]{3}[^0-9].*"), "a date by its day of the year; write month and day"),
    (re.compile(r"[+-][0-9]{4,}-.*"), "a year of other than four digits; " + _EXAMPLE),
    (
        re.compile(r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}.*"),
        "a date whose day and month could be either; " + _EXAMPLE,
    ),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "a date without a time of day; " + _EXAMPLE),
    (re.compile(r".*[+-][0-9]:?[0-9]{0,2}"), "a time whose offset has one digit; write two, such as +01:00"),
)
"""What people and programs write instead, and what to tell them. The first that fits is told."""


class NotAnInstant(ValueError):
    """A text that is no time with a zone. The message says why, and what to write."""


def read_time(text: str) -> datetime:
    """The time in a text, with its zone if the text has one; what is finer than a millisecond is cut off. Raises NotAnInstant."""
    found = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    if found is None:
        raise NotAnInstant(_trouble_with(text))
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    _refuse_what_no_clock_shows(text, hour, minute, second or "00")
    at = _zone_of(text, zone)
    millisecond = int(((fraction or "") + "000")[:3])
    try:
        on_day = date(int(year), int(month), int(day))
    except ValueError as error:
        raise NotAnInstant(f"{text!r} is a day that no calendar has; {_EXAMPLE}") from error
    return datetime.combine(on_day, time(int(hour), int(minute), int(second or 0), millisecond * 1000), at)


def _refuse_what_no_clock_shows(text: str, hour: str, minute: str, second: str) -> None:
    if hour == "24":
        raise NotAnInstant(f"{text!r} is of 24:00, which is no time of day here; write 00:00 of the day after")
    if second == "60":
        raise NotAnInstant(f"{text!r} is of second 60, a leap second, which has no place here; write second 59")
    if hour > "23" or minute > "59" or second > "59":
        raise NotAnInstant(f"{text!r} is a time of day that no clock shows; {_EXAMPLE}")


def _zone_of(text: str, zone: str | None) -> timezone | None:
    if zone is None:
        return None
    if zone in "Zz":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    if hours > 23 or minutes > 59:
        raise NotAnInstant(f"{text!r} has an offset of {zone}; expected one within ±23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)


def _trouble_with(text: str) -> str:
    shown = repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
    if len(text) <= _LONGEST:
        for form, what in _KNOWN_TROUBLES:
            if form.fullmatch(text):
                return f"{shown} is {what}"
    return f"{shown} is not an ISO 8601 time; {_EXAMPLE}"
