"""Ticks of scripted steps: who did which step of an alert when; appended, and undone by another row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.casework import TIMED, NoAlert, UnfitAction
from alerts.life import Move
from alerts.locks import part_of_alert, take_part
from alerts.protocols import StepAction, Tick, states_of
from alerts.store import note_changes
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from alerts.protocols import Protocol
    from alerts.store import Connection

TICKED = "noted"
"""What feeds are told: programs that follow know it."""
MEETS = StepAction.CALL
"""A step that is what a deadline asks for: ticked, it is met. That an authority was told takes its log number."""
# What still says so when a tick is taken back: a call that was logged.
STILL_CALLED = """
UPDATE alerts a SET contacted_at = (
    SELECT min(c.done_at) FROM alert_actions c WHERE c.alert_no = a.alert_no AND c.action = 'called' AND c.done_at >= a.counts_from)
WHERE a.alert_no = $1
"""
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
    part = await part_of_alert(connection, alert_no)
    if part is None:
        raise NoAlert(f"there is no alert {alert_no}")
    await take_part(connection, part)
    stands = states_of(protocol, await ticks_of(connection, alert_no), 0)[step_no - 1]
    if (stands.tick is not None) == done:
        return False
    await connection.execute(
        ADD, alert_no, protocol.protocol_no, step_no, stands.step.text, done, datetime_of(now_ms), who
    )
    if stands.step.action is MEETS and done:
        await connection.execute(TIMED[Move.CALL], alert_no, datetime_of(now_ms))
    elif stands.step.action is MEETS and not _is_done_elsewhere(protocol, await ticks_of(connection, alert_no)):
        await connection.execute(STILL_CALLED, alert_no)
    await note_changes(connection, [(alert_no, TICKED)], now_ms)
    return True


def _is_done_elsewhere(protocol: Protocol, ticks: list[Tick]) -> bool:
    """Whether another step that meets the deadline stands."""
    return any(state.tick is not None and state.step.action is MEETS for state in states_of(protocol, ticks, 0))
