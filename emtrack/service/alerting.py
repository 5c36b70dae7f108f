"""Findings of a turn become alerts, in the turn's own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from alerts.casework import ALERTS_LOCK, LOCK
from alerts.grading import OBLIGED_IS_GRAVER, Grade, grade_of
from alerts.raising import Step, decide
from alerts.store import (
    ALERTS_OF_FINDINGS,
    DROP_TIMERS,
    DUE_TIMERS,
    SET_TIMERS,
    Occurrence,
    note_changes,
    raise_alerts,
    worsen,
)
from emtrack.record.findings import Shown, load_findings
from emtrack.record.progress import Ids
from emtrack.service.activations import Ruling, Seat
from emtrack.service.atv import Change as Curfew
from emtrack.service.atv import keep_ledger
from emtrack.service.incidents import Change, note_silences
from geofence.judgement.findings import Finding
from geofence.words import Kind, datetime_of

MAX_TIMERS = 1_000


class Raised(NamedTuple):
    """What a turn did to alerts. `changed`: how many changes readers of the feed are told of."""

    opened: int
    changed: int


class _Item(NamedTuple):
    """A finding that is looked at: as it stands, with its seat and whether it was withdrawn just now."""

    finding_no: int
    seat: Seat
    finding: Finding
    shown: Mapping[int, Shown]
    withdrawn: bool = False
    is_new: bool = False

    @property
    def grade(self) -> Grade:
        if self.finding.kind not in OBLIGED_IS_GRAVER:
            return grade_of(self.finding, obliged=False)
        unit = self.finding.requirement_id if self.finding.kind is Kind.HMU else None
        return grade_of(self.finding, obliged=self.seat.judge.obliged_at(self.finding.begin_ms, unit))

    @property
    def is_silent(self) -> bool:
        return any(s.finding.kind is Kind.NO_COMMUNICATION and s.finding.end_ms is None for s in self.shown.values())


def _items(rulings: Iterable[Ruling]) -> list[_Item]:
    """The findings that the rulings changed, each as its newest version says."""
    return [
        _Item(
            record.finding_no,
            ruling.seat,
            record.finding,
            ruling.shown,
            withdrawn=record.change == "withdrawn",
            is_new=record.change == "new",
        )
        for ruling in rulings
        for record in ruling.records
    ]


async def alert(
    connection: asyncpg.Connection[Any], rulings: Sequence[Ruling], seats: Mapping[int, Seat], ids: Ids, now_ms: int
) -> Raised:
    """Raise what is to be raised now, wait for what is not old enough, and tell feeds of what changed."""
    await connection.execute(LOCK, ALERTS_LOCK)
    counted = await keep_ledger(connection, _curfews(rulings), ids, now_ms)
    items = _items(rulings)
    ruled = {ruling.seat.assignment.activation_no: ruling.shown for ruling in rulings}
    items += await _due(connection, seats, ruled, {item.finding_no for item in items}, now_ms)
    if not items:
        return Raised(counted, counted)
    rows = await connection.fetch(ALERTS_OF_FINDINGS, [item.finding_no for item in items])
    alert_of = {row["finding_no"]: row["alert_no"] for row in rows}
    known = [item for item in items if item.finding_no in alert_of]
    changes = [(alert_of[item.finding_no], "withdrawn" if item.withdrawn else "amended") for item in known]
    await note_changes(connection, changes, now_ms)
    standing = [(alert_of[item.finding_no], item.grade) for item in known if not item.withdrawn]
    if standing:
        await worsen(connection, standing)
    raised = await _decide(connection, [item for item in items if item.finding_no not in alert_of], ids, now_ms)
    grouped = await note_silences(connection, _silences(items), seats, ids, now_ms)
    return Raised(raised.opened + counted, raised.changed + len(changes) + grouped + counted)


def _curfews(rulings: Iterable[Ruling]) -> list[Curfew]:
    """What the ledger of accumulated violations has to know."""
    return [
        Curfew(
            record.finding_no,
            ruling.seat.assignment.wearer_no,
            record.finding.requirement_id or "",
            None if record.change == "withdrawn" else record.finding,
            f"{record.change}: {record.why}",
        )
        for ruling in rulings
        for record in ruling.records
        if record.finding.kind is Kind.CURFEW
    ]


def _silences(items: Iterable[_Item]) -> list[Change]:
    """The items that a platform incident may be made of."""
    return [
        Change(
            item.finding_no,
            item.seat.assignment.activation_no,
            network,
            None if item.withdrawn else item.finding.begin_ms,
            item.is_new,
        )
        for item in items
        if item.finding.kind is Kind.NO_COMMUNICATION
        and (network := item.seat.assignment.plan.activation.network) is not None
    ]


async def _due(
    connection: asyncpg.Connection[Any],
    seats: Mapping[int, Seat],
    ruled: Mapping[int, Mapping[int, Shown]],
    seen: set[int],
    now_ms: int,
) -> list[_Item]:
    """Findings whose time to become an alert has come."""
    rows = await connection.fetch(DUE_TIMERS, datetime_of(now_ms), MAX_TIMERS)
    numbers = [row["finding_no"] for row in rows if row["finding_no"] not in seen]
    if not numbers:
        return []
    found = []
    for number, (activation_no, finding) in (await load_findings(connection, numbers)).items():
        seat = seats.get(activation_no)
        if seat is not None and finding is not None:
            found.append(_Item(number, seat, finding, ruled.get(activation_no, seat.shown)))
    gone = sorted(set(numbers) - {item.finding_no for item in found})
    if gone:
        await connection.execute(DROP_TIMERS, gone)
    return found


async def _decide(connection: asyncpg.Connection[Any], items: Sequence[_Item], ids: Ids, now_ms: int) -> Raised:
    to_raise: list[Occurrence] = []
    waiting: list[tuple[int, int]] = []
    done: list[int] = []
    for item in items:
        grade = item.grade
        decision = decide(item.finding, grade, is_silent=item.is_silent, now_ms=now_ms)
        step = Step.NONE if item.withdrawn else decision.step
        if step is Step.WAIT:
            waiting.append((item.finding_no, decision.due_ms))
            continue
        done.append(item.finding_no)
        if step is Step.RAISE:
            assignment = item.seat.assignment
            to_raise.append(
                Occurrence(item.finding_no, assignment.wearer_no, assignment.activation_no, item.finding, grade)
            )
    if waiting:
        due_at = [datetime_of(due_ms) for _, due_ms in waiting]
        await connection.execute(SET_TIMERS, [number for number, _ in waiting], due_at)
    if done:
        await connection.execute(DROP_TIMERS, done)
    if not to_raise:
        return Raised(0, 0)
    opened = await raise_alerts(connection, to_raise, await ids.take(connection, len(to_raise)), now_ms)
    return Raised(opened, len(to_raise))
