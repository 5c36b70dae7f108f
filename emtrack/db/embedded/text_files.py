"""Text files of the data directory: replaced as a whole, and read from their end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emtrack.db.embedded.account import Account, as_text


def write_lines(path: Path, lines: Sequence[str], account: Account) -> None:
    """Replaces the file as a whole; the server's group may read it."""
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        os.fchmod(descriptor, 0o640)
        os.fchown(descriptor, -1, account.gid)
    Path(new).rename(path)


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
