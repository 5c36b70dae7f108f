"""Device keys in memory, for the device door."""

from __future__ import annotations

from emtrack.db.connect import Connection
from emtrack.people.secrets import secret_hash

KEYS = """
SELECT d.device_id, d.device_no, k.key_hash FROM device_keys k JOIN devices d USING (device_no) WHERE k.revoked_at IS NULL
"""


class DeviceKeys:
    """The keys as of the last turn that saw orders or keys change."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[int, frozenset[bytes]]] = {}

    def device_no(self, device_id: str, key: str) -> int | None:
        """The device's number if the key is one of its keys. Does not block."""
        number, hashes = self._devices.get(device_id, (0, frozenset()))
        return number if secret_hash(key) in hashes else None

    async def load(self, connection: Connection) -> None:
        devices: dict[str, tuple[int, set[bytes]]] = {}
        for row in await connection.fetch(KEYS):
            devices.setdefault(row["device_id"], (row["device_no"], set()))[1].add(row["key_hash"])
        self._devices = {name: (number, frozenset(hashes)) for name, (number, hashes) in devices.items()}
