"""Home units in memory: at whose address each stands and from when to when, and when it was heard last.

A unit that was not heard for longer than it may be silent is found by the clock alone. Each turn looks at the units that were heard
and at those that are due, and asks the database nothing. Memory follows the disk, as for activations: what a look finds is adopted
after the commit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from alerts import UnitSilence, lasting_unit_silences
from emtrack.db.connect import Connection
from emtrack.record.deployment_settings import load_settings
from emtrack.record.home_units import UnitEntry, load_unit_calls, load_unit_entries
from emtrack.record.outages import Outages
from geofence import ALWAYS_MS, FOREVER_MS, Interval, merged, subtracted

LOOK_AGAIN_MS = 60_000
"""A unit that is silent is looked at so often: whether it is graver goes by the obligations of the moment."""

IsObliged = Callable[[int, str, int], bool]
"""(wearer_no, requirement_id, at_ms) -> whether an obligation period lasts then."""


class UnitLook(NamedTuple):
    """What a look at some units found. `called`: when each that was heard was heard last, by the number of its device; `silent`:
    silences that are new or changed; `ended`: units whose silence is over; `due_ms`: when each is looked at again."""

    called: dict[int, int]
    silent: list[UnitSilence]
    ended: list[str]
    due_ms: dict[str, int]


class HomeUnits:
    """All entries of home units, found by unit and by the number of its device."""

    def __init__(self) -> None:
        self._of_wearer: dict[int, list[UnitEntry]] = {}
        self._of_unit: dict[str, list[UnitEntry]] = {}
        self._ids: dict[int, str] = {}
        self._heard_ms: dict[int, int] = {}
        self._silent: dict[str, UnitSilence] = {}
        self._due_ms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._queued_ms: dict[str, int] = {}
        """Of each unit the one entry of the heap that counts; it may be earlier than the unit is due."""
        self._buffer_ms = 0

    async def load(self, connection: Connection, held_ms: int) -> None:
        """Everything, as it is entered now."""
        _, settings = await load_settings(connection, held_ms)
        self._buffer_ms = settings.silence_buffer_ms
        self._heard_ms = await load_unit_calls(connection)
        self._silent = {s.home_unit: s for s in await lasting_unit_silences(connection)}
        self._of_wearer, self._of_unit, self._ids = {}, {}, {}
        self._take_in(await load_unit_entries(connection))
        self._look_soon({*self._of_unit, *self._silent})

    async def change_orders(self, connection: Connection, held_ms: int, wearer_nos: Sequence[int]) -> None:
        """Orders of some wearers changed, or the settings."""
        _, settings = await load_settings(connection, held_ms)
        entries = await load_unit_entries(connection, wearer_nos)
        former = self._take_out(wearer_nos)
        self._take_in(entries)
        touched = {entry.hmu_id for entry in (*former, *entries)}
        if settings.silence_buffer_ms != self._buffer_ms:
            touched |= self._of_unit.keys()
        self._buffer_ms = settings.silence_buffer_ms
        self._look_soon(touched)

    def _take_in(self, entries: Iterable[UnitEntry]) -> None:
        for entry in entries:
            self._of_wearer.setdefault(entry.wearer_no, []).append(entry)
            self._of_unit.setdefault(entry.hmu_id, []).append(entry)
            self._ids[entry.device_no] = entry.hmu_id

    def _take_out(self, wearer_nos: Sequence[int]) -> list[UnitEntry]:
        """The entries of some wearers."""
        former = [entry for wearer_no in wearer_nos for entry in self._of_wearer.pop(wearer_no, ())]
        for device_no, hmu_id in {(entry.device_no, entry.hmu_id) for entry in former}:
            kept = [entry for entry in self._of_unit[hmu_id] if entry.wearer_no in self._of_wearer]
            if kept:
                self._of_unit[hmu_id] = kept
            else:
                del self._of_unit[hmu_id], self._ids[device_no]
        return former

    def _look_soon(self, units: Iterable[str]) -> None:
        for hmu_id in units:
            self._due_at(hmu_id, ALWAYS_MS)

    def _due_at(self, hmu_id: str, due_ms: int) -> None:
        self._due_ms[hmu_id] = due_ms
        if due_ms < self._queued_ms.get(hmu_id, FOREVER_MS):
            self._queued_ms[hmu_id] = due_ms
            heapq.heappush(self._heap, (due_ms, hmu_id))

    def id_of(self, device_no: int) -> str | None:
        """The home unit that a device is; None for one that is none."""
        return self._ids.get(device_no)

    def stands_with(self, hmu_id: str, wearer_no: int, at_ms: int) -> bool:
        """Whether the unit stands at an address of the wearer at an instant."""
        return wearer_no in self.wearers_at(hmu_id, at_ms)

    def wearers_at(self, hmu_id: str, at_ms: int) -> set[int]:
        """Who has an entry of the unit at an instant."""
        return {e.wearer_no for e in self._of_unit.get(hmu_id, ()) if e.from_ms <= at_ms < e.to_ms}

    def wearers_of(self, device_nos: Iterable[int]) -> set[int]:
        """With whom some units, by the numbers of their devices, stand at whatever time."""
        units = {self._ids[number] for number in device_nos if number in self._ids}
        return {entry.wearer_no for hmu_id in units for entry in self._of_unit[hmu_id]}

    def devices_of(self, wearer_nos: Sequence[int]) -> dict[int, int]:
        """The units of some wearers by the number of their device, each with the first instant at which it stands with one."""
        first_ms: dict[int, int] = {}
        for wearer_no in wearer_nos:
            for entry in self._of_wearer.get(wearer_no, ()):
                first_ms[entry.device_no] = min(entry.from_ms, first_ms.get(entry.device_no, entry.from_ms))
        return first_ms

    # ------------------------------------------------------------------------------------- who does not call in

    def look(
        self,
        senders: Iterable[int],
        outages: Outages,
        is_obliged: IsObliged,
        now_ms: int,
        is_looked_at_here: Callable[[int], bool] = lambda _: True,
    ) -> UnitLook:
        """At the units among `senders` (device numbers of whoever was heard just now), and at those that are due. Nothing in memory
        changes. `outages`: ours, which do not count; `is_looked_at_here`: whether a unit, by the number of its device, is not looked
        at by another worker."""
        called = {number: now_ms for number in senders if number in self._ids}
        found = UnitLook(called, [], [], {})
        for hmu_id in sorted({self._ids[number] for number in called} | self._due(now_ms)):
            entries = self._of_unit.get(hmu_id)
            if entries and not is_looked_at_here(entries[0].device_no):
                found.due_ms[hmu_id] = now_ms + LOOK_AGAIN_MS
                continue
            due_ms, silence = self._judge(hmu_id, called, _away(entries or (), outages), is_obliged, now_ms)
            found.due_ms[hmu_id] = due_ms
            if silence is None and hmu_id in self._silent:
                found.ended.append(hmu_id)
            elif silence is not None and silence != self._silent.get(hmu_id):
                found.silent.append(silence)
        return found

    async def hear_from_disk(self, connection: Connection) -> None:
        """Other workers may have heard units, and looked at those that we look at now: what they noted of them counts."""
        self._hear(await load_unit_calls(connection))
        self._silent = {s.home_unit: s for s in await lasting_unit_silences(connection)}

    def _hear(self, called: Mapping[int, int]) -> None:
        for number, at_ms in called.items():
            self._heard_ms[number] = max(at_ms, self._heard_ms.get(number, at_ms))

    def adopt(self, look: UnitLook) -> None:
        """What the look found is committed: memory follows."""
        self._hear(look.called)
        for silence in look.silent:
            self._silent[silence.home_unit] = silence
        for hmu_id in look.ended:
            self._silent.pop(hmu_id, None)
        for hmu_id, due_ms in look.due_ms.items():
            self._due_at(hmu_id, due_ms)

    @property
    def next_due_ms(self) -> int:
        """When the first of them may have to be looked at."""
        return self._heap[0][0] if self._heap else FOREVER_MS

    def _due(self, now_ms: int) -> set[str]:
        """They stay due until they are adopted with another instant."""
        found = set()
        while self._heap and self._heap[0][0] <= now_ms:
            queued_ms, hmu_id = heapq.heappop(self._heap)
            if self._queued_ms.get(hmu_id) == queued_ms:
                del self._queued_ms[hmu_id]
                if self._due_ms[hmu_id] <= now_ms:
                    found.add(hmu_id)
                else:
                    self._due_at(hmu_id, self._due_ms[hmu_id])
        self._look_again(found)
        return found

    def _look_again(self, units: Iterable[str]) -> None:
        for hmu_id in units:
            self._due_at(hmu_id, self._due_ms[hmu_id])

    def _judge(
        self, hmu_id: str, called: Mapping[int, int], outages: Sequence[Interval], is_obliged: IsObliged, now_ms: int
    ) -> tuple[int, UnitSilence | None]:
        """When to look at the unit again, and its silence if it is silent."""
        entries = self._of_unit.get(hmu_id, [])
        turns_ms = [at_ms for e in entries for at_ms in (e.from_ms, e.to_ms) if at_ms > now_ms]
        next_ms = min(turns_ms, default=FOREVER_MS)
        current = [e for e in entries if e.from_ms <= now_ms < e.to_ms]
        calls_ms = [e.call_in_ms for e in current if e.call_in_ms is not None]
        if not calls_ms:
            return next_ms, None
        number = current[0].device_no
        heard_ms = max(called.get(number, ALWAYS_MS), self._heard_ms.get(number, ALWAYS_MS))
        since_ms = max(heard_ms, min(max(e.from_ms, e.told_ms) for e in current))
        waited = waited_for(min(calls_ms) + self._buffer_ms, since_ms, now_ms, outages)
        if waited.over_ms is None:
            return min(next_ms, now_ms + waited.left_ms + 1), None
        return min(next_ms, now_ms + LOOK_AGAIN_MS), self._silence(
            current, since_ms, waited.over_ms, is_obliged, now_ms
        )

    def _silence(
        self, current: Sequence[UnitEntry], since_ms: int, over_ms: int, is_obliged: IsObliged, now_ms: int
    ) -> UnitSilence:
        """Who was listed stays listed, and what was serious stays so."""
        hmu_id = current[0].hmu_id
        before = self._silent.get(hmu_id)
        people = frozenset(e.wearer_no for e in current)
        if before is not None:
            people, since_ms, over_ms = people | before.wearer_nos, before.since_ms, before.begin_ms
        is_serious = (before is not None and before.is_obliged) or any(
            is_obliged(e.wearer_no, e.requirement_id, now_ms) for e in current
        )
        return UnitSilence(hmu_id, since_ms, over_ms, people, is_serious)


def _away(entries: Iterable[UnitEntry], outages: Outages) -> Sequence[Interval]:
    """When what a unit sent may not have come. What it says is kept by the shard of the one or the other with whom it ever stood, as
    goes by what they wear at its time: if one was away, the unit may have called in."""
    return merged([away for of_one in {outages.of(e.wearer_no) for e in entries} for away in of_one])


class Waited(NamedTuple):
    """`over_ms`: when a limit was reached that is passed by now; None: it is not, and `left_ms` are left of it."""

    over_ms: int | None
    left_ms: int


def waited_for(limit_ms: int, since_ms: int, now_ms: int, outages: Sequence[Interval]) -> Waited:
    """Whether more than a limit has passed since an instant, our outages not counted."""
    left_ms = limit_ms
    for part in subtracted([Interval(since_ms, now_ms)] if since_ms < now_ms else [], outages):
        if part.end_ms - part.begin_ms > left_ms:
            return Waited(part.begin_ms + left_ms, 0)
        left_ms -= part.end_ms - part.begin_ms
    return Waited(None, left_ms)
