"""What a gateway may do in the database: read keys and who wears what, and nothing else. The database itself says so."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import asyncpg
import msgspec
import pytest

from emtrack.db.connect import connect
from emtrack.db.embedded import ROLE, SUPERUSER
from emtrack.db.migrate import MigrationError
from emtrack.db.rights import RIGHTS, RunTime, dsn_as, grant_rights, run_time_dsn
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.record.changes import last_change, order_changes_after
from emtrack.record.routing import Routing
from emtrack.service.credential_watch import CredentialWatch
from emtrack.service.gateway import running_gateway
from emtrack.service.keys import DeviceKeys
from emtrack.service.shard_worker import running_worker
from emtrack.settings import Settings, SettingsError
from tests.cluster.test_same_tables import PACE, settings_of
from tests.db_fixtures import with_user
from tests.nats_servers import nats_servers
from tests.service_world import orders

READABLE = [table for table, rights in RIGHTS.items() if rights.gateway]
SESSIONS = """
SELECT usename, application_name FROM pg_stat_activity WHERE application_name IN ('emtrack credentials', 'emtrack routing')
"""
# The latter two of views, into which nobody can write.
REFUSED = asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.WrongObjectTypeError


async def entered(dsn: str, folder: Path) -> dict[str, str]:
    """Keys of devices."""
    form = read_orders(json.dumps(orders(1, 2)), "orders")
    return (await import_orders(settings_of(dsn, folder), form, who="test", dry_run=False)).keys


async def test_it_reads_keys_and_who_wears_what_and_every_write_is_refused(database_url: str, tmp_path: Path) -> None:
    await entered(database_url, tmp_path)
    connection = await connect(await run_time_dsn(database_url, RunTime.GATEWAY))
    try:
        assert await connection.fetchval("SELECT current_user") == RunTime.GATEWAY
        keys = DeviceKeys()
        watch = CredentialWatch("", keys, asyncio.Condition())
        await keys.load(connection)
        await watch.look(connection)
        assert await order_changes_after(connection, 0)
        assert (await last_change(connection))[0] > 0
        assert (await Routing.loaded(connection)).shards_of_device(1)
        for table in RIGHTS:
            for statement in (f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}", f"TRUNCATE {table}"):  # noqa: S608
                with pytest.raises(REFUSED):
                    await connection.execute(statement)
            if table not in READABLE:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SELECT FROM {table}")
        for function in (
            "end_holders_standing_still(1, 0)",
            "end_former_sessions(1, 'emtrack')",
            "new_person('x', 'y')",
            "merged_people()",
            "unauthenticated_among('{1}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT {function}")
    finally:
        await connection.close()


def test_it_reads_nothing_of_people_and_where_they_were() -> None:
    closed = {
        "wearers",
        "wearer_details",
        "positions",
        "raw_reports",
        "raw_requests",
        "findings",
        "alerts",
        "users",
        "tokens",
    }
    assert not closed & set(READABLE)
    assert all("INSERT" not in rights.gateway and "UPDATE" not in rights.gateway for rights in RIGHTS.values())


async def test_a_gateway_works_with_a_login_that_is_in_its_role_only(database_url: str, tmp_path: Path) -> None:
    await entered(database_url, tmp_path)
    with nats_servers() as servers:
        settings = settings_of(database_url, tmp_path, servers.setting)
        own = msgspec.structs.replace(settings, database_url=with_user(database_url, RunTime.GATEWAY), clock=None)
        with pytest.raises(MigrationError, match="may not"):
            await _with_an_older_database(database_url, own)
        async with running_worker(settings, asyncio.Event(), PACE), running_gateway(own, asyncio.Event()):
            connection = await connect(database_url)
            found = await connection.fetch(SESSIONS)
            await connection.close()
            assert {row["application_name"] for row in found} == {"emtrack credentials", "emtrack routing"}
            assert {row["usename"] for row in found} == {RunTime.GATEWAY}


async def _with_an_older_database(dsn: str, settings: Settings) -> None:
    """As it is before another program has migrated it; then it is as it was."""
    connection = await connect(dsn)
    last = await connection.fetchrow("SELECT * FROM schema_migrations ORDER BY number DESC LIMIT 1")
    assert last is not None
    await connection.execute("DELETE FROM schema_migrations WHERE number = $1", last["number"])
    try:
        async with running_gateway(settings, asyncio.Event()):
            pass
    finally:
        await connection.execute("INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)", *last.values())
        await connection.close()


async def test_by_set_role_it_is_the_same_and_without_the_role_it_does_not_start(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(database_url, tmp_path)
    admin = await connect(with_user(database_url, SUPERUSER))
    await admin.execute(f"GRANT {RunTime.GATEWAY} TO {ROLE}")
    connection = await connect(dsn_as(database_url, RunTime.GATEWAY))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("INSERT INTO unit_calls VALUES (1, now())")
    await connection.close()
    await admin.execute(f"REVOKE {RunTime.GATEWAY} FROM {ROLE}")
    await admin.close()

    async def none(dsn: str, _: RunTime) -> str:
        return dsn

    monkeypatch.setattr("emtrack.service.gateway.run_time_dsn", none)
    with nats_servers() as servers, pytest.raises(SettingsError, match="CREATE ROLE emtrack_gateway"):
        async with running_gateway(settings_of(database_url, tmp_path, servers.setting), asyncio.Event()):
            pass


async def test_who_made_two_roles_by_hand_needs_no_third(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "emtrack.db.rights.ROLES_THERE",
        "SELECT rolname FROM pg_roles WHERE rolname = ANY($1::text[]) AND rolname <> 'emtrack_gateway'",
    )
    owner = await connect(database_url)
    try:
        await owner.execute("DELETE FROM rights_in_force")
        assert await grant_rights(owner)
        assert await owner.fetchval("SELECT has_table_privilege('emtrack_worker', 'positions', 'INSERT')")
    finally:
        await owner.close()
