"""All activations under judgement, in memory. Memory follows the disk: an update is adopted after its commit, never before.

A live activation is what one activation is judged under, its state, and its findings as people are shown them. Everything
here can be thrown away and loaded again from the database, which is what happens when a commit fails.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from emtrack.db.connect import Connection
from emtrack.db.errors import is_of_the_database
from emtrack.db.session import ANY_ROWS, PART_BY_PART
from emtrack.logs import origin_of
from emtrack.record.checkpoints import KEEP_EVERY_MS, kept_to_ms, late_since_ms, load_checkpoints, load_silences
from emtrack.record.deployment_settings import silence_near_m
from emtrack.record.facts import load_facts
from emtrack.record.findings import NewVersion, PresenceNote, ShownFinding, load_shown
from emtrack.record.outages import NO_OUTAGES, Outages
from emtrack.record.plans import Assignment, judgement_ended, load_judged
from emtrack.record.shards import Shards, wearers_of
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.finality import can_change, first_open_ms
from emtrack.service.rebuilding import LATE, Rebuild, Rebuilt
from geofence import (
    ALWAYS_MS,
    FOREVER_MS,
    RULES_VERSION,
    ActivationIndex,
    EntryId,
    Fact,
    version_of,
    versions_of,
    without_duplicates,
)
from geofence.judgement import NO_SETS, ActivationJudge, Amendments, State, judges_of
from geofence.shapes import ZoneSet

RESTART, ORDERS, RULES, FAULT = "restart", "orders", "rules", "fault"
"""Why an activation is to be judged from its start; LATE: from before a late fact."""
RETRY_MS = 60_000
"""A judgement that failed is tried again after this, from the start of its activation."""
LOADED_AT_ONCE = 500
"""People; some tenths of a second."""
MOST_UNREAD = 20
"""People whose orders cannot be read. If there are more it is no fault of theirs, and nobody's reports are refused for it."""


class PutOff(NamedTuple):
    """A judgement that costs too much for a turn. `late_ms`: own time of the earliest late fact; None: from the start."""

    cause: str
    late_ms: int | None


class Waiting:
    """What is judged beside the turns. `facts`: those that brought it about; `arrived`: those that came since, and are stored.
    `rebuilt`: None until it is done."""

    def __init__(self, rebuild: Rebuild, facts: Sequence[Fact]) -> None:
        self.rebuild = rebuild
        self.facts = list(facts)
        self.arrived: list[Fact] = []
        self.rebuilt: Rebuilt | None = None
        self.is_wanted = True
        """Nobody waits for one that something else has overtaken."""
        self.slices: deque[Amendments[ShownFinding]] | None = None
        """Changes that are recorded ahead, some at a time; None: not looked at yet."""
        self.failed: str | None = None
        """Where, of one that could not be judged."""

    @property
    def is_done(self) -> bool:
        """Whether a turn can take it over."""
        return self.rebuilt is not None or self.failed is not None


class LiveActivation:
    """One activation. `rebuild`: why it must be judged from its start at the next turn, or None. `sets`: the zone sets of its
    plan among others, by content; they stay at hand as long as the live holds them."""

    def __init__(
        self, assignment: Assignment, sets: Mapping[str, ZoneSet] = NO_SETS, judge: ActivationJudge | None = None
    ) -> None:
        self.assignment = assignment
        self.sets = sets
        self.judge = ActivationJudge(assignment.plan, sets) if judge is None else judge
        self.plan_version = version_of((RULES_VERSION, msgspec.structs.replace(assignment.plan, outages=())))
        self.state: State = self.judge.initial()
        self.shown: dict[int, ShownFinding] = {}
        self.rebuild: str | None = None
        self.late_ms: int | None = None
        """The earliest fact that was late, if that is the reason."""
        self.waiting: Waiting | None = None
        """It is judged beside the turns."""
        self.is_asked_for = False
        """Somebody asked that it is judged again by the rules of today."""
        self.late_facts: Sequence[Fact] = ()
        """That waited to be judged when its orders changed."""
        self.cost: int | None = None
        """Of judging it from its start, as it was weighed last (`costs.py`)."""
        self.before: LiveActivation | None = None
        """As it was before its orders changed, until it is judged under the new ones."""
        self.reach_ms = ALWAYS_MS
        """Findings that ended by then change only where new facts or orders lead to another judgement (`settled.py`)."""
        self.due_ms = ALWAYS_MS
        self._versions: dict[EntryId | None, dict[str, str]] = {}
        self.kept_to_ms = ALWAYS_MS
        """Up to which fact the newest checkpoint is fed that is kept for late facts."""
        for requirement in assignment.plan.judged:
            if requirement.timetable is not None:  # what very many begin to be judged by at one instant
                self.versions(requirement.entry_id)

    @property
    def number(self) -> int:
        """The activation's number in the record."""
        return self.assignment.activation_no

    @property
    def watched(self) -> LiveActivation | None:
        """What is judged on while this activation waits to be judged again; None: nothing that is good can be."""
        watched = self.before or self
        was_judged = watched.state.judged_ms > ALWAYS_MS and watched.rebuild not in (RESTART, FAULT)
        return watched if was_judged and self.rebuild not in (RESTART, FAULT) else None

    @property
    def judge_before(self) -> ActivationJudge | None:
        """For what was known before, under the orders from before; None: nothing had ended before the rules of today."""
        if self.reach_ms <= ALWAYS_MS:
            return None
        judge = self.judge if self.before is None else self.before.judge
        judge.with_outages(self.judge.plan.outages)
        return judge

    def rebuild_of(self, cause: str, late_ms: int | None, facts: Sequence[Fact], now_ms: int) -> Rebuild:
        """What is to be judged again at an instant. `facts`: those that were not judged yet."""
        before = None
        if self.judge_before is not None:
            before = self.assignment if self.before is None else self.before.assignment
        assignment = msgspec.structs.replace(self.assignment, plan=self.judge.plan)
        fresh = frozenset(fact.fact_id for fact in (*facts, *self.late_facts))
        pending = frozenset(fact.fact_id for fact in self.state.pending)
        return Rebuild(
            assignment, self.plan_version, cause, late_ms, fresh, pending, self.state.silence, before, now_ms
        )

    def waits_to_retry(self, now_ms: int) -> bool:
        """Its last judgement failed, and it is too early for another."""
        return self.rebuild == FAULT and self.waiting is None and self.due_ms > now_ms

    def versions(self, entry_id: EntryId | None) -> dict[str, str]:
        """What a finding of an entry (None: of none) is decided under."""
        found = self._versions.get(entry_id)
        if found is None:
            plan = self.assignment.plan
            requirement = next((r for r in plan.requirements if r.entry_id == entry_id), None)
            found = {str(part): version for part, version in versions_of(plan, requirement).items()}
            self._versions[entry_id] = found
        return found


class ActivationUpdate(NamedTuple):
    """What a judgement of one activation changes. `cause`: why it was judged from its start, or (LATE) from an older checkpoint.
    `kept_to_ms`: checkpoints that are kept are good up to it. `fault`: it failed, and nothing else holds. `put_off`: it is to be
    judged beside the turns; `facts`: those that it waits for, or that came while it waited."""

    live: LiveActivation
    state: State
    shown: dict[int, ShownFinding]
    records: list[NewVersion]
    notes: Sequence[PresenceNote] = ()
    cause: str | None = None
    fault: str | None = None
    kept_to_ms: int = ALWAYS_MS
    put_off: PutOff | None = None
    facts: Sequence[Fact] = ()
    is_judged: bool = True

    @classmethod
    def of_put_off(cls, live: LiveActivation, put_off: PutOff, facts: Sequence[Fact]) -> ActivationUpdate:
        """Nothing changes but that it waits."""
        return cls(live, live.state, live.shown, [], put_off=put_off, facts=facts, is_judged=False)

    @classmethod
    def of_arrivals(cls, live: LiveActivation, facts: Sequence[Fact]) -> ActivationUpdate:
        """It waits, and these came meanwhile."""
        return cls(live, live.state, live.shown, [], facts=facts, is_judged=False)

    @classmethod
    def of_slice(cls, live: LiveActivation, state: State, records: list[NewVersion]) -> ActivationUpdate:
        """Some changes are recorded ahead. `state`: in which they are found."""
        return cls(live, state, {}, records, is_judged=False)

    @property
    def has_new_checkpoint(self) -> bool:
        return self.fault is None and self.is_judged and self.state.base is not self.live.state.base

    @property
    def keeps_checkpoint(self) -> bool:
        """Whether the new checkpoint is kept beside the newest one, for facts that are late."""
        return self.has_new_checkpoint and self.state.base.fed_to[0] >= self.kept_to_ms + KEEP_EVERY_MS

    @property
    def has_new_silence(self) -> bool:
        is_new = self.cause not in (None, LATE) or self.state.silence != self.live.state.silence
        return self.fault is None and self.is_judged and is_new


Unread = dict[int, str]
"""People whose orders cannot be read, by their number, and where in the code that shows."""


async def _of_whom_it_can_be(
    make: Callable[[Sequence[int]], Awaitable[dict[int, LiveActivation]]], wearer_nos: Sequence[int], unread: Unread
) -> dict[int, LiveActivation]:
    """Where something of one person ends it, the others are made all the same. Raises what is not of few people."""
    try:
        return await make(wearer_nos)
    except Exception as error:
        if is_of_the_database(error) or len(unread) >= MOST_UNREAD:
            raise
        if len(wearer_nos) == 1:
            unread[wearer_nos[0]] = f"{type(error).__name__} at {origin_of(error).line}"
            return {}
    middle = len(wearer_nos) // 2
    first = await _of_whom_it_can_be(make, wearer_nos[:middle], unread)
    return first | await _of_whom_it_can_be(make, wearer_nos[middle:], unread)


class LiveActivations:
    """All activations, found by activation, by device and instant, and by when they are due."""

    def __init__(self, zone_sets: ZoneSetCache) -> None:
        self._zone_sets = zone_sets
        self._by_number: dict[int, LiveActivation] = {}
        self._by_device = ActivationIndex[int, LiveActivation]()
        self._by_tag = ActivationIndex[object, LiveActivation]()
        self._by_wearer: dict[int, list[LiveActivation]] = {}
        self._heap: list[tuple[int, int]] = []
        self._again: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        """Who is to be judged again, in a turn and beside the turns, and since when."""
        self._now_ms = ALWAYS_MS
        self._to_submit: list[LiveActivation] = []
        self._outages = NO_OUTAGES
        self._shards = 1
        self._divided: set[int] = set()
        self._rules_since_ms = ALWAYS_MS
        self.silence_near_m = 0.0
        """How near an exclusion zone a last position makes a silence serious."""

    @property
    def sets_folder(self) -> Path | None:
        """Where zone sets are kept."""
        return self._zone_sets.folder

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[LiveActivation]:
        return iter(self._by_number.values())

    # ------------------------------------------------------------------------------------- loading

    def forget(self) -> None:
        """Everything: it is loaded again."""
        self._by_number, self._heap, self._again, self._waiting, self._to_submit = {}, [], {}, {}, []
        self._by_device, self._by_tag, self._by_wearer, self._divided = (
            ActivationIndex(), ActivationIndex(), {}, set(),
        )  # fmt: skip

    async def load(
        self,
        connection: Connection,
        held_ms: int,
        judged_ms: Mapping[int, int],
        shards: Shards,
        rules_since_ms: int = ALWAYS_MS,
    ) -> Unread:
        """Some shards from the database, beside what is there. `judged_ms`: of each shard, to when it was judged.
        `rules_since_ms`: since when the rules of today are in force. Whose orders cannot be read is left out."""
        self._shards = shards.total
        self._rules_since_ms = rules_since_ms
        self.silence_near_m = await silence_near_m(connection)
        self._now_ms = held_ms
        wearer_nos = await wearers_of(connection, shards)
        unread: Unread = {}
        await connection.execute(PART_BY_PART)
        for first in range(0, len(wearer_nos), LOADED_AT_ONCE):
            some = wearer_nos[first : first + LOADED_AT_ONCE]
            await self._load_some(connection, held_ms, judged_ms, some, unread)
        await connection.execute(ANY_ROWS)
        return unread

    async def _load_some(
        self,
        connection: Connection,
        held_ms: int,
        judged_ms: Mapping[int, int],
        wearer_nos: Sequence[int],
        unread: Unread,
    ) -> None:
        """Between some and the next all that is not a turn goes on: pages, signals to end, connections that must be kept."""

        async def resumed(some: Sequence[int]) -> dict[int, LiveActivation]:
            fresh = await self._fresh(connection, held_ms, some)
            await self._resume(connection, fresh, judged_ms)
            return fresh

        for number, live in (await _of_whom_it_can_be(resumed, wearer_nos, unread)).items():
            if number in self._by_number:  # it passed from somebody who is read already to somebody of these
                self._forget(self._by_number[number])
            self._add(live)
            self._push(live)

    async def _fresh(
        self, connection: Connection, held_ms: int, wearer_nos: Sequence[int]
    ) -> dict[int, LiveActivation]:
        """The activations of some people by their orders of now. Nothing in memory changes."""
        assignments = await load_judged(connection, held_ms, wearer_nos)
        sets = await self._sets_of(connection, assignments)
        return self._lives(assignments, sets)

    def give_up(self, shards: Shards) -> None:
        """Others judge them from now on."""
        self._forget_but((), [wearer_no for wearer_no in self._by_wearer if shards.have(wearer_no)])
        self._to_submit = [live for live in self._to_submit if live.number in self._by_number]

    def _lives(self, assignments: Mapping[int, Assignment], sets: Mapping[str, ZoneSet]) -> dict[int, LiveActivation]:
        judges = judges_of([assignment.plan for assignment in assignments.values()], sets)
        lives = {}
        for (number, assignment), judge in zip(assignments.items(), judges, strict=True):
            lives[number] = LiveActivation(assignment, sets, judge)
            lives[number].reach_ms = self._rules_since_ms
        return lives

    def judge_again(self, since_ms: int) -> None:
        """Judge everybody again by the rules of today: findings that lasted after an instant follow them."""
        for live in self._by_number.values():
            live.reach_ms = min(live.reach_ms, since_ms)
            self._no_longer_waits(live)
            live.rebuild, live.late_ms, live.is_asked_for = RULES, None, True
            self._push(live)

    @property
    def are_judged_again(self) -> bool:
        """Whether nobody waits to be judged by the rules of today."""
        return not any(live.is_asked_for for live in self)

    async def _sets_of(self, connection: Connection, assignments: Mapping[int, Assignment]) -> Mapping[str, ZoneSet]:
        requirements = (r for assignment in assignments.values() for r in assignment.plan.requirements)
        return await self._zone_sets.sets_of(connection, requirements)

    async def _resume(
        self, connection: Connection, activations: Mapping[int, LiveActivation], judged_ms: Mapping[int, int]
    ) -> None:
        checkpoints = await load_checkpoints(connection, list(activations))
        silences = await load_silences(connection, list(activations))
        late_ms = await late_since_ms(connection, list(activations))
        resumable = []
        for number, live in activations.items():
            stored = checkpoints.get(number)
            if stored is not None and stored.plan_version == live.plan_version and number in silences:
                resumable.append((live, stored.checkpoint))
            else:
                live.rebuild = RESTART
        kept_ms = await kept_to_ms(connection, [live.number for live, _ in resumable])
        wanted = [(live.assignment, checkpoint.fed_to[0]) for live, checkpoint in resumable]
        facts = await load_facts(connection, wanted)
        for live, checkpoint in resumable:
            number = live.number
            live.kept_to_ms = kept_ms.get(number, ALWAYS_MS)
            if number in late_ms:  # they were stored, and not judged when the program ended
                live.rebuild, live.late_ms = LATE, late_ms[number]
            live.state = live.judge.resumed(
                checkpoint,
                without_duplicates(list(facts[number])),
                silences[number],
                judged_ms[live.assignment.wearer_no % self._shards],
            )
        endings = {live.number: first_open_ms(live.state) for live, _ in resumable}
        for number, found in (await load_shown(connection, endings)).items():
            live = activations[number]
            live.shown = {shown.finding_no: shown for shown in found if can_change(shown.finding, live.state)}

    def wearers(self) -> list[int]:
        """Everybody who is judged."""
        return sorted(self._by_wearer)

    def devices_of(self, wearer_nos: Iterable[int]) -> set[int]:
        """The numbers of the devices that some people wear at whatever time."""
        return {live.assignment.device_no for no in wearer_nos for live in self._by_wearer.get(no, ())}

    def wearers_of(self, device_nos: Iterable[int]) -> set[int]:
        """Who wears some devices at whatever time."""
        return {live.assignment.wearer_no for no in device_nos for live in self._by_device.of(no)}

    async def load_settings(self, connection: Connection) -> None:
        """Those that are no part of a plan."""
        self.silence_near_m = await silence_near_m(connection)

    async def change_orders(
        self, connection: Connection, held_ms: int, wearer_nos: Sequence[int]
    ) -> tuple[set[int], Unread]:
        """Orders of some wearers changed: their activations are judged again from their start. Whose orders cannot be read is judged
        by the former ones, unless judgement ended: then the facts are about to go.

        Returns the numbers of their devices, and of whom there are none for that.
        """
        unread: Unread = {}
        if not wearer_nos:
            return set(), unread
        self._now_ms = held_ms
        fresh = await _of_whom_it_can_be(partial(self._fresh, connection, held_ms), wearer_nos, unread)
        former = {live.number for no in unread for live in self._by_wearer.get(no, ())}
        still = former - await judgement_ended(connection, list(former)) if former else former
        self._forget_but({*fresh, *still}, wearer_nos)
        for number, live in fresh.items():
            assignment, was = live.assignment, self._by_number.get(number)
            live.judge.with_outages(self._outages.of(assignment.wearer_no) or assignment.plan.outages)
            live.rebuild = ORDERS
            if was is not None:
                live.before, live.reach_ms = was.before or was, min(live.reach_ms, was.reach_ms)
                live.is_asked_for = was.is_asked_for
                live.late_facts = was.late_facts
                if was.waiting is not None:
                    live.late_facts = [*was.late_facts, *was.waiting.facts, *was.waiting.arrived]
                self._no_longer_waits(was)
                self._remove(was)
            self._add(live)
            self._push(live)
        return {live.assignment.device_no for live in fresh.values()}, unread

    def _forget_but(self, fresh: Collection[int], wearer_nos: Iterable[int]) -> None:
        """Activations of some wearers that are judged no more: retention deleted their facts."""
        gone = [live for no in wearer_nos for live in self._by_wearer.get(no, ()) if live.number not in fresh]
        for live in gone:
            self._forget(live)

    def _forget(self, live: LiveActivation) -> None:
        self._no_longer_waits(live)
        self._again.pop(live.number, None)
        self._remove(live)

    def know_outages(self, outages: Outages) -> None:
        """All of our outages."""
        self._outages = outages
        for live in self._by_number.values():
            live.judge.with_outages(outages.of(live.assignment.wearer_no))

    def _add(self, live: LiveActivation) -> None:
        """Found from now on. What it costs does not go by how many others there are."""
        assignment, activation = live.assignment, live.assignment.plan.activation
        self._by_number[live.number] = live
        self._by_device.add(assignment.device_no, activation, live)
        self._by_tag.add(activation.device_id, activation, live)
        insort(self._by_wearer.setdefault(assignment.wearer_no, []), live, key=lambda other: other.number)
        self._note_divided(assignment.device_no)

    def _remove(self, live: LiveActivation) -> None:
        assignment = live.assignment
        del self._by_number[live.number]
        self._by_device.remove(assignment.device_no, live)
        self._by_tag.remove(assignment.plan.activation.device_id, live)
        kept = [other for other in self._by_wearer.pop(assignment.wearer_no) if other is not live]
        if kept:
            self._by_wearer[assignment.wearer_no] = kept
        self._note_divided(assignment.device_no)

    def _note_divided(self, device_no: int) -> None:
        if len({live.assignment.wearer_no % self._shards for live in self._by_device.of(device_no)}) > 1:
            self._divided.add(device_no)
        else:
            self._divided.discard(device_no)

    # ------------------------------------------------------------------------------------- finding activations

    def at(self, device_no: int, own_ms: int) -> LiveActivation | None:
        """The activation that covers a device at an instant."""
        return self._by_device.at(device_no, own_ms)

    def are_of_one_shard(self, device_no: int, own_ms: Iterable[int]) -> bool:
        """Whether what a device says of some instants is of one shard: else a worker that has not all of them gets a part of the
        request, and it is kept report by report wherever it is stored."""
        if device_no not in self._divided:
            return True
        lives = (self.at(device_no, at_ms) for at_ms in own_ms)
        return len({live.assignment.wearer_no % self._shards for live in lives if live is not None}) <= 1

    def by_number(self, activation_no: int) -> LiveActivation:
        """Raises KeyError for an activation that nobody judges."""
        return self._by_number[activation_no]

    def find(self, activation_no: int) -> LiveActivation | None:
        """None for an activation that nobody judges."""
        return self._by_number.get(activation_no)

    def count_active(self, network: str, at_ms: int) -> int:
        """How many activations of a network there are at an instant."""
        plans = (live.assignment.plan.activation for live in self._by_number.values())
        return sum(1 for a in plans if a.network == network and a.from_ms <= at_ms < a.to_ms)

    def of_tag_at(self, device_id: str, own_ms: int) -> LiveActivation | None:
        """The same by the id of the device."""
        return self._by_tag.at(device_id, own_ms)

    def of_wearers_at(self, wearer_nos: Iterable[int], own_ms: int) -> list[LiveActivation]:
        """The activations of some wearers at an instant."""
        return [
            live
            for wearer_no in sorted(wearer_nos)
            for live in self._by_wearer.get(wearer_no, ())
            if live.assignment.plan.activation.from_ms <= own_ms < live.assignment.plan.activation.to_ms
        ]

    @property
    def outages(self) -> Outages:
        """Ours."""
        return self._outages

    def is_obliged(self, wearer_no: int, requirement_id: str, at_ms: int) -> bool:
        """Whether an instant lies in an obligation period of a requirement on which a tag of the wearer is judged then."""
        lives = self.of_wearers_at([wearer_no], at_ms)
        return any(live.judge.obliged_at(at_ms, requirement_id) for live in lives)

    def due(self, now_ms: int, limit: int) -> list[LiveActivation]:
        """At most `limit` activations whose findings can change by the clock alone. They stay due until they are judged. Of who is to
        be judged for the first time nothing is known that could change: they are among those to be judged again, as many as a turn
        can afford."""
        found: dict[int, LiveActivation] = {}
        while self._heap and self._heap[0][0] <= now_ms and len(found) < limit:
            due_ms, number = heapq.heappop(self._heap)
            if self._is_due_at(due_ms, number) and not self._is_only_again(number):
                found[number] = self._by_number[number]
        for number, live in found.items():
            heapq.heappush(self._heap, (live.due_ms, number))
        return list(found.values())

    @property
    def next_due_ms(self) -> int:
        """When the first of them is due: at once, if some are to be judged again."""
        if self.are_any_to_judge_again:
            return ALWAYS_MS
        while self._heap and not self._is_due_at(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else FOREVER_MS

    def _is_due_at(self, due_ms: int, number: int) -> bool:
        live = self._by_number.get(number)
        return live is not None and live.due_ms == due_ms

    def _is_only_again(self, number: int) -> bool:
        return number in self._again and self._by_number[number].watched is None

    def to_judge_again(self, limit: int) -> list[LiveActivation]:
        """At most `limit` of those that are to be judged again, and of what was judged beside the turns since."""
        done = [live for live in self.waiting() if live.waiting is not None and live.waiting.is_done]
        first = done[:limit]
        return [*first, *(self._by_number[number] for number in islice(self._again, limit - len(first)))]

    def waiting(self) -> list[LiveActivation]:
        """Those that are judged beside the turns."""
        return [self._by_number[number] for number in self._waiting]

    @property
    def are_any_to_judge_again(self) -> bool:
        """Whether the next turn has some of them to do."""
        return bool(self._again) or any(live.waiting.is_done for live in self.waiting() if live.waiting)

    @property
    def to_judge_again_count(self) -> int:
        """How many wait to be judged again, in a turn or beside the turns."""
        return len(self._again) + len(self._waiting)

    @property
    def waits_since_ms(self) -> int | None:
        """Since when the one has waited that waits for the longest; None: nobody waits."""
        return min((*self._again.values(), *self._waiting.values()), default=None)

    def take_put_off(self) -> list[LiveActivation]:
        """Those that were put off since this was asked last: they wait for somebody to judge them."""
        taken, self._to_submit = self._to_submit, []
        return taken

    def _push(self, live: LiveActivation) -> None:
        heapq.heappush(self._heap, (live.due_ms, live.number))
        if live.rebuild is not None and live.waiting is None and live.rebuild != FAULT:
            self._again.setdefault(live.number, self._now_ms)

    # ------------------------------------------------------------------------------------- after the commit

    def adopt(self, updates: Iterable[ActivationUpdate], now_ms: int) -> None:
        """The updates are committed: memory follows."""
        self._now_ms = now_ms
        for update in updates:
            live = self._by_number.get(update.live.number, update.live)
            if update.fault is not None:
                self._no_longer_waits(live)
                live.rebuild, live.due_ms = FAULT, now_ms + RETRY_MS
                for stale in (
                    live,
                    live.before,
                ):  # they do not know the facts of the turn: nobody is to be judged on by them
                    if stale is not None:
                        stale.state = stale.judge.initial()
            elif update.is_judged:
                self._go_on(live, update)
            if update.records and not update.is_judged and live.waiting is not None and live.waiting.slices:
                live.waiting.slices.popleft()
            if update.put_off is not None:
                self._put_off(live, update.put_off, update.facts, now_ms)
            elif live.waiting is not None:
                live.waiting.arrived += update.facts
            if live.due_ms < FOREVER_MS:
                self._push(live)

    def _go_on(self, live: LiveActivation, update: ActivationUpdate) -> None:
        """`update.live` is the activation as it was before, where that is judged on meanwhile."""
        judged = update.live
        # Before the state: whether a checkpoint is kept goes by the one that was there.
        judged.kept_to_ms = update.state.base.fed_to[0] if update.keeps_checkpoint else update.kept_to_ms
        judged.state, judged.shown = update.state, update.shown
        live.due_ms = update.state.next_due_ms
        if update.cause is not None:
            self._no_longer_waits(live)
            live.rebuild, live.late_ms, live.before, live.reach_ms = None, None, None, self._rules_since_ms
            live.is_asked_for, live.late_facts = False, ()

    def _put_off(self, live: LiveActivation, put_off: PutOff, facts: Sequence[Fact], now_ms: int) -> None:
        since_ms = self._again.get(live.number, now_ms)
        self._no_longer_waits(live)
        live.rebuild, live.late_ms = put_off
        live.waiting = Waiting(live.rebuild_of(put_off.cause, put_off.late_ms, facts, now_ms), facts)
        self._waiting[live.number] = since_ms
        self._to_submit.append(live)
        if live.watched is None:
            live.due_ms = FOREVER_MS

    def _no_longer_waits(self, live: LiveActivation) -> None:
        if live.waiting is not None:
            live.waiting.is_wanted = False
        live.waiting = live.cost = None
        self._again.pop(live.number, None)
        self._waiting.pop(live.number, None)
