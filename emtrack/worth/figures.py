"""Figures as people read them: each with what it counts, on how many people it rests, its interval, what is not known, and
the people
behind it. Below 30 people counts and no rates; what is made public rounds cells below 5.

A figure is made by one of the functions below, so that none can be shown that rests on too few.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from emtrack.worth.intervals import Estimate, Share

LEAST_PEOPLE: Final = 30
LEAST_CELL: Final = 5


class Unit(StrEnum):
    """Of a value and its interval."""

    PERCENT = "%"
    POINTS = "percentage points"
    OFFENCES = "offences a person"
    HARM = "harm days a person"
    PER_100_DAYS = "offences in 100 days at liberty"
    HOURS = "hours"
    FINDINGS = "findings a week under a tag"
    CRIMES = "crimes"
    POUNDS = "pounds"
    COUNT = ""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`key`: its name within the page. `count`: of what is counted, and `of`: of how many; None where nothing is counted. `value`,
    `low`, `high`: in `unit`; None: it rests on fewer than 30 people (`few`), or cannot be told. `rests_on`: people. `least_cell`:
    the smallest count that the value would tell. `unknown`: how many are not known beside it. `people`: who is behind `count`."""

    key: str
    words: str
    group: str = ""
    count: int | None = None
    of: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: Unit = Unit.COUNT
    few: bool = False
    least_cell: int | None = None
    rests_on: int = 0
    unknown: int | None = None
    people: tuple[int, ...] = ()


class Bar(msgspec.Struct, frozen=True):
    """Of a chart; its interval where there is one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


class Point(msgspec.Struct, frozen=True):
    """`value` None: a gap. `marked`: in the programme, or outside of the limits."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    marked: bool = False


class Drawing(msgspec.Struct, frozen=True):
    """A chart: bars, or points in a row with `centre` as a line. `unit`: of its axis. `mark`: what marked points are."""

    title: str
    unit: str
    bars: tuple[Bar, ...] = ()
    points: tuple[Point, ...] = ()
    centre: float | None = None
    mark: str = ""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """`definition`: what is counted, over which time, with which interval. `not_known`: in words. `notes`: what to bear in
    mind."""

    key: str
    title: str
    definition: str
    figures: tuple[Figure, ...]
    drawings: tuple[Drawing, ...] = ()
    not_known: str = ""
    notes: tuple[str, ...] = ()


def counted(
    key: str,
    words: str,
    count: int,
    *,
    group: str = "",
    of: int | None = None,
    people: Iterable[int] = (),
    unknown: int | None = None,
) -> Figure:
    """A count, without a rate."""
    return Figure(key=key, words=words, group=group, count=count, of=of, people=tuple(people), unknown=unknown)


def shared(
    key: str,
    words: str,
    share: Share | None,
    *,
    rests_on: int,
    group: str = "",
    people: Iterable[int] = (),
    unknown: int | None = None,
) -> Figure:
    """A share in percent. `rests_on`: on how many people; not the same as `share.of` where tasks or nights are counted."""
    few = share is None or rests_on < LEAST_PEOPLE
    value, low, high = (
        (None, None, None)
        if share is None or few
        else (
            100 * share.value,
            100 * share.low,
            100 * share.high,
        )
    )
    return Figure(
        key=key,
        words=words,
        group=group,
        count=0 if share is None else share.hits,
        of=0 if share is None else share.of,
        value=value,
        low=low,
        high=high,
        unit=Unit.PERCENT,
        few=few,
        least_cell=0 if share is None else min(share.hits, share.of - share.hits),
        rests_on=rests_on,
        people=tuple(people),
        unknown=unknown,
    )


def estimated(
    key: str,
    words: str,
    estimate: Estimate | None,
    unit: Unit,
    *,
    rests_on: int,
    group: str = "",
    count: int | None = None,
    people: Iterable[int] = (),
    unknown: int | None = None,
    times: float = 1,
    least_cell: int | None = None,
) -> Figure:
    """A value with its interval, `times` what it is, such as 100 for percentage points."""
    few = rests_on < LEAST_PEOPLE
    value, low, high = (
        (None, None, None)
        if estimate is None or few
        else (
            times * estimate.value,
            times * estimate.low,
            times * estimate.high,
        )
    )
    return Figure(
        key=key,
        words=words,
        group=group,
        count=count,
        of=None,
        value=value,
        low=low,
        high=high,
        unit=unit,
        few=few,
        least_cell=count if least_cell is None else least_cell,
        rests_on=rests_on,
        people=tuple(people),
        unknown=unknown,
    )


def told(
    key: str,
    words: str,
    value: float | None,
    unit: Unit,
    *,
    rests_on: int,
    group: str = "",
    low: float | None = None,
    high: float | None = None,
    count: int | None = None,
    of: int | None = None,
    people: Iterable[int] = (),
    unknown: int | None = None,
) -> Figure:
    """A value that is no share; `low` and `high`: a range, or quartiles."""
    few = rests_on < LEAST_PEOPLE
    if few:
        value = low = high = None
    return Figure(
        key=key,
        words=words,
        group=group,
        count=count,
        of=of,
        value=value,
        low=low,
        high=high,
        unit=unit,
        few=few,
        least_cell=count,
        rests_on=rests_on,
        people=tuple(people),
        unknown=unknown,
    )


# ------------------------------------------------------------------ what is made public


class PublicRow(NamedTuple):
    """A figure as the public may have it: nobody can be found by it."""

    measure: str
    figure: str
    group: str
    counted: str
    of: str
    value: str
    low: str
    high: str
    unit: str
    not_known: str


def public_cell(count: int | None) -> str:
    """Below 5: that only; from there on to the nearest 5, so that no difference of two cells is one person either."""
    if count is None:
        return ""
    if count < LEAST_CELL:
        return "fewer than 5"
    return str(LEAST_CELL * ((count + LEAST_CELL // 2) // LEAST_CELL))


def public_rows(measures: Iterable[Measure]) -> list[PublicRow]:
    """A rate goes with a count that is told: one of a cell below 5, or of one whose complement is, would tell it."""
    rows = []
    for measure in measures:
        for one in measure.figures:
            told_value = one.least_cell is None or one.least_cell >= LEAST_CELL
            value, low, high = (_number(v, one.unit) if told_value else "" for v in (one.value, one.low, one.high))
            rows.append(
                PublicRow(
                    measure.title,
                    one.words,
                    one.group,
                    public_cell(one.count),
                    public_cell(one.rests_on or None if one.of is None else one.of),
                    value,
                    low,
                    high,
                    str(one.unit),
                    public_cell(one.unknown),
                )
            )
    return rows


def _number(value: float | None, unit: Unit) -> str:
    """Whole percent, three digits of the rest: more would tell a count."""
    if value is None:
        return ""
    return f"{value:.0f}" if unit in (Unit.PERCENT, Unit.POINTS) or abs(value) >= 100 else f"{value:.3g}"
