"""What people do to an alert: acknowledge it, note something, close it with an outcome. Appended, with who and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.locks import AlertLock, take_lock
from alerts.store import note_changes
from geofence import datetime_of

if TYPE_CHECKING:
    from alerts.store import Connection

OUTCOMES = {
    "VIOLATION": "Violation confirmed",
    "AUTHORISED": "Authorised, or a reasonable excuse",
    "EQUIPMENT": "Equipment, not the person",
    "LOCATION_ERROR": "Location error: the person was not there",
    "NO_ACTION": "No further action",
}
"""What can come of an alert. Causes are few and fixed, so that false alerts can be counted by cause."""
ACTIONS = ("acknowledged", "noted", "closed")
LONGEST = 4_000

LOCKED = "SELECT closed_at, network FROM alerts WHERE alert_no = $1 FOR UPDATE"
CLOSE = "UPDATE alerts SET closed_at = $2 WHERE alert_no = $1"
ACT = """
INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome, note)
SELECT $1, coalesce(max(action_no), 0) + 1, $2, $3, $4, $5, $6 FROM alert_actions WHERE alert_no = $1
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


class UnfitAction(ValueError):
    """An action that cannot be done as it was asked for. The message says what to change."""


class NoAlert(LookupError):
    """There is no such alert."""


class AlreadyClosed(Exception):
    """Somebody closed the alert before."""


async def act(
    connection: Connection,
    alert_no: int,
    *,
    who: str,
    action: str,
    outcome: str | None = None,
    note: str | None = None,
    now_ms: int,
) -> None:
    """Do it, inside the caller's transaction. Raises UnfitAction, NoAlert or AlreadyClosed; then nothing was done."""
    note = (note or "").strip() or None
    _refuse_unfit(action, outcome, note)
    await take_lock(connection, AlertLock.ALERTS)
    row = await connection.fetchrow(LOCKED, alert_no)
    if row is None:
        raise NoAlert(f"there is no alert {alert_no}")
    if row["closed_at"] is not None and action != "noted":
        raise AlreadyClosed(
            f"alert {alert_no} was closed {row['closed_at']:%Y-%m-%d %H:%M:%S} UTC; a note can still be added"
        )
    now = datetime_of(now_ms)
    await connection.execute(ACT, alert_no, now, who, action, outcome, note)
    if action == "closed":
        await connection.execute(CLOSE, alert_no, now)
        if row["network"] is not None:
            with_it = f"closed with the platform incident {alert_no} of {row['network']}"
            await connection.execute(CLOSE_WHAT_IS_OVER, alert_no, now, who, outcome, with_it)
    await note_changes(connection, [(alert_no, action)], now_ms)


def _refuse_unfit(action: str, outcome: str | None, note: str | None) -> None:
    if action not in ACTIONS:
        raise UnfitAction(f"action is {action!r}; expected {', '.join(ACTIONS)}")
    if action == "closed" and outcome not in OUTCOMES:
        raise UnfitAction(
            f"an alert is closed with an outcome, and it is {outcome!r}; expected {', '.join(OUTCOMES)}"
        )
    if action != "closed" and outcome is not None:
        raise UnfitAction(f"an outcome belongs to closing, not to {action!r}; leave it out")
    if action == "noted" and note is None:
        raise UnfitAction("a note is empty; say what you want to be remembered")
    if note is not None and len(note) > LONGEST:
        raise UnfitAction(f"a note has at most {LONGEST:,} characters; this one has {len(note):,}")
