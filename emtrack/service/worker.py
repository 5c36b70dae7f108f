"""One turn of the pipeline, and the worker that takes turns.

    gather      what waits in the inbox, or nothing after a second: a turn without reports lets time pass
    notice      orders that were entered since the last turn
    store       raw reports, positions, events, refusals, counts        \\
    judge       the activations that got facts, and those that are due   |  one transaction
    record      findings, checkpoints, alerts, how far we are           /
    adopt       memory follows the disk
    answer      the devices, after the commit

A turn that fails is rolled back and nothing of it is acknowledged: devices send again, and what is there already comes
back as a duplicate. The worker then forgets everything and loads it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import structlog

from emtrack.clock import Clock
from emtrack.db.connect import connect
from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.record.facts import fact_of
from emtrack.record.findings import add_versions
from emtrack.record.orders import load_outages
from emtrack.record.progress import (
    Ids,
    alive_ms,
    forget_checkpoints,
    keep_checkpoints,
    record_alive,
    record_outage_since,
    record_ready,
    store_checkpoints,
    store_silences,
)
from emtrack.record.zone_sets import SetShelf
from emtrack.service.activations import Docket, Ruling
from emtrack.service.alerting import alert
from geofence.facts import Fact
from geofence.words import datetime_of, instant_of
from ingest.inbox import Inbox, Submission
from ingest.reports import EventReport, PositionReport, Refusal, RefusalReason, read_report
from ingest.store import (
    Accepted,
    Incoming,
    IsActivated,
    Outcome,
    days_of,
    devices_waiting,
    examine_again,
    make_days,
    refusal_of,
    store_reports,
)
from ingest.wire import Acknowledgement, Received, RefusedReport

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

MAX_WAIT_S = 1.0
LIVENESS_S = 5.0
"""A time longer than this between two commits is an outage (RULES.md section 8)."""
MAX_DUE = 1_000
WORKER_LOCK = 0x656D_7472  # advisory, held by the connection that writes: who loses it cannot write
LOCK_PATIENCE_S = 30.0

log = structlog.get_logger()

TAKE_LOCK = "SELECT pg_try_advisory_lock($1)"
CHANGES = "SELECT change_no, wearer_no, what, changed_at FROM order_changes WHERE change_no > $1 ORDER BY change_no"
CONCERNS_EVERYBODY = frozenset({"settings entered", "outage entered"})
LAST_CHANGE = "SELECT coalesce(max(change_no), 0) AS change_no, max(changed_at) AS changed_at FROM order_changes"
KEYS = """
SELECT d.device_id, d.device_no, k.key_hash FROM device_keys k JOIN devices d USING (device_no) WHERE k.revoked_at IS NULL
"""
FAULT = "INSERT INTO judgement_faults (activation_no, noticed_at, error) VALUES ($1, $2, $3)"
# A checkpoint knows nothing of the facts of a judgement that failed: after a restart all are judged from the start.
FORGET_CHECKPOINT = "DELETE FROM checkpoints WHERE activation_no = $1"


class AlreadyServed(Exception):
    """Another worker holds this database."""


class KeyRing:
    """Device keys in memory, as of the last turn that saw orders or keys change."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[int, frozenset[bytes]]] = {}

    def device_no(self, device_id: str, key_hash: bytes) -> int | None:
        """The device's number if the key is one of its keys. Does not block."""
        number, hashes = self._devices.get(device_id, (0, frozenset()))
        return number if key_hash in hashes else None

    async def load(self, connection: Connection) -> None:
        devices: dict[str, tuple[int, set[bytes]]] = {}
        for row in await connection.fetch(KEYS):
            devices.setdefault(row["device_id"], (row["device_no"], set()))[1].add(row["key_hash"])
        self._devices = {name: (number, frozenset(hashes)) for name, (number, hashes) in devices.items()}


class Worker:
    """Takes turns for as long as the program runs, over as many connections as that needs."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        inbox: Inbox,
        keys: KeyRing,
        metrics: Metrics,
        *,
        turn_reports: int = 4_000,
        nudge: asyncio.Condition | None = None,
        shelf: SetShelf | None = None,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._inbox = inbox
        self._keys = keys
        self._metrics = metrics
        self._turn_reports = turn_reports
        self._nudge = nudge
        self._fact_ids = Ids("fact_id_blocks")
        self._alert_nos = Ids("alert_no_blocks")
        self._docket = Docket(Ids("finding_no_blocks"), SetShelf() if shelf is None else shelf)
        self._changes_seen = 0
        self._to_examine: set[int] = set()
        self._now_ms = 0
        self._committed_at_s = 0.0
        self.ready = asyncio.Event()

    @property
    def docket(self) -> Docket:
        """What is under judgement."""
        return self._docket

    # ------------------------------------------------------------------------------------- life

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises AlreadyServed; outlives everything that a database can do."""
        delay_s = 0.5
        while not stop.is_set():
            try:
                connection = await connect(self._dsn)
                try:
                    await self._serve(connection, stop)
                finally:
                    self._unready()
                    with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                        await connection.close(timeout=5)
                delay_s = 0.5
            except AlreadyServed:
                raise
            except Exception as error:
                where = origin_of(error).function
                log.error("worker starts anew", error=type(error).__name__, where=where, retry_s=delay_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay_s)
                delay_s = min(5.0, delay_s * 2)
        self._inbox.close()

    def _unready(self) -> None:
        self.ready.clear()
        self._metrics.ready.set(0)

    async def _serve(self, connection: Connection, stop: asyncio.Event) -> None:
        await _take_lock(connection)
        await self._load(connection)
        self.ready.set()
        self._metrics.ready.set(1)
        log.info("ready", activations=len(self._docket))
        while not stop.is_set():
            await self.turn(connection)

    async def _load(self, connection: Connection) -> None:
        """Everything from the disk; then we are ready, and the time since we were last alive was an outage."""
        judged_ms = await alive_ms(connection)
        self._now_ms = max(self._clock.now_ms(), judged_ms or 0)
        last = await connection.fetchrow(LAST_CHANGE)
        assert last is not None, "an aggregate is one row"
        self._changes_seen = last["change_no"]
        if last["changed_at"] is not None:  # orders that were entered before the clock stepped back are held too
            self._now_ms = max(self._now_ms, instant_of(last["changed_at"]))
        self._to_examine = set(await devices_waiting(connection))
        await self._keys.load(connection)
        await self._docket.load(connection, self._now_ms, judged_ms)
        self._tick()
        async with connection.transaction():
            outages, recorded = await record_ready(connection, self._now_ms)
        self._docket.know_outages(outages)
        self._metrics.outages.inc(recorded)
        self._metrics.activations.set(len(self._docket))
        self._committed_at_s = time.monotonic()

    def _tick(self) -> None:
        """The service's clock never steps back, even if the machine's does."""
        self._now_ms = max(self._clock.now_ms(), self._now_ms)

    # ------------------------------------------------------------------------------------- one turn

    async def turn(self, connection: Connection) -> None:
        """Gather, and take what was gathered through to its answers. Raises what the database raises; then nothing of
        the turn holds, and those who wait are told to send again."""
        batch = await self._inbox.gather(self._turn_reports, MAX_WAIT_S)
        try:
            await self._take(connection, batch)
        except BaseException:
            for submission in batch:
                if not submission.done.done():
                    submission.done.set_exception(TimeoutError())
            raise
        finally:
            self._metrics.waiting.set(self._inbox.filled)

    async def step(self, connection: Connection, batch: Sequence[Submission], now_ms: int) -> None:
        """One turn that a caller drives, with a batch of its own and the instant that it is: how a history is built.

        The first loads everything, and the deployment is ready at its instant. Between two steps no time passes, so
        that nothing is an outage however long they take.
        """
        if not self.ready.is_set():
            await _take_lock(connection)
            await self._load(connection)
            self.ready.set()
        self._now_ms = max(self._now_ms, now_ms)
        self._committed_at_s = time.monotonic()
        await self._take(connection, batch)

    async def _take(self, connection: Connection, batch: Sequence[Submission]) -> None:
        try:
            await self._commit(connection, batch)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
            self._metrics.failed_turns.inc()
            raise
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ArithmeticError, ValueError) as error:
            # Something in the batch cannot be stored: find it, so that it stops nobody else.
            self._metrics.failed_turns.inc()
            where = origin_of(error).function
            log.error("turn failed", error=type(error).__name__, where=where, submissions=len(batch))
            if len(batch) > 1:
                for submission in batch:
                    await self._take(connection, [submission])
            elif batch and batch[0].unreadable is None:
                await self._commit(connection, [_unstorable(batch[0], error)])
            else:
                raise

    async def _commit(self, connection: Connection, batch: Sequence[Submission]) -> None:
        started_s = time.monotonic()
        self._tick()
        await self._notice_changes(connection)
        now_ms = self._now_ms
        incoming = await self._incoming(connection, batch)
        async with connection.transaction():
            await self._notice_stall(connection, started_s)
            # What was received earlier comes first: of duplicates the first receipt is kept.
            released = await examine_again(
                connection, sorted(self._to_examine), _read_body, self._docket.is_activated, now_ms
            )
            await make_days(connection, days_of(incoming, self._docket.is_activated))
            outcome = await store_reports(connection, incoming, self._docket.is_activated)
            facts = self._facts([*outcome.accepted, *released])
            rulings = await self._docket.judge(connection, facts, self._docket.due(now_ms, MAX_DUE), now_ms)
            await _record(connection, rulings, now_ms)
            raised = await alert(connection, rulings, self._docket.seats, self._alert_nos, now_ms)
            await record_alive(connection, now_ms, self._changes_seen)
        self._to_examine.clear()
        self._committed_at_s = started_s  # what is alive is said as of the turn's start: a long turn is a gap too
        self._docket.adopt(rulings, now_ms)
        _answer(batch, incoming, outcome, self._docket.is_activated)
        self._count(incoming, outcome, rulings, time.monotonic() - started_s)
        self._metrics.alerts.inc(raised.opened)
        if self._nudge is not None and raised.changed:
            async with self._nudge:
                self._nudge.notify_all()

    async def _notice_changes(self, connection: Connection) -> None:
        """Take in orders and keys that were entered since the last turn."""
        rows = await connection.fetch(CHANGES, self._changes_seen)
        if not rows:
            return
        self._now_ms = max(self._now_ms, *(instant_of(row["changed_at"]) for row in rows))
        everybody = any(row["what"] in CONCERNS_EVERYBODY for row in rows)
        wearers = sorted({row["wearer_no"] for row in rows if row["wearer_no"] is not None})
        await self._keys.load(connection)
        if everybody:
            self._docket.know_outages(await load_outages(connection))
        if everybody or wearers:
            self._to_examine |= await self._docket.change_orders(
                connection, self._now_ms, None if everybody else wearers
            )
        self._changes_seen = rows[-1]["change_no"]
        self._metrics.activations.set(len(self._docket))

    async def _incoming(self, connection: Connection, batch: Sequence[Submission]) -> list[Incoming]:
        pairs = [(submission.device_no, received) for submission in batch for received in _received(submission)]
        ids = await self._fact_ids.take(connection, len(pairs)) if pairs else []
        return [
            Incoming(fact_id, device_no, received, self._now_ms)
            for fact_id, (device_no, received) in zip(ids, pairs, strict=True)
        ]

    async def _notice_stall(self, connection: Connection, started_s: float) -> None:
        """If the last commit is too long ago, that time was an outage: we could not have heard anybody."""
        stalled_s = started_s - self._committed_at_s
        if stalled_s <= LIVENESS_S:
            return
        since_ms = self._now_ms - round(stalled_s * 1000 * self._clock.rate)
        outages, recorded = await record_outage_since(
            connection, since_ms, self._now_ms, "no commit for more than 5 s"
        )
        self._docket.know_outages(outages)
        self._metrics.outages.inc(recorded)
        log.warning("outage recorded", seconds=round(stalled_s, 1))

    def _facts(self, accepted: Sequence[Accepted]) -> dict[int, list[Fact]]:
        facts: dict[int, list[Fact]] = defaultdict(list)
        for item in accepted:
            seat = self._docket.seat_at(item.device_no, item.report.own_ms)
            assert seat is not None, "what no activation covers is refused"
            fact = fact_of(seat.assignment, item.report, item.received_ms, item.fact_id)
            facts[seat.assignment.activation_no].append(fact)
        return facts

    def _count(
        self, incoming: Sequence[Incoming], outcome: Outcome, rulings: Sequence[Ruling], seconds: float
    ) -> None:
        metrics = self._metrics
        stored, refused = len(outcome.accepted), len(outcome.refused)
        metrics.reports.labels("stored").inc(stored)
        metrics.reports.labels("refused").inc(refused)
        metrics.reports.labels("duplicate").inc(len(incoming) - stored - refused)
        metrics.clashes.inc(len(outcome.clashes))
        for ruling in rulings:
            if ruling.fault is not None:
                metrics.faults.inc()
            elif ruling.cause is not None:
                metrics.rejudged.labels(ruling.cause).inc()
        versions = Counter((r.finding.kind, r.change) for ruling in rulings for r in ruling.records)
        for (kind, change), count in versions.items():
            metrics.findings.labels(str(kind), change).inc(count)
        metrics.turns.inc()
        metrics.turn_seconds.observe(seconds)
        metrics.judged_to.set(self._now_ms / 1000)


async def _take_lock(connection: Connection) -> None:
    deadline_s = time.monotonic() + LOCK_PATIENCE_S
    while not await connection.fetchval(TAKE_LOCK, WORKER_LOCK):
        if time.monotonic() > deadline_s:
            raise AlreadyServed(
                "Another emtrack serve works on this database (it holds the worker's lock). End it, or give this one "
                "another database."
            )
        await asyncio.sleep(0.5)


def _received(submission: Submission) -> Sequence[Received]:
    return submission.reports if submission.unreadable is None else [submission.unreadable]


def _unstorable(submission: Submission, error: Exception) -> Submission:
    """The submission as one refusal that is kept whole: the database would not have it as reports."""
    what = f"the request could not be stored ({type(error).__name__})"
    refusal = Refusal(RefusalReason.UNREADABLE, what, "send its reports one by one to find the one that is wrong")
    body = msgspec.msgpack.encode([received.body for received in submission.reports])
    whole = Received(0, None, submission.reports[0].digest if submission.reports else b"", body, refusal)
    return Submission(submission.device_no, submission.reports, submission.done, whole)


def _read_body(body: bytes) -> PositionReport | EventReport | Refusal:
    return read_report(msgspec.msgpack.decode(body))


async def _record(connection: Connection, rulings: Sequence[Ruling], now_ms: int) -> None:
    await add_versions(connection, [record for ruling in rulings for record in ruling.records], now_ms)
    await store_checkpoints(
        connection,
        [
            (r.seat.assignment.activation_no, r.seat.plan_version, r.state.base)
            for r in rulings
            if r.has_new_checkpoint
        ],
    )
    await keep_checkpoints(
        connection,
        [(r.seat.assignment.activation_no, r.seat.plan_version, r.state.base) for r in rulings if r.keeps_checkpoint],
    )
    await store_silences(
        connection, [(r.seat.assignment.activation_no, r.state.silence) for r in rulings if r.has_new_silence]
    )
    for ruling in rulings:
        if ruling.fault is not None:
            number = ruling.seat.assignment.activation_no
            await connection.execute(FAULT, number, datetime_of(now_ms), ruling.fault)
            await connection.execute(FORGET_CHECKPOINT, number)
            await forget_checkpoints(connection, [number])


def _answer(
    batch: Sequence[Submission], incoming: Sequence[Incoming], outcome: Outcome, is_activated: IsActivated
) -> None:
    """Tell each sender what is committed now. One that went away is told nothing and will send again."""
    position = 0
    for submission in batch:
        size = len(_received(submission))
        items = incoming[position : position + size]
        position += size
        if not submission.done.done():
            submission.done.set_result(_acknowledgement(submission, items, outcome, is_activated))


def _acknowledgement(
    submission: Submission, items: Sequence[Incoming], outcome: Outcome, is_activated: IsActivated
) -> Acknowledgement:
    """A refused report that is sent again is a duplicate, and is told again why it was refused."""
    refused = []
    for item in items:
        refusal = outcome.refused.get(item.fact_id) or refusal_of(item, is_activated)
        if refusal is not None:
            action = f"{refusal.what}: {refusal.action}"
            refused.append(RefusedReport(item.received.seq, refusal.reason, action))
    return Acknowledgement([r.seq for r in submission.reports if r.seq is not None], refused)
