"""Keys with which devices sign: the public halves. The private half is the device's, and is never here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import TYPE_CHECKING

import asyncpg

from emtrack.clock import machine_ms
from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.people.events import Subject, record_event
from emtrack.people.expiry import told_expiry
from emtrack.people.tokens import state_of
from emtrack.record.changes import OrderChange, log_change
from emtrack.record.devices import MOST_KEYS, ListedKey, NoDevice, TooManyKeys, device_no_of
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

KEY_BYTES = 32

NEW_KEY = """
INSERT INTO signing_keys (device_no, public_key, added_at, expires_at) VALUES ($1, $2, $3, $4) RETURNING key_no
"""
GOOD_KEYS = """
SELECT count(*) FROM signing_keys WHERE device_no = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
END_AFTER = """
UPDATE signing_keys SET expires_at = $3
WHERE device_no = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) AND key_no <> $2
"""
REVOKE = """
UPDATE signing_keys SET revoked_at = $3 WHERE device_no = $1 AND key_no = $2 AND revoked_at IS NULL RETURNING key_no
"""
KEYS = "SELECT key_no, public_key, added_at, expires_at, revoked_at FROM signing_keys WHERE device_no = $1 ORDER BY key_no"
# Which of some facts came signed by their device.
SIGNED = "SELECT fact_id FROM unnest($1::bigint[]) AS f (fact_id) WHERE is_signed(fact_id)"


class UnfitKey(MendableError, ValueError):
    """A key that cannot be registered. The message says what was expected."""


def read_public_key(text: str) -> bytes:
    """The 32 bytes of an Ed25519 public key, of their base64. Raises UnfitKey."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise UnfitKey(
            "this is no public key; expected the 32 bytes of an Ed25519 public key in base64 (44 characters)"
        )
    return key


async def add_signing_key(
    connection: Connection,
    device_id: str,
    public_key: bytes,
    who: str,
    now_ms: int,
    expires_at: datetime | None = None,
) -> int:
    """Its number, with its line in the log of changes. `now_ms`: of the service's clock. Inside a transaction. Raises
    NoDevice, UnfitKey or TooManyKeys."""
    device_no, now = await device_no_of(connection, device_id), datetime_of(machine_ms())
    if await connection.fetchval(GOOD_KEYS, device_no, now) >= MOST_KEYS:
        raise TooManyKeys(
            f"{device_id!r} has {MOST_KEYS} signing keys that are good; `emtrack devices keys revoke` ends one"
        )
    try:
        key_no: int = await connection.fetchval(NEW_KEY, device_no, public_key, now, expires_at)
    except asyncpg.UniqueViolationError as error:
        raise UnfitKey("this key is registered already; each device has keys of its own, each once") from error
    await log_change(connection, OrderChange("signing key added", None, {"device_id": device_id}), who, now_ms)
    detail = f"signing key {key_no}, expires {told_expiry(expires_at)}"
    await record_event(connection, Subject.DEVICE, device_id, "signing key added", who, detail)
    return key_no


async def rotate_signing_key(
    connection: Connection, device_id: str, public_key: bytes, who: str, now_ms: int, keep_until: datetime
) -> int:
    """The number of the new key; the one there is stays good until `keep_until`. Inside a transaction. Raises as
    `add_signing_key`."""
    key_no = await add_signing_key(connection, device_id, public_key, who, now_ms)
    await connection.execute(END_AFTER, await device_no_of(connection, device_id), key_no, keep_until)
    detail = f"to signing key {key_no}, the one before until {told_expiry(keep_until)}"
    await record_event(connection, Subject.DEVICE, device_id, "signing key rotated", who, detail)
    return key_no


async def replace_signing_key(
    connection: Connection, device_id: str, public_key: bytes, who: str, now_ms: int
) -> int:
    """The number of the new key; those there are end at once. Inside a transaction. Raises NoDevice or UnfitKey."""
    for key in await list_signing_keys(connection, device_id):
        if key.state == "good":
            await revoke_signing_key(connection, device_id, key.key_no, who=who)
    return await add_signing_key(connection, device_id, public_key, who, now_ms)


async def revoke_signing_key(connection: Connection, device_id: str, key_no: int, *, who: str) -> None:
    """What it signed before stays signed. Inside a transaction. Raises NoDevice."""
    device_no = await device_no_of(connection, device_id)
    if await connection.fetchval(REVOKE, device_no, key_no, datetime_of(machine_ms())) is None:
        raise NoDevice(
            f"{device_id!r} has no signing key {key_no} that is good; `emtrack devices keys list` shows its keys"
        )
    await record_event(connection, Subject.DEVICE, device_id, "signing key revoked", who, f"signing key {key_no}")


async def list_signing_keys(connection: Connection, device_id: str) -> list[ListedKey]:
    """All that a device ever had; the label is the public key in base64. Raises NoDevice."""
    device_no, now = await device_no_of(connection, device_id), datetime_of(machine_ms())
    return [
        ListedKey(
            row["key_no"], base64.b64encode(row["public_key"]).decode(), f"{row['added_at']:%Y-%m-%d}",
            told_expiry(row["expires_at"]), state_of(row["revoked_at"], row["expires_at"], now),
        )
        for row in await connection.fetch(KEYS, device_no)
    ]  # fmt: skip


async def signed_among(connection: Connection, fact_ids: Iterable[int]) -> frozenset[int]:
    """Which of some facts came signed by their device."""
    return frozenset(row["fact_id"] for row in await connection.fetch(SIGNED, list(fact_ids)))
