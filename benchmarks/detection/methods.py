"""The ways of judging that are compared: the product's, and what users write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from benchmarks.detection.requirements import is_exclusion, margins_m
from benchmarks.detection.scores import MINUTE_MS, Found
from benchmarks.detection.sent import Sent
from geofence import DeviceEvent, EventType, Fact, ObligationKind, Plan, Position
from geofence.judgement import Schedule, judge_history
from geofence.shapes import Bools

ACCURATE_M = 100.0
LONG_ENOUGH_MS = 5 * MINUTE_MS


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
    margin_m = margins_m(plan.requirements, [p.lon_deg for p in positions], [p.lat_deg for p in positions])
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


def sighted_findings(plan: Plan, sightings: Sequence[DeviceEvent], now_ms: int, at_least_ms: int = 0) -> list[Found]:
    """Out from each RF_OUT to the next RF_IN, if that is at least so long. `sightings` in order of time."""
    outs: list[tuple[DeviceEvent, int]] = []
    for event in sightings:
        if outs and outs[-1][1] == now_ms:
            outs[-1] = outs[-1][0], event.event_ms if event.type is EventType.RF_IN else now_ms
        if event.type is EventType.RF_OUT and (not outs or outs[-1][1] < now_ms):
            outs.append((event, now_ms))
    return [
        Found(
            requirement.requirement_id, max(period.begin_ms, out.event_ms), min(period.end_ms, in_ms),
            max(period.begin_ms, out.event_ms + at_least_ms), max(period.begin_ms, out.received_ms + at_least_ms),
        )
        for requirement in plan.judged
        for period in Schedule(plan, requirement).periods(requirement.from_ms, now_ms)
        for out, in_ms in outs
        if out.event_ms < min(period.end_ms, now_ms) and in_ms > period.begin_ms and in_ms - out.event_ms >= at_least_ms
    ]  # fmt: skip


def _runs(flags: Bools) -> Iterator[tuple[int, int]]:
    """[first, after) of each maximal run of True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def accurate(positions: Iterable[Position]) -> list[Position]:
    """Those whose precision is known and at most ACCURATE_M."""
    return [p for p in positions if p.precision_m is not None and 0 < p.precision_m <= ACCURATE_M]


def _naive(sent: Sent, now_ms: int) -> list[Found]:
    if sent.plan.is_heard_by_units_only:
        return sighted_findings(sent.plan, _sightings_by(sent, now_ms), now_ms)
    return naive_findings(sent.plan, _positions_by(sent, now_ms), now_ms)


def _filtered(sent: Sent, now_ms: int) -> list[Found]:
    if sent.plan.is_heard_by_units_only:
        return sighted_findings(sent.plan, _sightings_by(sent, now_ms), now_ms, at_least_ms=LONG_ENOUGH_MS)
    return naive_findings(sent.plan, accurate(_positions_by(sent, now_ms)), now_ms, in_a_row=2)


def core(sent: Sent, now_ms: int) -> list[Found]:
    return core_findings(sent.plan, sent.facts, now_ms)


def _core_alone(sent: Sent, now_ms: int) -> list[Found]:
    """Without home units, as the baselines are."""
    return core_findings(sent.plan, sent.positions, now_ms)


def _sightings_by(sent: Sent, now_ms: int) -> list[DeviceEvent]:
    return [event for event in sent.sightings if event.received_ms <= now_ms and event.event_ms <= now_ms]


def _positions_by(sent: Sent, now_ms: int) -> list[Position]:
    return [p for p in sent.positions if p.received_ms <= now_ms and p.fix_ms <= now_ms]


Way = Callable[[Sent, int], list[Found]]

ALONE = "core, positions only"
METHODS: dict[str, Way] = {"core": core, ALONE: _core_alone, "naive": _naive, "filtered": _filtered}
