"""Two PostgreSQL servers on loopback for a test: a primary, and a standby that its commits wait for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emtrack.db.embedded import Account, DataDirectory, run_as
from emtrack.db.embedded.installation import find_installation
from emtrack.db.embedded.system_user import server_account
from tests.db_fixtures import SUPERUSER, temporary_data_dir

STANDBY = "second"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # for speed, and only here: no test cuts the power
    "shared_buffers": "32MB",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_retrieve_retry_interval": "50ms",
}
LET_IN = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"


class Server:
    """One of the two: its folder, its port, and what a person would do to it."""

    def __init__(self, bin_dir: Path, account: Account, data: Path) -> None:
        self._bin = bin_dir
        self._account = account
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        return f"postgresql://{SUPERUSER}@{self.address}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        ran = run_as(self._account, [str(self._bin / program), *arguments])
        assert ran.returncode == 0, ran.stderr.decode() + ran.stdout.decode()

    def configure(self, **settings: str) -> None:
        """Appended: of two lines of one setting the later holds."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        log = str(self.data.with_suffix(".log"))
        self.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", log, "-o", f"-p {self.port}")

    def crash(self) -> None:
        """All its processes end at once; nothing is written any more."""
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data))

    def promote(self) -> None:
        self.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def reload(self) -> None:
        self.run("pg_ctl", "reload", "-D", str(self.data))

    @property
    def is_running(self) -> bool:
        return (self.data / "postmaster.pid").exists()


class Pair:
    """The primary is named first in `dsn`, whichever of the two that is by now."""

    def __init__(self, first: Server, second: Server) -> None:
        self.first = first
        self.second = second

    @property
    def dsn(self) -> str:
        return f"postgresql://emtrack@{self.first.address},{self.second.address}/emtrack"

    def only(self, server: Server) -> str:
        return f"postgresql://emtrack@{server.address}/emtrack"


@contextmanager
def standby_pair() -> Iterator[Pair]:
    """Both run, with a database that the program's role owns and nobody has migrated."""
    account = server_account()
    with temporary_data_dir() as folder:
        os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)
        bin_dir = find_installation(DataDirectory(folder), account, None).bin
        first, second = (Server(bin_dir, account, folder / name) for name in ("first", "second"))
        try:
            _make(first)
            _follow(first, second)
            yield Pair(first, second)
        finally:
            for server in (second, first):
                if server.is_running:
                    server.crash()


def _make(server: Server) -> None:
    server.run("initdb", "-D", str(server.data), "-U", SUPERUSER, "--no-sync", "-E", "UTF8", "--locale=C")
    server.configure(**SETTINGS)
    (server.data / "pg_hba.conf").write_text(LET_IN)
    server.start()
    to = ("-h", "127.0.0.1", "-p", str(server.port), "-U", SUPERUSER)
    server.run("createuser", *to, "--createrole", "emtrack")
    server.run("createdb", *to, "--owner=emtrack", "emtrack")


def _follow(first: Server, second: Server) -> None:
    source = f"host=127.0.0.1 port={first.port} user={SUPERUSER} application_name={STANDBY}"
    second.run("pg_basebackup", "-d", source, "-D", str(second.data), "-R", "-c", "fast", "--no-sync")
    first.configure(synchronous_standby_names=STANDBY)
    second.start()
    first.reload()
