"""The invented wearers: who they are, what their orders oblige, where they go. Every person and every number is made up.

Everything here is a function of (seed, wearer number); nothing is drawn from outside data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import time
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

from emtrack.emulator.chance import dice, draw
from emtrack.emulator.geometry import Circle, Point, Polygon, Shape, distance_m, polar, snapped
from emtrack.emulator.habits import Chance, Habits, Range
from emtrack.emulator.iom import draw_iom, iom_record
from emtrack.emulator.schedule import (
    DAY_MS,
    DAYS,
    HOUR_MS,
    Interval,
    Row,
    Timetable,
    iso_of,
    local_date,
    start_of_wall,
)

ObligationKind = Literal["CURFEW", "EXCLUSION", "INCLUSION", "ATTENDANCE"]
NETWORKS = ("carrier-a", "carrier-b", "carrier-c")
REPORT_INTERVAL_S = 600
ALCOHOL_INTERVAL_S = 3_600
ANY_EVIDENCE = ("POSITION", "RF")
EVENING = time(18)

# fmt: off
GIVEN = (
    "Adlen", "Bexa", "Corim", "Delwyn", "Edda", "Farrel", "Gethe", "Hollin", "Idwen", "Jarrick", "Kelda",
    "Lorcan", "Merrin", "Nessa", "Orwin", "Pellam", "Quilla", "Rowden", "Sefton", "Tamsel", "Ulric",
    "Verrin", "Wyllow", "Yestin", "Zeb",
)
FAMILY_HEAD = (
    "Alder", "Brack", "Cinder", "Dunn", "Elder", "Fenn", "Gorse", "Harrow", "Ivel", "Kestrel", "Larch",
    "Mallow", "Nettle", "Oxen", "Pebble", "Quarry",
)
FAMILY_TAIL = (
    "moss", "wick", "thorpe", "sedge", "hollow", "bourne", "stead", "marsh", "ridge", "fell", "combe",
    "garth",
)
# fmt: on

EVERY_DAY = DAYS
WEEK = DAYS[:5]
WEEKEND = DAYS[5:]
Pattern = tuple[tuple[tuple[str, ...], str, str], ...]
CURFEW_PATTERNS: tuple[tuple[float, Pattern], ...] = (
    (0.60, ((EVERY_DAY, "19:00", "07:00"),)),
    (0.12, ((WEEK, "19:00", "07:00"), (WEEKEND, "21:00", "08:00"))),
    (0.08, ((EVERY_DAY, "20:00", "06:00"),)),
    (0.08, ((("FRI", "SAT", "SUN"), "18:00", "08:00"),)),
    (0.07, ((EVERY_DAY, "21:00", "00:00"), (EVERY_DAY, "00:00", "06:00"))),
    (0.05, ((("MON", "WED", "FRI"), "19:00", "07:00"), (("TUE", "THU"), "22:00", "06:30"))),
)
EARLY_CURFEW: Pattern = ((EVERY_DAY, "18:30", "06:30"),)
EXCLUSION_PATTERNS: tuple[tuple[float, Pattern | None], ...] = (
    (0.80, None),
    (0.12, ((("FRI", "SAT"), "20:00", "04:00"),)),
    (0.08, ((WEEK, "08:00", "18:00"),)),
)
ATTENDANCE_PATTERNS: tuple[tuple[float, tuple[Pattern, int]], ...] = (
    (0.5, (((("TUE", "FRI"), "10:00", "11:30"),), 2_700)),  # treatment: three quarters of an hour
    (0.5, (((("MON", "WED", "THU"), "09:30", "13:30"),), 10_800)),  # unpaid work: three hours
)
"""Timetable, and how long to stay (s)."""
WORK_HOURS: tuple[tuple[str, str], ...] = (("09:00", "17:00"), ("08:30", "16:30"), ("09:30", "16:00"))


@dataclass(frozen=True)
class Requirement:
    """One obligation of a wearer; `timetable` None means always."""

    requirement_id: str
    kind: ObligationKind
    shape: Shape
    timetable: Timetable | None
    buffer_m: float = 0.0
    grace_s: int = 0
    stay_s: int = 0


@dataclass(frozen=True)
class Work:
    """Where a wearer works, and from when to when (wall clock, Monday to Friday)."""

    place: Point
    start: str
    end: str
    obliged: bool
    outdoors: bool


@dataclass(frozen=True)
class UnitTerms:
    """A home unit that sends for itself: how often it calls in, and how long a sighting of it speaks (None: as a position)."""

    call_in_s: int
    rf_gap_s: int | None


@dataclass(frozen=True)
class Wearer:
    """One invented person. Points are in frame metres."""

    number: int
    wearer_id: str
    name: str
    iom: dict[str, Any]
    home: Point
    shops: tuple[Point, ...]
    friends: tuple[Point, ...]
    pub: Point
    work: Work | None
    drives: bool
    prone: bool
    curfew: Requirement
    exclusions: tuple[Requirement, ...]
    inclusion: Requirement | None
    absences: tuple[tuple[Interval, str], ...]
    hmu_id: str | None
    unit: UnitTerms | None = None
    """None: no home unit, or one that reports through the tag."""
    rf_only: bool = False
    """The tag has no positions and no network: only the home unit hears it."""
    attendance: Requirement | None = None
    drinks: Chance | None = None
    """Per day; None: no alcohol tag."""

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """All obligations: the curfew first."""
        last = tuple(one for one in (self.inclusion, self.attendance) if one)
        return (self.curfew, *self.exclusions, *last)


@dataclass(frozen=True)
class Activation:
    """One device on one wearer; `end_ms` None is open-ended."""

    activation_id: str
    device_id: str
    wearer: Wearer
    begin_ms: int
    end_ms: int | None
    network: str
    evidence: tuple[str, ...] = ANY_EVIDENCE
    """What the device can tell of places."""
    report_interval_s: int = REPORT_INTERVAL_S

    @property
    def by_alcohol_tag(self) -> bool:
        return not self.evidence


def make_wearers(
    count: int, seed: int, start_ms: int, zone: ZoneInfo, habits: Habits, first: int = 1
) -> list[Wearer]:
    """`count` wearers, numbered from `first`. Who has a number does not depend on who else is there."""
    numbers = range(first, first + count)
    names = _names(first + count - 1, seed)
    return [_Birth(number, seed, habits).wearer(names[number - 1], start_ms, zone) for number in numbers]


def _names(count: int, seed: int) -> list[str]:
    """Different invented names; past the supply (4,800) they carry a number."""
    supply = [f"{given} {head}{tail}" for given in GIVEN for head in FAMILY_HEAD for tail in FAMILY_TAIL]
    dice(seed, "names").shuffle(supply)
    rounds = range(math.ceil(count / len(supply)))
    return [name if turn == 0 else f"{name} {turn + 1}" for turn in rounds for name in supply][:count]


class _Birth:
    """Draws one wearer, in a fixed order."""

    def __init__(self, number: int, seed: int, habits: Habits) -> None:
        self.seed = seed
        self.number = number
        self.wearer_id = f"W{number:04d}"
        self.habits = habits
        self.rng = dice(seed, "wearer", number)
        self.taken: list[Point] = []

    def wearer(self, name: str, start_ms: int, zone: ZoneInfo) -> Wearer:
        rng, habits = self.rng, self.habits
        home = self._place((0.0, 0.0), (0.0, habits.area_radius_m))
        shops = (self._place(home, (300, 1_300)), self._place(home, (1_500, 4_500)))
        friends = (self._place(home, (600, 3_000)), self._place(home, (1_500, 6_000)))
        pub = self._place(home, (400, 2_500))
        work = self._work(home) if rng.random() < habits.works_share else None
        zones = 2 if rng.random() < habits.two_zones_share else 1
        exclusions = tuple(self._exclusion(home, k) for k in range(1, zones + 1))
        drawn = draw_iom(rng)
        drives, prone = rng.random() < habits.drives_share, rng.random() < habits.prone_share
        first = Wearer(
            number=self.number,
            wearer_id=self.wearer_id,
            name=name,
            iom=iom_record(self.seed, self.number, drawn, prone=prone, start_ms=start_ms),
            home=home,
            shops=shops,
            friends=friends,
            pub=pub,
            work=work,
            drives=drives,
            prone=prone,
            curfew=self._curfew(home),
            exclusions=exclusions,
            inclusion=self._inclusion(work) if work and work.obliged else None,
            absences=self._absences(start_ms, zone),
            hmu_id=f"H{self.number:04d}" if rng.random() < habits.home_unit_share else None,
        )
        return self._second_edition(first)

    def _second_edition(self, wearer: Wearer) -> Wearer:
        """What the second edition adds, each by a chance of its own: the rest stays as in the first."""
        habits, n = self.habits, self.number
        if dice(self.seed, "rf only", n).random() < habits.rf_only_share:
            call_in_s = dice(self.seed, "call in", n).choice(habits.rf_only_call_in_s)
            terms = UnitTerms(call_in_s, call_in_s + habits.rf_only_leeway_s)
            return replace(
                wearer,
                hmu_id=f"H{n:04d}",
                unit=terms,
                rf_only=True,
                exclusions=(),
                inclusion=None,
                work=_unobliged(wearer.work),
            )
        if wearer.hmu_id is not None and habits.home_units == "for themselves":
            wearer = replace(wearer, unit=UnitTerms(habits.call_in_s, None))
        if dice(self.seed, "alcohol", n).random() < habits.alcohol_share:
            wearer = replace(wearer, drinks=habits.drinks)
        rng = dice(self.seed, "attendance", n)
        if wearer.work is None and rng.random() < habits.attendance_share:
            wearer = replace(wearer, attendance=self._attendance(rng, wearer))
        return wearer

    def _attendance(self, rng: Random, wearer: Wearer) -> Requirement:
        """At a place that no exclusion zone of the wearer comes near."""
        pattern, stay_s = draw(rng, ATTENDANCE_PATTERNS)
        for attempt in range(200):
            far_m = rng.uniform(1_200, 5_000) + 20.0 * attempt
            place = snapped(polar(wearer.home, far_m, rng.uniform(0, 2 * math.pi)))
            if all(distance_m(zone.shape.centre, place) > zone.shape.reach_m + 500 for zone in wearer.exclusions):
                shape = Circle(place, 100.0)
                return Requirement(f"{self.wearer_id}-A", "ATTENDANCE", shape, _timetable(pattern), stay_s=stay_s)
        raise AssertionError(f"{self.wearer_id}: no room for an appointment")

    def _place(self, around: Point, reach_m: Range) -> Point:
        """A place between `reach_m` from `around`, even over the area."""
        radius_m = math.sqrt(self.rng.uniform(reach_m[0] ** 2, reach_m[1] ** 2))
        place = snapped(polar(around, radius_m, self.rng.uniform(0, 2 * math.pi)))
        self.taken.append(place)
        return place

    def _work(self, home: Point) -> Work:
        start, end = self.rng.choice(WORK_HOURS)
        obliged = self.rng.random() < self.habits.inclusion_share
        outdoors = self.rng.random() < self.habits.outdoor_work_share
        return Work(self._place(home, (1_200, 8_000)), start, end, obliged, outdoors)

    def _curfew(self, home: Point) -> Requirement:
        grace_s = 300 if self.rng.random() < self.habits.grace_share else 0
        pattern = draw(self.rng, CURFEW_PATTERNS)
        if dice(self.seed, "early curfew", self.number).random() < self.habits.early_curfew_share:
            pattern = EARLY_CURFEW
        shape = Circle(home, float(self.rng.choice((50, 60, 60, 60, 80))))
        return Requirement(f"{self.wearer_id}-C", "CURFEW", shape, _timetable(pattern), grace_s=grace_s)

    def _inclusion(self, work: Work) -> Requirement:
        timetable = _timetable(((WEEK, work.start, work.end),))
        return Requirement(f"{self.wearer_id}-I", "INCLUSION", Circle(work.place, 150.0), timetable)

    def _exclusion(self, home: Point, ordinal: int) -> Requirement:
        rng, habits = self.rng, self.habits
        reach_m = rng.uniform(*habits.zone_reach_m)
        centre = self._zone_centre(home, reach_m)
        polygon = rng.random() < habits.polygon_share
        shape = _polygon(rng, centre, reach_m) if polygon else Circle(centre, float(round(reach_m)))
        pattern = draw(rng, EXCLUSION_PATTERNS)
        buffer_m = float(rng.choice((50, 100, 200))) if rng.random() < habits.buffered_share else 0.0
        timetable = None if pattern is None else _timetable(pattern)
        return Requirement(f"{self.wearer_id}-X{ordinal}", "EXCLUSION", shape, timetable, buffer_m=buffer_m)

    def _zone_centre(self, home: Point, reach_m: float) -> Point:
        """A centre that leaves the wearer's own places well outside; after many tries, further away."""
        for attempt in range(200):
            radius_m = self.rng.uniform(1_200, 5_000) + reach_m + 40.0 * attempt
            centre = snapped(polar(home, radius_m, self.rng.uniform(0, 2 * math.pi)))
            if all(distance_m(centre, place) > reach_m + 500 for place in self.taken):
                self.taken.append(centre)
                return centre
        raise AssertionError(f"{self.wearer_id}: no room for an exclusion zone")

    def _absences(self, start_ms: int, zone: ZoneInfo) -> tuple[tuple[Interval, str], ...]:
        if self.rng.random() >= self.habits.absence_share:
            return ()
        day = local_date(start_ms + self.rng.randrange(4) * DAY_MS, zone)
        begin_ms = start_of_wall(day, EVENING, zone)
        reason = self.rng.choice(("hospital", "family", "employment"))
        return (((begin_ms, begin_ms + self.rng.randint(3, 6) * HOUR_MS), reason),)


def _unobliged(work: Work | None) -> Work | None:
    """The same work, with nobody who asks whether the wearer is there."""
    return None if work is None else replace(work, obliged=False)


def _timetable(pattern: Pattern) -> Timetable:
    return tuple(Row(day, start, end) for days, start, end in pattern for day in days)


def _polygon(rng: Random, centre: Point, reach_m: float) -> Polygon:
    """A ring of 5 to 9 corners, none closer to the centre than 0.7 of the reach."""
    corners = rng.randint(5, 9)
    turn = rng.uniform(0, 2 * math.pi)
    step = 2 * math.pi / corners
    angles = [turn + step * (k + rng.uniform(-0.2, 0.2)) for k in range(corners)]
    return Polygon(centre, tuple(snapped(polar(centre, reach_m * rng.uniform(0.7, 1.0), angle)) for angle in angles))


def make_activations(
    wearers: list[Wearer], seed: int, start_ms: int, zone: ZoneInfo, habits: Habits, spare_after: int | None = None
) -> list[Activation]:
    """Who wears which device when: one each, but for the tags that go from one wearer to another.

    New tags for those are numbered after `spare_after`, by default the number of the last wearer.
    """
    moves = _tag_moves(wearers, seed, start_ms, zone, habits)
    rng = dice(seed, "networks")
    last = wearers[-1].number
    networks = {number: rng.choice(NETWORKS) for number in range(1, last + 1)}
    spare = last if spare_after is None else spare_after
    out: list[Activation] = []
    for wearer in wearers:
        out += _alcohol_tag(wearer, start_ms, networks[wearer.number])
        device, n, network = f"D{wearer.number:04d}", wearer.number, networks[wearer.number]
        if n in moves:  # gives its tag away in the morning, and gets a new one half an hour later
            spare += 1
            out.append(Activation(f"A{n:04d}a", device, wearer, start_ms, moves[n], network))
            begin_ms = moves[n] + HOUR_MS // 2
            out.append(Activation(f"A{n:04d}b", f"D{spare:04d}", wearer, begin_ms, None, network))
        elif n - 1 in moves:  # its own tag is retired, and it gets the other's
            end_ms, carrier = moves[n - 1] + 3 * HOUR_MS, networks[n - 1]
            out.append(Activation(f"A{n:04d}a", device, wearer, start_ms, end_ms, network))
            begin_ms = end_ms + HOUR_MS // 2
            out.append(Activation(f"A{n:04d}b", f"D{n - 1:04d}", wearer, begin_ms, None, carrier))
        else:
            out.append(Activation(f"A{n:04d}", device, wearer, start_ms, None, network))
    return [_heard_by_a_unit(one) if one.wearer.rf_only else one for one in out]


def _alcohol_tag(wearer: Wearer, start_ms: int, network: str) -> Iterator[Activation]:
    """The second device of whoever has one."""
    if wearer.drinks is not None:
        n = wearer.number
        yield Activation(f"A{n:04d}s", f"S{n:04d}", wearer, start_ms, None, network, (), ALCOHOL_INTERVAL_S)


def _heard_by_a_unit(activation: Activation) -> Activation:
    """The same with a tag that has no channel of its own: what its unit sends is its sign of life."""
    unit = activation.wearer.unit
    interval_s = REPORT_INTERVAL_S if unit is None else unit.call_in_s
    return replace(activation, evidence=("RF",), report_interval_s=interval_s)


def _tag_moves(wearers: list[Wearer], seed: int, start_ms: int, zone: ZoneInfo, habits: Habits) -> dict[int, int]:
    """Number of the wearer whose tag goes to the next one, and when it is taken off."""
    rng = dice(seed, "moves")
    count = round(len(wearers) * habits.reused_tag_share)
    first = wearers[0].number
    givers = sorted(first + 2 * k for k in rng.sample(range(len(wearers) // 2), min(count, len(wearers) // 2)))
    day = local_date(start_ms + DAY_MS, zone)
    moves = {n: start_of_wall(day, time(rng.randint(9, 12)), zone) for n in givers}
    of_one_kind = {n for n in moves if wearers[n - first].rf_only == wearers[n + 1 - first].rf_only}
    return {n: at_ms for n, at_ms in moves.items() if n in of_one_kind}


def orders_of(wearers: list[Wearer], activations: list[Activation], start_ms: int, timezone: str) -> dict[str, Any]:
    """orders.json, with `wearers` and `home_units`."""
    begin = iso_of(start_ms)
    return {
        "timezone": timezone,
        "wearers": [{"wearer_id": w.wearer_id, "name": w.name, "iom": dict(w.iom)} for w in wearers],
        "activations": [_activation(activation) for activation in activations],
        "requirements": [_requirement(w, r, begin) for w in wearers for r in w.requirements],
        "absences": [absence for w in wearers for absence in _absence_rows(w)],
        "settings": {"max_gap_s": 900, "unknown_limit_s": 1800, "silence_buffer_s": 540},
        "home_units": [_home_unit(w, begin) for w in wearers if w.hmu_id],
    }


def _activation(activation: Activation) -> dict[str, Any]:
    out: dict[str, Any] = {
        "activation_id": activation.activation_id,
        "device_id": activation.device_id,
        "wearer_id": activation.wearer.wearer_id,
        "from": iso_of(activation.begin_ms),
        "to": None if activation.end_ms is None else iso_of(activation.end_ms),
        "report_interval_s": activation.report_interval_s,
        "network": activation.network,
    }
    if activation.evidence != ANY_EVIDENCE:
        out["evidence"] = list(activation.evidence)
    return out


def _requirement(wearer: Wearer, requirement: Requirement, begin: str) -> dict[str, Any]:
    rows = requirement.timetable
    out: dict[str, Any] = {
        "requirement_id": requirement.requirement_id,
        "wearer_id": wearer.wearer_id,
        "kind": requirement.kind,
        "from": begin,
        "to": None,
        "geometry": requirement.shape.geojson(),
        "timetable": None if rows is None else [row.as_dict() for row in rows],
    }
    if requirement.kind == "EXCLUSION":
        out["buffer_m"] = requirement.buffer_m
    if requirement.kind == "CURFEW":
        out["grace_s"] = requirement.grace_s
    if requirement.kind == "ATTENDANCE":
        out["stay_s"] = requirement.stay_s
    return out


def _absence_rows(wearer: Wearer) -> Iterator[dict[str, Any]]:
    for (begin_ms, end_ms), reason in wearer.absences:
        yield {"wearer_id": wearer.wearer_id, "from": iso_of(begin_ms), "to": iso_of(end_ms), "reason": reason}


def _home_unit(wearer: Wearer, begin: str) -> dict[str, Any]:
    out: dict[str, Any] = {
        "hmu_id": wearer.hmu_id,
        "wearer_id": wearer.wearer_id,
        "requirement_id": wearer.curfew.requirement_id,
        "from": begin,
        "to": None,
    }
    if wearer.unit is not None:
        out["call_in_s"] = wearer.unit.call_in_s
        if wearer.unit.rf_gap_s is not None:
            out["rf_gap_s"] = wearer.unit.rf_gap_s
    return out
