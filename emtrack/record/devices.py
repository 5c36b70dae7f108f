"""Devices in the record, and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from emtrack.clock import machine_ms
from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.people.events import Subject, record_event
from emtrack.people.expiry import told_expiry
from emtrack.people.secrets import new_secret, secret_hash
from emtrack.people.tokens import state_of
from emtrack.record.changes import OrderChange, log_change
from emtrack.record.entering import OrderWriter
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

DEVICE = "SELECT device_no FROM devices WHERE device_id = $1"
NEW_DEVICE = "INSERT INTO devices (device_id, added_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING device_no"
NEW_KEY = "INSERT INTO device_keys (key_hash, device_no, label, added_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
REVOKE_KEYS = """
UPDATE device_keys k SET revoked_at = $2 FROM devices d
WHERE d.device_no = k.device_no AND d.device_id = $1 AND k.revoked_at IS NULL AND ($3::bigint IS NULL OR k.key_no = $3)
RETURNING k.key_no
"""
EXPIRE_KEYS = """
UPDATE device_keys k SET expires_at = $2 FROM devices d
WHERE d.device_no = k.device_no AND d.device_id = $1 AND k.revoked_at IS NULL AND ($3::bigint IS NULL OR k.key_no = $3)
RETURNING k.key_no
"""
# Keys that are good as of an instant of the machine.
GOOD_KEYS = """
SELECT count(*) FROM device_keys WHERE device_no = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
END_AFTER = """
UPDATE device_keys SET expires_at = $3
WHERE device_no = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) AND key_hash <> $2
"""
KEYS = """
SELECT k.key_no, k.label, k.added_at, k.expires_at, k.revoked_at FROM device_keys k JOIN devices d USING (device_no)
WHERE d.device_id = $1 ORDER BY k.key_no
"""
DEVICES = """
SELECT d.device_id, d.added_at,
       count(k.key_hash) FILTER (WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) AS keys,
       coalesce(c.received, 0) AS received, coalesce(c.stored, 0) AS stored, coalesce(c.duplicates, 0) AS duplicates,
       coalesce(c.refused, 0) AS refused
FROM devices d LEFT JOIN device_keys k USING (device_no) LEFT JOIN device_counts c USING (device_no)
WHERE $1::text IS NULL OR d.device_id = $1
GROUP BY d.device_no, c.device_no ORDER BY d.device_id
"""


MOST_KEYS = 2
"""That are good at once, while a device changes from one to the next."""


class NoDevice(MendableError, LookupError):
    """There is no such device, or no such key of it."""


class TooManyKeys(MendableError):
    """The device changes its key already."""


class ListedKey(NamedTuple):
    """A key as it is listed; never what it is."""

    key_no: int
    label: str
    added: str
    expires: str
    state: str


class ListedDevice(NamedTuple):
    """A device, how many keys it has, and what came of its reports."""

    device_id: str
    keys: int
    received: int
    stored: int
    duplicates: int
    refused: int


async def enter_devices(writer: OrderWriter, device_ids: Sequence[str]) -> dict[str, int]:
    """Their numbers. What is new is entered, with a key that is shown once."""
    numbers = {}
    for device_id in device_ids:
        numbers[device_id], is_new = await _enter_device(writer.connection, device_id, writer.now)
        if is_new:
            key = await _add_key(writer.connection, numbers[device_id], "entered with orders", writer.now, None)
            writer.entered.keys[device_id] = key
            writer.changed("device entered", None, device_id=device_id)
    return numbers


async def add_device_key(
    connection: Connection, device_id: str, who: str, now_ms: int, expires_at: datetime | None = None
) -> str:
    """A new key of a device, entered if it is new, with its line in the log of changes. It is shown once: only its hash is kept.
    Other keys stay valid. `expires_at` None: it does not expire. Inside a transaction."""
    now = datetime_of(now_ms)
    number, _ = await _enter_device(connection, device_id, now)
    key = await _add_key(connection, number, f"added by {who}", now, expires_at)
    await log_change(connection, OrderChange("device key added", None, {"device_id": device_id}), who, now_ms)
    detail = f"expires {told_expiry(expires_at)}"
    await record_event(connection, Subject.DEVICE, device_id, "key added", who, detail)
    return key


async def rotate_device_key(
    connection: Connection, device_id: str, who: str, now_ms: int, keep_until: datetime
) -> str:
    """A new key, to be shown once. The one there is stays good until `keep_until`, so that the device can change over. Inside a
    transaction. Raises NoDevice or TooManyKeys."""
    number = await device_no_of(connection, device_id)
    if await connection.fetchval(GOOD_KEYS, number, datetime_of(machine_ms())) >= MOST_KEYS:
        raise TooManyKeys(
            f"{device_id!r} has {MOST_KEYS} keys that are good: it changes its key already. `emtrack devices keys list` shows "
            "them, `emtrack devices revoke --key NUMBER` ends one"
        )
    key = await _add_key(connection, number, f"rotated by {who}", datetime_of(now_ms), None)
    await connection.execute(END_AFTER, number, secret_hash(key), keep_until)
    await log_change(connection, OrderChange("device key added", None, {"device_id": device_id}), who, now_ms)
    detail = f"the one before until {told_expiry(keep_until)}"
    await record_event(connection, Subject.DEVICE, device_id, "key rotated", who, detail)
    return key


async def revoke_device_keys(
    connection: Connection, device_id: str, who: str, now_ms: int, key_no: int | None = None
) -> int:
    """No key of a device is good any longer, or not the one that is named; how many were. Inside a transaction."""
    revoked = await connection.fetch(REVOKE_KEYS, device_id, datetime_of(now_ms), key_no)
    if revoked:
        await log_change(connection, OrderChange("device keys revoked", None, {"device_id": device_id}), who, now_ms)
        await record_event(connection, Subject.DEVICE, device_id, "keys revoked", who, _numbers(revoked))
    return len(revoked)


async def expire_device_keys(
    connection: Connection, device_id: str, who: str, expires_at: datetime | None, key_no: int | None = None
) -> int:
    """Until when the keys of a device are good, or the one that is named; how many there are. Inside a transaction."""
    changed = await connection.fetch(EXPIRE_KEYS, device_id, expires_at, key_no)
    if changed:
        detail = f"{_numbers(changed)}: {told_expiry(expires_at)}"
        await record_event(connection, Subject.DEVICE, device_id, "expiry set", who, detail)
    return len(changed)


def _numbers(keys: Sequence[Any]) -> str:
    return "key " + ", ".join(str(row["key_no"]) for row in keys)


async def list_keys(connection: Connection, device_id: str) -> list[ListedKey]:
    """All that a device ever had. Raises NoDevice."""
    await device_no_of(connection, device_id)
    now = datetime_of(machine_ms())
    return [
        ListedKey(
            row["key_no"], row["label"], f"{row['added_at']:%Y-%m-%d}", told_expiry(row["expires_at"]),
            state_of(row["revoked_at"], row["expires_at"], now),
        )
        for row in await connection.fetch(KEYS, device_id)
    ]  # fmt: skip


async def device_no_of(connection: Connection, device_id: str) -> int:
    """Raises NoDevice."""
    number: int | None = await connection.fetchval(DEVICE, device_id)
    if number is None:
        raise NoDevice(f"there is no device {device_id!r}; `emtrack devices list` shows those there are")
    return number


async def list_devices(connection: Connection, device_id: str | None = None) -> list[ListedDevice]:
    """All devices, or one."""
    fields = ListedDevice._fields
    return [ListedDevice(*(row[f] for f in fields)) for row in await connection.fetch(DEVICES, device_id)]


async def _enter_device(connection: Connection, device_id: str, now: datetime) -> tuple[int, bool]:
    """The number of a device, and whether it was entered just now."""
    number = await connection.fetchval(NEW_DEVICE, device_id, now)
    if number is not None:
        return number, True
    return await connection.fetchval(DEVICE, device_id), False


async def _add_key(
    connection: Connection, device_no: int, label: str, now: datetime, expires_at: datetime | None
) -> str:
    key = new_secret()
    await connection.execute(NEW_KEY, secret_hash(key), device_no, label, now, expires_at)
    return key
