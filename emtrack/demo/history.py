"""The past of a demonstration: what tags sent, taken through the real pipeline with a clock that goes in steps.

Nothing here writes a finding or an alert. Orders are entered as a person would enter them; every upload of a step waits,
and one turn of the worker takes them all with the step's end as its now. So what stands in the database afterwards is what
a service that ran all that time would have left, but for one thing: it noticed nothing between two steps.

A few wearers have a long past. The worker begins with them; the others' orders are entered when theirs begins.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from alerts import look_at_alerts_due
from emtrack.client import request_of
from emtrack.clock import Clock
from emtrack.demo.details import with_details
from emtrack.demo.operator import DemoOperator
from emtrack.demo.programme import (
    all_lives,
    answer_proposals,
    conference_ms,
    enter_programme,
    enter_what_happened_since,
    hold_conference,
)
from emtrack.demo.scenes import LEAST_PEOPLE, Scenes, cast, staged
from emtrack.demo.stories import story_rows, tell_stories
from emtrack.emulator.habits import PRESETS
from emtrack.emulator.sending import Upload
from emtrack.emulator.world import World, build_world
from emtrack.forms.orders import Orders
from emtrack.forms.reading import read_orders_of
from emtrack.metrics import Metrics
from emtrack.orders.entry import enter_orders
from emtrack.service.keys import DeviceKeys
from emtrack.service.warm_up import calm_collector
from emtrack.service.worker import Worker
from ingest import Inbox, Submission, read_request

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.session import Session
    from ingest import Acknowledgement

WHO = "demo"
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
PRESET = "ordinary.2"
STREET_M = 160.0
"""Streets of the town lie so far apart, and its people keep to them: their trails are to lie on the map of the town."""
MIX = replace(PRESETS[PRESET], habits=replace(PRESETS[PRESET].habits, street_m=STREET_M))
STEP_MS = MINUTE_MS
STEP_OF_FEW_MS = 4 * MINUTE_MS
"""While only those with a long past are there. A finding is noticed half a step late on average, at most a whole one."""

DEVICES = "SELECT device_id, device_no FROM devices"
# A history that is lost in a power cut is built again; what comes after it waits for the disk as always.
WITHOUT_THE_DISK = "SET synchronous_commit = off"
WITH_THE_DISK = "SET synchronous_commit = on"
ANALYZE = "ANALYZE"


class Stopped(Exception):
    """Somebody asked for the end before the history was whole."""


class Demo(msgspec.Struct, frozen=True):
    """What a demonstration is made of. `end_ms`: where the history ends and the live part begins."""

    wearers: int
    long: int
    hours: float
    days: float
    seed: int
    end_ms: int

    def worlds(self) -> list[World]:
        """Those with a long past, and the others; no number is in both. The one that begins first comes first."""
        long = min(self.long, self.wearers)
        worlds = []
        if long:
            begin_ms = self._begin_ms(24 * self.days)
            worlds.append(build_world(long, self.seed, begin_ms, mix=MIX, spare_after=self.wearers))
        if self.wearers > long:
            begin_ms, spare_after = self._begin_ms(self.hours), self.wearers + long
            others = build_world(
                self.wearers - long, self.seed, begin_ms, mix=MIX, first=long + 1, spare_after=spare_after
            )
            worlds.append(others)
        return sorted(worlds, key=_start_ms)

    def _begin_ms(self, hours: float) -> int:
        return (self.end_ms - round(hours * HOUR_MS)) // MINUTE_MS * MINUTE_MS


def _start_ms(world: World) -> int:
    return world.start_ms


class Progress(NamedTuple):
    """How much of a history is there: the share of the time of all wearers, the instant reached, reports taken."""

    share: float
    at_ms: int
    reports: int


Tell = Callable[[Progress], None]


def orders_of(world: World, end_ms: int) -> Orders:
    """The orders of a world, read as those of anybody would be. `end_ms`: where the history ends."""
    return read_orders_of(with_details(world, world.orders(), end_ms), "the emulator's orders")


def fingerprint_of(worlds: list[World]) -> str:
    """Differs if another version of the program would make other people of the same numbers."""
    content = [MIX, *(world.orders() for world in worlds)]
    return hashlib.blake2b(msgspec.json.encode(content), digest_size=8).hexdigest()


class Outgoing:
    """What the tags of a world send from an instant on, handed out up to others."""

    def __init__(self, world: World, scenes: Scenes, from_ms: int) -> None:
        self._uploads = staged(world, scenes, from_ms)
        self._next = next(self._uploads)

    def before(self, to_ms: int) -> Iterator[Upload]:
        """What is sent before `to_ms` and was not handed out yet."""
        while self._next.send_ms < to_ms:
            yield self._next
            self._next = next(self._uploads)


async def build_history(
    connection: Session, demo: Demo, worlds: list[World], *, tell: Tell, stop: asyncio.Event
) -> dict[str, str]:
    """Build all of it on a database without wearers, and return the keys of the devices.

    Raises Stopped; then what is there is not whole.
    """
    await connection.execute(WITHOUT_THE_DISK)
    is_town = demo.wearers >= LEAST_PEOPLE
    zone, lives = ZoneInfo(worlds[0].timezone), all_lives(worlds, demo.end_ms) if is_town else []
    try:
        if is_town:
            more = story_rows(demo.seed, demo.end_ms)
            await enter_programme(connection, lives, more, zone, worlds[0].start_ms, WHO)
        keys = await _History(connection, demo, worlds).build(tell, stop)
        if is_town:
            await enter_what_happened_since(connection, lives, zone, WHO)
            await hold_conference(connection, lives, conference_ms(worlds[0].start_ms, demo.end_ms, zone))
            await tell_stories(connection, zone, demo.end_ms)
            await answer_proposals(connection, demo.seed, demo.end_ms, WHO)
        await connection.execute(ANALYZE)
    finally:
        await connection.execute(WITH_THE_DISK)
    return keys


class _History:
    """Steps from the beginning of the longest past to the end."""

    def __init__(self, connection: asyncpg.Connection[Any], demo: Demo, worlds: list[World]) -> None:
        self._connection = connection
        self._worlds = worlds
        self._end_ms = demo.end_ms
        self._scenes = cast(worlds, demo.end_ms)
        self._opened: list[Outgoing] = []
        self._device_nos: dict[str, int] = {}
        self._keys: dict[str, str] = {}
        self._reports = 0
        self._operator = DemoOperator(worlds, demo.seed)
        standing = Clock(worlds[0].start_ms, 0, 0.0, emulated=True)
        self._worker = Worker("", standing, Inbox(1), DeviceKeys(), Metrics())

    async def build(self, tell: Tell, stop: asyncio.Event) -> dict[str, str]:
        now_ms = self._worlds[0].start_ms
        await self._step(now_ms)
        while now_ms < self._end_ms:
            if stop.is_set():
                raise Stopped
            for world in self._to_open(now_ms):
                await self._open(world)
            now_ms = self._next(now_ms)
            await self._step(now_ms)
            tell(Progress(self._share(now_ms), now_ms, self._reports))
        return self._keys

    def _to_open(self, now_ms: int) -> list[World]:
        return [world for world in self._worlds[len(self._opened) :] if world.start_ms <= now_ms]

    async def _open(self, world: World) -> None:
        """The orders of a world are entered as it begins; from then on its tags send."""
        async with self._connection.transaction():
            entered = await enter_orders(
                self._connection, orders_of(world, self._end_ms), who=WHO, now_ms=world.start_ms
            )
        self._keys |= entered.keys
        self._device_nos = {row["device_id"]: row["device_no"] for row in await self._connection.fetch(DEVICES)}
        self._opened.append(Outgoing(world, self._scenes, world.start_ms))
        calm_collector()

    async def _step(self, now_ms: int) -> None:
        """What people did since the last step, and then what tags sent."""
        await self._operator.act_until(self._connection, now_ms)
        batch = [self._submission(upload) for outgoing in self._opened for upload in outgoing.before(now_ms)]
        await self._worker.step(self._connection, batch, now_ms)
        async with self._connection.transaction():
            while (await look_at_alerts_due(self._connection, now_ms)).more:
                pass
        await self._operator.see_raised(self._connection)

    def _submission(self, upload: Upload) -> Submission:
        """As it comes over the wire."""
        body = msgspec.msgpack.encode(request_of(upload.boot, upload.reports, upload.sent_at_ms(upload.send_ms)))
        self._reports += len(upload.reports)
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        return Submission.of(read_request(body, "application/msgpack"), self._device_nos[upload.device_id], done)

    def _next(self, now_ms: int) -> int:
        """The end of the next step: not past the beginning of a world, nor past the end."""
        to_come = self._worlds[len(self._opened) :]
        step_ms = STEP_OF_FEW_MS if to_come else STEP_MS
        return min(now_ms + step_ms, self._end_ms, *map(_start_ms, to_come))

    def _share(self, now_ms: int) -> float:
        whole = sum((self._end_ms - world.start_ms) * len(world.wearers) for world in self._worlds)
        there = sum(max(0, now_ms - world.start_ms) * len(world.wearers) for world in self._worlds)
        return there / whole
