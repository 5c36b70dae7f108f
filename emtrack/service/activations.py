"""All activations under judgement, in memory. Memory follows the disk: a ruling is adopted after its commit, never before.

A *seat* is one activation: what it is judged under, its state, and its findings as people are shown them. Everything
here can be thrown away and loaded again from the database, which is what happens when a commit fails.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

import asyncpg
import msgspec
import structlog

from emtrack.logs import origin_of
from emtrack.record.facts import load_facts
from emtrack.record.findings import Recorded, Shown, load_shown
from emtrack.record.plans import Assignment, load_assignments
from emtrack.record.progress import (
    KEEP_EVERY_MS,
    Ids,
    checkpoint_before,
    forget_checkpoints,
    forget_checkpoints_from,
    keep_checkpoints,
    kept_to_ms,
    load_checkpoints,
    load_silences,
)
from emtrack.record.zone_sets import SetShelf
from geofence.facts import Fact, without_duplicates
from geofence.intervals import Interval
from geofence.judgement.amend import amendments
from geofence.judgement.findings import DEVICE_KINDS, Finding
from geofence.judgement.judge import DEVICE, SILENCE, ActivationJudge, Checkpoint, Judged, Late, Part, State
from geofence.judgement.places import NO_SETS
from geofence.obligations import version_of, versions_of
from geofence.shapes.zone_sets import ZoneSet
from geofence.words import ALWAYS_MS, FOREVER_MS, EntryId

RETRY_MS = 60_000
"""A judgement that failed is tried again after this, from the start of its activation."""

LATE = "late"

log = structlog.get_logger()


class Seat:
    """One activation. `rebuild`: why it must be judged from its start at the next turn, or None. `sets`: the zone sets of its
    plan among others, by content; they stay at hand as long as the seat holds them."""

    def __init__(self, assignment: Assignment, sets: Mapping[str, ZoneSet] = NO_SETS) -> None:
        self.assignment = assignment
        self.sets = sets
        self.judge = ActivationJudge(assignment.plan, sets)
        self.plan_version = version_of((msgspec.structs.replace(assignment.plan, outages=()), assignment.home_units))
        self.state: State = self.judge.initial()
        self.shown: dict[int, Shown] = {}
        self.rebuild: str | None = None
        self.due_ms = ALWAYS_MS
        self._versions: dict[EntryId | None, dict[str, str]] = {}
        self.kept_to_ms = ALWAYS_MS
        """Up to which fact the newest checkpoint is fed that is kept for late facts."""

    def versions(self, entry_id: EntryId | None) -> dict[str, str]:
        """What a finding of an entry (None: of none) is decided under."""
        found = self._versions.get(entry_id)
        if found is None:
            plan = self.assignment.plan
            requirement = next((r for r in plan.requirements if r.entry_id == entry_id), None)
            found = {str(part): version for part, version in versions_of(plan, requirement).items()}
            self._versions[entry_id] = found
        return found


class Ruling(NamedTuple):
    """What a judgement of one seat changes. `cause`: why it was judged from its start, or (LATE) from an older checkpoint.
    `kept_to_ms`: checkpoints that are kept are good up to it. `fault`: it failed, and nothing else holds."""

    seat: Seat
    state: State
    shown: dict[int, Shown]
    records: list[Recorded]
    cause: str | None = None
    fault: str | None = None
    kept_to_ms: int = ALWAYS_MS

    @property
    def has_new_checkpoint(self) -> bool:
        return self.fault is None and (self.state.base is not self.seat.state.base)

    @property
    def keeps_checkpoint(self) -> bool:
        """Whether the new checkpoint is kept beside the newest one, for facts that are late."""
        return self.has_new_checkpoint and self.state.base.fed_to[0] >= self.kept_to_ms + KEEP_EVERY_MS

    @property
    def has_new_silence(self) -> bool:
        return self.fault is None and (
            self.cause not in (None, LATE) or self.state.silence != self.seat.state.silence
        )


def scope_of(finding: Finding) -> str:
    """Which part of a judgement a finding belongs to."""
    if finding.entry_id is not None:
        return finding.entry_id
    return DEVICE if finding.kind in DEVICE_KINDS else SILENCE


def _since_ms(state: State, scope: str) -> int:
    """Findings of the scope that end at or before the answer are final."""
    if scope == SILENCE:
        return state.silence.heard_ms
    if scope == DEVICE:
        return state.base.spells_since_ms
    entry = state.base.entries.get(EntryId(scope))
    return FOREVER_MS if entry is None else int(entry.cursor_ms)


def _can_change(finding: Finding, state: State) -> bool:
    return finding.end_ms is None or finding.end_ms > _since_ms(state, scope_of(finding))


class Docket:
    """All seats, found by activation, by device and instant, and by when they are due."""

    def __init__(self, finding_nos: Ids, shelf: SetShelf) -> None:
        self._shelf = shelf
        self._seats: dict[int, Seat] = {}
        self._by_device: dict[int, list[Seat]] = {}
        self._heap: list[tuple[int, int]] = []
        self._finding_nos = finding_nos
        self._outages: tuple[Interval, ...] = ()

    def __len__(self) -> int:
        return len(self._seats)

    # ------------------------------------------------------------------------------------- loading

    async def load(self, connection: asyncpg.Connection[Any], held_ms: int, judged_ms: int | None) -> None:
        """Everything from the database, as it was when time had passed to `judged_ms` (None: nothing was judged)."""
        assignments = await load_assignments(connection, held_ms)
        sets = await self._sets_of(connection, assignments)
        seats = {number: Seat(assignment, sets) for number, assignment in assignments.items()}
        await self._resume(connection, seats, ALWAYS_MS if judged_ms is None else judged_ms)
        self._seats = seats
        self._heap = []
        for seat in seats.values():
            self._push(seat)
        self._index_devices()

    async def _sets_of(
        self, connection: asyncpg.Connection[Any], assignments: Mapping[int, Assignment]
    ) -> Mapping[str, ZoneSet]:
        requirements = (r for assignment in assignments.values() for r in assignment.plan.requirements)
        return await self._shelf.sets_of(connection, requirements)

    async def _resume(self, connection: asyncpg.Connection[Any], seats: Mapping[int, Seat], judged_ms: int) -> None:
        checkpoints = await load_checkpoints(connection, list(seats))
        silences = await load_silences(connection, list(seats))
        resumable = []
        for number, seat in seats.items():
            stored = checkpoints.get(number)
            if stored is not None and stored.plan_version == seat.plan_version and number in silences:
                resumable.append((seat, stored.checkpoint))
            else:
                seat.rebuild = "restart"
        kept_ms = await kept_to_ms(connection, [seat.assignment.activation_no for seat, _ in resumable])
        wanted = [(seat.assignment, checkpoint.fed_to[0]) for seat, checkpoint in resumable]
        facts = await load_facts(connection, wanted)
        for seat, checkpoint in resumable:
            number = seat.assignment.activation_no
            seat.kept_to_ms = kept_ms.get(number, ALWAYS_MS)
            seat.state = seat.judge.resumed(
                checkpoint, without_duplicates(list(facts[number])), silences[number], judged_ms
            )
        endings = {seat.assignment.activation_no: _first_since_ms(seat.state) for seat, _ in resumable}
        for number, found in (await load_shown(connection, endings)).items():
            seat = seats[number]
            seat.shown = {shown.finding_no: shown for shown in found if _can_change(shown.finding, seat.state)}

    async def change_orders(
        self, connection: asyncpg.Connection[Any], held_ms: int, wearer_nos: Sequence[int] | None
    ) -> set[int]:
        """Orders of some wearers (None: all) changed: their activations are judged again from their start.

        Returns the numbers of their devices.
        """
        fresh = await load_assignments(connection, held_ms, wearer_nos)
        sets = await self._sets_of(connection, fresh)
        for number, assignment in fresh.items():
            seat = Seat(assignment, sets)
            seat.judge.with_outages(self._outages or assignment.plan.outages)
            seat.rebuild = "orders"
            self._seats[number] = seat
            self._push(seat)
        self._index_devices()
        return {assignment.device_no for assignment in fresh.values()}

    def know_outages(self, outages: Sequence[Interval]) -> None:
        """All of our outages, sorted and apart."""
        self._outages = tuple(outages)
        for seat in self._seats.values():
            seat.judge.with_outages(self._outages)

    def _index_devices(self) -> None:
        by_device: dict[int, list[Seat]] = defaultdict(list)
        for seat in self._seats.values():
            by_device[seat.assignment.device_no].append(seat)
        for seats in by_device.values():
            seats.sort(key=_from_ms)
        self._by_device = by_device

    # ------------------------------------------------------------------------------------- finding seats

    def seat_at(self, device_no: int, own_ms: int) -> Seat | None:
        """The activation that covers a device at an instant."""
        seats = self._by_device.get(device_no, [])
        index = bisect_right(seats, own_ms, key=_from_ms) - 1
        if index < 0 or own_ms >= seats[index].assignment.plan.activation.to_ms:
            return None
        return seats[index]

    @property
    def seats(self) -> Mapping[int, Seat]:
        """By activation number."""
        return self._seats

    def is_activated(self, device_no: int, own_ms: int) -> bool:
        return self.seat_at(device_no, own_ms) is not None

    def due(self, now_ms: int, limit: int) -> list[Seat]:
        """At most `limit` seats whose findings can change by the clock alone. They stay due until they are judged."""
        found: dict[int, Seat] = {}
        while self._heap and self._heap[0][0] <= now_ms and len(found) < limit:
            due_ms, number = heapq.heappop(self._heap)
            seat = self._seats.get(number)
            if seat is not None and seat.due_ms == due_ms:
                found[number] = seat
        for number, seat in found.items():
            heapq.heappush(self._heap, (seat.due_ms, number))
        return list(found.values())

    def _push(self, seat: Seat) -> None:
        heapq.heappush(self._heap, (seat.due_ms, seat.assignment.activation_no))

    # ------------------------------------------------------------------------------------- judging

    async def judge(
        self,
        connection: asyncpg.Connection[Any],
        facts: Mapping[int, Sequence[Fact]],
        due: Iterable[Seat],
        now_ms: int,
    ) -> list[Ruling]:
        """Rulings on the seats that got facts (already stored) and on those that are due. Changes nothing here."""
        numbers = dict.fromkeys([*facts, *(seat.assignment.activation_no for seat in due)])
        ready = [n for n in numbers if self._seats[n].rebuild != "fault" or self._seats[n].due_ms <= now_ms]
        return [await self._judge(connection, self._seats[n], facts.get(n, ()), now_ms) for n in ready]

    async def _judge(
        self, connection: asyncpg.Connection[Any], seat: Seat, facts: Sequence[Fact], now_ms: int
    ) -> Ruling:
        """A judgement that fails is a fault of its own: the facts are stored all the same, and nothing is taken to
        be found or not found."""
        try:
            if seat.rebuild is None:
                judged = seat.judge.advance(seat.state, facts, now_ms)
                if isinstance(judged, Judged):
                    why = "more facts came" if facts else "time passed"
                    old = _in_parts(seat.shown.values(), judged.parts)
                    ruling = await self._ruling(connection, seat, judged, seat.shown, old, why)
                    return ruling._replace(kept_to_ms=seat.kept_to_ms)
                if not judged.by_receipt:
                    ruling_or_none = await self._judge_from_checkpoint(connection, seat, facts, judged.own_ms, now_ms)
                    if ruling_or_none is not None:
                        return ruling_or_none
            return await self._judge_from_start(connection, seat, seat.rebuild or LATE, now_ms)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database, not the judgement: the turn fails
        except Exception as error:
            where = f"{type(error).__name__} at {origin_of(error).line}"
            log.error("judgement failed", activation_no=seat.assignment.activation_no, where=where)
            return Ruling(seat, seat.state, seat.shown, [], fault=where)

    async def _judge_from_checkpoint(
        self, connection: asyncpg.Connection[Any], seat: Seat, facts: Sequence[Fact], late_ms: int, now_ms: int
    ) -> Ruling | None:
        """Judge the window of a late fact again, from the newest checkpoint before it; None if there is none that will do.
        The cost follows the window: checkpoints are kept at doubling ages."""
        number = seat.assignment.activation_no
        stored = await checkpoint_before(connection, number, late_ms)
        if stored is None or stored.plan_version != seat.plan_version:
            return None
        checkpoint = stored.checkpoint
        to_take = [*seat.state.pending, *facts]
        fresh = {fact.fact_id for fact in to_take}
        known = (await load_facts(connection, [(seat.assignment, checkpoint.fed_to[0])]))[number]
        before = without_duplicates([fact for fact in known if fact.fact_id not in fresh])
        state = seat.judge.resumed(checkpoint, before, seat.state.silence, FOREVER_MS)
        judged = seat.judge.advance(state, to_take, now_ms)
        if isinstance(judged, Late):
            return None
        shown = {s.finding_no: s for s in (await load_shown(connection, {number: _first_since_ms(state)}))[number]}
        old = _in_parts(shown.values(), judged.parts)
        ruling = await self._ruling(connection, seat, judged, shown, old, _WHY[LATE])
        await forget_checkpoints_from(connection, number, late_ms)
        kept_to = await self._keep_on_the_way(connection, seat, checkpoint, without_duplicates(list(known)), now_ms)
        return ruling._replace(cause=LATE, kept_to_ms=kept_to)

    async def _judge_from_start(
        self, connection: asyncpg.Connection[Any], seat: Seat, cause: str, now_ms: int
    ) -> Ruling:
        number = seat.assignment.activation_no
        facts = (await load_facts(connection, [(seat.assignment, ALWAYS_MS)]))[number]
        judged = seat.judge.advance(seat.judge.initial(), without_duplicates(list(facts)), now_ms)
        if isinstance(judged, Late):
            raise AssertionError("nothing is late for a state that has seen nothing")
        shown = {s.finding_no: s for s in (await load_shown(connection, {number: None}))[number]}
        ruling = await self._ruling(connection, seat, judged, shown, list(shown.values()), _WHY[cause])
        await forget_checkpoints(connection, [number])
        base = seat.judge.initial().base
        kept_to = await self._keep_on_the_way(connection, seat, base, without_duplicates(list(facts)), now_ms)
        return ruling._replace(cause="late from the start" if cause == LATE else cause, kept_to_ms=kept_to)

    async def _keep_on_the_way(
        self, connection: asyncpg.Connection[Any], seat: Seat, base: Checkpoint, facts: Sequence[Fact], now_ms: int
    ) -> int:
        """Keep checkpoints at doubling ages, so that the next late fact has one to be judged from. Up to which instant."""
        last_ms = max((fact.own_ms for fact in facts if fact.own_ms <= now_ms), default=ALWAYS_MS)
        first_ms = min((fact.own_ms for fact in facts), default=ALWAYS_MS)
        ages_ms = takewhile(lambda age_ms: last_ms - age_ms > first_ms, (KEEP_EVERY_MS << k for k in count()))
        cuts_ms = sorted(last_ms - age_ms for age_ms in ages_ms)
        found = seat.judge.checkpoints(base, facts, cuts_ms, now_ms)
        number = seat.assignment.activation_no
        await keep_checkpoints(connection, [(number, seat.plan_version, checkpoint) for checkpoint in found])
        return found[-1].fed_to[0] if found else base.fed_to[0]

    async def _ruling(
        self,
        connection: asyncpg.Connection[Any],
        seat: Seat,
        judged: Judged,
        shown: Mapping[int, Shown],
        old: Sequence[Shown],
        why: str,
    ) -> Ruling:
        """`old`: of the shown findings those that the judgement speaks of."""
        changes = amendments(
            [(s, s.finding) for s in old], [finding for part in judged.parts for finding in part.findings]
        )
        numbers = await self._finding_nos.take(connection, len(changes.new)) if changes.new else []
        after = dict(shown)
        records = []
        for number, finding in zip(numbers, changes.new, strict=True):
            after[number] = Shown(number, 1, finding)
            records.append(self._record(seat, after[number], "new", why))
        for was, finding in changes.amended:
            after[was.finding_no] = Shown(was.finding_no, was.version + 1, finding)
            records.append(self._record(seat, after[was.finding_no], "amended", why))
        for was in changes.withdrawn:
            del after[was.finding_no]
            records.append(self._record(seat, Shown(was.finding_no, was.version + 1, was.finding), "withdrawn", why))
        after = {number: s for number, s in after.items() if _can_change(s.finding, judged.state)}
        return Ruling(seat, judged.state, after, records)

    def _record(self, seat: Seat, shown: Shown, change: str, why: str) -> Recorded:
        under = seat.versions(shown.finding.entry_id)
        number = seat.assignment.activation_no
        return Recorded(number, shown.finding_no, shown.version, change, why, shown.finding, under)

    # ------------------------------------------------------------------------------------- after the commit

    def adopt(self, rulings: Iterable[Ruling], now_ms: int) -> None:
        """The rulings are committed: memory follows."""
        for ruling in rulings:
            seat = ruling.seat
            if ruling.fault is not None:
                seat.rebuild = "fault"
                seat.due_ms = now_ms + RETRY_MS
            else:
                # Before the state: whether a checkpoint is kept goes by the one that was there.
                seat.kept_to_ms = ruling.state.base.fed_to[0] if ruling.keeps_checkpoint else ruling.kept_to_ms
                seat.state, seat.shown, seat.rebuild = ruling.state, ruling.shown, None
                seat.due_ms = ruling.state.next_due_ms
            if seat.due_ms < FOREVER_MS:
                self._push(seat)


_WHY = {
    "late": "a late fact was judged at its own time",
    "orders": "orders were entered or changed",
    "restart": "judged again after a restart",
    "fault": "judged again after a failure",
}


def _from_ms(seat: Seat) -> int:
    return seat.assignment.plan.activation.from_ms


def _first_since_ms(state: State) -> int | None:
    """Before this instant every finding of the activation is final; None: none is known to be."""
    since_ms = min(_since_ms(state, scope) for scope in (SILENCE, DEVICE, *state.base.entries))
    return None if since_ms <= ALWAYS_MS else since_ms


def _in_parts(shown: Iterable[Shown], parts: Iterable[Part]) -> list[Shown]:
    """The shown findings that the parts speak of."""
    since_ms = {part.scope: part.since_ms for part in parts}
    return [
        s
        for s in shown
        if (since := since_ms.get(scope_of(s.finding))) is not None
        and (s.finding.end_ms is None or s.finding.end_ms > since)
    ]
