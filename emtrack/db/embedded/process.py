"""The server's process: started in a session of its own, and found again by its pid file."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from emtrack.atomic_files import replace_file
from emtrack.db.embedded.account import Account, run_options
from emtrack.db.embedded.cluster import make_cluster, refuse_other_major
from emtrack.db.embedded.configuration import write_configuration
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.errors import EmbeddedServerError
from emtrack.db.embedded.installation import Installation, find_installation
from emtrack.db.embedded.text_files import written_at

LOG_KEPT_S: Final = 6 * 24 * 3600.0

log = structlog.get_logger(__name__)


def start_server(
    directory: DataDirectory, account: Account, settings: Mapping[str, str], binaries: Path | None
) -> subprocess.Popen[bytes]:
    """Starts the server's process, in a session of its own, so that it outlives us and our Ctrl-C."""
    installation = find_installation(directory, account, binaries)
    if not directory.data.exists():
        make_cluster(directory, account, installation)
    refuse_other_major(directory, installation)
    _retire_stale_pid(directory)
    _delete_old_logs(directory)
    write_configuration(directory, account, settings)
    directory.start_log.unlink(missing_ok=True)
    with directory.start_log.open("xb") as start_log:
        if account.switched:
            os.fchown(start_log.fileno(), account.uid, account.gid)
        try:
            return subprocess.Popen(
                _postgres_command(directory, installation),
                stdout=start_log,
                stderr=start_log,
                **run_options(account),
            )
        except OSError as error:
            raise EmbeddedServerError(f"PostgreSQL could not be run as {account.name}: {error}") from error


def _postgres_command(directory: DataDirectory, installation: Installation) -> list[str]:
    config = directory.root / "postgresql.conf"
    return [str(installation.bin / "postgres"), "-D", str(directory.data), "-c", f"config_file={config}"]


def server_pid(directory: DataDirectory) -> int | None:
    """The pid of the server that is alive on the data directory, as its own pid file names it."""
    try:
        pid = abs(int((directory.data / "postmaster.pid").read_text().split("\n")[0]))
    except (FileNotFoundError, ValueError):
        return None
    return pid if _runs_in(pid, directory.data) else None


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
        return was_started_on(pid, folder)
    except OSError:
        return False


def was_started_on(pid: int, folder: Path) -> bool:
    """The same by the arguments of the process; a zombie has none. A backend's are overwritten by its title."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False
    return b"-D" in arguments and os.fsencode(folder) in arguments


def _retire_stale_pid(directory: DataDirectory) -> None:
    """Takes the number of a dead server out of its pid file where another process has that number now.

    PostgreSQL would refuse to start for such a number. The file is kept, as by its other lines PostgreSQL
    finds out whether processes of the dead server still use its memory. Our own pid takes the number's place:
    a server knows that its parent is no server.
    """
    path = directory.data / "postmaster.pid"
    try:
        first, rest = path.read_text().split("\n", 1)
    except (FileNotFoundError, ValueError):
        return
    owner = directory.data.stat()
    replace_file(path, f"{os.getpid()}\n{rest}".encode(), mode=0o600, uid=owner.st_uid, gid=owner.st_gid)
    log.info("postgres_ended_without_shutdown", pid=first)


def _delete_old_logs(directory: DataDirectory) -> None:
    """The server empties last week's log only when it runs through midnight. This does the rest."""
    oldest = time.time() - LOG_KEPT_S
    for path in directory.log.glob("*.log"):
        if written_at(path) < oldest:
            path.unlink()
