"""Which shard a report is for: that of the wearer whom it is about at its time.

Gateways send by it, and workers check by it. A worker goes by the orders that it has taken in; where a gateway went by others, the
request is sent back, and the device sends it again. A device that is worn by one person after another belongs to several shards over
time. It is *divided*: two workers may store what it sends, one after the other (`ingest.lock_devices`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from emtrack.db.all_or_some import AllOrSome
from emtrack.db.connect import Connection
from emtrack.record.shards import shard_count
from geofence import FOREVER_MS
from ingest import EventReport, PositionReport, Received, Refusal

WORN = AllOrSome.of(
    """
SELECT v.activation_no, v.device_no, d.device_id, v.wearer_no, v.network, v.evidence,
       epoch_ms(lower(v.during)) AS from_ms, epoch_ms(upper(v.during)) AS to_ms
FROM activation_versions v JOIN activations a USING (activation_no) JOIN devices d USING (device_no)
WHERE upper_inf(v.recorded) {some}
""",
    "AND v.wearer_no = ANY ($1::bigint[])",
)
UNITS = AllOrSome.of(
    """
SELECT h.hmu_id, h.wearer_no, d.device_no, epoch_ms(lower(h.during)) AS from_ms, epoch_ms(upper(h.during)) AS to_ms
FROM home_units h JOIN devices d ON d.device_id = h.hmu_id
WHERE upper_inf(h.recorded) {some}
""",
    "AND h.wearer_no = ANY ($1::bigint[])",
)


class Worn(NamedTuple):
    """A device on a wearer. `tells_of_places`: it is one that home units speak for."""

    activation_no: int
    device_no: int
    device_id: str
    wearer_no: int
    network: str | None
    from_ms: int
    to_ms: int
    tells_of_places: bool

    def covers(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.to_ms


class Stands(NamedTuple):
    """A home unit at the address of a wearer."""

    device_no: int
    wearer_no: int
    from_ms: int
    to_ms: int

    def covers(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.to_ms


Key = TypeVar("Key", bound=Hashable)
One = TypeVar("One", Worn, Stands)


class Route(NamedTuple):
    """`shard`: that keeps the report. `hear`: others, whose wearers a home unit speaks of when it speaks of itself."""

    shard: int
    hear: frozenset[int] = frozenset()


class Routing:
    """Who wears which device, and where home units stand, as it is entered; of everybody."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._of_device: dict[int, list[Worn]] = {}
        self._of_tag: dict[str, list[Worn]] = {}
        self._of_activation: dict[int, Worn] = {}
        self._of_wearer: dict[int, list[Worn]] = {}
        self._of_unit: dict[int, list[Stands]] = {}
        self._at_wearer: dict[int, list[Stands]] = {}
        self._shards_of: dict[int, frozenset[int]] = {}

    @classmethod
    async def loaded(cls, connection: Connection) -> Routing:
        routing = cls(await shard_count(connection))
        routing._take_in(await _worn(connection, None), await _standing(connection, None))
        return routing

    def take_over(self, other: Routing) -> None:
        """Be as another is, for all who hold this one."""
        self.__dict__.update(other.__dict__)

    async def reload(self, connection: Connection, wearer_nos: Sequence[int]) -> None:
        """Orders of some wearers changed. What it costs does not go by how many others there are."""
        worn, standing = await _worn(connection, wearer_nos), await _standing(connection, wearer_nos)
        self._take_out(wearer_nos)
        self._take_in(worn, standing)

    def _take_in(self, worn: Iterable[Worn], standing: Iterable[Stands]) -> None:
        touched = set()
        for one in worn:
            touched.add(one.device_no)
            self._of_activation[one.activation_no] = one
            insort(self._of_device.setdefault(one.device_no, []), one, key=_from_ms)
            insort(self._of_tag.setdefault(one.device_id, []), one, key=_from_ms)
            insort(self._of_wearer.setdefault(one.wearer_no, []), one, key=_from_ms)
        for stands in standing:
            touched.add(stands.device_no)
            self._at_wearer.setdefault(stands.wearer_no, []).append(stands)
            insort(self._of_unit.setdefault(stands.device_no, []), stands, key=_since_and_wearer)
        self._note_shards(touched)

    def _take_out(self, wearer_nos: Iterable[int]) -> None:
        touched = set()
        for wearer_no in wearer_nos:
            for one in self._of_wearer.pop(wearer_no, ()):
                touched.add(one.device_no)
                _drop(self._of_device, one.device_no, wearer_no)
                _drop(self._of_tag, one.device_id, wearer_no)
                if self._of_activation.get(one.activation_no) is one:
                    del self._of_activation[one.activation_no]
            for stands in self._at_wearer.pop(wearer_no, ()):
                touched.add(stands.device_no)
                _drop(self._of_unit, stands.device_no, wearer_no)
        self._note_shards(touched)

    def _note_shards(self, device_nos: Iterable[int]) -> None:
        for number in device_nos:
            everybody: list[Worn | Stands] = [*self._of_device.get(number, ()), *self._of_unit.get(number, ())]
            self._shards_of[number] = frozenset(one.wearer_no % self.shards for one in everybody)

    def is_divided(self, device_no: int) -> bool:
        """Whether more than one shard may store what a device sends."""
        return len(self._shards_of.get(device_no, ())) > 1

    def shards_of_device(self, device_no: int) -> frozenset[int]:
        """Of all who wear it, or at whose address it stands."""
        return self._shards_of.get(device_no, frozenset())

    def devices_of(self, wearer_nos: Collection[int]) -> set[int]:
        """Of some people, at any time."""
        worn = {one.device_no for wearer_no in wearer_nos for one in self._of_wearer.get(wearer_no, ())}
        return worn | {one.device_no for wearer_no in wearer_nos for one in self._at_wearer.get(wearer_no, ())}

    def shard_of_unit(self, device_no: int) -> int:
        """Of the first of all with whom it ever stood: the same whenever it is asked for."""
        entries = self._of_unit.get(device_no)
        return (min(e.wearer_no for e in entries) if entries else device_no) % self.shards

    def shard_that_looks(self, device_no: int, at_ms: int) -> int:
        """Which looks at whether a home unit calls in: that of the first of those with whom it stands then."""
        standing = [e.wearer_no for e in self._of_unit.get(device_no, ()) if e.covers(at_ms)]
        return min(standing) % self.shards if standing else self.shard_of_unit(device_no)

    def wearer_of(self, activation_no: int) -> int | None:
        worn = self._of_activation.get(activation_no)
        return None if worn is None else worn.wearer_no

    def count_active(self, network: str, at_ms: int) -> int:
        """How many activations of a network there are at an instant, in all shards."""
        return sum(1 for one in self._of_activation.values() if one.network == network and one.covers(at_ms))

    def route(self, device_no: int, received: Received) -> Route:
        """Of one report of a device or home unit."""
        report = received.report
        if isinstance(report, Refusal):
            return Route(self.home_of(device_no))
        if isinstance(report, EventReport) and report.tag is not None:
            tagged = _covering(self._of_tag.get(report.tag, ()), report.event_ms)
            return Route(self.home_of(device_no) if tagged is None else tagged.wearer_no % self.shards)
        worn = _covering(self._of_device.get(device_no, ()), report.own_ms)
        if worn is not None:
            return Route(worn.wearer_no % self.shards)
        if device_no in self._of_unit and isinstance(report, EventReport):
            return self._of_the_unit(device_no, report)
        return Route(self.home_of(device_no))

    def _of_the_unit(self, device_no: int, report: EventReport | PositionReport) -> Route:
        """The first of the wearers at whose addresses it stands then keeps it."""
        wearers = sorted({e.wearer_no for e in self._of_unit[device_no] if e.covers(report.own_ms)})
        shards = list(
            dict.fromkeys(wearer_no % self.shards for wearer_no in wearers if self._wears(wearer_no, report.own_ms))
        )
        return Route(shards[0], frozenset(shards[1:])) if shards else Route(self.home_of(device_no))

    def _wears(self, wearer_no: int, at_ms: int) -> bool:
        """Something that home units speak for. Asked for each report of a home unit, so of the wearer's own activations only."""
        return any(w.tells_of_places and w.covers(at_ms) for w in self._of_wearer.get(wearer_no, ()))

    def home_of(self, device_no: int) -> int:
        """What is of no activation is kept where the device was worn last."""
        worn = self._of_device.get(device_no)
        if worn:
            return worn[-1].wearer_no % self.shards
        return self.shard_of_unit(device_no)


def _covering(worn: Iterable[Worn], at_ms: int) -> Worn | None:
    return next((one for one in worn if one.covers(at_ms)), None)


async def _worn(connection: Connection, wearer_nos: Sequence[int] | None) -> list[Worn]:
    return [
        Worn(
            row["activation_no"], row["device_no"], row["device_id"], row["wearer_no"], row["network"], row["from_ms"],
            FOREVER_MS if row["to_ms"] is None else row["to_ms"], bool(row["evidence"]),
        )
        for row in await WORN.fetch(connection, wearer_nos)
    ]  # fmt: skip


async def _standing(connection: Connection, wearer_nos: Sequence[int] | None) -> list[Stands]:
    return [
        Stands(
            row["device_no"], row["wearer_no"], row["from_ms"], FOREVER_MS if row["to_ms"] is None else row["to_ms"]
        )
        for row in await UNITS.fetch(connection, wearer_nos)
    ]


def _from_ms(one: Worn) -> int:
    return one.from_ms


def _since_and_wearer(one: Stands) -> tuple[int, int]:
    return one.from_ms, one.wearer_no


def _drop(found: dict[Key, list[One]], key: Key, wearer_no: int) -> None:
    """What is of a wearer."""
    kept = [one for one in found.get(key, ()) if one.wearer_no != wearer_no]
    if kept:
        found[key] = kept
    else:
        found.pop(key, None)
