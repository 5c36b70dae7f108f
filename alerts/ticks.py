"""Ticks of scripted steps: who did which step of an alert when; appended, and undone by another row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.casework import TIMED, NoAlert, UnfitAction
from alerts.life import Move
from alerts.locks import AlertLock, take_lock
from alerts.protocols import StepAction, Tick, states_of
from alerts.store import note_changes
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from alerts.protocols import Protocol
    from alerts.store import Connection

TICKED = "noted"
"""What feeds are told: programs that follow know it."""
MEETS = {StepAction.CALL: Move.CALL, StepAction.NOTIFY: Move.TELL_AUTHORITY}
"""Steps that are what a deadline asks for: ticked, it is met."""
THERE = "SELECT alert_no FROM alerts WHERE alert_no = $1"
TICKS = """
SELECT step_no, step_text, is_done, ticked_at, ticked_by, protocol_no FROM step_ticks WHERE alert_no = $1 ORDER BY tick_no
"""
ADD = """
INSERT INTO step_ticks (alert_no, protocol_no, step_no, step_text, is_done, ticked_at, ticked_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def ticks_of(connection: Connection, alert_no: int) -> list[Tick]:
    """All of an alert, the oldest first."""
    return [_tick(row) for row in await connection.fetch(TICKS, alert_no)]


def _tick(row: asyncpg.Record) -> Tick:
    return Tick(
        row["step_no"],
        row["step_text"],
        row["is_done"],
        instant_of(row["ticked_at"]),
        row["ticked_by"],
        row["protocol_no"],
    )


async def tick(
    connection: Connection, alert_no: int, protocol: Protocol, step_no: int, *, done: bool, who: str, now_ms: int
) -> bool:
    """Whether anything changed: what a colleague ticked stays the colleague's. Inside the caller's transaction. Raises NoAlert,
    or UnfitAction for a step that the protocol has not."""
    if not 1 <= step_no <= len(protocol.steps):
        raise UnfitAction("the steps have changed meanwhile: look at them again")
    await take_lock(connection, AlertLock.ALERTS)
    if await connection.fetchval(THERE, alert_no) is None:
        raise NoAlert(f"there is no alert {alert_no}")
    stands = states_of(protocol, await ticks_of(connection, alert_no), 0)[step_no - 1]
    if (stands.tick is not None) == done:
        return False
    await connection.execute(
        ADD, alert_no, protocol.protocol_no, step_no, stands.step.text, done, datetime_of(now_ms), who
    )
    move = MEETS.get(stands.step.action) if done else None
    if move is not None:
        await connection.execute(TIMED[move], alert_no, datetime_of(now_ms))
    await note_changes(connection, [(alert_no, TICKED)], now_ms)
    return True
