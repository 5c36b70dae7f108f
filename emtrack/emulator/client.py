"""Sends what the tags of a world send, over real sockets, as careful tags would.

Theory. One feeder walks the uploads in order of their time and waits until each is due. Each device has an outbox, in the
order of the schedule, with at most one request under way; `connections` workers serve the devices that have something to
send. A report is kept until an answer names its seq. What fails for the moment (no connection, 429, 5xx) waits and goes
again, and everything after it in that outbox waits too. What fails for good (other 4xx) is recorded and dropped.

Memory is bounded by `most_waiting` uploads: the feeder waits when so many are not yet acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import zlib
from collections import Counter, deque
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import aiohttp
import msgspec

from emtrack.emulator.clock import ServiceClock
from emtrack.emulator.schedule import HOUR_MS, SECOND_MS, iso_of
from emtrack.emulator.sentlog import SentLog
from emtrack.emulator.tags import Upload
from emtrack.emulator.world import World

log = logging.getLogger(__name__)
Encoding = Literal["json", "msgpack", "mixed"]
JSON_TYPE, MSGPACK_TYPE = "application/json", "application/msgpack"
REQUEST_TIMEOUT_S = 30.0
MOST_RETRY_AFTER_S = 300.0
KEY_ATTEMPTS = 3  # a key may be entered a moment after the device: 401 is believed the third time
TRUTH_EVERY_MS = 6 * HOUR_MS
BUCKET = math.log(1.05)  # latencies are counted in buckets 5 % wide
NOT_TODAY = frozenset({408, 429})


@dataclass(frozen=True)
class Backoff:
    """Real seconds before attempt n is repeated: base * 2^n up to the cap, of which a random half."""

    base_s: float = 0.2
    cap_s: float = 30.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """`failures` in a row so far, from 1."""
        whole_s = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))
        return whole_s * rng.uniform(0.5, 1.0)


@dataclass
class Totals:
    """What was sent and what became of it. `rejected` counts reports that were dropped, by HTTP status."""

    requests: int = 0
    retries: int = 0
    reports_sent: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    foreign_acks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latency_buckets: Counter[int] = field(default_factory=Counter)

    def timed(self, seconds: float) -> None:
        """Counts one answer."""
        self.latency_buckets[math.ceil(math.log(max(seconds, 1e-6) * SECOND_MS) / BUCKET)] += 1

    def latency_ms(self, share: float) -> float | None:
        """The latency that `share` of the answers did not exceed (5 % coarse); None without an answer."""
        wanted = math.ceil(share * sum(self.latency_buckets.values()))
        for bucket in sorted(self.latency_buckets):
            wanted -= self.latency_buckets[bucket]
            if wanted <= 0:
                return math.exp(bucket * BUCKET)
        return None

    @property
    def p50_ms(self) -> float | None:
        """Half of the answers came within this."""
        return self.latency_ms(0.5)

    @property
    def p99_ms(self) -> float | None:
        """All but a hundredth of the answers came within this."""
        return self.latency_ms(0.99)


class _Refusal(msgspec.Struct):
    seq: int
    reason: str = "no reason given"


class _Answer(msgspec.Struct):
    ack: list[int]
    refused: list[_Refusal] = msgspec.field(default_factory=list)


@dataclass
class _Parcel:
    """An upload under way: the reports whose seq no answer has named, and how many may go at once."""

    boot: int
    left: dict[int, dict[str, Any]]
    at_once: int
    unauthorised: int = 0


@dataclass
class _Outbox:
    """Of one device. `busy`: it is queued, under way, or waiting to try again."""

    parcels: deque[_Parcel] = field(default_factory=deque)
    busy: bool = False
    failures: int = 0


async def send_world(
    world: World,
    *,
    base_url: str,
    keys: Mapping[str, str],
    clock: ServiceClock,
    from_ms: int,
    to_ms: int | None,
    speed: float | None = None,
    connections: int = 16,
    sent: SentLog | None = None,
    stop: asyncio.Event | None = None,
    encoding: Encoding = "json",
    backoff: Backoff | None = None,
    most_waiting: int = 2_000,
    uploads: Iterator[Upload] | None = None,
) -> Totals:
    """Send the uploads of [from, to) and return when all are acknowledged, or soon after `stop` is set.

    `uploads`: those of [from, to), begun before (the first of a window takes seconds to make); None: the world's, from now.

    With an emulated service clock each goes when that clock shows its time. With the real one, what is past goes `speed` times
    faster than it happened (None: as fast as it is acknowledged), and what is to come when it comes. Raises ValueError for a
    device without a key, and whatever a bug raises; no state of the service raises.
    """
    missing = [device for device in world.devices() if device not in keys]
    if missing:
        raise ValueError(f"{len(missing)} devices have no key, the first is {missing[0]}")
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        post = _Post(session, base_url, keys, encoding)
        courier = _Courier(world.seed, post, clock, sent, backoff or Backoff(), most_waiting)
        if uploads is None:
            uploads = world.uploads(from_ms, to_ms)
        feeder = _Feeder(world, uploads, courier, clock, sent, speed, from_ms, to_ms)
        await courier.run(feeder.feed(), connections, stop or asyncio.Event())
    return courier.totals


class _Post:
    """One request: reports in, status and answer out."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, keys: Mapping[str, str], encoding: Encoding
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._keys = keys
        self._encoding = encoding

    async def __call__(
        self, device_id: str, boot: int, reports: list[dict[str, Any]]
    ) -> tuple[int, bytes, str, str | None]:
        """Returns status, body, content type and Retry-After. Raises aiohttp.ClientError, TimeoutError or OSError."""
        content = {"boot": boot, "reports": reports}
        packed = self._packs(device_id)
        body = msgspec.msgpack.encode(content) if packed else msgspec.json.encode(content)
        headers = {
            "Authorization": f"Bearer {self._keys[device_id]}",
            "Content-Type": MSGPACK_TYPE if packed else JSON_TYPE,
        }
        url = f"{self._base}/v1/devices/{device_id}/reports"
        async with self._session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.read(), answer.content_type, answer.headers.get("Retry-After")

    def _packs(self, device_id: str) -> bool:
        if self._encoding == "mixed":
            return zlib.crc32(device_id.encode()) % 2 == 1
        return self._encoding == "msgpack"


class _Courier:
    """The outboxes and the workers that serve them."""

    def __init__(
        self,
        seed: int,
        post: _Post,
        clock: ServiceClock,
        sent: SentLog | None,
        backoff: Backoff,
        most_waiting: int,
    ) -> None:
        self.totals = Totals()
        self._post = post
        self._clock = clock
        self._sent = sent
        self._backoff = backoff
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

    async def accept(self, upload: Upload) -> None:
        """Queue an upload; waits while too many are not acknowledged."""
        await self._room.acquire()
        self._waiting += 1
        box = self._outboxes.setdefault(upload.device_id, _Outbox())
        left = {report["seq"]: report for report in upload.reports}
        box.parcels.append(_Parcel(upload.boot, left, len(left)))
        if not box.busy:
            box.busy = True
            self._ready.put_nowait(upload.device_id)

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
        self.totals.requests += 1
        self.totals.reports_sent += len(reports)
        try:
            status, body, content_type, retry_after = await self._post(device_id, parcel.boot, reports)
        except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
            return self._failed(box, type(wrong).__name__)
        self.totals.timed(self._clock.monotonic_s() - began_s)
        if status == 200:
            return self._answered(device_id, box, parcel, body, content_type)
        if status in NOT_TODAY or status >= 500:
            return max(self._failed(box, str(status)), _seconds(retry_after))
        return self._rejected(device_id, box, parcel, reports, status)

    def _failed(self, box: _Outbox, cause: str) -> float:
        box.failures += 1
        self.totals.retries += 1
        self.totals.failures[cause] += 1
        return self._backoff.delay_s(box.failures, self._rng)

    def _answered(
        self, device_id: str, box: _Outbox, parcel: _Parcel, body: bytes, content_type: str
    ) -> float | None:
        """Forget what the answer names, and nothing else."""
        try:
            answer = _decoded(body, content_type)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.error("device %s: an answer 200 that cannot be read; the reports are kept", device_id)
            return self._failed(box, "unreadable answer")
        reasons = {refusal.seq: refusal.reason for refusal in answer.refused}
        named = [seq for seq in dict.fromkeys(answer.ack) if parcel.left.pop(seq, None) is not None]
        self.totals.foreign_acks += len(set(answer.ack)) - len(named)
        self.totals.acknowledged += len(named)
        self.totals.refused.update(reasons[seq] for seq in named if seq in reasons)
        if self._sent is not None:
            at = iso_of(self._clock.now_ms())
            self._sent.acknowledged(device_id, parcel.boot, [(seq, reasons.get(seq)) for seq in named], at)
        if not named:
            return self._failed(box, "nothing acknowledged")
        box.failures = 0
        self._finish_if_empty(box, parcel)
        return None

    def _rejected(
        self, device_id: str, box: _Outbox, parcel: _Parcel, reports: list[dict[str, Any]], status: int
    ) -> float | None:
        """413: smaller requests. 401: some patience. Anything else, or more of it: recorded, and dropped."""
        if status == 413 and len(reports) > 1:
            parcel.at_once = len(reports) // 2
            self.totals.retries += 1
            return None
        if status == 401 and parcel.unauthorised + 1 < KEY_ATTEMPTS:
            parcel.unauthorised += 1
            return self._failed(box, "401")
        seqs = [report["seq"] for report in reports]
        log.error("device %s: HTTP %d, dropped boot %d seq %s", device_id, status, parcel.boot, seqs)
        self.totals.rejected[status] += len(seqs)
        for seq in seqs:
            del parcel.left[seq]
        box.failures = 0
        self._finish_if_empty(box, parcel)
        return None

    def _finish_if_empty(self, box: _Outbox, parcel: _Parcel) -> None:
        if parcel.left:
            return
        box.parcels.popleft()
        self._waiting -= 1
        self._room.release()
        if self._fed and self._waiting == 0:
            self._dismiss(1)


class _Feeder:
    """Walks the uploads of a world at the pace that clock and speed set, and writes down what was true meanwhile."""

    def __init__(
        self,
        world: World,
        uploads: Iterator[Upload],
        courier: _Courier,
        clock: ServiceClock,
        sent: SentLog | None,
        speed: float | None,
        from_ms: int,
        to_ms: int | None,
    ) -> None:
        self._world = world
        self._uploads = uploads
        self._courier = courier
        self._clock = clock
        self._sent = sent
        self._speed = None if clock.emulated else speed
        self._from_ms, self._to_ms = from_ms, to_ms
        self._began_s = clock.monotonic_s()
        self._told_ms = from_ms
        self._reached_ms = from_ms

    async def feed(self) -> None:
        """Until `to_ms`. The truth is written for every hour that was reached, even when cancelled."""
        try:
            for upload in self._uploads:
                await self._due(upload.send_ms)
                self._reached_ms = upload.send_ms
                await self._tell_truth(upload.send_ms // TRUTH_EVERY_MS * TRUTH_EVERY_MS)
                await self._courier.accept(upload)
                await asyncio.sleep(0)  # building uploads takes time of the loop: let the workers at it
            self._reached_ms = self._to_ms if self._to_ms is not None else self._reached_ms
        finally:
            for _ in self._truth(self._reached_ms // SECOND_MS * SECOND_MS):
                pass

    async def _due(self, send_ms: int) -> None:
        if self._speed is not None:
            due_s = self._began_s + (send_ms - self._from_ms) / SECOND_MS / self._speed
            wait_s = due_s - self._clock.monotonic_s()
            if wait_s > 0:
                await self._clock.sleep_s(wait_s)
        await self._clock.sleep_until(send_ms)

    async def _tell_truth(self, until_ms: int) -> None:
        for _ in self._truth(until_ms):
            await asyncio.sleep(0)

    def _truth(self, until_ms: int) -> Iterator[None]:
        """Writes the truth up to `until_ms`, one wearer at a step."""
        if self._sent is None or until_ms <= self._told_ms:
            return
        begin_ms, self._told_ms = self._told_ms, until_ms
        for wearer in self._world.wearers:
            true = self._world.truth(wearer.wearer_id, begin_ms, until_ms)
            self._sent.true(wearer.wearer_id, true, iso_of(until_ms))
            yield


def _decoded(body: bytes, content_type: str) -> _Answer:
    if content_type == MSGPACK_TYPE:
        return msgspec.msgpack.decode(body, type=_Answer)
    return msgspec.json.decode(body, type=_Answer)


def _seconds(retry_after: str | None) -> float:
    """Retry-After in seconds; a date, which the service does not send, counts as none."""
    try:
        return min(max(float(retry_after or 0), 0.0), MOST_RETRY_AFTER_S)
    except ValueError:
        return 0.0
