"""Who does what is of the whole service once: when it stands still, and when a part of it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from emtrack.db.connect import connect
from emtrack.db.locks import KEEPER_LOCK, SEALING_LOCK, try_lock
from emtrack.db.rights import grant_rights
from emtrack.service import keeper
from emtrack.service.keeper import Part, keep
from emtrack.service.pages import _until_stop
from tests.cluster.programs import Process
from tests.cluster.test_ended_sessions import Way, by_login, by_set_role, in_the_role, is_ended


def part_that(told: asyncio.Event) -> Part:
    """It says that it began, and goes on."""

    async def part(stop: asyncio.Event) -> None:
        told.set()
        await stop.wait()

    return part


@pytest.mark.parametrize("way", [by_set_role, by_login])
async def test_a_keeper_that_stands_still_is_ended_with_what_it_holds_and_another_takes_over(
    database_url: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(keeper, "STANDS_STILL_S", 1.0)
    async with in_the_role(database_url, way, "emtrack keeper") as (still, sealing), way(database_url) as dsn:
        assert await try_lock(still, KEEPER_LOCK)
        assert await try_lock(sealing, SEALING_LOCK)
        began, stop = asyncio.Event(), asyncio.Event()
        keeping = asyncio.create_task(keep(dsn, lambda: [part_that(began)], stop))
        for _ in range(15):  # it asks something, as a keeper does: it is left alone
            await still.execute("SELECT")
            await asyncio.sleep(0.1)
            assert not began.is_set()
        async with asyncio.timeout(10):
            await began.wait()
        assert await is_ended(still)
        assert await is_ended(sealing)
        stop.set()
        await keeping


async def test_only_the_role_of_the_worker_may_end_who_stands_still(database_url: str) -> None:
    owner = await connect(database_url)
    await grant_rights(owner)
    rows = await owner.fetch(
        "SELECT has_function_privilege('emtrack_worker', oid, 'EXECUTE') AS worker, "
        "has_function_privilege('emtrack_pages', oid, 'EXECUTE') AS pages "
        "FROM pg_proc WHERE proname LIKE 'end_holders_standing_still%'"
    )
    await owner.close()
    assert [tuple(row) for row in rows] == [(True, False)] * 2


def that_raises() -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    return run


async def that_returns(_: asyncio.Event) -> None:
    """Although nobody told it to."""


@pytest.mark.parametrize(
    ("broken", "error"), [(_until_stop(that_raises()), "ZeroDivisionError"), (that_returns, "NoneType")]
)
async def test_a_part_that_ends_is_told_of_and_all_are_begun_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: Part, error: str
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.05)
    began, stop, begun = asyncio.Event(), asyncio.Event(), 0

    def parts() -> list[Part]:
        nonlocal begun
        begun += 1
        return [part_that(began), broken] if begun == 1 else [part_that(anew)]

    anew = asyncio.Event()
    keeping = asyncio.create_task(keep(database_url, parts, stop))
    async with asyncio.timeout(10):
        await anew.wait()
    stop.set()
    await keeping
    said = capsys.readouterr().out
    assert "a part of what is of the whole service ended" in said
    assert error in said


async def test_a_part_that_has_nothing_to_do_is_not_one_that_ended() -> None:
    async def nothing() -> None:
        return

    stop = asyncio.Event()
    task = asyncio.create_task(_until_stop(nothing)(stop))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    stop.set()
    await task


HOLDER = """
SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.objid = $1
"""


async def until_held(connection: asyncpg.Connection[Any], lock: int, other_than: int | None, within_s: float) -> int:
    """The session that holds the lock."""
    async with asyncio.timeout(within_s):
        while True:
            found: int | None = await connection.fetchval(HOLDER, lock)
            if found is not None and found != other_than:
                return found
            await asyncio.sleep(0.1)  # another program: there is nothing to wait on but its lock


@pytest.mark.long
async def test_pages_whose_machine_is_suspended_are_replaced_in_what_is_of_the_whole_service(
    database_url: str, data_dir: Path, tmp_path: Path
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")}
    environment = inherited | {"EMTRACK_DATABASE_URL": database_url, "EMTRACK_DATA_DIR": str(data_dir)}
    connection = await connect(database_url)
    begun = [Process("pages", environment, tmp_path)]
    try:
        keeping = await until_held(connection, KEEPER_LOCK, None, 60.0)
        sealing = await until_held(connection, SEALING_LOCK, None, 60.0)
        begun.append(Process("pages", environment, tmp_path))
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(f"{begun[1].address}/healthz"):
                        break
                await asyncio.sleep(0.1)  # another program: there is nothing to wait on but its answer
        begun[0].signal(signal.SIGSTOP)
        after = await until_held(connection, KEEPER_LOCK, keeping, 10.0)
        await until_held(connection, SEALING_LOCK, sealing, 20.0)
        begun[0].signal(signal.SIGCONT)
        await asyncio.sleep(3.0)  # it wakes, and finds that it lost the lock
        assert await until_held(connection, KEEPER_LOCK, None, 1.0) == after
        assert begun[0].popen.poll() is None
    finally:
        for process in begun:
            process.end()
        await connection.close()
