"""Device keys and identifiers in memory, for the doors of devices. `CredentialWatch` keeps them as they are in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from emtrack.clock import machine_ms
from emtrack.db.all_or_some import AllOrSome
from emtrack.db.connect import Connection
from emtrack.people.secrets import secret_hash
from emtrack.service.identifiers import DeviceIdentifiers
from ingest import Checked

if TYPE_CHECKING:
    from datetime import datetime

KEYS = AllOrSome.of(
    """
SELECT d.device_id, d.device_no, k.key_hash, k.expires_at FROM device_keys k JOIN devices d USING (device_no)
WHERE k.revoked_at IS NULL {some}
""",
    "AND k.device_no = ANY ($1::bigint[])",
)
# Also those that are good no longer: who ever had one is expected to sign with one that is.
SIGNING_KEYS = AllOrSome.of(
    """
SELECT d.device_id, k.key_no, k.public_key, k.revoked_at, k.expires_at FROM signing_keys k JOIN devices d USING (device_no)
{some}
""",
    "WHERE k.device_no = ANY ($1::bigint[])",
)
DEVICE_IDS = "SELECT device_id FROM devices WHERE device_no = ANY ($1)"

_NEVER_MS = 1 << 62


class SigningKey(NamedTuple):
    """The public half, until when it is good (milliseconds of the machine)."""

    key_no: int
    public: Ed25519PublicKey
    until_ms: int


class DeviceKeys:
    """Hashes of the keys that are not revoked, each with the millisecond of the machine at which it expires; and the public halves of
    the keys with which devices sign."""

    def __init__(self) -> None:
        self._signing: dict[str, list[SigningKey]] = {}
        self._devices: dict[str, tuple[int, dict[bytes, int]]] = {}
        self._reading = (
            asyncio.Lock()
        )  # what was read later is adopted later: a key that was revoked does not come back
        self.identifiers = DeviceIdentifiers()

    def device_no(self, device_id: str, key: str) -> int | None:
        """The device's number if the key is one of its keys and has not expired. Does not block."""
        number, hashes = self._devices.get(device_id, (0, {}))
        return number if hashes.get(secret_hash(key), 0) > machine_ms() else None

    def checked(self, device_id: str, message: bytes, signature: bytes) -> Checked | None:
        """Which key of the device made the signature; None: the device never had a key to sign with. Some 0.1 ms."""
        keys = self._signing.get(device_id)
        if keys is None:
            return None
        now_ms = machine_ms()
        return Checked(
            next((key.key_no for key in keys if key.until_ms > now_ms and _is_of(key, message, signature)), None)
        )

    async def load(self, connection: Connection) -> None:
        """All keys."""
        async with self._reading:
            self._devices = _by_device(await KEYS.fetch(connection, None))
            self._signing = _signing_by_device(await SIGNING_KEYS.fetch(connection, None))
            await self.identifiers.load(connection)

    async def reload(self, connection: Connection, device_nos: Sequence[int]) -> None:
        """Those of some devices."""
        async with self._reading:
            rows = await KEYS.fetch(connection, device_nos)
            ids = [row["device_id"] for row in await connection.fetch(DEVICE_IDS, device_nos)]
            signing = _signing_by_device(await SIGNING_KEYS.fetch(connection, device_nos))
            for device_id in ids:
                self._devices.pop(device_id, None)
                self._signing.pop(device_id, None)
            self._devices |= _by_device(rows)
            self._signing |= signing
            await self.identifiers.reload(connection, device_nos)


def _is_of(key: SigningKey, message: bytes, signature: bytes) -> bool:
    try:
        key.public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _signing_by_device(rows: Iterable[Any]) -> dict[str, list[SigningKey]]:
    devices: dict[str, list[SigningKey]] = {}
    for row in rows:
        until_ms = 0 if row["revoked_at"] is not None else _ms(row["expires_at"])
        public = Ed25519PublicKey.from_public_bytes(row["public_key"])
        devices.setdefault(row["device_id"], []).append(SigningKey(row["key_no"], public, until_ms))
    return devices


def _by_device(rows: Iterable[Any]) -> dict[str, tuple[int, dict[bytes, int]]]:
    devices: dict[str, tuple[int, dict[bytes, int]]] = {}
    for row in rows:
        keys = devices.setdefault(row["device_id"], (row["device_no"], {}))[1]
        keys[row["key_hash"]] = _ms(row["expires_at"])
    return devices


def _ms(at: datetime | None) -> int:
    return _NEVER_MS if at is None else round(at.timestamp() * 1000)
