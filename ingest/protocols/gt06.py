"""GT06 and its many descendants (Concox, Jimi and others) over TCP.

    78 78, 1 byte of length, kind, content, serial number, CRC-ITU, 0D 0A; 79 79 with 2 bytes of length for longer ones

A device waits for an answer to its login, to its status and to alarms; of positions it expects none, and forgets them when they are
sent. Times are in the zone that the login names, else UTC. Source: Concox, "GT06 GPS Tracker Communication Protocol" 1.8.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from geofence import EventType
from ingest.protocols.checksums import crc16_itu
from ingest.protocols.conversation import (
    NEED_DATA,
    Event,
    Frame,
    Login,
    ProtocolError,
    Reading,
    Report,
    Spoiled,
    Unreadable,
)
from ingest.protocols.tracker_reports import event_at, gps_position

LOGIN, STATUS = 0x01, 0x13
POSITIONS = frozenset({0x10, 0x12, 0x22})
ALARMS = frozenset({0x16, 0x26})
ANSWERED = frozenset({LOGIN, STATUS}) | ALARMS
TAMPERING, LOW_BATTERY = frozenset({0x0C, 0x13, 0x18, 0x25}), frozenset({0x0E, 0x0F, 0x19})
CRITICAL_LEVEL, LOW_LEVEL = 1, 2
"""Of the battery, 0 to 6."""
UNITS_A_DEGREE = 1_800_000
FIXED, NORTH, WEST, COURSE = 0x1000, 0x0400, 0x0800, 0x03FF
MOST_CONTENT_BYTES = 4_096
_END = b"\r\n"
_PLACE_BYTES = 18
_IMEI_BYTES, _STATUS_BYTES = 8, 5
_AFTER_LENGTH = 5
"""Kind, serial number and checksum."""


class Gt06Conversation:
    """One connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._serial = 0
        self._zone = "Z"

    @property
    def has_part(self) -> bool:
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> Event:
        if len(self._buffer) < 4:
            return NEED_DATA
        width = {b"xx": 1, b"yy": 2}.get(bytes(self._buffer[:2]))
        if width is None:
            raise ProtocolError("a message that begins with neither 7878 nor 7979")
        size = int.from_bytes(self._buffer[2 : 2 + width])
        if not _AFTER_LENGTH <= size <= MOST_CONTENT_BYTES:
            raise ProtocolError(f"a message of {size} bytes; expected at most {MOST_CONTENT_BYTES:,}")
        end = 2 + width + size + len(_END)
        if len(self._buffer) < end:
            return NEED_DATA
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        return self._event(whole[2:-4], whole[2 + width : -4], whole[-4:-2], whole[-2:])

    def accept(self) -> bytes:
        return _answer(LOGIN, self._serial)

    def read(self, frame: Frame) -> Reading:
        try:
            return Reading(tuple(self._reports(frame)))
        except Unreadable as error:
            return Reading((), str(error))

    def acknowledge(self, frame: Frame) -> bytes:
        return _answer(frame.kind, frame.mark) if frame.kind in ANSWERED else b""

    def _event(self, covered: bytes, body: bytes, checksum: bytes, end: bytes) -> Event:
        """`covered`: what the checksum is of."""
        if end != _END:
            raise ProtocolError("a message that does not end where its length says")
        if int.from_bytes(checksum) != crc16_itu(covered):
            return Spoiled("the checksum of a message is wrong")
        kind, content, serial = body[0], body[1:-2], int.from_bytes(body[-2:])
        if kind != LOGIN:
            return Frame(content, kind, serial)
        self._serial = serial
        return Login(self._identifier(content))

    def _identifier(self, content: bytes) -> str:
        digits = content[:_IMEI_BYTES].hex()
        if len(digits) < 2 * _IMEI_BYTES or not digits.isdigit():
            raise ProtocolError("a login that names no IMEI")
        if len(content) >= _IMEI_BYTES + 4:
            self._zone = _zone(int.from_bytes(content[_IMEI_BYTES + 2 : _IMEI_BYTES + 4]))
        return digits[1:]

    def _reports(self, frame: Frame) -> Iterator[Report]:
        kept = {"protocol": "gt06", "frame": f"{frame.kind:02x}{frame.data.hex()}"}
        if frame.kind in POSITIONS | ALARMS:
            reports = self._of_a_place(frame)
        elif frame.kind == STATUS:
            reports = _of_a_status(frame.data)
        else:
            reports = iter([event_at(None, EventType.HEARTBEAT)])
        for report in reports:
            yield kept | report

    def _of_a_place(self, frame: Frame) -> Iterator[Report]:
        data = frame.data
        if len(data) < _PLACE_BYTES:
            raise Unreadable("a position that ends before its end")
        year, month, day, hour, minute, second = data[:6]
        at = f"20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{self._zone}"
        satellites, flags = data[6] & 0x0F, int.from_bytes(data[16:18])
        alarm = _alarm(data) if frame.kind in ALARMS else None
        if flags & FIXED and satellites:
            lat_deg, lon_deg = (int.from_bytes(data[place : place + 4]) / UNITS_A_DEGREE for place in (7, 11))
            yield gps_position(
                at, lat_deg if flags & NORTH else -lat_deg, -lon_deg if flags & WEST else lon_deg, None,
                speed_kmh=data[15], direction_deg=flags & COURSE, satellites=satellites,
            )  # fmt: skip
        elif alarm is None:
            yield event_at(at, EventType.HEARTBEAT)
        if alarm is not None:
            yield event_at(at, alarm)


def _alarm(data: bytes) -> EventType | None:
    """What follows the place differs, and ends with a status, whose last two bytes are alarm and language."""
    if len(data) < _PLACE_BYTES + _STATUS_BYTES:
        return None
    alarm = data[-2]
    if alarm in TAMPERING:
        return EventType.CASE_TAMPER
    return EventType.BATTERY_LOW if alarm in LOW_BATTERY else None


def _of_a_status(data: bytes) -> Iterator[Report]:
    """Terminal, battery, signal, alarm and language. Others that are called so are longer, and their battery is something else."""
    if len(data) != _STATUS_BYTES:
        yield event_at(None, EventType.HEARTBEAT)
        return
    level = data[1]
    if level <= CRITICAL_LEVEL:
        yield event_at(None, EventType.BATTERY_CRITICAL)
    else:
        yield event_at(None, EventType.BATTERY_LOW if level <= LOW_LEVEL else EventType.BATTERY_OK)


def _zone(bits: int) -> str:
    """Hours and minutes as one decimal number, from the fourth bit on; the fourth bit says west."""
    hours, minutes = divmod(bits >> 4, 100)
    return f"{'-' if bits & 8 else '+'}{hours:02}:{minutes:02}"


def _answer(kind: int, serial: int) -> bytes:
    covered = bytes([_AFTER_LENGTH, kind]) + serial.to_bytes(2)
    return b"xx" + covered + crc16_itu(covered).to_bytes(2) + _END
