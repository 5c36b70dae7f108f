"""From findings to alerts: which become one, which wait, which change one that is there. In the turn's own transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alerts.due import DueInTurn
from alerts.grading import AlertGrade, alerts_from_ms, grade_of
from alerts.incidents import CountActive, SilenceChange, note_silences
from alerts.ledger import CurfewChange, Order, keep_ledger
from alerts.locks import take_networks, take_own
from alerts.store import (
    NewOccurrence,
    OwnShards,
    TakeNumbers,
    add_occurrences,
    alerts_of_findings,
    drop_timers,
    due_timers,
    note_changes,
    set_timers,
    worsen,
)
from geofence import Kind
from geofence.judgement import Finding

if TYPE_CHECKING:
    from alerts.store import Connection

MAX_TIMERS = 1_000
RECHECK_MS = 60_000
"""A message that waits for a silent activation to speak again is looked at so often."""


# ---------------------------------------------------------------------------------------------- one finding, without SQL


class Step(StrEnum):
    RAISE = "raise"
    WAIT = "wait"
    NONE = "none"


class Decision(msgspec.Struct, frozen=True):
    """`due_ms`: when to look again, for WAIT."""

    step: Step
    due_ms: int = 0


def decide(finding: Finding, grade: AlertGrade, *, is_silent: bool, now_ms: int) -> Decision:
    """What to do about a finding that is no occurrence of an alert yet. `is_silent`: NO_COMMUNICATION of the same
    activation lasts; then nobody is told that presence is not known, because they are told why."""
    due_ms = alerts_from_ms(finding, grade)
    if due_ms is None:
        return Decision(Step.NONE)
    if due_ms > now_ms:
        return Decision(Step.WAIT, due_ms)
    if finding.kind is Kind.UNVERIFIED and is_silent:
        return Decision(Step.WAIT, now_ms + RECHECK_MS)
    return Decision(Step.RAISE)


# ---------------------------------------------------------------------------------------------- all findings of a turn


class FindingChange(StrEnum):
    """What the turn did to a finding."""

    NEW = "new"
    AMENDED = "amended"
    WITHDRAWN = "withdrawn"
    NONE = "none"
    """Nothing: only its time to become an alert has come."""


class RaisedFinding(NamedTuple):
    """A finding that may be an alert, as its newest version says. `network`: of its activation. `why`: what the version says of
    its reason. `is_graver`: it is serious for what stood round it (`grade_of`). `is_silent`: NO_COMMUNICATION of its activation
    lasts."""

    finding_no: int
    wearer_no: int
    activation_no: int
    network: str | None
    finding: Finding
    change: FindingChange
    why: str
    is_graver: bool
    is_silent: bool

    @property
    def is_withdrawn(self) -> bool:
        return self.change is FindingChange.WITHDRAWN

    @property
    def grade(self) -> AlertGrade:
        return grade_of(self.finding, is_graver=self.is_graver)


class FoundFindings(NamedTuple):
    """Of some findings: those that stand, with no change, and the numbers of those that somebody else judges. The others are
    withdrawn, or of activations that nobody judges."""

    standing: list[RaisedFinding]
    elsewhere: frozenset[int] = frozenset()


FindByNumber = Callable[[Sequence[int]], Awaitable[FoundFindings]]


class Raised(NamedTuple):
    """What a turn did to alerts. `changed`: how many changes readers of the feed are told of."""

    opened: int
    changed: int


class Steps(NamedTuple):
    """What is to be done about findings that are no occurrences yet. `waiting`: which, and until when; `settled`: which wait no
    longer; a new one never did."""

    occurrences: list[NewOccurrence]
    waiting: list[tuple[int, int]]
    settled: list[int]


class Weighed(NamedTuple):
    """Findings, and what is to be done about them (None: some may be occurrences already). Of curfews, what the ledger of accumulated
    violations has to know: `curfews`, and orders of which a violation has begun that lasts (`begun`)."""

    findings: list[RaisedFinding]
    steps: Steps | None
    curfews: list[CurfewChange]
    begun: list[Order]


class Raising:
    """What the findings of one turn raise, in the turn's transaction: some findings at a time (`take`), then once what looks at all
    of them (`finish`). `find`: findings that are not the turn's; `own`: whose timers are looked at, None: everybody's; `can_copy`:
    very many alerts may go by COPY."""

    def __init__(
        self,
        connection: Connection,
        find: FindByNumber,
        take_numbers: TakeNumbers,
        now_ms: int,
        own: OwnShards | None,
        *,
        can_copy: bool,
    ) -> None:
        self._can_copy = can_copy
        self._connection = connection
        self._find = find
        self._take_numbers = take_numbers
        self._now_ms = now_ms
        self._own = own
        self._taken: list[RaisedFinding] = []
        self._curfews: list[CurfewChange] = []
        self._begun: list[Order] = []
        self._raised = Raised(0, 0)
        self._has_networks = False

    def weighed(self, findings: list[RaisedFinding]) -> Weighed:
        """What can be known of findings before the database is asked."""
        are_new = all(f.change is FindingChange.NEW for f in findings)
        steps = _steps(findings, self._now_ms) if are_new else None
        return Weighed(findings, steps, *_curfews(findings))

    async def take(self, weighed: Sequence[Weighed]) -> None:
        """Findings that the turn changed: raise what is to be raised now, wait for what is not old enough, and tell feeds of what
        changed. Each finding once in a turn."""
        whole = _together(weighed)
        if not whole.findings:
            return
        if not self._taken:
            await take_own(self._connection, self._own)
        await self._take_networks_for(whole.findings)
        self._taken += whole.findings
        self._curfews += whole.curfews
        self._begun += whole.begun
        self._add(await self._look_at(whole))

    async def finish(self, count_active: CountActive, due: DueInTurn) -> Raised:
        """When all were taken: the ledger, findings whose time has come, and silences that are one incident. What the turn raised."""
        connection, taken, now_ms = self._connection, self._taken, self._now_ms
        if not taken and not due.timers and not due.orders:
            return self._raised
        await take_own(connection, self._own)
        waited: list[RaisedFinding] = []
        if due.timers:
            waited = await _due(connection, self._find, {f.finding_no for f in taken}, self._own, now_ms)
        await self._take_networks_for(waited)
        counted = await keep_ledger(connection, self._curfews, self._begun, self._take_numbers, now_ms, self._own)
        self._add(Raised(counted, counted))
        if waited:
            self._add(await self._look_at(self.weighed(waited)))
        silences = _silences([*taken, *waited])
        self._add(Raised(0, await note_silences(connection, silences, count_active, self._take_numbers, now_ms)))
        return self._raised

    async def _take_networks_for(self, findings: Sequence[RaisedFinding]) -> None:
        """Before an alert of a silence is changed. Alerts of portions before have been, and who has this lock waits for none of them:
        they are no silences, and are this worker's."""
        if not self._has_networks and any(f.finding.kind is Kind.NO_COMMUNICATION for f in findings):
            await take_networks(self._connection)
            self._has_networks = True

    def _add(self, raised: Raised) -> None:
        self._raised = Raised(self._raised.opened + raised.opened, self._raised.changed + raised.changed)

    async def _look_at(self, weighed: Weighed) -> Raised:
        connection, now_ms, findings = self._connection, self._now_ms, weighed.findings
        if weighed.steps is not None:
            return await self._raise(weighed.steps)
        alert_of = await alerts_of_findings(connection, [f.finding_no for f in findings])
        known = [f for f in findings if f.finding_no in alert_of]
        changed = [f for f in known if f.change is not FindingChange.NONE]
        changes = [(alert_of[f.finding_no], "withdrawn" if f.is_withdrawn else "amended") for f in changed]
        standing = [(alert_of[f.finding_no], f.grade) for f in known if not f.is_withdrawn]
        if standing:
            told = {alert_no for alert_no, _ in changes}
            changes += [
                (number, "amended") for number in await worsen(connection, standing, now_ms) if number not in told
            ]
        await note_changes(connection, changes, now_ms)
        steps = _steps([f for f in findings if f.finding_no not in alert_of], now_ms)
        raised = await self._raise(steps)
        return Raised(raised.opened, raised.changed + len(changes))

    async def _raise(self, steps: Steps) -> Raised:
        connection, occurrences = self._connection, steps.occurrences
        await set_timers(connection, steps.waiting)
        await drop_timers(connection, steps.settled)
        if not occurrences:
            return Raised(0, 0)
        numbers = await self._take_numbers(connection, len(occurrences))
        opened = await add_occurrences(connection, occurrences, numbers, self._now_ms, copies=self._can_copy)
        return Raised(opened, len(occurrences))


def _together(weighed: Sequence[Weighed]) -> Weighed:
    if len(weighed) == 1:
        return weighed[0]
    steps = [some.steps for some in weighed if some.steps is not None]
    whole = None
    if len(steps) == len(weighed):
        whole = Steps(
            [occurrence for one in steps for occurrence in one.occurrences],
            [wait for one in steps for wait in one.waiting],
            [finding_no for one in steps for finding_no in one.settled],
        )
    return Weighed(
        [f for some in weighed for f in some.findings],
        whole,
        [change for some in weighed for change in some.curfews],
        [order for some in weighed for order in some.begun],
    )


def _curfews(findings: Iterable[RaisedFinding]) -> tuple[list[CurfewChange], list[Order]]:
    """What the ledger has to know: changes, and orders of which a violation has begun that lasts."""
    changes, begun = [], []
    for f in findings:
        if f.finding.kind is not Kind.CURFEW:
            continue
        requirement_id = f.finding.requirement_id or ""
        if f.change is FindingChange.NEW and f.finding.end_ms is None:
            begun.append((f.wearer_no, requirement_id))
        else:
            found = None if f.is_withdrawn else f.finding
            changes.append(CurfewChange(f.finding_no, f.wearer_no, requirement_id, found, f"{f.change}: {f.why}"))
    return changes, begun


def _silences(findings: Iterable[RaisedFinding]) -> list[SilenceChange]:
    """What a platform incident may be made of."""
    return [
        SilenceChange(
            f.finding_no,
            f.activation_no,
            f.network,
            None if f.is_withdrawn else f.finding.begin_ms,
            f.change is FindingChange.NEW,
        )
        for f in findings
        if f.finding.kind is Kind.NO_COMMUNICATION and f.network is not None
    ]


async def _due(
    connection: Connection, find: FindByNumber, seen: set[int], own: OwnShards | None, now_ms: int
) -> list[RaisedFinding]:
    """Findings whose time to become an alert has come."""
    numbers = [number for number in await due_timers(connection, now_ms, MAX_TIMERS, own) if number not in seen]
    if not numbers:
        return []
    found, elsewhere = await find(numbers)
    await drop_timers(connection, sorted(set(numbers) - elsewhere - {f.finding_no for f in found}))
    return found


def _steps(findings: Sequence[RaisedFinding], now_ms: int) -> Steps:
    """Of findings that are no occurrences yet: those whose time has come become one."""
    steps = Steps([], [], [])
    for f in findings:
        grade = f.grade
        decision = decide(f.finding, grade, is_silent=f.is_silent, now_ms=now_ms)
        step = Step.NONE if f.is_withdrawn else decision.step
        if step is Step.WAIT:
            steps.waiting.append((f.finding_no, decision.due_ms))
            continue
        if f.change is not FindingChange.NEW:
            steps.settled.append(f.finding_no)
        if step is Step.RAISE:
            steps.occurrences.append(NewOccurrence(f.finding_no, f.wearer_no, f.activation_no, f.finding, grade))
    return steps
