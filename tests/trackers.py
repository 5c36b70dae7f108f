"""Frames of trackers, made by hand from the published formats: what a test sends in the place of a device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from tests.service_world import HOME, ms

IMEI = "356307042441013"


def crc16_ibm_bitwise(data: bytes) -> int:
    """As the standard states it, bit by bit: the oracle of the table."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


class Avl(NamedTuple):
    """A record of a Teltonika tracker. `elements`: value by (number, size in bytes)."""

    at: str = "12:00"
    place: tuple[float, float] = HOME
    satellites: int = 9
    cause: int = 0
    elements: Mapping[tuple[int, int], int] = {}

    def bytes(self, codec: int) -> bytes:
        width = 2 if codec == 0x8E else 1
        lon, lat = (round(degrees * 1e7).to_bytes(4, signed=True) for degrees in self.place)
        head = ms(self.at).to_bytes(8) + b"\x00" + lon + lat + (120).to_bytes(2, signed=True) + (90).to_bytes(2)
        head += bytes([self.satellites]) + (5).to_bytes(2)
        head += self.cause.to_bytes(width) + len(self.elements).to_bytes(width)
        for size in (1, 2, 4, 8):
            found = {number: value for (number, of_size), value in self.elements.items() if of_size == size}
            head += len(found).to_bytes(width)
            head += b"".join(number.to_bytes(width) + value.to_bytes(size) for number, value in found.items())
        return head + (b"\x00\x01\x01\x81\x00\x02ab" if width == 2 else b"")


def avl_data(*records: Avl, codec: int = 8) -> bytes:
    count = bytes([len(records)])
    return bytes([codec]) + count + b"".join(record.bytes(codec) for record in records) + count


def avl_frame(*records: Avl, codec: int = 8) -> bytes:
    return framed(avl_data(*records, codec=codec))


def framed(data: bytes) -> bytes:
    return bytes(4) + len(data).to_bytes(4) + data + crc16_ibm_bitwise(data).to_bytes(4)


def avl_login(imei: str = IMEI) -> bytes:
    return len(imei).to_bytes(2) + imei.encode()


def avl_datagram(*records: Avl, imei: str = IMEI, packet_id: int = 0xCAFE, avl_id: int = 5, codec: int = 8) -> bytes:
    after = packet_id.to_bytes(2) + b"\x01" + bytes([avl_id]) + avl_login(imei) + avl_data(*records, codec=codec)
    return len(after).to_bytes(2) + after


# ---------------------------------------------------------------------------------------------- GT06


def crc16_itu_bitwise(data: bytes) -> int:
    """As the standard states it, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
    return crc ^ 0xFFFF


def gt06_message(kind: int, content: bytes = b"", serial: int = 1) -> bytes:
    covered = bytes([len(content) + 5, kind]) + content + serial.to_bytes(2)
    return b"xx" + covered + crc16_itu_bitwise(covered).to_bytes(2) + b"\r\n"


def gt06_login(imei: str = IMEI, more: bytes = b"", serial: int = 1) -> bytes:
    return gt06_message(0x01, bytes.fromhex(f"0{imei}") + more, serial)


def gt06_place(
    at: str = "12:00", place: tuple[float, float] = HOME, satellites: int = 9, flags: int = 0x1000, more: bytes = b""
) -> bytes:
    """The content of a position: in the north by default, east or west as it lies."""
    moment = datetime.fromtimestamp(ms(at) / 1000, UTC)
    lon, lat = (round(abs(degrees) * 1_800_000).to_bytes(4) for degrees in place)
    flags |= (0x0400 if place[1] >= 0 else 0) | (0x0800 if place[0] < 0 else 0) | 90
    clock = bytes([moment.year - 2000, moment.month, moment.day, moment.hour, moment.minute, moment.second])
    return clock + bytes([0xC0 | satellites]) + lat + lon + bytes([5]) + flags.to_bytes(2) + more


CELL = bytes.fromhex("0901cc00287d001f71")


# ---------------------------------------------------------------------------------------------- Queclink


def queclink_place(at: str = "12:00", accuracy: str = "1", place: tuple[float, float] = HOME) -> str:
    clock = datetime.fromtimestamp(ms(at) / 1000, UTC).strftime("%Y%m%d%H%M%S")
    return f"{accuracy},4.3,92,70.0,{place[0]:.6f},{place[1]:.6f},{clock}"


def queclink(
    kind: str, *fields: str, head: str = "RESP", imei: str = IMEI, at: str = "12:00", count: str = "11F0"
) -> bytes:
    sent = datetime.fromtimestamp(ms(at) / 1000, UTC).strftime("%Y%m%d%H%M%S")
    return ",".join([f"+{head}:{kind}", "020102", imei, "", *fields, sent, f"{count}$"]).encode()
