"""The life of an alert, as a table: what may be done to it in which state, and what it takes.

    new -> acknowledged (it has an owner) -> in progress -> closed

Whatever is done is appended, with who, when and why. An alert that was closed while what it is about goes on is looked at again after
`REOPEN_AFTER_MS`, and stands in the queue once more if it still does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts.grading import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SUSPENSION_MS = 4 * 3_600_000
LONGEST_NOTE = 4_000

REOPEN_AFTER_MS = {
    Severity.CRITICAL: 15 * 60_000,
    Severity.SERIOUS: 15 * 60_000,
    Severity.WARNING: 3_600_000,
    Severity.MESSAGE: 12 * 3_600_000,
}
"""What was closed while its finding lasts is looked at again after so long."""

OUTCOMES = {
    "VIOLATION": "Violation confirmed",
    "AUTHORISED": "Authorised, or a reasonable excuse",
    "EQUIPMENT": "Equipment fault",
    "LOCATION_ERROR": "Location error: the person was not there",
    "NO_ACTION": "No further action",
}
"""What can come of an alert. Causes are few and fixed, so that false alerts can be counted by cause."""


class AlertState(StrEnum):
    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in progress"
    CLOSED = "closed"


OPEN = frozenset({AlertState.NEW, AlertState.ACKNOWLEDGED, AlertState.IN_PROGRESS})
OWNED = frozenset({AlertState.ACKNOWLEDGED, AlertState.IN_PROGRESS})
ANY = frozenset(AlertState)


class Move(StrEnum):
    """What is done to an alert, as it is recorded. The last two are done by emtrack itself, `REOPEN` by people too."""

    ACKNOWLEDGE = "acknowledged"
    TAKE_OVER = "taken over"
    START = "started"
    NOTE = "noted"
    CALL = "called"
    TELL_AUTHORITY = "authority told"
    MESSAGE = "messaged"
    ESCALATE = "escalated"
    SUSPEND = "suspended"
    RESUME = "resumed"
    CLOSE = "closed"
    REOPEN = "reopened"
    UNACKNOWLEDGE = "unacknowledged"


class MoveRule(NamedTuple):
    """`target` None: the state stays. `makes_owner`: who does it works on the alert from then on."""

    sources: frozenset[AlertState]
    target: AlertState | None
    needs_note: bool = False
    makes_owner: bool = False


MOVES = {
    Move.ACKNOWLEDGE: MoveRule(frozenset({AlertState.NEW}), AlertState.ACKNOWLEDGED, makes_owner=True),
    Move.TAKE_OVER: MoveRule(OWNED, None, makes_owner=True),
    Move.START: MoveRule(
        frozenset({AlertState.NEW, AlertState.ACKNOWLEDGED}), AlertState.IN_PROGRESS, makes_owner=True
    ),
    Move.NOTE: MoveRule(ANY, None, needs_note=True),
    Move.CALL: MoveRule(OPEN, None, needs_note=True),
    Move.TELL_AUTHORITY: MoveRule(OPEN, None, needs_note=True),
    Move.MESSAGE: MoveRule(OPEN, None, needs_note=True),
    Move.ESCALATE: MoveRule(OPEN, None, needs_note=True),
    Move.SUSPEND: MoveRule(OPEN, None, needs_note=True),
    Move.RESUME: MoveRule(OPEN, None),
    Move.CLOSE: MoveRule(OPEN, AlertState.CLOSED, needs_note=True),
    Move.REOPEN: MoveRule(frozenset({AlertState.CLOSED}), AlertState.NEW, needs_note=True),
}
"""By people; emtrack escalates too, when a deadline is missed.
`UNACKNOWLEDGE` is none of theirs: emtrack does it when something new is seen of an alert that is open."""


def state_after(moves: Iterable[tuple[str, str]]) -> tuple[AlertState, str | None]:
    """Where an alert stands and whose it is after moves (what, by whom), the oldest first."""
    state, owner = AlertState.NEW, None
    for what, who in moves:
        if what == Move.UNACKNOWLEDGE:
            state, owner = AlertState.NEW, None
            continue
        rule = MOVES[Move(what)]
        state = rule.target or state
        if rule.makes_owner:
            owner = who
        elif rule.target is AlertState.NEW:
            owner = None
    return state, owner


def moves_from(state: AlertState) -> list[Move]:
    """What people may do to an alert in this state."""
    return [move for move, rule in MOVES.items() if state in rule.sources]
