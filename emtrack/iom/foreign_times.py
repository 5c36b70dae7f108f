"""Times as case management systems write them: ISO 8601, or `Fri Jun 14 09:06:52 BST 2024` inside an envelope that is ISO.

The second form names its zone by letters that mean different things in different countries: a table says what they mean here, and
what is not in it is not read.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from geofence import NotAnInstant, instant_of, parse_instant

OFFSET_MINUTES: Final = {"GMT": 0, "UTC": 0, "WET": 0, "BST": 60, "IST": 60, "WEST": 60, "CET": 60, "CEST": 120, "EET": 120,
                         "EEST": 180}  # fmt: skip
"""Of zones that these systems write, east of UTC. BST and IST are the summer times of Britain and Ireland."""
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLES: Final = "2024-06-14T09:06:52+01:00, or Fri Jun 14 09:06:52 BST 2024"
LETTERED: Final = re.compile(
    r"([A-Z][a-z]{2}) ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d{2}):(\d{2}):(\d{2}) ([A-Z]{2,5}) (\d{4})", re.ASCII
)


def read_foreign_time(text: str) -> int:
    """Milliseconds since 1970. Raises NotAnInstant, which says what was expected."""
    match = LETTERED.fullmatch(text.strip())
    if match is None:
        try:
            return parse_instant(text.strip())
        except NotAnInstant as error:
            raise NotAnInstant(f"{error}; expected {EXAMPLES}") from error
    weekday, month, day, hour, minute, second, zone, year = match.groups()
    if zone not in OFFSET_MINUTES:
        raise NotAnInstant(
            f"{text!r}: {zone} is no zone that is known here; expected one of {', '.join(OFFSET_MINUTES)}"
        )
    try:
        number = MONTHS.index(month) + 1
        local = datetime(int(year), number, int(day), int(hour), int(minute), int(second),
                         tzinfo=timezone(timedelta(minutes=OFFSET_MINUTES[zone])))  # fmt: skip
    except ValueError as error:
        raise NotAnInstant(f"{text!r} is no time: {error}") from error
    if WEEKDAYS[local.weekday()] != weekday:
        raise NotAnInstant(f"{text!r}: that day was a {WEEKDAYS[local.weekday()]}")
    return instant_of(local.astimezone(UTC))


def read_foreign_day(text: str) -> date:
    """A calendar day: `2024-06-14` or `14/06/2024`. Raises NotAnInstant."""
    wanted = text.strip()
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(wanted, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise NotAnInstant(f"{wanted[:60]!r} is no day; expected 2024-06-14 or 14/06/2024")
