"""The key with which heads are signed. It lives in the data directory, for the account of the service alone (mode 0600).

Its public half stands beside it and in the log, so that a new key is told by the log itself: by the old one, which signs the new.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from emtrack.atomic_files import belong_to_owner_of
from emtrack.errors import MendableError

KEY_FILE: Final = "log.key"
SECRET_BYTES: Final = 32


class UnfitKeyFile(MendableError, ValueError):
    """The key of the log cannot be used as it stands."""

    exit_code = 1


def read_or_make_key(folder: Path) -> Ed25519PrivateKey:
    """The key of the folder; made where there is none. Raises UnfitKeyFile, or OSError."""
    path = folder / KEY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(path, Ed25519PrivateKey.generate())
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise UnfitKeyFile(f"{path} can be read by others (mode {mode:o}). Give it 600, or rotate the key.")
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise UnfitKeyFile(f"{path} has {len(secret)} bytes, not {SECRET_BYTES}. Restore it from the backup.")
    return Ed25519PrivateKey.from_private_bytes(secret)


def replace_key(folder: Path) -> Ed25519PrivateKey:
    """A new key in the place of the one that is there."""
    key, fresh = Ed25519PrivateKey.generate(), folder / f"{KEY_FILE}.new"
    fresh.unlink(missing_ok=True)
    _write_new(fresh, key)
    fresh.replace(folder / KEY_FILE)
    return key


def _write_new(path: Path, key: Ed25519PrivateKey) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes_raw())
        file.flush()
        os.fsync(descriptor)
    belong_to_owner_of(path.parent, path)
