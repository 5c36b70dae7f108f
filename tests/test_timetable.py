"""Weekly timetables to obligation periods (RULES.md section 2), by hand and against a clock watched minute by minute."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.intervals import Interval
from geofence.judgement.timetable import Schedule, row_interval, wall_to_utc
from geofence.obligations import Activation, Plan, Requirement, TimetableRow
from geofence.words import FOREVER_MS, ObligationKind, format_instant, parse_instant
from geofence.zones import Disc
from tests.oracle import instants_of_wall, obligation_periods, row_span

LONDON, LORD_HOWE = "Europe/London", "Australia/Lord_Howe"  # the latter moves its clocks by half an hour
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DAYS = {name: day for day, name in enumerate(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"])}
ORDINARY = settings(max_examples=250, derandomize=True, deadline=None, print_blob=True)


def row(day: str, start: str, end: str) -> TimetableRow:
    (h, m), (g, n) = start.split(":"), end.split(":")
    return TimetableRow(DAYS[day], int(h) * 60 + int(m), int(g) * 60 + int(n))


def plan_of(
    *rows: TimetableRow,
    kind: str = "CURFEW",
    valid: tuple[str, str | None] = ("2026-01-01T00:00:00Z", None),
    active: tuple[str, str | None] = ("2026-01-01T00:00:00Z", None),
    absences: tuple[tuple[str, str], ...] = (),
    timezone: str = LONDON,
) -> Plan:
    def span(begin: str, end: str | None) -> Interval:
        return Interval(parse_instant(begin), FOREVER_MS if end is None else parse_instant(end))

    requirement = Requirement(
        "R1/1", "R1", "W1", ObligationKind(kind), *span(*valid), Disc((-2.18, 53.0), 60.0), rows or None
    )  # fmt: skip
    away = tuple(span(*absence) for absence in absences)
    return Plan(Activation("A1", "D1", "W1", *span(*active)), (requirement,), timezone, absences=away)


def periods(plan: Plan, begin: str, now: str) -> list[str]:
    """Periods that end after `begin` and begin by `now`, as `S E`."""
    begin_ms, now_ms = parse_instant(begin), parse_instant(now)
    found = Schedule(plan, plan.requirements[0]).periods(begin_ms, now_ms)
    return [f"{short(s)} {short(e)}" for s, e in found if s <= now_ms]


def short(instant_ms: int) -> str:
    return "…" if instant_ms == FOREVER_MS else format_instant(instant_ms)[5:-4].replace("T", " ")


# ------------------------------------------------------------------------------------------- nights of a clock change


def test_a_night_in_winter_and_a_night_in_summer_begin_at_the_wall_clock():
    plan = plan_of(row("MON", "19:00", "07:00"))
    assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == ["03-02 19:00 03-03 07:00"]
    assert periods(plan, "2026-07-06T12:00:00Z", "2026-07-07T12:00:00Z") == ["07-06 18:00 07-07 06:00"]


def test_each_end_is_turned_into_utc_by_itself_so_a_night_may_have_11_or_13_hours():
    plan = plan_of(row("SAT", "19:00", "07:00"))
    assert periods(plan, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z") == ["03-28 19:00 03-29 06:00"]
    assert periods(plan, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z") == ["10-24 18:00 10-25 07:00"]


def test_a_wall_time_that_happens_twice_a_start_takes_the_later_and_an_end_the_earlier():
    twice = datetime(2026, 10, 25, 1, 30)  # noqa: DTZ001
    assert wall_to_utc(twice, ZoneInfo(LONDON), is_start=True).isoformat() == "2026-10-25T01:30:00+00:00"
    assert wall_to_utc(twice, ZoneInfo(LONDON), is_start=False).isoformat() == "2026-10-25T00:30:00+00:00"


def test_a_wall_time_that_does_not_exist_is_the_instant_of_the_clock_change():
    left_out = datetime(2026, 3, 29, 1, 30)  # noqa: DTZ001
    for is_start in (True, False):
        assert wall_to_utc(left_out, ZoneInfo(LONDON), is_start=is_start).isoformat() == "2026-03-29T01:00:00+00:00"


def test_the_ends_of_the_hour_that_is_left_out_and_of_the_hour_that_happens_twice():
    def utc(*wall: int, is_start: bool) -> str:
        return f"{wall_to_utc(datetime(*wall), ZoneInfo(LONDON), is_start=is_start):%H:%M}"  # noqa: DTZ001

    assert [utc(2026, 3, 29, 1, 0, is_start=b) for b in (True, False)] == ["01:00", "01:00"]
    assert [utc(2026, 3, 29, 2, 0, is_start=b) for b in (True, False)] == ["01:00", "01:00"]
    assert [utc(2026, 10, 25, 1, 0, is_start=b) for b in (True, False)] == ["01:00", "00:00"]
    assert [utc(2026, 10, 25, 2, 0, is_start=b) for b in (True, False)] == ["02:00", "02:00"]


def test_a_row_that_lies_in_the_hour_that_is_left_out_obliges_nothing_on_that_day():
    plan = plan_of(row("SUN", "01:10", "01:50"))
    assert periods(plan, "2026-03-22T00:00:00Z", "2026-04-05T12:00:00Z") == [
        "03-22 01:10 03-22 01:50",
        "04-05 00:10 04-05 00:50",
    ]


def test_a_row_whose_start_is_then_not_before_its_end_obliges_nothing_on_that_day():
    plan = plan_of(row("SUN", "01:10", "01:50"))
    assert periods(plan, "2026-10-24T12:00:00Z", "2026-10-26T00:00:00Z") == []


@pytest.mark.parametrize(
    ("saturday", "hours"), [("2026-03-21", 24), ("2026-03-28", 23), ("2026-10-24", 25), ("2026-06-06", 24)]
)
def test_start_equal_to_end_is_the_same_wall_time_on_the_next_day(saturday, hours):
    span = row_interval(LONDON, date.fromisoformat(saturday).toordinal(), 12 * 60, 12 * 60)
    assert span is not None
    assert span.end_ms - span.begin_ms == hours * HOUR_MS


def test_midnight_to_midnight_is_one_day():
    assert periods(plan_of(row("MON", "00:00", "00:00")), "2026-03-01T12:00:00Z", "2026-03-04T00:00:00Z") == [
        "03-02 00:00 03-03 00:00"
    ]


def test_a_zone_that_moves_its_clocks_by_half_an_hour():
    plan = plan_of(row("SAT", "23:00", "05:00"), timezone=LORD_HOWE)
    assert periods(plan, "2026-04-04T06:00:00Z", "2026-04-05T00:00:00Z") == ["04-04 12:00 04-04 18:30"]
    assert periods(plan, "2026-10-03T06:00:00Z", "2026-10-04T00:00:00Z") == ["10-03 12:30 10-03 18:00"]


# ------------------------------------------------------------------------------------------- merging and clipping


def test_rows_that_touch_or_overlap_are_one_period():
    touching = plan_of(row("MON", "19:00", "22:00"), row("MON", "22:00", "07:00"))
    overlapping = plan_of(row("MON", "19:00", "23:00"), row("MON", "21:00", "07:00"))
    for plan in (touching, overlapping):
        assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == ["03-02 19:00 03-03 07:00"]


def test_rows_a_minute_apart_are_two_periods():
    plan = plan_of(row("MON", "19:00", "22:00"), row("MON", "22:01", "23:00"))
    assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == [
        "03-02 19:00 03-02 22:00",
        "03-02 22:01 03-02 23:00",
    ]


def test_a_full_week_has_no_gap_from_the_beginning_of_its_validity():
    week = plan_of(*(row(day, "00:00", "00:00") for day in DAYS), valid=("2026-02-10T09:30:00Z", None))
    now = "2027-11-20T10:00:00Z"
    (only,) = Schedule(week, week.requirements[0]).periods(parse_instant("2027-11-20T00:00:00Z"), parse_instant(now))
    assert only.begin_ms == parse_instant("2026-02-10T09:30:00Z")
    assert only.end_ms > parse_instant(now)


def test_no_timetable_is_always():
    assert periods(plan_of(), "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z") == ["01-01 00:00 …"]


def test_periods_are_clipped_to_the_validity_and_to_the_activation():
    rows = [row("MON", "19:00", "07:00")]
    plan = plan_of(
        *rows, valid=("2026-03-02T20:00:00Z", None), active=("2026-03-01T00:00:00Z", "2026-03-03T05:00:00Z")
    )
    assert periods(plan, "2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z") == ["03-02 20:00 03-03 05:00"]
    plan = plan_of(
        *rows, valid=("2026-03-02T20:00:00Z", "2026-03-03T00:00:00Z"), active=("2026-03-02T21:00:00Z", None)
    )
    assert periods(plan, "2026-03-02T00:00:00Z", "2026-03-12T00:00:00Z") == ["03-02 21:00 03-03 00:00"]


def test_a_period_that_begins_at_now_is_among_them_and_one_that_ends_at_the_beginning_is_not():
    plan = plan_of(row("MON", "19:00", "21:00"), row("TUE", "19:00", "21:00"))
    assert periods(plan, "2026-03-02T21:00:00Z", "2026-03-03T19:00:00Z") == ["03-03 19:00 03-03 21:00"]


@pytest.mark.parametrize("kind", ["CURFEW", "INCLUSION"])
def test_an_absence_is_subtracted_from_curfew_and_inclusion(kind):
    away = (("2026-03-02T21:00:00Z", "2026-03-02T23:00:00Z"),)
    plan = plan_of(row("MON", "19:00", "07:00"), kind=kind, absences=away)
    assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == [
        "03-02 19:00 03-02 21:00",
        "03-02 23:00 03-03 07:00",
    ]


def test_an_exclusion_holds_during_an_absence():
    away = (("2026-03-02T21:00:00Z", "2026-03-02T23:00:00Z"),)
    plan = plan_of(row("MON", "19:00", "07:00"), kind="EXCLUSION", absences=away)
    assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == ["03-02 19:00 03-03 07:00"]


def test_an_absence_over_a_whole_period_leaves_nothing_of_it():
    away = (("2026-03-02T19:00:00Z", "2026-03-03T07:00:00Z"),)
    plan = plan_of(row("MON", "19:00", "07:00"), absences=away)
    assert periods(plan, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z") == []


# ------------------------------------------------------------------------------------------- against a watched clock


def _changes_of_clocks(timezone: str) -> list[int]:
    """Days (ordinals) of 2015 to 2035 in which the offset from UTC changes."""
    zone = ZoneInfo(timezone)
    days = range(date(2015, 1, 1).toordinal(), date(2035, 12, 31).toordinal())
    offset = {day: datetime.fromordinal(day).replace(hour=12, tzinfo=zone).utcoffset() for day in days}
    return [day for day in days[1:] if offset[day] != offset[day - 1]]


TIMEZONES = {timezone: _changes_of_clocks(timezone) for timezone in (LONDON, LORD_HOWE)}
MINUTES = st.one_of(st.sampled_from([n * 30 for n in range(10)]), st.integers(0, 1439))


@st.composite
def zones_and_days(draw: st.DrawFn) -> tuple[str, int]:
    timezone = draw(st.sampled_from(list(TIMEZONES)))
    near_a_change = st.builds(int.__add__, st.sampled_from(TIMEZONES[timezone]), st.integers(-2, 1))
    any_day = st.integers(date(2015, 1, 2).toordinal(), date(2035, 12, 30).toordinal())
    return timezone, draw(st.one_of(near_a_change, any_day))


@given(zones_and_days(), MINUTES, MINUTES)
@ORDINARY
def test_a_row_is_what_a_watched_clock_says(zone_and_day, start_min, end_min):
    timezone, day = zone_and_day
    assert row_interval(timezone, day, start_min, end_min) == row_span(
        date.fromordinal(day), start_min, end_min, timezone
    )


@given(zones_and_days(), MINUTES)
@ORDINARY
def test_a_wall_time_is_what_a_watched_clock_says(zone_and_day, minute):
    timezone, day = zone_and_day
    wall = datetime.fromordinal(day).replace(hour=minute // 60, minute=minute % 60)
    earliest, latest = instants_of_wall(wall, timezone)
    assert wall_to_utc(wall, ZoneInfo(timezone), is_start=True) == latest
    assert wall_to_utc(wall, ZoneInfo(timezone), is_start=False) == earliest


@st.composite
def timetabled_plans(draw: st.DrawFn) -> tuple[Plan, int]:
    timezone, day = draw(zones_and_days())
    rows = draw(st.lists(st.builds(TimetableRow, st.integers(0, 6), MINUTES, MINUTES), min_size=1, max_size=8))
    now_ms = (day - date(1970, 1, 1).toordinal()) * DAY_MS + draw(st.integers(0, 24)) * HOUR_MS
    from_ms = now_ms - draw(st.integers(0, 10 * 24)) * HOUR_MS
    to_ms = draw(st.one_of(st.just(FOREVER_MS), st.integers(1, 300).map(lambda hours: from_ms + hours * HOUR_MS)))
    away_ms = from_ms + draw(st.integers(0, 200)) * HOUR_MS
    kind = draw(st.sampled_from(list(ObligationKind)))
    requirement = Requirement("R1/1", "R1", "W1", kind, from_ms, to_ms, Disc((-2.18, 53.0), 60.0), tuple(rows))
    plan = Plan(
        Activation("A1", "D1", "W1", from_ms - HOUR_MS), (requirement,), timezone,
        absences=(Interval(away_ms, away_ms + draw(st.integers(1, 48)) * HOUR_MS),),
    )  # fmt: skip
    return plan, now_ms


@given(timetabled_plans())
@settings(ORDINARY, max_examples=80)
def test_a_schedule_is_what_a_watched_clock_says(plan_and_now):
    plan, now_ms = plan_and_now
    (requirement,) = plan.requirements
    schedule = Schedule(plan, requirement)
    truth = obligation_periods(plan, requirement, now_ms)
    for begin_ms in (requirement.from_ms - 1, now_ms - 30 * HOUR_MS, now_ms):  # one schedule, asked several times
        found = [(s, e if e <= now_ms else None) for s, e in schedule.periods(begin_ms, now_ms) if s <= now_ms]
        assert found == [(s, e if e <= now_ms else None) for s, e in truth if e > begin_ms]
