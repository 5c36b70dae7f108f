"""Rules of judgement that the product does not have, tried on the same facts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from benchmarks.detection.requirements import is_exclusion
from benchmarks.detection.scores import Found
from benchmarks.detection.sent import Sent
from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.evidence import PositionStatus
from geofence.judgement.explain import Weighed, weighed
from geofence.judgement.findings import place_findings
from geofence.judgement.presence import Confirmation, Tracker, feed, stretches
from geofence.judgement.timetable import Schedule
from geofence.obligations import Plan, Requirement
from geofence.words import FOREVER_MS, EventType, Mechanism, ObligationKind, Presence

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
        used = one.status is PositionStatus.EVIDENCE and not one.overruled
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
