"""Teltonika trackers over TCP and UDP: the frames. What their records say is in `avl.py`.

TCP    login    2 bytes of length, the IMEI in ASCII                         answered with 01
       frame    4 bytes of 0, 4 of length, data, 4 with its CRC-16/IBM       answered with the count of records in 4 bytes
       ping     FF                                                           not answered
UDP    datagram 2 bytes of length, 2 of packet id, 01, 1 of AVL packet id,
                2 of length and the IMEI, data                               answered with both ids and the count of records

Data is: codec, count, records, count. A device sends a frame again until it is told the right count.
Source: wiki.teltonika-gps.com, "Teltonika Data Sending Protocols".
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.protocols.avl import reports_in
from ingest.protocols.checksums import crc16_ibm
from ingest.protocols.conversation import (
    NEED_DATA,
    Event,
    Frame,
    Login,
    ProtocolError,
    Reading,
    Spoiled,
    Unreadable,
)

MOST_DATA_BYTES = 16_384
"""The longest that the makers name is 1,280."""
LEAST_DATA_BYTES = 3
IMEI_DIGITS = range(14, 18)
ACCEPTED = b"\x01"
NOTHING_TAKEN = bytes(4)
PING = 0xFF
_HEAD_BYTES, _CRC_BYTES = 8, 4


class TeltonikaConversation:
    """One connection over TCP."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_logged_in = False

    @property
    def has_part(self) -> bool:
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> Event:
        return self._next_frame() if self._is_logged_in else self._login()

    def accept(self) -> bytes:
        return ACCEPTED

    def read(self, frame: Frame) -> Reading:
        return read_data(frame.data)

    def acknowledge(self, frame: Frame) -> bytes:
        return frame.mark.to_bytes(4)

    def _login(self) -> Event:
        if len(self._buffer) < 2:
            return NEED_DATA
        size = int.from_bytes(self._buffer[:2])
        if size not in IMEI_DIGITS:
            raise ProtocolError(f"a login of {size} characters; expected an IMEI")
        if len(self._buffer) < 2 + size:
            return NEED_DATA
        identifier = _imei(self._taken(2 + size)[2:])
        self._is_logged_in = True
        return Login(identifier)

    def _next_frame(self) -> Event:
        while self._buffer and self._buffer[0] == PING:
            del self._buffer[0]
        if len(self._buffer) < _HEAD_BYTES:
            if any(self._buffer[:4]):
                raise ProtocolError("a frame that does not begin with four bytes of zero")
            return NEED_DATA
        size = int.from_bytes(self._buffer[4:8])
        if any(self._buffer[:4]) or not LEAST_DATA_BYTES <= size <= MOST_DATA_BYTES:
            raise ProtocolError(
                f"a frame of {size} bytes; expected at most {MOST_DATA_BYTES:,} after four bytes of zero"
            )
        if len(self._buffer) < _HEAD_BYTES + size + _CRC_BYTES:
            return NEED_DATA
        whole = self._taken(_HEAD_BYTES + size + _CRC_BYTES)
        data = whole[_HEAD_BYTES:-_CRC_BYTES]
        if int.from_bytes(whole[-_CRC_BYTES:]) != crc16_ibm(data):
            return Spoiled("the checksum of a frame is wrong", NOTHING_TAKEN)
        return Frame(data, mark=data[1])

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class Datagram(NamedTuple):
    """What came over UDP. `ids`: the packet id and the AVL packet id, as they stand in the answer."""

    identifier: str
    frame: Frame
    ids: tuple[int, int]

    def read(self) -> Reading:
        """What it says. Never raises."""
        return read_data(self.frame.data)

    def acknowledgement(self) -> bytes:
        packet_id, avl_id = self.ids
        return b"\x00\x05" + packet_id.to_bytes(2) + b"\x01" + bytes([avl_id, self.frame.mark & 0xFF])


_DATAGRAM_HEAD_BYTES = 8


def read_datagram(sent: bytes) -> Datagram:
    """Raises ProtocolError. Its records are not read yet."""
    imei_end = _DATAGRAM_HEAD_BYTES + int.from_bytes(sent[6:8])
    if len(sent) < imei_end + LEAST_DATA_BYTES or int.from_bytes(sent[:2]) != len(sent) - 2:
        raise ProtocolError("a datagram whose lengths do not agree")
    data = sent[imei_end:]
    if len(data) > MOST_DATA_BYTES:
        raise ProtocolError(f"a datagram of {len(sent):,} bytes")
    identifier = _imei(sent[_DATAGRAM_HEAD_BYTES:imei_end])
    return Datagram(identifier, Frame(data, mark=data[1]), (int.from_bytes(sent[2:4]), sent[5]))


def read_data(data: bytes) -> Reading:
    """What codec, count, records, count say. Never raises."""
    try:
        return Reading(tuple(reports_in(data)))
    except Unreadable as error:
        return Reading((), str(error))


def _imei(sent: bytes) -> str:
    if len(sent) not in IMEI_DIGITS or not sent.isdigit():
        raise ProtocolError("a login that is no IMEI")
    return sent.decode("ascii")
