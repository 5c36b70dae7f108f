"""A gateway's side: requests out of the inbox into the stream, and the answers of workers back to whoever waits.

Bounded: of each lane as many reports wait for answers as the inbox holds of it, and of these each shard has an equal part. A shard
that nobody serves fills its own part; what is for it is told to come back later, and the others go on, also with their parts of
requests that are for it too. What the stream does not take
is told to be sent again. Of each shard and lane one message is on its way at a time. What comes meanwhile goes together in the next,
so that many requests share one write to the disks of the servers.

Where nothing was on its way for a second, a message without requests goes: by these signs of life workers know a quiet gateway from
one that is away (`emtrack/service/hearing.py`).
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog

from emtrack.clock import machine_ms
from emtrack.metrics import Metrics
from emtrack.record.routing import Routing
from emtrack.stream.messages import (
    Answer,
    Message,
    Outcome,
    SentRequest,
    decode_answers,
    encode,
    new_answer_subject,
    sent_request,
    size_of,
    subject_of,
)
from emtrack.stream.server import NAME, Stream
from ingest import Acknowledgement, Inbox, InboxFull, Lane, NotCommitted, Received, Refusal, Submission, TooManyDays

MOST_BYTES = 1024**2
"""Of a message, but for its last request."""
PUBLISHED_WITHIN_S = 3.0
ANSWERED_WITHIN_S = 5.0
"""Then its device is told to send again: an answer is lost with a worker that dies after its commit. What is stored meanwhile comes
back as a duplicate."""
TAKEN_AT_ONCE = 4_000
BACK_AFTER_S = 5, 15
"""Whoever is put off because a shard is full is told an instant in between."""
SIGN_EVERY_S = 1.0
"""Of life, in the lane of each shard. Workers wait for five times as long."""

log = structlog.get_logger()


class _Waiting:
    """A request of which some parts are not answered. `sizes`: how many of its reports each shard gets; `hear`: shards that are told
    when all is stored; `is_whole`: no shard had no room."""

    def __init__(
        self, submission: Submission, sizes: dict[int, int], hear: set[int], received_ms: int, *, is_whole: bool
    ) -> None:
        self.submission = submission
        self.sizes = sizes
        self.hear = hear
        self.is_whole = is_whole
        self.received_ms = received_ms
        self.since_s = time.monotonic()
        self.numbers: set[int] = set()
        self.said: list[Acknowledgement] = []


class _Queue:
    """Of a shard and lane."""

    def __init__(self) -> None:
        self.requests: deque[SentRequest] = deque()
        self.task: asyncio.Task[None] | None = None
        self.filled = 0
        """Reports that wait for answers."""
        self.taken_s = float("-inf")
        """When the stream took the last message."""

    @property
    def is_busy(self) -> bool:
        return self.task is not None and not self.task.done()


class Publisher:
    """`routing`: kept as orders change by whoever made it. `most_waiting`: reports of each lane, of all shards."""

    def __init__(self, stream: Stream, inbox: Inbox, routing: Routing, metrics: Metrics, most_waiting: int) -> None:
        self._stream = stream
        self._inbox = inbox
        self.routing = routing
        self._metrics = metrics
        self._most_waiting = most_waiting
        self._answer_to = new_answer_subject()
        self._waiting: dict[int, _Waiting] = {}
        self._queues: defaultdict[tuple[int, str], _Queue] = defaultdict(_Queue)
        self._reports = 0

    @property
    def is_connected(self) -> bool:
        return bool(self._stream.client.is_connected)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then what waits is told to be sent again."""
        answers = await self._stream.client.subscribe(self._answer_to, cb=self._hear)
        try:
            while not stop.is_set():
                for submission in await self._inbox.gather(TAKEN_AT_ONCE, 0.5):
                    self._send(submission)
                self._give_up_late()
                self._metrics.waiting.set(self._inbox.filled + self._reports)
        finally:
            self._inbox.close()
            for waiting in list(self._waiting.values()):
                _fail(waiting.submission, NotCommitted())
            for queue in self._queues.values():
                if queue.task is not None:
                    queue.task.cancel()
            await answers.unsubscribe()

    async def give_signs(self, hears: Callable[[], Awaitable[bool]], stop: asyncio.Event) -> None:
        """Of life, until `stop` is set. `hears`: whether devices are heard here, where it may wait for it; else nothing is said."""
        while not stop.is_set():
            if await hears():
                self._give_signs()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SIGN_EVERY_S)

    def _give_signs(self) -> None:
        quiet_s = time.monotonic() - SIGN_EVERY_S / 2
        for shard in range(self.routing.shards):
            queue = self._queues[shard, str(Lane.LIVE)]
            if not queue.is_busy and queue.taken_s < quiet_s:
                self._begin(queue, self._publish_sign(queue, subject_of(shard, Lane.LIVE)))

    # ------------------------------------------------------------------------------------- out

    def _send(self, submission: Submission) -> None:
        """Who sends something for a shard without room is put off. For the others it is heard: what they store comes back as a
        duplicate."""
        parts, hear = self._parts(submission)
        all_sizes = {shard: max(1, len(only)) for shard, only in parts.items()}
        sizes = {shard: size for shard, size in all_sizes.items() if self._has_room(shard, submission.lane, size)}
        is_whole = len(sizes) == len(all_sizes)
        if not is_whole:
            self._metrics.put_off.inc()
        if not sizes:
            _put_off(submission)
            return
        waiting = _Waiting(submission, sizes, hear, machine_ms(), is_whole=is_whole)
        self._fill(waiting, 1)
        submission.done.add_done_callback(lambda _: self._forget(waiting))
        for shard in sizes:
            self._queue(waiting, shard, parts[shard] if len(parts) > 1 else None, None)

    def _has_room(self, shard: int, lane: Lane, reports: int) -> bool:
        """One that is larger than the part of its shard goes alone."""
        filled = self._queues[shard, str(lane)].filled
        return not filled or filled + reports <= self._most_waiting // self.routing.shards

    def _fill(self, waiting: _Waiting, by: int) -> None:
        """`by`: 1 when it begins to wait, -1 when it ends."""
        for shard, size in waiting.sizes.items():
            self._queues[shard, str(waiting.submission.lane)].filled += by * size
        self._reports += by * waiting.submission.size

    def _parts(self, submission: Submission) -> tuple[dict[int, list[int]], set[int]]:
        """The places of its reports by shard, and the shards that are told afterwards."""
        received: Sequence[Received] = submission.reports
        if submission.unreadable is not None:
            received = [submission.unreadable]
        parts: dict[int, list[int]] = {}
        hear: set[int] = set()
        for place, one in enumerate(received):
            route = self.routing.route(submission.device_no, one)
            parts.setdefault(route.shard, []).append(place)
            hear |= route.hear
        if not parts:  # without reports: answered all the same
            parts[self.routing.shard_of_unit(submission.device_no)] = []
        return parts, hear

    def _queue(self, waiting: _Waiting, shard: int, only: Sequence[int] | None, hear_since_ms: int | None) -> None:
        number = secrets.randbits(62)  # who hears the answers of others cannot say what will be answered
        waiting.numbers.add(number)
        self._waiting[number] = waiting
        lane = str(waiting.submission.lane)
        queue = self._queues[shard, lane]
        queue.requests.append(sent_request(waiting.submission, number, waiting.received_ms, only, hear_since_ms))
        if not queue.is_busy:
            self._begin(queue, self._publish(queue, subject_of(shard, lane)))

    def _begin(self, queue: _Queue, work: Coroutine[Any, Any, None]) -> None:
        queue.task = asyncio.get_running_loop().create_task(work)

    async def _publish_sign(self, queue: _Queue, subject: str) -> None:
        """Then what came meanwhile. Where the stream does not take it, its worker misses it, and says so."""
        with suppress(Exception):
            await self._put_in(queue, subject, [])
        await self._publish(queue, subject)

    async def _publish(self, queue: _Queue, subject: str) -> None:
        """Message after message until nothing waits."""
        while queue.requests:
            requests = self._next_of(queue)
            if not requests:
                return
            try:
                await self._put_in(queue, subject, requests)
                self._metrics.stream_messages.labels("published").inc()
            except Exception as error:  # the servers are away, choose a leader, or have no room
                log.warning("not published", error=type(error).__name__, requests=len(requests))
                self._metrics.stream_messages.labels("not taken").inc()
                for one in requests:
                    if (waiting := self._waiting.get(one.number)) is not None:
                        _fail(waiting.submission, NotCommitted())

    async def _put_in(self, queue: _Queue, subject: str, requests: list[SentRequest]) -> None:
        payload = encode(Message(self._answer_to, requests))
        await self._stream.js.publish(subject, payload, timeout=PUBLISHED_WITHIN_S, stream=NAME)
        queue.taken_s = time.monotonic()

    def _next_of(self, queue: _Queue) -> list[SentRequest]:
        """What goes in one message; requests for which nobody waits any more are left out."""
        requests: list[SentRequest] = []
        size = 0
        while queue.requests and size < MOST_BYTES:
            one = queue.requests.popleft()
            if one.number in self._waiting:
                requests.append(one)
                size += size_of(one)
        return requests

    # ------------------------------------------------------------------------------------- back

    async def _hear(self, message: Any) -> None:
        for answer in decode_answers(message.data):
            waiting = self._waiting.pop(answer.number, None)
            if waiting is not None:
                waiting.numbers.discard(answer.number)
                self._take(waiting, answer)

    def _take(self, waiting: _Waiting, answer: Answer) -> None:
        done = waiting.submission.done
        if answer.outcome is Outcome.LATER:
            _fail(waiting.submission, TooManyDays(answer.retry_after_s))
        elif answer.outcome is Outcome.AGAIN:
            _fail(waiting.submission, NotCommitted())
        else:
            waiting.said.append(answer.acknowledgement)
            if waiting.numbers:
                return
            if waiting.hear:
                self._tell_others(waiting)
            elif not waiting.is_whole:
                _put_off(waiting.submission)
            elif not done.done():
                done.set_result(_together(waiting))

    def _tell_others(self, waiting: _Waiting) -> None:
        """It is stored; now those shards are told in which it concerns people too."""
        shards, waiting.hear = waiting.hear, set()
        own_ms = [one.report.own_ms for one in waiting.submission.reports if not isinstance(one.report, Refusal)]
        for shard in sorted(shards):
            self._queue(waiting, shard, None, min(own_ms))

    def _give_up_late(self) -> None:
        """Those that have waited for the longest come first."""
        late_s = time.monotonic() - ANSWERED_WITHIN_S
        late: list[_Waiting] = []
        for waiting in self._waiting.values():
            if waiting.since_s >= late_s:
                break
            late.append(waiting)
        for waiting in late:
            _fail(waiting.submission, NotCommitted())

    def _forget(self, waiting: _Waiting) -> None:
        """It is answered, or whoever waited went away."""
        self._fill(waiting, -1)
        for number in waiting.numbers:
            self._waiting.pop(number, None)


def _fail(submission: Submission, error: Exception) -> None:
    if not submission.done.done():
        submission.done.set_exception(error)


def _put_off(submission: Submission) -> None:
    """Apart, so that they do not come back all at once."""
    _fail(submission, InboxFull(random.randint(*BACK_AFTER_S)))


def _together(waiting: _Waiting) -> Acknowledgement:
    """The answers to its parts as one, in the order of the request."""
    if len(waiting.said) == 1:
        return waiting.said[0]
    committed = {seq for said in waiting.said for seq in said.ack}
    order = {one.seq: place for place, one in reversed(list(enumerate(waiting.submission.reports)))}
    refused = sorted((r for said in waiting.said for r in said.refused), key=lambda r: order.get(r.seq, -1))
    return Acknowledgement([r.seq for r in waiting.submission.reports if r.seq in committed], refused)
