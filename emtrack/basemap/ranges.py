"""The header Range of one request for a part of a file (RFC 9110, section 14): one range, and not a long one."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 8 * 1024 * 1024
"""Bytes. Directories and tiles are far shorter; nobody is to take the whole file in one answer."""
ONE_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
"""Numbers that fit any file; more digits are no number that we read."""


class BadRange(ValueError):
    """A range that is not answered. The message says why."""


class ByteRange(NamedTuple):
    """Bytes [first, last] of a file, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def read_range(header: str | None, size: int) -> ByteRange:
    """What is asked of a file of `size` bytes; without a header all of it, if that is no more than `LONGEST`. Raises BadRange."""
    asked = ByteRange(0, size - 1) if header is None else _one_range(header, size)
    if asked.first >= size or asked.last < asked.first:
        raise BadRange(f"the file has {size:,} bytes, and the range lies outside")
    asked = ByteRange(asked.first, min(asked.last, size - 1))
    if asked.length > LONGEST:
        raise BadRange(f"at most {LONGEST:,} bytes are handed out at once; ask for a range of them")
    return asked


def _one_range(header: str, size: int) -> ByteRange:
    found = ONE_RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        raise BadRange("one range of bytes is expected, such as bytes=0-16383")
    if not found[1]:  # the last so many
        return ByteRange(max(0, size - int(found[2])), size - 1) if int(found[2]) else ByteRange(size, size)
    return ByteRange(int(found[1]), int(found[2]) if found[2] else size - 1)
