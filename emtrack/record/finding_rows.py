"""Findings and their versions as the bytes of a binary COPY: of many at once a fraction of what it costs to have each value encoded
and unpacked by itself, and they can be made while the database does something else.

The format is of PostgreSQL's manual, "COPY", *Binary Format*: a signature, then for each row the number of its fields and each field
with its length (-1: null), then -1. Numbers are big-endian; a time is its microseconds since 2000 began.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from geofence.judgement import DEVICE_KINDS

if TYPE_CHECKING:
    from emtrack.record.findings import NewVersion

SALT_BYTES: Final = 16
"""Of the leaf of a row in the log (decision 26). The server's own take 5 µs each."""
SALTS_AT_ONCE: Final = 256
FINDING_COLUMNS: Final = (
    "finding_no", "activation_no", "salt", "entry_no", "period_start", "kind", "device_reason", "home_unit",
)  # fmt: skip
VERSION_COLUMNS: Final = (
    "finding_no", "version", "recorded_at", "begin_at", "known_at", "within_grace", "salt", "end_at", "change", "why", "reason",
    "requirement_id", "facts_hash", "zone_id", "evidence", "decided_under",
)  # fmt: skip
_HEAD: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_SINCE_2000_MS: Final = 946_684_800_000
_BIGINT_OID: Final = 20
_JSONB_FORM: Final = b"\x01"
# Of each row first what is never null and always of the same length.
_FINDING: Final = Struct(f">hiqiqi{SALT_BYTES}s").pack
_VERSION: Final = Struct(f">hiqiqiqiqiqi?i{SALT_BYTES}s").pack
_SIZE: Final = Struct(">i").pack
_BIGINT: Final = Struct(">iq").pack


class FindingRows:
    """Rows of versions, and of the identities of those that are new, as they are added. With new salts."""

    def __init__(self, recorded_ms: int) -> None:
        self._recorded_us = _microseconds(recorded_ms)
        self._findings: list[bytes] = []
        self._versions: list[bytes] = []

        self._salts: Iterator[bytes] = iter(())

    def add(self, records: Sequence[NewVersion]) -> None:
        """Some more."""
        for record in records:
            if record.change == "new":
                self._findings.append(_finding(record, self._salt()))
            self._versions.append(_version(record, self._salt(), self._recorded_us))

    def _salt(self) -> bytes:
        """Of chance that is drawn for many at once."""
        salt = next(self._salts, None)
        if salt is None:
            drawn = secrets.token_bytes(SALT_BYTES * SALTS_AT_ONCE)
            self._salts = iter([drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)])
            salt = next(self._salts)
        return salt

    @property
    def findings(self) -> bytes:
        """As COPY takes them; empty: there are none."""
        return b"".join([_HEAD, *self._findings, _END]) if self._findings else b""

    @property
    def versions(self) -> bytes:
        """Likewise."""
        return b"".join([_HEAD, *self._versions, _END]) if self._versions else b""


def _finding(record: NewVersion, salt: bytes) -> bytes:
    found = record.finding
    row = (
        _FINDING(len(FINDING_COLUMNS), 8, record.finding_no, 8, record.activation_no, SALT_BYTES, salt)
        + (_NULL if found.entry_id is None else _BIGINT(8, int(found.entry_id)))
        + _time(found.period_ms)
        + _word(found.kind)
    )
    return row + (_word(found.reason) + _text(found.requirement_id) if found.kind in DEVICE_KINDS else _NULL + _NULL)


def _version(record: NewVersion, salt: bytes, recorded_us: int) -> bytes:
    found = record.finding
    under = _JSONB_FORM + msgspec.json.encode(record.decided_under)
    return b"".join(
        (
            _VERSION(
                len(VERSION_COLUMNS), 8, record.finding_no, 8, record.version, 8, recorded_us, 8, _microseconds(found.begin_ms),
                8, _microseconds(found.known_ms), 1, found.within_grace, SALT_BYTES, salt,
            ),
            _time(found.end_ms),
            _word(record.change),
            _word(record.why),
            _word(found.reason),
            _text(found.requirement_id),
            _text(found.facts_hash),
            _text(found.zone_id),
            _bigints(found.evidence),
            _SIZE(len(under)),
            under,
        )
    )  # fmt: skip


def _microseconds(instant_ms: int) -> int:
    return (instant_ms - _SINCE_2000_MS) * 1_000


def _time(instant_ms: int | None) -> bytes:
    return _NULL if instant_ms is None else _BIGINT(8, _microseconds(instant_ms))


def _text(text: str | None) -> bytes:
    if text is None:
        return _NULL
    encoded = text.encode()
    return _SIZE(len(encoded)) + encoded


@lru_cache(maxsize=1_000)
def _word(word: str | None) -> bytes:
    """One of those that come again and again."""
    return _text(None if word is None else str(word))


def _bigints(numbers: tuple[int, ...]) -> bytes:
    """An array of one dimension, whose first place is 1; an empty one has no dimension."""
    pack = _array(len(numbers))
    if not numbers:
        return pack(12, 0, 0, _BIGINT_OID)
    fields = [field for number in numbers for field in (8, number)]
    return pack(20 + 12 * len(numbers), 1, 0, _BIGINT_OID, len(numbers), 1, *fields)


@lru_cache(maxsize=1_000)
def _array(count: int) -> Callable[..., bytes]:
    return Struct(">4i" + ("2i" + "iq" * count if count else "")).pack
