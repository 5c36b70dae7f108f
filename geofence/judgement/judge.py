"""The judgement of one activation: state and facts in, state and findings out. No I/O and no clock.

Theory of operation
===================

Findings are a function of the facts and of *now*, not of how the facts came. To have that without judging the whole
history for every fix, a state is kept in three parts:

    base   a checkpoint: everything up to some instant is fed and will not be fed again
    tail   the facts after it, in the order of evidence (some 15 to 30 minutes of them)
    head   the base with the tail fed

A fact that comes in order is fed to the head. One that is older than the head but not than the base makes a new head
from the base and the longer tail: tags send tamper and RF events at once and positions in tens, so this is common.
One that is older than the base is `Late`: the caller judges again from an older checkpoint (`resumed` with the facts
after it) or from the start of the activation (`initial` and all facts). When the tail has grown long, the base moves up.

Silence stands beside this: it goes by `received_time`, which comes in order by itself.

What comes out are *parts*: of one entry (or of the device, or of silence), all findings that end after `since_ms`
or last. Findings that end at or before it cannot change by facts that are not `Late`. A part that is not named has
not changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from geofence.facts import (
    DeviceEvent,
    Fact,
    Key,
    Position,
    is_evidence_candidate,
    without_duplicates,
)
from geofence.intervals import Interval
from geofence.judgement.devices import Spell, device_findings, feed_event
from geofence.judgement.evidence import Track, evidence_in_columns, evidence_of
from geofence.judgement.findings import Finding, PresenceSteps, due_ms, place_findings
from geofence.judgement.following import Following, can_carry, carry_on, follow_event, follow_position, following_of
from geofence.judgement.places import NO_SETS, Packs, Places, ZoneVerdicts, packs_of
from geofence.judgement.presence import (
    INSIDE,
    OUTSIDE,
    UNKNOWN,
    Tracker,
    forget,
    frontier_ms,
    lapses_ms,
    stretches,
)
from geofence.judgement.provisional import NO_LAPSES, PASSED_MS, Lapses, as_shown, is_passed, lapses_of
from geofence.judgement.silence import is_sign_of_life, limit_of, silence_due_ms, silence_start_ms, silences
from geofence.judgement.starts import Start, counted_from
from geofence.judgement.stretches import stretches_of
from geofence.judgement.timetable import Schedule
from geofence.obligations import Plan, Requirement
from geofence.shapes.arrays import Float64s, Int64s
from geofence.shapes.margins import Verdicts
from geofence.shapes.zone_sets import ZoneSet
from geofence.words import ALWAYS_MS, FIRST_MS, FOREVER_MS, LAST_MS, EntryId, ObligationKind
from geofence.zones import SetZone

TAIL_MS = 15 * 60_000
"""How far the base stays behind the newest evidence; facts that are late by less are cheap. It moves up when the
tail has become twice as long."""

MANY = 48
"""From so many facts on they are looked at together before they are fed: sooner it costs more than it saves."""
QUIET_MS = 24 * 3_600_000
"""Where nothing comes, the base stays behind now by so much; facts that are late by less stay cheap."""

AT_A_PLACE = frozenset({ObligationKind.CURFEW, ObligationKind.INCLUSION})
NEAR_LASTS_MS = 24 * 3_600_000
"""An older position says nothing of where somebody is."""
_START: Key = (ALWAYS_MS, 0)


class EntryState(msgspec.Struct, array_like=True):
    """Presence for one requirement entry. Findings that end at or before `cursor_ms` are final."""

    zone: Tracker
    widened: Tracker
    cursor_ms: int = ALWAYS_MS

    def copy(self) -> EntryState:
        widened = Tracker() if self.widened.last_ms is None else self.widened.copy()  # of most nothing is ever told
        return EntryState(self.zone.copy(), widened, self.cursor_ms)


class Checkpoint(msgspec.Struct, array_like=True):
    """All that later evidence depends on, after the facts up to `fed_to`."""

    entries: dict[EntryId, EntryState]
    fed_to: Key = _START
    track: Track = Track()
    spells: list[Spell] = []
    spells_since_ms: int = ALWAYS_MS

    def copy(self) -> Checkpoint:
        entries = {entry_id: entry.copy() for entry_id, entry in self.entries.items()}
        return Checkpoint(entries, self.fed_to, self.track, list(self.spells), self.spells_since_ms)


class Silence(NamedTuple):
    """`heard_ms`: the last receipt, or the start. `gap_end_ms`: receipts before it could undo a silence that was
    found, so one that turns up there is Late."""

    heard_ms: int
    gap_end_ms: int


class State(NamedTuple):
    """See the theory of operation. `pending`: facts whose own time, or receipt, is still to come. `judged_ms`: time has passed to
    here; the receipts up to it are taken in."""

    base: Checkpoint
    tail: tuple[Fact, ...]
    head: Checkpoint
    silence: Silence
    pending: tuple[Fact, ...]
    dues_ms: dict[str, int]
    judged_ms: int

    def is_late(self, fact: Fact) -> bool:
        """Whether a fact is older than what is settled."""
        return is_evidence_candidate(fact) and fact.key <= self.base.fed_to

    def undoes_a_silence(self, fact: Fact) -> bool:
        """Whether a fact was received before a silence that was found had ended."""
        return fact.received_ms < self.silence.gap_end_ms

    @property
    def next_due_ms(self) -> int:
        """The first instant at which findings can change although no fact comes."""
        own_ms = [fact.own_ms for fact in self.pending]
        return min([*self.dues_ms.values(), *own_ms], default=FOREVER_MS)


SILENCE = "silence"
DEVICE = "device"


class Part(NamedTuple):
    """The findings of `scope` (an entry id, SILENCE or DEVICE) that end after `since_ms` or last: exactly these. `lapses`: which of
    their ends are provisional."""

    scope: str
    since_ms: int
    findings: list[Finding]
    lapses: Lapses = NO_LAPSES

    @property
    def shown(self) -> list[Finding]:
        """The findings as people are shown them."""
        return as_shown(self.findings, self.lapses)


class NewestVerdict(NamedTuple):
    """The newest decisive verdict on an exclusion. `until_ms`: it holds to here. `is_inside`: it says so; `is_present`: presence is
    inside."""

    requirement: Requirement
    at_ms: int
    fact_id: int
    until_ms: int
    is_inside: bool
    is_present: bool


class Judged(NamedTuple):
    state: State
    parts: list[Part]


class Late(NamedTuple):
    """A fact is older than the checkpoint: judge again from an older one whose facts all lie before `own_ms`, or from the
    start of the activation. `by_receipt`: it was received before a silence that was found had ended; only the start will do."""

    own_ms: int
    by_receipt: bool


class ByPlace(Protocol):
    """Positions in order, which may be made when they are looked at."""

    def __getitem__(self, place: int, /) -> Position: ...


class Slices(ByPlace, Protocol):
    """Those of which some neighbours can be taken."""

    def between(self, first: int, last: int) -> ByPlace: ...


class History(NamedTuple):
    """Of one activation in columns. `evidence`: positions that are evidence; `at_ms`, `lon_deg`, `lat_deg`, `radius_m`: theirs, (n,).
    `events`: those that are judged, in order."""

    evidence: Slices
    at_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s
    events: Sequence[DeviceEvent]


class Standing(NamedTuple):
    """What a checkpoint within a history knows beside presence. `keys`: of positions, whether they are evidence or not, in order,
    (m,), each as one number (`packed_keys`); `jumps`: of those that are jumps."""

    keys: Int64s
    jumps: Int64s

    def last_before(self, at_ms: int) -> Key:
        """The key of the last of them before an instant."""
        count = int(np.searchsorted(self.keys, packed_key((at_ms, 0))))
        return _unpacked(int(self.keys[count - 1])) if count else _START

    def track_before(self, at_ms: int, since: Track) -> Track:
        """What the next position after an instant is compared with. `since`: the last before it that is evidence, and the jumps after
        that which are not among these."""
        if since.last is None:
            return since
        before, after = np.searchsorted(self.jumps, [packed_key((at_ms, 0)), packed_key(since.last.key)])
        return Track(since.last, since.jumps + max(0, int(before - after)))


_RANKS = 16
"""Ranks at one instant, and room for more."""


def packed_keys(at_ms: Int64s, rank: Int64s) -> Int64s:
    """Keys of positions, (n,), each as one number in the same order."""
    return at_ms * _RANKS + rank


def packed_key(key: Key) -> int:
    at_ms, rank = key
    return min(max(at_ms, FIRST_MS), LAST_MS) * _RANKS + rank


def _unpacked(key: int) -> Key:
    return divmod(key, _RANKS)


class _Row(NamedTuple):
    """Positions that are evidence, in order, with what each says of one zone: `at_ms`, `verdicts` (n,)."""

    positions: ByPlace
    at_ms: Int64s
    verdicts: Verdicts


def _starts_in(following: Following, first_ms: int, last_ms: int) -> Sequence[int]:
    """Starts of obligation periods from one position to another, where it matters who was seen then."""
    return () if following.starts is None else following.starts.starts_between(first_ms - 1, last_ms)


def _longest_step_ms(evidence: Sequence[Position]) -> int:
    """Between two neighbours of some positions in order; FOREVER_MS where two are of one instant."""
    steps_ms = [later.fix_ms - earlier.fix_ms for earlier, later in pairwise(evidence)]
    return FOREVER_MS if 0 in steps_ms else max(steps_ms, default=0)


class _Soon(NamedTuple):
    """Until when a report can turn what the clock brought: none does that lies beyond the newest evidence by PASSED_MS, or comes at
    `in_time_ms` or later."""

    newest_ms: int
    in_time_ms: int


_Taken = tuple[Checkpoint, tuple[Fact, ...], Checkpoint, set[str] | Literal["all"]]
"""Base, tail and head, and the scopes that evidence touched."""


def judges_of(plans: Sequence[Plan], sets: Mapping[str, ZoneSet] = NO_SETS) -> list[ActivationJudge]:
    """Of many plans, for less than one by one."""
    packs = packs_of([plan.judged for plan in plans])
    return [ActivationJudge(plan, sets, of_plan) for plan, of_plan in zip(plans, packs, strict=True)]


class ActivationJudge:
    """Judges one activation under one plan. Holds nothing of the judgement, only what follows from the plan."""

    def __init__(self, plan: Plan, sets: Mapping[str, ZoneSet] = NO_SETS, packs: Packs | None = None) -> None:
        """`packs`: of what the plan is judged on, where they are made already."""
        self.plan = plan
        self._judged = plan.judged
        self._places = Places(self._judged, sets, packs)
        self._schedules = {r.entry_id: Schedule(plan, r) for r in self._judged}
        self._followings = [following_of(plan, r, self._schedules[r.entry_id]) for r in self._judged]
        self._exclusions = [r for r in self._judged if r.kind is ObligationKind.EXCLUSION]
        self._starts = {f.requirement.entry_id: f.starts for f in self._followings}
        self._found_by = [_found_by(r) if isinstance(r.zone, SetZone) else None for r in self._judged]

    # ------------------------------------------------------------------------------------- states

    def initial(self) -> State:
        """Nothing known yet."""
        base = Checkpoint({r.entry_id: EntryState(Tracker(), Tracker()) for r in self._judged})
        silence = Silence(silence_start_ms(self.plan), ALWAYS_MS)
        return State(base, (), base, silence, (), self._dues_unknown(), ALWAYS_MS)

    def resumed(self, base: Checkpoint, facts: Iterable[Fact], silence: Silence, judged_ms: int) -> State:
        """The state after a restart, from a stored checkpoint, the stored facts after it, and what was known of
        silence, as it was when time had passed to `judged_ms`. The next `advance` works out every part anew."""
        after = sorted((fact for fact in facts if fact.key > base.fed_to), key=lambda fact: fact.key)
        tail = tuple(fact for fact in after if fact.own_ms <= judged_ms and is_evidence_candidate(fact))
        head = base  # nobody changes either in its place
        if tail:
            head = base.copy()
            self._feed(head, tail)
        pending = tuple(fact for fact in after if fact.own_ms > judged_ms)
        return State(base, tail, head, silence, pending, self._dues_unknown(), judged_ms)

    def judge_in_columns(
        self,
        state: State,
        history: History,
        standing: Standing,
        cuts_ms: Sequence[int],
        rest: Sequence[Fact],
        receipts_ms: list[int],
        now_ms: int,
    ) -> tuple[Judged | Late, list[Checkpoint]]:
        """What lies after the base of a state that knows nothing else, fed once: what comes of it, and checkpoints on the way: after
        the facts from before each cut (ascending); of cuts without a fact between them there is one. `history`: what lies before
        the last cut; `rest`: the facts after it, each content once. `receipts_ms`: when
        the device was heard, sorted, as far as the state's silence does not know it."""
        if receipts_ms and receipts_ms[0] < state.silence.gap_end_ms:
            return Late(ALWAYS_MS, by_receipt=True), []
        base = state.base.copy()
        found = self._cut_in_columns(base, history, standing, cuts_ms)
        return self._advance(state._replace(base=base, head=base), rest, receipts_ms, now_ms), found

    def _cut_in_columns(
        self, base: Checkpoint, history: History, standing: Standing, cuts_ms: Sequence[int]
    ) -> list[Checkpoint]:
        judged = self._places.verdicts(history.lon_deg, history.lat_deg, history.radius_m)
        found, done, told, first = [], 0, 0, base.track
        for cut_ms in cuts_ms:
            upto = int(np.searchsorted(history.at_ms, cut_ms))
            events = history.events[told : bisect_left(history.events, cut_ms, key=lambda event: event.event_ms)]
            fed_to = max([standing.last_before(cut_ms), *(event.key for event in events[-1:])])
            if fed_to <= base.fed_to:
                continue
            part = slice(done, upto)
            verdicts = ZoneVerdicts(judged.in_zone[part], judged.in_widened[part])
            self._follow_all(base, history.evidence.between(done, upto), history.at_ms[part], verdicts, events)
            base.track = standing.track_before(cut_ms, Track(history.evidence[upto - 1]) if upto else first)
            base.fed_to = fed_to
            found.append(base.copy())
            self._settle(found[-1], base.copy())
            done, told = upto, told + len(events)
        return found

    def with_outages(self, outages: tuple[Interval, ...]) -> None:
        """Our own outages are known better now. Only silences that are still to be found rest on them."""
        self.plan = msgspec.structs.replace(self.plan, outages=outages)

    def obliged_at(self, at_ms: int, requirement_id: str | None = None) -> bool:
        """Whether an instant lies in an obligation period of one requirement; None: of any curfew or inclusion."""
        return any(
            period.begin_ms <= at_ms < period.end_ms
            for requirement in self._judged
            if (
                requirement.kind in AT_A_PLACE
                if requirement_id is None
                else requirement.requirement_id == requirement_id
            )
            for period in self._schedules[requirement.entry_id].periods(at_ms, at_ms)
        )

    def newest_verdicts(self, state: State) -> list[NewestVerdict]:
        """On each exclusion on which anything decisive was said."""
        trackers = ((requirement, state.head.entries[requirement.entry_id].zone) for requirement in self._exclusions)
        return [_newest(requirement, t, t.last_ms) for requirement, t in trackers if t.last_ms is not None]

    def unconfirmed_entries(self, state: State) -> list[NewestVerdict]:
        """Of those the ones that say inside, where presence is not. Asked after every turn, and nearly always none."""
        trackers = ((requirement, state.head.entries[requirement.entry_id].zone) for requirement in self._exclusions)
        return [
            _newest(requirement, t, t.last_ms)
            for requirement, t in trackers
            if t.run.value == INSIDE and t.last_ms is not None and t.value != INSIDE
        ]

    def is_near_exclusion(self, state: State, at_ms: int, near_m: float) -> bool:
        """Whether the last position that is evidence, if it is young, may lie as near as that to an exclusion zone that obliges at
        an instant."""
        last = state.head.track.last
        if last is None or at_ms - last.fix_ms > NEAR_LASTS_MS:
            return False
        margins_m = self._places.margins_m([last.lon_deg], [last.lat_deg])[0]
        return any(
            requirement.kind is ObligationKind.EXCLUSION
            and margin_m + requirement.widen_m + last.radius_m >= -near_m
            and self.obliged_at(at_ms, requirement.requirement_id)
            for requirement, margin_m in zip(self._judged, margins_m.tolist(), strict=True)
        )

    def _dues_unknown(self) -> dict[str, int]:
        return dict.fromkeys([*self._schedules, SILENCE, DEVICE], ALWAYS_MS)

    # ------------------------------------------------------------------------------------- one step

    def advance(self, state: State, facts: Sequence[Fact], now_ms: int, heard: Sequence[Fact] = ()) -> Judged | Late:
        """Take in new facts (each content once in an activation's life) and let time pass to `now_ms`. `heard`: facts that are
        communication of the device and are judged elsewhere."""
        if not (facts or heard or state.pending):
            return self._pass_time(state, now_ms)
        receipts_ms = self._receipts_ms(state, [*facts, *heard], now_ms)
        if receipts_ms and receipts_ms[0] < state.silence.gap_end_ms:
            return Late(min(fact.own_ms for fact in (*facts, *heard)), by_receipt=True)
        return self._advance(state, facts, receipts_ms, now_ms)

    def _advance(self, state: State, facts: Sequence[Fact], receipts_ms: list[int], now_ms: int) -> Judged | Late:
        """The same, if no receipt undoes a silence."""
        due = [fact for fact in (*state.pending, *facts) if max(fact.own_ms, fact.received_ms) <= now_ms]
        pending = tuple(f for f in (*state.pending, *facts) if max(f.own_ms, f.received_ms) > now_ms)
        evidence = sorted((fact for fact in due if is_evidence_candidate(fact)), key=lambda fact: fact.key)
        if evidence and evidence[0].key <= state.base.fed_to:
            return Late(evidence[0].own_ms, by_receipt=False)
        taken = self._take_in(state, evidence) if evidence else self._let_rest(state, now_ms)
        return self._go_on(state, taken, receipts_ms, pending, now_ms)

    def _pass_time(self, state: State, now_ms: int) -> Judged:
        """Nothing came and nothing waits: at the edge of a night, of nearly everybody."""
        return self._go_on(state, self._let_rest(state, now_ms), [], (), now_ms)

    def _go_on(
        self, state: State, taken: _Taken, receipts_ms: list[int], pending: tuple[Fact, ...], now_ms: int
    ) -> Judged:
        base, tail, head, changed = taken
        dues_ms = dict(state.dues_ms)
        silence, parts = self._silence_part(state, receipts_ms, now_ms, dues_ms)
        parts += self._device_part(base, head, changed, dues_ms, now_ms)
        last = head.track.last
        heard_ms = (
            silence.heard_ms if last is None else last.received_ms
        )  # events are sent at once, and say nothing of positions
        in_time_ms = limit_of(heard_ms, self.plan.silence_limit_ms, self.plan.outages)
        # What is settled is provisional no longer.
        passed_ms = max(head.fed_to[0], base.fed_to[0] + PASSED_MS)
        parts += self._entry_parts(state, head, changed, dues_ms, _Soon(passed_ms, in_time_ms), now_ms)
        if base is not state.base:
            self._settle(base, head)
        return Judged(State(base, tail, head, silence, pending, dues_ms, now_ms), parts)

    def judge_at_once(self, history: History, heard_ms: Int64s, now_ms: int) -> list[Finding]:
        """All findings of a whole history at *now*. What is evidence in it is known. `heard_ms`: receipts, sorted."""
        checkpoint = self.initial().base
        judged = self._places.verdicts(history.lon_deg, history.lat_deg, history.radius_m)
        self._follow_all(checkpoint, history.evidence, history.at_ms, judged, history.events)
        start_ms = silence_start_ms(self.plan)
        receipts_ms = np.append(start_ms, heard_ms[heard_ms > start_ms])
        found = silences(self.plan, receipts_ms, now_ms)
        found += device_findings(checkpoint.spells, self.plan.activation.to_ms, now_ms)
        for requirement in self._judged:
            entry = checkpoint.entries[requirement.entry_id]
            found += self._entry_findings(requirement, entry, ALWAYS_MS, FOREVER_MS, now_ms)[0]
        return found

    def _receipts_ms(self, state: State, facts: Sequence[Fact], now_ms: int) -> list[int]:
        """When the device was heard since time last passed, sorted: whatever the time is that a fact itself speaks of."""
        heard = [*facts, *(fact for fact in state.pending if fact.received_ms > state.judged_ms)]
        received = [f for f in heard if f.received_ms <= now_ms]
        return sorted([f.received_ms for f in received if type(f) is Position or is_sign_of_life(self.plan, f)])

    def _take_in(self, state: State, evidence: list[Fact]) -> _Taken:
        """Feed evidence that is not older than the base: base, tail and head after it, and the scopes it touched."""
        in_order = evidence[0].key > state.head.fed_to
        tail = [*state.tail, *evidence] if in_order else sorted([*state.tail, *evidence], key=lambda f: f.key)
        if tail[-1].own_ms - tail[0].own_ms <= 2 * TAIL_MS:
            head = (state.head if in_order else state.base).copy()
            touched = self._feed(head, evidence if in_order else tail)
            return state.base, tuple(tail), head, touched if in_order else "all"
        cut_ms = tail[-1].own_ms - TAIL_MS
        cut = sum(1 for fact in tail if fact.own_ms < cut_ms)
        base = state.base.copy()
        self._feed(base, tail[:cut])
        if not in_order:
            head = base.copy()
            self._feed(head, tail[cut:])
            return base, tuple(tail[cut:]), head, "all"
        head = state.head.copy()
        return base, tuple(tail[cut:]), head, self._feed(head, evidence)

    def _let_rest(self, state: State, now_ms: int) -> _Taken:
        """Where nothing comes, the base moves up with time: what is older than QUIET_MS is settled, so that looking at an activation
        costs the same however long nothing was heard of it."""
        if now_ms - max(state.base.fed_to[0], self.plan.activation.from_ms) < 2 * QUIET_MS:
            return state.base, state.tail, state.head, set()
        cut_ms = now_ms - QUIET_MS
        cut = sum(1 for fact in state.tail if fact.own_ms < cut_ms)
        base = state.base.copy()
        self._feed(base, state.tail[:cut])
        base.fed_to = max(base.fed_to, (cut_ms, -1))
        return base, state.tail[cut:], state.head.copy(), "all"

    # ------------------------------------------------------------------------------------- feeding

    def _feed(self, checkpoint: Checkpoint, facts: Sequence[Fact]) -> set[str]:
        """Feed evidence in order; the scopes whose step functions changed."""
        if len(facts) >= MANY:
            return self._feed_many(checkpoint, facts)
        return self._feed_some(checkpoint, facts) if len(facts) > 1 else self._feed_few(checkpoint, facts)

    def _feed_some(self, checkpoint: Checkpoint, facts: Sequence[Fact]) -> set[str]:
        """The same as one after the other. Of what a tag sends in tens nearly every requirement hears one thing, over and over: then
        the first says it, and the last carries it on."""
        positions = [fact for fact in facts if isinstance(fact, Position)]
        if len(positions) < len(facts):
            return self._feed_few(checkpoint, facts)
        evidence, checkpoint.track = evidence_of(checkpoint.track, positions)
        checkpoint.fed_to = facts[-1].key
        touched: set[str] = set()
        if not evidence:
            return touched
        judged, step_ms = self._zone_verdicts(evidence), _longest_step_ms(evidence)
        in_zone, in_widened = judged.in_zone.T.tolist(), judged.in_widened.T.tolist()
        for index, requirement in enumerate(self._judged):
            entry = checkpoint.entries[requirement.entry_id]
            changed = self._follow_some(entry.zone, index, evidence, step_ms, in_zone[index])
            if requirement.buffer_m > 0:
                changed |= self._follow_some(entry.widened, index, evidence, step_ms, in_widened[index])
            if changed:
                touched.add(requirement.entry_id)
        return touched

    def _follow_some(
        self, tracker: Tracker, index: int, evidence: Sequence[Position], step_ms: int, verdicts: Sequence[int]
    ) -> bool:
        """Positions that are evidence, in order, with what each says of one requirement. `step_ms`: the longest between two of them.
        True if anything changed."""
        following, value = self._followings[index], verdicts[0]
        is_one_stretch = (
            value != UNKNOWN and step_ms <= following.max_gap_ms and verdicts.count(value) == len(verdicts)
        )
        if is_one_stretch and not _starts_in(following, evidence[0].fix_ms, evidence[-1].fix_ms):
            return self._follow_stretch(tracker, index, evidence, range(len(evidence)), value)
        changed = False
        for position, verdict in zip(evidence, verdicts, strict=True):
            changed |= self._feed_verdict(tracker, verdict, position, index)
        return changed

    def _feed_few(self, checkpoint: Checkpoint, facts: Sequence[Fact]) -> set[str]:
        """One after the other, on all requirements."""
        positions = [fact for fact in facts if isinstance(fact, Position)]
        evidence, checkpoint.track = evidence_of(checkpoint.track, positions)
        in_zone, in_widened = self._verdicts(evidence)
        row_of = {id(position): row for row, position in enumerate(evidence)}
        touched: set[str] = set()
        for fact in facts:
            if isinstance(fact, DeviceEvent):
                self._feed_device(checkpoint, fact, touched)
            elif (row := row_of.get(id(fact))) is not None:
                self._feed_position(checkpoint, fact, in_zone[row], in_widened[row], touched)
        if facts:
            checkpoint.fed_to = facts[-1].key
        return touched

    def _feed_many(self, checkpoint: Checkpoint, facts: Sequence[Fact]) -> set[str]:
        """The same, requirement by requirement, of each only what can change anything one by one (`stretches.py`)."""
        positions = [fact for fact in facts if type(fact) is Position]
        evidence, checkpoint.track, columns = evidence_in_columns(checkpoint.track, positions)
        events = [fact for fact in facts if isinstance(fact, DeviceEvent)] if len(positions) < len(facts) else []
        checkpoint.fed_to = facts[-1].key
        judged = self._places.verdicts(columns.lon_deg, columns.lat_deg, columns.radius_m)
        return self._follow_all(checkpoint, evidence, columns.at_ms, judged, events)

    def _follow_all(
        self,
        checkpoint: Checkpoint,
        evidence: ByPlace,
        at_ms: Int64s,
        judged: ZoneVerdicts,
        told: Sequence[DeviceEvent],
    ) -> set[str]:
        """Positions that are evidence and events, each in order. At one instant events come first."""
        touched: set[str] = set()
        for event in told:
            feed_event(checkpoint.spells, event)
            touched.add(DEVICE)
        places = np.searchsorted(at_ms, [event.event_ms for event in told]).tolist()
        events = list(zip(places, told, strict=True))
        for index, requirement in enumerate(self._judged):
            entry = checkpoint.entries[requirement.entry_id]
            changed = self._follow(entry.zone, index, _Row(evidence, at_ms, judged.in_zone[:, index]), events)
            if requirement.buffer_m > 0:
                widened = _Row(evidence, at_ms, judged.in_widened[:, index])
                changed = self._follow(entry.widened, index, widened, ()) or changed
            if changed:
                touched.add(requirement.entry_id)
        return touched

    def _follow(self, tracker: Tracker, index: int, row: _Row, events: Sequence[tuple[int, DeviceEvent]]) -> bool:
        """Verdicts on one requirement, each event before the position of its place. True if anything changed."""
        following = self._followings[index]
        changed, done = False, 0
        starts = _starts_in(following, int(row.at_ms[0]), int(row.at_ms[-1])) if len(row.at_ms) else ()
        for stretch in stretches_of(
            row.verdicts, row.at_ms, following.max_gap_ms, [place for place, _ in events], starts
        ):
            while done < len(events) and events[done][0] <= stretch[0]:
                changed = follow_event(tracker, following, events[done][1]) or changed
                done += 1
            value = int(row.verdicts[stretch[0]])
            changed = self._follow_stretch(tracker, index, row.positions, stretch, value) or changed
        for _, event in events[done:]:
            changed = follow_event(tracker, following, event) or changed
        return changed

    def _follow_stretch(
        self, tracker: Tracker, index: int, positions: ByPlace, stretch: Sequence[int], value: int
    ) -> bool:
        """Of some positions those of a stretch, which all say `value`."""
        changed = False
        for place in stretch:
            position = positions[place]
            changed = self._feed_verdict(tracker, value, position, index) or changed
            if place != stretch[-1] and can_carry(tracker, position, value):
                carry_on(tracker, self._followings[index], positions[stretch[-1]], value)
                break
        return changed

    def _zone_verdicts(self, positions: Sequence[Position]) -> ZoneVerdicts:
        lon_deg = [position.lon_deg for position in positions]
        lat_deg = [position.lat_deg for position in positions]
        return self._places.verdicts(lon_deg, lat_deg, [position.radius_m for position in positions])

    def _verdicts(self, positions: Sequence[Position]) -> tuple[list[list[int]], list[list[int]]]:
        """Verdicts (positions × requirements) on the zones and on the zones widened by their buffers."""
        judged = self._zone_verdicts(positions)
        return judged.in_zone.tolist(), judged.in_widened.tolist()

    def _feed_position(
        self,
        checkpoint: Checkpoint,
        position: Position,
        in_zone: list[int],
        in_widened: list[int],
        touched: set[str],
    ) -> None:
        for index, requirement in enumerate(self._judged):
            entry_id = requirement.entry_id
            entry = checkpoint.entries[entry_id]
            if requirement.buffer_m > 0 and self._feed_verdict(entry.widened, in_widened[index], position, index):
                touched.add(entry_id)
            if self._feed_verdict(entry.zone, in_zone[index], position, index):
                touched.add(entry_id)

    def _feed_verdict(self, tracker: Tracker, verdict: int, position: Position, index: int) -> bool:
        """Which member of a set it is about is asked only of presence that a finding can rest on."""
        if verdict == UNKNOWN:
            return False
        following = self._followings[index]
        if verdict != self._found_by[index]:
            return follow_position(tracker, following, position, verdict)
        zone_id_of = partial(self._places.zone_id, index, position.lon_deg, position.lat_deg)
        return follow_position(tracker, following, position, verdict, zone_id_of)

    def _feed_device(self, checkpoint: Checkpoint, event: DeviceEvent, touched: set[str]) -> None:
        feed_event(checkpoint.spells, event)
        touched.add(DEVICE)
        for following in self._followings:
            entry_id = following.requirement.entry_id
            if follow_event(checkpoint.entries[entry_id].zone, following, event):
                touched.add(entry_id)

    # ------------------------------------------------------------------------------------- findings

    def _entry_parts(
        self,
        state: State,
        head: Checkpoint,
        changed: set[str] | Literal["all"],
        dues_ms: dict[str, int],
        soon: _Soon,
        now_ms: int,
    ) -> list[Part]:
        parts = []
        for requirement in self._judged:
            entry_id = requirement.entry_id
            is_due = changed == "all" or entry_id in changed or dues_ms[entry_id] <= now_ms
            if not is_due and not self._put_off(state.head, head, requirement, now_ms):
                continue
            since_ms = state.base.entries[entry_id].cursor_ms
            entry = head.entries[entry_id]
            lapse_ms, widened_ms = lapses_ms(entry.zone), lapses_ms(entry.widened)
            lapses = lapses_of(lapse_ms, widened_ms, *soon, now_ms)
            next_ms = min((at_ms for at_ms in (lapse_ms, widened_ms) if at_ms > now_ms), default=FOREVER_MS)
            findings, due = self._entry_findings(requirement, entry, since_ms, next_ms, now_ms)
            dues_ms[entry_id] = min(due, lapses.settles_ms)
            parts.append(Part(entry_id, since_ms, findings, lapses))
        return parts

    def _put_off(self, before: Checkpoint, after: Checkpoint, requirement: Requirement, now_ms: int) -> bool:
        """Whether evidence that changed no presence moved an end, or settled one that was provisional."""
        if before is after:
            return False
        was, entry = before.entries[requirement.entry_id], after.entries[requirement.entry_id]
        if requirement.kind is ObligationKind.EXCLUSION and INSIDE not in (entry.zone.value, entry.widened.value):
            return False  # of being elsewhere nothing ends
        return _lapse_put_off(was, entry, now_ms) or _lapse_passed(entry, before.fed_to[0], after.fed_to[0])

    def _entry_findings(
        self, requirement: Requirement, entry: EntryState, since_ms: int, lapse_ms: int, now_ms: int
    ) -> tuple[list[Finding], int]:
        """And the first instant after *now* at which they can differ although no fact came. `lapse_ms`: of those the first at which
        presence lapses."""
        periods = self._schedules[requirement.entry_id].periods(since_ms, now_ms)
        steps = stretches(entry.zone, now_ms)
        widened = stretches(entry.widened, now_ms) if requirement.buffer_m > 0 else []
        limit_ms = self.plan.settings.unknown_limit_ms
        presence = PresenceSteps(steps, widened, partial(self._counted_from, requirement.entry_id, entry.zone))
        found = place_findings(requirement, periods, presence, limit_ms, now_ms)
        due = due_ms(requirement, periods, steps, lapse_ms, limit_ms, now_ms)
        return [f for f in found if f.end_ms is None or f.end_ms > since_ms], due

    def _counted_from(self, entry_id: EntryId, tracker: Tracker, start_ms: int) -> Start | None:
        rule = self._starts[entry_id]
        return Start(start_ms) if rule is None else counted_from(tracker, rule, start_ms)

    def _device_part(
        self,
        base: Checkpoint,
        head: Checkpoint,
        changed: set[str] | Literal["all"],
        dues_ms: dict[str, int],
        now_ms: int,
    ) -> list[Part]:
        if changed != "all" and DEVICE not in changed and dues_ms[DEVICE] > now_ms:
            return []
        to_ms = self.plan.activation.to_ms
        dues_ms[DEVICE] = to_ms if to_ms > now_ms and head.spells else FOREVER_MS
        since_ms = base.spells_since_ms
        found = device_findings(head.spells, to_ms, now_ms)
        return [Part(DEVICE, since_ms, [f for f in found if f.end_ms is None or f.end_ms > since_ms])]

    def _silence_part(
        self, state: State, receipts_ms: list[int], now_ms: int, dues_ms: dict[str, int]
    ) -> tuple[Silence, list[Part]]:
        heard_ms, gap_end_ms = state.silence
        fresh = [receipt for receipt in receipts_ms if receipt > heard_ms]
        if not fresh and dues_ms[SILENCE] > now_ms:
            return state.silence, []
        found = silences(self.plan, [heard_ms, *fresh], now_ms)
        last_ms = fresh[-1] if fresh else heard_ms
        gap_end_ms = max([gap_end_ms, *(f.end_ms for f in found if f.end_ms is not None)])
        dues_ms[SILENCE] = silence_due_ms(self.plan, last_ms, now_ms)
        return Silence(last_ms, gap_end_ms), [Part(SILENCE, heard_ms, found)]

    # ------------------------------------------------------------------------------------- settling

    def _settle(self, base: Checkpoint, head: Checkpoint) -> None:
        """After the base moved up: what is final now, and forget what nothing can rest on any more."""
        for requirement in self._judged:
            entry = base.entries[requirement.entry_id]
            trackers = [entry.zone, entry.widened] if requirement.buffer_m > 0 else [entry.zone]
            cursor_ms = min(self._cursor_ms(requirement, tracker, base.fed_to[0]) for tracker in trackers)
            for twin in (entry, head.entries[requirement.entry_id]):
                twin.cursor_ms = max(entry.cursor_ms, cursor_ms)
                forget(twin.zone, cursor_ms)
                forget(twin.widened, cursor_ms)
        since_ms = base.fed_to[0] - 1  # a start at the instant of a clear can still reopen its spell
        for checkpoint in (base, head):
            checkpoint.spells_since_ms = since_ms
            checkpoint.spells = [s for s in checkpoint.spells if s.end_ms is None or s.end_ms > since_ms]

    def _cursor_ms(self, requirement: Requirement, tracker: Tracker, fed_to_ms: int) -> int:
        """Findings of this presence that end at or before the answer are final: those before the stretch, and
        before the obligation period, in which the last instant lies that no fact in order can change."""
        settled_ms = frontier_ms(tracker, fed_to_ms) - 1
        periods = self._schedules[requirement.entry_id].periods(settled_ms, settled_ms)
        within = [period.begin_ms for period in periods if period.begin_ms <= settled_ms < period.end_ms]
        if requirement.kind is ObligationKind.ATTENDANCE:  # which goes by all of its period
            return min(within, default=settled_ms)
        steps = stretches(tracker, settled_ms)
        step_ms = max((step.begin_ms for step in steps if step.begin_ms <= settled_ms), default=ALWAYS_MS)
        return max(step_ms, within[0] if within else settled_ms)


def _newest(requirement: Requirement, tracker: Tracker, last_ms: int) -> NewestVerdict:
    is_inside, is_present = tracker.run.value == INSIDE, tracker.value == INSIDE
    return NewestVerdict(requirement, last_ms, tracker.last_id, tracker.last_holds_to_ms, is_inside, is_present)


def _found_by(requirement: Requirement) -> int:
    """The presence that findings of the requirement rest on."""
    return INSIDE if requirement.kind is ObligationKind.EXCLUSION else OUTSIDE


def _lapse_put_off(before: EntryState, after: EntryState, now_ms: int) -> bool:
    """Whether a presence that had lapsed by *now* was carried on by a verdict that came after all, in order and within its
    hold: no segment began or ended, and yet the finding ends later."""
    pairs = ((before.zone, after.zone), (before.widened, after.widened))
    return any(was.last_ms != now.last_ms and lapses_ms(was) <= now_ms for was, now in pairs)


def _lapse_passed(entry: EntryState, before_ms: int, newest_ms: int) -> bool:
    """Whether the newest evidence is the first that lies so long after a lapse that it is no longer provisional."""
    lapses = (lapses_ms(entry.zone), lapses_ms(entry.widened))
    return any(is_passed(lapse_ms, newest_ms) and not is_passed(lapse_ms, before_ms) for lapse_ms in lapses)


def judge_history(
    plan: Plan, facts: Sequence[Fact], now_ms: int, sets: Mapping[str, ZoneSet] = NO_SETS
) -> list[Finding]:
    """All findings of one activation at *now*, from its whole history in one go. Duplicates are taken out here."""
    judge = ActivationJudge(plan, sets)
    known = [fact for fact in facts if fact.received_ms <= now_ms]
    judged = judge.advance(judge.initial(), without_duplicates(known), now_ms)
    assert isinstance(judged, Judged), "nothing is late for a state that has seen nothing"
    return [finding for part in judged.parts for finding in part.findings]
