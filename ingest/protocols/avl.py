"""The records of Teltonika trackers: Codec 8 and Codec 8 Extended.

A record is an instant, a place and a list of elements by number. Those that matter here:

    69 GNSS status     anything but 1: there is no fix, and the place is the last that was known
    113 battery, %     181 PDOP, 182 HDOP (tenths)
    249, 318 jamming (of the network, of GNSS), 252 unplugged

What is wrong is said in every record that says it. That it is well again is said in the record that the device made for it: otherwise
each record of every tag would bring three events that say nothing. A record without a fix and without an event is a heartbeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from geofence import EventType
from ingest.protocols.conversation import Report, Unreadable
from ingest.protocols.tracker_reports import battery_trouble, event_at, gps_position, instant

CODEC_8, CODEC_8_EXTENDED = 0x08, 0x8E
GNSS_STATUS, BATTERY_PERCENT, PDOP, HDOP = 69, 113, 181, 182
JAMMING, GNSS_JAMMING, UNPLUGGED = 249, 318, 252
FIXED = 1
UNITS_A_DEGREE = 1e7
_SIZES = (1, 2, 4, 8)
_DOP_OF_NONE = 0


class Record(NamedTuple):
    """A record as it stands. `elements`: their values by number, without those of variable length. `cause`: the element for which
    the device made it; 0: none. `data`: its bytes."""

    at_ms: int
    lat_deg: float
    lon_deg: float
    direction_deg: int
    satellites: int
    speed_kmh: int
    cause: int
    elements: dict[int, int]
    data: bytes

    @property
    def has_fix(self) -> bool:
        """Without a fix the place is that of another time."""
        return self.satellites > 0 and self.elements.get(GNSS_STATUS, FIXED) == FIXED

    @property
    def hdop(self) -> float | None:
        tenths = self.elements.get(HDOP, _DOP_OF_NONE)
        return tenths / 10 if tenths else None

    @property
    def dilution(self) -> float | None:
        tenths = self.elements.get(HDOP) or self.elements.get(PDOP)
        return tenths / 10 if tenths else None


def reports_in(data: bytes) -> Iterator[Report]:
    """The reports of all records. Raises Unreadable."""
    for record in records_in(data):
        yield from _reports_of(record)


def records_in(data: bytes) -> list[Record]:
    """Raises Unreadable."""
    reader = _Reader(data)
    codec, count = reader.number(1), reader.number(1)
    if codec not in (CODEC_8, CODEC_8_EXTENDED):
        raise Unreadable(f"codec {codec}; expected 8 or 8 Extended (142)")
    records = [_record(reader, 2 if codec == CODEC_8_EXTENDED else 1) for _ in range(count)]
    if reader.number(1) != count or reader.has_more:
        raise Unreadable("the records are not as many as the frame says")
    return records


class _Reader:
    """Numbers one after the other. Raises Unreadable where there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    @property
    def has_more(self) -> bool:
        return self.place < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self.place : self.place + size]
        if len(taken) < size:
            raise Unreadable("a record ends before its end")
        self.place += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def signed(self, size: int) -> int:
        return int.from_bytes(self.take(size), signed=True)

    def since(self, place: int) -> bytes:
        return self._data[place : self.place]


def _record(reader: _Reader, width: int) -> Record:
    """`width`: bytes of the numbers and counts of elements."""
    begin = reader.place
    at_ms, _priority = reader.number(8), reader.number(1)
    lon_deg, lat_deg = reader.signed(4) / UNITS_A_DEGREE, reader.signed(4) / UNITS_A_DEGREE
    _altitude, direction_deg = reader.signed(2), reader.number(2)
    satellites, speed_kmh = reader.number(1), reader.number(2)
    cause, _total = reader.number(width), reader.number(width)
    elements = {}
    for size in _SIZES:
        for _ in range(reader.number(width)):
            number = reader.number(width)
            elements[number] = reader.number(size)
    if width == 2:
        for _ in range(reader.number(2)):
            reader.number(2)
            reader.take(reader.number(2))
    return Record(at_ms, lat_deg, lon_deg, direction_deg, satellites, speed_kmh, cause, elements, reader.since(begin))


def _reports_of(record: Record) -> Iterator[Report]:
    kept, at = {"protocol": "teltonika", "frame": record.data.hex()}, instant(record.at_ms)
    events = list(_events(record))
    if record.has_fix:
        yield kept | gps_position(
            at, record.lat_deg, record.lon_deg, record.dilution, hdop=record.hdop,
            speed_kmh=record.speed_kmh, direction_deg=record.direction_deg, satellites=record.satellites,
        )  # fmt: skip
    elif not events:
        events = [EventType.HEARTBEAT]
    for event in events:
        yield kept | event_at(at, event)


def _events(record: Record) -> Iterator[EventType]:
    elements = record.elements
    if BATTERY_PERCENT in elements:
        trouble = battery_trouble(elements[BATTERY_PERCENT])
        yield from _said(record, (BATTERY_PERCENT,), trouble, EventType.BATTERY_OK)
    jammed = any(elements.get(number) for number in (JAMMING, GNSS_JAMMING))
    yield from _said(record, (JAMMING, GNSS_JAMMING), EventType.JAMMING if jammed else None, EventType.JAMMING_CLEAR)
    unplugged = EventType.CASE_TAMPER if elements.get(UNPLUGGED) else None
    yield from _said(record, (UNPLUGGED,), unplugged, EventType.CASE_CLEAR)


def _said(
    record: Record, numbers: tuple[int, ...], trouble: EventType | None, clear: EventType
) -> Iterator[EventType]:
    """The trouble, or that it is over if one of its elements is what the record was made for."""
    if trouble is not None:
        yield trouble
    elif record.cause in numbers and record.cause in record.elements:
        yield clear
