"""Times by a grammar of our own: the same on every Python, and refused as what they are."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geofence import NotAnInstant, format_instant, instant_of, parse_instant, read_time

FIELD = Path(__file__).parent / "field"
ANSWERS = {
    "2026-03-02 18:55:00+00": "2026-03-02T18:55:00Z",
    "2026-03-02T18:56:00.655214846+0000": "2026-03-02T18:56:00.655Z",
    "2026-03-02T18:57:00.097414739+00:00": "2026-03-02T18:57:00.097Z",
    "2026-03-02t18:58:00z": "2026-03-02T18:58:00Z",
    "20260302T185900Z": "2026-03-02T18:59:00Z",
    "2026-03-02T19:00:00.1Z": "2026-03-02T19:00:00.100Z",
    "2026-03-02T18:01:30-01:00": "2026-03-02T19:01:30Z",
    "2026-03-02T19:02Z": "2026-03-02T19:02:00Z",
    "2026-03-02T19:03:00−00:00": "✗ not the ASCII one",
    "2026-03-02T19:04:00,5Z": "2026-03-02T19:04:00.500Z",
    "1772478300000": "✗ a number",
    "2026-03-02 19:06:00 UTC": "✗ the name of a zone",
    "2026-03-02T19:07:00 Z": "2026-03-02T19:07:00Z",
    "2026-03-02T19:08:00GMT": "✗ the name of a zone",
    "02/03/2026 19:09:00": "✗ day and month could be either",
    "2026-W10-1T19:10:00Z": "✗ a date by its week",
    "2026-03-02T24:00:00Z": "✗ 24:00, which is no time of day",
    "2026-03-02T23:59:60Z": "✗ second 60, a leap second",
    "2026-03-02T19:11:00+01:00[Europe/London]": "✗ write the offset alone",
    "2026-02-30T00:00:00Z": "✗ a day that no calendar has",
    "0000-03-13T09:11:26Z": "✗ a day that no calendar has",
    "9999-12-31T23:59:59Z": "✗ outside the years 1 to 9999",
    "0001-01-01T00:00:00+01:00": "✗ outside the years 1 to 9999",
    "9999-12-31T23:59:59-01:00": "✗ outside the years 1 to 9999",
    "+12026-03-02T19:11:00Z": "✗ a year of other than four digits",
    "2026-03-02T19:12:00.999999Z": "2026-03-02T19:12:00.999Z",
    "2026-03-02T19:13:00+0:00": "✗ an offset has one digit".replace("an offset", "offset"),
    "2026-03-02T19:14:00+24:00": "✗ an offset of +24:00",
    "2026-061T19:14:00Z": "✗ a date by its day of the year",
    "2026-03-02": "✗ a date without a time of day",
    "2026-03-02T19:00:00": "✗ a time without a zone",
    "2026-03-02T19:00:61Z": "✗ a time of day that no clock shows",
    "2026-03-02T٠٩:00:00Z": "✗ not an ISO 8601 time",
    "": "✗ not an ISO 8601 time",
}


def answer(text: str) -> str:
    try:
        return format_instant(parse_instant(text))
    except NotAnInstant as error:
        return f"✗ {error}"


@pytest.mark.parametrize("text", ANSWERS)
def test_a_time_is_read_or_refused_as_what_it_is(text: str) -> None:
    expected = ANSWERS[text]
    said = answer(text)
    assert said == expected if not expected.startswith("✗") else expected.removeprefix("✗ ") in said


def test_every_time_of_the_file_from_the_field_has_its_answer_here() -> None:
    with (FIELD / "04" / "positions.csv").open() as file:
        assert [row["fix_time"] for row in csv.DictReader(file) if row["fix_time"] not in ANSWERS] == []


FIRST, LAST = datetime.fromisoformat("0002-01-01T00:00"), datetime.fromisoformat("9998-01-01T00:00")
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(FIRST, LAST, timezones=offsets), st.sampled_from(["T", "t", " "]))
def test_a_time_that_a_program_writes_is_read_as_it_was_meant(moment: datetime, between: str) -> None:
    assert parse_instant(moment.isoformat(between)) == instant_of(moment.astimezone(UTC))


@given(st.text(st.sampled_from("0123456789-:+.,TZ wW[]"), max_size=32))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    answer(text)


@given(
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
    st.integers(0, 23),
    st.sampled_from("0123456789.,:-TtZz ٣"),
)
@example("9999-12-29T12:00:00.001Z", 0, "9")
def test_what_devices_write_is_read_as_the_grammar_reads_it(text: str, place: int, other: str) -> None:
    """The quick way of `parse_instant` and the grammar, with one character wrong and with none."""
    for written in (text, text[:19] + "Z", text[:place] + other + text[place + 1 :]):
        try:
            expected: object = instant_of(read_time(written))
        except NotAnInstant as error:
            expected = str(error)
        try:
            found: object = parse_instant(written)
        except NotAnInstant as error:
            found = str(error)
        assert found == expected
