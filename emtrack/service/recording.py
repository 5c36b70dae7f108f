"""What the judgements of a turn leave in the record: findings, checkpoints, silences, faults."""

from __future__ import annotations

from collections.abc import Sequence

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
from emtrack.record.findings import MANY, NewVersion, add_versions, copy_versions, note_presence
from emtrack.service.activations import ActivationUpdate
from emtrack.service.alerting import AlertsOfTurn
from emtrack.service.stages import Stage, StageClock
from geofence import datetime_of
from geofence.judgement import Checkpoint

FAULT = "INSERT INTO judgement_faults (activation_no, noticed_at, error) VALUES ($1, $2, $3)"
# A checkpoint knows nothing of the facts of a judgement that failed: after a restart all are judged from the start.
FORGET_CHECKPOINT = "DELETE FROM checkpoints WHERE activation_no = $1"


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
        self._rows = FindingRows(now_ms) if can_copy else None
        self._weighed: list[Weighed] = []

    def add(self, updates: Sequence[ActivationUpdate]) -> None:
        """Some of them, with all that can be done for them before the database is asked."""
        self._updates += updates
        self._weighed.append(self._alerts.weighed(updates))
        if self._rows is not None:
            self._rows.add(_records_of(updates))

    async def write(self) -> None:
        """All that were added, in the turn's transaction."""
        self._stages.passed(Stage.JUDGE)
        await record_updates(self._connection, self._updates, self._now_ms, self._rows)
        await self._alerts.take(self._updates, self._weighed)
        self._stages.passed(Stage.RECORD)


def _records_of(updates: Sequence[ActivationUpdate]) -> list[NewVersion]:
    return [record for update in updates for record in update.records]


async def record_updates(
    connection: Connection, updates: Sequence[ActivationUpdate], now_ms: int, rows: FindingRows | None = None
) -> None:
    """Inside the caller's transaction. `rows`: of all their findings, if they may go by COPY."""
    records = _records_of(updates)
    if rows is None or len(records) < MANY:
        await add_versions(connection, records, now_ms)
    else:
        await copy_versions(connection, rows)
    await note_presence(connection, [note for update in updates for note in update.notes], now_ms)
    await store_checkpoints(connection, [_checkpoint(u) for u in updates if u.has_new_checkpoint])
    await keep_checkpoints(connection, [_checkpoint(u) for u in updates if u.keeps_checkpoint])
    await store_silences(connection, [(u.live.number, u.state.silence) for u in updates if u.has_new_silence])
    await forget_late(connection, [u.live.number for u in updates if u.cause is not None and u.fault is None])
    await note_late(connection, [_waits(update) for update in updates if update.put_off is not None or update.facts])
    for update in updates:
        if update.fault is not None:
            await _record_fault(connection, update.live.number, update.fault, now_ms)


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
