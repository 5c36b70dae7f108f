"""Two workers over one record, without a stream: turns that a test drives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from alerts import OwnShards, due_timers
from emtrack.db.connect import connect
from emtrack.metrics import Metrics
from emtrack.service.activations import LiveActivations
from emtrack.service.keys import DeviceKeys
from emtrack.service.sharing import Sharing
from emtrack.service.worker import AlreadyServed, Worker, take_worker_lock
from ingest import Acknowledgement, Inbox, NotCommitted, Submission, kept_body, read_request
from tests.service_world import (
    AWAY,
    HOME,
    QUICK,
    Stopwatch,
    World,
    activation,
    as_judged_again,
    as_shown,
    assert_conserved,
    deployed,
    ms,
    orders,
    position,
)

MANY = range(1, 17)


class Part:
    """A worker with a connection of its own, driven turn by turn."""

    def __init__(self, world: World, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection
        self.world = world
        self.inbox = Inbox(50_000)
        self.stopwatch = Stopwatch()
        self.stopwatch.stop()
        self.sharing = Sharing(stopwatch=self.stopwatch)
        pace = msgspec.structs.replace(QUICK, stopwatch=self.stopwatch)
        self.worker = Worker(
            world.dsn, world.clock, self.inbox, DeviceKeys(), Metrics(), pace=pace, sharing=self.sharing
        )

    @property
    def owned(self) -> frozenset[int]:
        return self.sharing.holding.owned

    async def start(self) -> None:
        await self.worker._take_hold(self.connection)
        await self.worker._load(self.connection)

    async def turn(self) -> None:
        self.stopwatch.advance(1.1)
        await self.worker.turn(self.connection)

    async def submit(self, device_id: str, *reports: Any) -> asyncio.Future[Acknowledgement]:
        body = msgspec.json.encode({"boot": 1, "reports": list(reports)})
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        read = read_request(body, "application/json")
        self.inbox.put(Submission.of(read, await self.world.device_no(device_id), done))
        return done


async def shared_out(*parts: Part) -> None:
    for _ in range(12):
        for part in parts:
            await part.turn()
    assert sorted(shard for part in parts for shard in part.owned) == list(range(16))


@asynccontextmanager
async def two_workers(dsn: str, form: dict[str, Any]) -> AsyncIterator[tuple[World, Part, Part]]:
    """A deployment that `serve` began, and two workers go on with."""
    async with deployed(dsn, form) as world:
        await world.turn()
        first, second = await connect(dsn), await connect(dsn)
        try:
            parts = Part(world, first), Part(world, second)
            for part in parts:
                await part.start()
            await shared_out(*parts)
            yield world, *parts
        finally:
            for part in parts:
                await part.worker.close()
            for connection in (first, second):
                connection.terminate()


async def of(world: World, wearer_id: str, *parts: Part) -> Part:
    """The worker of a wearer."""
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", wearer_id)
    return next(part for part in parts if number % 16 in part.owned)


async def in_another_part(world: World, first: Part, second: Part) -> str:
    """Somebody whom another worker judges than W1."""
    former = await of(world, "W1", first, second)
    others = [w for w in ("W2", "W3", "W5", "W9", "W12", "W14") if await of(world, w, first, second) is not former]
    return others[0]


async def test_each_worker_judges_the_wearers_of_its_shards_and_findings_are_those_of_one(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        assert len(first.owned) == len(second.owned) == 8
        assert len(first.worker.activations) == len(second.worker.activations) == 8
        world.clock.at_ms = ms("18:55")
        for number in MANY:
            place = AWAY if number % 3 == 0 else HOME
            part = await of(world, f"W{number}", first, second)
            await part.submit(f"D{number}", position(1, "18:50", place), position(2, "18:52", place))
        for part in (first, second):
            await part.turn()
        world.clock.at_ms = ms("19:30")
        for part in (first, second):
            await part.turn()
        assert await as_shown(world) == await as_judged_again(world)
        assert len(await as_shown(world)) == 5
        assert sum((await assert_conserved(world.connection)).values()) == 32


async def test_timers_of_other_shards_do_not_stand_before_ours(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        for at in ("18:55", "19:30"):
            world.clock.at_ms = ms(at)
            for number in MANY if at == "18:55" else ():
                part = await of(world, f"W{number}", first, second)
                await part.submit(f"D{number}", position(1, "18:50", AWAY), position(2, "18:52", AWAY))
            for part in (first, second):
                await part.turn()
        await world.connection.execute("DELETE FROM alert_timers")
        await world.connection.execute(
            "INSERT INTO alert_timers SELECT finding_no, to_timestamp(finding_no) FROM findings"
        )
        found = []
        for part in (first, second):
            own = OwnShards(*part.sharing.shards)
            ours = await due_timers(world.connection, ms("19:30"), 1_000, own)
            assert await due_timers(world.connection, ms("19:30"), 1, own) == ours[:1]
            assert len(ours) >= 8
            found += ours
        assert sorted(found) == await due_timers(world.connection, ms("19:30"), 1_000)


async def test_what_is_for_another_shard_is_sent_back_and_not_refused(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        right = await of(world, "W1", first, second)
        wrong = second if right is first else first
        sent = await wrong.submit("D1", position(1, "11:50"))
        await wrong.turn()
        with pytest.raises(NotCommitted):
            await sent
        assert await world.count("quarantine") == 0
        again = await right.submit("D1", position(1, "11:50"))
        await right.turn()
        assert (await again).ack == [1]


def given_on(wearer_id: str) -> dict[str, Any]:
    """The tag of the first is somebody else's from ten o'clock on."""
    first, other = activation(1), activation(1, activation_id="A1b", wearer_id=wearer_id)
    return {
        "activations": [first | {"to": "2026-03-02T10:00:00Z"}, other | {"from": "2026-03-02T10:00:00Z"}],
        "requirements": [],
    }


async def ended(world: World, wearer_id: str) -> None:
    """Their own tag was taken off long before."""
    number = wearer_id.removeprefix("W")
    await world.enter({"activations": [activation(int(number), to="2026-03-02T09:00:00Z")], "requirements": []})


async def test_a_number_of_a_device_that_moved_is_new_once_whoever_stores_it(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        other = await in_another_part(world, first, second)
        former, present = await of(world, "W1", first, second), await of(world, other, first, second)
        await ended(world, other)
        await world.enter(given_on(other))
        await shared_out(first, second)
        for seq in range(1, 6):  # whole requests here, single reports there, in turns
            await former.submit("D1", position(2 * seq, f"09:{seq:02}"))
            await present.submit("D1", position(2 * seq + 1, f"11:{seq:02}"))
            await asyncio.gather(former.turn(), present.turn())
        # Sent again, and the same numbers with another content, each to the other shard.
        for seq in range(1, 6):
            await former.submit("D1", position(2 * seq, f"09:{seq:02}"))
            await former.submit("D1", position(2 * seq + 1, f"09:3{seq}"))
            await present.submit("D1", position(2 * seq, f"11:3{seq}"))
            await asyncio.gather(former.turn(), present.turn())
        rows = await world.connection.fetch("SELECT received, stored, duplicates FROM device_counts")
        assert [tuple(row) for row in rows] == [(25, 20, 5)]
        assert await world.count("integrity_events") == 10
        await assert_conserved(world.connection)


async def test_a_device_that_is_given_on_is_stored_by_its_wearers_worker_and_no_fact_is_missed(
    database_url: str,
) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        other = await in_another_part(world, first, second)
        former, present = await of(world, "W1", first, second), await of(world, other, first, second)
        sent = await former.submit("D1", position(1, "11:00"))
        await former.turn()
        await sent
        await ended(world, other)
        await world.enter(given_on(other))
        await present.turn()
        sent = await former.submit("D1", position(2, "11:10", AWAY))
        await former.turn()
        with pytest.raises(NotCommitted):  # it took the orders in first
            await sent
        sent = await present.submit("D1", position(2, "11:10", AWAY), position(3, "11:20", AWAY))
        for part in (present, former, present, present):
            await part.turn()
        assert (await sent).ack == [2, 3]
        assert not present.sharing._to_settle
        assert await as_shown(world) == await as_judged_again(world)


async def test_what_cannot_be_stored_of_a_devices_former_wearer_is_kept_by_that_wearers_worker(
    database_url: str,
) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        other = await in_another_part(world, first, second)
        former = await of(world, "W1", first, second)
        await ended(world, other)
        await world.enter(given_on(other))
        await shared_out(first, second)
        body = msgspec.json.encode({"boot": 1, "reports": [position(1, "09:30")]})
        read = read_request(body, "application/json")
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        submission = Submission.of(read, await world.device_no("D1"), done)
        whole = msgspec.structs.replace(submission, unreadable=kept_body(body, "cannot be stored"))
        assert former.sharing.ours([whole]) == [whole]


async def test_an_outage_of_a_worker_is_one_of_its_shards(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        gone = second.owned
        second.connection.terminate()
        world.clock.at_ms = ms("12:00:20")
        await first.turn()
        world.clock.at_ms = ms("12:00:30")
        await shared_out(first)
        rows = await world.connection.fetch("SELECT shard FROM shard_outages ORDER BY shard")
        assert [row["shard"] for row in rows] == sorted(gone)
        assert await as_shown(world) == await as_judged_again(world)


async def test_a_worker_whose_session_was_ended_writes_nothing(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        theirs = [n for n in MANY if await of(world, f"W{n}", first, second) is second]
        device = theirs[0]
        await second.submit(f"D{device}", position(1, "11:50"))
        pid = await second.connection.fetchval("SELECT pg_backend_pid()")
        await world.connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        await shared_out(first)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await second.turn()
        assert await world.count("raw_requests") == 0


async def test_one_process_alone_and_workers_do_not_share_a_record(database_url: str) -> None:
    async with two_workers(database_url, orders(1)) as (_, first, second):
        other = await connect(database_url)
        with pytest.raises(AlreadyServed):
            await take_worker_lock(other, msgspec.structs.replace(QUICK, lock_patience_s=0.0))
        for part in (first, second):
            part.connection.terminate()
        await take_worker_lock(other, QUICK)
        late = Part(first.world, await connect(database_url))
        with pytest.raises(AlreadyServed):
            await late.start()
        for connection in (other, late.connection):
            await connection.close()
        await late.worker.close()


async def test_serve_goes_on_where_workers_ended_and_records_what_each_shard_missed(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        world.clock.at_ms = ms("12:01")
        await first.turn()
        for part in (first, second):
            part.connection.terminate()
        world.clock.at_ms = ms("12:02")
        await world.start()
        await world.turn()
        rows = await world.connection.fetch(
            "SELECT shard, extract(second FROM upper(during) - lower(during)) FROM shard_outages"
        )
        assert {row[0] for row in rows} == set(range(16))
        assert await as_shown(world) == await as_judged_again(world)


async def test_two_workers_that_need_the_same_new_day_make_it_once_and_refuse_nothing(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        for day in range(3, 8):
            world.clock.at_ms = ms(f"2026-03-0{day}T12:00:00Z")
            sent = []
            for number in MANY:
                part = await of(world, f"W{number}", first, second)
                sent.append(await part.submit(f"D{number}", position(day, f"2026-03-0{day}T11:00:00Z")))
            await asyncio.gather(first.turn(), second.turn())
            assert [(await one).refused for one in sent] == [[]] * len(sent)
        assert await world.count("quarantine") == 0
        assert await world.count("positions") == 5 * len(MANY)


async def test_a_worker_that_is_ended_while_it_reads_shards_ends_and_leaves_them_to_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between turns, over a connection that it has no use for any more."""
    async with deployed(database_url, orders(*MANY)) as world:
        await world.turn()
        reading, stop, some = asyncio.Event(), asyncio.Event(), LiveActivations._load_some
        monkeypatch.setattr(LiveActivations, "_load_some", _endless_after(reading))
        worker = Worker(world.dsn, world.clock, Inbox(100), DeviceKeys(), Metrics(), pace=QUICK, sharing=Sharing())
        working = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(20):
            await reading.wait()
            stop.set()
            await working
        monkeypatch.setattr(LiveActivations, "_load_some", some)
        connection = await connect(database_url)
        try:
            other = Part(world, connection)
            await other.start()
            await shared_out(other)
            assert len(other.worker.activations) == 16
            await other.worker.close()
        finally:
            connection.terminate()


def _endless_after(reading: asyncio.Event) -> Any:
    async def endless(*_: Any) -> None:
        reading.set()
        await asyncio.Event().wait()

    return endless
