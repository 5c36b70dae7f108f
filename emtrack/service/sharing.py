"""What a worker does because others work on the same record: it holds shards, sends back what is for others, and locks devices that
others store too. One process that has all shards does none of this."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from alerts import OwnShards
from emtrack.clock import Clock
from emtrack.db.connect import Connection
from emtrack.record.liveness import shards_alive
from emtrack.record.routing import Routing
from emtrack.record.shards import Shards, shard_count
from emtrack.service.alerting import Elsewhere
from emtrack.service.hearing import Heard, Hearing
from emtrack.service.shard_holding import Moved, ShardHolding
from ingest import Misrouted, Submission

LOOK_EVERY_S = 1.0
HEAR_EVERY_S = 20.0
"""What other workers heard of home units is read so often: a unit calls in every few hours."""


class Source(Protocol):
    """Where the submissions of shards come from."""

    async def read_shards(self, connection: Connection, shards: Collection[int]) -> None:
        """Some shards are ours now: what is not stored of them comes into the inbox, in order."""

    async def leave_shards(self, shards: Collection[int] | None) -> None:
        """They are not ours any more (None: none is), and nothing more comes of them."""

    def is_current(self, submission: Submission) -> bool:
        """Whether it was read since its shard is ours."""

    def sign_s(self, shard: int) -> float | None:
        """When the last sign of life of a shard was read, by `time.monotonic`; None: none was since it is ours."""

    async def note_stored(self, connection: Connection, batch: Sequence[Submission]) -> None:
        """How far the stream is stored, in the transaction that stores it."""

    def stored(self, batch: Sequence[Submission]) -> None:
        """That transaction is committed."""


class Settled(NamedTuple):
    """People to be loaded once more, and devices of which what is in quarantine is to be examined once more."""

    wearer_nos: list[int]
    device_nos: list[int]


class Sharing:
    """`source`: None: submissions come from the doors of this process itself (tests of shards without a stream)."""

    def __init__(self, source: Source | None = None, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._stopwatch = stopwatch
        self._looked_s = self._heard_s = float("-inf")
        self._to_settle: dict[int, int] = {}
        """People of whom a device was or is somebody else's in another shard, and since which change."""
        self._to_examine: dict[int, int] = {}
        """Devices that another worker may have refused, likewise."""
        self.holding = ShardHolding(1)
        self.routing = Routing(1)
        self._hearing: Hearing | None = None
        """None: devices are heard here, and not through a stream."""

    @property
    def shards(self) -> Shards:
        return self.holding.shards

    async def join(self, connection: Connection) -> bool:
        """A new connection; no shard is held on it yet. False while one process alone has the record."""
        if self._source is not None:
            await self._source.leave_shards(None)
            self._hearing = Hearing(self._source.sign_s, self._stopwatch)
        self.holding = ShardHolding(await shard_count(connection))
        self._looked_s = float("-inf")
        self._to_settle, self._to_examine = {}, {}
        return await self.holding.join(connection)

    async def load(self, connection: Connection) -> None:
        self.routing = await Routing.loaded(connection)

    @property
    def is_time_to_look(self) -> bool:
        """Once a second, and at once where there may be more."""
        return self._stopwatch() - self._looked_s >= LOOK_EVERY_S

    async def move(self, connection: Connection) -> Moved:
        """Where it is time: take and give back shards. What was given back is read no more."""
        if not self.is_time_to_look:
            return Moved(frozenset(), frozenset())
        moved = await self.holding.look(connection)
        self._looked_s = self._stopwatch()
        if moved.taken:
            self._looked_s = float("-inf")  # there may be more
        if moved.given and self._source is not None:
            await self._source.leave_shards(moved.given)
        if self._hearing is not None:
            self._hearing.end(moved.given)
        return moved

    async def begin_reading(self, connection: Connection, shards: Collection[int], now_ms: int) -> None:
        """They are loaded, and ready since an instant."""
        if self._hearing is not None:
            self._hearing.begin(shards, now_ms)
        if self._source is not None:
            await self._source.read_shards(connection, shards)

    def ours(self, batch: Sequence[Submission]) -> list[Submission]:
        """Those of a batch that are for shards of ours, by the orders that are taken in. The others are sent back."""
        found = []
        for submission in batch:
            if self._source is not None and submission.place is not None and not self._source.is_current(submission):
                continue  # it is read again, here or by another worker
            if self._is_ours(submission):
                found.append(submission)
            elif not submission.done.done():
                submission.done.set_exception(Misrouted())
        return found

    def _is_ours(self, submission: Submission) -> bool:
        if submission.hear_since_ms is not None:
            return True
        # One that cannot be stored is kept whole, and is still about the people of its reports: those may be former wearers.
        received = submission.reports
        if not received and submission.unreadable is not None:
            received = [submission.unreadable]
        owned = self.holding.owned
        return all(self.routing.route(submission.device_no, one).shard in owned for one in received)

    def divided(self, batch: Iterable[Submission], device_nos: Iterable[int]) -> set[int]:
        """Devices that others store too."""
        numbers = {submission.device_no for submission in batch}.union(device_nos)
        return {number for number in numbers if self.routing.is_divided(number)}

    def has_all_of(self, device_no: int) -> bool:
        """Whether all that a device sends is for shards of ours: a request of it can be taken apart here, and nowhere else."""
        return (
            self.routing.shards_of_device(device_no) <= self.holding.owned
            and self.routing.home_of(device_no) in self.holding.owned
        )

    def looks_at_unit(self, device_no: int, at_ms: int) -> bool:
        return self.routing.shard_that_looks(device_no, at_ms) in self.holding.owned

    @property
    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self._is_elsewhere, self.routing.count_active, OwnShards(*self.shards))

    def _is_elsewhere(self, activation_no: int) -> bool:
        wearer_no = self.routing.wearer_of(activation_no)
        return wearer_no is not None and not self.shards.have(wearer_no)

    # ------------------------------------------------------------------------------------- orders that change

    async def take_in(self, connection: Connection, wearer_nos: Sequence[int], change_no: int) -> set[int]:
        """Orders of some people changed. The numbers of devices of theirs, before or after it.

        Whoever has not taken the change in yet may store a report as that of a device's former wearer, after the new one was loaded.
        So people with divided devices are loaded once more when all workers have taken it in. Or it may refuse one, as of a device
        that nobody wears, after what was refused was examined: that is done once more, too.
        """
        before = self.routing.devices_of(wearer_nos)
        await self.routing.reload(connection, wearer_nos)
        devices = before | self.routing.devices_of(wearer_nos)
        self.settle_later(wearer_nos, devices, change_no)
        return devices

    def settle_later(self, wearer_nos: Iterable[int], device_nos: Iterable[int], change_no: int) -> None:
        """When all workers have taken in a change of orders: people of ours with divided devices are loaded once more, and what was
        refused of other devices of ours is examined once more."""
        devices = list(device_nos)
        if any(self.routing.is_divided(number) for number in devices):
            self._to_settle |= dict.fromkeys((no for no in wearer_nos if self.shards.have(no)), change_no)
        self._to_examine |= dict.fromkeys(filter(self._was_refused_elsewhere, devices), change_no)

    def _was_refused_elsewhere(self, device_no: int) -> bool:
        """Whether one of ours was another worker's before anybody was entered for it."""
        owned = self.holding.owned
        is_ours = not owned.isdisjoint(self.routing.shards_of_device(device_no))
        return is_ours and device_no % self.routing.shards not in owned

    async def settled(self, connection: Connection) -> Settled:
        """No worker stores by orders from before any longer."""
        if not self._to_settle and not self._to_examine:
            return Settled([], [])
        others = [
            one.changes_seen
            for shard, one in (await shards_alive(connection)).items()
            if shard not in self.holding.owned
        ]
        people, devices = _up_to(self._to_settle, others), _up_to(self._to_examine, others)
        return Settled([no for no in people if self.shards.have(no)], devices)

    @property
    def hears_now(self) -> bool:
        """Whether it is time to read what other workers heard of home units."""
        if self._stopwatch() - self._heard_s < HEAR_EVERY_S:
            return False
        self._heard_s = self._stopwatch()
        return True

    # ------------------------------------------------------------------------------------- the stream

    def heard(self, clock: Clock) -> Heard | None:
        """The signs of life of our shards; None: none are waited for."""
        return None if self._hearing is None else self._hearing.look(clock)

    @property
    def unheard_s(self) -> dict[int, float]:
        """How long ago each shard of ours had its last sign of life."""
        return {} if self._hearing is None else self._hearing.unheard_s()

    def adopt_heard(self, heard: Heard | None) -> None:
        if self._hearing is not None and heard is not None:
            self._hearing.adopt(heard)

    async def note_stored(self, connection: Connection, batch: Sequence[Submission]) -> None:
        if self._source is not None:
            await self._source.note_stored(connection, batch)

    def stored(self, batch: Sequence[Submission]) -> None:
        if self._source is not None:
            self._source.stored(batch)

    async def leave(self) -> None:
        if self._source is not None:
            await self._source.leave_shards(None)


def _up_to(waiting: dict[int, int], seen: Collection[int]) -> list[int]:
    """Take out those that wait for a change that all others have taken in."""
    found = [number for number, change_no in waiting.items() if min(seen, default=change_no) >= change_no]
    for number in found:
        del waiting[number]
    return found
