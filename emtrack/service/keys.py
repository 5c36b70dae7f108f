"""Device keys in memory, for the device door. `CredentialWatch` keeps them as they are in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emtrack.clock import machine_ms
from emtrack.db.connect import Connection
from emtrack.people.secrets import secret_hash

if TYPE_CHECKING:
    from datetime import datetime

KEYS = """
SELECT d.device_id, d.device_no, k.key_hash, k.expires_at FROM device_keys k JOIN devices d USING (device_no)
WHERE k.revoked_at IS NULL AND ($1::bigint[] IS NULL OR d.device_no = ANY ($1))
"""
DEVICE_IDS = "SELECT device_id FROM devices WHERE device_no = ANY ($1)"

_NEVER_MS = 1 << 62


class DeviceKeys:
    """Hashes of the keys that are not revoked, each with the millisecond of the machine at which it expires."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[int, dict[bytes, int]]] = {}
        self._reading = (
            asyncio.Lock()
        )  # what was read later is adopted later: a key that was revoked does not come back

    def device_no(self, device_id: str, key: str) -> int | None:
        """The device's number if the key is one of its keys and has not expired. Does not block."""
        number, hashes = self._devices.get(device_id, (0, {}))
        return number if hashes.get(secret_hash(key), 0) > machine_ms() else None

    async def load(self, connection: Connection) -> None:
        """All keys."""
        async with self._reading:
            self._devices = _by_device(await connection.fetch(KEYS, None))

    async def reload(self, connection: Connection, device_nos: Sequence[int]) -> None:
        """Those of some devices."""
        async with self._reading:
            rows = await connection.fetch(KEYS, device_nos)
            ids = [row["device_id"] for row in await connection.fetch(DEVICE_IDS, device_nos)]
            fresh = _by_device(rows)
            for device_id in ids:
                self._devices.pop(device_id, None)
            self._devices |= fresh


def _by_device(rows: Iterable[Any]) -> dict[str, tuple[int, dict[bytes, int]]]:
    devices: dict[str, tuple[int, dict[bytes, int]]] = {}
    for row in rows:
        keys = devices.setdefault(row["device_id"], (row["device_no"], {}))[1]
        keys[row["key_hash"]] = _ms(row["expires_at"])
    return devices


def _ms(at: datetime | None) -> int:
    return _NEVER_MS if at is None else round(at.timestamp() * 1000)
