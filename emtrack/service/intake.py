"""The one way from a protocol of trackers into the inbox, over whatever it came: who it is, room before reading, the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

from emtrack.clock import Clock
from emtrack.metrics import Metrics
from emtrack.service.identifiers import DeviceIdentifiers, KnownDevice
from ingest import (
    Acknowledgement,
    Inbox,
    InboxClosed,
    InboxFull,
    KeysUnknown,
    NotCommitted,
    Submission,
    TooManyAtOnce,
    TooManyDays,
)
from ingest.protocols import Reading, Source, kept_whole, named

ANSWER_WITHIN_S = 30.0
"""As over HTTP: what is not committed by then is not answered, and sent again."""
NOTHING_SAID = Acknowledgement([], [])
BYTES_OF_JSON_A_BYTE = 4
"""Room is made by the length of JSON; what trackers send is shorter."""


class Outcome(StrEnum):
    """What became of a message of a tracker, as it is counted."""

    COMMITTED = "committed"
    UNREADABLE = "unreadable"
    UNKNOWN_DEVICE = "unknown device"
    BAD_CHECKSUM = "bad checksum"
    NOT_OF_THE_PROTOCOL = "not of the protocol"
    PUT_OFF = "put off"


class NotTaken(Exception):
    """Nothing of the message is answered: the device sends it again. `wait_s`: how long it is better to hear nothing of it."""

    def __init__(self, outcome: Outcome, wait_s: float = 0.0) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
        self.wait_s = wait_s


class Intake:
    """`fresh` returns when what is known of devices is of now, and raises KeysUnknown."""

    def __init__(
        self,
        inbox: Inbox,
        identifiers: DeviceIdentifiers,
        fresh: Callable[[], Awaitable[None]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._inbox = inbox
        self._identifiers = identifiers
        self._fresh = fresh
        self._clock = clock
        self._metrics = metrics

    def count(self, protocol: str, outcome: Outcome) -> None:
        self._metrics.protocol_messages.labels(protocol, str(outcome)).inc()

    async def fresh(self) -> None:
        """Returns when what is known of devices is of now. Raises NotTaken."""
        try:
            await self._fresh()
        except KeysUnknown:
            raise NotTaken(Outcome.PUT_OFF) from None

    async def device(self, protocol: str, identifier: str) -> KnownDevice:
        """Asked before each message and not once a connection: what was ended is in force within a second. Raises NotTaken."""
        await self.fresh()
        known = self._identifiers.device(protocol, identifier)
        if known is None:
            raise NotTaken(Outcome.UNKNOWN_DEVICE)
        return known

    async def commit(self, device: KnownDevice, data: bytes, read: Callable[[], Reading], source: Source) -> Outcome:
        """Returns when all that the message says is committed, refused reports among it. It is read when there is room for it. Raises
        NotTaken; then nothing is to be answered."""
        submission = await self.submitted(
            device.device_no,
            len(data) * BYTES_OF_JSON_A_BYTE,
            lambda: self._submission(device.device_no, data, read(), source),
        )
        return Outcome.COMMITTED if submission.unreadable is None else Outcome.UNREADABLE

    async def submitted(self, device_no: int, length: int, made: Callable[[], Submission]) -> Submission:
        """Makes room for a message of so many bytes of JSON, has it read, and returns after its commit: `done` has the answer. Raises
        NotTaken."""
        try:
            with self._inbox.admit(device_no, length) as admission:
                submission = made()
                if not submission.reports and submission.unreadable is None:
                    submission.done.set_result(NOTHING_SAID)
                    return submission
                admission.gives_room()
                self._inbox.put(submission)
                await submission.answered(ANSWER_WITHIN_S)
                return submission
        except (InboxFull, TooManyAtOnce, TooManyDays) as full:
            raise NotTaken(Outcome.PUT_OFF, full.retry_after_s) from full
        except (InboxClosed, NotCommitted, TimeoutError) as error:
            raise NotTaken(Outcome.PUT_OFF) from error

    def _submission(self, device_no: int, data: bytes, reading: Reading, source: Source) -> Submission:
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        if reading.trouble is not None:
            return Submission(device_no, [], done, kept_whole(data, reading.trouble, source))
        now_ms = self._clock.now_ms()
        return Submission(device_no, [named(report, source, now_ms) for report in reading.reports], done)
