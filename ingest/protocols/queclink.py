"""Queclink trackers over TCP, in text: the @Track protocol of GL200 and its relatives.

    +RESP:GTFRI,version,IMEI,name,…,time of sending,count$      a report; +BUFF: one that was kept; both answered with +SACK:count$
    +ACK:GTHBD,version,IMEI,name,time of sending,count$         a heartbeat, answered with +SACK:GTHBD,version,count$

What stands between differs from model to model and from report to report. A place always is: accuracy (HDOP, 0: no fix), speed,
azimuth, altitude, longitude, latitude, its time; it is found by its shape. A device that is set to wait for +SACK sends what is not
answered again. Source: Queclink, "GL200 @Track Air Interface Protocol".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from geofence import EventType
from ingest.protocols.conversation import NEED_DATA, Event, Frame, Login, ProtocolError, Reading, Report
from ingest.protocols.tracker_reports import event_at, gps_position

MOST_BYTES = 4_096
KNOWN_HEADS = ("+RESP:GT", "+BUFF:GT", "+ACK:GT")
HEARTBEAT = "GTHBD"
EVENTS = {
    "GTBPL": EventType.BATTERY_LOW,
    "GTSTC": EventType.BATTERY_OK,  # it stopped charging, because it is full
    "GTJDR": EventType.JAMMING,
}
JAMMING_STATE = "GTJDS"
JAMMED = {"1": EventType.JAMMING_CLEAR, "2": EventType.JAMMING}
_FEWEST_FIELDS = 5
IMEI_OR_MEID = re.compile(r"[0-9A-F]{14,17}")
_DEGREES = re.compile(r"-?[0-9]{1,3}\.[0-9]{1,7}")
_TIME = re.compile(r"[0-9]{14}")
_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
_TIME_OF_PLACE = 6
"""Fields from the accuracy of a place to its time."""


class QueclinkConversation:
    """One connection. It has no login: who it is stands in each message, and the first is taken for it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._identifier: str | None = None

    @property
    def has_part(self) -> bool:
        return bool(self._buffer.strip(b"\0\r\n "))

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> Event:
        end = self._buffer.find(b"$", 0, MOST_BYTES)
        if end < 0:
            if len(self._buffer) >= MOST_BYTES:
                raise ProtocolError(f"a message of more than {MOST_BYTES:,} bytes")
            return NEED_DATA
        fields = _fields(bytes(self._buffer[:end]))
        if self._identifier is None:  # the message itself is the next event
            self._identifier = fields[2]
            return Login(self._identifier)
        if fields[2] != self._identifier:
            raise ProtocolError("a message of another device in the same connection")
        message = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return Frame(message)

    def accept(self) -> bytes:
        return b""

    def read(self, frame: Frame) -> Reading:
        fields = _fields(frame.data)
        kind = fields[0].partition(":")[2]
        kept = {
            "protocol": "queclink",
            "frame": ",".join([kind, *fields[1:-1]]),
        }  # sent again, it has another head and count
        return Reading(tuple(kept | report for report in _reports(kind, fields)))

    def acknowledge(self, frame: Frame) -> bytes:
        fields = _fields(frame.data)
        if fields[0] == f"+ACK:{HEARTBEAT}":
            return f"+SACK:{HEARTBEAT},{fields[1]},{fields[-1]}$".encode("latin-1")
        return f"+SACK:{fields[-1]}$".encode("latin-1")


def _fields(message: bytes) -> list[str]:
    """Raises ProtocolError for what is none of its messages."""
    fields = message.decode("latin-1").strip("\0\r\n ").split(",")
    if not fields[0].startswith(KNOWN_HEADS) or len(fields) < _FEWEST_FIELDS or not IMEI_OR_MEID.fullmatch(fields[2]):
        raise ProtocolError("a message that names no report or no device")
    return fields


def _reports(kind: str, fields: Sequence[str]) -> Iterator[Report]:
    sent = _instant(fields[-2])
    places = list(_places(fields))
    yield from places
    event = JAMMED.get(fields[4]) if kind == JAMMING_STATE else EVENTS.get(kind)
    if event is not None:
        yield event_at(sent, event)
    elif not places:
        yield event_at(sent, EventType.HEARTBEAT)


def _places(fields: Sequence[str]) -> Iterator[Report]:
    for place in range(3, len(fields) - _TIME_OF_PLACE):
        accuracy, speed, azimuth, _, lon, lat, at = fields[place : place + _TIME_OF_PLACE + 1]
        if not (_TIME.fullmatch(at) and _DEGREES.fullmatch(lon) and _DEGREES.fullmatch(lat)):
            continue
        hdop = _number(accuracy)
        if hdop:  # 0 and nothing: the last place that was known
            yield gps_position(
                _instant(at),
                float(lat),
                float(lon),
                hdop,
                hdop=hdop,
                speed_kmh=_number(speed),
                direction_deg=_number(azimuth),
            )


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _instant(digits: str) -> str | None:
    """yyyymmddhhmmss in UTC; None: it says none."""
    if not _TIME.fullmatch(digits):
        return None
    year, *rest = digits[:4], *(digits[place : place + 2] for place in range(4, 14, 2))
    month, day, hour, minute, second = rest
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
