"""Secrets that must be read again, such as those of authenticator apps: kept encrypted in the database, by a key that is not in it.

The key lies in the data directory, for the account of the service alone. Fernet (AES-128-CBC with HMAC-SHA-256, of the library
`cryptography`) says by itself which key it was and whether anything was changed; whose secret it is stands inside, so that nobody
moves it to another account. Keys are tried in order and the first one encrypts: a new one is put first, everything is written anew,
and then the others go.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from emtrack.atomic_files import OWNER_ONLY, belong_to_owner_of, replace_file
from emtrack.errors import MendableError

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

KEY_FILE: Final = "secrets.key"
MARK: Final = "fernet:"
"""Before what is encrypted. What stands without it is from before: letters and digits of base 32, as apps are told them."""

KEPT = "SELECT user_no, secret FROM second_factors ORDER BY user_no FOR UPDATE"
REPLACE = "UPDATE second_factors SET secret = $2 WHERE user_no = $1"


class UnfitSecretsKey(MendableError, ValueError):
    """The key is not there, cannot be used, or is another."""

    exit_code = 1


class SecretBox:
    """Encrypts and decrypts with the keys of a data directory. Nothing is read or made before it is needed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE

    def sealed(self, user_no: int, secret: str) -> str:
        """How the secret of an account is kept. Raises UnfitSecretsKey."""
        token = self._keys(made=True).encrypt(f"{user_no}:{secret}".encode())
        return MARK + token.decode()

    def opened(self, user_no: int, kept: str) -> str:
        """The secret of an account. Raises UnfitSecretsKey where it was encrypted by another key, or for another account."""
        if not kept.startswith(MARK):
            return kept
        try:
            whose, _, secret = self._keys(made=False).decrypt(kept.removeprefix(MARK)).decode().partition(":")
        except InvalidToken as error:
            raise self._unfit("is not the key by which it was encrypted, or what is stored was changed") from error
        if whose != str(user_no):
            raise self._unfit("is right, and what is stored belongs to another account")
        return secret

    async def seal_all(self, connection: Connection) -> int:
        """Whatever is kept is encrypted by the first key, also what stands in the database as it is. Inside a transaction; how many
        were written anew. Raises UnfitSecretsKey."""
        rows = await connection.fetch(KEPT)
        fresh = [(row["user_no"], self._anew(row["user_no"], row["secret"])) for row in rows]
        changed = [(user_no, secret) for user_no, secret in fresh if secret is not None]
        await connection.executemany(REPLACE, changed)
        return len(changed)

    def _anew(self, user_no: int, kept: str) -> str | None:
        """None: it is encrypted by the first key already."""
        if kept.startswith(MARK):
            try:
                Fernet(self._lines()[0]).decrypt(kept.removeprefix(MARK))
                return None
            except (InvalidToken, IndexError):
                pass
        return self.sealed(user_no, self.opened(user_no, kept))

    def begin_rotation(self) -> None:
        """Another key comes first; those of before still decrypt. Raises UnfitSecretsKey."""
        self._write([Fernet.generate_key().decode(), *self._lines()])

    def end_rotation(self) -> None:
        """Everything is encrypted by the first key: the others go."""
        self._write(self._lines()[:1])

    def _keys(self, *, made: bool) -> MultiFernet:
        lines = self._lines()
        if not lines and made:
            lines = [Fernet.generate_key().decode()]
            self._write(lines)
        if not lines:
            raise self._unfit("is not there: restore it from the backup")
        try:
            return MultiFernet([Fernet(line) for line in lines])
        except ValueError as error:
            raise self._unfit("holds no key: restore it from the backup") from error

    def _lines(self) -> list[str]:
        """Read each time: a command may have put another there."""
        try:
            with self._path.open() as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                if mode & 0o077:
                    raise self._unfit(f"can be read by others (mode {mode:o}). Give it 600, and rotate it")
                return file.read().split()
        except FileNotFoundError:
            return []

    def _write(self, lines: Sequence[str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, "".join(f"{line}\n" for line in lines).encode(), mode=OWNER_ONLY)
        belong_to_owner_of(self._path.parent, self._path)

    def _unfit(self, why: str) -> UnfitSecretsKey:
        return UnfitSecretsKey(f"Secrets of authenticator apps cannot be read: {self._path} {why}.")


async def rotate_secrets_key(connection: Connection, box: SecretBox) -> int:
    """A new key, by which everything is encrypted anew; how many secrets. A failure leaves all keys, and everything readable. The
    caller ends the rotation after the commit."""
    box.begin_rotation()
    return await box.seal_all(connection)
