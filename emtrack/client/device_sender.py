"""Sends the reports of many devices until each is answered, as careful tags would.

Theory. Each device has an outbox, in the order in which its reports were given, with at most one request under way;
`connections` workers serve the devices that have something to send. A report is kept until an answer names its seq. What
fails for the moment (no connection, 429, 5xx) waits and goes again, and everything after it in that outbox waits too.
What fails for good (other 4xx) is told to `rejected`, and dropped. `Persistence` says which is which.

Memory is bounded by `most_waiting` parcels: who feeds waits when so many are not yet acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import msgspec

from emtrack.client.device_door import Answer, DeviceDoor, acknowledgement_of
from emtrack.client.persistence import Persistence, seconds_of
from emtrack.client.service_clock import ServiceClock
from emtrack.client.totals import Totals

log = logging.getLogger(__name__)
MOST_WAITING = 2_000


class Rejected(NamedTuple):
    """A request that the service will never take."""

    device_id: str
    boot: int
    seqs: list[int]
    status: int
    body: bytes


Acknowledged = Callable[[str, int, Sequence[tuple[int, str | None]]], None]
"""Is told device, boot, and (seq, reason of refusal or None) of reports that an answer named."""


class NotAnswered(TimeoutError):
    """The patience with the service is at its end."""


@dataclass
class _Parcel:
    """Reports given together: those whose seq no answer has named, and how many may go at once. `first_s`: when a
    request of it went first. `ahead_ms`: of its device's clock, which each request shows; None: it shows none."""

    boot: int
    left: dict[int, dict[str, Any]]
    at_once: int
    ahead_ms: int | None = None
    unauthorised: int = 0
    first_s: float | None = None


@dataclass
class _Outbox:
    """Of one device. `busy`: it is queued, under way, or waiting to try again. `failures`: in a row."""

    parcels: deque[_Parcel] = field(default_factory=deque)
    busy: bool = False
    failures: int = 0


def forget(_device_id: str, _boot: int, _named: Sequence[tuple[int, str | None]]) -> None:
    """Nobody asks what was acknowledged."""


def log_rejected(one: Rejected) -> None:
    log.error("device %s: HTTP %d, dropped boot %d seq %s", one.device_id, one.status, one.boot, one.seqs)


class DeviceSender:
    """The outboxes and the workers that serve them. `seed`: of the spread of the waits. What `rejected` raises ends `run`."""

    def __init__(
        self,
        door: DeviceDoor,
        clock: ServiceClock,
        *,
        seed: int = 0,
        persistence: Persistence | None = None,
        most_waiting: int = MOST_WAITING,
        acknowledged: Acknowledged = forget,
        rejected: Callable[[Rejected], None] = log_rejected,
    ) -> None:
        self.totals = Totals()
        self._door = door
        self._clock = clock
        self._persistence = persistence or Persistence()
        self._acknowledged = acknowledged
        self._on_rejected = rejected
        self._rng = random.Random(seed)
        self._room = asyncio.Semaphore(most_waiting)
        self._ready: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by the number of devices
        self._outboxes: dict[str, _Outbox] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting = 0
        self._fed = False
        self._stopped = False

    async def run(self, feed: Coroutine[Any, Any, None], connections: int, stop: asyncio.Event) -> None:
        """Feed and serve until everything is acknowledged or `stop` is set."""
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work()) for _ in range(connections)]
            feeder = group.create_task(feed)
            watch = group.create_task(stop.wait())
            halt = partial(self._halt, feeder, connections)
            feeder.add_done_callback(lambda _: self._end_of_feed(connections))
            watch.add_done_callback(lambda task: None if task.cancelled() else halt())
            await asyncio.gather(*workers)
            watch.cancel()
        self.totals.unacknowledged = sum(len(p.left) for box in self._outboxes.values() for p in box.parcels)

    async def accept(
        self, device_id: str, boot: int, reports: Sequence[dict[str, Any]], ahead_ms: int | None = None
    ) -> None:
        """Queue reports, each with a seq of its own; waits while too many are not acknowledged. `ahead_ms`: how far the device's
        clock is ahead of the service's; each request then says when it was sent by that clock."""
        await self._room.acquire()
        self._waiting += 1
        box = self._outboxes.setdefault(device_id, _Outbox())
        left = {report["seq"]: report for report in reports}
        box.parcels.append(_Parcel(boot, left, len(left), ahead_ms))
        if not box.busy:
            box.busy = True
            self._ready.put_nowait(device_id)

    def _end_of_feed(self, connections: int) -> None:
        self._fed = True
        if self._waiting == 0:
            self._dismiss(connections)

    def _halt(self, feeder: asyncio.Task[None], connections: int) -> None:
        self._stopped = True
        feeder.cancel()
        for timer in self._timers.values():
            timer.cancel()
        self._dismiss(connections)

    def _dismiss(self, workers: int) -> None:
        for _ in range(workers):
            self._ready.put_nowait(None)

    async def _work(self) -> None:
        while (device_id := await self._ready.get()) is not None and not self._stopped:
            box = self._outboxes[device_id]
            wait_s = await self._attempt(device_id, box)
            if wait_s is not None:
                self._later(device_id, wait_s)
            elif box.parcels:
                self._ready.put_nowait(device_id)
            else:
                box.busy = False
        self._ready.put_nowait(None)  # pass the word on: one None dismisses everybody

    def _later(self, device_id: str, wait_s: float) -> None:
        """Queue a device again after real seconds; no worker waits with it."""
        if not self._stopped:
            loop = asyncio.get_running_loop()
            self._timers[device_id] = loop.call_later(wait_s, self._again, device_id)

    def _again(self, device_id: str) -> None:
        del self._timers[device_id]
        self._ready.put_nowait(device_id)

    async def _attempt(self, device_id: str, box: _Outbox) -> float | None:
        """One request for the first parcel. Returns None if it went well, or the real seconds to wait before another."""
        parcel = box.parcels[0]
        reports = list(parcel.left.values())[: parcel.at_once]
        began_s = self._clock.monotonic_s()
        parcel.first_s = began_s if parcel.first_s is None else parcel.first_s
        self.totals.requests += 1
        self.totals.reports_sent += len(reports)
        sent_ms = None if parcel.ahead_ms is None else self._clock.now_ms() + parcel.ahead_ms
        try:
            answer = await self._door.post(device_id, parcel.boot, reports, sent_ms)
        except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
            return self._failed(device_id, box, type(wrong).__name__)
        self.totals.timed(self._clock.monotonic_s() - began_s)
        if answer.status == 200:
            return self._answered(device_id, box, parcel, answer)
        if self._persistence.again(answer.status):
            return self._failed(device_id, box, str(answer.status), seconds_of(answer.retry_after))
        return self._rejected(device_id, box, parcel, reports, answer)

    def _failed(self, device_id: str, box: _Outbox, cause: str, at_least_s: float = 0.0) -> float:
        """How long to wait. Raises NotAnswered when that is more than the patience that is left."""
        box.failures += 1
        self.totals.retries += 1
        self.totals.failures[cause] += 1
        wait_s = max(self._persistence.backoff.delay_s(box.failures, self._rng), at_least_s)
        patience_s, first_s = self._persistence.patience_s, box.parcels[0].first_s
        if patience_s is not None and first_s is not None:
            left_s = first_s + patience_s - self._clock.monotonic_s()
            if wait_s > left_s:
                raise NotAnswered(
                    f"device {device_id}: not answered for {patience_s:.0f} s; the last attempt: {cause}"
                )
        return wait_s

    def _answered(self, device_id: str, box: _Outbox, parcel: _Parcel, answer: Answer) -> float | None:
        """Forget what the answer names, and nothing else."""
        try:
            told = acknowledgement_of(answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.error("device %s: an answer 200 that cannot be read; the reports are kept", device_id)
            return self._failed(device_id, box, "unreadable answer")
        reasons = {refusal.seq: refusal.reason for refusal in told.refused if refusal.seq is not None}
        named = [seq for seq in dict.fromkeys(told.ack) if parcel.left.pop(seq, None) is not None]
        self.totals.foreign_acks += len(set(told.ack)) - len(named)
        self.totals.acknowledged += len(named)
        self.totals.refused.update(reasons[seq] for seq in named if seq in reasons)
        self._acknowledged(device_id, parcel.boot, [(seq, reasons.get(seq)) for seq in named])
        if not named:
            return self._failed(device_id, box, "nothing acknowledged")
        self._went_well(box, parcel)
        return None

    def _rejected(
        self, device_id: str, box: _Outbox, parcel: _Parcel, reports: list[dict[str, Any]], answer: Answer
    ) -> float | None:
        """413: smaller requests. 401: some patience. Anything else, or more of it: told, and dropped."""
        if answer.status == 413 and len(reports) > 1:
            parcel.at_once = len(reports) // 2
            self.totals.retries += 1
            return None
        if answer.status == 401 and parcel.unauthorised + 1 < self._persistence.key_attempts:
            parcel.unauthorised += 1
            return self._failed(device_id, box, "401")
        seqs = [report["seq"] for report in reports]
        self._on_rejected(Rejected(device_id, parcel.boot, seqs, answer.status, answer.body))
        self.totals.rejected[answer.status] += len(seqs)
        for seq in seqs:
            del parcel.left[seq]
        self._went_well(box, parcel)
        return None

    def _went_well(self, box: _Outbox, parcel: _Parcel) -> None:
        """The next request is the first of its row; a parcel of which nothing is left is done."""
        box.failures = 0
        parcel.first_s = None
        if parcel.left:
            return
        box.parcels.popleft()
        self._waiting -= 1
        self._room.release()
        if self._fed and self._waiting == 0:
            self._dismiss(1)
