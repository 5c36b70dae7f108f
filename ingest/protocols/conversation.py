"""What a decoder of a device protocol is: bytes in, events out, and bytes for the device when somebody says that all is stored.

A decoder does no I/O and reads no clock, as h11 does it for HTTP. Who holds the socket

    1. gives it what came (`receive_data`) and asks for the next event until it is NEED_DATA;
    2. on a `Login` looks whether the device is known, and sends what `accept` gives, or closes without a byte;
    3. on a `Frame` makes room for it *before* it is read, then reads it (`read`), puts its reports into the inbox, and sends what
       `acknowledge` gives after they are committed, and not before;
    4. on a `Spoiled` frame sends its answer and counts it;
    5. on ProtocolError closes.

Nothing that comes in raises anything but ProtocolError, and a decoder holds no more than one frame.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, Protocol

Report = dict[str, Any]
"""As devices send it over HTTP (docs/forms.md). One that says no time is of the moment at which it came in."""

LONGEST_IDENTIFIER = 64


class ProtocolError(Exception):
    """What came is not of this protocol: nothing after it can be told apart, and the connection is to be closed."""


class Unreadable(ValueError):
    """A frame came whole and says nothing that can be read. The message says why."""


class Login(NamedTuple):
    """The device says who it is. An identifier is no secret."""

    identifier: str


class Frame(NamedTuple):
    """A message with reports that came whole, and that nobody has read yet. `kind`, `mark`: what its protocol answers by."""

    data: bytes
    kind: int = 0
    mark: int = 0


class Spoiled(NamedTuple):
    """A message that was changed on its way: its checksum is wrong. `answer`: what makes the device send it again."""

    what: str
    answer: bytes = b""


class Need(Enum):
    DATA = "data"


NEED_DATA = Need.DATA

Event = Login | Frame | Spoiled | Need


class Reading(NamedTuple):
    """What a frame says. `trouble`: why nothing of it could be read; it is then kept whole, as one refusal."""

    reports: tuple[Report, ...]
    trouble: str | None = None


class Conversation(Protocol):
    """The decoder of one connection."""

    @property
    def has_part(self) -> bool:
        """Something has come, and waits for the rest of it."""

    def receive_data(self, data: bytes) -> None:
        """What came from the socket, in pieces of any size."""

    def next_event(self) -> Event:
        """The next thing that came whole. Raises ProtocolError."""

    def accept(self) -> bytes:
        """What to send when the device of the login may report."""

    def read(self, frame: Frame) -> Reading:
        """What it says. Never raises."""

    def acknowledge(self, frame: Frame) -> bytes:
        """What tells the device that it may forget the frame; empty where the protocol has no word for it."""
