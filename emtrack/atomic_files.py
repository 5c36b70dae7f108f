"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

OWNER_ONLY: Final = 0o600


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY, uid: int = -1, gid: int = -1) -> None:
    """Whoever reads `path` meanwhile finds the old content or the new, each whole.

    `mode`: the permissions, from the moment anything is in the file; what we write says where people were. `uid`, `gid`: its owner
    and group (-1: ours). What was at `path` before has no say in them. Raises OSError that names `path`, and leaves
    nothing behind. The content may not survive a power cut: nothing is synced.
    """
    with replacing_file(path, mode=mode, uid=uid, gid=gid) as file:
        file.write(content)


@contextmanager
def replacing_file(path: Path, *, mode: int = OWNER_ONLY, uid: int = -1, gid: int = -1) -> Iterator[IO[bytes]]:
    """As `replace_file`, with what is written into the file; if an exception ends it, `path` stays as it was."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with _opened(fresh, mode, uid, gid) as file:
            yield file
        fresh.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


@contextmanager
def _opened(path: Path, mode: int, uid: int, gid: int) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        if (uid, gid) != (-1, -1):
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        yield file


def belong_to_owner_of(folder: Path, made: Path) -> None:
    """What root made in a folder of another account belongs to that account: a service that root starts works as one of its own.
    For everybody else nothing is to be done. Symbolic links are not followed."""
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    for path in [made, *(made.rglob("*") if made.is_dir() and not made.is_symlink() else [])]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
