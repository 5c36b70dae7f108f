"""Bank holidays of England and Wales as gov.uk/bank-holidays lists them, and the working day after."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from emtrack.iom.working_days import bank_holidays, is_working_day, next_working_day
from geofence import format_instant, parse_instant

LONDON = ZoneInfo("Europe/London")
PUBLISHED = {
    2020: "01-01 04-10 04-13 05-08 05-25 08-31 12-25 12-28",
    2021: "01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28",
    2022: "01-03 04-15 04-18 05-02 06-02 06-03 08-29 09-19 12-26 12-27",
    2023: "01-02 04-07 04-10 05-01 05-08 05-29 08-28 12-25 12-26",
    2024: "01-01 03-29 04-01 05-06 05-27 08-26 12-25 12-26",
    2025: "01-01 04-18 04-21 05-05 05-26 08-25 12-25 12-26",
    2026: "01-01 04-03 04-06 05-04 05-25 08-31 12-25 12-28",
    2027: "01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28",
    2028: "01-03 04-14 04-17 05-01 05-29 08-28 12-25 12-26",
}


@pytest.mark.parametrize("year", PUBLISHED)
def test_bank_holidays_are_those_that_are_published(year: int) -> None:
    assert sorted(bank_holidays(year)) == [date.fromisoformat(f"{year}-{day}") for day in PUBLISHED[year].split()]


@pytest.mark.parametrize(
    ("due", "then"),
    [
        ("2026-03-02T17:00:00Z", "2026-03-03T17:00:00Z"),  # a Monday
        ("2026-03-06T17:00:00Z", "2026-03-09T17:00:00Z"),  # over a weekend
        ("2026-04-02T16:00:00Z", "2026-04-07T16:00:00Z"),  # over Easter, 17:00 both times
        ("2026-03-27T17:00:00Z", "2026-03-30T16:00:00Z"),  # the clock goes forward on the Sunday; 17:00 stays 17:00
        ("2026-12-24T17:00:00Z", "2026-12-29T17:00:00Z"),
    ],
)
def test_a_working_day_later_is_the_same_time_of_the_wall_clock(due: str, then: str) -> None:
    assert format_instant(next_working_day(parse_instant(due), LONDON)) == then


def test_saturdays_sundays_and_bank_holidays_are_no_working_days() -> None:
    assert [is_working_day(date(2026, 4, day)) for day in range(1, 8)] == [
        True,
        True,
        False,
        False,
        False,
        False,
        True,
    ]
