"""Judging live activations: from where they are, from a checkpoint before a late fact, or from their start. What would cost too much
for a turn is put off, and taken over when it was judged beside the turns (`rebuilder.py`). Nothing in memory changes here; what a
judgement changes comes back as an update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import asyncpg
import structlog

from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.logs import origin_of
from emtrack.record.checkpoints import forget_checkpoints, forget_checkpoints_from, keep_checkpoints
from emtrack.record.findings import NewVersion, PresenceNote, ShownFinding, load_shown
from emtrack.service.activations import ActivationUpdate, LiveActivation, PutOff, Waiting
from emtrack.service.ahead import JudgedAhead
from emtrack.service.costs import USUAL, Budget, costs_of, late_cost
from emtrack.service.finality import can_change, in_parts
from emtrack.service.reasons import BY_THE_CLOCK, why_by_the_clock
from emtrack.service.rebuilding import LATE, Rebuild, Rebuilt, found_by, rebuilt
from emtrack.service.settled import News, by_facts, by_orders, either, of_no_entry_of, reached, since, touches_settled
from emtrack.service.slices import slices_of
from geofence import ALWAYS_MS, RULES_VERSION, Fact
from geofence.judgement import Amendments, Finding, Judged, Late, Part, amendments

log = structlog.get_logger()

_WHY = {
    "late": "a late fact was judged at its own time",
    "orders": "orders were entered or changed",
    "restart": "judged again after a restart",
    "fault": "judged again after a failure",
    "rules": f"judged again by rules {RULES_VERSION}",
}


def _max_gap_ms(live: LiveActivation) -> int:
    return live.assignment.plan.settings.max_gap_ms


class Judgement:
    """Judges activations at one instant, inside the caller's transaction. `budget`: what may be judged again in a turn."""

    def __init__(
        self,
        connection: Connection,
        finding_nos: IdBlocks,
        now_ms: int,
        budget: Budget = USUAL,
        ahead: JudgedAhead | None = None,
    ) -> None:
        self._connection = connection
        self._finding_nos = finding_nos
        self._now_ms = now_ms
        self._most, self._left = budget
        self._ahead = ahead

    async def judge_all(
        self, lives: Iterable[LiveActivation], facts: Mapping[int, Sequence[Fact]]
    ) -> list[ActivationUpdate]:
        """Updates of activations that got facts (by activation number, already stored), are due by the clock or are to be judged
        again. What that would cost too much for a turn is put off: `ActivationUpdate.put_off` says so."""
        ready = [live for live in lives if not live.waits_to_retry(self._now_ms)]
        await self.weigh([live for live in ready if live.rebuild is not None and live.waiting is None])
        return [update for live in ready for update in await self.judge(live, facts.get(live.number, ()))]

    async def hold_numbers(self, count: int) -> None:
        """For so many new findings the database is not asked any more."""
        await self._finding_nos.hold(self._connection, count)

    def judge_by_clock(self, live: LiveActivation) -> ActivationUpdate | None:
        """Of an activation without new facts, where nothing need be read for it: what `judge_all` makes of it; None: ask that. Does
        not use the connection, nor raise."""
        if live.rebuild is not None or live.waiting is not None:
            return None
        try:
            judged = live.judge.advance(live.state, (), self._now_ms)
            if isinstance(judged, Late):
                return None
            changes = self._changes_of(live, judged, ())
            if len(changes.new) > self._finding_nos.held:
                return None
            return self._gone_on(live, judged, changes, _why_by(live, (), self._now_ms))
        except Exception:  # it fails again where that is told
            return None

    async def weigh(self, lives: Sequence[LiveActivation]) -> None:
        """Work out what it would cost to judge some activations from their start, once of each: more facts of one that waits make
        little difference."""
        new = [live for live in lives if live.cost is None]
        costs = await costs_of(self._connection, new, self._most, self._now_ms)
        for live in new:
            live.cost = costs[live.number]

    async def judge(self, live: LiveActivation, facts: Sequence[Fact]) -> list[ActivationUpdate]:
        """A judgement that fails is a fault of its own: the facts are stored all the same, and nothing is taken to
        be found or not found."""
        try:
            if live.waiting is not None:
                return await self._judge_while_waiting(live, live.waiting, facts)
            if live.rebuild is not None:
                return await self._judge_again(live, live.rebuild, facts)
            return await self._judge_on(live, facts)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database, not the judgement: the turn fails
        except Exception as error:
            where = f"{type(error).__name__} at {origin_of(error).line}"
            log.error("judgement failed", activation_no=live.number, where=where)
            return [ActivationUpdate(live, live.state, live.shown, [], fault=where)]

    async def _judge_on(self, live: LiveActivation, facts: Sequence[Fact]) -> list[ActivationUpdate]:
        """From where the activation is; from an older checkpoint if a fact is late."""
        judged = None if self._ahead is None else self._ahead.judged(live, facts)
        if judged is None:
            judged = live.judge.advance(live.state, facts, self._now_ms)
        if isinstance(judged, Judged):
            return [await self._went_on(live, judged, facts)]
        late_ms = None if judged.by_receipt else judged.own_ms
        if not await self._affords_late(live, late_ms):
            late = [fact for fact in facts if live.state.is_late(fact) or live.state.undoes_a_silence(fact)]
            return [*await self._watch(live, facts), ActivationUpdate.of_put_off(live, PutOff(LATE, late_ms), late)]
        return [await self._rebuild(live, live.rebuild_of(LATE, late_ms, facts, self._now_ms), facts)]

    async def _judge_again(self, live: LiveActivation, cause: str, facts: Sequence[Fact]) -> list[ActivationUpdate]:
        """In this turn if it costs little, or else beside the turns."""
        cost = self._most + 1 if live.cost is None else live.cost
        late_ms = None if live.late_ms is None else min([live.late_ms, *(fact.own_ms for fact in facts)])
        if self._affords(cost):
            return [await self._rebuild(live, live.rebuild_of(cause, late_ms, facts, self._now_ms), facts)]
        watched = await self._watch(live, facts) if facts or live.due_ms <= self._now_ms else []
        if cost <= self._most and cause != LATE:  # of what is late, how late the latest is must not be forgotten
            return watched
        return [*watched, ActivationUpdate.of_put_off(live, PutOff(cause, late_ms), facts)]

    async def _judge_while_waiting(
        self, live: LiveActivation, waiting: Waiting, facts: Sequence[Fact]
    ) -> list[ActivationUpdate]:
        """What was put off is taken over as soon as it is there, with the facts that came meanwhile."""
        if waiting.failed is not None:
            log.error("judgement failed", activation_no=live.number, where=waiting.failed)
            return [ActivationUpdate(live, live.state, live.shown, [], fault=waiting.failed)]
        if waiting.rebuilt is None:
            return [*await self._watch(live, facts), ActivationUpdate.of_arrivals(live, facts)]
        a_slice = await self._next_slice(live, waiting, waiting.rebuilt)
        if a_slice is not None:
            return [*await self._watch(live, facts), a_slice._replace(facts=facts)]
        arrived = [fact for fact in (*waiting.arrived, *facts) if fact.fact_id not in waiting.rebuilt.taken]
        is_any_old = any(fact.received_ms < waiting.rebuild.now_ms for fact in arrived)
        if is_any_old:  # out of the quarantine: what was judged may know it
            all_of_them = [*waiting.facts, *waiting.arrived, *facts]
            from_start = PutOff(waiting.rebuild.cause, None)
            return [*await self._watch(live, facts), ActivationUpdate.of_put_off(live, from_start, all_of_them)]
        return [await self._take_over(live, waiting, waiting.rebuilt, arrived)]

    async def _affords_late(self, live: LiveActivation, late_ms: int | None) -> bool:
        """`late_ms` None: from the start."""
        if late_ms is None:
            await self.weigh([live])
            assert live.cost is not None, "it was weighed"
            return self._affords(live.cost)
        return self._affords(await late_cost(self._connection, live, late_ms, self._most, self._now_ms))

    def _affords(self, cost: int) -> bool:
        """Whether a judgement is little enough for a turn, with what the turn has done already."""
        if cost > min(self._left, self._most):
            return False
        self._left -= cost
        return True

    async def _watch(self, live: LiveActivation, facts: Sequence[Fact]) -> list[ActivationUpdate]:
        """As long as an activation waits to be judged again, it is judged on as it was: under the orders from before, and without
        facts that are late. Of one that was not judged before nothing is known meanwhile."""
        watched = live.watched
        if watched is None:
            return []
        span = watched.assignment.plan.activation
        own = [fact for fact in facts if span.from_ms <= fact.own_ms < span.to_ms]
        state = watched.state
        heard = [fact for fact in own if not state.undoes_a_silence(fact)]
        late = [fact for fact in heard if state.is_late(fact)]
        in_order = [fact for fact in heard if not state.is_late(fact)]
        judged = watched.judge.advance(state, in_order, self._now_ms, late)
        return [] if isinstance(judged, Late) else [await self._went_on(watched, judged, in_order)]

    async def _went_on(self, live: LiveActivation, judged: Judged, facts: Sequence[Fact]) -> ActivationUpdate:
        changes = self._changes_of(live, judged, facts)
        await self.hold_numbers(len(changes.new))
        return self._gone_on(live, judged, changes, _why_by(live, facts, self._now_ms))

    def _changes_of(self, live: LiveActivation, judged: Judged, facts: Sequence[Fact]) -> Amendments[ShownFinding]:
        old = in_parts(live.shown.values(), judged.parts)
        return _changes(
            live,
            judged.parts,
            old,
            lambda: News(partial(self._known_as_before, live), by_facts(facts, _max_gap_ms(live))),
        )

    def _gone_on(
        self, live: LiveActivation, judged: Judged, changes: Amendments[ShownFinding], why: str
    ) -> ActivationUpdate:
        return self._update(live, judged, live.shown, changes, why, live.kept_to_ms)

    async def _rebuild(self, live: LiveActivation, rebuild: Rebuild, facts: Sequence[Fact]) -> ActivationUpdate:
        """Now, in this turn."""
        done = await rebuilt(self._connection, rebuild, live.judge, live.judge_before)
        return await self._record_rebuilt(live, rebuild, done, Judged(done.state, done.parts), facts)

    async def _take_over(
        self, live: LiveActivation, waiting: Waiting, done: Rebuilt, arrived: Sequence[Fact]
    ) -> ActivationUpdate:
        """What was judged beside the turns, up to an instant that has passed: then what came since. What of that is late is put off
        once more."""
        late = [fact for fact in arrived if done.state.is_late(fact)]
        in_order = [fact for fact in arrived if not done.state.is_late(fact)]
        judged = live.judge.advance(done.state, in_order, self._now_ms, late)
        if isinstance(judged, Late):
            raise AssertionError("what came after a judgement was received after it")
        whole = Judged(judged.state, _whole(done.parts, judged.parts))
        update = await self._record_rebuilt(live, waiting.rebuild, done, whole, [*waiting.facts, *arrived])
        if not late:
            return update
        return update._replace(put_off=PutOff(LATE, min(fact.own_ms for fact in late)), facts=late)

    async def _record_rebuilt(
        self, live: LiveActivation, rebuild: Rebuild, done: Rebuilt, judged: Judged, facts: Sequence[Fact]
    ) -> ActivationUpdate:
        """Beside what is shown. `facts`: those that brought it about."""
        number = live.number
        shown = await self._shown_since(number, done.since_ms)
        old = _spoken_of(shown, done, judged.parts)
        changes = _changes(live, judged.parts, old, lambda: _news(live, rebuild, done, facts))
        await self.hold_numbers(len(changes.new))
        update = self._update(live, judged, shown, changes, _WHY[rebuild.cause], done.kept_to_ms)
        if done.late_ms is None:
            await forget_checkpoints(self._connection, [number])
        else:
            await forget_checkpoints_from(self._connection, number, done.late_ms)
        await keep_checkpoints(
            self._connection, [(number, live.plan_version, checkpoint) for checkpoint in done.kept]
        )
        return update._replace(cause=done.cause)

    async def _shown_since(self, number: int, since_ms: int | None) -> dict[int, ShownFinding]:
        return {s.finding_no: s for s in (await load_shown(self._connection, {number: since_ms}))[number]}

    async def _next_slice(self, live: LiveActivation, waiting: Waiting, done: Rebuilt) -> ActivationUpdate | None:
        """Of very many changes those that nothing else touches are recorded some at a time, in turns of their own; None: there are
        no more of them."""
        if waiting.slices is None:
            shown = await self._shown_since(live.number, done.since_ms)
            old = _spoken_of(shown, done, done.parts)
            changes = _changes(live, done.parts, old, lambda: _news(live, waiting.rebuild, done, waiting.facts))
            waiting.slices = slices_of(changes, live.watched, done.state)
        if not waiting.slices:
            return None
        await self.hold_numbers(len(waiting.slices[0].new))
        records = self._records(live, waiting.slices[0], _WHY[waiting.rebuild.cause])
        return ActivationUpdate.of_slice(live, done.state, records)

    def _known_as_before(self, live: LiveActivation) -> list[Finding]:
        """What the rules of today make of what was known before."""
        was = live.state
        state = live.judge.resumed(was.base, was.tail, was.silence, was.judged_ms)
        return found_by(live.judge, state, was.pending, self._now_ms)

    def _update(
        self,
        live: LiveActivation,
        judged: Judged,
        shown: Mapping[int, ShownFinding],
        changes: Amendments[ShownFinding],
        why: str,
        kept_to_ms: int,
    ) -> ActivationUpdate:
        """`changes`: of what is shown. Numbers for the new ones are held."""
        records = self._records(live, changes, why)
        after = dict(shown)
        for record in records:
            after[record.finding_no] = ShownFinding(record.finding_no, record.version, record.finding)
        for was in changes.withdrawn:
            del after[was.finding_no]
        for was, finding in changes.kept:
            if was.finding.unknown_since_ms != finding.unknown_since_ms:
                after[was.finding_no] = was._replace(finding=finding)
        notes = _notes(shown, after)
        after = {number: s for number, s in after.items() if can_change(s.finding, judged.state)}
        return ActivationUpdate(live, judged.state, after, records, notes, kept_to_ms=kept_to_ms)

    def _records(self, live: LiveActivation, changes: Amendments[ShownFinding], why: str) -> list[NewVersion]:
        numbers = self._finding_nos.take_held(len(changes.new))
        new = [
            self._record(live, ShownFinding(number, 1, finding), "new", why)
            for number, finding in zip(numbers, changes.new, strict=True)
        ]
        amended = [
            self._record(live, ShownFinding(was.finding_no, was.version + 1, finding), "amended", why, was.finding)
            for was, finding in changes.amended
        ]
        withdrawn = [
            self._record(live, was._replace(version=was.version + 1), "withdrawn", why) for was in changes.withdrawn
        ]
        return [*new, *amended, *withdrawn]

    def _record(
        self, live: LiveActivation, shown: ShownFinding, change: str, why: str, was: Finding | None = None
    ) -> NewVersion:
        under = live.versions(shown.finding.entry_id)
        number = live.number
        if why == BY_THE_CLOCK:
            why = why_by_the_clock(was, shown.finding)
        return NewVersion(number, shown.finding_no, shown.version, change, why, shown.finding, under)


def _spoken_of(shown: Mapping[int, ShownFinding], done: Rebuilt, parts: Sequence[Part]) -> list[ShownFinding]:
    """From the start of an activation all that is shown, even if nothing is judged any more where it was found: an entry that is no
    longer of its orders, as of the former wearer of a tag that was entered for somebody else."""
    return list(shown.values()) if done.since_ms is None else in_parts(shown.values(), parts)


def _why_by(live: LiveActivation, facts: Sequence[Fact], now_ms: int) -> str:
    came = facts or any(fact.own_ms <= now_ms for fact in live.state.pending)
    return "more facts came" if came else BY_THE_CLOCK


def _news(live: LiveActivation, rebuild: Rebuild, done: Rebuilt, facts: Sequence[Fact]) -> News:
    is_reached = by_facts(facts, _max_gap_ms(live))
    if rebuild.cause == LATE and not rebuild.fresh:  # which facts were late was forgotten with the program
        is_reached = since(rebuild.late_ms, _max_gap_ms(live))
    is_reached = either(of_no_entry_of(live.assignment.plan), is_reached)
    if live.before is not None:
        is_reached = either(by_orders(live.before.assignment.plan, live.assignment.plan), is_reached)
        is_reached = either(is_reached, by_facts(live.late_facts, _max_gap_ms(live)))
    return News(lambda: done.as_before or [], is_reached)


def _changes(
    live: LiveActivation, parts: Sequence[Part], old: Sequence[ShownFinding], news: Callable[[], News]
) -> Amendments[ShownFinding]:
    """Of what is shown, by the rules of today where those reach. `news`: asked for only where something had ended before them."""
    found = [finding for part in parts for finding in part.shown]
    changes = amendments([(s, s.finding) for s in old], found)
    is_touched = live.reach_ms > ALWAYS_MS and touches_settled(changes, live.reach_ms)
    return reached(changes, old, news(), live.reach_ms) if is_touched else changes


def _notes(before: Mapping[int, ShownFinding], after: Mapping[int, ShownFinding]) -> list[PresenceNote]:
    """Where it changed whether a finding is known to last."""
    noted = {number: shown.finding.unknown_since_ms for number, shown in before.items()}
    return [
        PresenceNote(number, shown.finding.unknown_since_ms)
        for number, shown in after.items()
        if noted.get(number) != shown.finding.unknown_since_ms
    ]


def _whole(before: Sequence[Part], after: Sequence[Part]) -> list[Part]:
    """All that a judgement speaks of, with what a later one changed in it."""
    parts = {part.scope: part for part in before}
    for part in after:
        was = parts.get(part.scope)
        if was is not None:
            final = [f for f in was.findings if f.end_ms is not None and f.end_ms <= part.since_ms]
            part = Part(part.scope, was.since_ms, [*final, *part.findings], part.lapses)
        parts[part.scope] = part
    return list(parts.values())
