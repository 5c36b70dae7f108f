"""Where each wearer truly is: one polyline in time per wearer and day, a function of (seed, wearer, day) alone.

A day here runs from 04:00 to 04:00 of the local wall clock. Where a wearer is at 04:00 (at home, or at a friend's after a
night away) is drawn by itself, so that any day can be planned without the days before it. A plan is a list of outings;
an outing that does not fit its time is dropped, so nobody is late by accident and nobody jumps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, time
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from emtrack.emulator.chance import dice
from emtrack.emulator.geometry import Float64s, Int64s, Point, clearance_m, distance_m, polar
from emtrack.emulator.habits import Chance, Habits, Range
from emtrack.emulator.people import Requirement, Wearer
from emtrack.emulator.schedule import (
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Interval,
    end_of_wall,
    local_date,
    periods,
    start_of_wall,
    whole_rows,
    without,
)

WALKING, DRIVING, AT_HOME, INDOORS, STANDING = range(5)
TURN_OF_DAY = time(4)
UP, TO_BED = time(5, 30), time(23, 30)
CLEAR_OF_ZONES_M = 120.0
ROUTE_ATTEMPTS = 14
PIECE_M = 300.0
WOBBLE_M = 12.0
PAUSE_SHARE = 0.35
PAUSE_S: Range = (8.0, 45.0)
BUS_MOST_M_S = 10.0
LEAST_OUTING_MS = 40 * MINUTE_MS
APPOINTMENT_BEFORE_MS, APPOINTMENT_AFTER_MS = 100 * MINUTE_MS, 75 * MINUTE_MS
"""What is kept free around an appointment, for the way."""
STROLL_M: Range = (200.0, 700.0)
Circleish = tuple[Point, float]


@dataclass(frozen=True)
class DayPath:
    """One day of one wearer. t_ms int64[n] ascending, x_m and y_m float64[n] (frame); state uint8[n-1] of each leg."""

    t_ms: Int64s
    x_m: Float64s
    y_m: Float64s
    state: npt.NDArray[np.uint8]

    def at(self, t_ms: Int64s) -> tuple[Float64s, Float64s]:
        """Positions (frame metres) at `t_ms`, within the day."""
        return np.interp(t_ms, self.t_ms, self.x_m), np.interp(t_ms, self.t_ms, self.y_m)

    def leg_at(self, t_ms: Int64s) -> Int64s:
        """Index of the leg at each of `t_ms`, within the day."""
        last = len(self.t_ms) - 2
        return np.minimum(np.searchsorted(self.t_ms, t_ms, side="right") - 1, last)


@dataclass(frozen=True)
class Stop:
    """A place to go to, by way of `via`, and how long to stay. `through`: the zones that the way there may touch."""

    place: Point
    dwell_ms: float
    state: int
    via: tuple[Point, ...] = ()
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outing:
    """Stops in order, not before `begin_ms`, over at `back_ms`; `filled`: the longest stay grows until just then.

    `arrive_ms`: leave so as to be at the first stop then. `leave_ms`: the first stop lasts until then.
    """

    stops: tuple[Stop, ...]
    begin_ms: float
    back_ms: float
    filled: bool = False
    arrive_ms: float | None = None
    leave_ms: float | None = None


@dataclass
class _Track:
    """A path while it is laid."""

    t_ms: list[int]
    x_m: list[float]
    y_m: list[float]
    state: list[int] = field(default_factory=list)

    @property
    def now_ms(self) -> int:
        return self.t_ms[-1]

    @property
    def here(self) -> Point:
        return self.x_m[-1], self.y_m[-1]

    def to(self, place: Point, at_ms: float, state: int) -> None:
        """Go on in a straight line, to be at `place` at `at_ms`; no time, no leg."""
        at = round(at_ms)
        if at <= self.now_ms:
            return
        self.t_ms.append(at)
        self.x_m.append(place[0])
        self.y_m.append(place[1])
        self.state.append(state)

    def stay(self, until_ms: float, state: int) -> None:
        self.to(self.here, until_ms, state)

    def path(self) -> DayPath:
        return DayPath(
            np.array(self.t_ms, np.int64), np.array(self.x_m), np.array(self.y_m), np.array(self.state, np.uint8)
        )


@dataclass(frozen=True)
class _Leg:
    """A way: points with the seconds from one to the next; a pause is a point twice."""

    points: tuple[Point, ...]
    seconds: tuple[float, ...]
    state: int

    @property
    def duration_ms(self) -> float:
        return sum(self.seconds) * SECOND_MS


def street_angle_rad(seed: int) -> float:
    """How far the grid of streets of a seed is turned, anticlockwise from east."""
    return dice(seed, "grid").uniform(0, math.pi / 2)


class Planner:
    """Plans days. Stateless but for the constants: the same call gives the same path."""

    def __init__(self, seed: int, zone: ZoneInfo, habits: Habits) -> None:
        self.seed = seed
        self.zone = zone
        self.habits = habits
        angle = street_angle_rad(seed)
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def day_of(self, at_ms: int) -> int:
        """Number (proleptic ordinal) of the day, 04:00 to 04:00, that holds `at_ms`."""
        day = local_date(at_ms, self.zone).toordinal()
        return day if at_ms >= self.turn_ms(day) else day - 1

    def turn_ms(self, day: int) -> int:
        """When the day begins."""
        return start_of_wall(date.fromordinal(day), TURN_OF_DAY, self.zone)

    def sleeps_away(self, wearer: Wearer, day: int) -> bool:
        """Whether the wearer is at a friend's when the day ends."""
        chance = self.chance(wearer, self.habits.out_all_night)
        return dice(self.seed, "night", wearer.number, day).random() < chance

    def plan(self, wearer: Wearer, day: int) -> DayPath:
        """The path from the beginning of `day` to its end; raises AssertionError if it does not join the next day's."""
        begin_ms, end_ms = self.turn_ms(day), self.turn_ms(day + 1)
        start = wearer.friends[0] if self.sleeps_away(wearer, day - 1) else wearer.home
        track = _Track([begin_ms], [start[0]], [start[1]])
        rng = dice(self.seed, "day", wearer.number, day)
        agenda = _Agenda(self, wearer, day, rng)
        for outing in agenda.outings():
            self._lay(track, wearer, outing, rng)
        bed = wearer.friends[0] if self.sleeps_away(wearer, day) else wearer.home
        if track.here != bed or track.now_ms > end_ms:
            raise AssertionError(f"{wearer.wearer_id} day {day}: the plan does not end where the next one begins")
        track.stay(end_ms, _indoors(wearer, track.here))
        return track.path()

    def chance(self, wearer: Wearer, chance: Chance) -> float:
        return chance[1] if wearer.prone else chance[0]

    def _lay(self, track: _Track, wearer: Wearer, outing: Outing, rng: Random) -> None:
        """Append an outing, or nothing if it cannot be over at `back_ms`."""
        places = [track.here, *(stop.place for stop in outing.stops)]
        legs = [self._leg(a, stop, wearer, rng) for a, stop in zip(places, outing.stops, strict=False)]
        travel_ms = sum(leg.duration_ms for leg in legs)
        begin_ms = max(outing.begin_ms, float(track.now_ms))
        if outing.arrive_ms is not None:
            begin_ms = max(begin_ms, outing.arrive_ms - legs[0].duration_ms)
        dwells = self._dwells(outing, begin_ms + legs[0].duration_ms, outing.back_ms - begin_ms - travel_ms)
        if dwells is None:
            return
        track.stay(begin_ms, _indoors(wearer, track.here))
        for leg, stop, dwell_ms in zip(legs, outing.stops, dwells, strict=True):
            _follow(track, leg)
            track.stay(track.now_ms + dwell_ms, stop.state)

    @staticmethod
    def _dwells(outing: Outing, first_ms: float, room_ms: float) -> list[float] | None:
        """How long each stop lasts, given the time left over from travel; None if there is not enough."""
        dwells = [stop.dwell_ms for stop in outing.stops]
        if outing.leave_ms is not None:
            dwells[0] = max(outing.leave_ms - first_ms, 5.0 * MINUTE_MS)
        wanted = sum(dwells)
        if room_ms < 0.1 * wanted or room_ms < 0:
            return None
        if outing.filled:
            longest = dwells.index(max(dwells))
            dwells[longest] = max(0.0, dwells[longest] + room_ms - wanted)
            wanted = sum(dwells)
        return [dwell * min(1.0, room_ms / wanted) for dwell in dwells] if wanted else dwells

    def _leg(self, a: Point, stop: Stop, wearer: Wearer, rng: Random) -> _Leg:
        """The way to a stop; around the wearer's exclusion zones, but for those it goes `through`."""
        avoid = [_ring(zone, stop.through) for zone in wearer.exclusions]
        stations = [a, *stop.via, stop.place]
        points = [a]
        for k, (here, there) in enumerate(pairwise(stations)):
            straight = 0 < k < len(stations) - 2  # between two points of `via`: that is the purpose
            points += [there] if straight else self._street(here, there, avoid, rng)[1:]
        walks = sum(distance_m(p, q) for p, q in pairwise(stations)) <= self.habits.walk_up_to_m
        return self._timed(points, wearer, walks, rng)

    def _street(self, a: Point, b: Point, avoid: list[Circleish], rng: Random) -> list[Point]:
        """A way along the grid of streets; of some candidates the first that keeps clear of `avoid`, else the last."""
        way = [a, b]
        for attempt in range(ROUTE_ATTEMPTS):
            way = self._corners(a, b, attempt, rng)
            if all(clearance_m(p, q, centre) > reach for p, q in pairwise(way) for centre, reach in avoid):
                break
        return way

    def _corners(self, a: Point, b: Point, attempt: int, rng: Random) -> list[Point]:
        """Out along one street, across, and along a parallel one; later attempts swing wider."""
        (ax, ay), (bx, by) = self._turned(a), self._turned(b)
        share = rng.uniform(-0.15 * attempt, 1 + 0.15 * attempt)
        swing = 160.0 * attempt * rng.uniform(-1, 1)
        if rng.random() < 0.5:
            mid, ay_street, by_street = self._on_streets(ax + share * (bx - ax) + swing, ay, by)
            corners = [(ax, ay_street), (mid, ay_street), (mid, by_street), (bx, by_street)]
        else:
            mid, ax_street, bx_street = self._on_streets(ay + share * (by - ay) + swing, ax, bx)
            corners = [(ax_street, ay), (ax_street, mid), (bx_street, mid), (bx_street, by)]
        if self.habits.street_m is None:
            corners = corners[1:3]  # the first and the last are where the way begins and ends
        return [a, *(self._turned_back(corner) for corner in corners), b]

    def _on_streets(self, *across: float) -> tuple[float, ...]:
        """The streets next to these places, where ways keep to streets."""
        apart_m = self.habits.street_m
        return across if apart_m is None else tuple(round(at / apart_m) * apart_m for at in across)

    def _turned(self, p: Point) -> Point:
        return p[0] * self._cos + p[1] * self._sin, p[1] * self._cos - p[0] * self._sin

    def _turned_back(self, p: Point) -> Point:
        return p[0] * self._cos - p[1] * self._sin, p[1] * self._cos + p[0] * self._sin

    def _timed(self, corners: list[Point], wearer: Wearer, walks: bool, rng: Random) -> _Leg:
        """Pieces of street, each at its own speed, with pauses at some corners when driving."""
        points, seconds = [corners[0]], list[float]()
        speed = self._speed(wearer, walks)
        for a, b in pairwise(corners):
            for point in _pieces(a, b, rng):
                seconds.append(distance_m(points[-1], point) / rng.uniform(*speed))
                points.append(point)
            if not walks and rng.random() < PAUSE_SHARE:
                seconds.append(rng.uniform(*PAUSE_S))
                points.append(points[-1])
        return _Leg(tuple(points), tuple(seconds), WALKING if walks else DRIVING)

    def _speed(self, wearer: Wearer, walks: bool) -> Range:
        if walks:
            return self.habits.walk_m_s
        least, most = self.habits.drive_m_s
        return (least, most) if wearer.drives else (least, max(least, min(most, BUS_MOST_M_S)))


def _begin_ms(outing: Outing) -> float:
    return outing.begin_ms


def _indoors(wearer: Wearer, here: Point) -> int:
    return AT_HOME if here == wearer.home else INDOORS


def _ring(zone: Requirement, through: tuple[str, ...]) -> Circleish:
    """What a way keeps clear of: a circle about a zone, or nothing."""
    if zone.requirement_id in through:
        return zone.shape.centre, -1.0
    return zone.shape.centre, zone.shape.reach_m + zone.buffer_m + CLEAR_OF_ZONES_M


def _pieces(a: Point, b: Point, rng: Random) -> Iterator[Point]:
    """Points from a (left out) to b, a little off the straight line."""
    length_m = distance_m(a, b)
    count = max(1, math.ceil(length_m / PIECE_M))
    for k in range(1, count):
        s, off = k / count, rng.uniform(-WOBBLE_M, WOBBLE_M) / length_m
        yield a[0] + s * (b[0] - a[0]) - off * (b[1] - a[1]), a[1] + s * (b[1] - a[1]) + off * (b[0] - a[0])
    if length_m > 0:
        yield b


def _follow(track: _Track, leg: _Leg) -> None:
    at_ms = float(track.now_ms)
    for point, seconds in zip(leg.points[1:], leg.seconds, strict=True):
        at_ms += max(seconds * SECOND_MS, 1.0)
        track.to(point, at_ms, leg.state)


class _Agenda:
    """What one wearer sets out to do on one day."""

    def __init__(self, planner: Planner, wearer: Wearer, day: int, rng: Random) -> None:
        self.planner = planner
        self.habits = planner.habits
        self.wearer = wearer
        self.day = day
        self.rng = rng
        self.begin_ms, self.end_ms = planner.turn_ms(day), planner.turn_ms(day + 1)
        absences = [interval for interval, _ in wearer.absences]
        timetable = wearer.curfew.timetable or ()
        self.curfew = without(periods(timetable, planner.zone, self.begin_ms, self.end_ms), absences)

    def outings(self) -> list[Outing]:
        """In order of their beginning."""
        appointments = self._appointments()
        taken = [(round(outing.begin_ms), round(outing.back_ms)) for outing in appointments]
        outings = [outing for window in self._free(taken) for outing in self._window(window)]
        outings = sorted([*outings, *appointments], key=_begin_ms)
        for offence in (self._zones, self._late, self._night):
            outings = offence(outings)
        if self.planner.sleeps_away(self.wearer, self.day - 1):
            outings = [self._home_again(), *outings]
        outings.sort(key=lambda outing: outing.begin_ms)
        if self.planner.sleeps_away(self.wearer, self.day):
            outings.append(self._away_for_the_night())
        return outings

    def _wall(self, wall: time) -> int:
        return start_of_wall(date.fromordinal(self.day), wall, self.planner.zone)

    def _free(self, taken: list[Interval]) -> list[Interval]:
        """When the wearer is up and free to leave home."""
        awake = without([(self._wall(UP), self._wall(TO_BED))], taken)
        return [(a, b) for a, b in without(awake, self.curfew) if b - a >= 2 * LEAST_OUTING_MS]

    def _appointments(self) -> list[Outing]:
        """Of today, as far as the wearer goes there; by a chance of their own."""
        rule, wearer = self.wearer.attendance, self.wearer
        if rule is None or rule.timetable is None:
            return []
        rng = dice(self.planner.seed, "appointment", wearer.number, self.day)
        rows = whole_rows(rule.timetable, self.planner.zone, self.begin_ms, self.end_ms)
        return [
            self._appointment(rule, row, rng)
            for row in rows
            if rng.random() >= self.planner.chance(wearer, self.habits.attendance_missed)
        ]

    def _appointment(self, rule: Requirement, row: Interval, rng: Random) -> Outing:
        """There in time, and for long enough; or gone too soon."""
        stay_ms = rule.stay_s * SECOND_MS
        leave_ms = row[0] + stay_ms + rng.uniform(3, 15) * MINUTE_MS
        if rng.random() < self.planner.chance(self.wearer, self.habits.attendance_cut_short):
            leave_ms = row[0] + stay_ms * rng.uniform(0.1, 0.8)
        arrive_ms = row[0] - rng.uniform(2, 10) * MINUTE_MS
        there = Stop(rule.shape.centre, float(stay_ms), INDOORS)
        begin_ms, back_ms = row[0] - APPOINTMENT_BEFORE_MS, row[1] + APPOINTMENT_AFTER_MS
        return Outing((there, self._home()), begin_ms, back_ms, arrive_ms=arrive_ms, leave_ms=leave_ms)

    def _minutes(self, least: float, most: float) -> float:
        return self.rng.uniform(least, most) * MINUTE_MS

    def _happens(self, chance: Chance) -> bool:
        return self.rng.random() < self.planner.chance(self.wearer, chance)

    def _window(self, window: Interval) -> list[Outing]:
        begin_ms, back_ms = window[0] + self._minutes(4, 50), window[1] - self._minutes(10, 50)
        at_work = self._work(window, begin_ms, back_ms)
        if at_work:
            return [at_work]
        if self.rng.random() < self.habits.rest_day_share:
            return []
        count = self.rng.randint(*self.habits.outings_a_day)
        slot_ms = (back_ms - begin_ms) / count
        return [
            Outing(
                (self._leisure(), self._home()),
                begin_ms + slot_ms * (k + self.rng.uniform(0, 0.4)),
                begin_ms + slot_ms * (k + 1),
            )
            for k in range(count)
            if slot_ms >= LEAST_OUTING_MS
        ]

    def _work(self, window: Interval, begin_ms: float, back_ms: float) -> Outing | None:
        """A day at work, if this is one and the window leaves room for it."""
        work, today = self.wearer.work, date.fromordinal(self.day)
        if work is None or today.weekday() > 4 or self._happens(self.habits.work_skipped):
            return None
        start_ms = start_of_wall(today, time.fromisoformat(work.start), self.planner.zone)
        end_ms = end_of_wall(today, time.fromisoformat(work.end), self.planner.zone)
        if not window[0] < start_ms < end_ms < window[1]:
            return None
        job = Stop(work.place, float(end_ms - start_ms), STANDING if work.outdoors else INDOORS)
        after = (self._leisure(),) if self.rng.random() < 0.4 else ()
        leave_ms = end_ms + self._minutes(1, 12)
        arrive_ms = start_ms - self._minutes(*self.habits.early_for_work_min)
        begin_ms = min(begin_ms, window[0] + self._minutes(2, 5))
        return Outing((job, *after, self._home()), begin_ms, back_ms, arrive_ms=arrive_ms, leave_ms=leave_ms)

    def _home(self) -> Stop:
        return Stop(self.wearer.home, 0.0, AT_HOME)

    def _leisure(self) -> Stop:
        wearer, rng = self.wearer, self.rng
        pick = rng.random()
        if pick < 0.35:
            return Stop(rng.choice(wearer.shops), self._minutes(10, 50), INDOORS)
        if pick < 0.55:
            return Stop(rng.choice(wearer.friends), self._minutes(40, 180), INDOORS)
        if pick < 0.65:
            return Stop(wearer.pub, self._minutes(40, 150), INDOORS)
        stroll = polar(wearer.home, rng.uniform(*STROLL_M), rng.uniform(0, 2 * math.pi))
        return Stop(stroll, self._minutes(15, 90), STANDING)

    def _zones(self, outings: list[Outing]) -> list[Outing]:
        """Turns one outing past, through or into an exclusion zone."""
        acts: tuple[tuple[Chance, Callable[[Requirement, Stop], tuple[Stop, ...]]], ...] = (
            (self.habits.zone_visit, self._visit),
            (self.habits.zone_cut_through, self._cut_through),
            (self.habits.zone_drive_past, self._drive_past),
        )
        for chance, act in acts:
            if not self._happens(chance) or not outings or not self.wearer.exclusions:
                continue
            k = self.rng.randrange(len(outings))
            zone = self.rng.choice(self.wearer.exclusions)
            *stops, home = outings[k].stops
            changed = (*stops, *act(zone, home))
            return [*outings[:k], replace(outings[k], stops=changed), *outings[k + 1 :]]
        return outings

    def _visit(self, zone: Requirement, home: Stop) -> tuple[Stop, ...]:
        """Into the zone on the way home: the street, or a house."""
        rng = self.rng
        place = polar(zone.shape.centre, rng.uniform(0, 0.45) * zone.shape.reach_m, rng.uniform(0, 2 * math.pi))
        state = STANDING if rng.random() < 0.6 else INDOORS
        through = (zone.requirement_id,)
        return Stop(place, self._minutes(*self.habits.zone_visit_min), state, through=through), replace(
            home, through=through
        )

    def _cut_through(self, zone: Requirement, home: Stop) -> tuple[Stop, ...]:
        """Across the zone, without a stop."""
        rng, shape = self.rng, zone.shape
        angle, off_m = rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.5) * shape.reach_m
        return (self._by_way_of(zone, home, polar(shape.centre, off_m, angle + math.pi / 2), angle),)

    def _drive_past(self, zone: Requirement, home: Stop) -> tuple[Stop, ...]:
        """Along the edge of the zone, outside."""
        rng, shape = self.rng, zone.shape
        angle, gap_m = rng.uniform(0, 2 * math.pi), rng.uniform(*self.habits.drive_past_gap_m)
        return (self._by_way_of(zone, home, polar(shape.centre, shape.reach_m + gap_m, angle + math.pi / 2), angle),)

    def _by_way_of(self, zone: Requirement, home: Stop, middle: Point, angle: float) -> Stop:
        """Home along the line through `middle` in the direction `angle`, nearer end last."""
        reach_m = zone.shape.reach_m + zone.buffer_m + 2 * CLEAR_OF_ZONES_M
        ends = [polar(middle, reach_m, angle), polar(middle, -reach_m, angle)]
        ends.sort(key=lambda end: -distance_m(end, home.place))
        return replace(home, via=tuple(ends))

    def _late(self, outings: list[Outing]) -> list[Outing]:
        """Makes the last outing before a curfew end after it began."""
        if not self._happens(self.habits.late_home) or not outings:
            return outings
        starts = [begin for begin, _ in self.curfew if begin > outings[-1].begin_ms]
        if not starts:
            return outings
        back_ms = starts[0] + self._minutes(*self.habits.late_home_min)
        last = replace(outings[-1], back_ms=min(back_ms, self.end_ms - 2 * HOUR_MS), filled=True, leave_ms=None)
        return [*outings[:-1], last]

    def _night(self, outings: list[Outing]) -> list[Outing]:
        """Adds an outing in the middle of a curfew period."""
        if not self._happens(self.habits.night_leave):
            return outings
        length_ms = self._minutes(*self.habits.night_leave_min)
        room = [(a + HOUR_MS / 2, b - HOUR_MS / 2 - length_ms) for a, b in self.curfew]
        room = [(a, b) for a, b in room if b > a]
        if not room:
            return outings
        begin_ms = self.rng.uniform(*self.rng.choice(room))
        leave = Outing((self._leisure(), self._home()), begin_ms, begin_ms + length_ms, filled=True)
        return [*outings, leave]

    def _home_again(self) -> Outing:
        """Back from a night away, between 05:30 and 10:00."""
        begin_ms = self._wall(UP) + self._minutes(0, 270)
        return Outing((self._home(),), begin_ms, self.end_ms)

    def _away_for_the_night(self) -> Outing:
        begin_ms = self._wall(time(17)) + self._minutes(0, 330)
        return Outing((Stop(self.wearer.friends[0], 0.0, INDOORS),), begin_ms, self.end_ms)
