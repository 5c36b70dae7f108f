"""Identifiers of other systems, and the times that they write: kept as given, never an error for the whole file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.iom.foreign_times import OFFSET_MINUTES, read_foreign_day, read_foreign_time
from emtrack.iom.identifiers import CHECK_LETTERS, Scheme, check_letter, identifier
from geofence import NotAnInstant, parse_instant

YEAR = 2026


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (Scheme.PNC, "2012/0394773H"),
        (Scheme.PNC, "2003/0062845E"),
        (Scheme.PNC, "1998/0020001F"),
        (Scheme.CRO, "265416/21G"),
        (Scheme.CRN, "X123456"),
        (Scheme.NOMS, "A1234BC"),
    ],
)
def test_the_valid_numbers_of_the_specification_are_valid_and_canonical(scheme: Scheme, text: str) -> None:
    found = identifier(scheme, text, YEAR)
    assert (found.canonical, found.is_valid, found.flag) == (text, True, None)


@pytest.mark.parametrize(
    "text",
    ["12/394773H", "2012/394773H", "20120394773H", "12394773H", "120394773H", " 2012/0394773h ", "2012 / 0394773 H"],
)
def test_one_pnc_has_one_canonical_form_however_it_is_typed(text: str) -> None:
    found = identifier(Scheme.PNC, text, YEAR)
    assert (found.canonical, found.is_valid, found.given) == ("2012/0394773H", True, text.strip())


def test_a_two_digit_year_above_the_current_one_is_of_the_century_before() -> None:
    assert identifier(
        Scheme.PNC, f"27/1{check_letter('270000001')}", YEAR
    ).canonical == "1927/0000001" + check_letter("270000001")
    assert identifier(
        Scheme.PNC, f"26/1{check_letter('260000001')}", YEAR
    ).canonical == "2026/0000001" + check_letter("260000001")


@pytest.mark.parametrize(
    ("scheme", "text", "flag"),
    [
        (Scheme.PNC, "2012/0394773J", "the check letter does not fit"),
        (Scheme.PNC, "2099/0000001" + check_letter("990000001"), "the check letter does not fit"),
        (Scheme.PNC, "DEMO/0000001P", "it has not the form of a PNC number"),
        (Scheme.CRO, "265416/21H", "the check letter does not fit"),
        (Scheme.CRN, "XY12345", "it begins with two letters"),
        (Scheme.CRN, "XY123456", "it begins with two letters"),
        (Scheme.NOMS, "A12345B", "it has not the form of a NOMS number"),
        (Scheme.ECINS, " ", "it has not the form of a ECINS number"),
    ],
)
def test_what_is_not_valid_is_kept_as_given_and_flagged(scheme: Scheme, text: str, flag: str) -> None:
    found = identifier(scheme, text, YEAR)
    assert (found.given, found.is_valid, found.flag) == (text.strip(), False, flag)


@given(st.integers(1900, YEAR), st.integers(1, 9_999_999))
def test_every_pnc_survives_each_way_of_writing_it(year: int, number: int) -> None:
    letter = check_letter(f"{year % 100:02d}{number:07d}")
    canonical = f"{year}/{number:07d}{letter}"
    for text in (canonical, f"{year}/{number}{letter}", f"{year}{number:07d}{letter}", canonical.lower()):
        assert identifier(Scheme.PNC, text, YEAR).canonical == canonical
    if YEAR - year < 100 and year > YEAR - 100:
        assert identifier(Scheme.PNC, f"{year % 100:02d}/{number}{letter}", YEAR).canonical == canonical


@given(st.integers(1900, YEAR), st.integers(1, 9_999_999), st.sampled_from(CHECK_LETTERS))
def test_any_other_letter_is_not_valid(year: int, number: int, letter: str) -> None:
    right = check_letter(f"{year % 100:02d}{number:07d}")
    assert identifier(Scheme.PNC, f"{year}/{number:07d}{letter}", YEAR).is_valid == (letter == right)


@given(st.integers(0, 99), st.integers(1, 999_999))
def test_a_cro_of_either_form_is_valid_with_its_letter(year: int, number: int) -> None:
    letter = check_letter(f"{year:02d}{number}")
    assert identifier(Scheme.CRO, f"{number}/{year:02d}{letter}", YEAR).is_valid
    assert (
        identifier(Scheme.CRO, f"SF{year:02d}/{number}{letter}", YEAR).canonical == f"SF{year:02d}/{number}{letter}"
    )


@given(st.sampled_from(Scheme), st.text(max_size=80))
def test_no_text_is_an_error(scheme: Scheme, text: str) -> None:
    found = identifier(scheme, text, YEAR)
    assert found.given == text.strip()[:60]
    assert found.is_valid == (found.canonical is not None and found.flag is None)


def test_a_time_with_a_lettered_zone_is_read_by_the_table() -> None:
    assert read_foreign_time("Fri Jun 14 09:06:52 BST 2024") == parse_instant("2024-06-14T08:06:52Z")
    assert read_foreign_time("Fri Jan 05 09:06:52 GMT 2024") == parse_instant("2024-01-05T09:06:52Z")
    assert read_foreign_time("2024-06-14T09:06:52+01:00") == parse_instant("2024-06-14T08:06:52Z")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Fri Jun 14 09:06:52 XST 2024", "XST is no zone that is known here"),
        ("Thu Jun 14 09:06:52 BST 2024", "that day was a Fri"),
        ("Fri Jun 31 09:06:52 BST 2024", "is no time"),
        ("Fri Foo 14 09:06:52 BST 2024", "is no time"),
        ("14 June", "not an ISO 8601 time|expected"),
    ],
)
def test_a_time_that_is_none_says_why(text: str, why: str) -> None:
    with pytest.raises(NotAnInstant, match=why):
        read_foreign_time(text)


@given(st.datetimes(), st.sampled_from(sorted(OFFSET_MINUTES)))
def test_every_zone_of_the_table_means_its_offset(when: object, zone: str) -> None:
    from datetime import datetime, timedelta

    assert isinstance(when, datetime)
    if not 2 <= when.year <= 9998:
        return
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    text = f"{days[when.weekday()]} {months[when.month - 1]} {when.day:02d} {when:%H:%M:%S} {zone} {when.year:04d}"
    utc = when.replace(microsecond=0) - timedelta(minutes=OFFSET_MINUTES[zone])
    assert read_foreign_time(text) == parse_instant(f"{utc.isoformat()}Z")


def test_a_day_is_read_in_both_ways_that_people_write_it() -> None:
    assert read_foreign_day("14/06/2024") == read_foreign_day("2024-06-14")
    with pytest.raises(NotAnInstant, match="expected"):
        read_foreign_day("2024")
