"""The findings that a turn changed, as the alerts library takes them: plain data, and where to look for more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from alerts import (
    EntryVerdict,
    FindingChange,
    FoundFindings,
    OwnShards,
    Raised,
    RaisedFinding,
    Raising,
    Weighed,
    due_in_turn,
    note_entries,
    note_unit_silences,
    reopen_what_lasts,
)
from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.record.findings import ShownFinding, load_findings
from emtrack.record.home_units import store_unit_calls
from emtrack.service.activations import ActivationUpdate, LiveActivation, LiveActivations
from emtrack.service.home_units import UnitLook
from geofence import Kind
from geofence.judgement import Finding, NewestVerdict, State


class Elsewhere(NamedTuple):
    """What other workers judge. `judges`: whether an activation, by its number, is one of theirs; `count_active`: how many of a
    network there are at an instant, in all shards; `own`: which shards are ours; None: all are here."""

    judges: Callable[[int], bool]
    count_active: Callable[[str, int], int] | None
    own: OwnShards | None = None


NOTHING_ELSEWHERE = Elsewhere(lambda _: False, None)


class AlertsOfTurn:
    """What the updates of a turn raise, in its transaction: some updates at a time, after their findings were recorded (`take`), and
    at the end what looks at all of them (`finish`)."""

    def __init__(
        self,
        connection: Connection,
        activations: LiveActivations,
        alert_nos: IdBlocks,
        now_ms: int,
        elsewhere: Elsewhere,
        *,
        can_copy: bool,
    ) -> None:
        self._connection = connection
        self._activations = activations
        self._alert_nos = alert_nos
        self._asked = _Asked(now_ms, activations.silence_near_m)
        self._elsewhere = elsewhere
        self._judged: dict[int, ActivationUpdate] = {}
        self._entries: list[EntryVerdict] = []
        self._raising = Raising(connection, self._found, alert_nos.take, now_ms, elsewhere.own, can_copy=can_copy)

    def weighed(self, updates: Sequence[ActivationUpdate]) -> Weighed:
        """What can be known of some updates before the database is asked."""
        self._entries += [
            _entry_verdict(update.live, newest)
            for update in updates
            if update.is_judged
            for newest in update.live.judge.unconfirmed_entries(update.state)
        ]
        return self._raising.weighed(list(_changed(updates, self._asked)))

    async def take(self, updates: Sequence[ActivationUpdate], weighed: Sequence[Weighed]) -> None:
        """Raise what some updates raise by themselves. `weighed`: of the same updates."""
        for update in updates:
            if update.is_judged:
                self._judged[update.live.number] = update
        await self._raising.take(weighed)

    async def finish(self) -> Raised:
        """When all were taken. What the turn raised."""
        count_active = self._elsewhere.count_active or self._activations.count_active
        connection, now_ms = self._connection, self._asked.now_ms
        judges, own = self._elsewhere.judges, self._elsewhere.own
        due = await due_in_turn(connection, now_ms, own)
        raised = await self._raising.finish(count_active, due)
        verdict_of = partial(_verdict_of_entry, self._activations, self._judged)
        opened, changed = await note_entries(
            connection,
            self._entries,
            verdict_of,
            self._alert_nos.take,
            now_ms,
            lambda number: not judges(number),
            due,
            own,
        )
        reopened = await reopen_what_lasts(connection, now_ms, own) if due.closed else 0
        return Raised(raised.opened + opened, raised.changed + changed + reopened)

    async def _found(self, finding_nos: Sequence[int]) -> FoundFindings:
        found, foreign = [], set()
        for number, (activation_no, finding) in (await load_findings(self._connection, finding_nos)).items():
            if self._elsewhere.judges(activation_no):
                foreign.add(number)
                continue
            live = self._activations.find(activation_no)
            if live is not None and finding is not None:
                standing = _standing(live, self._judged.get(activation_no))
                found.append(_raised(standing, number, finding, FindingChange.NONE, "", self._asked))
        return FoundFindings(found, frozenset(foreign))


async def raise_from_units(
    connection: Connection, look: UnitLook, alert_nos: IdBlocks, now_ms: int, elsewhere: Elsewhere
) -> Raised:
    """Keep when home units were heard, and raise or end the alerts of those that do not call in. Likewise."""
    await store_unit_calls(connection, look.called)
    noted = await note_unit_silences(connection, look.silent, look.ended, alert_nos.take, now_ms, elsewhere.own)
    return Raised(*noted)


def _entry_verdict(live: LiveActivation, newest: NewestVerdict) -> EntryVerdict:
    """What was said last of an exclusion zone."""
    requirement = newest.requirement
    return EntryVerdict(
        live.assignment.wearer_no, live.number, int(requirement.entry_id), requirement.requirement_id, *newest[1:],
        is_obliged=live.judge.obliged_at(newest.at_ms, requirement.requirement_id),
    )  # fmt: skip


def _verdict_of_entry(
    activations: LiveActivations, by_number: Mapping[int, ActivationUpdate], activation_no: int, entry_no: int
) -> EntryVerdict | None:
    live = activations.find(activation_no)
    if live is None:
        return None
    standing = _standing(live, by_number.get(activation_no))
    found = standing.live.judge.newest_verdicts(standing.state)
    return next(
        (_entry_verdict(standing.live, one) for one in found if one.requirement.entry_id == str(entry_no)), None
    )


class _Asked(NamedTuple):
    """When, and how near an exclusion zone a silence is graver."""

    now_ms: int
    near_m: float


class _Standing(NamedTuple):
    """An activation as it stands after the turn. `is_silent`: NO_COMMUNICATION lasts."""

    live: LiveActivation
    state: State
    is_silent: bool


def _standing(live: LiveActivation, update: ActivationUpdate | None) -> _Standing:
    """While it waits to be judged again, as it was before."""
    judged = (live.watched or live) if update is None else update.live
    now = judged if update is None else update
    return _Standing(judged, now.state, _is_silent(now.shown))


def _changed(updates: Sequence[ActivationUpdate], asked: _Asked) -> Iterator[RaisedFinding]:
    """The findings that the updates changed, each as its newest version says; and silences that go on, which can grow graver."""
    for update in updates:
        standing = _standing(update.live, update)
        told = {record.finding_no for record in update.records}
        for record in update.records:
            change = FindingChange(record.change)
            yield _raised(standing, record.finding_no, record.finding, change, record.why, asked)
        for number, shown in update.shown.items():
            if number not in told and _goes_on_silent(shown.finding):
                yield _raised(standing, number, shown.finding, FindingChange.NONE, "", asked)


def _goes_on_silent(finding: Finding) -> bool:
    return finding.kind is Kind.NO_COMMUNICATION and finding.end_ms is None


def _raised(
    standing: _Standing, finding_no: int, finding: Finding, change: FindingChange, why: str, asked: _Asked
) -> RaisedFinding:
    live = standing.live
    assignment = live.assignment
    return RaisedFinding(
        finding_no, assignment.wearer_no, live.number, assignment.plan.activation.network, finding, change, why,
        is_graver=_is_graver(standing, finding, asked),
        is_silent=finding.kind is Kind.UNVERIFIED and standing.is_silent,
    )  # fmt: skip


def _is_graver(standing: _Standing, finding: Finding, asked: _Asked) -> bool:
    """Asked only where the grade goes by it: of a home unit at its begin, of a silence also as long as it lasts."""
    judge = standing.live.judge
    if finding.kind is Kind.HMU:
        return judge.obliged_at(finding.begin_ms, finding.requirement_id)
    if finding.kind is not Kind.NO_COMMUNICATION:
        return False
    instants = {finding.begin_ms, asked.now_ms if finding.end_ms is None else finding.begin_ms}
    return any(
        judge.obliged_at(at_ms) or judge.is_near_exclusion(standing.state, at_ms, asked.near_m) for at_ms in instants
    )


def _is_silent(shown: Mapping[int, ShownFinding]) -> bool:
    return any(s.finding.kind is Kind.NO_COMMUNICATION and s.finding.end_ms is None for s in shown.values())
