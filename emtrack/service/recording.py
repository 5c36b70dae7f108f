"""What the judgements of a turn leave in the record: findings, checkpoints, silences, faults."""

from __future__ import annotations

from collections.abc import Sequence

from emtrack.db.connect import Connection
from emtrack.record.checkpoints import (
    forget_checkpoints,
    forget_late,
    keep_checkpoints,
    note_late,
    store_checkpoints,
    store_silences,
)
from emtrack.record.findings import add_versions, note_presence
from emtrack.service.activations import ActivationUpdate
from geofence import datetime_of
from geofence.judgement import Checkpoint

FAULT = "INSERT INTO judgement_faults (activation_no, noticed_at, error) VALUES ($1, $2, $3)"
# A checkpoint knows nothing of the facts of a judgement that failed: after a restart all are judged from the start.
FORGET_CHECKPOINT = "DELETE FROM checkpoints WHERE activation_no = $1"


async def record_updates(connection: Connection, updates: Sequence[ActivationUpdate], now_ms: int) -> None:
    """Inside the caller's transaction."""
    await add_versions(connection, [record for update in updates for record in update.records], now_ms)
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
