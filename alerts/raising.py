"""From findings to alerts: which become one, which wait, which change one that is there. In the turn's own transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alerts.due import DueInTurn
from alerts.grading import AlertGrade, alerts_from_ms, grade_of
from alerts.incidents import CountActive, SilenceChange, note_silences
from alerts.ledger import CurfewChange, keep_ledger
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


async def raise_alerts(
    connection: Connection,
    findings: Sequence[RaisedFinding],
    *,
    find: FindByNumber,
    count_active: CountActive,
    take_numbers: TakeNumbers,
    now_ms: int,
    due: DueInTurn,
    own: OwnShards | None = None,
) -> Raised:
    """Raise what is to be raised now, wait for what is not old enough, and tell feeds of what changed. `findings`: those that the
    turn changed; `own`: whose timers are looked at, None: everybody's."""
    if not findings and not due.timers and not due.orders:
        return Raised(0, 0)
    await take_own(connection, own)
    looked_at = list(findings)
    if due.timers:
        looked_at += await _due(connection, find, {f.finding_no for f in findings}, own, now_ms)
    if any(f.finding.kind is Kind.NO_COMMUNICATION for f in looked_at):
        await take_networks(connection)
    counted = await keep_ledger(connection, _curfews(findings), take_numbers, now_ms, own)
    if not looked_at:
        return Raised(counted, counted)
    alert_of = await alerts_of_findings(connection, [f.finding_no for f in looked_at])
    known = [f for f in looked_at if f.finding_no in alert_of]
    changed = [f for f in known if f.change is not FindingChange.NONE]
    changes = [(alert_of[f.finding_no], "withdrawn" if f.is_withdrawn else "amended") for f in changed]
    standing = [(alert_of[f.finding_no], f.grade) for f in known if not f.is_withdrawn]
    if standing:
        told = {alert_no for alert_no, _ in changes}
        changes += [
            (number, "amended") for number in await worsen(connection, standing, now_ms) if number not in told
        ]
    await note_changes(connection, changes, now_ms)
    fresh = [f for f in looked_at if f.finding_no not in alert_of]
    raised = await _raise(connection, fresh, take_numbers, now_ms)
    grouped = await note_silences(connection, _silences(looked_at), count_active, take_numbers, now_ms)
    return Raised(raised.opened + counted, raised.changed + len(changes) + grouped + counted)


def _curfews(findings: Iterable[RaisedFinding]) -> list[CurfewChange]:
    """What the ledger of accumulated violations has to know."""
    return [
        CurfewChange(
            f.finding_no,
            f.wearer_no,
            f.finding.requirement_id or "",
            None if f.is_withdrawn else f.finding,
            f"{f.change}: {f.why}",
        )
        for f in findings
        if f.finding.kind is Kind.CURFEW
    ]


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


async def _raise(
    connection: Connection, findings: Sequence[RaisedFinding], take_numbers: TakeNumbers, now_ms: int
) -> Raised:
    """Findings that are no occurrences yet: those whose time has come become one."""
    occurrences: list[NewOccurrence] = []
    waiting: list[tuple[int, int]] = []
    settled: list[int] = []
    for f in findings:
        grade = f.grade
        decision = decide(f.finding, grade, is_silent=f.is_silent, now_ms=now_ms)
        step = Step.NONE if f.is_withdrawn else decision.step
        if step is Step.WAIT:
            waiting.append((f.finding_no, decision.due_ms))
            continue
        settled.append(f.finding_no)
        if step is Step.RAISE:
            occurrences.append(NewOccurrence(f.finding_no, f.wearer_no, f.activation_no, f.finding, grade))
    await set_timers(connection, waiting)
    await drop_timers(connection, settled)
    if not occurrences:
        return Raised(0, 0)
    numbers = await take_numbers(connection, len(occurrences))
    return Raised(await add_occurrences(connection, occurrences, numbers, now_ms), len(occurrences))
