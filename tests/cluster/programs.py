"""Gateways, workers and NATS servers of one deployment, each in a process of its own, and their supervisor: us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.nats_servers import Servers, free_port

READY_WITHIN_S = 90.0


class Process:
    """A part of the program. It is started again whenever it ended."""

    def __init__(self, what: str, environment: dict[str, str], scratch: Path) -> None:
        self.what = what
        self.port = free_port()
        self._log = scratch / f"{what}-{self.port}.log"
        self._environment = environment | {"EMTRACK_LISTEN": f"127.0.0.1:{self.port}"}
        self.popen = self._begin()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _begin(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "emtrack", self.what], env=self._environment, stdout=log, stderr=log
            )

    def begin_anew(self) -> None:
        if self.popen.poll() is not None:
            self.popen = self._begin()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def signal(self, number: int) -> None:
        os.kill(self.popen.pid, number)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
        self.popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=20)
        self.popen.kill()
        self.popen.wait()

    def said(self) -> str:
        return self._log.read_text()


class Deployment:
    def __init__(
        self, dsn: str, servers: Servers, scratch: Path, data_dir: Path, gateways: int, workers: int
    ) -> None:
        self.servers = servers
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")}
        self.environment = (
            inherited
            | servers.environment
            | {"EMTRACK_DATABASE_URL": dsn, "EMTRACK_DATA_DIR": str(data_dir), "EMTRACK_LOG_LEVEL": "warning"}
        )
        self.workers = [Process("worker", self.environment, scratch) for _ in range(workers)]
        self.gateways = [Process("gateway", self.environment, scratch) for _ in range(gateways)]

    def begin_anew(self) -> None:
        """Whatever ended."""
        for process in (*self.workers, *self.gateways):
            process.begin_anew()
        for server in self.servers.all:
            if server.process is not None and server.process.poll() is not None:
                server.start()

    async def until_ready(self, *processes: Process) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            for process in processes or (*self.workers, *self.gateways):
                deadline_s = time.monotonic() + READY_WITHIN_S
                while not await _is_ready(http, process):
                    assert time.monotonic() < deadline_s, process.said()
                    assert process.popen.poll() is None, process.said()
                    await asyncio.sleep(0.1)  # another program: there is nothing to wait on but its answer

    def end(self) -> None:
        for process in (*self.gateways, *self.workers):
            process.popen.terminate() if process.popen.poll() is None else None
        for process in (*self.gateways, *self.workers):
            process.end()


async def _is_ready(http: aiohttp.ClientSession, process: Process) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(f"{process.address}/readyz") as answer:
            return answer.status == 200
    return False


@asynccontextmanager
async def deployment(
    dsn: str, servers: Servers, scratch: Path, data_dir: Path, *, gateways: int = 1, workers: int = 2
) -> AsyncIterator[Deployment]:
    made = Deployment(dsn, servers, scratch, data_dir, gateways, workers)
    try:
        await made.until_ready()
        yield made
    finally:
        made.end()
