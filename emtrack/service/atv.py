"""Accumulated time violations: the ledger follows the findings in the turn's own transaction, and raises its alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from alerts.grading import Severity
from alerts.ledger import ATV, Line, Standing, What, counts_ms, excusing, lines_for
from alerts.store import CHANGED
from emtrack.record.progress import Ids
from geofence.judgement.findings import Finding
from geofence.words import datetime_of, instant_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

THE_RECORD = "the record"

Order = tuple[int, str]
"""Wearer number and requirement id: over all its entries."""


class Change(NamedTuple):
    """A CURFEW finding that changed in the turn; `finding` None: it was withdrawn."""

    finding_no: int
    wearer_no: int
    requirement_id: str
    finding: Finding | None
    why: str


class Rules(NamedTuple):
    """`threshold_ms` None: no alert."""

    threshold_ms: int | None
    counts_grace: bool


class Entry(NamedTuple):
    """A line of the ledger as people see it, with the balance of its order after it."""

    finding_no: int
    requirement_id: str
    recorded_ms: int
    what: What
    amount_ms: int
    entered_by: str
    why: str
    balance_ms: int


class NothingToExcuse(LookupError):
    """The finding is not there, is none of a curfew, or counts nothing."""


RULES = "SELECT atv_threshold_ms, atv_counts_grace FROM settings_versions WHERE upper_inf(recorded)"
STANDINGS = """
SELECT finding_no, coalesce(sum(amount_ms) FILTER (WHERE what <> 'excused'), 0)::bigint AS counted,
       coalesce(sum(amount_ms) FILTER (WHERE what = 'excused'), 0)::bigint AS excused, bool_or(what = 'excused') AS is_excused
FROM atv_lines WHERE finding_no = ANY($1::bigint[]) GROUP BY finding_no
"""
# The order is the finding's own, also where its tag has gone to another person since.
ADD = """
INSERT INTO atv_lines (wearer_no, requirement_id, finding_no, recorded_at, what, amount_ms, entered_by, why)
SELECT e.wearer_no, e.requirement_id, t.finding_no, $2, t.what, t.amount_ms, $5, t.why
FROM unnest($1::bigint[], $3::text[], $4::bigint[], $6::text[]) WITH ORDINALITY AS t (finding_no, what, amount_ms, why, place)
JOIN findings USING (finding_no) JOIN requirement_entries e USING (entry_no) ORDER BY t.place
"""
# What each order has accumulated, and since when a violation of it lasts.
BALANCES = """
SELECT o.wearer_no, o.requirement_id, coalesce((
           SELECT sum(amount_ms) FROM atv_lines l WHERE l.wearer_no = o.wearer_no AND l.requirement_id = o.requirement_id), 0)::bigint
           AS balance_ms,
       (SELECT min(v.begin_at) FROM requirement_entries e JOIN findings f USING (entry_no)
        CROSS JOIN LATERAL (SELECT * FROM finding_versions WHERE finding_no = f.finding_no ORDER BY version DESC LIMIT 1) v
        WHERE e.wearer_no = o.wearer_no AND e.requirement_id = o.requirement_id AND f.kind = 'CURFEW'
          AND v.change <> 'withdrawn' AND v.end_at IS NULL AND ($3 OR NOT v.within_grace)) AS lasts_since
FROM unnest($1::bigint[], $2::text[]) AS o (wearer_no, requirement_id)
"""
DUE = "SELECT wearer_no, requirement_id FROM atv_timers WHERE due_at <= $1 ORDER BY due_at LIMIT 1000"
SET_TIMERS = """
INSERT INTO atv_timers (wearer_no, requirement_id, due_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[])
ON CONFLICT (wearer_no, requirement_id) DO UPDATE SET due_at = excluded.due_at
"""
DROP_TIMERS = """
DELETE FROM atv_timers t USING unnest($1::bigint[], $2::text[]) AS o (wearer_no, requirement_id)
WHERE t.wearer_no = o.wearer_no AND t.requirement_id = o.requirement_id
"""
# After an alert was closed the next one needs minutes that were not there when it was closed.
RAISE = """
INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, requirement_id, severity, raised_at, known_at, previous_alert_no)
SELECT $1, $2, (SELECT max(activation_no) FROM activation_versions WHERE wearer_no = $2), $3::text, $4::text, $5, $6, $7,
       (SELECT max(alert_no) FROM alerts WHERE wearer_no = $2 AND kind = $3 AND requirement_id = $4)
WHERE NOT EXISTS (
    SELECT FROM alerts a WHERE a.wearer_no = $2 AND a.kind = $3 AND a.requirement_id = $4
      AND (a.closed_at IS NULL OR a.closed_at >= $8))
RETURNING alert_no
"""
LAST_COUNTED = (
    "SELECT max(recorded_at) FROM atv_lines WHERE wearer_no = $1 AND requirement_id = $2 AND what = 'counted'"
)
LEDGER = """
SELECT * FROM (
    SELECT line_no, finding_no, requirement_id, recorded_at, what, amount_ms, entered_by, why,
           sum(amount_ms) OVER (PARTITION BY requirement_id ORDER BY line_no)::bigint AS balance_ms
    FROM atv_lines WHERE wearer_no = $1 AND ($3::text IS NULL OR requirement_id = $3)) lines
ORDER BY line_no DESC LIMIT $2
"""
OF_FINDING = """
SELECT e.wearer_no, e.requirement_id FROM findings f JOIN requirement_entries e USING (entry_no)
WHERE f.finding_no = $1 AND f.kind = 'CURFEW'
"""
LOCK = "SELECT pg_advisory_xact_lock($1)"
LEDGER_LOCK = 0x656D_6174  # advisory: a line is worked out from those before it, so that two writers take turns


async def rules_of(connection: Connection) -> Rules:
    row = await connection.fetchrow(RULES)
    return Rules(None, False) if row is None else Rules(row["atv_threshold_ms"], row["atv_counts_grace"])


async def keep_ledger(connection: asyncpg.Connection[Any], changes: Sequence[Change], ids: Ids, now_ms: int) -> int:
    """Add the lines of a turn, and raise alerts of orders that are over their threshold. How many alerts were raised."""
    due = {(row["wearer_no"], row["requirement_id"]) for row in await connection.fetch(DUE, datetime_of(now_ms))}
    if not changes and not due:
        return 0
    rules = await rules_of(connection)
    if changes:
        await connection.execute(LOCK, LEDGER_LOCK)
        await _add_lines(connection, changes, rules, now_ms)
    orders = sorted(due | {(change.wearer_no, change.requirement_id) for change in changes})
    return await _watch(connection, orders, rules, ids, now_ms)


async def _add_lines(
    connection: asyncpg.Connection[Any], changes: Sequence[Change], rules: Rules, now_ms: int
) -> None:
    rows = await connection.fetch(STANDINGS, [change.finding_no for change in changes])
    standings = {row["finding_no"]: Standing(row["counted"], row["excused"], row["is_excused"]) for row in rows}
    lines = [
        (change, line)
        for change in changes
        for line in lines_for(
            standings.get(change.finding_no, Standing()), counts_ms(change.finding, counts_grace=rules.counts_grace)
        )
    ]
    await _write(connection, lines, THE_RECORD, now_ms)


async def _write(connection: Connection, lines: Sequence[tuple[Change, Line]], who: str, now_ms: int) -> None:
    if lines:
        await connection.execute(
            ADD,
            [change.finding_no for change, _ in lines],
            datetime_of(now_ms),
            [str(line.what) for _, line in lines],
            [line.amount_ms for _, line in lines],
            who,
            [change.why for change, _ in lines],
        )


async def _watch(
    connection: asyncpg.Connection[Any], orders: Sequence[Order], rules: Rules, ids: Ids, now_ms: int
) -> int:
    """Raise what is over the threshold, and know when a violation that lasts will be."""
    columns = [order[0] for order in orders], [order[1] for order in orders]
    await connection.execute(DROP_TIMERS, *columns)
    if rules.threshold_ms is None:
        return 0
    raised, waiting = 0, []
    for row in await connection.fetch(BALANCES, *columns, rules.counts_grace):
        over_ms = _over_ms(row, rules.threshold_ms, now_ms)
        if over_ms is None:
            continue
        if over_ms <= now_ms:
            raised += await _raise(connection, (row["wearer_no"], row["requirement_id"]), over_ms, ids, now_ms)
        else:
            waiting.append((row["wearer_no"], row["requirement_id"], datetime_of(over_ms)))
    if waiting:
        await connection.execute(SET_TIMERS, *map(list, zip(*waiting, strict=True)))
    return raised


def _over_ms(row: asyncpg.Record, threshold_ms: int, now_ms: int) -> int | None:
    """When the order reached its threshold or will reach it; None if nothing lasts that could."""
    left_ms = threshold_ms - row["balance_ms"]
    if left_ms <= 0:
        return now_ms
    return None if row["lasts_since"] is None else int(instant_of(row["lasts_since"])) + left_ms


async def _raise(connection: asyncpg.Connection[Any], order: Order, over_ms: int, ids: Ids, now_ms: int) -> int:
    (number,) = await ids.take(connection, 1)
    now = datetime_of(now_ms)
    counted = await connection.fetchval(LAST_COUNTED, *order) or now
    found = await connection.fetchval(
        RAISE, number, order[0], ATV, order[1], int(Severity.SERIOUS), now, datetime_of(over_ms), counted
    )
    if found is None:
        return 0
    await connection.execute(CHANGED, [number], ["raised"], now)
    return 1


async def excuse(connection: Connection, finding_no: int, *, who: str, why: str, now_ms: int) -> None:
    """A person excuses a violation: it stays found, and counts no longer. In a transaction. Raises NothingToExcuse."""
    await connection.execute(LOCK, LEDGER_LOCK)
    row = await connection.fetchrow(OF_FINDING, finding_no)
    if row is None:
        raise NothingToExcuse(f"there is no curfew finding {finding_no}")
    standing = await connection.fetchrow(STANDINGS, [finding_no])
    line = (
        None
        if standing is None
        else excusing(Standing(standing["counted"], standing["excused"], standing["is_excused"]))
    )
    if line is None:
        raise NothingToExcuse(
            f"finding {finding_no} counts nothing: it lasts, is within grace, was withdrawn, or is excused already"
        )
    change = Change(finding_no, row["wearer_no"], row["requirement_id"], None, why)
    await _write(connection, [(change, line)], who, now_ms)


async def ledger_of(
    connection: Connection, wearer_no: int, limit: int = 200, requirement_id: str | None = None
) -> list[Entry]:
    """The newest lines of a wearer's ledger, of one order or of all."""
    return [
        Entry(
            row["finding_no"], row["requirement_id"], instant_of(row["recorded_at"]), What(row["what"]), row["amount_ms"],
            row["entered_by"], row["why"], row["balance_ms"],
        )
        for row in await connection.fetch(LEDGER, wearer_no, limit, requirement_id)
    ]  # fmt: skip
