"""A run of retention: what may go, goes, in slices with a transaction each, beside a running service.

    begin       the run, its rules and who started it, on record
    end         judgement of those whose facts go: nobody judges them again, and what was found stays as it was told
    wait        until the service has taken that in
    drop        whole days of positions in which nothing has to stay
    delete      the rest, row by row, each slice with a record of which rows went and under which rule

Every record is a leaf of the log, so that `emtrack audit check` tells what was deleted from what was taken. A run that is cut short
leaves whole slices; the next run goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
import structlog

from alerts import take_alerts_of
from emtrack.db.locks import WORKER_LOCK, try_lock
from emtrack.errors import MendableError
from emtrack.record.changes import FACTS_DELETED, OrderChange, are_noticed, log_change
from emtrack.record.deployment_settings import load_settings
from emtrack.retention.rules import Kind, Rule, ended_before
from emtrack.retention.targets import OF_A_PERSON, OF_NOBODY, Target
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

# Who is monitored no more: when the last order or activation ended, by what holds now (null: who never was). And when the programme's
# record of them ended: with the last membership, if that is later; of who was in no cohort and never monitored, when something was
# last recorded. Of whom nothing is known is not here.
ENDED = """
SELECT wearer_no, wearer_id, CASE WHEN isfinite(ended_at) THEN ended_at END AS ended_at,
       CASE WHEN isfinite(record_ended_at) THEN record_ended_at END AS record_ended_at, is_held
FROM (
    SELECT w.wearer_no, w.wearer_id, e.ended_at, greatest(e.ended_at, m.ended_at, r.ended_at) AS record_ended_at,
           coalesce((SELECT is_held FROM retention_holds h WHERE h.wearer_no = w.wearer_no ORDER BY hold_no DESC LIMIT 1), false)
               AS is_held
    FROM wearers w CROSS JOIN LATERAL (
        SELECT max(coalesce(upper(span), 'infinity')) AS ended_at FROM (
            SELECT during FROM activation_versions WHERE wearer_no = w.wearer_no AND upper_inf(recorded)
            UNION ALL SELECT valid FROM requirement_versions WHERE wearer_no = w.wearer_no AND upper_inf(recorded)) AS s (span)) e
    CROSS JOIN LATERAL (
        SELECT max(coalesce(upper(valid), 'infinity')) AS ended_at FROM iom_now
        WHERE wearer_no = w.wearer_no AND noun = 'membership') m
    CROSS JOIN LATERAL (
        SELECT max(recorded_at) AS ended_at FROM iom_entries
        WHERE wearer_no = w.wearer_no AND e.ended_at IS NULL AND m.ended_at IS NULL) r) t
WHERE ended_at < $1 OR record_ended_at < $1 ORDER BY wearer_id
"""
HELD_NOW = """
SELECT wearer_no FROM (SELECT DISTINCT ON (wearer_no) wearer_no, is_held FROM retention_holds ORDER BY wearer_no, hold_no DESC) h
WHERE is_held
"""
SPANS = """
SELECT device_no, lower(during) AS begin_at, upper(during) AS end_at FROM activation_versions
WHERE wearer_no = $1 AND upper_inf(recorded) ORDER BY during
"""
DAYS = """
SELECT to_date(right(c.relname, 10), 'YYYY_MM_DD') AS day, c.relname AS name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'positions'::regclass ORDER BY 1
"""
COUNT_POSITIONS = """
SELECT count(*) FROM positions r JOIN activation_versions v ON v.device_no = r.device_no AND v.during @> r.fix_time
WHERE v.wearer_no = $1 AND upper_inf(v.recorded)
"""
REMOVE_POSITIONS = """
WITH gone AS (
    DELETE FROM positions WHERE device_no = $1 AND fix_time >= $5 AND fix_time < $6 RETURNING fact_id, device_no
), noted AS (
    INSERT INTO retention_removals (run_no, kind, rule, days, keys, parts, removed_at)
    SELECT $2, 'positions', $3, $4, array_agg(fact_id), array_agg(device_no), clock_timestamp() FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""
# Of a day, positions of a time in which their device was on nobody, by the orders of today.
REMOVE_NOBODYS = """
WITH gone AS (
    DELETE FROM positions r WHERE r.fix_time >= $1 AND r.fix_time < $2 AND NOT EXISTS (
        SELECT FROM activation_versions v WHERE v.device_no = r.device_no AND upper_inf(v.recorded) AND v.during @> r.fix_time)
    RETURNING fact_id, device_no
), noted AS (
    INSERT INTO retention_removals (run_no, kind, rule, days, keys, parts, removed_at)
    SELECT $3, 'positions', $4, $5, array_agg(fact_id), array_agg(device_no), clock_timestamp() FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""
# Of a day, whether a row has to stay: of a time in which its device was with nobody who may go.
HAS_TO_STAY = """
SELECT EXISTS (
    SELECT FROM positions r WHERE r.fix_time >= $1 AND r.fix_time < $2 AND NOT EXISTS (
        SELECT FROM activation_versions v WHERE v.device_no = r.device_no AND v.during @> r.fix_time AND upper_inf(v.recorded)
        AND v.wearer_no = ANY($3::bigint[])))
"""
NOTE_DAY = """
WITH rows AS (SELECT fact_id, device_no, row_number() OVER () / 50000 AS chunk FROM positions WHERE fix_time >= $1 AND fix_time < $2),
noted AS (
    INSERT INTO retention_removals (run_no, kind, rule, days, whole_partition, keys, parts, removed_at)
    SELECT $3, 'positions', $4, $5, $6, array_agg(fact_id), array_agg(device_no), clock_timestamp() FROM rows GROUP BY chunk)
SELECT count(*) FROM rows
"""
ROWS_OF_DAY = "SELECT count(*) FROM positions WHERE fix_time >= $1 AND fix_time < $2"
# Rows that are deleted take their packed hours with them (migration 42); a partition that is dropped does not.
UNPACK_DAY = (
    "DELETE FROM packed_positions WHERE hour >= $1 AND hour < $2",
    "DELETE FROM packed_late WHERE hour >= $1 AND hour < $2",
    "DELETE FROM packed_hours WHERE hour >= $1 AND hour < $2",
)
DROP_DAY = "SELECT format('DROP TABLE %I', $1::text)"
LOCK_POSITIONS = "LOCK TABLE positions IN ACCESS EXCLUSIVE MODE"
LOCK_PATIENCE = "SET LOCAL lock_timeout = '200ms'"
NEW_RUN = """
INSERT INTO retention_runs (begun_at, entered_by, rules) VALUES (clock_timestamp(), $1, $2) RETURNING run_no
"""
END_JUDGEMENT = """
INSERT INTO judgement_ended (activation_no, run_no)
SELECT activation_no, $2 FROM activation_versions WHERE wearer_no = $1 AND upper_inf(recorded)
ON CONFLICT DO NOTHING RETURNING activation_no
"""
FORGET: Final = (
    "DELETE FROM checkpoints WHERE activation_no = ANY($1::bigint[])",
    "DELETE FROM older_checkpoints WHERE activation_no = ANY($1::bigint[])",
    "DELETE FROM silence_progress WHERE activation_no = ANY($1::bigint[])",
    "DELETE FROM late_judgements WHERE activation_no = ANY($1::bigint[])",
    "DELETE FROM clock_uploads WHERE activation_no = ANY($1::bigint[])",
)
FORGET_NAME = """
UPDATE wearers SET name = NULL, iom_before_0003 = NULL WHERE wearer_no = $1 AND (name IS NOT NULL OR iom_before_0003 IS NOT NULL)
"""
log = structlog.get_logger()

UNLOCK = "SELECT pg_advisory_unlock($1)"

JUDGED: Final = frozenset({Kind.POSITIONS, Kind.EVENTS, Kind.FINDINGS})
"""Without these nobody can be judged again."""
OF_THE_RECORD: Final = frozenset({Kind.IOM_RECORD, Kind.LOOKS})
"""Kinds that are counted from the end of the programme's record of a person."""
OF_ALERTS: Final = frozenset({Kind.FINDINGS, Kind.ALERTS})
"""Kinds of which a turn changes rows under the locks of alerts."""
TRIES: Final = 25
NOTICED_WITHIN_S: Final = 60.0


class ServiceDoesNotListen(MendableError):
    """The service did not take in that some people are judged no more."""

    exit_code = 1


class Ended(NamedTuple):
    """Somebody who is monitored no more (`ended_at`), or whom the programme's record is of no more. None: it goes on, or there
    never was any."""

    wearer_no: int
    wearer_id: str
    ended_at: datetime | None
    record_ended_at: datetime | None
    is_held: bool

    def end_of(self, kind: Kind) -> datetime | None:
        """From when a kind of data is counted."""
        return self.record_ended_at if kind in OF_THE_RECORD else self.ended_at


class Going(NamedTuple):
    """What may go: rows of a kind, of one person (None: of nobody), and why."""

    kind: Kind
    table: str
    wearer_id: str | None
    rows: int
    why: str


class Plan(NamedTuple):
    """Who may go by which rule. `cutoffs`: what ended before may go."""

    people: Sequence[Ended]
    rules: Mapping[Kind, Rule]
    cutoffs: Mapping[Kind, datetime]

    def of(self, *kinds: Kind) -> list[Ended]:
        """Of whom each of some kinds may go."""
        return [one for one in self.people if not one.is_held and all(self._may_go(one, kind) for kind in kinds)]

    def _may_go(self, one: Ended, kind: Kind) -> bool:
        end = one.end_of(kind)
        return end is not None and end < self.cutoffs[kind]

    def cutoff(self, target: Target) -> datetime:
        """Of what is of nobody: before when it may go."""
        return min(self.cutoffs[kind] for kind in target.kinds)

    def why(self, kind: Kind, ended_at: datetime | None = None) -> str:
        since = "each is counted by itself" if ended_at is None else f"ended {ended_at:%Y-%m-%d}"
        return f"{self.rules[kind].days} days, {since}: {self.rules[kind].reason}"


async def planned(connection: Connection, rules: Mapping[Kind, Rule], now_ms: int) -> Plan:
    """Who may go at an instant of the record's clock."""
    timezone, _ = await load_settings(connection, now_ms)
    now = datetime_of(now_ms)
    people = [Ended(*row) for row in await connection.fetch(ENDED, now)]
    return Plan(people, rules, {kind: ended_before(now, rule.days, timezone) for kind, rule in rules.items()})


async def would_go(connection: Connection, plan: Plan) -> list[Going]:
    """What a run would delete. Changes nothing."""
    going = []
    for target in OF_A_PERSON:
        for person in plan.of(*target.kinds):
            rows = await connection.fetchval(target.how_many, person.wearer_no)
            going.append(
                Going(
                    target.kind,
                    target.table,
                    person.wearer_id,
                    rows,
                    plan.why(target.kind, person.end_of(target.kind)),
                )
            )
    for person in plan.of(Kind.POSITIONS):
        rows = await connection.fetchval(COUNT_POSITIONS, person.wearer_no)
        why = plan.why(Kind.POSITIONS, person.end_of(Kind.POSITIONS))
        going.append(Going(Kind.POSITIONS, "positions", person.wearer_id, rows, why))
    for target in OF_NOBODY:
        rows = await connection.fetchval(target.how_many, plan.cutoff(target))
        going.append(Going(target.kind, target.table, None, rows, plan.why(target.kind)))
    return [one for one in going if one.rows]


class Run:
    """One run. `gone`: rows by kind so far. `connection`: of the owner, in no transaction."""

    def __init__(self, connection: Connection, plan: Plan, run_no: int) -> None:
        self._connection = connection
        self._plan = plan
        self.run_no = run_no
        self.gone: Counter[str] = Counter()
        self.days_dropped = 0

    async def all_of_it(self, who: str, now_ms: int) -> None:
        """Raises ServiceDoesNotListen; what went by then is on record."""
        if await self._end_judgement(who, now_ms):
            await until_noticed(self._connection)
        await self._nobodys_positions()
        await self._drop_days()
        for person in await self.due(Kind.POSITIONS):
            await self._positions_of(person)
        for target in OF_A_PERSON:
            for person in await self.due(*target.kinds):
                await self._rows(target, person.wearer_no)
        for person in await self.due(Kind.IOM_RECORD):
            await self._connection.execute(FORGET_NAME, person.wearer_no)
        for target in OF_NOBODY:
            await self._rows(target, self._plan.cutoff(target))

    async def due(self, *kinds: Kind) -> list[Ended]:
        """Those of the plan on whom no hold was put since it was made."""
        held = {row["wearer_no"] for row in await self._connection.fetch(HELD_NOW)}
        return [person for person in self._plan.of(*kinds) if person.wearer_no not in held]

    async def _end_judgement(self, who: str, now_ms: int) -> bool:
        ended = False
        for person in sorted({one for kind in JUDGED for one in await self.due(kind)}):
            async with self._connection.transaction():
                numbers = [
                    row["activation_no"]
                    for row in await self._connection.fetch(END_JUDGEMENT, person.wearer_no, self.run_no)
                ]
                if numbers:
                    for statement in FORGET:
                        await self._connection.execute(statement, numbers)
                    change = OrderChange(FACTS_DELETED, person.wearer_no, {"run": self.run_no})
                    await log_change(self._connection, change, who, now_ms)
                    ended = True
        return ended

    async def _rows(self, target: Target, of: int | datetime) -> None:
        """What a service adds to meanwhile stays for the next run. It adds to what is of alerts; elsewhere a row that rests on
        what is to go is a fault of ours."""
        try:
            while taken := await self._slice(target, of):
                self.gone[target.table] += taken
        except (asyncpg.ForeignKeyViolationError, asyncpg.DeadlockDetectedError) as error:
            if isinstance(error, asyncpg.ForeignKeyViolationError) and target.kind not in OF_ALERTS:
                raise
            log.warning("a turn changed what was to go; the next run takes it", table=target.table)

    async def _slice(self, target: Target, of: int | datetime) -> int:
        """No turn is between its look at alerts of somebody and what it makes of it."""
        rule = self._plan.rules[target.kind]
        async with self._connection.transaction():
            if target.kind in OF_ALERTS and isinstance(of, int):
                await take_alerts_of(self._connection, of)
            taken: int = await self._connection.fetchval(target.remove, of, self.run_no, str(target.kind), rule.days)
        return taken

    async def _positions_of(self, person: Ended) -> None:
        days = [row["day"] for row in await self._connection.fetch(DAYS)]
        for span in await self._connection.fetch(SPANS, person.wearer_no):
            for day in days:
                begin, end = _utc_day(day)
                first, last = max(begin, span["begin_at"]), min(end, span["end_at"])
                if first < last:
                    await self._slice_of_positions(span["device_no"], first, last)

    async def _nobodys_positions(self) -> None:
        rule, cutoff = self._plan.rules[Kind.POSITIONS], self._plan.cutoffs[Kind.POSITIONS]
        for row in await self._connection.fetch(DAYS):
            begin, end = _utc_day(row["day"])
            if end <= cutoff:
                self.gone["positions"] += await self._connection.fetchval(
                    REMOVE_NOBODYS, begin, end, self.run_no, str(Kind.POSITIONS), rule.days
                )

    async def _slice_of_positions(self, device_no: int, first: datetime, last: datetime) -> None:
        rule = self._plan.rules[Kind.POSITIONS]
        taken = await self._connection.fetchval(
            REMOVE_POSITIONS, device_no, self.run_no, str(Kind.POSITIONS), rule.days, first, last
        )
        self.gone["positions"] += taken

    async def _drop_days(self) -> None:
        wearers = [person.wearer_no for person in await self.due(Kind.POSITIONS)]
        if not wearers:
            return
        for row in await self._connection.fetch(DAYS):
            begin, end = _utc_day(row["day"])
            is_empty = not await self._connection.fetchval(ROWS_OF_DAY, begin, end)
            if is_empty or await self._connection.fetchval(HAS_TO_STAY, begin, end, wearers):
                continue
            for _ in range(TRIES):
                if await self._drop_day(row["name"], begin, end):
                    self.days_dropped += 1
                    break
                await asyncio.sleep(0.2)

    async def _drop_day(self, name: str, begin: datetime, end: datetime) -> bool:
        """Waits for the lock so shortly that reports that come in do not queue behind it. False: it was not had, or a row was
        added."""
        rule = self._plan.rules[Kind.POSITIONS]
        try:
            async with self._connection.transaction():
                noted = await self._connection.fetchval(
                    NOTE_DAY, begin, end, self.run_no, str(Kind.POSITIONS), rule.days, name
                )
                await self._connection.execute(LOCK_PATIENCE)
                await self._connection.execute(LOCK_POSITIONS)
                if await self._connection.fetchval(ROWS_OF_DAY, begin, end) != noted:
                    raise RowAdded
                for statement in UNPACK_DAY:
                    await self._connection.execute(statement, begin, end)
                await self._connection.execute(await self._connection.fetchval(DROP_DAY, name))
        except (asyncpg.LockNotAvailableError, RowAdded):
            return False
        self.gone["positions"] += noted
        return True


class RowAdded(Exception):
    """Something was stored in a day that was about to go."""


def _utc_day(day: date) -> tuple[datetime, datetime]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)


async def begin_run(connection: Connection, plan: Plan, who: str) -> Run:
    """On record from here on."""
    rules = {str(kind): {"days": rule.days, "reason": rule.reason} for kind, rule in plan.rules.items()}
    return Run(connection, plan, await connection.fetchval(NEW_RUN, who, rules))


async def until_noticed(connection: Connection) -> None:
    """Until a service that runs has taken in whose judgement ended. Raises ServiceDoesNotListen."""
    async with asyncio.timeout(NOTICED_WITHIN_S + 1):
        for _ in range(round(NOTICED_WITHIN_S / 0.1)):
            if await try_lock(connection, WORKER_LOCK):
                await connection.execute(UNLOCK, WORKER_LOCK)
                return
            if await are_noticed(connection):
                return
            await asyncio.sleep(0.1)
    raise ServiceDoesNotListen(
        f"The service did not take in within {NOTICED_WITHIN_S:.0f} s that judgement of some people ended. Nothing was deleted. See "
        "whether it is well (/readyz), then run again."
    )
