"""A history in columns is judged on from a checkpoint: what stands before it decides what the first facts after it are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.judge import DEVICE, ActivationJudge, Checkpoint, Judged, Late
from geofence.sweep import Known, judge_known
from geofence.words import EventType, Mechanism
from tests.checkpoints_by_facts import checkpoints_by_facts
from tests.test_judge import HOME, MINUTE_MS, TOWN, fix, plan_of
from tests.test_oracle import received_of

FAR = [(-2.18 + n, 53.0) for n in range(1, 9)]
NOW_MS = 60 * MINUTE_MS


def event(at_min: float, kind: EventType, received_min: float | None = None) -> DeviceEvent:
    received_ms = round((at_min if received_min is None else received_min) * MINUTE_MS)
    return DeviceEvent(round(at_min * MINUTE_MS), kind, None, received_ms)


HISTORIES: dict[str, list[Fact]] = {
    "one jump": [fix(1), fix(2, FAR[0]), fix(3), fix(4)],
    "so many jumps that the next is accepted": [fix(1), *(fix(2 + n, FAR[n]) for n in range(6)), fix(9, FAR[5])],
    "jumps, then home": [fix(1), fix(2, FAR[0]), fix(3, FAR[1]), fix(4), fix(5, FAR[2]), fix(6, FAR[3]), fix(7)],
    "a jump of another mechanism at the instant of a position": [
        fix(1), fix(2), Position(2 * MINUTE_MS, 53.0, FAR[0][0], 50.0, Mechanism.WIFI, 2 * MINUTE_MS), fix(3, FAR[1]), fix(4),
    ],
    "conflicts": [fix(1), fix(2), fix(2, TOWN), fix(3, TOWN), fix(3, HOME, 4), fix(5)],
    "nowhere, and far ahead of its receipt": [fix(1), fix(2, (0.0, 0.0)), fix(30, TOWN, 3), fix(4), fix(31)],
    "what is no evidence of events": [
        fix(1), event(2, EventType.HEARTBEAT), event(20, EventType.STRAP_TAMPER, 3), event(4, EventType.STRAP_TAMPER), fix(5),
        event(21, EventType.STRAP_CLEAR), fix(22),
    ],
    "a strap that was cut, closed and cut again": [
        fix(1), event(2, EventType.STRAP_TAMPER), event(3, EventType.STRAP_CLEAR), event(4, EventType.STRAP_TAMPER), fix(5), fix(6),
    ],
    "nothing but jumps of nothing": [fix(2, (0.0, 0.0)), event(3, EventType.BATTERY_LOW), fix(4), fix(5, FAR[0])],
}  # fmt: skip


def known_of(facts: list[Fact]) -> Known:
    positions = [fact for fact in facts if isinstance(fact, Position)]
    events = [fact for fact in facts if isinstance(fact, DeviceEvent)]
    return Known.of(received_of(positions), np.zeros(len(positions), np.int64), events, NOW_MS)


@pytest.mark.parametrize("facts", HISTORIES.values(), ids=HISTORIES)
def test_wherever_it_is_begun_it_comes_to_the_same(facts: list[Fact]) -> None:
    judge, known = ActivationJudge(plan_of()), known_of(facts)
    instants_ms = sorted({fact.own_ms for fact in facts} | {fact.own_ms + 1 for fact in facts})
    whole, _ = judge_known(judge, judge.initial(), known, [], known.receipts_ms(judge.plan), NOW_MS)
    assert isinstance(whole, Judged)
    at_once = [f for part in whole.parts if part.scope == DEVICE for f in part.findings]
    for first_ms, second_ms in combinations(instants_ms, 2):
        cuts_ms = [at_ms for at_ms in instants_ms if first_ms <= at_ms <= second_ms]
        for begun in checkpoints_by_facts(judge, facts, [first_ms], NOW_MS):
            state = judge.resumed(begun, (), whole.state.silence, NOW_MS)
            since = known_of([fact for fact in facts if fact.own_ms >= begun.fed_to[0]])
            judged, kept = judge_known(judge, state, since, cuts_ms, [], NOW_MS)
            assert isinstance(judged, Judged)
            assert judged.state.head.track == whole.state.head.track
            (device,) = [part for part in judged.parts if part.scope == DEVICE]
            assert device.findings == [f for f in at_once if f.end_ms is None or f.end_ms > device.since_ms]
            by_facts = checkpoints_by_facts(judge, facts, cuts_ms, NOW_MS)
            assert said(kept) == said([one for one in by_facts if one.fed_to > begun.fed_to])


def said(checkpoints: list[Checkpoint]) -> list[object]:
    """But for what a checkpoint forgets of what lies before it."""
    return [
        (
            one.fed_to,
            one.track,
            [(e.zone.value, e.zone.last_ms, e.zone.run) for e in one.entries.values()],
            one.spells,
        )
        for one in checkpoints
    ]


def test_a_receipt_within_a_silence_that_was_found_has_it_judged_from_the_start() -> None:
    judge, known = ActivationJudge(plan_of()), known_of([fix(1), fix(40)])
    whole, _ = judge_known(judge, judge.initial(), known, [], known.receipts_ms(judge.plan), NOW_MS)
    assert isinstance(whole, Judged)
    assert whole.state.silence.gap_end_ms == 40 * MINUTE_MS
    state = judge.resumed(judge.initial().base, (), whole.state.silence, NOW_MS)
    again, kept = judge_known(judge, state, known, [], [20 * MINUTE_MS], NOW_MS)
    assert isinstance(again, Late)
    assert again.by_receipt
    assert kept == []
