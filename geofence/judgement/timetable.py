"""Weekly timetables in wall-clock time to obligation periods in UTC (RULES.md section 2).

Each end of a row is turned into UTC by itself and from then on only UTC is compared. All arithmetic on wall clocks
in the product is in this file.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from zoneinfo import ZoneInfo

from geofence.intervals import Interval, clipped, merged, subtracted
from geofence.obligations import Plan, Requirement, TimetableRow
from geofence.words import FOREVER_MS, ObligationKind, instant_of

DAY_MS = 86_400_000
_MARGIN_MS = 3 * DAY_MS
"""No row-day lies further than this from the instants that it can oblige, whatever the time zone."""
_AHEAD_MS = 9 * DAY_MS
_STEP_MS = 35 * DAY_MS


@lru_cache(maxsize=64)
def _zone(timezone: str) -> ZoneInfo:
    return ZoneInfo(timezone)


def _first_instant_of_offset_change(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The clock change in (early, late], to the second, by bisection: zoneinfo does not tell its transitions."""
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def wall_to_utc(wall: datetime, zone: ZoneInfo, *, is_start: bool) -> datetime:
    """The instant of a wall-clock time (`wall` has no zone).

    Happens twice: a start takes the later instant, an end the earlier (the reading in favour of liberty).
    Does not exist: the instant of the clock change.
    """
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if second < first:  # in a gap, fold=1 reads with the offset after the change, which gives the earlier instant
        return _first_instant_of_offset_change(second, first, zone)
    return second if is_start else first


@lru_cache(maxsize=65_536)
def row_interval(timezone: str, day_ordinal: int, start_min: int, end_min: int) -> Interval | None:
    """What a row obliges on the day (proleptic ordinal) it belongs to, or None where start is not before end."""
    zone = _zone(timezone)
    midnight = datetime.combine(date.fromordinal(day_ordinal), datetime.min.time())
    end_day = timedelta(days=1 if end_min <= start_min else 0)
    start = wall_to_utc(midnight + timedelta(minutes=start_min), zone, is_start=True)
    end = wall_to_utc(midnight + end_day + timedelta(minutes=end_min), zone, is_start=False)
    return Interval(instant_of(start), instant_of(end)) if start < end else None


_FIRST_DAY = date(1, 1, 2).toordinal()
_LAST_DAY = date(9999, 12, 30).toordinal()
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def _day_of(instant_ms: int) -> int:
    return min(max(_EPOCH_DAY + instant_ms // DAY_MS, _FIRST_DAY), _LAST_DAY)


def _row_intervals(rows: tuple[TimetableRow, ...], timezone: str, begin_ms: int, end_ms: int) -> list[Interval]:
    """All that the rows oblige on days that can touch [begin_ms, end_ms)."""
    found: list[Interval] = []
    for ordinal in range(_day_of(begin_ms - _MARGIN_MS), _day_of(end_ms + _MARGIN_MS) + 1):
        weekday = (ordinal + 6) % 7
        for row in rows:
            if row.day == weekday:
                interval = row_interval(timezone, ordinal, row.start_min, row.end_min)
                if interval is not None:
                    found.append(interval)
    return found


_begin_ms, _end_ms = itemgetter(0), itemgetter(1)
"""Of a period. Asked of each activation at the edge of a night, several times."""


class Schedule:
    """Obligation periods of one requirement entry under one activation, worked out as far as asked for."""

    def __init__(self, plan: Plan, requirement: Requirement) -> None:
        self._rows = requirement.timetable
        self._timezone = plan.timezone
        self._begin_ms = max(requirement.from_ms, plan.activation.from_ms)
        self._end_ms = min(requirement.to_ms, plan.activation.to_ms)
        self._holes = () if requirement.kind is ObligationKind.EXCLUSION else plan.absences
        self._apart = requirement.kind is ObligationKind.ATTENDANCE
        self._known: Interval | None = None
        self._without_start = Interval(0, 0)
        self._periods: list[Interval] = []

    def periods(self, begin_ms: int, now_ms: int) -> list[Interval]:
        """Periods [S, E) with E > begin_ms and S <= now_ms, and the next one after `now_ms` if there is one soon.

        S is exact. E is exact if it is at or before `now_ms`; an E further ahead may be a lower bound of the
        true one (rows that touch each other without end).
        """
        self._work_out(begin_ms, now_ms)
        if self._apart:  # their ends need not ascend
            following = bisect_right(self._periods, now_ms, key=_begin_ms)
            return [period for period in self._periods[: following + 1] if period.end_ms > begin_ms]
        # Sorted and apart, so that both ends ascend.
        first = bisect_right(self._periods, begin_ms, key=_end_ms)
        following = bisect_right(self._periods, now_ms, key=_begin_ms)
        return self._periods[min(first, following) : following + 1]

    def starts_between(self, after_ms: int, upto_ms: int) -> list[int]:
        """Starts of periods in (after_ms, upto_ms]. Asked for every position of somebody who is out, and mostly there is none."""
        if self._without_start.begin_ms <= after_ms and upto_ms < self._without_start.end_ms:
            return []
        begins_ms = [period.begin_ms for period in self.periods(after_ms, upto_ms)]
        following_ms = min((begin_ms for begin_ms in begins_ms if begin_ms > after_ms), default=upto_ms + 1)
        self._without_start = Interval(after_ms, following_ms)
        return [begin_ms for begin_ms in begins_ms if after_ms < begin_ms <= upto_ms]

    def _work_out(self, begin_ms: int, now_ms: int) -> None:
        """Make sure that [begin_ms, now_ms + some days] is known, from where no period is cut off at its start."""
        if self._begin_ms >= self._end_ms or self._holds(begin_ms, now_ms):
            return
        if self._rows is None:
            self._known = Interval(self._begin_ms, self._end_ms)
            self._periods = [] if self._apart else subtracted([self._known], self._holes)
            return
        if self._apart:
            self._work_out_apart(min(begin_ms, now_ms), now_ms)
            return
        low_ms = max(self._begin_ms, min(begin_ms, now_ms) - _MARGIN_MS)
        high_ms = min(self._end_ms, now_ms + _STEP_MS)
        back_ms = _STEP_MS
        while True:
            periods = self._obliged(low_ms, high_ms)
            cut_off = low_ms > self._begin_ms and any(b <= low_ms < e for b, e in periods)
            if not cut_off:
                break
            low_ms = max(self._begin_ms, low_ms - back_ms)
            back_ms *= 2
        self._known = Interval(low_ms, max(low_ms, high_ms))
        self._periods = subtracted(periods, self._holes)

    def _work_out_apart(self, begin_ms: int, now_ms: int) -> None:
        """Rows that are not merged: each is a period if nothing takes a part of it away."""
        assert self._rows is not None
        low_ms, high_ms = max(self._begin_ms, begin_ms - _MARGIN_MS), min(self._end_ms, now_ms + _STEP_MS)
        rows = sorted(set(_row_intervals(self._rows, self._timezone, low_ms, high_ms)))
        self._known = Interval(low_ms, max(low_ms, high_ms))
        self._periods = [row for row in rows if self._obliges_whole(row)]

    def _obliges_whole(self, row: Interval) -> bool:
        within = self._begin_ms <= row.begin_ms and row.end_ms <= self._end_ms
        return within and not any(begin < row.end_ms and row.begin_ms < end for begin, end in self._holes)

    def _holds(self, begin_ms: int, now_ms: int) -> bool:
        if self._known is None:
            return False
        low_ok = self._known.begin_ms <= max(begin_ms, self._begin_ms)
        return low_ok and self._known.end_ms >= min(self._end_ms, now_ms + _AHEAD_MS)

    def _obliged(self, low_ms: int, high_ms: int) -> list[Interval]:
        assert self._rows is not None
        rows = _row_intervals(self._rows, self._timezone, low_ms, high_ms)
        return merged(clipped(rows, max(low_ms, self._begin_ms), min(high_ms, self._end_ms, FOREVER_MS)))
