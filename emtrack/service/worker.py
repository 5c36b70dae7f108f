"""One turn of the pipeline, and the worker that takes turns.

    gather      what waits in the inbox, or nothing after a second: a turn without reports lets time pass
    notice      orders that were entered since the last turn
    store       raw reports, positions, events, refusals, counts        \\
    judge       the activations that got facts, and those that are due   |  one transaction
    look        at the clocks of tags; at home units that called in,    |
                and those that are due                                  |
    record      findings, checkpoints, alerts, how far we are           /
    adopt       memory follows the disk
    answer      the devices, after the commit

A turn that fails is rolled back and nothing of it is acknowledged: devices send again, and what is there already comes
back as a duplicate. The worker then forgets everything and loads it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import msgspec
import structlog

from alerts import Raised, can_copy_alerts, tell_on_call
from emtrack.clock import Clock
from emtrack.db.connect import connect
from emtrack.db.errors import is_of_the_database
from emtrack.db.ids import IdBlocks
from emtrack.db.locks import WORKER_LOCK, end_former_sessions, name_of_process, try_lock
from emtrack.db.session import ANY_ROWS, FEW_ROWS, LOADING, TURN, Limits, Session
from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.record.changes import (
    CONCERN_EVERYBODY,
    CONCERN_UNITS,
    JUDGE_AGAIN,
    QUARANTINE_EXAMINED,
    LoggedChange,
    changes_seen,
    devices_changed_after,
    last_change,
    order_changes_after,
)
from emtrack.record.findings import can_copy_findings
from emtrack.record.liveness import (
    load_outages_to,
    record_alive,
    record_loading,
    record_outage_since,
    record_ready,
    record_shard_outages_since,
    record_shards_alive,
    shards_alive,
    were_workers_last,
)
from emtrack.record.outages import Outages, load_outages
from emtrack.record.rules import asked_since_ms, judged_again, rules_in_force_ms
from emtrack.record.shards import Shards, shard_count
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.activations import RETRY_MS, ActivationUpdate, LiveActivation, LiveActivations, Unread
from emtrack.service.ahead import JudgedAhead
from emtrack.service.alerting import NOTHING_ELSEWHERE, AlertsOfTurn, Elsewhere, raise_from_units
from emtrack.service.answers import answer_devices, read_body, received_of, unstorable
from emtrack.service.back_off import BackOff
from emtrack.service.beside import done_before
from emtrack.service.clocks import ClockWatch, record_clocks
from emtrack.service.costs import UNBOUNDED, USUAL, Budget
from emtrack.service.examining import Examining, those_that_need_not_wait
from emtrack.service.hearing import Heard
from emtrack.service.home_units import HomeUnits, UnitLook
from emtrack.service.judging import Judgement
from emtrack.service.keys import DeviceKeys
from emtrack.service.new_days import AN_HOUR, NewDays
from emtrack.service.portions import Patience, TurnWork, judge_in_portions
from emtrack.service.rebuilder import Rebuilder
from emtrack.service.recording import RecordedPart, record_unread, record_updates
from emtrack.service.setting_aside import concerned, set_aside
from emtrack.service.sharing import Sharing
from emtrack.service.stages import Stage, StageClock
from emtrack.service.telling import Telling
from emtrack.service.units_to_hear import UnitsToHear
from emtrack.service.warm_up import without_collector
from emtrack.service.watching import Watch
from geofence import ALWAYS_MS, Fact
from ingest import (
    MOST_READ_AGAIN,
    ORDERS_CHANGED,
    Accepted,
    CannotStore,
    EventReport,
    Examination,
    HeardAgain,
    HighestNumbers,
    Inbox,
    Incoming,
    Kept,
    NotCommitted,
    PutAside,
    ReadAgain,
    Refusal,
    RefusalReason,
    Request,
    StoreOutcome,
    Submission,
    ahead_among,
    can_copy,
    days_among,
    days_of,
    devices_ahead,
    devices_in_quarantine,
    devices_waiting,
    hear_again,
    lock_devices,
    make_days,
    store_again,
    store_heard,
    store_reports,
    store_signatures,
)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

MAX_DUE = 4_000
LEAST_DUE = 1_000
"""Of those that are due by the clock a turn judges the most while no report waits, and the least in any case."""
LONG_S = 0.3
"""After so long it does not go on, whoever waits."""
MOST_AGAIN = 200
"""So many activations that are to be judged again are looked at in a turn."""

log = structlog.get_logger()


class Share(NamedTuple):
    """Of how much a turn takes care without a report: of activations that are due by the clock, and to be judged again; of what is
    read again in quarantine, and of what home units said."""

    due: int
    again: int
    quarantine: int
    units: int

    def each_alone(self) -> list[Share]:
        """Of those that are not 0."""
        return [NO_SHARE._replace(**{name: count}) for name, count in self._asdict().items() if count]

    def half(self) -> Share:
        return Share(*(count // 2 for count in self))


NOTHING_HEARD = HeardAgain({})
MOST_WAITED_MS = 5_000
"""A request that waited in the stream for longer says nothing of the clock of its sender."""
MOST_RINGS = 3
"""So often a turn is taken again that waited in a ring."""
MOST_RELOADED = 25
"""Of so many people orders are taken in in a turn, where they change for more."""
NO_SHARE = Share(0, 0, 0, 0)
ALL, ONLY_REPORTS = Share(MAX_DUE, MOST_AGAIN, MOST_READ_AGAIN, MOST_READ_AGAIN), NO_SHARE


class Pace(msgspec.Struct, frozen=True):
    """How long the worker waits, and by which stopwatch, in seconds. A time longer than `liveness_s` between two commits is an
    outage (RULES.md section 8). `loading`, `turn`: how long it waits for the database."""

    max_wait_s: float = 1.0
    liveness_s: float = 5.0
    lock_patience_s: float = 30.0
    stopwatch: Callable[[], float] = time.monotonic
    budget: Budget = USUAL
    """What may be judged again in a turn."""
    loading: Limits = LOADING
    turn: Limits = TURN


USUAL_PACE = Pace()


class AlreadyServed(Exception):
    """Another worker holds this database."""


class FormerSessionHolds(Exception):
    """Our own session from before a cut holds this database, and the server has not ended it yet."""


class Worker:
    """Takes turns for as long as the program runs, over as many connections as that needs."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        inbox: Inbox,
        keys: DeviceKeys,
        metrics: Metrics,
        *,
        turn_reports: int = 4_000,
        new_days_an_hour: int = AN_HOUR,
        pace: Pace = USUAL_PACE,
        changed: asyncio.Condition | None = None,
        zone_sets: ZoneSetCache | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._dsn = dsn
        self._sharing = sharing
        self._shards = Shards.all_of(1)
        self._clock = clock
        self._inbox = inbox
        self._keys = keys
        self._metrics = metrics
        self._turn_reports = turn_reports
        self._pace = pace
        self._changed = changed
        self._fact_ids = IdBlocks("fact_id_blocks")
        self._highest = HighestNumbers()
        self._stages = StageClock(metrics.stage_seconds, pace.stopwatch)
        self._can_copy = self._can_copy_findings = False
        self._told_of_ms: int | None = None
        self._ahead: set[int] = set()
        """Devices that once sent a position too far ahead of its time."""
        self._alert_nos = IdBlocks("alert_no_blocks")
        self._finding_nos = IdBlocks("finding_no_blocks")
        self._activations = LiveActivations(ZoneSetCache() if zone_sets is None else zone_sets)
        self._ahead_of_commit = JudgedAhead(self._activations)
        self._units = HomeUnits()
        self._tell = Telling(self._activations, self._units)
        self._changes_read = 0
        """The last change of orders that was read: for some of the people whom it concerns it may not be taken in yet."""
        self._examining = Examining()
        self._is_judging_again = False
        self._clocks = ClockWatch({}, set())
        self._units_to_hear = UnitsToHear()
        self._to_reload: dict[int, int] = {}
        """Of whom orders are to be taken in, and from which change on they are not; in the order of these."""
        self._unread_ms: dict[int, int] = {}
        """Whose orders could not be read, and when that is tried again."""
        self._to_hear: set[int] = set()
        """Who is told again of what their home units said of themselves, as soon as their orders are taken in and can be read."""
        self._budget = self._pace.budget
        self._rebuilder = Rebuilder(dsn, self._activations.sets_folder)
        self._new_days = NewDays(dsn, inbox.put_back, new_days_an_hour)
        self._now_ms = 0
        self._committed_at_s = 0.0
        self._began_s = 0.0
        self._back_off = BackOff()
        self._share = ALL
        self._name = name_of_process("worker")
        self.ready = asyncio.Event()
        self.watch = Watch(clock, pace.stopwatch, metrics)

    @property
    def activations(self) -> LiveActivations:
        """What is under judgement."""
        return self._activations

    # ------------------------------------------------------------------------------------- life

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises AlreadyServed; outlives everything that a database can do."""
        while not stop.is_set():
            try:
                connection = await connect(self._dsn, name=self._name)
                try:
                    await self._serve(connection, stop)
                finally:
                    self._unready()
                    with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                        await connection.close(timeout=5)
            except AlreadyServed:
                await self.close()
                raise
            except Exception as error:
                delay_s, where = self._back_off.next_s(), origin_of(error).function
                log.error("worker starts anew", error=type(error).__name__, where=where, retry_s=delay_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay_s)
        self._inbox.close()
        await self.close()

    async def close(self) -> None:
        """What is done beside the turns is left; it is begun again at the next start."""
        if self._sharing is not None:
            await self._sharing.leave()
        await self._new_days.close()
        await self._rebuilder.close()

    def _unready(self) -> None:
        self.ready.clear()
        self.watch.stopped()

    async def _serve(self, connection: Session, stop: asyncio.Event) -> None:
        await connection.set_limits(self._pace.loading)
        await self._take_hold(connection)
        if not await done_before(stop, self._load(connection)):
            return
        await connection.set_limits(self._pace.turn)
        self.ready.set()
        log.info("ready", activations=len(self._activations))
        while not stop.is_set():
            if not await self._shards_changed(connection, stop):
                return  # what was read so far is nobody's: the locks go with the connection
            await self._next(connection)
            self._back_off.went_well()

    async def _take_hold(self, connection: Session) -> None:
        """Of the record, alone or with others."""
        if self._sharing is None:
            await take_worker_lock(connection, self._pace, self._name)
        elif not await self._sharing.join(connection):
            raise AlreadyServed(
                "An emtrack serve works on this database (it holds the worker's lock). End it, or give this worker another database."
            )

    async def _load(self, connection: Connection) -> None:
        """Everything from the disk; then we are ready, and the time since we were last alive was an outage."""
        self._rebuilder.forget()
        self._examining.forget()
        self._units_to_hear.forget()
        self._new_days.forget()
        self._activations.forget()
        await self._new_days.load(connection)
        self._to_reload, self._to_hear, self._unread_ms = {}, set(), {}
        self._changes_read, changed_ms = await last_change(connection)
        self._now_ms = max(
            self._clock.now_ms(), changed_ms or 0
        )  # orders from before the clock stepped back are held too
        self._can_copy = await can_copy(connection)
        self._can_copy_findings = await can_copy_findings(connection) and await can_copy_alerts(connection)
        await self._keys.load(connection)
        if self._sharing is None:
            self._shards = Shards.all_of(await shard_count(connection))
            await self._load_shards(connection, self._shards)
        else:  # shards are taken and read between turns
            await self._sharing.load(connection)
            self._shards = self._sharing.shards
            self._committed_at_s = self._pace.stopwatch()
            self.watch.started(self._now_ms)
        await connection.execute(FEW_ROWS)

    async def _load_shards(self, connection: Connection, fresh: Shards) -> None:
        """Some shards, beside those that are loaded. No turn is taken meanwhile."""
        alive = await shards_alive(connection)
        judged_ms = {shard: ALWAYS_MS if one.alive_ms is None else one.alive_ms for shard, one in alive.items()}
        self._now_ms = max(self._now_ms, self._clock.now_ms(), *(judged_ms[shard] for shard in fresh.owned), 0)
        self._highest.forget()
        self._ahead = await devices_ahead(connection)
        await self._units.load(connection, self._now_ms)
        changes = await order_changes_after(connection, await changes_seen(connection, fresh.owned))
        if changes:
            self._hear_units_again(_of_units(changes), changes[0].change_no)
        await self._examine_if_asked(connection, changes)
        rules_since_ms = await rules_in_force_ms(connection, self._now_ms)
        with without_collector():
            unread = await self._activations.load(connection, self._now_ms, judged_ms, fresh, rules_since_ms)
        await self._note_unread(connection, unread)
        self._to_hear |= unread.keys()
        self._examine_of(changes)
        if self._sharing is not None:
            await self._settle(connection, self._sharing, fresh)
        elif await were_workers_last(connection):  # one may have refused what it was sent before it knew the orders
            await self._examine_whom_we_judge(connection)
        await self._judge_again_if_asked(connection)
        self._clocks = await ClockWatch.loaded(connection, self._now_ms)
        self._tick()
        async with connection.transaction():
            outages, recorded = await record_ready(connection, self._now_ms, fresh)
            if self._sharing is not None:
                await record_shards_alive(
                    connection, fresh, self._now_ms, self._changes_seen(), self._sharing.unheard_s
                )
        self._activations.know_outages(outages)
        self._metrics.outages.inc(recorded)
        self._metrics.activations.set(len(self._activations))
        self._committed_at_s = self._pace.stopwatch()
        self.watch.started(self._now_ms)

    def _heard_to_ms(self, heard: Heard, *, has_reports: bool) -> int:
        due_ms = min(self._activations.next_due_ms, self._units.next_due_ms)
        return heard.judged_to_ms(self._pace.liveness_s, has_reports=has_reports, due_ms=due_ms)

    async def _shards_changed(self, connection: Connection, stop: asyncio.Event) -> bool:
        """Whether what is to be taken or given back now was, before `stop` was set."""
        if self._sharing is None or not self._sharing.is_time_to_look:
            return True
        return await done_before(stop, self._change_shards(connection, self._sharing))

    async def _change_shards(self, connection: Connection, sharing: Sharing) -> None:
        """Take what nobody has, or give back what is due to others. Not in a transaction."""
        moved = await sharing.move(connection)
        if moved.given:
            given = Shards(self._shards.total, moved.given)
            self._activations.give_up(given)
            self._to_reload = {no: change for no, change in self._to_reload.items() if not given.have(no)}
        self._shards = sharing.shards
        self._metrics.shards.set(len(self._shards.owned))
        if not moved.taken:
            return
        fresh, held_s = Shards(self._shards.total, moved.taken), self._committed_at_s
        if isinstance(connection, Session):
            await connection.set_limits(self._pace.loading)
            await connection.execute(ANY_ROWS)
        await record_loading(connection, self._shards)
        await self._load_shards(connection, fresh)
        async with connection.transaction():  # of those that were held already: they waited
            await self._record_stall(connection, self._committed_at_s - held_s, self._shards.owned - moved.taken)
        if isinstance(connection, Session):
            await connection.set_limits(self._pace.turn)
            await connection.execute(FEW_ROWS)
        await sharing.begin_reading(connection, moved.taken, self._now_ms)
        log.info("shards", held=len(self._shards.owned), activations=len(self._activations))

    def _tick(self, heard_to_ms: int | None = None) -> None:
        """The service's clock never steps back, even if the machine's does. `heard_to_ms`: as far as signs of life of gateways let it
        go, where devices are heard through a stream."""
        self._now_ms = max(self._clock.now_ms() if heard_to_ms is None else heard_to_ms, self._now_ms)

    # ------------------------------------------------------------------------------------- one turn

    async def turn(self, connection: Connection) -> None:
        """Gather, and take what was gathered through to its answers. Raises what the database raises; then nothing of
        the turn holds, and those who wait are told to send again."""
        if self._sharing is not None:
            await self._change_shards(connection, self._sharing)
        await self._next(connection)

    async def _next(self, connection: Connection) -> None:
        """A turn over the shards that are held."""
        waiting = self._to_reload or self._examining or self._units_to_hear
        has_more = bool(waiting) or self._activations.are_any_to_judge_again
        wait_s = 0.0 if has_more else self._pace.max_wait_s
        batch = await self._inbox.gather(self._turn_reports, wait_s)
        try:
            await self._take(connection, self._new_days.ready(batch, self._tell))
        except BaseException:
            for submission in batch:
                if not submission.done.done():
                    submission.done.set_exception(NotCommitted())
            raise
        finally:
            self._metrics.waiting.set(self._inbox.filled)

    async def step(self, connection: Connection, batch: Sequence[Submission], now_ms: int) -> None:
        """One turn that a caller drives, with a batch of its own and the instant that it is: how a history is built.

        The first loads everything, and the deployment is ready at its instant. Between two steps no time passes, so
        that nothing is an outage however long they take.
        """
        if not self.ready.is_set():
            await take_worker_lock(connection, self._pace)
            await self._load(connection)
            self.ready.set()
        self._now_ms = max(self._now_ms, now_ms)
        self._budget = UNBOUNDED
        self._committed_at_s = self._pace.stopwatch()
        await self._take(connection, batch)

    async def _take(self, connection: Connection, batch: Sequence[Submission]) -> None:
        try:
            await self._commit(connection, batch)
        except CannotStore as error:  # something in the batch: find it, so that it stops nobody else
            self._note_failure(error.why, batch)
            if len(batch) > 1:
                for some in halves(batch):
                    await self._take(connection, some)
            elif batch and batch[0].unreadable is None:
                await self._commit(connection, [unstorable(batch[0], error.why)])
            else:
                raise
        except Exception as error:
            self._note_failure(error, batch)
            if is_of_the_database(error):
                raise
            await self._find_fault(connection, batch, error)

    def _note_failure(self, error: Exception, batch: Sequence[Submission]) -> None:
        self._metrics.failed_turns.inc()
        where = origin_of(error).function
        log.error("turn failed", error=type(error).__name__, where=where, submissions=len(batch))

    async def _find_fault(self, connection: Connection, batch: Sequence[Submission], error: Exception) -> None:
        """Something went wrong after the reports were stored. First ever fewer of the requests, without what else a turn does; then
        ever smaller parts of that. The activation at which it stays is set aside. Raises `error` if it is nobody's."""
        if self._examining.examination is not ORDERS_CHANGED:
            log.error("quarantine could not be examined")
            self._examining.examination = ORDERS_CHANGED  # of the others nobody may think that they are through
            await self._take(connection, batch)
        elif batch and (len(batch) > 1 or self._share != ONLY_REPORTS):
            await self._take_in_parts(connection, halves(batch), ONLY_REPORTS)
            if self._share != ONLY_REPORTS:  # reports come in every turn, and it may be at none of them
                await self._take(connection, [])
        elif self._share != ONLY_REPORTS:
            if self._share == ALL:
                await self._take_in_parts(connection, [[]], ONLY_REPORTS)  # raises what is nobody's
            await self._narrow_down(connection, error)
        elif batch:
            await self._take_in_parts(connection, [[]], ONLY_REPORTS)  # likewise
            await self._set_aside(connection, concerned(batch[0], self._activations, self._tell), error)
            await self._commit_or_keep(connection, batch[0])
        else:
            raise error

    async def _commit_or_keep(self, connection: Connection, submission: Submission) -> None:
        """A request whose activations are set aside. One at which the turn fails all the same is kept whole: its device would send it
        again, and the worker end at it again."""
        try:
            await self._commit(connection, [submission])
        except Exception as error:
            self._note_failure(error, [submission])
            if is_of_the_database(error) or not submission.reports or submission.unreadable is not None:
                raise
            await self._commit(connection, [unstorable(submission, error)])

    async def _narrow_down(self, connection: Connection, error: Exception) -> None:
        """A turn failed without a report, and does not without all that it does beside them."""
        share = self._share_of_what_waits()
        parts = share.each_alone()
        if sum(share) == 1:
            lives = await self._concerned(connection)
            await self._set_aside(
                connection, [live for live in lives if not live.waits_to_retry(self._now_ms)], error
            )
            if not (share.due or share.again):  # its facts are facts all the same
                await self._commit_or_pass(connection)
        elif len(parts) > 1:
            for part in parts:
                await self._take_in_parts(connection, [[]], part)
        elif parts:
            await self._take_in_parts(connection, [[]], share.half())

    async def _commit_or_pass(self, connection: Connection) -> None:
        """One report that is read again, whose activations are set aside. One at which the turn fails all the same stays where it is
        and is passed: the worker would begin anew, and end at it again."""
        try:
            await self._commit(connection, [])
        except Exception as error:
            self._note_failure(error, [])
            read, heard = await self._read_quarantine(connection), await self._hear_units(connection)
            fact_ids = {fact.fact_id for fact in (*read.usable, *heard.usable)} | {one[0] for one in read.requests}
            if is_of_the_database(error) or not fact_ids:
                raise
            self._examining.adopt(read)
            self._units_to_hear.adopt(heard)
            self._note_put_aside([PutAside(fact_id, type(error).__name__) for fact_id in sorted(fact_ids)])

    def _share_of_what_waits(self) -> Share:
        """Of our share, what there is."""
        due, again = self._lives_of_share()
        return Share(
            len(due),
            len(again),
            self._share.quarantine if self._examining else 0,
            self._share.units if self._units_to_hear else 0,
        )

    def _lives_of_share(self) -> tuple[Sequence[LiveActivation], Sequence[LiveActivation]]:
        """Who is due by the clock, and who is to be judged again."""
        due = self._activations.due(self._now_ms, self._share.due)
        return due, self._activations.to_judge_again(self._share.again)

    async def _concerned(self, connection: Connection) -> list[LiveActivation]:
        """Whom our share is about, without a report."""
        due, again = self._lives_of_share()
        read = await self._read_quarantine(connection)
        heard = await self._hear_units(connection)
        found = {self._activations.at(fact.device_no, fact.report.own_ms) for fact in (*read.usable, *heard.usable)}
        return [*due, *again, *(live for live in found if live is not None)]

    async def _read_quarantine(self, connection: Connection) -> ReadAgain:
        known, most = self._new_days.known, self._share.quarantine
        return await self._examining.read(
            connection, read_body, self._tell, known, self._is_of_several, self._beside, most
        )

    async def _hear_units(self, connection: Connection, batch: Sequence[Submission] = ()) -> HeardAgain:
        units = self._units_to_hear.in_order
        waited_for = {submission.device_no for submission in batch if submission.hear_since_ms is not None}
        return await hear_again(connection, units, read_body, self._tell, self._share.units, waited_for)

    async def _take_in_parts(
        self, connection: Connection, parts: Sequence[Sequence[Submission]], share: Share
    ) -> None:
        before = self._share
        try:
            for part in parts:
                self._share = share
                await self._take(connection, part)
        finally:
            self._share = before

    def _note_put_aside(self, reports: Sequence[PutAside]) -> None:
        """They stay where they are. `emtrack quarantine examine` tries again what is in quarantine."""
        self._metrics.put_aside.inc(len(reports))
        for fact_id, why in reports:
            log.error("a report that was read again could not be stored", fact_id=fact_id, error=why)

    async def _set_aside(self, connection: Connection, lives: Sequence[LiveActivation], error: Exception) -> None:
        updates = set_aside(lives, f"{type(error).__name__} at {origin_of(error).line}")
        async with connection.transaction():
            await record_updates(connection, updates, self._now_ms)
        self._activations.adopt(updates, self._now_ms)
        self._metrics.faults.inc(len(updates))

    async def _commit(self, connection: Connection, batch: Sequence[Submission]) -> None:
        """Once more where the server ended it as it waited in a ring (alerts/locks.py): nothing of it holds, nobody was answered, and
        the other has gone on."""
        for _ in range(MOST_RINGS):
            try:
                return await self._commit_once(connection, batch)
            except asyncpg.DeadlockDetectedError as error:
                self._note_failure(error, batch)
        return await self._commit_once(connection, batch)

    async def _commit_once(self, connection: Connection, batch: Sequence[Submission]) -> None:
        started_s = self._began_s = self._pace.stopwatch()
        self._stages.begin()
        heard = None if self._sharing is None else self._sharing.heard(self._clock)
        self._tick(None if heard is None else self._heard_to_ms(heard, has_reports=bool(batch)))
        await self._notice_changes(connection)
        now_ms = self._now_ms
        if self._sharing is not None:
            batch = await self._ours(connection, self._sharing, batch)
        refused = await self._read_quarantine(connection)
        batch = await those_that_need_not_wait(connection, batch, self._examining, refused, self._sources)
        self._highest.begin_turn()
        self._ahead_of_commit.begin(now_ms)
        kept = Kept(self._highest, self._newest_ms, self._can_copy, self._ahead_of_commit)
        async with connection.transaction():
            if self._sharing is not None:
                await self._lock_divided(connection, self._sharing, batch, refused.device_nos)
            await self._notice_stall(connection, started_s)
            await self._notice_unheard(connection, heard)
            # What was received earlier comes first: of duplicates the first receipt is kept.
            released = await store_again(connection, refused, self._tell, now_ms, kept, self._examining.examination)
            heard_again = await self._hear_units(connection, batch)
            told = await store_heard(connection, heard_again)
            batch = self._units_to_hear.those_that_need_not_wait(batch, heard_again, self._sources)
            requests = await self._requests(connection, batch)
            incoming = [item for request in requests for item in request.items]
            days = days_of(incoming, self._tell)
            await make_days(connection, self._new_days.to_make(days, now_ms))
            self._stages.passed(Stage.PREPARE)
            outcome = await store_reports(connection, requests, self._tell, kept)
            wrongly_signed = await store_signatures(connection, batch, incoming, outcome)
            accepted = [*outcome.accepted, *released.accepted, *told.accepted]
            self._ahead |= ahead_among(accepted)
            self._stages.passed(Stage.STORE)
            facts = self._ahead_of_commit.facts_of(accepted)
            elsewhere = NOTHING_ELSEWHERE if self._sharing is None else self._sharing.elsewhere
            updates, raised = await self._judge_and_record(connection, facts, elsewhere)
            self._stages.passed(Stage.RECORD)
            clocks = self._clocks.look(self._activations, facts, _sent_ms(batch), now_ms)
            wrong_clocks = await record_clocks(connection, clocks, self._alert_nos, now_ms, elsewhere.own)
            look = await self._look_at_units(connection, _heard(incoming), now_ms)
            noted = await raise_from_units(connection, look, self._alert_nos, now_ms, elsewhere)
            told_of_ms = await self._tell_of_what_waits(connection, now_ms)
            seen = self._changes_seen(refused.finished, heard_again)
            if self._sharing is None:
                await record_alive(connection, now_ms, seen)
            else:
                await record_shards_alive(connection, self._shards, now_ms, seen, self._sharing.unheard_s)
                await self._sharing.note_stored(connection, batch)
            is_judging_again = self._is_judging_again
            if is_judging_again and self._activations.are_judged_again:
                await judged_again(connection, now_ms, self._shards)
                is_judging_again = False
            self._stages.passed(Stage.LOOK)
        self._stages.passed(Stage.COMMIT)
        self._highest.adopt()
        self._told_of_ms = told_of_ms
        self._is_judging_again = is_judging_again
        self._examining.adopt(refused)
        self._units_to_hear.adopt(heard_again)
        self._note_put_aside([*released.put_aside, *told.put_aside])
        self._committed_at_s = started_s  # what is alive is said as of the turn's start: a long turn is a gap too
        self._new_days.made(days | days_among(released.accepted))
        self._activations.adopt(updates, now_ms)
        self._submit_put_off()
        self._units.adopt(look)
        self._clocks.adopt(clocks)
        answer_devices(batch, incoming, outcome, self._tell)
        if self._sharing is not None:
            self._sharing.stored(batch)
            self._sharing.adopt_heard(heard)
            self.watch.heard([] if heard is None else [sign.at_s for sign in heard.newest.values()])
        self._stages.passed(Stage.ANSWER)
        self._count(incoming, outcome, updates, self._pace.stopwatch() - started_s)
        self._metrics.wrong_signatures.inc(wrongly_signed)
        self._metrics.alerts.inc(raised.opened + noted.opened + wrong_clocks)
        if self._changed is not None and raised.changed + noted.changed + len(clocks.changes):
            async with self._changed:
                self._changed.notify_all()

    async def _judge_and_record(
        self, connection: Connection, facts: Mapping[int, Sequence[Fact]], elsewhere: Elsewhere
    ) -> tuple[list[ActivationUpdate], Raised]:
        """Who got facts, is due, or is to be judged again; findings, checkpoints and alerts."""
        now_ms, activations = self._now_ms, self._activations
        can_copy = self._can_copy_findings
        alerts = AlertsOfTurn(connection, activations, self._alert_nos, now_ms, elsewhere, can_copy=can_copy)

        judgement = Judgement(connection, self._finding_nos, now_ms, self._budget, self._ahead_of_commit)
        work = TurnWork(
            facts,
            [activations.by_number(number) for number in facts],
            activations.due(now_ms, self._share.due),
            activations.to_judge_again(self._share.again),
        )
        updates = await judge_in_portions(
            judgement,
            work,
            partial(RecordedPart, connection, alerts, self._stages, now_ms, can_copy),
            Patience(LEAST_DUE, self._is_awaited),
        )
        return updates, await alerts.finish()

    def _is_awaited(self) -> bool:
        """Whether a report waits for the next turn, or this one has gone on for long."""
        return self._inbox.filled > 0 or self._pace.stopwatch() - self._began_s > LONG_S

    async def _notice_changes(self, connection: Connection) -> None:
        """Take in orders and keys that were entered since the last turn."""
        changes = await order_changes_after(connection, self._changes_read)
        if self._sharing is not None:  # these took the change in, and do so once more
            settled = await self._sharing.settled(connection)
            self._reload_later(settled.wearer_nos, self._changes_read + 1)
            self._examining.add(settled.device_nos, self._changes_read + 1)
        self._read_once_more()
        if not changes:
            await self._reload_some(connection)
            return
        self._now_ms = max(self._now_ms, *(change.changed_ms for change in changes))
        everybody = any(change.what in CONCERN_EVERYBODY for change in changes)
        wearers = sorted({change.wearer_no for change in changes if change.wearer_no is not None})
        devices = await devices_changed_after(connection, self._changes_read)
        if devices:
            await self._keys.reload(connection, devices)
        if self._sharing is not None and wearers:
            self._highest.forget_devices(await self._sharing.take_in(connection, wearers, changes[-1].change_no))
        if everybody:
            self._activations.know_outages(await load_outages(connection))
            await self._activations.load_settings(connection)
            self._reload_later(self._activations.wearers(), changes[0].change_no)
        if everybody or wearers:
            ours = [wearer_no for wearer_no in wearers if self._shards.have(wearer_no)]
            await self._units.change_orders(connection, self._now_ms, wearers)
            self._to_hear |= _of_units(changes)
            if len(ours) > MOST_RELOADED:
                self._reload_later(ours, changes[0].change_no)
            else:  # they do not wait for everybody
                await self._reload(connection, ours, changes[0].change_no)
            await self._reload_some(connection)
            # Of who waits too, and once more then: their entries hold at once, and the tags that they have already are heard.
            self._look_into_units(wearers, changes[0].change_no)
        await self._examine_if_asked(connection, changes)
        if any(change.what == JUDGE_AGAIN for change in changes):  # of those whose orders changed just now, too
            await self._judge_again_if_asked(connection)
        self._changes_read = changes[-1].change_no
        self._metrics.activations.set(len(self._activations))

    async def _reload_some(self, connection: Connection) -> None:
        """Of what concerns many, as many people as a turn can take in. The others are judged as before meanwhile, and what comes of a
        device that is on nobody yet waits in quarantine; a program that ends on the way loads everybody anew."""
        some = dict(islice(self._to_reload.items(), MOST_RELOADED))
        await self._reload(connection, list(some), min(some.values(), default=0))

    async def _reload(self, connection: Connection, wearer_nos: Sequence[int], change_no: int) -> None:
        devices, unread = await self._activations.change_orders(connection, self._now_ms, wearer_nos)
        for wearer_no in wearer_nos:
            self._to_reload.pop(wearer_no, None)
            self._unread_ms.pop(wearer_no, None)
        await self._note_unread(connection, unread)
        self._look_into_units(wearer_nos, change_no, devices)

    async def _note_unread(self, connection: Connection, unread: Unread) -> None:
        """Somebody must look: they are judged by former orders, or not at all, and what their devices send is refused and kept."""
        for wearer_no, where in unread.items():
            log.error("orders of somebody cannot be read", wearer_no=wearer_no, where=where)
            self._unread_ms[wearer_no] = self._now_ms + RETRY_MS
        if unread:
            await record_unread(connection, unread, self._now_ms)
            self._metrics.faults.inc(len(unread))

    def _read_once_more(self) -> None:
        """Whose orders could not be read. What was refused meanwhile is then read again, as after any change of them."""
        again = [no for no, at_ms in self._unread_ms.items() if at_ms <= self._now_ms and self._shards.have(no)]
        self._reload_later(again, self._changes_read + 1)

    def _look_into_units(self, wearer_nos: Sequence[int], change_no: int, tags: Collection[int] = ()) -> None:
        """What home units of some people said may wait in quarantine, as what their tags said does, or be stored."""
        self._examining.add(sorted(self._units.devices_of(wearer_nos).keys() | tags), change_no)
        heard = self._to_hear.intersection(wearer_nos)
        self._hear_units_again(heard, change_no)
        self._to_hear -= heard - self._to_reload.keys() - self._unread_ms.keys()

    def _reload_later(self, wearer_nos: Iterable[int], change_no: int) -> None:
        """In the turns to come. `change_no`: up to it nobody may think that all is taken in; changes come in order."""
        for wearer_no in wearer_nos:
            self._to_reload.setdefault(wearer_no, change_no)

    def _changes_seen(self, examined: Collection[int] = (), heard: HeardAgain = NOTHING_HEARD) -> int:
        """Up to which change orders are taken in for everybody, with what waited for them in quarantine and of home units.
        `examined`: devices of which all of it is stored in this transaction; `heard`: likewise."""
        reloaded = next((change_no - 1 for change_no in self._to_reload.values()), self._changes_read)
        read_to = self._changes_read
        return min(reloaded, self._examining.seen(read_to, examined), self._units_to_hear.seen(read_to, heard))

    def _examine_of(self, changes: Sequence[LoggedChange]) -> None:
        """What waited in quarantine for these orders."""
        wearers = sorted({change.wearer_no for change in changes if change.wearer_no is not None})
        if wearers:
            devices = self._activations.devices_of(wearers) | self._units.devices_of(wearers).keys()
            self._examining.add(sorted(devices), changes[0].change_no)

    async def _settle(self, connection: Connection, sharing: Sharing, fresh: Shards) -> None:
        """Of shards that were taken: whoever had them may have ended before the others took in what it had. These may have refused
        what is for people here, or still do."""
        changes = await order_changes_after(connection, await changes_seen(connection, range(fresh.total)))
        wearers = {c.wearer_no for c in changes if c.wearer_no is not None}
        sharing.settle_later(wearers, sharing.routing.devices_of(wearers), self._changes_read)
        await self._examine_whom_we_judge(connection)

    async def _examine_whom_we_judge(self, connection: Connection) -> None:
        """Whatever waits in quarantine of their devices."""
        ours = self._activations.wearers()
        known = self._activations.devices_of(ours) | self._units.devices_of(ours).keys()
        self._examining.add(sorted(known.intersection(await devices_waiting(connection))), self._changes_read + 1)

    async def _examine_if_asked(self, connection: Connection, changes: Sequence[LoggedChange]) -> None:
        if any(change.what == QUARANTINE_EXAMINED for change in changes):
            examination = Examination(tuple(RefusalReason), self._fact_ids.take, self._takes_apart)
            self._examining.ask(await devices_in_quarantine(connection), changes[0].change_no, examination)

    async def _judge_again_if_asked(self, connection: Connection) -> None:
        since_ms = await asked_since_ms(connection)
        if since_ms is not None:
            self._activations.judge_again(since_ms)
            self._is_judging_again = True

    def _hear_units_again(self, wearer_nos: Iterable[int], change_no: int) -> None:
        """Home units that are there to hear somebody whom they were not there to hear before: what they said of themselves
        concerns that person's tag, too."""
        self._units_to_hear.add(self._units.devices_of(sorted(wearer_nos)), change_no)

    async def _requests(self, connection: Connection, batch: Sequence[Submission]) -> list[Request]:
        """What each submission brings, under ids of its own. What is signed, or could not be read, must not be kept whole."""
        received = [received_of(submission) for submission in batch]
        count = sum(map(len, received))
        ids = iter(await self._fact_ids.take(connection, count) if count else ())
        return [
            Request(
                [Incoming(next(ids), submission.device_no, one, self._now_ms) for one in reports],
                submission.body if self._may_be_whole(submission) else None,
            )
            for submission, reports in zip(batch, received, strict=True)
        ]

    def _may_be_whole(self, submission: Submission) -> bool:
        """What is signed, could not be read, or is of several shards (of whom each worker gets a part) is kept report by report."""
        if submission.unreadable is not None or submission.signing is not None or submission.body is None:
            return False
        own_ms = (one.report.own_ms for one in submission.reports if not isinstance(one.report, Refusal))
        return self._activations.are_of_one_shard(submission.device_no, own_ms)

    async def _ours(self, connection: Connection, sharing: Sharing, batch: Sequence[Submission]) -> list[Submission]:
        """Those for shards of ours. What another shard stored of a home unit that speaks of people here is heard in this turn."""
        found = sharing.ours(batch)
        for submission in found:
            if submission.hear_since_ms is not None:
                self._units_to_hear.add({submission.device_no: submission.hear_since_ms}, self._changes_read + 1)
        if sharing.hears_now:
            await self._units.hear_from_disk(connection)
        return found

    async def _lock_divided(
        self, connection: Connection, sharing: Sharing, batch: Sequence[Submission], examined: Sequence[int]
    ) -> None:
        """Devices that other workers store too: until the commit they wait for us, and what they stored is known from the disk.
        `examined`: of which something in quarantine is stored."""
        divided = sharing.divided(batch, (*examined, *self._units_to_hear.device_nos))
        await lock_devices(connection, divided)
        self._highest.others_add_to(divided)

    def _sources(self, submission: Submission) -> set[int]:
        """Who may have said what a request says: its sender, tags that it tells of, and the home units of who wears them."""
        found = {submission.device_no}
        for received in submission.reports:
            report = received.report
            told = self._tell(submission.device_no, report) if isinstance(report, EventReport) else ()
            for one in () if isinstance(told, Refusal) else told:
                found.add(one.device_no)
                live = self._activations.at(one.device_no, one.report.own_ms)
                found |= self._units.devices_of([] if live is None else [live.assignment.wearer_no]).keys()
        return found

    def _beside(self, device_nos: Collection[int]) -> set[int]:
        """The tags and home units of whoever wears some devices, or lives with some units."""
        wearers = self._activations.wearers_of(device_nos) | self._units.wearers_of(device_nos)
        return self._activations.devices_of(wearers) | self._units.devices_of(sorted(wearers)).keys()

    def _is_of_several(self, device_no: int) -> bool:
        is_unit = self._units.id_of(device_no) is not None
        return is_unit and self._sharing is not None and self._sharing.routing.is_divided(device_no)

    def _takes_apart(self, device_no: int) -> bool:
        return self._sharing is None or self._sharing.has_all_of(device_no)

    async def _look_at_units(self, connection: Connection, senders: Collection[int], now_ms: int) -> UnitLook:
        """Before a silence is reported, whether another worker heard the unit, or could not."""

        def look(outages: Outages) -> UnitLook:
            return self._units.look(senders, outages, self._activations.is_obliged, now_ms, self._looks_at_unit)

        found = look(self._activations.outages)
        if self._sharing is None or not found.silent:
            return found
        await self._units.hear_from_disk(connection)
        return look(await load_outages_to(connection, now_ms, self._shards))

    def _looks_at_unit(self, device_no: int) -> bool:
        return self._sharing is None or self._sharing.looks_at_unit(device_no, self._now_ms)

    def _newest_ms(self, facts: Sequence[Accepted]) -> int | None:
        """Of the facts of a request: up to when positions of their device can be stored. Those that are judged are not after it."""
        device_no = facts[0].device_no
        live = self._activations.at(device_no, facts[0].report.own_ms)
        if live is None or live.rebuild is not None or live.waiting is not None or live.state.pending:
            return None
        if live is not self._activations.at(device_no, facts[-1].report.own_ms) or device_no in self._ahead:
            return None
        return live.state.head.fed_to[0]

    async def _notice_stall(self, connection: Connection, started_s: float) -> None:
        """If the last commit is too long ago, that time was an outage: we could not have heard anybody."""
        await self._record_stall(connection, started_s - self._committed_at_s, self._shards.owned)

    async def _record_stall(self, connection: Connection, stalled_s: float, shards: Collection[int]) -> None:
        if stalled_s <= self._pace.liveness_s:
            return
        since_ms = self._now_ms - round(stalled_s * 1000 * self._clock.rate)
        cause = "no commit for more than 5 s"
        if self._sharing is None:
            outages, recorded = await record_outage_since(connection, since_ms, self._now_ms, cause)
        else:
            since = dict.fromkeys(shards, since_ms)
            outages, recorded = await record_shard_outages_since(connection, since, self._now_ms, cause)
        self._activations.know_outages(outages)
        self._metrics.outages.inc(recorded)
        log.warning("outage recorded", seconds=round(stalled_s, 1))

    async def _notice_unheard(self, connection: Connection, heard: Heard | None) -> None:
        """The stream, or all gateways, were away: of the shards concerned that was an outage."""
        if heard is None:
            return
        since_ms = heard.unheard_since_ms(self._now_ms, self._pace.liveness_s)
        if not since_ms:
            return
        cause = "no gateway was heard for more than 5 s"
        outages, recorded = await record_shard_outages_since(connection, since_ms, self._now_ms, cause)
        self._activations.know_outages(outages)
        self._metrics.outages.inc(recorded)
        if recorded:
            log.warning("outage recorded: no gateway was heard", shards=len(since_ms))

    async def _tell_of_what_waits(self, connection: Connection, now_ms: int) -> int | None:
        """People on call are told once of each time that something waits for too long to be judged. Since when what they were told of
        last has waited."""
        since_ms, late = self._activations.waits_since_ms, self.watch.late()
        if since_ms is None or late is None or not self.watch.is_overdue or since_ms == self._told_of_ms:
            return self._told_of_ms
        await tell_on_call(connection, f"behind {since_ms}", "emtrack is behind", [late], now_ms)
        return since_ms

    def _submit_put_off(self) -> None:
        for live in self._activations.take_put_off():
            if live.waiting is not None:
                self._rebuilder.submit(live.waiting)

    def _count(
        self, incoming: Sequence[Incoming], outcome: StoreOutcome, updates: Sequence[ActivationUpdate], seconds: float
    ) -> None:
        metrics = self._metrics
        stored, refused = len({item.fact_id for item in outcome.accepted}), len(outcome.refused)
        metrics.reports.labels("stored").inc(stored)
        metrics.reports.labels("refused").inc(refused)
        metrics.reports.labels("duplicate").inc(len(incoming) - stored - refused)
        metrics.clashes.inc(len(outcome.clashes))
        for update in updates:
            if update.fault is not None:
                metrics.faults.inc()
            elif update.cause is not None:
                metrics.rejudged.labels(update.cause).inc()
        versions = Counter((r.finding.kind, r.change) for update in updates for r in update.records)
        for (kind, change), count in versions.items():
            metrics.findings.labels(str(kind), change).inc(count)
        metrics.turns.inc()
        metrics.turn_seconds.observe(seconds)
        metrics.to_judge_again.set(self._activations.to_judge_again_count + len(self._to_reload))
        metrics.judged_to.set(self._now_ms / 1000)
        self.watch.committed(self._now_ms)
        self.watch.waits(
            self._activations.to_judge_again_count + len(self._to_reload), self._activations.waits_since_ms
        )
        metrics.to_examine.set(len(self._examining))


def _of_units(changes: Sequence[LoggedChange]) -> set[int]:
    """People whom a home unit is there to hear that was not there to hear them before."""
    return {c.wearer_no for c in changes if c.what in CONCERN_UNITS and c.wearer_no is not None}


def halves(batch: Sequence[Submission]) -> list[Sequence[Submission]]:
    """Of more than one; of one that one."""
    middle = len(batch) // 2
    return [some for some in (batch[:middle], batch[middle:]) if some]


def _heard(incoming: Sequence[Incoming]) -> set[int]:
    """The numbers of those who sent something that could be read."""
    return {item.device_no for item in incoming if not isinstance(item.received.report, Refusal)}


def _sent_ms(batch: Sequence[Submission]) -> dict[int, int]:
    """When each device last said that it sent, by its own clock. What waited on the way is overtaken by what did not."""
    newest: dict[int, int] = {}
    for submission in batch:
        if submission.sent_ms is not None and (
            submission.place is None or submission.place.waited_ms <= MOST_WAITED_MS
        ):
            newest[submission.device_no] = max(
                submission.sent_ms, newest.get(submission.device_no, submission.sent_ms)
            )
    return newest


async def take_worker_lock(connection: Connection, pace: Pace, name: str | None = None) -> None:
    """Sessions of `name` that are left from before a cut are ended. Raises AlreadyServed if another program keeps the lock for longer
    than our patience, FormerSessionHolds if the server cannot end a session of ours."""
    deadline_s = pace.stopwatch() + pace.lock_patience_s
    while not await try_lock(connection, WORKER_LOCK):
        former = 0 if name is None else await end_former_sessions(connection, WORKER_LOCK, name)
        if former:
            log.warning("ended a session of ours from before a cut", sessions=former)
        if pace.stopwatch() > deadline_s:
            if former:
                raise FormerSessionHolds
            raise AlreadyServed(
                "Another emtrack serve, or workers, work on this database (they hold the worker's lock). End them, or give this one "
                "another database."
            )
        await asyncio.sleep(0.05 if former else 0.5)
