"""The system user that the server runs as, and short commands run as that user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """The system user that the server runs as. `switched` when it is not the program's own user."""

    uid: int
    gid: int
    name: str
    switched: bool


def environment() -> dict[str, str]:
    """A plain one: PG* variables and locales of the person at the terminal are not for the server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def run_options(account: Account) -> dict[str, Any]:
    """Arguments of subprocess for a process of the account: nothing of the terminal, nobody else's files."""
    return {
        "stdin": subprocess.DEVNULL,
        "cwd": "/",
        "env": environment(),
        "umask": 0o077,
        "start_new_session": True,
        "user": account.uid if account.switched else None,
        "group": account.gid if account.switched else None,
        "extra_groups": [] if account.switched else None,
    }


def run_as(account: Account, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a short command as the account. One that cannot be executed at all answers 126, as in a shell."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            **run_options(account),
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 126, b"", str(error).encode())


def as_text(said: bytes) -> str:
    return said.decode(errors="replace").strip()
