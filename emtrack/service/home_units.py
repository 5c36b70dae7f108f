"""Home units in memory: at whose address each stands and from when to when. Memory follows the disk, as for activations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from emtrack.db.connect import Connection
from emtrack.record.home_units import UnitEntry, load_unit_entries


class HomeUnits:
    """All entries of home units, found by unit and by the number of its device."""

    def __init__(self) -> None:
        self._of_wearer: dict[int, list[UnitEntry]] = {}
        self._of_unit: dict[str, list[UnitEntry]] = {}
        self._ids: dict[int, str] = {}

    async def load(self, connection: Connection, wearer_nos: Sequence[int] | None = None) -> None:
        """The entries of some wearers (None: all) as they are entered now."""
        entries = await load_unit_entries(connection, wearer_nos)
        if wearer_nos is None:
            self._of_wearer = {}
        for wearer_no in wearer_nos or ():
            self._of_wearer.pop(wearer_no, None)
        for entry in entries:
            self._of_wearer.setdefault(entry.wearer_no, []).append(entry)
        self._index()

    def _index(self) -> None:
        of_unit: dict[str, list[UnitEntry]] = defaultdict(list)
        for entries in self._of_wearer.values():
            for entry in entries:
                of_unit[entry.hmu_id].append(entry)
        self._of_unit = dict(of_unit)
        self._ids = {entries[0].device_no: hmu_id for hmu_id, entries in of_unit.items()}

    def id_of(self, device_no: int) -> str | None:
        """The home unit that a device is; None for one that is none."""
        return self._ids.get(device_no)

    def stands_with(self, hmu_id: str, wearer_no: int, at_ms: int) -> bool:
        """Whether the unit stands at an address of the wearer at an instant."""
        return wearer_no in self.wearers_at(hmu_id, at_ms)

    def wearers_at(self, hmu_id: str, at_ms: int) -> set[int]:
        """Who has an entry of the unit at an instant."""
        return {e.wearer_no for e in self._of_unit.get(hmu_id, ()) if e.from_ms <= at_ms < e.to_ms}

    def devices_of(self, wearer_nos: Sequence[int]) -> dict[int, int]:
        """The units of some wearers by the number of their device, each with the first instant at which it stands with one."""
        first_ms: dict[int, int] = {}
        for wearer_no in wearer_nos:
            for entry in self._of_wearer.get(wearer_no, ()):
                first_ms[entry.device_no] = min(entry.from_ms, first_ms.get(entry.device_no, entry.from_ms))
        return first_ms
