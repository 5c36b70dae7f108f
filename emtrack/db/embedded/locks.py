"""The locks round a data directory; the theory of the package says what each is for."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from emtrack.atomic_files import belong_to_owner_of
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.errors import DataDirectoryInUse, EmbeddedServerError

POLL_S: Final = 0.05


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        belong_to_owner_of(path.parent, path)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def program_lock(directory: DataDirectory, program: str) -> Iterator[None]:
    """Holds `emtrack.lock`, or raises DataDirectoryInUse with who has it."""
    with lock_file(directory.lock) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryInUse(_in_use_text(directory, os.pread(descriptor, 500, 0))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {program}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


def _in_use_text(directory: DataDirectory, note: bytes) -> str:
    pid, _, program = note.decode(errors="replace").strip().partition(" ")
    holder = f"{program} (process {pid})" if pid else "another program that is just starting or stopping"
    return (
        f"The data directory {directory.data_dir} is in use by {holder}. "
        f"Stop that program first, or give this one another directory (EMTRACK_DATA_DIR)."
    )


@asynccontextmanager
async def transition(directory: DataDirectory, patience_s: float) -> AsyncIterator[None]:
    """Nobody else starts or stops the server while this is held."""
    deadline = time.monotonic() + patience_s
    path = directory.root / "transition.lock"
    with lock_file(path) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"Another program has been starting or stopping PostgreSQL on {directory.data_dir} for "
                        f"more than {patience_s:.0f} s. `fuser {path}` names it; look at its output."
                    ) from None
                await asyncio.sleep(POLL_S)
        yield
