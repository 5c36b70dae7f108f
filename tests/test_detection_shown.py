"""What an operator was shown meanwhile, as the benchmark of detection counts it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alerts.entries import EntryFate
from benchmarks.detection.runs import START_MS
from benchmarks.detection.scores import MINUTE_MS
from benchmarks.detection.sent import Sent, sent_by
from benchmarks.detection.shown import Meanwhile, shown_meanwhile
from emtrack.emulator import build_world
from geofence.facts import Position
from geofence.judgement import DAY_MS, Finding, as_judged, judge_history
from geofence.obligations import Activation, Plan, Requirement
from geofence.words import (
    FOREVER_MS,
    ActivationId,
    DeviceId,
    EntryId,
    Kind,
    Mechanism,
    ObligationKind,
    RequirementId,
    WearerId,
)
from geofence.zones import Disc

ZONE = (-2.18, 53.0)


def fix(number: int, at_min: float, received_min: float | None = None, north_m: float = 0.0) -> Position:
    received = at_min if received_min is None else received_min
    lat_deg = ZONE[1] + north_m / 111_300
    return Position(
        round(at_min * MINUTE_MS), lat_deg, ZONE[0], 6.0, Mechanism.GPS, round(received * MINUTE_MS), fact_id=number
    )


def sent(*facts: Position) -> Sent:
    requirement = Requirement(
        EntryId("E"), RequirementId("X"), WearerId("W"), ObligationKind.EXCLUSION, 0, FOREVER_MS, Disc(ZONE, 300.0)
    )
    activation = Activation(ActivationId("A"), DeviceId("D"), WearerId("W"), 0)
    return Sent(Plan(activation, (requirement,)), list(facts), 0)


def exclusions(meanwhile: Meanwhile) -> Sequence[tuple[float, float | None, int, float | None]]:
    """Begin, end, versions, raised."""
    return [
        (
            one.finding.begin_ms / MINUTE_MS, None if one.finding.end_ms is None else one.finding.end_ms / MINUTE_MS,
            one.versions, None if one.raised_ms is None else one.raised_ms / MINUTE_MS,
        )
        for one in meanwhile.findings if one.finding.kind is Kind.EXCLUSION
    ]  # fmt: skip


def test_an_entry_is_possible_with_one_position_and_an_alert_with_two() -> None:
    meanwhile = shown_meanwhile(
        sent(fix(1, 0), fix(2, 1), fix(3, 5, north_m=900), fix(4, 6, north_m=900)), 8 * MINUTE_MS
    )
    assert [(e.raised_ms, e.fate) for e in meanwhile.entries] == [(0, EntryFate.CONFIRMED)]
    assert exclusions(meanwhile) == [(0, 5, 2, 1)]


def test_an_entry_that_nothing_confirms_is_settled_by_the_clock() -> None:
    meanwhile = shown_meanwhile(sent(fix(1, 0)), 16 * MINUTE_MS)
    assert [e.fate for e in meanwhile.entries] == [EntryFate.NOT_CONFIRMED]
    assert exclusions(meanwhile) == []


def test_what_late_facts_take_back_was_withdrawn() -> None:
    facts = [fix(1, 0), fix(2, 2), fix(3, 1, received_min=30, north_m=900)]
    meanwhile = shown_meanwhile(sent(*facts), 31 * MINUTE_MS)
    shown = next(one for one in meanwhile.findings if one.finding.kind is Kind.EXCLUSION)
    assert (shown.is_withdrawn, shown.raised_ms) == (True, 2 * MINUTE_MS)


def told(findings: Sequence[Finding]) -> list[tuple[object, ...]]:
    return sorted(
        (f.kind, f.requirement_id or "", f.begin_ms, f.end_ms or FOREVER_MS, f.known_ms, f.reason or "")
        for f in findings
    )


@pytest.mark.parametrize("preset", ["gaps", "standard.2"])
def test_at_the_end_people_are_shown_what_the_whole_history_gives(preset: str) -> None:
    end_ms = START_MS + 2 * DAY_MS
    for one in sent_by(build_world(4, 3, START_MS, preset=preset), end_ms):
        shown = [s.finding for s in shown_meanwhile(one, end_ms).findings if not s.is_withdrawn]
        assert told([as_judged(f) for f in shown]) == told(judge_history(one.plan, one.facts, end_ms))
