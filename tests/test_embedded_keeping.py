"""The embedded server ends under a running program: it is started again, or the program says why not and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
import structlog

from emtrack.db.embedded import EmbeddedServerError, keeping, kept_server
from tests.db_fixtures import server_pid
from tests.test_embedded import remember, remembered
from tests.test_kill import _free_port

LOOK_S = 0.02


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[str]:
    async with kept_server(folder, program="emtrack serve", look_s=LOOK_S) as dsn:
        yield dsn


def end_server(folder: Path, how: signal.Signals) -> int:
    pid = server_pid(folder)
    assert pid is not None
    os.kill(pid, how)
    return pid


async def answers_again(dsn: str, folder: Path, after_pid: int) -> None:
    async with asyncio.timeout(30):
        while server_pid(folder) in (None, after_pid):  # noqa: ASYNC110  another program starts it
            await asyncio.sleep(0.01)
        while True:
            try:
                assert await remembered(dsn) == 42
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT], ids=["killed", "stopped", "crashed"])
async def test_a_server_that_ends_is_started_again_with_all_that_was_committed(
    data_dir: Path, how: signal.Signals
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with kept(data_dir) as dsn:
            await remember(dsn)
            await answers_again(dsn, data_dir, end_server(data_dir, how))
    assert server_pid(data_dir) is None, "the new one is stopped as the first would have been"
    assert [line["log_level"] for line in logs if line["event"] == "postgres_ended_under_us"] == ["error"]


async def test_a_server_that_cannot_be_started_again_ends_the_program_with_its_last_words(data_dir: Path) -> None:
    async def program() -> None:
        async with kept(data_dir):
            (data_dir / "postgres/data/global/pg_control").rename(data_dir / "pg_control")
            end_server(data_dir, signal.SIGKILL)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as ended:
        await program()
    (error,) = ended.value.exceptions
    assert isinstance(error, EmbeddedServerError)
    assert "pg_control" in str(error)
    assert "Put right what it names" in str(error)


async def test_a_server_that_ends_again_and_again_ends_the_program(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "MOST_STARTS", 2)

    async def program() -> None:
        async with kept(data_dir) as dsn:
            await remember(dsn)
            for times in (1, 2, 3):
                end_server(data_dir, signal.SIGKILL)
                while sum(line["event"] == "postgres_started_again" for line in logs) < times:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    with structlog.testing.capture_logs() as logs, pytest.raises(ExceptionGroup) as ended:
        await program()
    assert "started again 2 times within 10 minutes" in str(ended.value.exceptions[0])


async def test_whoever_is_cancelled_twice_leaves_no_server(data_dir: Path) -> None:
    started = asyncio.Event()

    async def program() -> None:
        async with kept(data_dir):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(program())
    await started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server_pid(data_dir) is None


# ---------------------------------------------------------------------------------------------- the whole program


@contextmanager
def service(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`emtrack serve` as a process of its own, and where it listens."""
    listen = f"127.0.0.1:{_free_port()}"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("EMTRACK_")}
    environment |= {"EMTRACK_DATA_DIR": str(folder), "EMTRACK_LISTEN": listen}
    process = subprocess.Popen(
        [sys.executable, "-m", "emtrack", "serve"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, f"http://{listen}/readyz"
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def readiness(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError as error:
        return int(getattr(error, "code", 0))


async def until(url: str, process: subprocess.Popen[str], status: int) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(readiness, url) != status:
            assert process.poll() is None
            await asyncio.sleep(0.05)


async def test_a_service_whose_server_was_killed_is_ready_again_and_two_signals_at_once_leave_nothing(
    data_dir: Path,
) -> None:
    with service(data_dir) as (process, url):
        await until(url, process, 200)
        killed = end_server(data_dir, signal.SIGKILL)
        await until(url, process, 503)
        await until(url, process, 200)
        assert server_pid(data_dir) not in (None, killed)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, said = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode in (0, 130), said
        assert "Traceback" not in said
    assert server_pid(data_dir) is None


async def test_a_service_whose_server_cannot_be_started_ends_with_1_and_a_sentence(data_dir: Path) -> None:
    with service(data_dir) as (process, url):
        await until(url, process, 200)
        (data_dir / "postgres/data/global/pg_control").rename(data_dir / "pg_control")
        end_server(data_dir, signal.SIGKILL)
        _, said = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 1, said
    assert f"emtrack: PostgreSQL did not start on {data_dir}" in said
    assert "Traceback" not in said
