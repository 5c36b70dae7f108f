"""Identifiers of devices in memory, for the doors of trackers. `DeviceKeys` loads them with the keys, so that what is ended is in
force within a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from emtrack.db.all_or_some import AllOrSome
from emtrack.db.connect import Connection

IDENTIFIERS = AllOrSome.of(
    """
SELECT i.protocol, i.identifier, d.device_no, d.device_id FROM device_identifiers i JOIN devices d USING (device_no)
WHERE i.ended_at IS NULL {some}
""",
    "AND i.device_no = ANY ($1::bigint[])",
)


class KnownDevice(NamedTuple):
    """Whose an identifier is."""

    device_no: int
    device_id: str


class DeviceIdentifiers:
    """Who is known by what, by protocol and identifier. `known`: before anything is loaded."""

    def __init__(self, known: Mapping[tuple[str, str], KnownDevice] = MappingProxyType({})) -> None:
        self._devices = dict(known)

    def device(self, protocol: str, identifier: str) -> KnownDevice | None:
        """None: nobody who may report."""
        return self._devices.get((protocol, identifier))

    async def load(self, connection: Connection) -> None:
        """All there are."""
        self._devices = _by_name(await IDENTIFIERS.fetch(connection, None))

    async def reload(self, connection: Connection, device_nos: Sequence[int]) -> None:
        """Those of some devices."""
        found, changed = _by_name(await IDENTIFIERS.fetch(connection, device_nos)), set(device_nos)
        others = {name: known for name, known in self._devices.items() if known.device_no not in changed}
        self._devices = others | found


def _by_name(rows: Iterable[Any]) -> dict[tuple[str, str], KnownDevice]:
    return {(row["protocol"], row["identifier"]): KnownDevice(row["device_no"], row["device_id"]) for row in rows}
