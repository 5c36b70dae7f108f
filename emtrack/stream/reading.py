"""A worker's side: the shards that it owns, out of the stream into its inbox, and answers back to gateways after the commit.

Where reading begins is our own note, stored in the transaction that stored the facts, and not the server's: a message that was
committed is not taken twice, whatever became of its acknowledgement, and one that was not is read again. What is committed is taken
out of the stream once a second. A lane of a shard comes in order; if a message is missing between two (a server changed, a connection
was cut), reading begins anew after the last.

What is read in the lane of what is live is a sign of life of the stream and of a gateway, if it was put there after reading began:
what was there before was sent by nobody knows whom.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import structlog

from emtrack.clock import machine_ms
from emtrack.db.connect import Connection
from emtrack.metrics import Metrics
from emtrack.stream.messages import (
    Answer,
    Outcome,
    SentRequest,
    decode_message,
    encode,
    is_answer_subject,
    subject_of,
    submission_of,
)
from emtrack.stream.server import NAME, Stream
from ingest import Acknowledgement, Inbox, InboxFull, Lane, Place, Submission, TooManyDays

POSITIONS = "SELECT shard, lane, stream, message, requests FROM stream_positions WHERE shard = ANY ($1::bigint[])"
NOTE = """
INSERT INTO stream_positions (shard, lane, stream, message, requests)
SELECT s.shard, s.lane, $3, s.message, s.requests FROM unnest($1::bigint[], $2::text[], $4::bigint[], $5::bigint[])
    AS s (shard, lane, message, requests)
ON CONFLICT (shard, lane) DO UPDATE SET stream = excluded.stream, message = excluded.message, requests = excluded.requests
WHERE stream_positions.stream <> excluded.stream
   OR (excluded.message, excluded.requests) > (stream_positions.message, stream_positions.requests)
"""
AT_ONCE = 32
"""Messages that are asked for at a time."""
NOBODYS = "emtrack.nobody.nobody"
"""A subject of the stream to which nothing is put."""
EXPIRES_S, HEARTBEAT_S = 5.0, 1.0
RETRY_S, ROOM_EVERY_S, REMOVE_EVERY_S = 0.2, 0.01, 1.0

log = structlog.get_logger()

Key = tuple[int, str]
"""A shard and its lane."""
At = tuple[int, int]
"""A message, and how many of its requests."""


class StreamEnded(Exception):
    """Messages are missing, or none came although the server should have said that it is there."""


class StreamReader:
    """`stopped`: called when nothing more can be read."""

    def __init__(
        self,
        stream: Stream,
        inbox: Inbox,
        metrics: Metrics,
        now_ms: Callable[[], int] = machine_ms,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._inbox = inbox
        self._metrics = metrics
        self._now_ms = now_ms
        self._stopwatch = stopwatch
        self._signs: dict[int, float] = {}
        self._not_read: set[Key] = set()
        """Lanes of which nothing can be read now."""
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._readings: dict[int, int] = {}
        self._count = 0
        self._answers: defaultdict[str, list[Answer]] = defaultdict(list)
        self._answering: asyncio.Task[None] | None = None
        self._to_remove: dict[Key, int] = {}

    # ------------------------------------------------------------------------------------- what the worker asks

    async def read_shards(self, connection: Connection, shards: Collection[int]) -> None:
        """What is not stored of them comes into the inbox, in order."""
        stored: dict[Key, At] = {}
        for row in await connection.fetch(POSITIONS, sorted(shards)):
            if row["stream"] == self._stream.identity:
                stored[row["shard"], row["lane"]] = row["message"], row["requests"]
        self._count += 1
        for shard in shards:
            self._readings[shard] = self._count
            self._signs.pop(shard, None)
            for lane in map(str, Lane):
                at = stored.get((shard, lane), (0, 0))
                task = self._read((shard, lane), at, self._count)
                self._tasks[shard, lane] = asyncio.get_running_loop().create_task(task)

    async def leave_shards(self, shards: Collection[int] | None) -> None:
        left = [key for key in self._tasks if shards is None or key[0] in shards]
        reading = {self._tasks.pop(key) for key in left}
        while (
            reading
        ):  # a cancellation is lost where a message comes in the same moment (`asyncio.wait_for` of Python 3.11)
            for task in reading:
                task.cancel()
            _, reading = await asyncio.wait(reading, timeout=RETRY_S)
        for shard in list(self._readings) if shards is None else shards:
            self._readings.pop(shard, None)

    def sign_s(self, shard: int) -> float | None:
        """When something was last read of a shard that was put there since it is read; None: nothing was."""
        return self._signs.get(shard)

    def is_current(self, submission: Submission) -> bool:
        place = submission.place
        return place is None or self._readings.get(place.shard) == place.reading

    async def note_stored(self, connection: Connection, batch: Sequence[Submission]) -> None:
        last = _last(batch)
        if last:
            keys = list(last)
            await connection.execute(
                NOTE, [shard for shard, _ in keys], [lane for _, lane in keys], self._stream.identity,
                [last[key][0] for key in keys], [last[key][1] for key in keys],
            )  # fmt: skip

    def stored(self, batch: Sequence[Submission]) -> None:
        self._to_remove |= {key: message for key, (message, _) in _last(batch).items()}

    async def remove_stored(self, stop: asyncio.Event) -> None:
        """What is committed, out of the stream: until `stop` is set. What an error leaves there goes with the next, or by its age."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REMOVE_EVERY_S)
            done, self._to_remove = self._to_remove, {}
            for (shard, lane), message in done.items():
                with suppress(Exception):
                    await self._stream.js.purge_stream(NAME, seq=message, subject=subject_of(shard, lane))

    # ------------------------------------------------------------------------------------- reading

    async def _read(self, key: Key, at: At, reading: int) -> None:
        while True:
            try:
                async for message, is_new in self._messages(key, at):
                    number = message.metadata.sequence.stream
                    skip = at[1] if number == at[0] else 0
                    await self._put_all(key, number, message.data, skip, reading, is_new)
                    at = number, 1 << 30
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._not_read.add(key)
                log.warning("stream is read anew", error=type(error).__name__, shard=key[0])
                await asyncio.sleep(RETRY_S)

    async def _messages(self, key: Key, at: At) -> Any:
        """In order, from the message that is not wholly stored on, each with whether it was put there after reading began. Raises
        StreamEnded."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        config = ConsumerConfig(
            filter_subject=subject_of(*key), ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, at[0]), inactive_threshold=30.0, mem_storage=True, num_replicas=1,
        )  # fmt: skip
        consumer = await self._stream.js.add_consumer(NAME, config)
        last = await self._last_number()
        client = self._stream.client
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        ask = json.dumps(
            {"batch": AT_ONCE, "expires": int(EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}
        ).encode()
        try:
            expected = 1
            while True:
                await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{NAME}.{consumer.name}", ask, reply=inbox)
                for _ in range(AT_ONCE):
                    message = await answers.next_msg(timeout=3 * HEARTBEAT_S)
                    while (status := _status(message)) == "100":
                        self._not_read.discard(key)
                        message = await answers.next_msg(timeout=3 * HEARTBEAT_S)
                    if status == "408":  # it is asked again
                        break
                    if status is not None or message.metadata.sequence.consumer != expected:
                        raise StreamEnded
                    self._not_read.discard(key)
                    yield message, message.metadata.sequence.stream > last
                    expected += 1
        finally:
            with suppress(Exception):
                await answers.unsubscribe()

    async def _last_number(self) -> int:
        """Of what is in the stream, as its leader says: the consumer may be on a server that was away and does not have all of it.
        A leader that was chosen just now may not have applied yet what was there before. So it is asked first to take out what nobody
        put in, and does that after everything that came before. Raises StreamEnded if another was chosen meanwhile."""
        js = self._stream.js
        before = await js.stream_info(NAME)
        await js.purge_stream(NAME, subject=NOBODYS)
        now = await js.stream_info(NAME)
        if _leader(now) != _leader(before):
            raise StreamEnded
        last: int = now.state.last_seq
        return last

    async def _put_all(self, key: Key, number: int, data: bytes, skip: int, reading: int, is_new: bool) -> None:
        sent = decode_message(data)
        if not is_answer_subject(sent.answer_to):
            log.error("a message that asks for its answer elsewhere is left out", shard=key[0])
            return
        self._note_sign(key, is_new)
        self._metrics.stream_messages.labels("read").inc()
        for place, request in enumerate(sent.requests, start=1):
            if place <= skip:
                continue
            waited_ms = max(0, self._now_ms() - request.received_ms)
            await self._put(request, Place(*key, number, place, reading, waited_ms), sent.answer_to, is_new)

    def _note_sign(self, key: Key, is_new: bool) -> None:
        shard, lane = key
        if is_new and lane == Lane.LIVE and (shard, str(Lane.BACKLOG)) not in self._not_read:
            self._signs[shard] = self._stopwatch()

    async def _put(self, request: SentRequest, place: Place, answer_to: str, is_new: bool) -> None:
        """Waits for room. Meanwhile there is something of a gateway in hand."""
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda _: self._answer(request.number, answer_to, done))
        submission = submission_of(request, done, place)
        while True:
            with suppress(InboxFull):
                self._inbox.put(submission)
                return
            self._note_sign((place.shard, place.lane), is_new)
            await asyncio.sleep(ROOM_EVERY_S)

    # ------------------------------------------------------------------------------------- answers

    def _answer(self, number: int, answer_to: str, done: asyncio.Future[Acknowledgement]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            answer = Answer.committed(number, done.result())
        elif isinstance(error, TooManyDays):
            answer = Answer(number, Outcome.LATER, retry_after_s=error.retry_after_s)
        else:
            answer = Answer(number, Outcome.AGAIN)
        self._answers[answer_to].append(answer)
        if self._answering is None or self._answering.done():
            self._answering = asyncio.get_running_loop().create_task(self._send_answers())

    async def _send_answers(self) -> None:
        """Those of a turn together. One that is lost on the way costs its device a repetition."""
        answers, self._answers = self._answers, defaultdict(list)
        for answer_to, some in answers.items():
            for begin in range(0, len(some), 1_000):
                with suppress(Exception):
                    await self._stream.client.publish(answer_to, encode(some[begin : begin + 1_000]))


def _status(message: Any) -> str | None:
    return message.headers.get("Status") if message.headers else None


def _leader(info: Any) -> str | None:
    """Of a stream on several servers."""
    return None if info.cluster is None else info.cluster.leader


def _last(batch: Sequence[Submission]) -> dict[Key, At]:
    """How far each lane of each shard is with a batch."""
    last: dict[Key, At] = {}
    for submission in batch:
        place = submission.place
        if place is not None:
            key = place.shard, place.lane
            last[key] = max(last.get(key, (0, 0)), (place.message, place.request))
    return last
