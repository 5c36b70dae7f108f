"""Possible entries: one position inside an exclusion zone, not confirmed (RULES.md section 8). An alert, never a finding.

The first part is pure; the second raises and settles them in the turn's own transaction, after its findings became alerts: the
exclusion that confirms an entry is then an occurrence of its alert already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts.due import DueInTurn
from alerts.grading import Severity
from alerts.locks import take_own
from alerts.store import NewAlert, OwnShards, TakeNumbers, note_changes, open_or_join
from geofence import Kind, datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection


class EntryFate(StrEnum):
    """What became of a possible entry."""

    POSSIBLE = "possible"
    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"


class EntryVerdict(NamedTuple):
    """The newest decisive verdict on an exclusion zone. `until_ms`: so long it is young enough to raise anybody. `is_inside`: it
    says so; `is_present`: presence is inside; `is_obliged`: it lies in an obligation period."""

    wearer_no: int
    activation_no: int
    entry_no: int
    requirement_id: str
    at_ms: int
    fact_id: int
    until_ms: int
    is_inside: bool
    is_present: bool
    is_obliged: bool


def fate_of(verdict: EntryVerdict | None, now_ms: int) -> EntryFate:
    """Of an entry whose newest verdict this is; None: its activation is judged no longer."""
    if verdict is None or not verdict.is_obliged:
        return EntryFate.NOT_CONFIRMED
    if verdict.is_present:
        return EntryFate.CONFIRMED
    return EntryFate.POSSIBLE if verdict.is_inside and now_ms < verdict.until_ms else EntryFate.NOT_CONFIRMED


# ---------------------------------------------------------------------------------------------- in the database

VerdictOf = Callable[[int, int], EntryVerdict | None]
"""(activation number, entry number) -> its newest verdict."""

UNSETTLED = "SELECT activation_no, entry_no FROM possible_entries WHERE settled_at IS NULL"
SETTLE = """
UPDATE possible_entries SET settled_at = $4, fate = $3 WHERE activation_no = $1 AND entry_no = $2 AND settled_at IS NULL
RETURNING alert_no
"""
# What was never confirmed is a warning from then on, unless something else stands behind the alert. $3: the fact that says otherwise;
# one behind which stands nothing but an identifier withdraws no alert by itself (docs/decisions/0046).
LOWER = """
UPDATE alerts a SET severity = $2 WHERE a.alert_no = $1 AND a.closed_at IS NULL
    AND NOT EXISTS (SELECT FROM alert_occurrences o WHERE o.alert_no = a.alert_no)
    AND NOT EXISTS (SELECT FROM possible_entries p WHERE p.alert_no = a.alert_no AND p.settled_at IS NULL)
    AND NOT EXISTS (SELECT FROM unauthenticated_facts u WHERE u.fact_id = $3)
"""
NEW_AGAIN = """
INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, note)
SELECT $1, 1 + (SELECT coalesce(max(action_no), 0) FROM alert_actions x WHERE x.alert_no = $1), $2, 'emtrack', 'unacknowledged',
       'One position inside the zone again, not confirmed.'
FROM alerts WHERE alert_no = $1 AND state <> 'new'
"""
RAISE_AGAIN = """
UPDATE alerts SET severity = least(severity, $2), state = 'new', owner = NULL, counts_from = $3, contacted_at = NULL,
    authority_told_at = NULL
WHERE alert_no = $1
"""
NOTE = """
INSERT INTO possible_entries (alert_no, activation_no, entry_no, seen_at, fact_id, raised_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""


async def note_entries(
    connection: Connection,
    verdicts: Sequence[EntryVerdict],
    verdict_of: VerdictOf,
    take_numbers: TakeNumbers,
    now_ms: int,
    is_judged_here: Callable[[int], bool],
    due: DueInTurn,
    own: OwnShards | None = None,
) -> tuple[int, int]:
    """Settle possible entries, and raise those of the verdicts that this turn brought. How many alerts were opened, and how many
    changes readers of the feed are told of. `is_judged_here`: whether an activation, by its number, is not somebody else's;
    `own`: our shards, None: all."""
    rows = await connection.fetch(UNSETTLED) if due.entries else []
    unsettled = [row for row in rows if is_judged_here(row["activation_no"])]
    if unsettled or verdicts:
        await take_own(connection, own)
    changes = []
    still_open = set()
    for row in unsettled:
        verdict = verdict_of(row["activation_no"], row["entry_no"])
        fate = fate_of(verdict, now_ms)
        if fate is EntryFate.POSSIBLE:
            still_open.add((row["activation_no"], row["entry_no"]))
        else:
            says_otherwise = None if verdict is None or verdict.is_inside else verdict.fact_id
            changes += await _settle(connection, row, fate, says_otherwise, now_ms)
    possible = [v for v in verdicts if fate_of(v, now_ms) is EntryFate.POSSIBLE]
    opened = 0
    for verdict in possible:
        if (verdict.activation_no, verdict.entry_no) not in still_open:
            opened += await _raise(connection, verdict, take_numbers, now_ms, changes)
    await note_changes(connection, changes, now_ms)
    return opened, len(changes)


async def _settle(
    connection: Connection, row: asyncpg.Record, fate: EntryFate, says_otherwise: int | None, now_ms: int
) -> list[tuple[int, str]]:
    """Whoever settles it tells: another worker may judge the same tag while it is corrected to somebody of another shard."""
    alert_no = await connection.fetchval(SETTLE, row["activation_no"], row["entry_no"], fate, datetime_of(now_ms))
    if alert_no is None or fate is EntryFate.CONFIRMED:
        return []
    await connection.execute(LOWER, alert_no, int(Severity.WARNING), says_otherwise)
    return [(alert_no, "not confirmed")]


async def _raise(
    connection: Connection,
    verdict: EntryVerdict,
    take_numbers: TakeNumbers,
    now_ms: int,
    changes: list[tuple[int, str]],
) -> int:
    """1 if an alert was opened; 0 if one is open, which is then new again."""
    alert = NewAlert(
        0, str(Kind.EXCLUSION), Severity.CRITICAL, verdict.at_ms, verdict.wearer_no, verdict.activation_no,
        verdict.requirement_id,
    )  # fmt: skip
    alert_no, is_new = await open_or_join(connection, alert, take_numbers, now_ms)
    if not is_new:
        await connection.execute(NEW_AGAIN, alert_no, datetime_of(now_ms))
        await connection.execute(RAISE_AGAIN, alert_no, int(Severity.CRITICAL), datetime_of(now_ms))
    changes.append((alert_no, "raised" if is_new else "unacknowledged"))
    await connection.execute(
        NOTE, alert_no, verdict.activation_no, verdict.entry_no, datetime_of(verdict.at_ms), verdict.fact_id,
        datetime_of(now_ms),
    )  # fmt: skip
    return int(is_new)


class PossibleEntry(NamedTuple):
    """What raised an alert that nothing has confirmed. `fate` None: it may still be."""

    activation_no: int
    entry_no: int
    seen_ms: int
    fact_id: int
    raised_ms: int
    fate: EntryFate


OF_ALERTS = """
SELECT DISTINCT ON (alert_no) alert_no, activation_no, entry_no, seen_at, fact_id, raised_at, fate
FROM possible_entries WHERE alert_no = ANY($1::bigint[]) ORDER BY alert_no, raised_at DESC
"""


async def possible_entries_of(connection: Connection, alert_nos: Sequence[int]) -> dict[int, PossibleEntry]:
    """The newest of each alert that has one."""
    return {
        row["alert_no"]: PossibleEntry(
            row["activation_no"], row["entry_no"], instant_of(row["seen_at"]), row["fact_id"], instant_of(row["raised_at"]),
            EntryFate(row["fate"] or EntryFate.POSSIBLE),
        )
        for row in await connection.fetch(OF_ALERTS, list(alert_nos))
    }  # fmt: skip
