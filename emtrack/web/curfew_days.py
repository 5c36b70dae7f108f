"""A calendar of curfews as its page shows it: a strip for each day, and the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from emtrack.reading.curfew_calendar import CurfewCalendar, CurfewDay
from emtrack.web.bands import NAMES
from emtrack.web.wording import Words, length, timetable_words
from geofence import Presence

HOUR_MS = 3_600_000
LONGEST_DAY_MS = 25 * HOUR_MS
WIDTH = 1000
"""Of the longest day there is: a shorter one is drawn shorter."""
SAID = {Presence.INSIDE: "at home", Presence.OUTSIDE: "not at home", Presence.UNKNOWN: "not known"}


class DrawnStretch(NamedTuple):
    x: float
    width: float
    name: str
    text: str


class DrawnDay(NamedTuple):
    """`hours`: of the day itself. `is_odd`: it has not 24."""

    name: str
    hours: int
    is_odd: bool
    is_whole: bool
    width: float
    obliged: str
    at_home: str
    not_at_home: str
    not_known: str
    stretches: list[DrawnStretch]


class DrawnCalendar(NamedTuple):
    title: str
    timetable: str
    in_force: str
    days: list[DrawnDay]
    total: DrawnDay


def drawn_calendars(
    calendars: Sequence[CurfewCalendar], names: dict[tuple[int, str], str], wearer_no: int, words: Words
) -> list[DrawnCalendar]:
    return [_drawn(calendar, names, wearer_no, words) for calendar in calendars]


def _drawn(
    calendar: CurfewCalendar, names: dict[tuple[int, str], str], wearer_no: int, words: Words
) -> DrawnCalendar:
    requirement = calendar.requirement
    name = names.get((wearer_no, requirement.requirement_id))
    title = f"{name} ({requirement.requirement_id})" if name else requirement.requirement_id
    days = [_day(day, words) for day in calendar.days if day.parts]
    return DrawnCalendar(title, timetable_words(requirement), words.force(requirement), days, _total(calendar.days))


def _day(day: CurfewDay, words: Words) -> DrawnDay:
    long_ms = day.day.end_ms - day.day.begin_ms
    local = words.local(day.day.begin_ms)
    is_odd = long_ms != 24 * HOUR_MS
    scale = WIDTH / LONGEST_DAY_MS
    stretches = [
        DrawnStretch(
            round((part.begin_ms - day.day.begin_ms) * scale, 2),
            round((part.end_ms - part.begin_ms) * scale, 2),
            NAMES[part.presence],
            f"{_time(part.begin_ms, words, is_odd)} to {_end(part.end_ms, day, words, is_odd)} {SAID[part.presence]}",
        )
        for part in day.parts
    ]
    at_home, not_at_home, not_known = (length(day.spent_ms(presence)) for presence in SAID)
    return DrawnDay(
        f"{local:%a} {local.day} {local:%b %Y}", round(long_ms / HOUR_MS), is_odd, day.is_whole, round(long_ms * scale, 2),
        length(day.obliged_ms), at_home, not_at_home, not_known, stretches,
    )  # fmt: skip


def _total(days: Sequence[CurfewDay]) -> DrawnDay:
    spent = [length(sum(day.spent_ms(presence) for day in days)) for presence in SAID]
    return DrawnDay(
        "All days", 0, False, True, 0.0, length(sum(day.obliged_ms for day in days)), spent[0], spent[1], spent[2], []
    )


def _time(at_ms: int, words: Words, is_odd: bool) -> str:
    local = words.local(at_ms)
    return f"{local:%H:%M %Z}" if is_odd else f"{local:%H:%M}"


def _end(at_ms: int, day: CurfewDay, words: Words, is_odd: bool) -> str:
    return "24:00" if at_ms == day.day.end_ms else _time(at_ms, words, is_odd)
