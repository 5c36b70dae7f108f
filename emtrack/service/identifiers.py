"""Identifiers of devices in memory, for the doors of trackers. `DeviceKeys` loads them with the keys, so that what is ended is in
force within a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from emtrack.db.connect import Connection

IDENTIFIERS = """
SELECT device_no, protocol, identifier FROM device_identifiers
WHERE ended_at IS NULL AND ($1::bigint[] IS NULL OR device_no = ANY ($1))
"""


class DeviceIdentifiers:
    """Who is known by what: the number of a device by protocol and identifier."""

    def __init__(self) -> None:
        self._device_nos: dict[tuple[str, str], int] = {}

    def device_no(self, protocol: str, identifier: str) -> int | None:
        """None: nobody who may report."""
        return self._device_nos.get((protocol, identifier))

    async def load(self, connection: Connection) -> None:
        """All there are."""
        self._device_nos = _by_name(await connection.fetch(IDENTIFIERS, None))

    async def reload(self, connection: Connection, device_nos: Sequence[int]) -> None:
        """Those of some devices."""
        found, changed = _by_name(await connection.fetch(IDENTIFIERS, device_nos)), set(device_nos)
        others = {name: number for name, number in self._device_nos.items() if number not in changed}
        self._device_nos = others | found


def _by_name(rows: Iterable[Any]) -> dict[tuple[str, str], int]:
    return {(row["protocol"], row["identifier"]): row["device_no"] for row in rows}
