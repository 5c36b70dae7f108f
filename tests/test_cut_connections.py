"""It comes back by itself: a database that is slow, silent, locked or cut off, over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import asyncpg
import pytest
import structlog
import uvloop

from emtrack.db import connect as connecting
from emtrack.db.connect import DatabaseUnavailable, connect, database, open_pool
from emtrack.db.locks import WORKER_LOCK, try_lock
from emtrack.db.session import READING, TCP_GONE_S, Limits, Session, notice_when_gone
from emtrack.service import app, deadline_clock, deliverer, signals, task_clock
from emtrack.service.back_off import BackOff
from emtrack.service.worker import AlreadyServed, Pace, take_worker_lock
from tests.db_fixtures import SUPERUSER, with_user
from tests.service_world import Door, position, serving
from tests.wire import wired

SHORT = Limits(statement_s=30, lock_s=10, answer_s=0.3)
"""A database that says nothing for 0.3 s is given up."""


async def acknowledged(door: Door, seq: int) -> None:
    """Sends until it is told that the report is stored, as a device does."""
    async with asyncio.timeout(20):
        while (await door.reports(position(seq, f"11:{seq:02d}")))[0] != 200:  # noqa: ASYNC110  it comes back by itself
            await asyncio.sleep(0.02)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end the service waits for nobody."""
    monkeypatch.setattr(app, "STOP_WITHIN_S", 0.2)


@pytest.mark.usefixtures("soon")
async def test_when_bytes_are_swallowed_the_worker_gives_the_connection_up_and_comes_back(database_url: str) -> None:
    async with (
        wired(database_url) as wire,
        serving(wire.dsn, pace=Pace(turn=SHORT, loading=READING)) as door,
    ):
        await acknowledged(door, 1)
        wire.swallow()
        await acknowledged(door, 2)
        assert "emtrack_failed_turns_total 0.0" not in await door.metrics()
        told = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - told < 40, "what works beside the turns would wait for a minute"


async def test_a_reader_whose_bytes_are_swallowed_is_told_so_and_the_next_is_served(database_url: str) -> None:
    async with wired(database_url) as wire, open_pool(wire.dsn, size=1, limits=SHORT) as pool:
        assert await pool.fetchval("SELECT 1") == 1
        wire.swallow()
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT 1")
        async with asyncio.timeout(10):
            assert await pool.fetchval("SELECT 2") == 2


async def test_a_server_that_accepts_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_PATIENCE_S", 0.1)
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await connect(f"postgresql://emtrack@127.0.0.1:{port}/emtrack")
    silent.close()


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_stays(
    database_url: str,
) -> None:
    connection = await connect(database_url)
    await connection.set_limits(Limits(statement_s=0.1, lock_s=0.05, answer_s=5))
    with pytest.raises(asyncpg.QueryCanceledError):
        await connection.execute("SELECT pg_sleep(20)")
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_a_turn_that_waits_for_a_lock_fails_and_the_next_takes_its_reports(database_url: str) -> None:
    quick = Limits(statement_s=20, lock_s=0.1, answer_s=25)
    async with serving(database_url, pace=Pace(turn=quick)) as door:
        locker = await connect(database_url)
        async with locker.transaction():
            await locker.execute("LOCK TABLE raw_requests, raw_reports")
            async with asyncio.timeout(10):
                status, _ = await door.reports(position(1, "11:01"))
            assert status == 503
        await locker.close()
        await acknowledged(door, 1)


async def test_commands_may_take_long_and_readers_may_not_whoever_had_the_connection_before(
    database_url: str,
) -> None:
    owner = await connect(database_url)
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {name} SET statement_timeout = '5s'")
    await owner.close()
    command = await connect(database_url)
    assert await command.fetchval("SHOW statement_timeout") == "0"
    await command.close()
    async with open_pool(database_url, size=1, limits=READING) as pool:
        for _ in range(2):
            assert await pool.fetchval("SHOW statement_timeout") == "1min"
            assert await pool.fetchval("SHOW lock_timeout") == "10s"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
async def test_a_connection_over_tcp_is_watched_by_the_kernel(run: object) -> None:
    async def options() -> list[int]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(host, port)
        notice_when_gone(writer.transport)
        with socket.socket(fileno=socket.dup(writer.get_extra_info("socket").fileno())) as same:
            found = [same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
            found += [same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)]
            found += [same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)]
        writer.close()
        server.close()
        return found

    assert await asyncio.to_thread(run, options()) == [1, TCP_GONE_S * 1000, 5]


# ---------------------------------------------------------------------------------------------- durable


async def test_commits_wait_for_the_disk_whatever_the_server_has_for_others(any_database_url: str) -> None:
    owner = await asyncpg.connect(any_database_url)
    assert await owner.fetchval("SHOW synchronous_commit") == "off", "of the server of these tests"
    await owner.close()
    connection = await connect(any_database_url)
    assert isinstance(connection, Session)
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()
    async with open_pool(any_database_url, size=1, limits=READING) as pool:
        for _ in range(2):
            assert await pool.fetchval("SHOW synchronous_commit") == "on"


LOGIN_TRIGGER = """
CREATE FUNCTION careless() RETURNS event_trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM set_config('synchronous_commit', 'off', false); END $$;
CREATE EVENT TRIGGER careless ON login EXECUTE FUNCTION careless()
"""


async def test_a_server_that_does_not_let_commits_wait_is_refused(database_url: str, data_dir: Path) -> None:
    admin = await asyncpg.connect(with_user(database_url, SUPERUSER))
    await admin.execute(LOGIN_TRIGGER)
    await admin.close()
    with pytest.raises(DatabaseUnavailable, match=r"synchronous_commit = on and has 'off'.*ALTER ROLE"):
        await database(database_url, data_dir, program="test", exclusive=True).__aenter__()


async def test_a_server_that_forgets_in_a_power_cut_is_shouted_about(any_database_url: str, data_dir: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with database(any_database_url, data_dir, program="test", exclusive=True):
            pass
    assert [(line["log_level"], line["setting"]) for line in logs] == [
        ("error", "fsync"),
        ("error", "full_page_writes"),
    ]


# ---------------------------------------------------------------------------------------------- again and again


def test_the_wait_doubles_from_failure_to_failure_and_begins_anew_after_a_good_turn() -> None:
    back_off = BackOff()
    assert [back_off.next_s() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    back_off.went_well()
    assert back_off.next_s() == 0.5


@pytest.mark.usefixtures("soon")
async def test_short_breaks_one_after_another_are_each_over_soon(database_url: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with wired(database_url) as wire, serving(wire.dsn, pace=Pace(turn=SHORT, loading=READING)) as door:
            for seq in range(2):
                wire.swallow()
                await acknowledged(door, seq)
    waits = [line["retry_s"] for line in logs if line["event"] == "worker starts anew"]
    assert waits == [0.5, 0.5]


# ---------------------------------------------------------------------------------------------- our own ghost

HOLDER = """
SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objid = $1 AND l.granted AND a.datname = current_database()
"""


async def holder(dsn: str) -> tuple[int, str]:
    """Process and name of the session that holds the worker's lock."""
    connection = await connect(dsn)
    try:
        ((pid, name),) = await connection.fetch(HOLDER, WORKER_LOCK)
    finally:
        await connection.close()
    return pid, name


async def test_our_own_session_from_before_a_cut_is_ended_and_the_work_goes_on(database_url: str) -> None:
    async with wired(database_url) as wire, serving(wire.dsn) as door:
        await acknowledged(door, 1)
        ghost, name = await holder(database_url)
        wire.cut()
        await acknowledged(door, 2)
        pid, same_name = await holder(database_url)
        assert pid != ghost
        assert name == same_name
        assert name.startswith("emtrack worker ")


async def test_a_frozen_session_of_our_own_ends_no_program(database_url: str) -> None:
    impatient = Pace(lock_patience_s=0.0, turn=SHORT)
    with structlog.testing.capture_logs() as logs:
        async with wired(database_url) as wire, serving(wire.dsn, pace=impatient) as door:
            await acknowledged(door, 1)
            ghost, _ = await holder(database_url)
            os.kill(ghost, signal.SIGSTOP)
            try:
                wire.cut()
                async with asyncio.timeout(20):
                    while not any(line.get("error") == "FormerSessionHolds" for line in logs):  # noqa: ASYNC110  the worker's
                        await asyncio.sleep(0.02)
            finally:
                os.kill(ghost, signal.SIGCONT)
            await acknowledged(door, 2)


async def test_a_session_of_another_program_is_left_alone(database_url: str) -> None:
    mine, other = (
        await connect(database_url, name="emtrack worker 1"),
        await connect(database_url, name="emtrack worker 2"),
    )
    assert await try_lock(other, WORKER_LOCK)
    with pytest.raises(AlreadyServed):
        await take_worker_lock(mine, Pace(lock_patience_s=0.0), "emtrack worker 1")
    assert await other.fetchval("SELECT 1") == 1
    await other.close()
    await mine.close()


@pytest.mark.parametrize("wakes_after_s", [0, 0.3], ids=["at once", "when the server has said so"])
async def test_who_stands_still_in_the_middle_of_a_transaction_lets_go_of_what_it_locked(
    database_url: str, wakes_after_s: float
) -> None:
    """A process that is suspended keeps its connection: others wait for its locks no longer than its limits say."""
    still, other = await connect(database_url), await connect(database_url)
    await still.set_limits(READING._replace(idle_s=0.3))
    await other.set_limits(Limits(statement_s=30, lock_s=20, answer_s=35))
    transaction = still.transaction()
    await transaction.start()
    await still.execute("LOCK TABLE deployment IN EXCLUSIVE MODE")
    async with other.transaction():
        await other.execute("LOCK TABLE deployment IN EXCLUSIVE MODE")
    await asyncio.sleep(wakes_after_s)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await still.execute("SELECT 1")
    still.terminate()
    await other.close()


@pytest.mark.parametrize(
    "limits", [READING, *(part.LIMITS for part in (deliverer, deadline_clock, task_clock, signals))]
)
async def test_whoever_works_beside_the_turns_or_for_people_has_such_a_limit(limits: Limits) -> None:
    assert 0 < limits.idle_s <= 30
