"""The one bounded place where requests wait for a turn: here, and nowhere else, is the back-pressure.

There are two lanes. What a tag sends as it goes is *live*; what it kept while it could not send is *backlog*. Each lane has room of
its own, and a turn takes what is live first, and of the backlog only so much that it stays short: a fleet that returns fills its own
lane, and stops nobody else. Which lane a request is for is told by its length, before its body is read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from enum import StrEnum

import msgspec

from ingest.signing import Signing
from ingest.usual import MAX_REPORTS
from ingest.wire import Acknowledgement, Body, Received, SentReports

LIVE_REPORTS = 60
"""A larger request is backlog: an hour of a tag that reports each minute."""
BYTES_A_REPORT = 150
"""Of JSON, about: how many reports a request has before it is read."""
SHARE_OF_BACKLOG = 4
"""A turn takes at most a quarter of its reports from the backlog."""
AT_ONCE = 8
"""So many requests of one device may wait."""
BACKLOG_AT_ONCE = 2
"""Of them so many for the backlog: room is kept for what they say they will bring, and a key that was stolen brings nothing."""
SHORTEST_RETRY_S, LONGEST_RETRY_S = 2, 300
FORGOTTEN_AFTER_S = 60.0
"""Reports that were sent away are expected again for so long."""


class Lane(StrEnum):
    LIVE = "live"
    BACKLOG = "backlog"


class InboxFull(Exception):
    """No room: the sender is told to try again in `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooManyAtOnce(Exception):
    """The device has so many requests waiting that it must wait for their answers."""

    retry_after_s = SHORTEST_RETRY_S


class TooManyDays(Exception):
    """The reports need more new days than are made for one device in an hour: those that were made stay, and the sender is told to
    try again in `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class InboxClosed(Exception):
    """The program is going down, or cannot commit: nothing of the request was taken."""


class NotCommitted(Exception):
    """The turn that took the request failed: nothing of it is acknowledged, and the device sends it again."""


class Misrouted(NotCommitted):
    """The request is for another worker: orders changed on its way. Nothing of it is stored, and the device sends it again."""


class Place(msgspec.Struct, frozen=True):
    """Of a request that came through the stream: of which shard and lane, in which message, the how many-th of it (from 1).
    `reading`: which reading of the shard brought it; what an earlier one brought is read again. `waited_ms`: how long it waited."""

    shard: int
    lane: str
    message: int
    request: int
    reading: int
    waited_ms: int = 0


class Submission(msgspec.Struct, frozen=True, eq=False):
    """What one request brought. `done` is answered after the commit, or gets NotCommitted if the turn failed.

    `unreadable`: a body that could not be read and is kept whole, as one refusal. `sent_ms`: when it was sent, by the sender's own
    clock; None: it does not say. `signing`: None: it is not signed, or there is no key to check it by. `body`: as it came. `place`:
    None: it did not come through the stream. `hear_since_ms`: it brings no report, but another shard has stored what a home unit says
    of itself, from an instant on, and it concerns people here too.
    """

    device_no: int
    reports: list[Received]
    done: asyncio.Future[Acknowledgement]
    unreadable: Received | None = None
    sent_ms: int | None = None
    signing: Signing | None = None
    body: Body | None = None
    place: Place | None = None
    hear_since_ms: int | None = None

    @classmethod
    def of(
        cls, sent: SentReports, device_no: int, done: asyncio.Future[Acknowledgement], signing: Signing | None = None
    ) -> Submission:
        """A request that was read."""
        return cls(device_no, sent.reports, done, sent_ms=sent.sent_ms, signing=signing, body=sent.body)

    async def answered(self, within_s: float) -> Acknowledgement:
        """What is told after its commit. Raises TimeoutError if that does not come in time, and then no turn takes it any more."""
        giving_up = asyncio.get_running_loop().call_later(
            within_s, self._give_up
        )  # a third of what asyncio.timeout costs
        try:
            return await self.done
        finally:
            giving_up.cancel()

    def _give_up(self) -> None:
        if not self.done.done():
            self.done.set_exception(TimeoutError())

    @property
    def size(self) -> int:
        """How many reports it counts for."""
        return max(1, len(self.reports))

    @property
    def lane(self) -> Lane:
        """Of a part of a request that came through the stream, that of the request."""
        return lane_of(self.size) if self.place is None else Lane(self.place.lane)


def lane_of(reports: int) -> Lane:
    return Lane.LIVE if reports <= LIVE_REPORTS else Lane.BACKLOG


class Admission:
    """Room that a request was given before its body was read. It is given back when the request is put in, or left."""

    def __init__(self, inbox: Inbox, device_no: int, lane: Lane, reports: int) -> None:
        self._inbox = inbox
        self._device_no = device_no
        self._lane = lane
        self._reports = reports

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *_: object) -> None:
        self._inbox.leave(self._device_no, self._lane, self._reports)
        self._reports = 0

    def gives_room(self) -> None:
        """What it was given room for is put in now, and takes its own."""
        self._inbox.give_back(self._lane, self._reports)
        self._reports = 0


class Inbox:
    """Submissions in order of arrival, in each lane at most `capacity` reports. `stopwatch` in seconds; `jitter`: from 0 to 1."""

    def __init__(
        self,
        capacity: int,
        stopwatch: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._capacity = capacity
        self._waiting: dict[Lane, deque[Submission]] = {lane: deque() for lane in Lane}
        self._filled: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self._at_once: Counter[int] = Counter()
        self._backlog_at_once: Counter[int] = Counter()
        self._arrived = asyncio.Event()
        self._closed = False
        self._demand = _Demand(stopwatch)
        self._jitter = jitter

    @property
    def filled(self) -> int:
        """Reports that wait, and those for which there is room while they are read."""
        return sum(self._filled.values())

    def admit(self, device_no: int, length: int) -> Admission:
        """Room for a request of so many bytes. Raises InboxFull, TooManyAtOnce or InboxClosed; then nothing of it is to be read."""
        if self._closed:
            raise InboxClosed
        if self._at_once[device_no] >= AT_ONCE:
            raise TooManyAtOnce
        reports = max(1, min(length // BYTES_A_REPORT, MAX_REPORTS))
        lane = lane_of(reports)
        if lane is Lane.BACKLOG and self._backlog_at_once[device_no] >= BACKLOG_AT_ONCE:
            raise TooManyAtOnce
        self._make_sure_of_room(lane, reports)
        self._filled[lane] += reports
        self._at_once[device_no] += 1
        self._backlog_at_once[device_no] += lane is Lane.BACKLOG
        return Admission(self, device_no, lane, reports)

    def leave(self, device_no: int, lane: Lane, reports: int) -> None:
        """A request was answered, or went away."""
        self.give_back(lane, reports)
        self._at_once[device_no] -= 1
        self._backlog_at_once[device_no] -= lane is Lane.BACKLOG
        if self._at_once[device_no] <= 0:
            del self._at_once[device_no], self._backlog_at_once[device_no]

    def give_back(self, lane: Lane, reports: int) -> None:
        self._filled[lane] -= reports

    def put(self, submission: Submission) -> None:
        """Never blocks. Raises InboxFull or InboxClosed; then nothing was taken."""
        if self._closed:
            raise InboxClosed
        self._make_sure_of_room(submission.lane, submission.size)
        self._waiting[submission.lane].append(submission)
        self._filled[submission.lane] += submission.size
        self._arrived.set()

    def put_back(self, submission: Submission) -> None:
        """One that was taken out and waited for something: it has had its place, and is the next of its lane."""
        if submission.done.done():
            return
        if self._closed:
            submission.done.set_exception(InboxClosed())
            return
        self._waiting[submission.lane].appendleft(submission)
        self._filled[submission.lane] += submission.size
        self._arrived.set()

    def _make_sure_of_room(self, lane: Lane, reports: int) -> None:
        filled = self._filled[lane]
        if filled and filled + reports > self._capacity:
            self._demand.sent_away(reports)
            raise InboxFull(self._retry_after_s())

    def _retry_after_s(self) -> int:
        """When what waits, and what was sent away lately, may be through: each is told another time, so that they do not come back
        all at once."""
        expected_s = (self.filled + self._demand.expected) / self._demand.a_second
        spread_s = SHORTEST_RETRY_S + 2 * expected_s * self._jitter()
        return round(min(LONGEST_RETRY_S, spread_s))

    async def gather(self, max_reports: int, max_wait_s: float) -> list[Submission]:
        """What waits: what is live, up to `max_reports`, and of the backlog up to its share (of each lane one larger submission is
        taken alone); nothing after `max_wait_s`.

        Cancellation takes nothing.
        """
        if not any(self._waiting.values()):
            self._arrived.clear()
            try:
                async with asyncio.timeout(max_wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = self._take(Lane.LIVE, max_reports)
        taken += self._take(Lane.BACKLOG, max_reports // SHARE_OF_BACKLOG)
        self._demand.taken(sum(submission.size for submission in taken))
        return taken

    def _take(self, lane: Lane, most: int) -> list[Submission]:
        taken: list[Submission] = []
        waiting, size = self._waiting[lane], 0
        while waiting and (not taken or size + waiting[0].size <= most):
            submission = waiting.popleft()
            self._filled[lane] -= submission.size
            if submission.done.done():  # the sender went away before its turn, or waited too long: it will send again
                continue
            taken.append(submission)
            size += submission.size
        return taken

    def close(self) -> None:
        """Takes nothing more; what waits is told so."""
        self._closed = True
        for lane, waiting in self._waiting.items():
            while waiting:
                submission = waiting.popleft()
                self._filled[lane] -= submission.size
                if not submission.done.done():
                    submission.done.set_exception(InboxClosed())


class _Demand:
    """How many reports a second are taken, and how many were sent away and will come back."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._away: deque[tuple[float, int]] = deque()
        self._expected = 0
        self._last_s = stopwatch()
        self.a_second = 5_000.0
        """A guess at first."""

    @property
    def expected(self) -> int:
        """Reports that were sent away lately."""
        while self._away and self._away[0][0] < self._stopwatch() - FORGOTTEN_AFTER_S:
            self._expected -= self._away.popleft()[1]
        return self._expected

    def sent_away(self, reports: int) -> None:
        self._away.append((self._stopwatch(), reports))
        self._expected += reports

    def taken(self, reports: int) -> None:
        """Another turn begins. Only one that had much to do tells how fast turns are."""
        now_s = self._stopwatch()
        took_s, self._last_s = now_s - self._last_s, now_s
        if reports >= LIVE_REPORTS and took_s > 0:
            self.a_second += (reports / took_s - self.a_second) / 8
