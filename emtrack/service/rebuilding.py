"""An activation judged again: from an older checkpoint before a late fact, or from its start. What that gives does not depend on
where it is worked out: in the turn where it is little, in a process of its own where it is much (`rebuilder.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile
from typing import NamedTuple

from emtrack.db.connect import Connection
from emtrack.record.checkpoints import KEEP_EVERY_MS, checkpoint_before
from emtrack.record.fact_columns import known_of
from emtrack.record.plans import Assignment
from geofence import ALWAYS_MS, FOREVER_MS, Fact
from geofence.judgement import ActivationJudge, Checkpoint, Finding, Judged, Late, Part, Silence, State
from geofence.sweep import Known, judge_known

LATE, FROM_START = "late", "late from the start"


class Rebuild(NamedTuple):
    """What is to be judged again, and why. `late_ms`: own time of the earliest fact that was late, or None: from the start. `fresh`:
    ids of facts that were not judged yet, of those that are stored; `pending`: of those whose time had not come. `silence`: as it is
    known. `before`: under which orders what was known before is to be judged, None: nobody asks (`settled.py`). `now_ms`: the instant
    of the judgement; what was received later takes no part."""

    assignment: Assignment
    plan_version: str
    cause: str
    late_ms: int | None
    fresh: frozenset[int]
    pending: frozenset[int]
    silence: Silence
    before: Assignment | None
    now_ms: int


class Rebuilt(NamedTuple):
    """`since_ms`: findings that ended before it were not looked at; None: all were. `kept`: checkpoints for the next late fact.
    `as_before`: what the rules of today make of what was known before; None: nobody asked. `taken`: ids of the facts received at the
    very instant of the judgement that it knows."""

    cause: str
    state: State
    parts: list[Part]
    since_ms: int | None
    late_ms: int | None
    kept: list[Checkpoint]
    kept_to_ms: int
    as_before: list[Finding] | None
    taken: frozenset[int]


async def rebuilt(
    connection: Connection, rebuild: Rebuild, judge: ActivationJudge, judge_before: ActivationJudge | None
) -> Rebuilt:
    """Reads facts and checkpoints; writes nothing."""
    if rebuild.late_ms is not None:
        found = await _from_checkpoint(connection, rebuild, judge, rebuild.late_ms)
        if found is not None:
            return found
    return await _from_start(connection, rebuild, judge, judge_before)


async def _from_checkpoint(
    connection: Connection, rebuild: Rebuild, judge: ActivationJudge, late_ms: int
) -> Rebuilt | None:
    """Judge the window of a late fact again, from the newest checkpoint before it; None if there is none that will do.
    The cost follows the window: checkpoints are kept at doubling ages."""
    stored = await checkpoint_before(connection, rebuild.assignment.activation_no, late_ms)
    if stored is None or stored.plan_version != rebuild.plan_version:
        return None
    checkpoint = stored.checkpoint
    known = await known_of(connection, rebuild.assignment, checkpoint.fed_to[0], rebuild.now_ms)
    not_judged = rebuild.fresh | rebuild.pending | known.from_own_time(rebuild.now_ms + 1)
    state = judge.resumed(checkpoint, (), rebuild.silence, FOREVER_MS)
    heard = known.only(not_judged | known.from_receipt(rebuild.now_ms))
    judged, kept = _judged(judge, state, known, heard, rebuild.now_ms)
    if isinstance(judged, Late):
        return None
    as_before = None
    if rebuild.before is not None:
        before = known.without(not_judged - rebuild.pending)
        as_before = _shown(_judged(judge, state, before, before.only(rebuild.pending), rebuild.now_ms)[0])
    since_ms = min((part.since_ms for part in judged.parts), default=ALWAYS_MS)
    return Rebuilt(
        LATE, _behind(judge, judged.state, kept, known), judged.parts, since_ms, late_ms, kept,
        kept[-1].fed_to[0] if kept else checkpoint.fed_to[0], as_before, known.from_receipt(rebuild.now_ms),
    )  # fmt: skip


async def _from_start(
    connection: Connection, rebuild: Rebuild, judge: ActivationJudge, judge_before: ActivationJudge | None
) -> Rebuilt:
    known = await known_of(connection, rebuild.assignment, ALWAYS_MS, rebuild.now_ms)
    judged, kept = _judged(judge, judge.initial(), known, known, rebuild.now_ms)
    assert isinstance(judged, Judged), "nothing is late for a state that has seen nothing"
    as_before = None
    if judge_before is not None:
        before = known.without(rebuild.fresh)
        as_before = _shown(_judged(judge_before, judge_before.initial(), before, before, rebuild.now_ms)[0])
    cause = FROM_START if rebuild.cause == LATE else rebuild.cause
    return Rebuilt(
        cause, _behind(judge, judged.state, kept, known), judged.parts, None, None, kept,
        kept[-1].fed_to[0] if kept else ALWAYS_MS, as_before, known.from_receipt(rebuild.now_ms),
    )  # fmt: skip


def _judged(
    judge: ActivationJudge, state: State, known: Known, heard: Known, now_ms: int
) -> tuple[Judged | Late, list[Checkpoint]]:
    """`heard`: what is known of which the state's silence knows nothing."""
    return judge_known(judge, state, known, cuts_ms(known, now_ms), heard.receipts_ms(judge.plan), now_ms)


def _behind(judge: ActivationJudge, state: State, kept: Sequence[Checkpoint], known: Known) -> State:
    """The same with a base that lies an hour back: who takes it over has facts that are late by less."""
    if not kept or kept[-1].fed_to > state.base.fed_to:
        return state
    return judge.resumed(kept[-1], known.facts_after(kept[-1].fed_to), state.silence, state.judged_ms)


def found_by(judge: ActivationJudge, state: State, facts: Sequence[Fact], now_ms: int) -> list[Finding]:
    """As people would be shown them; nothing where a fact is late."""
    return _shown(judge.advance(state, facts, now_ms))


def _shown(judged: Judged | Late) -> list[Finding]:
    return [] if isinstance(judged, Late) else [finding for part in judged.parts for finding in part.shown]


def cuts_ms(known: Known, now_ms: int) -> list[int]:
    """Where checkpoints are kept: at doubling ages, so that the next late fact has one to be judged from."""
    times_ms = known.own_times_ms(now_ms)
    if times_ms is None:
        return []
    first_ms, last_ms = times_ms
    ages_ms = takewhile(lambda age_ms: last_ms - age_ms > first_ms, (KEEP_EVERY_MS << k for k in count()))
    return sorted(last_ms - age_ms for age_ms in ages_ms)
