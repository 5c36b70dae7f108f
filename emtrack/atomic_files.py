"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int | None = None, uid: int = -1, gid: int = -1) -> None:
    """Whoever reads `path` meanwhile finds the old content or the new, each whole.

    `mode`: the permissions, from the moment anything is in the file (None: as the umask has it). `uid`, `gid`: its owner
    and group (-1: ours). What was at `path` before has no say in them. Raises OSError that names `path`, and leaves
    nothing behind. The content may not survive a power cut: nothing is synced.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        _write(fresh, content, mode, uid, gid)
        fresh.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


def _write(path: Path, content: bytes, mode: int | None, uid: int, gid: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if (uid, gid) != (-1, -1):
            os.fchown(descriptor, uid, gid)
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(content)
