"""What all that is entered has in common: who enters it and when, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import msgspec

from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.forms.cautions import Caution
from emtrack.record.changes import OrderChange
from geofence import FOREVER_MS, datetime_of, format_instant, instant_of

if TYPE_CHECKING:
    from asyncpg import Range


class OrdersConflict(MendableError):
    """Orders that contradict what is entered: two people on one tag, two absences at one time. `overlaps`: what is there."""

    def __init__(self, message: str, overlaps: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.overlaps = overlaps


class PastEntry(NamedTuple):
    """An entry of a requirement that begins before it is entered; in milliseconds, up to when it was entered at the latest. Who
    enters it learns whether the wearer was there. `reason`: why it was entered only now, if that was said."""

    wearer_no: int
    requirement_id: str
    from_ms: int
    to_ms: int
    reason: str | None


class Entered(msgspec.Struct):
    """What an import did. `keys`: keys of devices that are new, to be shown once."""

    changes: list[OrderChange] = []
    keys: dict[str, str] = {}
    cautions: list[Caution] = []
    """What is allowed and probably not meant."""
    past: list[PastEntry] = []
    """What was entered for a time in which its wearer was monitored already."""


class OrderWriter:
    """Enters things for one person at one instant, inside a transaction, and keeps what it changed."""

    def __init__(self, connection: Connection, who: str, now_ms: int) -> None:
        self.connection = connection
        self.who = who
        self.now_ms = now_ms
        self.now = datetime_of(now_ms)
        self.since = asyncpg.Range(self.now, None)
        self.entered = Entered()

    def changed(self, what: str, wearer_no: int | None, **detail: Any) -> None:
        """`wearer_no`: who is judged again for it; None: nobody, or everybody (`changes.CONCERN_EVERYBODY`)."""
        self.entered.changes.append(OrderChange(what, wearer_no, detail))


def span(begin_ms: int, end_ms: int) -> Range[Any]:
    """A tstzrange [begin, end); unbounded where it is open."""
    return asyncpg.Range(datetime_of(begin_ms), None if end_ms >= FOREVER_MS else datetime_of(end_ms))


def until_words(row: asyncpg.Record) -> str:
    """Up to when something holds that is there already (its column `end_at`)."""
    return "without an end" if row["end_at"] is None else f"to {row['end_at']:%Y-%m-%dT%H:%M:%SZ}"


def overlapped(row: asyncpg.Record, **what: Any) -> dict[str, Any]:
    """What is there already, for programs."""
    end_at = row["end_at"]
    return what | {
        "from": format_instant(instant_of(row["begin_at"])),
        "to": None if end_at is None else format_instant(instant_of(end_at)),
    }
