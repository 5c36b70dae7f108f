"""Migrations: forward only, each whole or not at all, one program at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.db.connect import Connection, connect
from emtrack.db.migrate import MigrationError, MigrationState, migrate, read_migrations, status
from emtrack.iom.importing import this_deployment
from tests.db_fixtures import TestServer


@pytest.fixture
async def empty_url(embedded_test_server: TestServer) -> AsyncIterator[str]:
    """A database without any table, as a first start finds it."""
    dsn = await embedded_test_server.create("test_empty", "template0")
    yield dsn
    await embedded_test_server.drop("test_empty")


@pytest.fixture
async def connection(empty_url: str) -> AsyncIterator[Connection]:
    made = await connect(empty_url)
    yield made
    await made.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "0001_wearers.sql", "CREATE TABLE wearers (id bigint PRIMARY KEY);")
    write(tmp_path, "0002_names.sql", "ALTER TABLE wearers ADD name text; CREATE INDEX ON wearers (name);")
    return tmp_path


def write(directory: Path, name: str, sql: str) -> None:
    (directory / name).write_text(sql)


async def states(connection: Connection, directory: Path) -> list[str]:
    return [f"{found.number} {found.name} {found.state}" for found in await status(connection, directory)]


async def test_files_are_applied_once_and_in_order(connection: Connection, files: Path) -> None:
    assert await states(connection, files) == ["1 wearers pending", "2 names pending"]
    assert [migration.number for migration in await migrate(connection, files)] == [1, 2]
    assert await migrate(connection, files) == []
    assert await states(connection, files) == ["1 wearers applied", "2 names applied"]
    assert await connection.fetch("SELECT id, name FROM wearers") == []


async def test_asking_for_the_status_changes_nothing(connection: Connection, files: Path) -> None:
    await status(connection, files)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_a_new_file_is_applied_to_a_database_that_has_the_others(connection: Connection, files: Path) -> None:
    await migrate(connection, files)
    write(files, "0003_more.sql", "CREATE TABLE more ();")
    assert [migration.path.name for migration in await migrate(connection, files)] == ["0003_more.sql"]


async def test_a_file_that_fails_leaves_nothing_and_says_where(connection: Connection, files: Path) -> None:
    write(files, "0003_broken.sql", "CREATE TABLE half_made ();\n\nALTER TABLE nowhere ADD x int;")
    with pytest.raises(MigrationError, match=r"0003_broken\.sql failed: relation \"nowhere\" does not exist"):
        await migrate(connection, files)
    assert await connection.fetchval("SELECT to_regclass('half_made')") is None
    assert await states(connection, files) == ["1 wearers applied", "2 names applied", "3 broken pending"]

    write(files, "0003_broken.sql", "CREATE TABLE half_made ();")
    assert len(await migrate(connection, files)) == 1


async def test_the_line_of_a_mistake_is_named(connection: Connection, files: Path) -> None:
    write(files, "0003_broken.sql", "CREATE TABLE one ();\n\nCREATE TABLE two (oops);")
    with pytest.raises(MigrationError, match=r"0003_broken\.sql, line 3, failed: syntax error"):
        await migrate(connection, files)


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(connection: Connection, files: Path) -> None:
    await migrate(connection, files)
    write(files, "0001_wearers.sql", "CREATE TABLE wearers (id text PRIMARY KEY);")
    assert await states(connection, files) == ["1 wearers changed", "2 names applied"]
    with pytest.raises(MigrationError, match=r"0001_wearers\.sql was changed .* Restore the file"):
        await migrate(connection, files)


async def test_line_ends_of_another_system_are_no_change(connection: Connection, files: Path) -> None:
    write(files, "0003_long.sql", "CREATE TABLE long_one\n();\n")
    await migrate(connection, files)
    (files / "0003_long.sql").write_bytes(b"CREATE TABLE long_one\r\n();\r\n")
    assert await migrate(connection, files) == []


async def test_a_database_newer_than_the_program_is_refused(connection: Connection, files: Path) -> None:
    await migrate(connection, files)
    (files / "0002_names.sql").unlink()
    found = await status(connection, files)
    assert [state.state for state in found] == [MigrationState.APPLIED, MigrationState.UNKNOWN]
    with pytest.raises(MigrationError, match=r"newer than this program: 0002_names\.sql"):
        await migrate(connection, files)


async def test_a_row_that_was_taken_out_by_hand_is_refused(connection: Connection, files: Path) -> None:
    await migrate(connection, files)
    await connection.execute("DELETE FROM schema_migrations WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001_wearers\.sql is not in this database, but 0002_names"):
        await migrate(connection, files)


async def test_a_file_that_ends_its_transaction_is_found_out(connection: Connection, files: Path) -> None:
    write(files, "0003_commits.sql", "CREATE TABLE three (); COMMIT;")
    with pytest.raises(MigrationError, match=r"0003_commits\.sql ended its own transaction"):
        await migrate(connection, files)


async def test_a_connection_that_is_in_a_transaction_is_refused(connection: Connection, files: Path) -> None:
    async with connection.transaction():
        with pytest.raises(MigrationError, match="a connection that is in none"):
            await migrate(connection, files)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0004_skips.sql", r"0004_skips\.sql comes where number 0003 is expected"),
        ("0002_twin.sql", r"0002_twin\.sql comes where number 0003 is expected"),
        ("3_short.sql", r"not named like 0001_first_tables\.sql"),
        ("0003_Upper.sql", r"not named like"),
    ],
)
def test_names_that_leave_the_order_in_doubt_are_refused(files: Path, name: str, message: str) -> None:
    write(files, name, "SELECT 1;")
    with pytest.raises(MigrationError, match=message):
        read_migrations(files)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="There is no directory"):
        read_migrations(tmp_path / "none")


async def test_two_programs_that_migrate_at_once_share_the_work(empty_url: str, files: Path) -> None:
    for number in range(3, 20):
        write(files, f"{number:04}_table.sql", f"CREATE TABLE table_{number} (); SELECT pg_sleep(0.005);")

    async def one() -> int:
        made = await connect(empty_url)
        try:
            return len(await migrate(made, files))
        finally:
            await made.close()

    assert sorted(await asyncio.gather(one(), one(), one())) == [0, 0, 19]


async def test_the_lock_is_free_again_after_a_failure(empty_url: str, files: Path) -> None:
    write(files, "0003_broken.sql", "oops")
    first, second = await connect(empty_url), await connect(empty_url)
    try:
        with pytest.raises(MigrationError):
            await migrate(first, files)
        write(files, "0003_broken.sql", "SELECT 1")
        async with asyncio.timeout(10):
            assert len(await migrate(second, files)) == 1
    finally:
        await first.close()
        await second.close()


async def test_migrations_of_the_program_fit_every_supported_server(any_database_url: str) -> None:
    connection = await connect(any_database_url)
    try:
        if read_migrations():
            assert {found.state for found in await status(connection)} == {MigrationState.APPLIED}
            assert await migrate(connection) == []
    finally:
        await connection.close()


async def test_a_deployment_has_a_name_of_its_own_before_it_has_a_key(empty_url: str, database_url: str) -> None:
    names = []
    for dsn in (empty_url, database_url):
        made = await connect(dsn)
        try:
            await migrate(made)
            assert await made.fetchval("SELECT count(*) FROM log_keys") == 0
            names.append(await this_deployment(made))
        finally:
            await made.close()
    assert names[0] != names[1]
    assert all(re.fullmatch(r"emtrack [0-9a-f]{8}", name) for name in names)
