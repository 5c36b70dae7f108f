"""The nights in which the clocks change, 2015 to 2035: periods of curfews against a clock that is watched (RULES.md section 2)."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from geofence.judgement.timetable import row_interval
from geofence.words import format_instant
from tests.oracle import row_span

LONDON = ZoneInfo("Europe/London")
PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "uk-bank-holidays" / "europe_london_transitions.csv"
ROWS = {
    "a night": ("19:00", "07:00"),
    "an hour that is twice or never": ("01:00", "02:00"),
    "within it": ("01:30", "02:30"),
    "up to it": ("00:00", "01:00"),
    "from its middle": ("00:30", "01:30"),
    "a whole day": ("01:00", "01:00"),
    "another whole day": ("19:00", "19:00"),
}


def changes() -> list[datetime]:
    """The instants at which the clocks change, found by looking at every hour."""
    found, hour = [], datetime(2015, 1, 1, tzinfo=UTC)
    while hour.year < 2036:
        after = hour + timedelta(hours=1)
        if hour.astimezone(LONDON).utcoffset() != after.astimezone(LONDON).utcoffset():
            found.append(after)
        hour = after
    return found


CHANGES = changes()


def minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def test_the_clocks_change_twice_a_year() -> None:
    assert len(CHANGES) == 42
    assert {change.year for change in CHANGES} == set(range(2015, 2036))


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published transitions do not lie beside this repository")
def test_they_change_when_the_published_list_says() -> None:
    with PUBLISHED.open() as file:
        assert [datetime.fromisoformat(row["utc_instant"]) for row in csv.DictReader(file)] == CHANGES


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change:%Y-%m-%d}")
def test_every_row_round_a_change_obliges_what_a_watched_clock_says(change: datetime) -> None:
    for name, (start, end) in ROWS.items():
        for shift in (-1, 0, 1):
            day: date = change.date() + timedelta(days=shift)
            found = row_interval("Europe/London", day.toordinal(), minutes(start), minutes(end))
            expected = row_span(day, minutes(start), minutes(end), "Europe/London")
            assert (None if found is None else tuple(found)) == expected, f"{name} on {day}"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change:%Y-%m-%d}")
def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn(change: datetime) -> None:
    evening = change.date() - timedelta(days=1)
    found = row_interval("Europe/London", evening.toordinal(), minutes("19:00"), minutes("07:00"))
    assert found is not None
    hours = (found.end_ms - found.begin_ms) / 3_600_000
    assert hours == (11 if change.month == 3 else 13), format_instant(found.begin_ms)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change:%Y-%m-%d}")
def test_what_lies_in_the_changed_hour_is_read_in_favour_of_liberty(change: datetime) -> None:
    spring = change.month == 3
    hour = row_interval("Europe/London", change.date().toordinal(), minutes("01:00"), minutes("02:00"))
    if spring:  # 01:00 to 02:00 does not exist: nothing is obliged
        assert hour is None
    else:  # a start takes the later 01:00; 02:00 is there once
        assert hour is not None
        assert hour.end_ms - hour.begin_ms == 3_600_000
        assert format_instant(hour.begin_ms) == f"{change:%Y-%m-%d}T01:00:00Z"
        # an end in the hour that comes twice takes the earlier
        upto = row_interval("Europe/London", change.date().toordinal(), minutes("00:30"), minutes("01:30"))
        assert upto is not None
        assert upto.end_ms - upto.begin_ms == 3_600_000
