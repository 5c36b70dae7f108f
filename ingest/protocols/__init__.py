"""Protocols of trackers: bytes to reports and back, each in a file of its own. No I/O, no clock."""

from ingest.protocols import osmand, owntracks
from ingest.protocols.broker import ALL_REPORTS, Published, answers_of, read_published
from ingest.protocols.check_in import Asked, CheckIn, NotACheckIn
from ingest.protocols.conversation import (
    NEED_DATA,
    Conversation,
    Event,
    Frame,
    Login,
    ProtocolError,
    Reading,
    Report,
    Spoiled,
)
from ingest.protocols.gt06 import Gt06Conversation
from ingest.protocols.identity import Source, kept_whole, named
from ingest.protocols.queclink import QueclinkConversation
from ingest.protocols.registry import PROTOCOLS, DeviceProtocol, unfit_identifier
from ingest.protocols.teltonika import Datagram, TeltonikaConversation, read_datagram
from ingest.protocols.tracker_reports import event_at, gps_position

__all__ = [
    "ALL_REPORTS",
    "NEED_DATA",
    "PROTOCOLS",
    "Asked",
    "CheckIn",
    "Conversation",
    "Datagram",
    "DeviceProtocol",
    "Event",
    "Frame",
    "Gt06Conversation",
    "Login",
    "NotACheckIn",
    "ProtocolError",
    "Published",
    "QueclinkConversation",
    "Reading",
    "Report",
    "Source",
    "Spoiled",
    "TeltonikaConversation",
    "answers_of",
    "event_at",
    "gps_position",
    "kept_whole",
    "named",
    "osmand",
    "owntracks",
    "read_datagram",
    "read_published",
    "unfit_identifier",
]
