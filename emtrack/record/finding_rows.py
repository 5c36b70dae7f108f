"""Findings and their versions as the bytes of a binary COPY (`alerts/copied_rows.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from alerts.copied_rows import NULL, bigint, copied, field, microseconds, text, time, word
from geofence.judgement import DEVICE_KINDS

if TYPE_CHECKING:
    from emtrack.record.findings import NewVersion

SALT_BYTES: Final = 16
"""Of the leaf of a row in the log (decision 26). Drawn here, which costs less than the server's own."""
SALTS_AT_ONCE: Final = 256
FINDING_COLUMNS: Final = (
    "finding_no", "activation_no", "salt", "entry_no", "period_start", "kind", "device_reason", "home_unit",
)  # fmt: skip
VERSION_COLUMNS: Final = (
    "finding_no", "version", "recorded_at", "begin_at", "known_at", "within_grace", "salt", "end_at", "change", "why", "reason",
    "requirement_id", "facts_hash", "zone_id", "evidence", "decided_under",
)  # fmt: skip
_BIGINT_OID: Final = 20
_JSONB_FORM: Final = b"\x01"
# Of each row first what is never null and always of the same length.
_FINDING: Final = Struct(f">hiqiqi{SALT_BYTES}s").pack
_VERSION: Final = Struct(f">hiqiqiqiqiqi?i{SALT_BYTES}s").pack


class FindingRows:
    """Rows of versions, and of the identities of those that are new, as they are added. With new salts."""

    def __init__(self, recorded_ms: int) -> None:
        self._recorded_us = microseconds(recorded_ms)
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
        return copied(self._findings) if self._findings else b""

    @property
    def versions(self) -> bytes:
        """Likewise."""
        return copied(self._versions) if self._versions else b""


def _finding(record: NewVersion, salt: bytes) -> bytes:
    found = record.finding
    row = (
        _FINDING(len(FINDING_COLUMNS), 8, record.finding_no, 8, record.activation_no, SALT_BYTES, salt)
        + bigint(None if found.entry_id is None else int(found.entry_id))
        + time(found.period_ms)
        + word(found.kind)
    )
    return row + (word(found.reason) + text(found.requirement_id) if found.kind in DEVICE_KINDS else NULL + NULL)


def _version(record: NewVersion, salt: bytes, recorded_us: int) -> bytes:
    found = record.finding
    under = _JSONB_FORM + msgspec.json.encode(record.decided_under)
    return b"".join(
        (
            _VERSION(
                len(VERSION_COLUMNS), 8, record.finding_no, 8, record.version, 8, recorded_us, 8, microseconds(found.begin_ms),
                8, microseconds(found.known_ms), 1, found.within_grace, SALT_BYTES, salt,
            ),
            time(found.end_ms),
            word(record.change),
            word(record.why),
            word(found.reason),
            text(found.requirement_id),
            text(found.facts_hash),
            text(found.zone_id),
            _bigints(found.evidence),
            field(under),
        )
    )  # fmt: skip


def _bigints(numbers: tuple[int, ...]) -> bytes:
    """An array of one dimension, whose first place is 1; an empty one has no dimension."""
    pack = _array(len(numbers))
    if not numbers:
        return pack(12, 0, 0, _BIGINT_OID)
    fields = [part for number in numbers for part in (8, number)]
    return pack(20 + 12 * len(numbers), 1, 0, _BIGINT_OID, len(numbers), 1, *fields)


@lru_cache(maxsize=1_000)
def _array(count: int) -> Callable[..., bytes]:
    return Struct(">4i" + ("2i" + "iq" * count if count else "")).pack
