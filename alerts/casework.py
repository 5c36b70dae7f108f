"""What people do to an alert, by the table of `life`: appended, with who, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.grading import Severity
from alerts.life import (
    LONGEST_NOTE,
    LONGEST_SUSPENSION_MS,
    MOVES,
    OUTCOMES,
    REOPEN_AFTER_MS,
    AlertState,
    Move,
    MoveRule,
)
from alerts.locks import part_of_alert, take_own, take_part
from alerts.store import OwnShards, columns_of, note_changes, state_of
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection

ACTIONS = tuple(str(move) for move in MOVES)
EMTRACK = "emtrack"
"""Who does what the clock brings."""

LOCKED = """
SELECT alert_no, wearer_no, kind, requirement_id, closed_at, network, home_unit, state, owner, suspended_until,
       severity, alert_lasts(alert_no) AS lasts,
       EXISTS (SELECT FROM alert_occurrences o WHERE o.alert_no = alerts.alert_no) AS has_findings
FROM alerts WHERE alert_no = $1 FOR UPDATE
"""
LAST_MOVE = """
SELECT done_at, done_by, action FROM alert_actions
WHERE alert_no = $1 AND action = ANY($2::text[]) ORDER BY action_no DESC LIMIT 1
"""
ACT = """
INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome, note, until_at)
SELECT $1, coalesce(max(action_no), 0) + 1, $2, $3, $4, $5, $6, $7 FROM alert_actions WHERE alert_no = $1
"""
SET_STATE = "UPDATE alerts SET state = $2, owner = $3 WHERE alert_no = $1"
CLOSE = "UPDATE alerts SET closed_at = $2, reopen_at = $3, suspended_until = NULL WHERE alert_no = $1"
OPEN_AGAIN = """
UPDATE alerts SET closed_at = NULL, reopen_at = NULL, state = 'new', owner = NULL, escalated_at = NULL, counts_from = $2,
    contacted_at = NULL, authority_told_at = NULL
WHERE alert_no = $1
"""
ESCALATE = "UPDATE alerts SET escalated_at = $2 WHERE alert_no = $1"
CALL = "UPDATE alerts SET contacted_at = coalesce(contacted_at, $2) WHERE alert_no = $1"
TELL_AUTHORITY = "UPDATE alerts SET authority_told_at = coalesce(authority_told_at, $2) WHERE alert_no = $1"
TIMED = {Move.CALL: CALL, Move.TELL_AUTHORITY: TELL_AUTHORITY, Move.ESCALATE: ESCALATE}
"""Moves of which the alert keeps the instant."""
SUSPEND = "UPDATE alerts SET suspended_until = $2 WHERE alert_no = $1"
# Another alert of the same wearer, kind and requirement, of the same network or home unit, that is open.
OPEN_TWIN = """
SELECT alert_no FROM alerts WHERE closed_at IS NULL AND alert_no <> $1 AND (
    $2::bigint IS NOT NULL AND wearer_no = $2 AND kind = $3 AND requirement_id IS NOT DISTINCT FROM $4
    OR $5::text IS NOT NULL AND network = $5 OR $6::text IS NOT NULL AND home_unit = $6) LIMIT 1
"""
# With an incident the alerts that are grouped under it and are over are closed too; those that last come back to the queue.
CLOSE_WHAT_IS_OVER = """
WITH over AS (
    SELECT a.alert_no FROM alerts a
    WHERE a.incident_no = $1 AND a.closed_at IS NULL AND NOT EXISTS (
        SELECT FROM alert_occurrences o
        CROSS JOIN LATERAL newest_version(o.finding_no) v
        WHERE o.alert_no = a.alert_no AND v.change <> 'withdrawn' AND v.end_at IS NULL)
    FOR UPDATE OF a),
acted AS (
    INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome, note)
    SELECT alert_no, 1 + (SELECT count(*) FROM alert_actions x WHERE x.alert_no = over.alert_no), $2, $3, 'closed', $4, $5
    FROM over)
UPDATE alerts SET closed_at = $2 WHERE alert_no IN (SELECT alert_no FROM over)
"""
LOOK_AT_MEMBERS = "UPDATE alerts SET look_at = '-infinity' WHERE incident_no = $1 AND closed_at IS NULL"
DUE_AGAIN = """
SELECT alert_no FROM alerts WHERE reopen_at <= $1 AND wearer_no % $2 = ANY ($3::bigint[])
ORDER BY reopen_at, alert_no LIMIT 1000 FOR UPDATE
"""
FORGET_AGAIN = "UPDATE alerts SET reopen_at = NULL WHERE alert_no = $1"


class UnfitAction(ValueError):
    """An action that cannot be done as it was asked for. The message says what to change."""


class StillLasts(UnfitAction):
    """Closing what goes on takes a confirmation."""


class NoAlert(LookupError):
    """There is no such alert."""


class Overtaken(Exception):
    """Somebody did it, or closed the alert, before. `done_by`, `done_ms`, `action`: who, when, what. `state`: where it stands now."""

    def __init__(self, done_by: str, done_ms: int, action: str, state: AlertState) -> None:
        super().__init__(f"{done_by} {_DONE.get(action, action)} this alert before you")
        self.done_by = done_by
        self.done_ms = done_ms
        self.action = action
        self.state = state


_DONE: dict[str, str] = {
    Move.ACKNOWLEDGE: "acknowledged",
    Move.TAKE_OVER: "took over",
    Move.START: "started work on",
    Move.CLOSE: "closed",
    Move.REOPEN: "re-opened",
}


async def act(
    connection: Connection,
    alert_no: int,
    *,
    who: str,
    action: str,
    outcome: str | None = None,
    note: str | None = None,
    until_ms: int | None = None,
    confirmed: bool = False,
    now_ms: int,
) -> None:
    """Do it, inside the caller's transaction. `until_ms`: of a suspension. `confirmed`: who closes it knows that it goes on. Raises
    UnfitAction, NoAlert or Overtaken; then nothing was done."""
    note = (note or "").strip() or None
    move = _move(action)
    _refuse_unfit(move, outcome, note, until_ms, now_ms)
    part = await part_of_alert(connection, alert_no)
    if part is None:
        raise NoAlert(f"there is no alert {alert_no}")
    await take_part(connection, part)
    row = await connection.fetchrow(LOCKED, alert_no)
    if row is None:
        raise NoAlert(f"there is no alert {alert_no}")
    await _refuse_misplaced(connection, row, move, who)
    if move is Move.CLOSE and row["lasts"] and not confirmed:
        raise StillLasts("it is still going on: confirm that you close it all the same")
    until = None if until_ms is None else datetime_of(until_ms)
    await connection.execute(ACT, alert_no, datetime_of(now_ms), who, str(move), outcome, note, until)
    await _carry_out(connection, row, move, who, outcome, until_ms, now_ms)
    await note_changes(connection, [(alert_no, str(move))], now_ms)


def _move(action: str) -> Move:
    if action not in ACTIONS:
        raise UnfitAction(f"action is {action!r}; expected {', '.join(ACTIONS)}")
    return Move(action)


def _refuse_unfit(move: Move, outcome: str | None, note: str | None, until_ms: int | None, now_ms: int) -> None:
    if move is Move.CLOSE and outcome not in OUTCOMES:
        raise UnfitAction(f"select an outcome: {', '.join(OUTCOMES)}")
    if move is not Move.CLOSE and outcome is not None:
        raise UnfitAction(f"an outcome belongs to closing, not to {str(move)!r}; leave it out")
    if MOVES[move].needs_note and note is None:
        raise UnfitAction("enter a note")
    if note is not None and len(note) > LONGEST_NOTE:
        raise UnfitAction(f"a note has at most {LONGEST_NOTE:,} characters; this one has {len(note):,}")
    if (move is Move.SUSPEND) != (until_ms is not None):
        raise UnfitAction(
            "say until when the alert is suspended" if until_ms is None else "only a suspension has an end"
        )
    if until_ms is not None and not now_ms < until_ms <= now_ms + LONGEST_SUSPENSION_MS:
        raise UnfitAction("an alert is suspended for at most 4 hours")


async def _refuse_misplaced(connection: Connection, row: asyncpg.Record, move: Move, who: str) -> None:
    """Raises Overtaken, or UnfitAction where nobody else was faster."""
    state, rule = state_of(row), MOVES[move]
    if state not in rule.sources:
        await _refuse_state(connection, row, move, state)
    if move is Move.TAKE_OVER and row["owner"] == who:
        raise UnfitAction("this alert is yours already")
    if move is Move.RESUME and row["suspended_until"] is None:
        raise UnfitAction("this alert is not suspended")
    twin = await _open_twin(connection, row) if move is Move.REOPEN else None
    if twin is not None:
        raise UnfitAction(f"alert {twin} is open for the same; add a note there")


async def _refuse_state(connection: Connection, row: asyncpg.Record, move: Move, state: AlertState) -> None:
    brought_here = [str(one) for one, rule in MOVES.items() if rule.target is state or rule.makes_owner]
    if state is AlertState.CLOSED:
        brought_here = [str(Move.CLOSE)]
    last = await connection.fetchrow(LAST_MOVE, row["alert_no"], brought_here)
    if last is None:
        raise UnfitAction(f"an alert that is {state} cannot be {move}")
    raise Overtaken(last["done_by"], instant_of(last["done_at"]), last["action"], state)


async def _open_twin(connection: Connection, row: asyncpg.Record) -> int | None:
    number: int | None = await connection.fetchval(
        OPEN_TWIN, row["alert_no"], row["wearer_no"], row["kind"], row["requirement_id"], row["network"], row["home_unit"]
    )  # fmt: skip
    return number


async def _carry_out(
    connection: Connection,
    row: asyncpg.Record,
    move: Move,
    who: str,
    outcome: str | None,
    until_ms: int | None,
    now_ms: int,
) -> None:
    alert_no, now = row["alert_no"], datetime_of(now_ms)
    if move is Move.CLOSE:
        is_watched = row["lasts"] and row["has_findings"]  # of equipment nothing new would be told
        again = datetime_of(now_ms + REOPEN_AFTER_MS[Severity(row["severity"])]) if is_watched else None
        await connection.execute(CLOSE, alert_no, now, again)
        if row["network"] is not None:
            await connection.execute(LOOK_AT_MEMBERS, alert_no)  # those that last are people's to be told of again
            with_it = f"closed with the platform incident {alert_no} of {row['network']}"
            await connection.execute(CLOSE_WHAT_IS_OVER, alert_no, now, who, outcome, with_it)
    elif move is Move.REOPEN:
        await connection.execute(OPEN_AGAIN, alert_no, now)
    elif move in TIMED:
        await connection.execute(TIMED[move], alert_no, now)
    elif move in (Move.SUSPEND, Move.RESUME):
        await connection.execute(SUSPEND, alert_no, None if until_ms is None else datetime_of(until_ms))
    else:
        await _set_state(connection, row, MOVES[move], who)


async def _set_state(connection: Connection, row: asyncpg.Record, rule: MoveRule, who: str) -> None:
    target = row["state"] if rule.target is None else str(rule.target)
    owner = who if rule.makes_owner else row["owner"]
    if (target, owner) != (row["state"], row["owner"]):
        await connection.execute(SET_STATE, row["alert_no"], target, owner)


async def reopen_what_lasts(connection: Connection, now_ms: int, own: OwnShards | None = None) -> int:
    """Alerts that were closed while what they are about went on, whose time has come: open again if it still does and no other alert
    stands for it. How many. `own`: of the wearers of these shards; None: of all. Inside the turn's transaction. They are of people:
    one of a network or a home unit is not looked at again."""
    due_by = datetime_of(now_ms), *columns_of(own)
    await take_own(connection, own)
    changed = []
    for due in await connection.fetch(DUE_AGAIN, *due_by):
        row = await connection.fetchrow(LOCKED, due["alert_no"])
        assert row is not None, "it was locked just now"
        if row["closed_at"] is None or not row["lasts"] or await _open_twin(connection, row) is not None:
            await connection.execute(FORGET_AGAIN, row["alert_no"])
            continue
        note = "It was closed while it went on, and it still does."
        await connection.execute(
            ACT, row["alert_no"], datetime_of(now_ms), EMTRACK, str(Move.REOPEN), None, note, None
        )
        await connection.execute(OPEN_AGAIN, row["alert_no"], datetime_of(now_ms))
        changed.append((row["alert_no"], str(Move.REOPEN)))
    await note_changes(connection, changed, now_ms)
    return len(changed)
