"""Putting a record back onto the clock: the service ran under a date that had not come, and everything is judged up to it.

All that our own clock wrote meanwhile (receipts, when something was recorded, entered or told) is moved back by one length: what
judged time is ahead. The order of what happened stays, every fact stays, and each old stamp follows from the new one and the length,
which stands in the log of changes. Receipts come out too late by the time between the end of the wrong run and now, never too early.
What tags and orders say of time is theirs, and is not touched. What is derived is forgotten: the next start judges everybody from
their start, and each finding that the wrong date made is amended or withdrawn as a new version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from emtrack.db.connect import Connection
from emtrack.db.locks import WORKER_LOCK, try_lock
from emtrack.errors import MendableError
from emtrack.record.changes import CLOCK_PUT_BACK, OrderChange, last_change, log_change
from emtrack.record.liveness import alive_ms
from emtrack.sealing.check import changed_rows, seal_again
from geofence import datetime_of, format_instant

INSTANTS: Final[Mapping[str, Sequence[str]]] = {
    "account_events": ["happened_at"],
    "activations": ["entered_at"],
    "alert_actions": ["done_at", "until_at"],
    "alert_changes": ["changed_at"],
    "alert_occasions": ["counts_from", "noted_at"],
    "alert_occurrences": ["added_at"],
    "alert_people": ["added_at"],
    "alert_timers": ["due_at"],
    "alerts": [
        "raised_at",
        "known_at",
        "closed_at",
        "escalated_at",
        "suspended_until",
        "reopen_at",
        "counts_from",
        "contacted_at",
        "authority_told_at",
    ],
    "atv_lines": ["recorded_at"],
    "atv_timers": ["due_at"],
    "channels": ["entered_at", "ended_at"],
    "credential_events": ["happened_at"],
    "deadline_rules": ["entered_at"],
    "deliveries": ["made_at", "next_try_at", "delivered_at", "given_up_at", "seen_at"],
    "device_events": ["received_at"],
    "device_identifiers": ["added_at", "ended_at"],
    "device_keys": ["added_at", "revoked_at"],
    "devices": ["added_at"],
    "draft_results": ["ended_at"],
    "draft_runs": ["ran_at"],
    "finding_versions": ["recorded_at"],
    "future_positions": ["received_at"],
    "gap_work": ["done_at"],
    "looks": ["looked_at"],
    "integrity_events": ["noticed_at"],
    "iom_entries": ["recorded_at"],
    "iom_imports": ["imported_at"],
    "iom_settings": ["recorded_at"],
    "judgement_faults": ["noticed_at"],
    "liveness": ["first_ready_at", "alive_at"],
    "messages": ["made_at"],
    "disclosures": ["disclosed_at", "known_at"],
    "near_assessments": ["assessed_at"],
    "near_runs": ["ran_at"],
    "order_changes": ["changed_at"],
    "order_requests": ["entered_at"],
    "outages": ["recorded_at"],
    "planned_maintenance": ["entered_at"],
    "positions": ["received_at"],
    "possible_entries": ["raised_at", "settled_at"],
    "presence_notes": ["noted_at"],
    "provider_identities": ["bound_at"],
    "quarantine": ["received_at"],
    "quarantine_releases": ["released_at"],
    "rag_grades": ["since", "recorded_at"],
    "raw_reports": ["received_at"],
    "raw_requests": ["received_at"],
    "recovery_codes": ["used_at"],
    "rejudgements": ["asked_at", "done_at"],
    "request_decisions": ["decided_at"],
    "restricted_looks_seen": ["seen_at"],
    "rota_shifts": ["entered_at", "ended_at"],
    "rules_in_force": ["since"],
    "saved_views": ["saved_at"],
    "second_factors": ["set_at"],
    "shard_liveness": ["alive_at"],
    "shard_outages": ["recorded_at"],
    "sessions": ["began_at", "seen_at"],
    "signed_requests": ["received_at"],
    "signing_keys": ["added_at", "revoked_at"],
    "step_ticks": ["ticked_at"],
    "tag_moves": ["moved_at"],
    "tokens": ["added_at", "revoked_at"],
    "unauthenticated_facts": ["received_at"],
    "unit_calls": ["heard_at"],
    "unit_silences": ["since", "begin_at", "end_at"],
    "users": ["added_at", "disabled_at"],
    "visit_results": ["done_at"],
    "visits": ["entered_at"],
    "wrong_clocks": ["begin_at", "ended_at"],
    "zone_set_versions": ["entered_at"],
}
"""Columns that our clock writes, by table. A test compares these and RECORDED with the schema. Deadlines of alerts follow from
`counts_from`: they are set anew when it is put back."""
RECORDED: Final[Sequence[str]] = (
    "access_limits",
    "absences",
    "activation_versions",
    "home_units",
    "iom_versions",
    "protocols",
    "requirement_names",
    "requirement_versions",
    "settings_versions",
    "wearer_details",
)
"""Tables with a range `recorded`: from when to when we held it to be so."""

# An UPDATE of each table, with the names quoted by the server; its arguments are now and the length.
MOVES_OF_INSTANTS = """
SELECT format('UPDATE %I SET %s WHERE %s', t,
              string_agg(format('%1$I = CASE WHEN %1$I > $1::timestamptz THEN %1$I - $2::interval ELSE %1$I END', c), ', '),
              string_agg(format('%I > $1::timestamptz', c), ' OR ')) AS move
FROM unnest($1::text[], $2::text[]) AS u (t, c) GROUP BY t ORDER BY t COLLATE "C"
"""
# Ranges of a table must not overlap at any moment: they are moved one by one, the earliest first.
LATER_RANGES = """
SELECT format('SELECT ctid FROM %I WHERE lower(recorded) > $1::timestamptz OR upper(recorded) > $1 ORDER BY recorded', t) AS later,
       format('UPDATE %I SET recorded = tstzrange('
              'lower(recorded) - CASE WHEN lower(recorded) > $1::timestamptz THEN $2::interval ELSE interval ''0'' END, '
              'upper(recorded) - CASE WHEN upper(recorded) > $1 THEN $2 ELSE interval ''0'' END) WHERE ctid = $3', t) AS move
FROM unnest($1::text[]) AS u (t)
"""
# Outages that we recorded under the wrong date. One that orders tell of for a time to come stays.
LATER_OUTAGES = "SELECT outage_no FROM outages WHERE recorded_at > $1 AND upper(during) > $1 ORDER BY during"
LATER_SHARD_OUTAGES = (
    "SELECT outage_no FROM shard_outages WHERE recorded_at > $1 AND upper(during) > $1 ORDER BY during"
)
MOVE_OUTAGE = """
UPDATE outages SET during = tstzrange(
    lower(during) - CASE WHEN lower(during) > $1::timestamptz THEN $2::interval ELSE interval '0' END,
    upper(during) - CASE WHEN upper(during) > $1 THEN $2 ELSE interval '0' END) WHERE outage_no = $3
"""
MOVE_SHARD_OUTAGE = """
UPDATE shard_outages SET during = tstzrange(
    lower(during) - CASE WHEN lower(during) > $1::timestamptz THEN $2::interval ELSE interval '0' END,
    upper(during) - CASE WHEN upper(during) > $1 THEN $2 ELSE interval '0' END) WHERE outage_no = $3
"""
# Whether the length is too long for what was written first under a wrong date: it would come to lie before what was written earlier.
# Numbers follow the order of writing; an outage that was recorded at a wrong start begins when we were last alive.
TOO_LONG = """
WITH stamps AS (
    SELECT 'change' AS what, change_no AS number, changed_at AS at FROM order_changes
    UNION ALL SELECT 'report', fact_id, received_at FROM raw_reports
    UNION ALL SELECT 'report', request_no, received_at FROM raw_requests
), first_ahead AS (
    SELECT DISTINCT ON (what) what, number, at FROM stamps WHERE at > $1 ORDER BY what, number)
SELECT EXISTS (SELECT FROM first_ahead f JOIN stamps s USING (what) WHERE s.number < f.number AND s.at > f.at - $2::interval)
    OR EXISTS (SELECT FROM outages WHERE recorded_at > $1 AND lower(during) <= $1 AND upper(during) > $1
               AND upper(during) - $2 <= lower(during))
"""
FORGET: Final = (
    "DELETE FROM checkpoints",
    "DELETE FROM older_checkpoints",
    "DELETE FROM silence_progress",
    "DELETE FROM late_judgements",
    "DELETE FROM clock_uploads",
)


class ClockNotAhead(MendableError):
    """There is nothing to put back."""


class SeveralDates(MendableError):
    """What was written ahead of the clock was not written under one wrong date, and no one length puts it back."""

    exit_code = 1


class ServiceRuns(MendableError):
    """The service works on the record."""

    exit_code = 1


async def ahead_of_clock_ms(connection: Connection, now_ms: int) -> int:
    """How far a start of the service would be ahead of the clock; 0 if it would not."""
    judged_ms = await alive_ms(connection) or 0
    _, changed_ms = await last_change(connection)
    return max(0, judged_ms - now_ms, (changed_ms or 0) - now_ms)


async def put_back(connection: Connection, who: str, now_ms: int) -> int:
    """Move everything back that our clock wrote ahead of `now_ms`; by how many milliseconds. One transaction, recorded in the log of
    changes. Raises ClockNotAhead, SeveralDates, or ServiceRuns while a worker holds the database."""
    if not await try_lock(connection, WORKER_LOCK):
        raise ServiceRuns(
            "The service runs on this database. End it first: what it holds in memory is judged too far."
        )
    ahead_ms = await ahead_of_clock_ms(connection, now_ms)
    if ahead_ms == 0:
        raise ClockNotAhead("Nothing is judged ahead of the clock: there is nothing to put back.")
    now, length = datetime_of(now_ms), timedelta(milliseconds=ahead_ms)
    if await connection.fetchval(TOO_LONG, now, length):
        raise SeveralDates(
            f"The record was written under more than one date that had not come, the last {format_instant(now_ms + ahead_ms)}: moved "
            "back by one length, some of it would come to lie before what was written earlier. Nothing was changed. Restore the "
            "backup from before the first of them (docs/database.md)."
        )
    async with connection.transaction():
        unfit_before = await changed_rows(connection)
        await _move_ranges(connection, now, length)
        rows = await _move_instants(connection, now, length)
        for statement in FORGET:
            await connection.execute(statement)
        detail: dict[str, Any] = {"back_ms": ahead_ms, "from": format_instant(now_ms + ahead_ms), "rows": rows}
        await log_change(connection, OrderChange(CLOCK_PUT_BACK, None, detail), who, now_ms)
        await seal_again(connection, CLOCK_PUT_BACK, unfit_before)
    return ahead_ms


async def _move_ranges(connection: Connection, now: datetime, length: timedelta) -> None:
    for row in await connection.fetch(LATER_RANGES, RECORDED):
        for (place,) in await connection.fetch(row["later"], now):
            await connection.execute(row["move"], now, length, place)
    for (outage_no,) in await connection.fetch(LATER_OUTAGES, now):
        await connection.execute(MOVE_OUTAGE, now, length, outage_no)
    for (outage_no,) in await connection.fetch(LATER_SHARD_OUTAGES, now):
        await connection.execute(MOVE_SHARD_OUTAGE, now, length, outage_no)


async def _move_instants(connection: Connection, now: datetime, length: timedelta) -> dict[str, int]:
    """How many rows of each table."""
    pairs = [(table, column) for table, columns in INSTANTS.items() for column in columns]
    moves = await connection.fetch(MOVES_OF_INSTANTS, [table for table, _ in pairs], [column for _, column in pairs])
    counts = {}
    for table, row in zip(sorted(INSTANTS), moves, strict=True):
        moved = int((await connection.execute(row["move"], now, length)).split()[-1])
        if moved:
            counts[table] = moved
    return counts
