"""The keys of the log on record, and signing with them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from emtrack.db.connect import Connection
from emtrack.sealing.notes import Head, name_of_log, public_bytes, signed_note
from geofence import datetime_of, format_instant

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEYS = "SELECT public_key, since, entered_by, named_by FROM log_keys ORDER BY key_no"
NEW_KEY = "INSERT INTO log_keys (public_key, since, entered_by, named_by) VALUES ($1, $2, $3, $4)"


class LogKey(NamedTuple):
    """A public key of the log. `named_by`: the signature of the key before over it."""

    public: bytes
    since: datetime
    entered_by: str
    named_by: bytes | None


async def log_keys(connection: Connection) -> list[LogKey]:
    """All that the log ever had, the first one first."""
    return [LogKey(*row) for row in await connection.fetch(KEYS)]


async def enter_key(
    connection: Connection, key: Ed25519PrivateKey, who: str, now_ms: int, before: Ed25519PrivateKey | None = None
) -> str:
    """Put the public half on record, which puts it into the log, unless it is there already. The name of the log. `now_ms`: of the
    machine. `before`: the key that names this one."""
    public, known = public_bytes(key), await log_keys(connection)
    if public not in {one.public for one in known}:
        named_by = None if before is None else before.sign(public)
        await connection.execute(NEW_KEY, public, datetime_of(now_ms), who, named_by)
    return name_of_log(known[0].public if known else public)


def signed_head(log: str, size: int, root: bytes, key: Ed25519PrivateKey, now_ms: int) -> str:
    """The note. `now_ms`: of the machine, since heads are for those outside."""
    return signed_note(Head(log, size, root, format_instant(now_ms)), key)
