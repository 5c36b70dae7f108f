"""How good the findings are: what the emulator knows to be true, beside what is found in what its tags send.

    python -m benchmarks.detection [--wearers 200] [--days 14] [--presets clean,gaps,…] [--seed 1] [--processes 2]
                                   [--changes] [--write docs/detection.md]

The method
==========

For each preset a world of wearers lives for some days. Everything its tags have sent by the end (each report with the
instant at which it was sent as its receipt) is judged at the end, by activation, in four ways:

    core                  the judgement of the product (`judge_history`), home units and all
    core, positions only  the same without the events
    naive                 what users write: point in polygon on each position, no radius, no confirmation, no test for jumps
    filtered              the naive one on positions whose precision is known and at most 100 m, two in a row

Both of the last know the positions only, each content once, in order of `fix_time`. A finding of theirs is a maximal run
of positions of one activation on the wrong side within one obligation period (the same periods as the core's); it lasts
until the next position that counts or the end of the period, and is known with its first (naive) or second position.

Compared are EXCLUSION, CURFEW and INCLUSION. What is true is `World.truth`: to the second, whether a tag worked or was
worn or not. The definitions are the same for all:

    true finding   overlaps a true interval of its own requirement by any positive length. No tolerance in place or in
                   time: a finding that ends as the truth begins is false. One within grace counts like any other.
    false minutes  the time of all findings less the truth: a finding that is true in part is false for the rest
    found          a violation that a finding of its requirement overlaps
    findable       at least two consecutive positions of one activation (nothing between them, each content once) at most
                   `max_gap` apart were sent while the violation lasted and the wearer truly was, at the instant of each,
                   past the boundary by twice its radius (the default of its mechanism where none was reported)
    onset error    begin of the first finding that overlaps, less the true begin
    known after    `known_at` of that finding, less the true begin
    heard after    the same once what it rests on had been received: what a person would have waited

Facts carry the tag's own clock; whether a violation is findable is asked of the true instants. A tag whose clock is wrong
so counts against whoever believes it.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from emtrack.emulator import PRESETS, World, build_world
from emtrack.files.evaluate import fact_of
from emtrack.forms.orders import plans_of, read_orders
from geofence.facts import DeviceEvent, Fact, Position, without_duplicates
from geofence.intervals import Interval, merged, subtracted
from geofence.judgement.evidence import Standing
from geofence.judgement.explain import Weighed, weighed
from geofence.judgement.findings import place_findings
from geofence.judgement.judge import judge_history
from geofence.judgement.places import Places
from geofence.judgement.presence import Confirmation, Tracker, feed, stretches
from geofence.judgement.timetable import DAY_MS, Schedule
from geofence.obligations import Plan, Requirement
from geofence.shapes.arrays import Bools, Float64s, Int64s
from geofence.words import FOREVER_MS, EventType, Mechanism, ObligationKind, Presence, parse_instant
from ingest.reports import EventReport, Refusal, read_report

WORLDS = ("clean", "urban_canyon", "lbs_heavy", "gaps", "jumps")
"""What the targets are about. `standard` is reported apart."""

START_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z, a Monday
WEARERS_AT_ONCE = 40
"""A world of its own: bounds the memory, and is the smallest in which a tag is used again."""
MINUTE_MS = 60_000
SHORTEST_MS = 2 * MINUTE_MS
TARGET_MS = 5 * MINUTE_MS
TARGET_FOUND = 0.99
TARGET_TIMES_FEWER = 20.0
ACCURATE_M = 100.0
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CHANGES_BEGIN, CHANGES_END = "<!-- changes: begin -->", "<!-- changes: end -->"


# ---------------------------------------------------------------------------------------------- scoring


class Found(NamedTuple):
    """A finding, by whichever method. `heard_ms`: when all it needed to be known had been received. `rests_on`: the facts
    that opened it (core only)."""

    requirement_id: str
    begin_ms: int
    end_ms: int
    known_ms: int
    heard_ms: int
    rests_on: tuple[Fact, ...] = ()


class Violation(NamedTuple):
    """A true interval of one requirement."""

    begin_ms: int
    end_ms: int
    findable: bool

    @property
    def lasted_ms(self) -> int:
        return self.end_ms - self.begin_ms


@dataclass
class Score:
    """Counts, and the delays (ms) of the violations of at least SHORTEST_MS that were found. Scores add up."""

    violations: int = 0
    violations_missed: int = 0
    findable: int = 0
    findable_missed: int = 0
    target: int = 0
    """Findable, and of at least TARGET_MS."""
    target_missed: int = 0
    findings: int = 0
    false: int = 0
    false_ms: int = 0
    onset_ms: list[int] = field(default_factory=list)
    known_ms: list[int] = field(default_factory=list)
    heard_ms: list[int] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


def touches(found: Found, truth: tuple[int, int]) -> bool:
    """Whether they overlap; a finding without length counts as an instant."""
    return found.begin_ms < truth[1] and truth[0] < max(found.end_ms, found.begin_ms + 1)


def score(violations: Sequence[Violation], findings: Sequence[Found]) -> Score:
    """Of one requirement of one wearer. `violations` in order of time and apart."""
    truth = [Interval(v.begin_ms, v.end_ms) for v in violations]
    total = Score(findings=len(findings), false=len(false_ones(violations, findings)))
    claimed = merged((f.begin_ms, f.end_ms) for f in findings)
    total.false_ms = sum(end_ms - begin_ms for begin_ms, end_ms in subtracted(claimed, truth))
    for violation in violations:
        if violation.lasted_ms >= SHORTEST_MS:
            total += _score_one(violation, [f for f in findings if touches(f, violation[:2])])
    return total


def false_ones(violations: Sequence[Violation], findings: Sequence[Found]) -> list[Found]:
    """The findings that overlap no truth of their requirement."""
    return [f for f in findings if not any(touches(f, v[:2]) for v in violations)]


def _score_one(violation: Violation, findings: Sequence[Found]) -> Score:
    missed = int(not findings)
    one = Score(violations=1, violations_missed=missed)
    if violation.findable:
        one.findable, one.findable_missed = 1, missed
        if violation.lasted_ms >= TARGET_MS:
            one.target, one.target_missed = 1, missed
    if findings:
        first = min(findings, key=lambda f: f.begin_ms)
        one.onset_ms.append(first.begin_ms - violation.begin_ms)
        one.known_ms.append(first.known_ms - violation.begin_ms)
        one.heard_ms.append(first.heard_ms - violation.begin_ms)
    return one


# ---------------------------------------------------------------------------------------------- what was sent


@dataclass(frozen=True)
class Sent:
    """All that one activation sent, each content once, in the order of evidence. `skew_ms`: its clock less the true time."""

    plan: Plan
    facts: list[Fact]
    skew_ms: int

    @property
    def positions(self) -> list[Position]:
        return [fact for fact in self.facts if isinstance(fact, Position)]


def sent_by(world: World, end_ms: int) -> list[Sent]:
    """What came from each activation of a world up to `end_ms`, read as the service reads it."""
    orders = read_orders(msgspec.json.encode(world.orders()).decode(), "orders")
    plans = plans_of(orders)
    home_of = {unit.hmu_id: unit.requirement_id for unit in orders.home_units}
    by_device: dict[str, list[Plan]] = defaultdict(list)
    for plan in plans:
        by_device[plan.activation.device_id].append(plan)
    facts: dict[str, list[Fact]] = {plan.activation.activation_id: [] for plan in plans}
    for number, (device_id, received_ms, raw) in enumerate(_reports(world, end_ms)):
        report = read_report(raw)
        if isinstance(report, Refusal):
            raise ValueError(f"the emulator sent what is refused: {report.what}")
        if isinstance(report, EventReport) and report.hmu_id is not None:
            report = msgspec.structs.replace(report, hmu_id=home_of[report.hmu_id])
        for plan in by_device[device_id]:
            if plan.activation.from_ms <= report.own_ms < plan.activation.to_ms:
                facts[plan.activation.activation_id].append(fact_of(report, received_ms, number))
    return [
        Sent(plan, without_duplicates(facts[plan.activation.activation_id]), world.skew_ms(plan.activation.device_id))
        for plan in plans
    ]


def _reports(world: World, end_ms: int) -> Iterator[tuple[str, int, dict[str, object]]]:
    for upload in world.uploads(world.start_ms, end_ms):
        for raw in upload.reports:
            yield upload.device_id, upload.send_ms, raw


# ---------------------------------------------------------------------------------------------- the three methods


def core_findings(plan: Plan, facts: Sequence[Fact], now_ms: int) -> list[Found]:
    """What the product finds."""
    by_id = {fact.fact_id: fact for fact in facts}
    found = []
    for finding in judge_history(plan, facts, now_ms):
        if finding.requirement_id is None or finding.kind not in ObligationKind.__members__:
            continue
        # The facts that closed it come after the instant at which it was known.
        opened = [by_id[i] for i in finding.evidence if by_id[i].own_ms <= finding.known_ms]
        heard_ms = max([finding.known_ms, *(fact.received_ms for fact in opened)])
        end_ms = now_ms if finding.end_ms is None else finding.end_ms
        found.append(
            Found(finding.requirement_id, finding.begin_ms, end_ms, finding.known_ms, heard_ms, tuple(opened))
        )
    return found


def naive_findings(plan: Plan, positions: Sequence[Position], now_ms: int, in_a_row: int = 1) -> list[Found]:
    """Runs of at least `in_a_row` positions on the wrong side. `positions` in order of time."""
    if not positions or not plan.requirements:
        return []
    at_ms = np.array([p.fix_ms for p in positions], np.int64)
    margin_m = _margins(plan.requirements, [p.lon_deg for p in positions], [p.lat_deg for p in positions])
    found = []
    for row, requirement in enumerate(plan.requirements):
        wrong = margin_m[:, row] >= 0 if is_exclusion(requirement) else margin_m[:, row] < 0
        for period in Schedule(plan, requirement).periods(requirement.from_ms, now_ms):
            low, high = np.searchsorted(at_ms, (period.begin_ms, period.end_ms)).tolist()
            for first, after in _runs(wrong[low:high]):
                if after - first < in_a_row:
                    continue
                known = low + first + in_a_row - 1
                follows = low + after
                end_ms = min(period.end_ms, now_ms, int(at_ms[follows]) if follows < len(at_ms) else now_ms)
                heard_ms = max(p.received_ms for p in positions[low + first : known + 1])
                found.append(
                    Found(requirement.requirement_id, int(at_ms[low + first]), end_ms, int(at_ms[known]), heard_ms)
                )
    return found


def _runs(flags: Bools) -> Iterator[tuple[int, int]]:
    """[first, after) of each maximal run of True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def accurate(positions: Iterable[Position]) -> list[Position]:
    """Those whose precision is known and at most ACCURATE_M."""
    return [p for p in positions if p.precision_m is not None and 0 < p.precision_m <= ACCURATE_M]


def _naive(sent: Sent, now_ms: int) -> list[Found]:
    return naive_findings(sent.plan, _positions_by(sent, now_ms), now_ms)


def _filtered(sent: Sent, now_ms: int) -> list[Found]:
    return naive_findings(sent.plan, accurate(_positions_by(sent, now_ms)), now_ms, in_a_row=2)


def _core(sent: Sent, now_ms: int) -> list[Found]:
    return core_findings(sent.plan, sent.facts, now_ms)


def _core_alone(sent: Sent, now_ms: int) -> list[Found]:
    """Without home units, as the baselines are."""
    return core_findings(sent.plan, sent.positions, now_ms)


def _positions_by(sent: Sent, now_ms: int) -> list[Position]:
    return [p for p in sent.positions if p.received_ms <= now_ms and p.fix_ms <= now_ms]


Way = Callable[[Sent, int], list[Found]]
METHODS: dict[str, Way] = {"core": _core, "core, positions only": _core_alone, "naive": _naive, "filtered": _filtered}


def is_exclusion(requirement: Requirement) -> bool:
    return requirement.kind is ObligationKind.EXCLUSION


def _margins(requirements: Sequence[Requirement], lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Float64s:
    return Places(requirements).margins_m(lon_deg, lat_deg)


# ---------------------------------------------------------------------------------------------- what was findable


@dataclass(frozen=True)
class Seen:
    """The positions of one activation beside the truth. `at_ms`: true instants (n,). `past`: (n, requirements), truly on the
    wrong side by twice the radius."""

    sent: Sent
    positions: list[Position]
    at_ms: Int64s
    past: Bools

    def column(self, requirement_id: str) -> int:
        return [str(r.requirement_id) for r in self.sent.plan.requirements].index(requirement_id)

    def findable(self, requirement_id: str, begin_ms: int, end_ms: int) -> Bools:
        """(n,): positions of the interval that belong to two consecutive ones, far enough past and close enough in time."""
        good = self.past[:, self.column(requirement_id)] & (self.at_ms >= begin_ms) & (self.at_ms < end_ms)
        pair = good[1:] & good[:-1] & (np.diff(self.at_ms) <= self.sent.plan.settings.max_gap_ms)
        chosen = np.zeros(len(good), np.bool_)
        chosen[1:] |= pair
        chosen[:-1] |= pair
        return chosen


def seen(world: World, sent: Sent) -> Seen:
    """Each position with where the wearer truly was at its true instant."""
    positions, requirements = sent.positions, sent.plan.requirements
    at_ms = np.array([p.fix_ms for p in positions], np.int64) - sent.skew_ms
    lon_deg, lat_deg = world.position(sent.plan.activation.wearer_id, at_ms)
    sign = np.array([1.0 if is_exclusion(r) else -1.0 for r in requirements])
    depth_m = _margins(requirements, lon_deg, lat_deg) * sign
    radius_m = np.array([p.radius_m for p in positions], np.float64).reshape(-1, 1)
    return Seen(sent, positions, at_ms, depth_m >= 2 * radius_m)


def violations_of(world: World, wearer_id: str, end_ms: int, looks: Sequence[Seen]) -> Mapping[str, list[Violation]]:
    """What is true of one wearer, by requirement, in order of time."""
    found: dict[str, list[Violation]] = defaultdict(list)
    for row in world.truth(wearer_id, world.start_ms, end_ms):
        name, begin_ms, end = row["requirement_id"], parse_instant(row["begin"]), parse_instant(row["end"])
        findable = any(bool(look.findable(name, begin_ms, end).any()) for look in looks)
        found[name].append(Violation(begin_ms, end, findable))
    return found


# ---------------------------------------------------------------------------------------------- where it loses


CLOCK = "the clock of the tag is wrong"
HELD_ON = "was so before the obligation began, and nothing decisive had come since"


def why_false(world: World, sent: Sent, requirement: Requirement, found: Found, truth: Sequence[Violation]) -> str:
    """What led the core to a false finding."""
    moved = found._replace(begin_ms=found.begin_ms - sent.skew_ms, end_ms=found.end_ms - sent.skew_ms)
    if sent.skew_ms and any(touches(moved, v[:2]) for v in truth):
        return CLOCK
    opened = found.rests_on
    at_ms = np.array([fact.own_ms for fact in opened], np.int64) - sent.skew_ms
    margin_m = _margins([requirement], *world.position(sent.plan.activation.wearer_id, at_ms))[:, 0]
    wrong = margin_m >= 0 if is_exclusion(requirement) else margin_m < 0
    erring = [fact for fact, was_so in zip(opened, wrong.tolist(), strict=True) if not was_so]
    positions = [fact for fact in erring if isinstance(fact, Position)]
    if len(positions) > 1 and all(same_circle(positions[0], other) for other in positions[1:]):
        return "one cell circle, reported twice"
    if positions:
        return f"{' and '.join(sorted({p.mechanism for p in positions}))} off by more than the radius"
    if abs(sent.skew_ms) >= TARGET_MS:
        return CLOCK
    return "out of the range of the home unit, at home" if erring else HELD_ON


def why_missed(looks: Sequence[Seen], name: str, violation: Violation) -> str:
    """What became of the positions that made the violation findable: most of them."""
    fates: Counter[str] = Counter()
    for look in looks:
        chosen = look.findable(name, violation.begin_ms, violation.end_ms)
        if chosen.any():
            requirement = look.sent.plan.requirements[look.column(name)]
            max_gap_ms = look.sent.plan.settings.max_gap_ms
            fate_of = {
                id(w.position): _fate(w, requirement) for w in weighed(requirement, look.sent.facts, max_gap_ms)
            }
            fates.update(fate_of[id(look.positions[i])] for i in np.flatnonzero(chosen).tolist())
            if abs(look.sent.skew_ms) >= TARGET_MS:
                return CLOCK
    bad = Counter({fate: count for fate, count in fates.items() if fate != "counted"})
    if not bad:
        return "counted, and never two in a row"
    return bad.most_common(1)[0][0]


def _fate(one: Weighed, requirement: Requirement) -> str:
    if one.standing is not Standing.EVIDENCE:
        return f"set aside: {one.standing.lower()}"
    if one.overruled:
        return "the home unit said: in range"
    if one.verdict is Presence.UNKNOWN:
        return "the reported circle touches the boundary"
    right = Presence.INSIDE if is_exclusion(requirement) else Presence.OUTSIDE
    return "counted" if one.verdict is right else "the reported circle lies on the other side"


# ---------------------------------------------------------------------------------------------- changes of the rules


Echo = Callable[[Position, Position], bool]
"""Whether the second verdict of a run (by the second position) is none, beside the first."""


class Decisive(NamedTuple):
    """A decisive verdict."""

    at_ms: int
    value: int
    is_sighting: bool


@dataclass(frozen=True)
class Rule:
    """A rule of judgement that the product does not have, tried on the same facts with the parts of the core. As it
    stands it says what the core says (a test holds that).

    `echo`: which second position of a run confirms nothing; it counts for all else. `fresh_ms`: at the start of an
    obligation a presence counts from S only if the latest decisive verdict is no older; else from the first verdict of its
    value that comes after S. `until`: what ends a finding when a position says that it is over: that position, or the
    last verdict before it that said otherwise (then one that began by the clock, and had no verdict since, is none).
    """

    echo: Echo = lambda _first, _second: False
    fresh_ms: int = FOREVER_MS
    until: Literal["the opposite", "the last verdict"] = "the opposite"

    def findings(self, sent: Sent, now_ms: int) -> list[Found]:
        facts = [fact for fact in sent.facts if max(fact.own_ms, fact.received_ms) <= now_ms]
        return [
            one for requirement in sent.plan.requirements for one in self._of(sent.plan, requirement, facts, now_ms)
        ]

    def _of(self, plan: Plan, requirement: Requirement, facts: list[Fact], now_ms: int) -> Iterator[Found]:
        tracker, decisive = self._fed(plan, requirement, facts)
        periods = Schedule(plan, requirement).periods(requirement.from_ms, now_ms)
        steps = stretches(tracker, plan.settings.max_gap_ms, now_ms)
        value = int(Presence.INSIDE if is_exclusion(requirement) else Presence.OUTSIDE)
        for one in place_findings(requirement, periods, steps, [], plan.settings.unknown_limit_ms, now_ms):
            if one.kind not in ObligationKind.__members__:
                continue
            at_start = one.begin_ms == one.period_ms
            begin_ms = self._counts_from(one.begin_ms, decisive, value) if at_start else one.begin_ms
            if begin_ms is None:
                continue
            end_ms = now_ms if one.end_ms is None else one.end_ms
            if self.until == "the last verdict":
                end_ms = _last_seen(begin_ms, end_ms, decisive, value, at_start=at_start)
            if begin_ms < end_ms:
                known_ms = max(one.known_ms, begin_ms)
                yield Found(str(requirement.requirement_id), begin_ms, end_ms, known_ms, known_ms)

    def _counts_from(self, start_ms: int, decisive: Sequence[Decisive], value: int) -> int | None:
        """From when presence of `value` at the start of an obligation counts; None: no later verdict says so."""
        after = bisect_right(decisive, start_ms, key=lambda one: one.at_ms)
        if start_ms - decisive[after - 1].at_ms <= self.fresh_ms:
            return start_ms
        return next((one.at_ms for one in decisive[after:] if one.value == value), None)

    def _fed(self, plan: Plan, requirement: Requirement, facts: list[Fact]) -> tuple[Tracker, list[Decisive]]:
        """Presence after all facts, and the decisive verdicts."""
        max_gap_ms = plan.settings.max_gap_ms
        confirmation = Confirmation(requirement.confirm_points, requirement.confirm_ms, max_gap_ms)
        said = {id(w.position): w for w in weighed(requirement, facts, max_gap_ms)}
        tracker, decisive = Tracker(), list[Decisive]()
        first: Fact | None = None
        for fact in facts:
            verdict = _verdict(requirement, fact, said)
            if verdict == Presence.UNKNOWN or tracker.last_ms == fact.own_ms:
                continue
            decisive.append(Decisive(fact.own_ms, verdict, isinstance(fact, DeviceEvent)))
            lone = tracker.run_count == 1 and verdict == tracker.run_value and tracker.last_ms is not None
            near = lone and fact.own_ms - (tracker.last_ms or 0) <= max_gap_ms
            if near and isinstance(first, Position) and isinstance(fact, Position) and self.echo(first, fact):
                tracker.last_ms = fact.own_ms
                continue
            feed(tracker, verdict, fact.own_ms, fact, confirmation, sighting=isinstance(fact, DeviceEvent))
            first = fact if tracker.run_count == 1 else first
        return tracker, decisive


def _last_seen(begin_ms: int, end_ms: int, decisive: Sequence[Decisive], value: int, *, at_start: bool) -> int:
    """Where a finding ends that ended at `end_ms`, if it lasts no longer than a verdict said so."""
    after = bisect_left(decisive, end_ms, key=lambda one: one.at_ms)
    ended_by = decisive[after] if after < len(decisive) and decisive[after].at_ms == end_ms else None
    if ended_by is None or ended_by.value == value or ended_by.is_sighting:
        return end_ms
    last_ms = next((one.at_ms for one in reversed(decisive[:after]) if one.value == value), begin_ms)
    return last_ms if last_ms > begin_ms or at_start else end_ms


def _verdict(requirement: Requirement, fact: Fact, said: Mapping[int, Weighed]) -> int:
    """What a fact says of a requirement; UNKNOWN where it is not used."""
    if isinstance(fact, Position):
        one = said[id(fact)]
        used = one.standing is Standing.EVIDENCE and not one.overruled
        return one.verdict if used else Presence.UNKNOWN
    concerned = requirement.kind is ObligationKind.CURFEW and fact.is_judged
    if not concerned or fact.requirement_id not in (None, requirement.requirement_id):
        return Presence.UNKNOWN
    return {EventType.RF_IN: Presence.INSIDE, EventType.RF_OUT: Presence.OUTSIDE}.get(fact.type, Presence.UNKNOWN)


def both_cells(first: Position, second: Position) -> bool:
    return first.mechanism is second.mechanism is Mechanism.LBS


def same_circle(first: Position, second: Position) -> bool:
    """A tag that hears one mast again reports its circle again, and knows no more than before."""
    return both_cells(first, second) and (first.lat_deg, first.lon_deg) == (second.lat_deg, second.lon_deg)


def _requiring(sent: Sent, **changes: int) -> Sent:
    requirements = tuple(msgspec.structs.replace(r, **changes) for r in sent.plan.requirements)
    return Sent(msgspec.structs.replace(sent.plan, requirements=requirements), sent.facts, sent.skew_ms)


def _wider(sent: Sent, mechanisms: Iterable[Mechanism]) -> Sent:
    """Radii of some mechanisms half as large again."""
    facts: list[Fact] = [
        msgspec.structs.replace(f, precision_m=1.5 * f.radius_m)
        if isinstance(f, Position) and f.mechanism in mechanisms
        else f
        for f in sent.facts
    ]
    return Sent(sent.plan, facts, sent.skew_ms)


FRESH_MS = 2 * MINUTE_MS
CHANGES: dict[str, Way] = {
    "as it is": _core,
    "`confirm_points` 3": lambda sent, now_ms: _core(_requiring(sent, confirm_points=3), now_ms),
    "`confirm_seconds` 60": lambda sent, now_ms: _core(_requiring(sent, confirm_ms=MINUTE_MS), now_ms),
    "LBS radius × 1.5": lambda sent, now_ms: _core(_wider(sent, [Mechanism.LBS]), now_ms),
    "every radius × 1.5": lambda sent, now_ms: _core(_wider(sent, Mechanism), now_ms),
    "A: a cell circle that is repeated confirms nothing": Rule(echo=same_circle).findings,
    "B: a cell position does not confirm another": Rule(echo=both_cells).findings,
    "C: at the start of an obligation, presence of at most 2 min ago": Rule(fresh_ms=FRESH_MS).findings,
    "C with 5 min": Rule(fresh_ms=300_000).findings,
    "D: a finding lasts until the last verdict that says so": Rule(until="the last verdict").findings,
    "A and C": Rule(echo=same_circle, fresh_ms=FRESH_MS).findings,
    "A and D": Rule(echo=same_circle, until="the last verdict").findings,
}


# ---------------------------------------------------------------------------------------------- one world


Cell = tuple[str, str, str]
"""Preset, method (or name of a change), kind."""


@dataclass
class Outcome:
    """What a run counted. Outcomes add up."""

    scores: dict[Cell, Score] = field(default_factory=lambda: defaultdict(Score))
    false_by: Counter[Cell] = field(default_factory=Counter)
    missed_by: Counter[Cell] = field(default_factory=Counter)
    """(preset, kind, cause) of the core."""

    def take(self, other: Outcome) -> None:
        for cell, one in other.scores.items():
            self.scores[cell] += one
        self.false_by += other.false_by
        self.missed_by += other.missed_by


class Job(NamedTuple):
    """One world of at most WEARERS_AT_ONCE people, numbered from `first`."""

    preset: str
    seed: int
    first: int
    wearers: int
    days: int
    changes: bool


def jobs_of(presets: Sequence[str], *, wearers: int, days: int, seed: int, changes: bool) -> list[Job]:
    return [
        Job(preset, seed, first, min(WEARERS_AT_ONCE, wearers + 1 - first), days, changes)
        for preset in presets
        for first in range(1, wearers + 1, WEARERS_AT_ONCE)
    ]


def run(job: Job) -> Outcome:
    """One world, judged in every way."""
    world = build_world(job.wearers, job.seed, START_MS, preset=job.preset, first=job.first, spare_after=900_000)
    end_ms = START_MS + job.days * DAY_MS
    by_wearer: dict[str, list[Sent]] = defaultdict(list)
    for sent in sent_by(world, end_ms):
        by_wearer[sent.plan.activation.wearer_id].append(sent)
    outcome = Outcome()
    for wearer_id, activations in by_wearer.items():
        _judge_wearer(outcome, job, world, wearer_id, activations, end_ms)
    outcome.scores = dict(outcome.scores)
    return outcome


def _judge_wearer(
    outcome: Outcome, job: Job, world: World, wearer_id: str, activations: Sequence[Sent], end_ms: int
) -> None:
    looks = [seen(world, sent) for sent in activations]
    truth = violations_of(world, wearer_id, end_ms, looks)
    for name, find in (CHANGES if job.changes else METHODS).items():
        found = [(sent, one) for sent in activations for one in find(sent, end_ms)]
        for requirement in activations[0].plan.requirements:
            its = [(sent, one) for sent, one in found if one.requirement_id == requirement.requirement_id]
            violations = truth.get(requirement.requirement_id, [])
            cell = job.preset, name, str(requirement.kind)
            outcome.scores[cell] += score(violations, [one for _, one in its])
            if name == "core":
                _explain(outcome, job.preset, world, requirement, its, violations, looks)


def _explain(
    outcome: Outcome,
    preset: str,
    world: World,
    requirement: Requirement,
    found: Sequence[tuple[Sent, Found]],
    violations: Sequence[Violation],
    looks: Sequence[Seen],
) -> None:
    kind = str(requirement.kind)
    for sent, one in found:
        if false_ones(violations, [one]):
            outcome.false_by[preset, kind, why_false(world, sent, requirement, one, violations)] += 1
    for violation in violations:
        asked = violation.findable and violation.lasted_ms >= TARGET_MS
        if asked and not any(touches(one, violation[:2]) for _, one in found):
            outcome.missed_by[preset, kind, why_missed(looks, requirement.requirement_id, violation)] += 1


def run_all(jobs: Sequence[Job], processes: int) -> Outcome:
    """Every job; the outcome does not depend on how many processes share them."""
    total = Outcome()
    if processes == 1:
        for job in jobs:
            total.take(run(job))
        return total
    with ProcessPoolExecutor(processes) as pool:
        for job, outcome in zip(jobs, pool.map(run, jobs), strict=True):
            total.take(outcome)
            print(f"{job.preset} from {job.first}", file=sys.stderr)
    return total


# ---------------------------------------------------------------------------------------------- telling


HEAD = (
    "world", "judged by", "missed of ≥ 2 min", "missed of findable", "missed of findable ≥ 5 min", "findings", "false",
    "false a wearer-day", "false min a wearer-day", "onset error p50 / p95", "known after p50 / p95", "heard after p50 / p95",
)  # fmt: skip
TOGETHER = "the five together"


def summed(scores: Mapping[Cell, Score], presets: Sequence[str], way: str, kind: str | None = None) -> Score:
    """The score of one way of judging over some presets, of one kind or all."""
    total = Score()
    for (preset, name, its_kind), one in scores.items():
        if preset in presets and name == way and kind in (None, its_kind):
            total += one
    return total


def row_of(world: str, way: str, total: Score, wearer_days: int) -> list[str]:
    return [
        world,
        way,
        _of(total.violations_missed, total.violations),
        _of(total.findable_missed, total.findable),
        _of(total.target_missed, total.target),
        f"{total.findings:,}",
        f"{total.false:,}",
        f"{total.false / wearer_days:.3f}",
        f"{total.false_ms / MINUTE_MS / wearer_days:.1f}",
        _spread(total.onset_ms, absolute=True),
        _spread(total.known_ms),
        _spread(total.heard_ms),
    ]


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _spread(delays_ms: Sequence[int], *, absolute: bool = False) -> str:
    """Median and 95th percentile in minutes; of an error (`absolute`), the median with its sign and the size of the p95."""
    if not delays_ms:
        return "–"
    upper = np.abs(delays_ms) if absolute else np.array(delays_ms)
    return f"{np.median(delays_ms) / MINUTE_MS:.1f} / {np.percentile(upper, 95) / MINUTE_MS:.1f} min"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def groups_of(presets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The rows of a table: each preset, and those together that the targets are about."""
    asked = [preset for preset in presets if preset in WORLDS]
    apart = [preset for preset in presets if preset not in WORLDS]
    together = [(TOGETHER if len(asked) == len(WORLDS) else "together", asked)] if len(asked) > 1 else []
    return [
        *((preset, [preset]) for preset in asked),
        *together,
        *((f"{preset} (apart)", [preset]) for preset in apart),
    ]


def main_table(outcome: Outcome, presets: Sequence[str], wearers: int, days: int) -> str:
    rows = [
        row_of(name, way, summed(outcome.scores, group, way), len(group) * wearers * days)
        for name, group in groups_of(presets)
        for way in METHODS
    ]
    return table(HEAD, rows)


def targets(outcome: Outcome, presets: Sequence[str]) -> str:
    """Each target beside what was measured."""
    asked = [preset for preset in presets if preset in WORLDS]
    core, naive = (summed(outcome.scores, asked, way) for way in ("core", "naive"))
    found = 1 - core.target_missed / core.target if core.target else 1.0
    fewer = naive.false / max(core.false, 1)
    rows = [
        [
            "findable violations of ≥ 5 min found",
            f"≥ {TARGET_FOUND:.0%}",
            f"{found:.2%}",
            _met(found >= TARGET_FOUND),
        ],
        [
            "false findings, naive to core",
            f"≥ {TARGET_TIMES_FEWER:.0f} times",
            f"{fewer:.1f} times",
            _met(fewer >= TARGET_TIMES_FEWER),
        ],
    ]
    return table(("target", "wanted", "measured", ""), rows)


def _met(holds: bool) -> str:
    return "met" if holds else "**not met**"


def kinds_table(outcome: Outcome, presets: Sequence[str]) -> str:
    """The same by kind, over the worlds that the targets are about."""
    asked = [preset for preset in presets if preset in WORLDS]
    rows = []
    for kind in ObligationKind:
        for way in METHODS:
            one = summed(outcome.scores, asked, way, str(kind))
            rows.append([str(kind), way, _of(one.target_missed, one.target), f"{one.findings:,}", f"{one.false:,}"])
    return table(("kind", "judged by", "missed of findable ≥ 5 min", "findings", "false"), rows)


def causes_table(counted: Mapping[Cell, int], presets: Sequence[str], what: str) -> str:
    """Counts of (preset, kind, cause), one row for each kind and cause, most frequent first."""
    totals: Counter[tuple[str, str]] = Counter()
    for (_, kind, cause), count in counted.items():
        totals[kind, cause] += count
    rows = [
        [kind, cause, *(str(counted.get((preset, kind, cause), 0) or "") for preset in presets), str(total)]
        for (kind, cause), total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(("kind", what, *presets, "all"), rows) if rows else "None."


def changes_table(outcome: Outcome, presets: Sequence[str], wearers: int, days: int) -> str:
    """What each change of a rule would do, over all presets that were run."""
    rows = []
    for name in CHANGES:
        one = summed(outcome.scores, presets, name)
        kinds = [f"{summed(outcome.scores, presets, name, str(kind)).false:,}" for kind in ObligationKind]
        rows.append(
            [
                name,
                _of(one.findable_missed, one.findable),
                _of(one.target_missed, one.target),
                f"{one.false:,}",
                *kinds,
                f"{one.false_ms / MINUTE_MS / (len(presets) * wearers * days):.2f}",
                _spread(one.known_ms),
            ]
        )
    kinds = [f"of {kind}" for kind in ObligationKind]
    head = ("change", "missed of findable", "of ≥ 5 min", "false", *kinds, "false min a wearer-day", "known after")
    return table(head, rows)


def report(outcome: Outcome, arguments: argparse.Namespace, presets: Sequence[str]) -> str:
    """All that is published, as markdown."""
    size = f"{arguments.wearers} wearers × {arguments.days} days in each world, seed {arguments.seed}"
    if arguments.changes:
        return f"{size}\n\n{changes_table(outcome, presets, arguments.wearers, arguments.days)}"
    return "\n\n".join(
        [
            size,
            targets(outcome, presets),
            main_table(outcome, presets, arguments.wearers, arguments.days),
            "By kind, the worlds of the targets together:",
            kinds_table(outcome, presets),
            "Where the core loses: findable violations of at least 5 min that it missed.",
            causes_table(outcome.missed_by, presets, "missed because"),
            "Its false findings.",
            causes_table(outcome.false_by, presets, "false because"),
        ]
    )


def written(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with what stands between the markers replaced. Raises ValueError for a page without them."""
    if begin not in page or end not in page:
        raise ValueError(f"the page has no place for the figures: put {begin} and {end} on lines of their own")
    head, tail = page.split(begin)[0], page.split(end)[1]
    return f"{head}{begin}\n{text}\n{end}{tail}"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--presets", help="names, with commas between (the five of the targets, and standard)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--changes", action="store_true", help="changed rules and defaults instead of the baselines")
    parser.add_argument("--write", type=Path, help="a page with markers, whose figures are replaced")
    arguments = parser.parse_args(argv)
    named = ",".join(WORLDS if arguments.changes else (*WORLDS, "standard"))
    arguments.presets = (arguments.presets or named).split(",")
    unknown = sorted(set(arguments.presets) - set(PRESETS))
    if unknown:
        parser.error(f"no preset {unknown[0]!r}: choose of {', '.join(PRESETS)}")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    presets: list[str] = arguments.presets
    started = time.perf_counter()
    jobs = jobs_of(
        presets, wearers=arguments.wearers, days=arguments.days, seed=arguments.seed, changes=arguments.changes
    )
    text = report(run_all(jobs, arguments.processes), arguments, presets)
    print(text)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if arguments.write is not None:
        begin, end = (CHANGES_BEGIN, CHANGES_END) if arguments.changes else (BEGIN, END)
        page = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(written(page, text, begin, end), encoding="utf-8")


if __name__ == "__main__":
    main()
