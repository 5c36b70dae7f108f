"""The name of a report whose protocol numbers none: it follows from what the report says, so that the same record is the same report
however often it is sent.

Over HTTP a device numbers its reports (boot, seq). Here `seq` is 63 bits of the digest of the content, and `boot` is a negative
number, which no report over HTTP can have: it also says how far the source of the report can be believed.
"""

from __future__ import annotations

from enum import IntEnum

from geofence import format_instant
from ingest.protocols.conversation import Report
from ingest.reports import Refusal, RefusalReason, read_report
from ingest.wire import Received, digest_of, packed_body


class Source(IntEnum):
    """What stands behind a report that came without a key of its device; the number takes the place of `boot`."""

    UNAUTHENTICATED = -1
    """Nothing but an identifier, which is printed on the device and known to many."""
    PRIVATE_NETWORK = -2
    """A network into which only devices of the deployment come, as its settings say."""


def named(report: Report, source: Source, received_ms: int) -> Received:
    """A report under its name. One without a time is of the moment at which it came in."""
    if report.get("type") == "event" and "event_time" not in report:
        report = report | {"event_time": format_instant(received_ms), "timed_by": "receipt"}
    seq = int.from_bytes(digest_of(packed_body(report))[:8]) >> 1
    whole = report | {"seq": seq}
    return Received(source, seq, whole, read_report(whole))


def kept_whole(data: bytes, trouble: str, source: Source) -> Received:
    """A frame that says nothing that can be read, as one refusal."""
    action = "look at what the device is set to send; this is kept as it came"
    return Received(source, None, data, Refusal(RefusalReason.UNREADABLE, trouble, action))
