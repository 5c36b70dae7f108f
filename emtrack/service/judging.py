"""Judging live activations: from where they are, from a checkpoint before a late fact, or from their start. Nothing in memory
changes here; what a judgement changes comes back as an update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import count, takewhile

import asyncpg
import structlog

from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.logs import origin_of
from emtrack.record.checkpoints import (
    KEEP_EVERY_MS,
    checkpoint_before,
    forget_checkpoints,
    forget_checkpoints_from,
    keep_checkpoints,
)
from emtrack.record.facts import load_facts
from emtrack.record.findings import NewVersion, PresenceNote, ShownFinding, load_shown
from emtrack.service.activations import LATE, ActivationUpdate, LiveActivation, LiveActivations
from emtrack.service.finality import can_change, first_open_ms, in_parts
from emtrack.service.reasons import BY_THE_CLOCK, why_by_the_clock
from emtrack.service.settled import News, by_facts, by_orders, reached, touches_settled
from geofence import ALWAYS_MS, FOREVER_MS, RULES_VERSION, Fact, without_duplicates
from geofence.judgement import ActivationJudge, Checkpoint, Finding, Judged, Late, State, amendments

log = structlog.get_logger()

_WHY = {
    "late": "a late fact was judged at its own time",
    "orders": "orders were entered or changed",
    "restart": "judged again after a restart",
    "fault": "judged again after a failure",
    "rules": f"judged again by rules {RULES_VERSION}",
}


async def judge_activations(
    connection: Connection,
    activations: LiveActivations,
    facts: Mapping[int, Sequence[Fact]],
    due: Iterable[LiveActivation],
    finding_nos: IdBlocks,
    now_ms: int,
) -> list[ActivationUpdate]:
    """Updates of the activations that got facts (by activation number, already stored) and of those that are due."""
    numbers = dict.fromkeys([*facts, *(live.number for live in due)])
    judgement = Judgement(connection, finding_nos, now_ms)
    ready = [live for live in map(activations.by_number, numbers) if not live.waits_to_retry(now_ms)]
    return [await judgement.judge(live, facts.get(live.number, ())) for live in ready]


def _max_gap_ms(live: LiveActivation) -> int:
    return live.assignment.plan.settings.max_gap_ms


class Judgement:
    """Judges activations at one instant, inside the caller's transaction."""

    def __init__(self, connection: Connection, finding_nos: IdBlocks, now_ms: int) -> None:
        self._connection = connection
        self._finding_nos = finding_nos
        self._now_ms = now_ms

    async def judge(self, live: LiveActivation, facts: Sequence[Fact]) -> ActivationUpdate:
        """A judgement that fails is a fault of its own: the facts are stored all the same, and nothing is taken to
        be found or not found."""
        try:
            if live.rebuild is None:
                judged = live.judge.advance(live.state, facts, self._now_ms)
                if isinstance(judged, Judged):
                    came = facts or any(fact.own_ms <= self._now_ms for fact in live.state.pending)
                    why = "more facts came" if came else BY_THE_CLOCK
                    old = in_parts(live.shown.values(), judged.parts)
                    news = News(partial(self._known_as_before, live), by_facts(facts, _max_gap_ms(live)))
                    update = await self._update(live, judged, live.shown, old, why, news)
                    return update._replace(kept_to_ms=live.kept_to_ms)
                if not judged.by_receipt:
                    update_or_none = await self._judge_from_checkpoint(live, facts, judged.own_ms)
                    if update_or_none is not None:
                        return update_or_none
            return await self._judge_from_start(live, live.rebuild or LATE, facts)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database, not the judgement: the turn fails
        except Exception as error:
            where = f"{type(error).__name__} at {origin_of(error).line}"
            log.error("judgement failed", activation_no=live.number, where=where)
            return ActivationUpdate(live, live.state, live.shown, [], fault=where)

    async def _judge_from_checkpoint(
        self, live: LiveActivation, facts: Sequence[Fact], late_ms: int
    ) -> ActivationUpdate | None:
        """Judge the window of a late fact again, from the newest checkpoint before it; None if there is none that will do.
        The cost follows the window: checkpoints are kept at doubling ages."""
        number = live.number
        stored = await checkpoint_before(self._connection, number, late_ms)
        if stored is None or stored.plan_version != live.plan_version:
            return None
        checkpoint = stored.checkpoint
        to_take = [*live.state.pending, *facts]
        fresh = {fact.fact_id for fact in to_take}
        known = (await load_facts(self._connection, [(live.assignment, checkpoint.fed_to[0])]))[number]
        before = without_duplicates([fact for fact in known if fact.fact_id not in fresh])
        state = live.judge.resumed(checkpoint, before, live.state.silence, FOREVER_MS)
        judged = live.judge.advance(state, to_take, self._now_ms)
        if isinstance(judged, Late):
            return None
        shown = {
            s.finding_no: s for s in (await load_shown(self._connection, {number: first_open_ms(state)}))[number]
        }
        old = in_parts(shown.values(), judged.parts)
        as_before = partial(self._as_before, live.judge, state, live.state.pending)
        news = News(as_before, by_facts(facts, _max_gap_ms(live)))
        update = await self._update(live, judged, shown, old, _WHY[LATE], news)
        await forget_checkpoints_from(self._connection, number, late_ms)
        kept_to = await self._keep_on_the_way(live, checkpoint, without_duplicates(list(known)))
        return update._replace(cause=LATE, kept_to_ms=kept_to)

    def _as_before(self, judge: ActivationJudge, state: State, facts: Sequence[Fact]) -> list[Finding]:
        """What the rules of today make of what was known before."""
        judged = judge.advance(state, facts, self._now_ms)
        return [] if isinstance(judged, Late) else [finding for part in judged.parts for finding in part.shown]

    def _known_as_before(self, live: LiveActivation) -> list[Finding]:
        was, judge = live.state, live.judge
        state = judge.resumed(was.base, was.tail, was.silence, was.judged_ms)
        return self._as_before(judge, state, was.pending)

    def _history_as_before(self, live: LiveActivation, facts: Sequence[Fact], fresh: Sequence[Fact]) -> list[Finding]:
        """Of the whole history without what came just now, under the orders from before they changed."""
        new = {fact.fact_id for fact in fresh}
        known = without_duplicates([fact for fact in facts if fact.fact_id not in new])
        judge = live.judge if live.before is None else live.before.judge
        judge.with_outages(live.judge.plan.outages)
        return self._as_before(judge, judge.initial(), known)

    async def _judge_from_start(self, live: LiveActivation, cause: str, fresh: Sequence[Fact]) -> ActivationUpdate:
        number = live.number
        facts = (await load_facts(self._connection, [(live.assignment, ALWAYS_MS)]))[number]
        judged = live.judge.advance(live.judge.initial(), without_duplicates(list(facts)), self._now_ms)
        if isinstance(judged, Late):
            raise AssertionError("nothing is late for a state that has seen nothing")
        shown = {s.finding_no: s for s in (await load_shown(self._connection, {number: None}))[number]}
        is_reached = by_facts(fresh, _max_gap_ms(live))
        if live.before is not None:
            is_reached = by_orders(live.before.assignment.plan, live.assignment.plan)
        news = News(partial(self._history_as_before, live, facts, fresh), is_reached)
        update = await self._update(live, judged, shown, list(shown.values()), _WHY[cause], news)
        await forget_checkpoints(self._connection, [number])
        base = live.judge.initial().base
        kept_to = await self._keep_on_the_way(live, base, without_duplicates(list(facts)))
        return update._replace(cause="late from the start" if cause == LATE else cause, kept_to_ms=kept_to)

    async def _keep_on_the_way(self, live: LiveActivation, base: Checkpoint, facts: Sequence[Fact]) -> int:
        """Keep checkpoints at doubling ages, so that the next late fact has one to be judged from. Up to which instant."""
        last_ms = max((fact.own_ms for fact in facts if fact.own_ms <= self._now_ms), default=ALWAYS_MS)
        first_ms = min((fact.own_ms for fact in facts), default=ALWAYS_MS)
        ages_ms = takewhile(lambda age_ms: last_ms - age_ms > first_ms, (KEEP_EVERY_MS << k for k in count()))
        cuts_ms = sorted(last_ms - age_ms for age_ms in ages_ms)
        found = live.judge.checkpoints(base, facts, cuts_ms, self._now_ms)
        number = live.number
        await keep_checkpoints(self._connection, [(number, live.plan_version, checkpoint) for checkpoint in found])
        return found[-1].fed_to[0] if found else base.fed_to[0]

    async def _update(
        self,
        live: LiveActivation,
        judged: Judged,
        shown: Mapping[int, ShownFinding],
        old: Sequence[ShownFinding],
        why: str,
        news: News,
    ) -> ActivationUpdate:
        """`old`: of the shown findings those that the judgement speaks of."""
        found = [finding for part in judged.parts for finding in part.shown]
        changes = amendments([(s, s.finding) for s in old], found)
        if touches_settled(changes, live.reach_ms):
            changes = reached(changes, old, news, live.reach_ms)
        numbers = await self._finding_nos.take(self._connection, len(changes.new)) if changes.new else []
        after = dict(shown)
        records = []
        for number, finding in zip(numbers, changes.new, strict=True):
            after[number] = ShownFinding(number, 1, finding)
            records.append(self._record(live, after[number], "new", why))
        for was, finding in changes.amended:
            after[was.finding_no] = ShownFinding(was.finding_no, was.version + 1, finding)
            records.append(self._record(live, after[was.finding_no], "amended", why, was.finding))
        for was in changes.withdrawn:
            del after[was.finding_no]
            records.append(
                self._record(live, ShownFinding(was.finding_no, was.version + 1, was.finding), "withdrawn", why)
            )
        for was, finding in changes.kept:
            if was.finding.unknown_since_ms != finding.unknown_since_ms:
                after[was.finding_no] = was._replace(finding=finding)
        notes = _notes(shown, after)
        after = {number: s for number, s in after.items() if can_change(s.finding, judged.state)}
        return ActivationUpdate(live, judged.state, after, records, notes)

    def _record(
        self, live: LiveActivation, shown: ShownFinding, change: str, why: str, was: Finding | None = None
    ) -> NewVersion:
        under = live.versions(shown.finding.entry_id)
        number = live.number
        if why == BY_THE_CLOCK:
            why = why_by_the_clock(was, shown.finding)
        return NewVersion(number, shown.finding_no, shown.version, change, why, shown.finding, under)


def _notes(before: Mapping[int, ShownFinding], after: Mapping[int, ShownFinding]) -> list[PresenceNote]:
    """Where it changed whether a finding is known to last."""
    noted = {number: shown.finding.unknown_since_ms for number, shown in before.items()}
    return [
        PresenceNote(number, shown.finding.unknown_since_ms)
        for number, shown in after.items()
        if noted.get(number) != shown.finding.unknown_since_ms
    ]
