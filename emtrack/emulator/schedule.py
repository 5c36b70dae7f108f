"""Weekly timetables in the wall clock of a time zone, as UTC milliseconds; and the algebra of intervals.

An interval is (begin, end), half open, in milliseconds of UTC. A list of intervals is ascending and disjoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Interval = tuple[int, int]
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Row:
    """One row of a timetable; `end <= start` means the next day."""

    day: str
    start: str
    end: str

    def as_dict(self) -> dict[str, str]:
        """The row as orders.json has it."""
        return {"day": self.day, "start": self.start, "end": self.end}


Timetable = tuple[Row, ...]


def ms_of(instant: datetime) -> int:
    """Milliseconds since 1970 of an instant with a zone."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


def datetime_of(at_ms: int) -> datetime:
    """The UTC instant of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=at_ms)


def iso_of(at_ms: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS[.mmm]Z`, milliseconds only where they are not zero."""
    text = datetime_of(at_ms).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{at_ms % 1000:03d}Z" if at_ms % 1000 else f"{text}Z"


def local_date(at_ms: int, zone: ZoneInfo) -> date:
    """The calendar day at `at_ms` in `zone`."""
    return datetime_of(at_ms).astimezone(zone).date()


def start_of_wall(day: date, wall: time, zone: ZoneInfo) -> int:
    """UTC milliseconds at which a period that starts at this wall time starts (a time that comes twice: the later)."""
    return max(_readings(day, wall, zone))


def end_of_wall(day: date, wall: time, zone: ZoneInfo) -> int:
    """UTC milliseconds at which a period that ends at this wall time ends (a time that comes twice: the earlier)."""
    return min(_readings(day, wall, zone))


def _readings(day: date, wall: time, zone: ZoneInfo) -> tuple[int, int]:
    """Both UTC readings of a wall time; equal on ordinary days and, where it does not exist, the clock change."""
    plain = datetime.combine(day, wall, zone)
    first, second = ms_of(plain.replace(fold=0)), ms_of(plain.replace(fold=1))
    if first > second:  # does not exist: the offset before the change gives the later instant
        change = _clock_change(second, first, zone)
        return change, change
    return first, second


def _clock_change(low_ms: int, high_ms: int, zone: ZoneInfo) -> int:
    """The second at which the offset of `zone` changes in (low, high]."""
    before = datetime_of(low_ms).astimezone(zone).utcoffset()
    while high_ms - low_ms > SECOND_MS:
        middle = (low_ms + high_ms) // 2 // SECOND_MS * SECOND_MS
        if datetime_of(middle).astimezone(zone).utcoffset() == before:
            low_ms = middle
        else:
            high_ms = middle
    return high_ms


def periods(timetable: Timetable, zone: ZoneInfo, begin_ms: int, end_ms: int) -> list[Interval]:
    """What a weekly timetable obliges in [begin, end), joined where periods overlap or touch, clipped."""
    day = local_date(begin_ms, zone) - timedelta(days=2)
    last = local_date(end_ms, zone)
    found: list[Interval] = []
    while day <= last:
        found += _day_periods(timetable, zone, day)
        day += timedelta(days=1)
    return clipped(joined(found), begin_ms, end_ms)


def whole_rows(timetable: Timetable, zone: ZoneInfo, begin_ms: int, end_ms: int) -> list[Interval]:
    """The period of each row that overlaps [begin, end): whole, not joined with others, each once."""
    day, last = local_date(begin_ms, zone) - timedelta(days=2), local_date(end_ms, zone)
    found: set[Interval] = set()
    while day <= last:
        found.update(_day_periods(timetable, zone, day))
        day += timedelta(days=1)
    return sorted((begin, end) for begin, end in found if begin < end_ms and begin_ms < end)


def _day_periods(timetable: Timetable, zone: ZoneInfo, day: date) -> Iterator[Interval]:
    for row in timetable:
        if row.day != DAYS[day.weekday()]:
            continue
        start, end = time.fromisoformat(row.start), time.fromisoformat(row.end)
        end_day = day + timedelta(days=1) if end <= start else day
        interval = start_of_wall(day, start, zone), end_of_wall(end_day, end, zone)
        if interval[0] < interval[1]:
            yield interval


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Ascending, with what overlaps or touches made one."""
    out: list[Interval] = []
    for begin, end in sorted(intervals):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif begin < end:
            out.append((begin, end))
    return out


def clipped(intervals: Iterable[Interval], begin_ms: int, end_ms: int) -> list[Interval]:
    """The parts within [begin, end)."""
    cut = ((max(begin, begin_ms), min(end, end_ms)) for begin, end in intervals)
    return [(begin, end) for begin, end in cut if begin < end]


def without(intervals: list[Interval], holes: list[Interval]) -> list[Interval]:
    """`intervals` less `holes` (both ascending and disjoint)."""
    out: list[Interval] = []
    for begin, end in intervals:
        for hole_begin, hole_end in holes:
            if hole_end <= begin or hole_begin >= end:
                continue
            if hole_begin > begin:
                out.append((begin, hole_begin))
            begin = hole_end
        if begin < end:
            out.append((begin, end))
    return out


def common(first: list[Interval], second: list[Interval]) -> list[Interval]:
    """What lies in both (each ascending and disjoint)."""
    return [part for begin, end in second for part in clipped(first, begin, end)]
