"""The rules of judgement, told a second time: plain, slow, over the whole history at once.

Written from RULES.md section by section and from nothing else, so that the core has something to be compared with.
Every step is set algebra on half-open intervals of integer milliseconds; geometry comes from shapely and pyproj.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import shapely
from pyproj import Geod, Proj

from geofence.facts import DeviceEvent, Fact, Position
from geofence.obligations import Plan, Requirement
from geofence.shapes.zone_sets import Member
from geofence.words import ALWAYS_MS, FOREVER_MS
from geofence.zones import Area, Disc, SetZone, Shape

IN, OUT, NOT_KNOWN = "INSIDE", "OUTSIDE", "UNKNOWN"
Span = tuple[int, int]
SECOND_MS, MINUTE_MS = 1_000, 60_000
AHEAD_MS = 300 * SECOND_MS
FASTEST_M_PER_S = 70
JUMPS_IN_A_ROW = 3
RADIUS_BY_MECHANISM_M = {"GPS": 20.0, "WIFI": 50.0, "RF": 50.0, "LBS": 1000.0}


class Told(NamedTuple):
    """What a finding says."""

    begin_ms: int
    end_ms: int | None
    kind: str
    reason: str | None
    known_ms: int
    within_grace: bool
    requirement_id: str | None
    entry_id: str | None
    zone_id: str | None = None

    def __str__(self) -> str:
        end = "…" if self.end_ms is None else _clock(self.end_ms)
        grace = " within grace" if self.within_grace else ""
        whose = f"{self.requirement_id or '-'}/{self.entry_id or '-'}/{self.zone_id or '-'}"
        what = f"{self.kind} {self.reason or '-'}{grace}"
        return f"{_clock(self.begin_ms)} to {end} {whose} {what} (known {_clock(self.known_ms)})"


def _clock(instant_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Sets = Mapping[str, Sequence[Member]]
"""Members of zone sets, by what names them in a plan."""


def findings_by_the_rules(plan: Plan, facts: Iterable[Fact], now_ms: int, sets: Sets | None = None) -> list[Told]:
    """All findings of one activation at *now*, sorted."""
    received = _without_repeats([f for f in facts if f.received_ms <= now_ms])
    known = [f for f in received if f.own_ms <= now_ms]
    positions = _evidence_of_place([f for f in known if isinstance(f, Position)])
    events = [f for f in known if isinstance(f, DeviceEvent) and f.event_ms <= f.received_ms + AHEAD_MS]
    found = _silences(plan, _receipts_ms(plan, received), now_ms) + _device_findings(plan, events, now_ms)
    for requirement in plan.requirements:
        if _can_tell(plan, requirement):
            members = (sets or {})[requirement.zone.content] if isinstance(requirement.zone, SetZone) else ()
            found += _place_findings(plan, _Ground(requirement, members), positions, events, now_ms)
    return sorted(found, key=str)


# ------------------------------------------------------------------------------------------- set algebra


def _both(a: Iterable[Span], b: Iterable[Span]) -> list[Span]:
    spans = ((max(s, t), min(e, f)) for s, e in a for t, f in b)
    return sorted(span for span in spans if span[0] < span[1])


def _complement(spans: Iterable[Span]) -> list[Span]:
    edges = [ALWAYS_MS, *(edge for span in sorted(spans) for edge in span), FOREVER_MS]
    return [(b, e) for b, e in zip(edges[::2], edges[1::2], strict=True) if b < e]


def _union(spans: Iterable[Span]) -> list[Span]:
    left = sorted(span for span in spans if span[0] < span[1])
    union = []
    while left:
        begin, end = left.pop(0)
        while left and left[0][0] <= end:
            end = max(end, left.pop(0)[1])
        union.append((begin, end))
    return union


# ------------------------------------------------------------------------------------------- 2 obligations


@lru_cache(maxsize=100_000)
def instants_of_wall(wall: datetime, timezone: str) -> tuple[datetime, datetime]:
    """(earliest, latest) instant at which a clock on the wall shows `wall`: found by watching it minute by minute.
    For a wall time that is left out, both are the instant at which the clock jumps over it."""
    zone, minute = ZoneInfo(timezone), timedelta(minutes=1)
    first = wall.replace(tzinfo=UTC) - timedelta(hours=15)
    watched = [first + i * minute for i in range(30 * 60)]
    shown = [instant.astimezone(zone).replace(tzinfo=None) for instant in watched]
    matches = [instant for instant, face in zip(watched, shown, strict=True) if face == wall]
    if matches:
        return matches[0], matches[-1]
    jumps = [i for i, (was, is_now) in enumerate(pairwise(shown)) if was < wall < is_now]
    return watched[jumps[0] + 1], watched[jumps[0] + 1]


def row_span(day: date, start_min: int, end_min: int, timezone: str) -> Span | None:
    """What a row obliges on the day on which it starts."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (a wall clock has no zone)
    over_midnight = timedelta(days=1 if end_min <= start_min else 0)
    start = instants_of_wall(midnight + timedelta(minutes=start_min), timezone)[1]
    end = instants_of_wall(midnight + over_midnight + timedelta(minutes=end_min), timezone)[0]
    return (_ms(start), _ms(end)) if start < end else None


def _ms(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _day(instant_ms: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)).date()


def obligation_periods(plan: Plan, requirement: Requirement, now_ms: int) -> list[Span]:
    """Every [S, E) with S up to `now_ms`; an E after it may come out too early, which nobody can tell yet."""
    begin_ms = max(requirement.from_ms, plan.activation.from_ms)
    end_ms = min(requirement.to_ms, plan.activation.to_ms)
    obliged = _obliged_by_rows(plan, requirement, begin_ms, now_ms)
    if requirement.kind == "ATTENDANCE":
        whole = {(s, e) for s, e in obliged if begin_ms <= s and e <= end_ms}
        periods = sorted(period for period in whole if not _both([period], plan.absences))
    else:
        periods = _union(_both(obliged, [(begin_ms, end_ms)]))
    if requirement.kind in ("CURFEW", "INCLUSION"):
        periods = _both(periods, _complement(_union(plan.absences)))
    return [period for period in periods if period[0] <= now_ms]


def _obliged_by_rows(plan: Plan, requirement: Requirement, begin_ms: int, now_ms: int) -> list[Span]:
    """What each row obliges on each of its days, from `begin_ms` to beyond `now_ms`."""
    if requirement.timetable is None:
        return [(ALWAYS_MS, FOREVER_MS)]
    days = range(_day(begin_ms).toordinal() - 3, _day(max(now_ms, begin_ms)).toordinal() + 4)
    rows = [(date.fromordinal(n), row) for n in days for row in requirement.timetable]
    spans = [
        row_span(day, row.start_min, row.end_min, plan.timezone) for day, row in rows if day.weekday() == row.day
    ]
    return [span for span in spans if span is not None]


def _can_tell(plan: Plan, requirement: Requirement) -> bool:
    """Whether the activation is judged on it: whether its device can tell of that place."""
    told = set(plan.activation.evidence)
    return bool(told) if requirement.kind == "CURFEW" else "POSITION" in told


# ------------------------------------------------------------------------------------------- 3 evidence


def _without_repeats(facts: Sequence[Fact]) -> list[Fact]:
    """One of each content, as it was received first; received at one instant, as the device itself sent it."""
    last_to_first = sorted(facts, key=lambda f: (-f.received_ms, not _is_relayed(f)))
    return list({_content(f): f for f in last_to_first}.values())


def _is_relayed(fact: Fact) -> bool:
    return isinstance(fact, DeviceEvent) and fact.sent_by is not None


def _receipts_ms(plan: Plan, received: Sequence[Fact]) -> list[int]:
    """What is communication of the device: all that it sent, and what a home unit sent if nothing else can tell of it."""
    by_units_only = set(plan.activation.evidence) == {"RF"}
    return [f.received_ms for f in received if by_units_only or not _is_relayed(f)]


def _content(fact: Fact) -> tuple[object, ...]:
    if isinstance(fact, Position):
        return ("P", fact.fix_ms, fact.mechanism, fact.lat_deg, fact.lon_deg, fact.precision_m)
    return ("E", fact.event_ms, fact.type, fact.requirement_id)


def _evidence_of_place(positions: Sequence[Position]) -> list[Position]:
    """Positions that are evidence, in the order of evidence."""
    plausible = [p for p in positions if (p.lat_deg, p.lon_deg) != (0, 0) and p.fix_ms <= p.received_ms + AHEAD_MS]
    rank = {"RF": 0, "GPS": 1, "WIFI": 2, "LBS": 3}

    def place_in_time(position: Position) -> tuple[int, int]:
        return position.fix_ms, rank[position.mechanism]

    together = groupby(sorted(plausible, key=place_in_time), key=place_in_time)
    chosen = [min(conflicting, key=_preferred_first) for _, conflicting in together]
    evidence: list[Position] = []
    jumps = 0
    for position in chosen:
        if evidence and jumps < JUMPS_IN_A_ROW and _is_jump(evidence[-1], position):
            jumps += 1
        else:
            evidence.append(position)
            jumps = 0
    return evidence


def _preferred_first(position: Position) -> tuple[bool, float, float, float]:
    precision_m = position.precision_m
    not_known = precision_m is None or precision_m <= 0
    return not_known, 0.0 if not_known else precision_m, position.lat_deg, position.lon_deg


def _is_jump(last: Position, position: Position) -> bool:
    elapsed_s = max((position.fix_ms - last.fix_ms) / 1000, 1)
    distance_m = geodesic_distance_m(last.lon_deg, last.lat_deg, position.lon_deg, position.lat_deg)
    return distance_m - radius_m(position) - radius_m(last) > FASTEST_M_PER_S * elapsed_s


def radius_m(position: Position) -> float:
    if position.precision_m is None or position.precision_m <= 0:
        return RADIUS_BY_MECHANISM_M[position.mechanism]
    return position.precision_m


@lru_cache(maxsize=100_000)
def geodesic_distance_m(lon_a_deg: float, lat_a_deg: float, lon_b_deg: float, lat_b_deg: float) -> float:
    return Geod(ellps="WGS84").inv(lon_a_deg, lat_a_deg, lon_b_deg, lat_b_deg)[2]


@lru_cache(maxsize=100_000)
def margin_m(zone: Shape, lon_deg: float, lat_deg: float) -> float:
    """Signed distance to the boundary, positive inside: measured on a map that is true in all distances from the
    position (azimuthal equidistant), on which edges are drawn as 100 m pieces of straight lines in degrees."""
    if isinstance(zone, Disc):
        return zone.radius_m - geodesic_distance_m(*zone.centre, lon_deg, lat_deg)
    union = shapely.union_all([shapely.Polygon(rings[0], rings[1:]) for rings in zone.polygons])
    drawn = shapely.segmentize(union.boundary, 0.0009)
    true_distances = Proj(proj="aeqd", lon_0=lon_deg, lat_0=lat_deg, ellps="WGS84")
    on_map = shapely.transform(drawn, lambda lon, lat: true_distances(lon, lat), interleaved=False)
    distance_m = shapely.distance(on_map, shapely.Point(0, 0))
    return distance_m if union.covers(shapely.Point(lon_deg, lat_deg)) else -distance_m


class _Ground(NamedTuple):
    """A requirement with the members of the set that it is on; none if it has a zone of its own."""

    requirement: Requirement
    members: Sequence[Member]

    def zone(self) -> Shape:
        """Of a set, everything that lies in any member."""
        if isinstance(self.requirement.zone, SetZone):
            return everything(self.members)
        return self.requirement.zone

    def member_at(self, position: Position) -> str | None:
        """The member in which the position lies deepest, or which is nearest; of several the first by id."""
        if not self.members:
            return None
        at = (position.lon_deg, position.lat_deg)
        return min((-margin_m(member.area, *at), member.zone_id) for member in self.members)[1]


def everything(members: Sequence[Member]) -> Area:
    return Area(tuple(polygon for member in members for polygon in member.area.polygons))


def verdict(position: Position, ground: _Ground, widened_by_m: float) -> str:
    margin = margin_m(ground.zone(), position.lon_deg, position.lat_deg) + ground.requirement.widen_m + widened_by_m
    if margin >= radius_m(position):
        return IN
    return OUT if margin <= -radius_m(position) else NOT_KNOWN


class _HomeUnit(NamedTuple):
    """What was said of the home unit at the address of a curfew. Of other requirements: nothing."""

    sightings: Mapping[int, str]
    """The value of each that counts, by its instant."""
    trouble_ms: Sequence[int]
    heartbeats_ms: Sequence[int]

    def has_trouble(self, from_ms: int, to_ms: int) -> bool:
        """Whether it was moved or without power in [from_ms, to_ms], both ends included."""
        return any(from_ms <= at_ms <= to_ms for at_ms in self.trouble_ms)


def _home_unit(requirement: Requirement, events: Sequence[DeviceEvent]) -> _HomeUnit:
    if requirement.kind != "CURFEW":
        return _HomeUnit({}, [], [])
    naming_it = [e for e in events if e.requirement_id == requirement.requirement_id]
    about_it = naming_it + [e for e in events if e.requirement_id is None]
    in_range, out_of_range = ({e.event_ms for e in about_it if e.type == kind} for kind in ("RF_IN", "RF_OUT"))
    return _HomeUnit(
        dict.fromkeys(out_of_range, OUT) | dict.fromkeys(in_range, IN),
        [e.event_ms for e in about_it if e.type in ("HMU_MOVED", "HMU_POWER_LOST")],
        [e.event_ms for e in naming_it if e.type == "HEARTBEAT"],
    )


def _rf_gap_ms(plan: Plan, requirement: Requirement, at_ms: int) -> int:
    """How long a sighting at that instant speaks for."""
    entries = [u for u in plan.home_units if u.requirement_id == requirement.requirement_id]
    of_units_ms = [u.rf_gap_ms for u in entries if u.from_ms <= at_ms < u.to_ms and u.rf_gap_ms is not None]
    if of_units_ms:
        return min(of_units_ms)
    return plan.settings.max_gap_ms if requirement.rf_gap_ms is None else requirement.rf_gap_ms


class Decisive(NamedTuple):
    """A decisive verdict that is used. A sighting completes the run it stands in. `holds_to_ms`: the instant up to which it
    lets presence hold. `zone_id`: the member that it is about. `circle`: latitude and longitude, if it is a cell circle which
    confirms nothing when it is repeated."""

    at_ms: int
    value: str
    holds_to_ms: int
    is_sighting: bool
    zone_id: str | None = None
    circle: tuple[float, float] | None = None


def _decisive(
    plan: Plan,
    ground: _Ground,
    positions: Sequence[Position],
    events: Sequence[DeviceEvent],
    widened_by_m: float,
) -> list[Decisive]:
    """In order of time, one at an instant."""
    unit = _home_unit(ground.requirement, events)
    used: list[Decisive] = []
    for at_ms in sorted({*unit.sightings, *unit.heartbeats_ms, *(p.fix_ms for p in positions)}):
        seen = _sighting_at(plan, ground.requirement, unit, used, at_ms)
        if seen is None and not _in_range_speaks(plan, ground.requirement, unit, used, at_ms):
            there = [p for p in positions if p.fix_ms == at_ms]
            seen = _first_decisive(ground, there, widened_by_m, plan.settings.max_gap_ms)
        if seen is not None:
            used.append(seen)
    return used


def _sighting_at(
    plan: Plan, requirement: Requirement, unit: _HomeUnit, used: Sequence[Decisive], at_ms: int
) -> Decisive | None:
    """A sighting, or one that a heartbeat repeats."""
    value = unit.sightings.get(at_ms)
    if value is None and at_ms in unit.heartbeats_ms:
        value = _repeated_by_heartbeat(unit, used, at_ms)
    if value is None:
        return None
    max_gap_ms = plan.settings.max_gap_ms
    silenced_ms = min((lost for lost in unit.trouble_ms if lost >= at_ms), default=FOREVER_MS) + max_gap_ms
    return Decisive(at_ms, value, min(at_ms + _rf_gap_ms(plan, requirement, at_ms), silenced_ms), True)


def _repeated_by_heartbeat(unit: _HomeUnit, used: Sequence[Decisive], at_ms: int) -> str | None:
    last_ms = max((s for s in unit.sightings if s <= at_ms), default=None)
    if last_ms is None or unit.has_trouble(last_ms, at_ms):
        return None
    value = unit.sightings[last_ms]
    contradicted = any(last_ms <= seen.at_ms and seen.value != value for seen in used)
    return None if contradicted else value


def _in_range_speaks(
    plan: Plan, requirement: Requirement, unit: _HomeUnit, used: Sequence[Decisive], at_ms: int
) -> bool:
    """Whether a sighting in range takes precedence over positions at that instant."""
    latest = max((seen for seen in used if seen.is_sighting), default=None)
    if latest is None or latest.value != IN or unit.has_trouble(latest.at_ms, at_ms):
        return False
    return at_ms - latest.at_ms < min(_rf_gap_ms(plan, requirement, latest.at_ms), plan.settings.max_gap_ms)


def _first_decisive(
    ground: _Ground, positions: Sequence[Position], widened_by_m: float, max_gap_ms: int
) -> Decisive | None:
    """Of positions of one instant in the order of evidence."""
    for position in positions:
        value, at_ms = verdict(position, ground, widened_by_m), position.fix_ms
        if value != NOT_KNOWN:
            circle = _circle(position, value, ground.requirement)
            return Decisive(at_ms, value, at_ms + max_gap_ms, False, ground.member_at(position), circle)
    return None


def _circle(position: Position, value: str, requirement: Requirement) -> tuple[float, float] | None:
    if requirement.kind == "EXCLUSION" or position.mechanism != "LBS" or value != OUT:
        return None
    return position.lat_deg, position.lon_deg


# ------------------------------------------------------------------------------------------- 4 presence


class Stay(NamedTuple):
    """Presence of one value for [begin_ms, end_ms), known since `known_ms`. `zone_id`: the member of its first verdict."""

    begin_ms: int
    end_ms: int
    value: str
    known_ms: int
    zone_id: str | None = None


def _presence(requirement: Requirement, decisive: Sequence[Decisive]) -> list[Stay]:
    """Presence over the whole time line, UNKNOWN where nothing else is known."""
    known: list[Stay] = []
    completed = [_completed(requirement, run) for run in _runs(decisive)]
    for first, known_ms in [run for run in completed if run is not None]:
        if known and first.at_ms <= known[-1].end_ms:
            if known[-1].value == first.value:
                continue
            known[-1] = known[-1]._replace(end_ms=first.at_ms)
        known.append(Stay(first.at_ms, _held_to_ms(first, decisive), first.value, known_ms, first.zone_id))
    known = [stay for stay in known if stay.begin_ms < stay.end_ms]
    unknown = [Stay(b, e, NOT_KNOWN, b) for b, e in _complement((stay.begin_ms, stay.end_ms) for stay in known)]
    return sorted(known + unknown)


def _runs(decisive: Sequence[Decisive]) -> list[list[Decisive]]:
    """Verdicts of one value one after the other, with no gap between them."""
    runs: list[list[Decisive]] = []
    for seen in decisive:
        last = runs[-1][-1] if runs else None
        if last is not None and last.value == seen.value and seen.at_ms <= last.holds_to_ms:
            runs[-1].append(seen)
        else:
            runs.append([seen])
    return runs


def _completed(requirement: Requirement, run: Sequence[Decisive]) -> tuple[Decisive, int] | None:
    """(first verdict, instant of the verdict that completed it) of a run, or None while it is not complete."""
    counted: list[Decisive] = []
    for seen in run:
        if seen.circle is not None and seen.circle in [other.circle for other in counted]:
            continue
        counted.append(seen)
        confirmed = len(counted) >= requirement.confirm_points and seen.at_ms - run[0].at_ms >= requirement.confirm_ms
        if confirmed or seen.is_sighting:
            return run[0], seen.at_ms
    return None


def _held_to_ms(first: Decisive, decisive: Sequence[Decisive]) -> int:
    """The end of the hold of a presence that no other follows: each verdict before it is over makes it longer."""
    end_ms = first.holds_to_ms
    for seen in decisive:
        if first.at_ms <= seen.at_ms <= end_ms:
            end_ms = max(end_ms, seen.holds_to_ms)
    return end_ms


# ------------------------------------------------------------------------------------------- 5 findings


class _Cut(NamedTuple):
    """Presence inside one obligation period."""

    begin_ms: int
    end_ms: int
    stay: Stay
    period: Span

    def ended_ms(self, now_ms: int) -> int | None:
        return self.end_ms if self.end_ms <= now_ms else None

    @property
    def was_on_at_start(self) -> bool:
        return self.stay.begin_ms <= self.period[0]


def _cuts(stays: Sequence[Stay], periods: Sequence[Span], value: str) -> list[_Cut]:
    cuts = [
        _Cut(max(stay.begin_ms, s), min(stay.end_ms, e), stay, (s, e))
        for stay in stays
        for s, e in periods
        if stay.value == value
    ]
    return [cut for cut in cuts if cut.begin_ms < cut.end_ms]


def _place_findings(
    plan: Plan,
    ground: _Ground,
    positions: Sequence[Position],
    events: Sequence[DeviceEvent],
    now_ms: int,
) -> list[Told]:
    requirement = ground.requirement
    periods = obligation_periods(plan, requirement, now_ms)
    decisive = _decisive(plan, ground, positions, events, 0)
    stays = _presence(requirement, decisive)
    if requirement.kind == "ATTENDANCE":
        return [told for period in periods for told in _attendance(requirement, stays, period, now_ms)]
    if requirement.kind == "EXCLUSION":
        beyond = _decisive(plan, ground, positions, events, requirement.buffer_m)
        return _exclusions(requirement, stays, _presence(requirement, beyond), periods, now_ms)
    outside = [
        seen
        for cut in _cuts(stays, periods, OUT)
        for seen in _counted_from_start(cut, decisive, requirement.seen_within_ms)
    ]
    found = _unverified(plan, requirement, _cuts(stays, periods, NOT_KNOWN), now_ms)
    if requirement.kind == "INCLUSION":
        return found + [_told(requirement, "INCLUSION", cut, cut.stay.known_ms, now_ms) for cut in outside]
    return found + [_told_of_curfew(requirement, cut, stays, now_ms) for cut in outside]


def _told(
    requirement: Requirement,
    kind: str,
    cut: _Cut,
    known_ms: int,
    now_ms: int,
    reason: str | None = None,
    in_grace: bool = False,
) -> Told:
    end_ms, whose = cut.ended_ms(now_ms), (requirement.requirement_id, requirement.entry_id)
    return Told(cut.begin_ms, end_ms, kind, reason, max(cut.begin_ms, known_ms), in_grace, *whose, cut.stay.zone_id)


def _exclusions(
    requirement: Requirement, stays: Sequence[Stay], widened: Sequence[Stay], periods: Sequence[Span], now_ms: int
) -> list[Told]:
    inside = _cuts(stays, periods, IN)
    found = [_told(requirement, "EXCLUSION", cut, cut.stay.known_ms, now_ms) for cut in inside]
    if requirement.buffer_m > 0:
        approaches = _approaches(_cuts(widened, periods, IN), inside, stays)
        found += [
            _told(requirement, "APPROACH", cut, known_ms, now_ms)
            for cut, known_ms in approaches
            if cut.begin_ms <= now_ms
        ]
    return found


def _unverified(plan: Plan, requirement: Requirement, unknown: Sequence[_Cut], now_ms: int) -> list[Told]:
    limit_ms = plan.settings.unknown_limit_ms
    too_long = [cut for cut in unknown if min(cut.end_ms, max(now_ms, cut.begin_ms)) - cut.begin_ms > limit_ms]
    return [_told(requirement, "UNVERIFIED", cut, cut.begin_ms + limit_ms, now_ms) for cut in too_long]


def _counted_from_start(cut: _Cut, decisive: Sequence[Decisive], seen_within_ms: int) -> list[_Cut]:
    """The part of an outside presence that counts: all of it if it began in the period or the person was seen out lately
    when that began; else what follows the first verdict that saw the person out."""
    start_ms = cut.period[0]
    if cut.stay.begin_ms >= start_ms:
        return [cut]
    seen_out_ms = [seen.at_ms for seen in decisive if seen.value == OUT]
    if any(start_ms - seen_within_ms <= at_ms <= start_ms for at_ms in seen_out_ms):
        return [cut]
    latest = max((seen for seen in decisive if seen.is_sighting and seen.at_ms <= start_ms), default=None)
    if latest is not None and latest.value == OUT and latest.holds_to_ms >= start_ms:
        return [cut]
    return [cut._replace(begin_ms=at_ms) for at_ms in seen_out_ms if start_ms < at_ms < cut.end_ms][:1]


def _attendance(requirement: Requirement, stays: Sequence[Stay], period: Span, now_ms: int) -> list[Told]:
    """What is told of one period: that it cannot be kept any more, or that nobody knows whether it was."""
    start_ms, end_ms = period
    stay_ms = min(requirement.stay_ms, end_ms - start_ms)
    outside, inside = (_cuts(stays, [period], value) for value in (OUT, IN))
    begin_ms = _goes_beyond_ms([(cut.begin_ms, cut.end_ms) for cut in outside], end_ms - start_ms - stay_ms)
    if begin_ms is not None and begin_ms <= now_ms:
        there = next(cut for cut in outside if cut.begin_ms <= begin_ms < cut.end_ms)
        missed = there._replace(begin_ms=begin_ms, end_ms=end_ms)
        return [_told(requirement, "ATTENDANCE", missed, there.stay.known_ms, now_ms)]
    stayed_ms = sum(cut.end_ms - cut.begin_ms for cut in inside)
    if end_ms > now_ms or stayed_ms >= stay_ms:
        return []
    whole = _Cut(start_ms, end_ms, Stay(start_ms, end_ms, NOT_KNOWN, end_ms), period)
    return [_told(requirement, "UNVERIFIED", whole, end_ms, now_ms)]


def _goes_beyond_ms(spans: Sequence[Span], amount_ms: int) -> int | None:
    """The instant in these spans before which so much of them lies: from there on it is more. None if they are no longer."""
    left_ms = amount_ms
    for begin_ms, end_ms in spans:
        if end_ms - begin_ms > left_ms:
            return begin_ms + left_ms
        left_ms -= end_ms - begin_ms
    return None


def _approaches(widened: list[_Cut], inside: list[_Cut], stays: list[Stay]) -> list[tuple[_Cut, int]]:
    """Approaches with the instant at which each is known: not before the end of the exclusion that it follows is."""
    outside_spans = _complement(_union((cut.begin_ms, cut.end_ms) for cut in inside))
    known_at_ms = {stay.begin_ms: stay.known_ms for stay in stays}
    exclusion_ends_ms = {cut.end_ms for cut in inside}
    found = []
    for cut in widened:
        for begin_ms, end_ms in _both([(cut.begin_ms, cut.end_ms)], outside_spans):
            known_ms = max(cut.stay.known_ms, known_at_ms[begin_ms] if begin_ms in exclusion_ends_ms else begin_ms)
            found.append((_Cut(begin_ms, end_ms, cut.stay, cut.period), known_ms))
    return found


def _told_of_curfew(requirement: Requirement, cut: _Cut, stays: Sequence[Stay], now_ms: int) -> Told:
    reason, in_grace = _curfew_reason(cut, stays, now_ms), _within_grace(cut, requirement.grace_ms, now_ms)
    return _told(requirement, "CURFEW", cut, cut.stay.known_ms, now_ms, reason, in_grace)


def _curfew_reason(cut: _Cut, stays: Sequence[Stay], now_ms: int) -> str:
    """RULES.md section 5, from where the presence lies in [S, E) and what was seen beside it."""
    at_end = cut.ended_ms(now_ms) == cut.period[1]
    if cut.was_on_at_start and at_end:
        return "OUT_ENTIRE_PERIOD"
    if cut.was_on_at_start:
        returned = cut.end_ms <= now_ms and any(s.begin_ms == cut.end_ms and s.value == IN for s in stays)
        return "RETURNED_LATE" if returned else "OUT_AT_START"
    if at_end:
        return "OUT_AT_END"
    left = any(s.end_ms == cut.begin_ms and s.value == IN for s in stays)
    return "LEFT_DURING" if left else "SEEN_OUT"


def _within_grace(cut: _Cut, grace_ms: int, now_ms: int) -> bool:
    grace_end_ms = cut.period[0] + grace_ms
    if not cut.was_on_at_start:
        return False
    return cut.end_ms <= grace_end_ms if cut.end_ms <= now_ms else now_ms < grace_end_ms


def _silences(plan: Plan, receipts_ms: Sequence[int], now_ms: int) -> list[Told]:
    activation = plan.activation
    start_ms = max(activation.from_ms, activation.from_ms if activation.entered_ms is None else activation.entered_ms)
    limit_ms = activation.report_interval_ms + plan.settings.silence_buffer_ms
    heard_ms = sorted({start_ms, *(r for r in receipts_ms if start_ms < r < activation.to_ms)})
    found = []
    for last_ms, next_ms in pairwise([*heard_ms, activation.to_ms]):
        counted = _both([(last_ms, next_ms)], _complement(_union(plan.outages)))
        begin_ms = _goes_beyond_ms(counted, limit_ms)
        if begin_ms is not None and begin_ms < now_ms:
            end_ms = next_ms if next_ms <= now_ms else None
            found.append(Told(begin_ms, end_ms, "NO_COMMUNICATION", None, begin_ms, False, None, None))
    return found


CLEARED_BY = {
    "STRAP_TAMPER": ("TAMPER", {"STRAP_CLEAR"}),
    "CASE_TAMPER": ("TAMPER", {"CASE_CLEAR"}),
    "BATTERY_LOW": ("BATTERY", {"BATTERY_OK"}),
    "BATTERY_CRITICAL": ("BATTERY", {"BATTERY_OK"}),
    "HMU_MOVED": ("HMU", {"RF_IN", "RF_OUT"}),
    "HMU_POWER_LOST": ("HMU", {"HMU_POWER_RESTORED"}),
    "JAMMING": ("JAMMING", {"JAMMING_CLEAR"}),
    "ALCOHOL_DETECTED": ("ALCOHOL", {"ALCOHOL_CLEAR"}),
}


def _device_findings(plan: Plan, events: Sequence[DeviceEvent], now_ms: int) -> list[Told]:
    """Each start lasts to the first later clear of it; what overlaps or touches, of one start and unit, is one."""
    found = []
    for reason, (kind, clears) in CLEARED_BY.items():
        for unit in {e.requirement_id for e in events if e.type == reason}:
            starts_ms = [e.event_ms for e in events if e.type == reason and e.requirement_id == unit]
            clearing = [e for e in events if e.type in clears]
            clears_ms = [e.event_ms for e in clearing if unit is None or e.requirement_id in (None, unit)]
            spans = [(s, min([c for c in clears_ms if c > s] + [plan.activation.to_ms])) for s in starts_ms]
            for begin_ms, end_ms in _union(spans):
                ended_ms = end_ms if end_ms <= now_ms else None
                found.append(Told(begin_ms, ended_ms, kind, reason, begin_ms, False, unit, None))
    return found
