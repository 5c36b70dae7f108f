"""The clock looks at alerts: sets their deadlines, notes what was missed, and writes down whom that is to be told.

All of it in one transaction of the caller, in slices of `SLICE` alerts. What was noted is not noted again, so that a look that is
taken twice (a crash, two programs) tells nobody twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alerts.casework import ACT, CLOSE, EMTRACK
from alerts.channels import Channel, channels_now
from alerts.deadlines import ON_CALL, REASONS, DeadlineRules, Deadlines, Due, Occasion, Watched, deadlines_of, due
from alerts.grading import Severity
from alerts.life import Move
from alerts.locks import part_of, take_all, take_part, try_parts
from alerts.outbox import NewMessage, post
from alerts.rota import on_call
from alerts.store import note_changes, state_of
from geofence import datetime_of, instant_of, instant_or_none

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from alerts.store import Connection

SLICE = 200

RULES = "SELECT rules_no, rules FROM deadline_rules ORDER BY rules_no DESC LIMIT 1"
ENTER_RULES = "INSERT INTO deadline_rules (rules, entered_at, entered_by) VALUES ($1, $2, $3)"
TO_SET_ANEW = "UPDATE alerts SET deadline_rules = NULL, look_at = '-infinity' WHERE closed_at IS NULL"
# The first due first.
DUE = """
SELECT a.alert_no, (a.wearer_no % c.shards)::int AS shard, a.network, a.home_unit FROM alerts a CROSS JOIN shard_count c
WHERE a.look_at <= $1 ORDER BY a.look_at, a.severity, a.alert_no LIMIT $2
"""
PUT_OFF = "UPDATE alerts SET look_at = $2 WHERE alert_no = $1"
# Who has one of them changes it: it is looked at when that is committed.
HOLD = "SELECT alert_no FROM alerts WHERE alert_no = ANY($1::bigint[]) AND look_at <= $2 FOR UPDATE SKIP LOCKED"
# What an alert counts from now may be a position that nothing has confirmed, whatever was found before.
HELD = """
SELECT a.alert_no, a.wearer_no, coalesce(a.wearer_no IN (SELECT canary_wearers()), false) AS is_canary, a.kind, a.severity,
       a.raised_at, a.known_at, a.closed_at, a.state, a.counts_from, a.acknowledge_by,
       a.contact_by, a.authority_by, a.deadline_rules, a.contacted_at, a.authority_told_at, a.suspended_until,
       EXISTS (SELECT FROM possible_entries p WHERE p.alert_no = a.alert_no AND p.raised_at >= a.counts_from)
           AND NOT EXISTS (SELECT FROM possible_entries p
                           WHERE p.alert_no = a.alert_no AND p.raised_at >= a.counts_from AND p.fate = 'confirmed')
           AND NOT EXISTS (SELECT FROM alert_occurrences o WHERE o.alert_no = a.alert_no AND o.added_at >= a.counts_from)
           OR EXISTS (SELECT FROM possible_entries p WHERE p.alert_no = a.alert_no)
              AND NOT EXISTS (SELECT FROM alert_occurrences o WHERE o.alert_no = a.alert_no) AS is_possible,
       EXISTS (SELECT FROM alerts i WHERE i.alert_no = a.incident_no AND i.closed_at IS NULL) AS is_grouped
FROM alerts a WHERE a.alert_no = ANY($1::bigint[]) ORDER BY a.look_at, a.severity, a.alert_no
"""
NOTED = """
SELECT o.alert_no, o.occasion, o.noted_at FROM alert_occasions o
JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (alert_no, counts_from) USING (alert_no, counts_from)
"""
NOTE = """
INSERT INTO alert_occasions (alert_no, counts_from, occasion, noted_at)
SELECT alert_no, counts_from, occasion, $4 FROM unnest($1::bigint[], $2::timestamptz[], $3::text[])
    AS t (alert_no, counts_from, occasion)
"""
# Several of one alert are numbered in their order.
ESCALATED = """
INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, note)
SELECT t.alert_no, coalesce((SELECT max(action_no) FROM alert_actions x WHERE x.alert_no = t.alert_no), 0)
       + row_number() OVER (PARTITION BY t.alert_no ORDER BY t.place), $3, $4, $5, t.note
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS t (alert_no, note, place)
"""
SINCE = "UPDATE alerts SET escalated_at = $2 WHERE alert_no = ANY($1::bigint[])"
LOOKED_AT = """
UPDATE alerts a SET acknowledge_by = t.acknowledge_by, contact_by = t.contact_by, authority_by = t.authority_by,
    deadline_rules = t.rules_no, look_at = t.look_at
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::timestamptz[])
    AS t (alert_no, acknowledge_by, contact_by, authority_by, rules_no, look_at)
WHERE a.alert_no = t.alert_no
"""


class RulesInForce(NamedTuple):
    """`rules_no` 0: the defaults of this program."""

    rules_no: int
    rules: DeadlineRules


class Looked(NamedTuple):
    """What a look did. `more`: others wait to be looked at."""

    alerts: int
    occasions: int
    messages: int
    more: bool


async def rules_in_force(connection: Connection) -> RulesInForce:
    row = await connection.fetchrow(RULES)
    if row is None:
        return RulesInForce(0, DeadlineRules())
    return RulesInForce(row["rules_no"], msgspec.convert(row["rules"], DeadlineRules))


async def enter_rules(connection: Connection, rules: DeadlineRules, who: str, now_ms: int) -> None:
    """New rules. The deadlines of what is open are set by them within a second; what was missed before stays missed."""
    await take_all(connection)
    await connection.execute(ENTER_RULES, msgspec.to_builtins(rules), datetime_of(now_ms), who)
    await connection.execute(TO_SET_ANEW)


async def look_at_alerts_due(connection: Connection, now_ms: int, most: int = SLICE) -> Looked:
    """A slice of those whose time has come, the first `most`, inside the caller's transaction."""
    due_rows = await connection.fetch(DUE, datetime_of(now_ms), most)
    held = await _hold(connection, due_rows, now_ms)
    if not held:
        return Looked(0, 0, 0, more=False)
    rows = await connection.fetch(HELD, held)
    in_force = await rules_in_force(connection)
    noted = await _noted(connection, rows)
    looks = [_look(row, in_force, noted.get(row["alert_no"], {}), now_ms) for row in rows]
    happened = [(row, occasion) for row, look in zip(rows, looks, strict=True) for occasion in look.due.occasions]
    await _note(connection, happened, now_ms)
    messages = await _tell(connection, happened, now_ms)
    await _escalate(connection, happened, now_ms)
    await _close_canaries(
        connection, [row["alert_no"] for row in rows if row["is_canary"] and row["closed_at"] is None], now_ms
    )
    await connection.execute(LOOKED_AT, *map(list, zip(*(look.columns for look in looks), strict=True)))
    return Looked(len(rows), len(happened), messages, more=len(due_rows) == most)


async def put_off_first_alert(connection: Connection, now_ms: int, until_ms: int) -> None:
    """The first that is due is looked at later. Inside the caller's transaction."""
    row = await connection.fetchrow(DUE, datetime_of(now_ms), 1)
    if row is not None:
        await take_part(connection, part_of(row))
        await connection.execute(PUT_OFF, row["alert_no"], datetime_of(until_ms))


async def _hold(connection: Connection, rows: Sequence[asyncpg.Record], now_ms: int) -> list[int]:
    """Of alerts that are due those that can be had. We wait for the first; a turn that lasts keeps nobody of another shard from being
    looked at."""
    if not rows:
        return []
    first, *others = dict.fromkeys(part_of(row) for row in rows)
    await take_part(connection, first)
    ours = {first} | await try_parts(connection, others)
    numbers = [row["alert_no"] for row in rows if part_of(row) in ours]
    return [row["alert_no"] for row in await connection.fetch(HOLD, numbers, datetime_of(now_ms))]


class _Look(NamedTuple):
    alert_no: int
    deadlines: Deadlines
    rules_no: int
    due: Due

    @property
    def columns(self) -> tuple[int | datetime | None, ...]:
        instants = (None if at_ms is None else datetime_of(at_ms) for at_ms in (*self.deadlines, self.due.next_ms))
        acknowledge_by, contact_by, authority_by, look_at = instants
        return (self.alert_no, acknowledge_by, contact_by, authority_by, self.rules_no, look_at)


def _look(row: asyncpg.Record, in_force: RulesInForce, noted: Mapping[Occasion, int], now_ms: int) -> _Look:
    severity, counts_from_ms = Severity(row["severity"]), instant_of(row["counts_from"])
    deadlines, rules_no = deadlines_of(in_force.rules, severity, counts_from_ms), in_force.rules_no
    if row["deadline_rules"] is not None:  # they stay what people were shown
        deadlines = Deadlines(
            instant_or_none(row["acknowledge_by"]),
            instant_or_none(row["contact_by"]),
            instant_or_none(row["authority_by"]),
        )
        rules_no = row["deadline_rules"]
    watched = Watched(
        state_of(row), counts_from_ms, deadlines, instant_or_none(row["contacted_at"]), instant_or_none(row["authority_told_at"]),
        instant_or_none(row["suspended_until"]), row["is_possible"], row["is_grouped"], in_force.rules.of(severity).escalates,
    )  # fmt: skip
    return _Look(row["alert_no"], deadlines, rules_no, due(watched, noted, now_ms))


async def _noted(connection: Connection, rows: Sequence[asyncpg.Record]) -> Mapping[int, Mapping[Occasion, int]]:
    """Of each alert what was noted, and when."""
    found: dict[int, dict[Occasion, int]] = {}
    keys = [row["alert_no"] for row in rows], [row["counts_from"] for row in rows]
    for row in await connection.fetch(NOTED, *keys):
        found.setdefault(row["alert_no"], {})[Occasion(row["occasion"])] = instant_of(row["noted_at"])
    return found


Happened = Sequence[tuple["asyncpg.Record", Occasion]]


async def _note(connection: Connection, happened: Happened, now_ms: int) -> None:
    if happened:
        columns = [row["alert_no"] for row, _ in happened], [row["counts_from"] for row, _ in happened]
        await connection.execute(NOTE, *columns, [str(occasion) for _, occasion in happened], datetime_of(now_ms))


async def _escalate(connection: Connection, happened: Happened, now_ms: int) -> None:
    """What was missed stands in the record of the alert, and pages are told."""
    missed = [(row["alert_no"], occasion) for row, occasion in happened if occasion in ON_CALL]
    if missed:
        numbers, notes = [alert_no for alert_no, _ in missed], [REASONS[occasion] for _, occasion in missed]
        await connection.execute(ESCALATED, numbers, notes, datetime_of(now_ms), EMTRACK, str(Move.ESCALATE))
        await connection.execute(SINCE, numbers, datetime_of(now_ms))
    changed = list(dict.fromkeys(alert_no for alert_no, _ in missed))
    await note_changes(connection, [(alert_no, str(Move.ESCALATE)) for alert_no in changed], now_ms)


async def _close_canaries(connection: Connection, alert_nos: Sequence[int], now_ms: int) -> None:
    """The canary has sung: nobody is to work it."""
    for alert_no in alert_nos:
        await connection.execute(
            ACT, alert_no, datetime_of(now_ms), EMTRACK, str(Move.CLOSE), "NO_ACTION", "The canary: nobody.", None
        )
        await connection.execute(CLOSE, alert_no, datetime_of(now_ms), None)


async def _tell(connection: Connection, happened: Happened, now_ms: int) -> int:
    """One message for each channel that is to be told; where there is nobody, one that says so stands undelivered."""
    if not happened:
        return 0
    channels = await channels_now(connection)
    levels = {level: await on_call(connection, level, now_ms) for level in set(ON_CALL.values())}
    messages = []
    for row, occasion in happened:
        to = _recipients(row, occasion, channels, levels)
        numbers: list[int | None] = [channel.channel_no for channel in to]
        if not numbers and occasion in ON_CALL and not row["is_canary"]:
            numbers = [None]
        messages += [_message(number, row, occasion) for number in numbers]
    return await post(connection, messages, now_ms)


def _recipients(
    row: asyncpg.Record, occasion: Occasion, channels: Sequence[Channel], levels: Mapping[int, frozenset[str]]
) -> list[Channel]:
    channels = [c for c in channels if c.is_canary == row["is_canary"] and not c.is_for_wearers]
    if occasion in ON_CALL:
        accounts = levels[ON_CALL[occasion]]
        to = [c for c in channels if c.account in accounts] or [c for c in channels if c.is_fallback]
    else:
        to = [c for c in channels if c.severity_from is not None and row["severity"] <= c.severity_from]
    return [c for c in to if not (c.is_outside and row["is_possible"])]


def _message(channel_no: int | None, row: asyncpg.Record, occasion: Occasion) -> NewMessage:
    """Numbers, words and times: it says that there is something to look at, not what is known of whom."""
    counts_from_ms = instant_of(row["counts_from"])
    fields = {
        "topic": "alert", "alert": row["alert_no"], "what": str(occasion), "kind": row["kind"],
        "severity": Severity(row["severity"]).name.lower(), "since_ms": counts_from_ms,
    }  # fmt: skip
    return NewMessage(channel_no, f"alert {row['alert_no']} {counts_from_ms} {occasion}", fields)
