"""Whether each alert stands where its actions left it. Actions are in the log; where an alert stands is a column that is changed in
place, so that it can be changed by whoever can write there.

Severity, code and incident follow from findings, not from actions, and are not looked at here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from alerts.life import MOVES, REOPEN_AFTER_MS, AlertState, Move

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection

# Alerts with their actions, the oldest first; not those of which retention took the actions.
STANDING = """
SELECT a.alert_no, a.state, a.owner, a.closed_at, a.escalated_at, a.suspended_until, a.reopen_at,
       array_agg(x.action ORDER BY x.action_no) AS actions, array_agg(x.done_by ORDER BY x.action_no) AS people,
       array_agg(x.done_at ORDER BY x.action_no) AS instants, array_agg(x.until_at ORDER BY x.action_no) AS ends
FROM alerts a LEFT JOIN alert_actions x USING (alert_no)
WHERE NOT EXISTS (SELECT FROM retention_removals r WHERE r.kind = 'alert_actions' AND a.alert_no = ANY(r.keys))
GROUP BY a.alert_no ORDER BY a.alert_no
"""


class Action(NamedTuple):
    """As it was appended. `until_at`: of a suspension."""

    what: str
    who: str
    at: datetime
    until_at: datetime | None = None


class Standing(NamedTuple):
    """Where an alert stands: the columns that actions change. `state`: that of an open one, kept while it is closed."""

    state: str = AlertState.NEW
    owner: str | None = None
    closed_at: datetime | None = None
    escalated_at: datetime | None = None
    suspended_until: datetime | None = None


class Said(NamedTuple):
    """What actions say. `is_suspension_over`: what is closed is suspended no more, unless it was closed with its incident."""

    standing: Standing = Standing()
    is_suspension_over: bool = True


class Misplaced(NamedTuple):
    """An alert that stands elsewhere than its actions say: which columns."""

    alert_no: int
    columns: tuple[str, ...]


def after(said: Said, action: Action) -> Said:
    """What is said with one more action."""
    standing = said.standing
    if action.what in (Move.SUSPEND, Move.RESUME):
        return Said(standing._replace(suspended_until=action.until_at), action.until_at is None)
    if action.what == Move.CLOSE:
        return Said(standing._replace(closed_at=action.at), True)
    return said._replace(standing=_moved(standing, action))


def _moved(standing: Standing, action: Action) -> Standing:
    if action.what == Move.UNACKNOWLEDGE:
        return standing._replace(state=AlertState.NEW, owner=None)
    if action.what == Move.REOPEN:
        return standing._replace(state=AlertState.NEW, owner=None, closed_at=None, escalated_at=None)
    if action.what == Move.ESCALATE:
        return standing._replace(escalated_at=action.at)
    rule = MOVES[Move(action.what)]
    owner = action.who if rule.makes_owner else standing.owner
    return standing._replace(state=rule.target or standing.state, owner=owner)


async def misplaced_alerts(connection: Connection) -> AsyncIterator[Misplaced]:
    """All of them. Inside a transaction."""
    async for row in connection.cursor(STANDING):
        if columns := _differing(row):
            yield Misplaced(row["alert_no"], columns)


def _differing(row: asyncpg.Record) -> tuple[str, ...]:
    said = Said()
    for action in _actions_of(row):
        said = after(said, action)
    wrong = [column for column in Standing._fields if row[column] != getattr(said.standing, column)]
    if row["suspended_until"] is None and said.is_suspension_over and "suspended_until" in wrong:
        wrong.remove("suspended_until")
    if not _may_reopen(row["reopen_at"], said.standing):
        wrong.append("reopen_at")
    return tuple(wrong)


def _actions_of(row: asyncpg.Record) -> list[Action]:
    columns = (row["actions"], row["people"], row["instants"], row["ends"])
    return [Action(*one) for one in zip(*columns, strict=True) if one[0] is not None]


def _may_reopen(reopen_at: datetime | None, said: Standing) -> bool:
    """It is looked at again so long after it was closed, by how grave it was."""
    if reopen_at is None:
        return True
    waits = {timedelta(milliseconds=wait_ms) for wait_ms in REOPEN_AFTER_MS.values()}
    return said.closed_at is not None and reopen_at - said.closed_at in waits
