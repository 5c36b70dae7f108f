"""What the judgements of a turn leave in the record: findings, checkpoints, silences, faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alerts import Weighed
from emtrack.db.connect import Connection
from emtrack.record.checkpoints import (
    forget_checkpoints,
    forget_late,
    keep_checkpoints,
    note_late,
    store_checkpoints,
    store_silences,
)
from emtrack.record.finding_rows import FindingRows
from emtrack.record.findings import MANY, NewVersion, PresenceNote, add_versions, copy_versions, note_presence
from emtrack.service.activations import ActivationUpdate
from emtrack.service.alerting import AlertsOfTurn
from emtrack.service.stages import Stage, StageClock
from geofence import datetime_of
from geofence.judgement import Checkpoint, Silence

FAULT = "INSERT INTO judgement_faults (activation_no, noticed_at, error) VALUES ($1, $2, $3)"
UNREAD = """
INSERT INTO judgement_faults (activation_no, noticed_at, error)
SELECT activation_no, $3, u.error FROM unnest($1::bigint[], $2::text[]) AS u (wearer_no, error)
JOIN activation_versions v ON v.wearer_no = u.wearer_no AND upper_inf(v.recorded)
"""
# A checkpoint knows nothing of the facts of a judgement that failed: after a restart all are judged from the start.
FORGET_CHECKPOINT = "DELETE FROM checkpoints WHERE activation_no = $1"


class _Left:
    """What updates leave in the record, table by table, as they are added."""

    def __init__(self) -> None:
        self.records: list[NewVersion] = []
        self.notes: list[PresenceNote] = []
        self.checkpoints: list[tuple[int, str, Checkpoint]] = []
        self.kept: list[tuple[int, str, Checkpoint]] = []
        self.silences: list[tuple[int, Silence]] = []
        self.judged_late: list[int] = []
        self.waiting: list[tuple[int, int | None]] = []
        self.faults: list[tuple[int, str]] = []

    def add(self, updates: Sequence[ActivationUpdate]) -> None:
        for update in updates:
            self.records += update.records
            self.notes += update.notes
            if update.has_new_checkpoint:
                self.checkpoints.append(_checkpoint(update))
                if update.keeps_checkpoint:
                    self.kept.append(_checkpoint(update))
            if update.has_new_silence:
                self.silences.append((update.live.number, update.state.silence))
            if update.put_off is not None or update.facts:
                self.waiting.append(_waits(update))
            if update.fault is not None:
                self.faults.append((update.live.number, update.fault))
            elif update.cause is not None:
                self.judged_late.append(update.live.number)


class RecordedPart:
    """Updates of a turn that are recorded together: findings, checkpoints, and what they raise by themselves (`portions.Part`).
    `can_copy`: very many findings may go by COPY."""

    def __init__(
        self, connection: Connection, alerts: AlertsOfTurn, stages: StageClock, now_ms: int, can_copy: bool
    ) -> None:
        self._stages = stages
        self._connection = connection
        self._alerts = alerts
        self._now_ms = now_ms
        self._updates: list[ActivationUpdate] = []
        self._left = _Left()
        self._rows = FindingRows(now_ms) if can_copy else None
        self._weighed: list[Weighed] = []

    def add(self, updates: Sequence[ActivationUpdate]) -> None:
        """Some of them, with all that can be done for them before the database is asked."""
        known = len(self._left.records)
        self._updates += updates
        self._left.add(updates)
        self._weighed.append(self._alerts.weighed(updates))
        if self._rows is not None:
            self._rows.add(self._left.records[known:])

    async def write(self) -> None:
        """All that were added, in the turn's transaction."""
        self._stages.passed(Stage.JUDGE)
        await _record(self._connection, self._left, self._now_ms, self._rows)
        await self._alerts.take(self._updates, self._weighed)
        self._stages.passed(Stage.RECORD)


async def record_updates(connection: Connection, updates: Sequence[ActivationUpdate], now_ms: int) -> None:
    """Inside the caller's transaction, without what they raise."""
    left = _Left()
    left.add(updates)
    await _record(connection, left, now_ms, None)


async def record_unread(connection: Connection, unread: Mapping[int, str], now_ms: int) -> None:
    """Faults of all activations of people whose orders cannot be read."""
    await connection.execute(UNREAD, list(unread), list(unread.values()), datetime_of(now_ms))


async def _record(connection: Connection, left: _Left, now_ms: int, rows: FindingRows | None) -> None:
    """`rows`: of all findings, if they may go by COPY."""
    if rows is None or len(left.records) < MANY:
        await add_versions(connection, left.records, now_ms)
    else:
        await copy_versions(connection, rows)
    await note_presence(connection, left.notes, now_ms)
    await store_checkpoints(connection, left.checkpoints)
    await keep_checkpoints(connection, left.kept)
    await store_silences(connection, left.silences)
    await forget_late(connection, left.judged_late)
    await note_late(connection, left.waiting)
    for activation_no, fault in left.faults:
        await _record_fault(connection, activation_no, fault, now_ms)


def _waits(update: ActivationUpdate) -> tuple[int, int | None]:
    """From where an activation is to be judged after a restart: before the earliest of the facts that wait; None: from its start."""
    own_ms = [fact.own_ms for fact in update.facts]
    if update.put_off is None:
        return update.live.number, min(own_ms)
    if update.put_off.late_ms is None:
        return update.live.number, None
    return update.live.number, min([update.put_off.late_ms, *own_ms])


def _checkpoint(update: ActivationUpdate) -> tuple[int, str, Checkpoint]:
    return update.live.number, update.live.plan_version, update.state.base


async def _record_fault(connection: Connection, activation_no: int, fault: str, now_ms: int) -> None:
    await connection.execute(FAULT, activation_no, datetime_of(now_ms), fault)
    await connection.execute(FORGET_CHECKPOINT, activation_no)
    await forget_checkpoints(connection, [activation_no])
