"""The ledger of accumulated time violations (ATV): what a finding adds to its order, what changes when it is amended, and the
alert of an order that is over its threshold. The first part is pure; the second keeps the lines in the turn's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts.grading import Severity
from alerts.locks import part_of_finding, take_ledger, take_part
from alerts.store import NewAlert, OwnShards, TakeNumbers, columns_of, note_changes, open_new_alerts
from geofence import datetime_of, instant_of
from geofence.judgement import Finding

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection

ATV = "ATV"
"""The kind of its alert; it is no kind of finding (RULES.md section 8)."""


class LineKind(StrEnum):
    COUNTED = "counted"
    REVERSED = "reversed"
    EXCUSED = "excused"


class LedgerLine(NamedTuple):
    """`amount_ms` is added to the balance of the order; negative for what is reversed or excused."""

    kind: LineKind
    amount_ms: int


class FindingTotals(NamedTuple):
    """What stands in the ledger for one finding: the sum of what was counted and reversed, the sum of what was excused, and
    whether it ever was: a finding that counted nothing for a while keeps its excuse."""

    counted_ms: int = 0
    excused_ms: int = 0
    is_excused: bool = False


def counts_ms(finding: Finding | None, *, counts_grace: bool) -> int:
    """How long the finding counts once it is over; 0 while it lasts, within grace (unless that counts), or withdrawn (None)."""
    if finding is None or finding.end_ms is None or (finding.within_grace and not counts_grace):
        return 0
    return finding.end_ms - finding.begin_ms


def lines_for(totals: FindingTotals, wanted_ms: int) -> list[LedgerLine]:
    """The lines that make a finding count `wanted_ms`. What was excused stays excused, whatever its length becomes."""
    if totals.counted_ms == wanted_ms:
        return []
    lines = [LedgerLine(LineKind.REVERSED, -totals.counted_ms), LedgerLine(LineKind.COUNTED, wanted_ms)]
    if totals.is_excused:
        lines.append(LedgerLine(LineKind.EXCUSED, -totals.excused_ms - wanted_ms))
    return [line for line in lines if line.amount_ms]


def excusing(totals: FindingTotals) -> LedgerLine | None:
    """The line that excuses a finding; None if it counts nothing any more."""
    left_ms = totals.counted_ms + totals.excused_ms
    return LedgerLine(LineKind.EXCUSED, -left_ms) if left_ms else None


# ---------------------------------------------------------------------------------------------- in the database

THE_RECORD = "the record"
RECHECK_MS = 60_000
"""An order whose violation is not known to last is looked at again so often."""

Order = tuple[int, str]
"""Wearer number and requirement id: over all its entries."""


class CurfewChange(NamedTuple):
    """A CURFEW finding that changed in the turn; `finding` None: it was withdrawn."""

    finding_no: int
    wearer_no: int
    requirement_id: str
    finding: Finding | None
    why: str


class LedgerRules(NamedTuple):
    """`threshold_ms` None: no alert."""

    threshold_ms: int | None
    counts_grace: bool


class LedgerEntry(NamedTuple):
    """A line of the ledger as people see it, with the balance of its order after it."""

    finding_no: int
    requirement_id: str
    recorded_ms: int
    what: LineKind
    amount_ms: int
    entered_by: str
    why: str
    balance_ms: int


class Unsettled(NamedTuple):
    """A violation that is not over yet, and stands in no balance: what it would add if it had ended now, or where it is not known
    whether it lasts, when that was known last (`unknown_since_ms`)."""

    finding_no: int
    requirement_id: str
    begin_ms: int
    unknown_since_ms: int | None

    def so_far_ms(self, now_ms: int) -> int:
        """How long it has lasted, as far as that is known."""
        return (now_ms if self.unknown_since_ms is None else self.unknown_since_ms) - self.begin_ms


class NothingToExcuse(LookupError):
    """The finding is not there, is none of a curfew, or counts nothing."""


RULES = "SELECT atv_threshold_ms, atv_counts_grace FROM settings_versions WHERE upper_inf(recorded)"
TOTALS = """
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
# What each order has accumulated, and since when a violation of it lasts, and of that, since when it is not known that it does.
BALANCES = """
SELECT o.wearer_no, o.requirement_id, coalesce((
           SELECT sum(amount_ms) FROM atv_lines l WHERE l.wearer_no = o.wearer_no AND l.requirement_id = o.requirement_id), 0)::bigint
           AS balance_ms,
       lasting.begin_at AS lasts_since, lasting.unknown_since
FROM unnest($1::bigint[], $2::text[]) AS o (wearer_no, requirement_id)
LEFT JOIN LATERAL (
    SELECT v.begin_at, unknown_since_at(f.finding_no, 'infinity') AS unknown_since
    FROM requirement_entries e JOIN findings f USING (entry_no) CROSS JOIN LATERAL newest_version(f.finding_no) v
    WHERE e.wearer_no = o.wearer_no AND e.requirement_id = o.requirement_id AND f.kind = 'CURFEW'
      AND v.change <> 'withdrawn' AND v.end_at IS NULL AND ($3 OR NOT v.within_grace)
    ORDER BY v.begin_at LIMIT 1) lasting ON true
"""
DUE = """
SELECT wearer_no, requirement_id FROM atv_timers WHERE due_at <= $1 AND wearer_no % $2 = ANY ($3::bigint[])
ORDER BY due_at LIMIT 1000
"""
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
OVER_THRESHOLD = """
SELECT (SELECT max(activation_no) FROM activation_versions WHERE wearer_no = $1) AS activation_no,
       (SELECT max(alert_no) FROM alerts WHERE wearer_no = $1 AND kind = $2 AND requirement_id = $3) AS previous_alert_no
WHERE NOT EXISTS (
    SELECT FROM alerts a WHERE a.wearer_no = $1 AND a.kind = $2 AND a.requirement_id = $3
      AND (a.closed_at IS NULL OR a.closed_at >= $4))
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
UNSETTLED = """
SELECT f.finding_no, e.requirement_id, epoch_ms(v.begin_at) AS begin_ms,
       epoch_ms(unknown_since_at(f.finding_no, 'infinity')) AS unknown_since_ms
FROM requirement_entries e JOIN findings f USING (entry_no) CROSS JOIN LATERAL newest_version(f.finding_no) v
WHERE e.wearer_no = $1 AND ($3::text IS NULL OR e.requirement_id = $3) AND f.kind = 'CURFEW'
  AND v.change <> 'withdrawn' AND v.end_at IS NULL AND ($2 OR NOT v.within_grace)
ORDER BY v.begin_at, f.finding_no LIMIT 50
"""
OF_FINDING = """
SELECT e.wearer_no, e.requirement_id FROM findings f JOIN requirement_entries e USING (entry_no)
WHERE f.finding_no = $1 AND f.kind = 'CURFEW'
"""


async def rules_of(connection: Connection) -> LedgerRules:
    row = await connection.fetchrow(RULES)
    return LedgerRules(None, False) if row is None else LedgerRules(row["atv_threshold_ms"], row["atv_counts_grace"])


async def keep_ledger(
    connection: Connection,
    changes: Sequence[CurfewChange],
    begun: Sequence[Order],
    take_numbers: TakeNumbers,
    now_ms: int,
    own: OwnShards | None,
) -> int:
    """Add the lines of a turn, and raise alerts of orders that are over their threshold. How many alerts were raised. `begun`: orders
    of which a violation was found that lasts: it has no line and counts nothing yet, and is watched only if there is a threshold."""
    due = {
        (row["wearer_no"], row["requirement_id"])
        for row in await connection.fetch(DUE, datetime_of(now_ms), *columns_of(own))
    }
    if not changes and not begun and not due:
        return 0
    rules = await rules_of(connection)
    if changes:
        await take_ledger(connection)
        await _add_lines(connection, changes, rules, now_ms)
    watched = due | {(change.wearer_no, change.requirement_id) for change in changes}
    if rules.threshold_ms is not None:
        watched.update(begun)
    return await _watch(connection, sorted(watched), rules, take_numbers, now_ms) if watched else 0


async def _add_lines(
    connection: Connection, changes: Sequence[CurfewChange], rules: LedgerRules, now_ms: int
) -> None:
    totals = await _totals_of(connection, [change.finding_no for change in changes])
    lines = [
        (change, line)
        for change in changes
        for line in lines_for(
            totals.get(change.finding_no, FindingTotals()), counts_ms(change.finding, counts_grace=rules.counts_grace)
        )
    ]
    await _write(connection, lines, THE_RECORD, now_ms)


async def _totals_of(connection: Connection, finding_nos: Sequence[int]) -> dict[int, FindingTotals]:
    rows = await connection.fetch(TOTALS, list(finding_nos))
    return {row["finding_no"]: FindingTotals(row["counted"], row["excused"], row["is_excused"]) for row in rows}


async def _write(
    connection: Connection, lines: Sequence[tuple[CurfewChange, LedgerLine]], who: str, now_ms: int
) -> None:
    if lines:
        await connection.execute(
            ADD,
            [change.finding_no for change, _ in lines],
            datetime_of(now_ms),
            [str(line.kind) for _, line in lines],
            [line.amount_ms for _, line in lines],
            who,
            [change.why for change, _ in lines],
        )


async def _watch(
    connection: Connection, orders: Sequence[Order], rules: LedgerRules, take_numbers: TakeNumbers, now_ms: int
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
            raised += await _raise(
                connection, (row["wearer_no"], row["requirement_id"]), over_ms, take_numbers, now_ms
            )
        else:
            waiting.append((row["wearer_no"], row["requirement_id"], datetime_of(over_ms)))
    if waiting:
        await connection.execute(SET_TIMERS, *map(list, zip(*waiting, strict=True)))
    return raised


def _over_ms(row: asyncpg.Record, threshold_ms: int, now_ms: int) -> int | None:
    """When the order reached its threshold or will reach it; None if nothing lasts that could. What is not settled crosses nothing:
    while it is not known whether a violation lasts, it counts up to where that was known, and is looked at again."""
    left_ms = threshold_ms - row["balance_ms"]
    if left_ms <= 0:
        return now_ms
    if row["lasts_since"] is None:
        return None
    over_ms: int = instant_of(row["lasts_since"]) + left_ms
    is_known = row["unknown_since"] is None or over_ms <= instant_of(row["unknown_since"])
    return over_ms if is_known else max(over_ms, now_ms + RECHECK_MS)


async def _raise(connection: Connection, order: Order, over_ms: int, take_numbers: TakeNumbers, now_ms: int) -> int:
    (number,) = await take_numbers(connection, 1)
    wearer_no, requirement_id = order
    counted = await connection.fetchval(LAST_COUNTED, *order) or datetime_of(now_ms)
    row = await connection.fetchrow(OVER_THRESHOLD, wearer_no, ATV, requirement_id, counted)
    if row is None:
        return 0
    alert = NewAlert(
        number, ATV, Severity.SERIOUS, over_ms, wearer_no, row["activation_no"], requirement_id,
        previous_alert_no=row["previous_alert_no"],
    )  # fmt: skip
    await open_new_alerts(connection, [alert], now_ms)
    await note_changes(connection, [(number, "raised")], now_ms)
    return 1


async def excuse(connection: Connection, finding_no: int, *, who: str, why: str, now_ms: int) -> None:
    """A person excuses a violation: it stays found, and counts no longer. In a transaction. Raises NothingToExcuse."""
    part = await part_of_finding(connection, finding_no)
    if part is not None:
        await take_part(connection, part)
    row = await connection.fetchrow(OF_FINDING, finding_no)
    if part is None or row is None:
        raise NothingToExcuse(f"there is no curfew finding {finding_no}")
    totals = (await _totals_of(connection, [finding_no])).get(finding_no)
    line = None if totals is None else excusing(totals)
    if line is None:
        raise NothingToExcuse(
            f"finding {finding_no} counts nothing: it lasts, is within grace, was withdrawn, or is excused already"
        )
    change = CurfewChange(finding_no, row["wearer_no"], row["requirement_id"], None, why)
    await _write(connection, [(change, line)], who, now_ms)


async def ledger_of(
    connection: Connection, wearer_no: int, limit: int = 200, requirement_id: str | None = None
) -> list[LedgerEntry]:
    """The newest lines of a wearer's ledger, of one order or of all."""
    return [
        LedgerEntry(
            row["finding_no"], row["requirement_id"], instant_of(row["recorded_at"]), LineKind(row["what"]), row["amount_ms"],
            row["entered_by"], row["why"], row["balance_ms"],
        )
        for row in await connection.fetch(LEDGER, wearer_no, limit, requirement_id)
    ]  # fmt: skip


async def unsettled_of(connection: Connection, wearer_no: int, requirement_id: str | None = None) -> list[Unsettled]:
    """What lasts and would count once it is over, of one order or of all."""
    rules = await rules_of(connection)
    return [
        Unsettled(row["finding_no"], row["requirement_id"], row["begin_ms"], row["unknown_since_ms"])
        for row in await connection.fetch(UNSETTLED, wearer_no, rules.counts_grace, requirement_id)
    ]
