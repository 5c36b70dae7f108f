"""Text files of the data directory: replaced as a whole, and read from their end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emtrack.atomic_files import replace_file
from emtrack.db.embedded.account import Account, as_text


def write_lines(path: Path, lines: Sequence[str], account: Account) -> None:
    """Replaces the file as a whole; it belongs to the server's user, as whom a service that root starts works too."""
    owner = account.uid if account.switched else -1
    replace_file(path, ("\n".join(lines) + "\n").encode(), mode=0o640, uid=owner, gid=account.gid)


def written_at(path: Path) -> float:
    return path.lstat().st_mtime


def tail(path: Path, lines: int = 8) -> str:
    """The last lines of the last 4 kB."""
    try:
        with path.open("rb") as file:
            file.seek(-min(4096, path.stat().st_size), os.SEEK_END)
            return "\n".join(as_text(file.read()).split("\n")[-lines:])
    except FileNotFoundError:
        return ""
