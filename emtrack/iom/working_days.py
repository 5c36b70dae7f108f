"""Working days of England and Wales: Monday to Friday but for bank holidays.

The days follow from the Banking and Financial Dealings Act 1971 and the proclamations under it: a holiday that falls on a weekend is
kept on the next day that is none. Days that were proclaimed or moved for one year stand in a table; a new one is a line there. Easter
is the Gregorian computus (Meeus, Astronomical Algorithms, chapter 8).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAY: Final = timedelta(days=1)
MONDAY: Final = 0
SATURDAY: Final = 5
ONCE: Final = (date(2022, 6, 3), date(2022, 9, 19), date(2023, 5, 8))
"""Platinum Jubilee, the Queen's funeral, the Coronation."""
MOVED: Final = {
    date(2020, 5, 4): date(2020, 5, 8),  # 75 years of VE Day
    date(2022, 5, 30): date(2022, 6, 2),  # Platinum Jubilee
}


@lru_cache(maxsize=64)
def bank_holidays(year: int) -> frozenset[date]:
    easter = _easter(year)
    spring = [easter - 2 * DAY, easter + DAY, _first_monday(year, 5), _last_monday(year, 5), _last_monday(year, 8)]
    days = {MOVED.get(day, day) for day in spring} | {day for day in ONCE if day.year == year}
    for fixed in (date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)):
        days.add(_kept(fixed, days))
    return frozenset(days)


def is_working_day(day: date) -> bool:
    return day.weekday() < SATURDAY and day not in bank_holidays(day.year)


def next_working_day(instant_ms: int, zone: ZoneInfo) -> int:
    """The same time of the wall clock on the next working day; one that the clock leaves out that day is taken an hour later."""
    wall = datetime_of(instant_ms).astimezone(zone)
    day = wall.date() + DAY
    while not is_working_day(day):
        day += DAY
    then = datetime.combine(day, wall.time(), zone)
    return instant_of(then.astimezone(UTC))


def _kept(day: date, taken: set[date]) -> date:
    while day.weekday() >= SATURDAY or day in taken:
        day += DAY
    return day


def _first_monday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + (MONDAY - first.weekday()) % 7 * DAY


def _last_monday(year: int, month: int) -> date:
    last = date(year, month, 31)  # May and August
    return last - last.weekday() * DAY


def _easter(year: int) -> date:
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    ell = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * ell) // 451
    month, day = divmod(h + ell - 7 * m + 114, 31)
    return date(year, month, day + 1)
