"""A report on its way into the record, and the facts that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from ingest.reports import EventReport, PositionReport, Refusal
from ingest.wire import Received


class Incoming(msgspec.Struct, frozen=True, eq=False):
    """A report on its way into the record."""

    fact_id: int
    device_no: int
    received: Received
    received_ms: int


class Told(NamedTuple):
    """What a report says of one device: its own, or a tag that a home unit heard."""

    device_no: int
    report: PositionReport | EventReport


class Accepted(NamedTuple):
    """A new fact. All facts of one report have its id: what a home unit says of itself is one for each tag that it hears.
    `device_no`: whose fact it is; `sender_no`: who sent the report."""

    fact_id: int
    device_no: int
    report: PositionReport | EventReport
    received_ms: int
    sender_no: int


Tell = Callable[[int, PositionReport | EventReport], Sequence[Told] | Refusal]
"""(who sent it, report) -> what it says of which devices (of one at least), or why it cannot be used."""
