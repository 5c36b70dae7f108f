"""Sessions that are ended because whoever had them stands still or gave them up: in the role of the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import pytest

from emtrack.db.connect import connect
from emtrack.db.embedded import ROLE, SUPERUSER
from emtrack.db.locks import WORKER_LOCK, end_former_sessions, name_of_process, try_lock
from emtrack.db.rights import RunTime, dsn_as, grant_rights, run_time_dsn
from emtrack.service import shard_holding
from emtrack.service.shard_holding import ShardHolding
from tests.db_fixtures import with_user

Way: TypeAlias = Callable[[str], AbstractAsyncContextManager[str]]


ROLES = f"{RunTime.WORKER}, {RunTime.PAGES}"


@asynccontextmanager
async def by_set_role(database_url: str) -> AsyncIterator[str]:
    """The owner's login may be in the roles, as on an external server. The address of the worker's."""
    admin = await connect(with_user(database_url, SUPERUSER))
    try:
        await admin.execute(f"GRANT {ROLES} TO {ROLE}")
        yield dsn_as(database_url, RunTime.WORKER)
        await admin.execute(f"REVOKE {ROLES} FROM {ROLE}")
    finally:
        await admin.close()


@asynccontextmanager
async def by_login(database_url: str) -> AsyncIterator[str]:
    """The role has a login of its own, as on the embedded server."""
    yield await run_time_dsn(database_url, RunTime.WORKER)


@asynccontextmanager
async def in_the_role(database_url: str, way: Way, name: str) -> AsyncIterator[tuple[asyncpg.Connection[Any], ...]]:
    """Two sessions, the first of a name."""
    owner = await connect(database_url)
    try:
        await grant_rights(owner)
    finally:
        await owner.close()
    async with way(database_url) as role:
        first, second = await connect(role, name=name), await connect(role, name="emtrack another")
        try:
            yield first, second
        finally:
            for session in (first, second):
                session.terminate()


async def is_ended(session: asyncpg.Connection[Any]) -> bool:
    try:
        await session.execute("SELECT")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return True
    return False


@pytest.mark.parametrize("way", [by_set_role, by_login])
async def test_a_worker_that_stands_still_is_ended_by_another_in_the_same_role_and_its_shards_are_free(
    database_url: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_the_role(database_url, way, "emtrack worker") as (still, other):
        holding, another = ShardHolding(4), ShardHolding(4)
        assert await holding.join(still)
        await holding.look(still)
        assert holding.owned == {0, 1, 2, 3}
        assert await another.join(other)
        await another.look(other)
        assert not another.owned  # it did something less than five seconds ago
        monkeypatch.setattr(shard_holding, "STANDS_STILL_S", 0.0)
        await another.look(other)
        assert another.owned == {0, 1, 2, 3}
        assert await is_ended(still)


@pytest.mark.parametrize("way", [by_set_role, by_login])
async def test_a_session_that_its_process_gave_up_is_ended_in_the_role_and_no_other_is(
    database_url: str, way: Way
) -> None:
    name = name_of_process("worker")
    async with in_the_role(database_url, way, name) as (former, session):
        assert await try_lock(former, WORKER_LOCK)
        assert await end_former_sessions(session, WORKER_LOCK, name_of_process("worker")) == 0
        assert not await try_lock(session, WORKER_LOCK)
        assert await end_former_sessions(session, WORKER_LOCK, name) == 1
        assert await is_ended(former)
        assert await try_lock(session, WORKER_LOCK)


async def test_only_the_role_of_the_worker_may_end_sessions(database_url: str) -> None:
    async with in_the_role(database_url, by_set_role, "emtrack worker"):
        pages = await connect(dsn_as(database_url, RunTime.PAGES))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await end_former_sessions(pages, WORKER_LOCK, "emtrack worker")
        finally:
            await pages.close()
