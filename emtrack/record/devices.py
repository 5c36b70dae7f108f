"""Devices in the record, and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from emtrack.db.connect import Connection
from emtrack.people.secrets import new_secret, secret_hash
from emtrack.record.changes import OrderChange, log_change
from emtrack.record.entering import OrderWriter
from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

DEVICE = "SELECT device_no FROM devices WHERE device_id = $1"
NEW_DEVICE = "INSERT INTO devices (device_id, added_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING device_no"
NEW_KEY = "INSERT INTO device_keys (key_hash, device_no, label, added_at) VALUES ($1, $2, $3, $4)"
REVOKE_KEYS = """
UPDATE device_keys k SET revoked_at = $2 FROM devices d
WHERE d.device_no = k.device_no AND d.device_id = $1 AND k.revoked_at IS NULL RETURNING k.device_no
"""
DEVICES = """
SELECT d.device_id, d.added_at, count(k.key_hash) FILTER (WHERE k.revoked_at IS NULL) AS keys,
       coalesce(c.received, 0) AS received, coalesce(c.stored, 0) AS stored, coalesce(c.duplicates, 0) AS duplicates,
       coalesce(c.refused, 0) AS refused
FROM devices d LEFT JOIN device_keys k USING (device_no) LEFT JOIN device_counts c USING (device_no)
WHERE $1::text IS NULL OR d.device_id = $1
GROUP BY d.device_no, c.device_no ORDER BY d.device_id
"""


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
            key = await _add_key(writer.connection, numbers[device_id], "entered with orders", writer.now)
            writer.entered.keys[device_id] = key
            writer.changed("device entered", None, device_id=device_id)
    return numbers


async def add_device_key(connection: Connection, device_id: str, who: str, now_ms: int) -> str:
    """A new key of a device, entered if it is new, with its line in the log of changes. It is shown once: only its hash is kept.
    Other keys stay valid. Inside a transaction."""
    now = datetime_of(now_ms)
    number, _ = await _enter_device(connection, device_id, now)
    key = await _add_key(connection, number, f"added by {who}", now)
    await log_change(connection, OrderChange("device key added", None, {"device_id": device_id}), who, now_ms)
    return key


async def revoke_device_keys(connection: Connection, device_id: str, who: str, now_ms: int) -> int:
    """No key of a device is good any longer; how many were. A running service hears of it at its next turn. Inside a transaction."""
    revoked = await connection.fetch(REVOKE_KEYS, device_id, datetime_of(now_ms))
    if revoked:
        await log_change(connection, OrderChange("device keys revoked", None, {"device_id": device_id}), who, now_ms)
    return len(revoked)


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


async def _add_key(connection: Connection, device_no: int, label: str, now: datetime) -> str:
    key = new_secret()
    await connection.execute(NEW_KEY, secret_hash(key), device_no, label, now)
    return key
