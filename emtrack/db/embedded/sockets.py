"""Where the server's socket is, and the address that leads to it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from emtrack.db.embedded.account import Account
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.text_files import write_lines

PORT: Final = 5432
# sizeof(sockaddr_un.sun_path) less the closing zero byte, on Linux; other systems allow 103.
SOCKET_PATH_MAX_BYTES: Final = 107 if sys.platform == "linux" else 103


def choose_socket_directory(directory: DataDirectory, account: Account) -> Path:
    """`run/`, or a private short one elsewhere where that path is more than a socket's address can hold."""
    chosen = directory.run
    if not _fits(directory.run):
        noted = _noted_socket_directory(directory)
        chosen = noted if noted and _is_private(noted, account) else _make_short_directory(account)
    write_lines(directory.socket_note, [str(chosen)], account)
    return chosen


def clear_stale_socket(directory: DataDirectory, run: Path) -> None:
    """Removes the lock of a dead server's socket, whose number another process may have by now.

    In a directory elsewhere, only if it was ours: a copied data directory has the original's note.
    """
    lock = run / f".s.PGSQL.{PORT}.lock"
    try:
        lines = lock.read_text().split("\n")
    except FileNotFoundError:
        return
    if run == directory.run or lines[1:2] == [str(directory.data)]:
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


def _noted_socket_directory(directory: DataDirectory) -> Path | None:
    try:
        return Path(directory.socket_note.read_text().strip())
    except FileNotFoundError:
        return None


def current_socket_directory(directory: DataDirectory) -> Path:
    return directory.run if _fits(directory.run) else (_noted_socket_directory(directory) or directory.run)


def forget_short_socket_directory(directory: DataDirectory) -> None:
    """Removes a short directory after the stop, so that /run and /tmp stay tidy."""
    folder = current_socket_directory(directory)
    if folder != directory.run:
        shutil.rmtree(folder, ignore_errors=True)
        directory.socket_note.unlink(missing_ok=True)


def dsn_of(socket_directory: Path, role: str, database: str) -> str:
    # The port is named, as PGPORT of the person at the terminal would count otherwise.
    return f"postgresql://{role}@/{database}?host={quote(str(socket_directory), safe='')}&port={PORT}"
