"""Who has taken over the login of a gateway writes nothing, and keeps nobody from working either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from alerts import AlertLock
from emtrack.db.connect import connect
from emtrack.db.embedded import ROLE, SUPERUSER
from emtrack.db.locks import WORKER_LOCK
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.service.examination import Health, examine
from emtrack.service.shard_holding import SHARDS, ShardHolding
from emtrack.settings import Settings
from tests.cluster.test_ended_sessions import is_ended
from tests.db_fixtures import with_user

CLOSING = Path(__file__).parent.parent.parent / "deploy" / "postgres-gateways.sql"
HOLDS = (
    f"SELECT pg_advisory_lock({SHARDS}, 3)",
    f"SELECT pg_advisory_lock_shared({WORKER_LOCK})",
    f"SELECT pg_advisory_lock_shared({int(AlertLock.ALERTS)})",
)
REFUSED = (
    *HOLDS,
    f"SELECT pg_try_advisory_xact_lock({SHARDS}, 3)",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "CREATE TEMPORARY TABLE room (x int)",
)


def closing_statement() -> str:
    """Without what only psql knows."""
    return "\n".join(line for line in CLOSING.read_text().splitlines() if not line.startswith("\\"))


@asynccontextmanager
async def logged_in(database_url: str) -> AsyncIterator[tuple[Any, Any]]:
    """A gateway's login, which is in its role only, and a worker's session."""
    owner = await connect(database_url)
    try:
        await grant_rights(owner)
    finally:
        await owner.close()
    gateway = await connect(with_user(database_url, RunTime.GATEWAY))
    worker = await connect(await run_time_dsn(database_url, RunTime.WORKER))
    try:
        yield gateway, worker
    finally:
        gateway.terminate()
        worker.terminate()


async def closed(database_url: str) -> None:
    admin = await connect(with_user(database_url, SUPERUSER))
    try:
        await admin.execute(closing_statement())
    finally:
        await admin.close()


async def test_a_foreign_session_counts_for_no_worker(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the owner may not end it."""
    monkeypatch.setattr("emtrack.service.shard_holding.END_FOREIGN_HOLDERS", "SELECT 0::bigint")
    async with logged_in(database_url) as (gateway, worker):
        for hold in HOLDS:
            await gateway.execute(hold)
        holding = ShardHolding(4)
        assert await holding.join(worker)
        await holding.look(worker)
        assert holding.owned == {0, 1, 2}, "all but the one that cannot be had"


@pytest.mark.parametrize("hold", [*HOLDS, f"SELECT pg_advisory_lock({WORKER_LOCK})"])
async def test_a_foreign_session_that_holds_a_lock_is_ended_where_the_owner_may(database_url: str, hold: str) -> None:
    admin = await connect(with_user(database_url, SUPERUSER))
    await admin.execute(f"GRANT {RunTime.GATEWAY} TO {ROLE}")
    try:
        async with logged_in(database_url) as (gateway, worker):
            await gateway.execute(hold)
            holding = ShardHolding(4)
            assert await holding.join(worker)
            await holding.look(worker)
            assert await is_ended(gateway)
            assert holding.owned == {0, 1, 2, 3}
    finally:
        await admin.execute(f"REVOKE {RunTime.GATEWAY} FROM {ROLE}")
        await admin.close()


async def test_what_the_administrator_takes_from_everybody_a_gateway_has_not_and_the_others_keep(
    database_url: str,
) -> None:
    await closed(database_url)
    async with logged_in(database_url) as (gateway, worker):
        for statement in REFUSED:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await gateway.execute(statement)
        pages = await connect(await run_time_dsn(database_url, RunTime.PAGES))
        owner = await connect(database_url)
        for session in (worker, pages, owner):
            for hold in HOLDS:
                await session.execute(hold.replace("SELECT pg_advisory", "SELECT pg_try_advisory"))
        for session in (pages, owner):
            await session.close()


async def look_of(database_url: str, folder: Path, what: str) -> tuple[Health, str] | None:
    looks = await examine(Settings(data_dir=folder, database_url=database_url))
    return next(((look.health, look.words) for look in looks if look.what == what), None)


async def test_the_doctor_says_whether_a_gateways_login_could_hold_workers_up(
    database_url: str, tmp_path: Path
) -> None:
    owner = await connect(database_url)
    await grant_rights(owner)
    await owner.close()
    before = await look_of(database_url, tmp_path, "gateways' logins")
    assert before is not None
    assert before[0] is Health.BAD
    assert "postgres-gateways.sql" in before[1]
    await closed(database_url)
    after = await look_of(database_url, tmp_path, "gateways' logins")
    assert after == (Health.GOOD, "emtrack_gateway can hold no lock, and has no room of its own")
