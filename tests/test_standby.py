"""The database's machine is lost: what was acknowledged is on the standby, once, and the service goes on there by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from emtrack.db import primary
from emtrack.db.connect import DatabaseUnavailable, check_server, connect
from emtrack.db.identity import Identity
from emtrack.db.primary import NoPrimary, servers_of
from emtrack.db.replication import Copier, Replication
from emtrack.db.session import NotOnStandby, Session
from emtrack.people.roles import Role
from emtrack.people.tokens import add_token
from emtrack.reading import apart
from emtrack.reading.standby import NotThere, Position, Standby, position_of, replayed
from emtrack.service import app
from emtrack.service.copies import said_of_copies
from emtrack.service.examination import Look, examine
from emtrack.service.health import Health
from emtrack.settings import Settings
from tests.service_world import Door, assert_conserved, position, serving, settings_for
from tests.standby_pair import STANDBY, Pair, Server, standby_pair

TOKEN = "t" * 40
STORED = "SELECT epoch_ms(fix_time) / 1000 % 3600 AS at_s, count(*) FROM positions GROUP BY 1"


class Sender:
    """A tag that sends a report after the other, each until it is told that it is stored."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._more = asyncio.Condition()
        self.acknowledged: list[int] = []

    async def run(self) -> None:
        for seq in range(1, 3_600):
            while not await self._is_stored(seq):  # noqa: ASYNC110  as a tag does
                await asyncio.sleep(0.02)
            self.acknowledged.append(seq)
            async with self._more:
                self._more.notify_all()

    async def _is_stored(self, seq: int) -> bool:
        status, _ = await self._door.reports(position(seq, f"11:{seq // 60:02}:{seq % 60:02}"))
        return status == 200

    async def until_more(self, count: int) -> None:
        """Until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(30), self._more:
            await self._more.wait_for(lambda: len(self.acknowledged) >= wanted)


@asynccontextmanager
async def sending(door: Door) -> AsyncIterator[Sender]:
    sender = Sender(door)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.wait({task})


async def look_at_copies(dsn: str, folder: Path) -> Look:
    return next(look for look in await examine(settings_for(dsn, data_dir=folder)) if look.what == "copies")


async def as_admin(server: Server, statement: str) -> Any:
    connection = await asyncpg.connect(server.admin)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def end_the_wait(server: Server) -> None:
    """As a person does who sees a session that hangs."""
    ended = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with asyncio.timeout(10):
        while not await as_admin(server, ended):  # noqa: ASYNC110  another program: nothing to wait on but what it says
            await asyncio.sleep(0.02)


async def test_the_machine_of_the_primary_is_lost_and_nothing_that_was_acknowledged_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STOP_WITHIN_S", 0.2)
    with standby_pair() as pair:
        await as_admin(pair.first, "GRANT pg_read_all_stats TO emtrack")
        async with serving(pair.dsn) as door, sending(door) as sender:
            await sender.until_more(20)
            look = await look_at_copies(pair.dsn, tmp_path)
            assert (look.health, STANDBY in look.words) == (Health.GOOD, True), look
            await _no_commit_is_one_that_the_standby_lacks(pair, tmp_path)
            await sender.until_more(20)
            pair.first.crash()
            await as_admin(pair.second, "ALTER SYSTEM SET synchronous_standby_names = ''")
            await as_admin(pair.second, "SELECT pg_reload_conf()")
            pair.second.promote()
            await sender.until_more(20)
            # The old one comes back by mistake, is named first, and says that it can be written.
            pair.first.start()
            await sender.until_more(5)
            await _who_was_replaced_is_not_written(pair)
            look = await look_at_copies(pair.dsn, tmp_path)
            assert (look.health, "there is none" in look.words) == (Health.NOTE, True), look
        await _each_acknowledged_report_is_there_once(pair.only(pair.second), sender.acknowledged)


async def _no_commit_is_one_that_the_standby_lacks(pair: Pair, tmp_path: Path) -> None:
    """The standby is away, and somebody ends the wait of a commit: the server calls it a commit, and we do not."""
    connection = await connect(pair.dsn)
    pair.second.crash()
    with pytest.raises(NotOnStandby):
        await asyncio.gather(connection.execute("CREATE TABLE waits ()"), end_the_wait(pair.first))
    assert connection.is_closed()
    look = await look_at_copies(pair.dsn, tmp_path)
    assert (look.health, "nothing is acknowledged until it is back" in look.words) == (Health.BAD, True), look
    pair.second.start()


async def _who_was_replaced_is_not_written(pair: Pair) -> None:
    for _ in range(3):
        connection = await connect(pair.dsn)
        assert connection._addr[1] == pair.second.port
        await connection.close()
    alone = await connect(pair.only(pair.first))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await alone.execute("CREATE TABLE of_the_past ()")
    alone.terminate()


async def _each_acknowledged_report_is_there_once(dsn: str, acknowledged: list[int]) -> None:
    connection = await connect(dsn)
    stored = dict(await connection.fetch(STORED))
    assert set(acknowledged) - {int(at_s) for at_s in stored} == set()
    assert set(stored.values()) == {1}
    await assert_conserved(connection)
    await connection.close()


async def asked(door: Door) -> str:
    """By whom a question of a reader was answered. It is asked after a report was acknowledged, and knows it."""
    before = answered_by(await door.metrics())
    async with door.session.get("/v1/findings", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 200, await response.text()
        assert await response.text() == ""
    after = answered_by(await door.metrics())
    (server,) = [name for name, count in after.items() if count != before.get(name, 0.0)]
    return server


def answered_by(metrics: str) -> dict[str, float]:
    found = re.findall(r'^emtrack_questions_total\{server="(\w+)"\} (\S+)', metrics, re.MULTILINE)
    return {name: float(count) for name, count in found}


async def pause_replay(server: Server) -> None:
    await as_admin(server, "SELECT pg_wal_replay_pause()")
    async with asyncio.timeout(10):
        while await as_admin(server, "SELECT pg_get_wal_replay_pause_state()") != "paused":  # noqa: ASYNC110  another program
            await asyncio.sleep(0.01)


async def look_at_readers(settings: Settings) -> Look:
    return next(look for look in await examine(settings) if look.what == "readers")


async def until_by_standby(door: Door) -> None:
    """A machine that is busy may take it more than the second that it has."""
    async with asyncio.timeout(60):
        while await asked(door) != "standby":  # noqa: ASYNC110  another server
            await asyncio.sleep(0.05)


async def test_readers_are_answered_by_the_standby_while_it_knows_what_the_primary_knows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "STOP_WITHIN_S", 0.2)
    monkeypatch.setattr(apart, "STANDBY_RESTS_S", 0.0)
    with standby_pair() as pair:
        # The primary waits for nobody: a standby that does not replay, or is away, must stop nobody.
        await as_admin(pair.first, "ALTER SYSTEM SET synchronous_standby_names = ''")
        await as_admin(pair.first, "SELECT pg_reload_conf()")
        async with serving(pair.only(pair.first), standby_url=pair.only(pair.second)) as door:
            connection = await connect(pair.only(pair.first))
            await add_token(connection, "reader", Role.OFFICER, who="test", now_ms=0, token=TOKEN)
            await until_by_standby(door)
            settings = settings_for(pair.only(pair.first), standby_url=pair.only(pair.second), data_dir=tmp_path)
            assert (await look_at_readers(settings)).health is Health.GOOD
            await pause_replay(pair.second)
            assert (await door.reports(position(1, "11:00")))[0] == 200
            assert await asked(door) == "primary", "what was acknowledged is not on the standby"
            await as_admin(pair.second, "SELECT pg_wal_replay_resume()")
            await until_by_standby(door)
            pair.second.crash()
            assert await asked(door) == "primary"
            pair.second.start()
            await as_admin(pair.second, "SELECT 1")
            await until_by_standby(door)
            pair.second.promote()
            assert await asked(door) == "primary", "who was promoted follows nobody"
            assert (await look_at_readers(settings)).health is Health.BAD
            await connection.close()


async def one(connection: asyncpg.Connection[Any], _: object) -> int:
    return int(await connection.fetchval("SELECT 1"))


async def test_a_standby_that_does_not_answer_is_left_alone_for_a_while(database_url: str) -> None:
    """Nobody else waits for it meanwhile."""
    asked_where: list[str] = []

    async def position() -> Position:
        asked_where.append("primary")
        return Position("0/0", 1)

    away = Standby("postgresql://127.0.0.1:1/none", position)
    async with aclosing(apart.Judges(database_url, None, standby=away)) as judges:
        reader = Identity("Ann", "officer", None)
        for _ in range(2):
            assert await judges.ask(reader, apart.Patience.PROGRAM, one) == 1
    assert asked_where == ["primary"]


async def test_a_standby_of_another_timeline_is_not_asked(database_url: str) -> None:
    """It may be further than the primary, in another past."""
    connection = await connect(database_url)
    position = await position_of(connection)
    with pytest.raises(NotThere):
        await replayed(connection, position)
    await connection.close()


async def test_a_server_that_was_replaced_is_refused_where_the_one_that_replaced_it_is_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names for one server: the rule is the same."""
    monkeypatch.setattr(primary, "_highest", {})

    async def opening(_: str) -> Session:
        return await connect(database_url)

    dsn = "postgresql://emtrack@one,two/emtrack"
    connection = await primary.opened_on_primary(dsn, opening)
    await connection.close()
    primary._highest["one,two"] += 1
    with pytest.raises(NoPrimary, match=r"one,two was replaced \(timeline 1; 2 was written since\)"):
        await primary.opened_on_primary(dsn, opening)


async def test_a_machine_that_says_nothing_keeps_nobody_from_the_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "OTHERS_WITHIN_S", 0.05)
    away: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

    async def opening(server: str) -> Session:
        return await away if "silent" in server else await connect(database_url)

    async with asyncio.timeout(8):
        connection = await primary.opened_on_primary("postgresql://emtrack@silent,speaks/emtrack", opening)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert away.cancelled()


def test_each_host_of_an_address_is_asked_by_itself() -> None:
    both = "postgresql://emtrack:secret@a.example:5433,b.example/emtrack?sslmode=verify-full&target_session_attrs=read-write"
    assert servers_of(both) == [
        "postgresql://emtrack:secret@a.example:5433/emtrack?sslmode=verify-full",
        "postgresql://emtrack:secret@b.example/emtrack?sslmode=verify-full",
    ]
    one = "postgresql://emtrack@a.example/emtrack?target_session_attrs=any"
    assert servers_of(one) == [one]


async def test_an_address_that_asks_for_a_standby_is_refused() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"target_session_attrs is standby; emtrack writes"):
        await check_server("postgresql://emtrack@a,b/emtrack?target_session_attrs=standby")


def copies(wished: str, *copiers: Copier, may_see: bool = True, is_standby: bool = False) -> Replication:
    return Replication(is_standby, wished, may_see, copiers)


WAITED, FOLLOWS = Copier("north", True, 0, None), Copier("south", False, 4_096, 1.25)


@pytest.mark.parametrize(
    ("found", "health", "words"),
    [
        (copies(""), Health.NOTE, "loses what was acknowledged since the last backup"),
        (copies("", FOLLOWS), Health.NOTE, "south follows; its readers are 4,096 bytes and 1.2 s behind"),
        (copies("north", WAITED), Health.GOOD, "survives the loss of this machine"),
        (copies("FIRST 2 (north, south)", WAITED, FOLLOWS), Health.BAD, "wait for 2 of FIRST 2 (north, south), and 1 is there"),
        (copies("2 (north, south)", WAITED, FOLLOWS), Health.BAD, "nothing is acknowledged until it is back"),
        (copies("any 1 (north, south)", WAITED, WAITED), Health.GOOD, "on the disk of 1 more"),
        (copies("north"), Health.BAD, "0 is there"),
        (copies("north", may_see=False), Health.NOTE, "GRANT pg_read_all_stats"),
        (copies("", is_standby=True), Health.BAD, "cannot be written"),
    ],
)  # fmt: skip
def test_the_doctor_says_whether_an_acknowledged_report_survives_the_loss_of_a_machine(
    found: Replication, health: Health, words: str
) -> None:
    said = said_of_copies(found)
    assert said.health is health
    assert words in said.words
