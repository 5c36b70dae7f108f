"""The one bounded place where requests wait for a turn: here, and nowhere else, is the back-pressure."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from ingest.wire import Acknowledgement, Received


class InboxFull(Exception):
    """No room: the sender is told to try again in `retry_after_s`."""

    retry_after_s = 2


class InboxClosed(Exception):
    """The program is going down, or cannot commit: nothing of the request was taken."""


class NotCommitted(Exception):
    """The turn that took the request failed: nothing of it is acknowledged, and the device sends it again."""


class Submission(msgspec.Struct, frozen=True, eq=False):
    """What one request brought. `done` is answered after the commit, or gets NotCommitted if the turn failed.

    `unreadable`: a body that could not be read and is kept whole, as one refusal. `sent_ms`: when it was sent, by the sender's own
    clock; None: it does not say.
    """

    device_no: int
    reports: list[Received]
    done: asyncio.Future[Acknowledgement]
    unreadable: Received | None = None
    sent_ms: int | None = None

    @property
    def size(self) -> int:
        """How many reports it counts for."""
        return max(1, len(self.reports))


class Inbox:
    """Submissions in order of arrival, at most `capacity` reports."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[Submission] = deque()
        self._filled = 0
        self._arrived = asyncio.Event()
        self._closed = False

    @property
    def filled(self) -> int:
        """Reports that wait."""
        return self._filled

    def put(self, submission: Submission) -> None:
        """Never blocks. Raises InboxFull or InboxClosed; then nothing was taken."""
        if self._closed:
            raise InboxClosed
        if self._filled and self._filled + submission.size > self._capacity:
            raise InboxFull
        self._waiting.append(submission)
        self._filled += submission.size
        self._arrived.set()

    async def gather(self, max_reports: int, max_wait_s: float) -> list[Submission]:
        """What waits, up to `max_reports` (one larger submission is taken alone); nothing after `max_wait_s`.

        Cancellation takes nothing.
        """
        if not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(max_wait_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken: list[Submission] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0].size <= max_reports):
            submission = self._waiting.popleft()
            if submission.done.cancelled():  # the sender went away before its turn: it will send again
                self._filled -= submission.size
                continue
            taken.append(submission)
            size += submission.size
            self._filled -= submission.size
        return taken

    def close(self) -> None:
        """Takes nothing more; what waits is told so."""
        self._closed = True
        while self._waiting:
            submission = self._waiting.popleft()
            self._filled -= submission.size
            if not submission.done.done():
                submission.done.set_exception(InboxClosed())
