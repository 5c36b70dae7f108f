"""Requests of the usual shape, read in a third of the time: JSON, positions with the fields that every position has and no other than
some of those that it may have, in order of their numbers. Nearly all that a fleet sends is of it.

What is of another shape, or anything but good, is not read here and not judged: `wire.py` reads it field by field and says what is
wrong. Both give the same reports.
"""

from __future__ import annotations

from operator import lt
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geofence import Mechanism, NotAnInstant, parse_instant
from ingest.reports import PositionReport, optional_count, optional_number

LARGEST_COUNTER = 2**63 - 1
MAX_REPORTS = 1_000
Counter = Annotated[int, Meta(ge=0, le=LARGEST_COUNTER)]

TEXTS_OF_A_REPORT, TEXTS_OF_A_REQUEST = 10, 2
"""Keys and values. In JSON without a backslash each has two quotation marks: with more of them some key stands twice."""


class _Position(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    type: Literal["position"]  # not a tag: msgspec takes one that is not there, and the count of texts needs it
    seq: Counter
    fix_time: str
    lat_deg: Annotated[float, Meta(ge=-90, le=90)]
    lon_deg: Annotated[float, Meta(ge=-180, le=180)]
    precision_m: float | None
    mechanism: Mechanism


Said = float | UnsetType | None


class _Fuller(_Position, forbid_unknown_fields=True, frozen=True, gc=False):
    """With what some tags send beside."""

    speed_kmh: Said = UNSET
    direction_deg: Said = UNSET
    satellites: int | Said = UNSET
    hdop: Said = UNSET

    @property
    def texts_beside(self) -> int:
        """Keys of what is said of them."""
        unsaid = (self.speed_kmh is UNSET) + (self.direction_deg is UNSET) + (self.satellites is UNSET)
        return 4 - unsaid - (self.hdop is UNSET)


P = TypeVar("P", bound=_Position)


class _Request(msgspec.Struct, Generic[P], forbid_unknown_fields=True, frozen=True):
    boot: Counter
    reports: Annotated[list[P], Meta(min_length=1, max_length=MAX_REPORTS)]
    sent_at: str | None = None


_plain = msgspec.json.Decoder(_Request[_Position])
_fuller = msgspec.json.Decoder(_Request[_Fuller])


class Usual(NamedTuple):
    """What a request says. `reports`: by their numbers, which ascend."""

    boot: int
    reports: list[tuple[int, PositionReport]]
    sent_ms: int | None


class AsSent:
    """The reports of a request as they were sent, read again when somebody asks: of a request that is kept whole nobody does."""

    __slots__ = ("_body", "_found")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._found: dict[int, Any] | None = None

    def report(self, seq: int) -> Any:
        if self._found is None:
            self._found = {raw["seq"]: raw for raw in msgspec.json.decode(self._body)["reports"]}
        return self._found[seq]


def read_usual(body: bytes) -> Usual | None:
    """None: it is not of the usual shape, or something is wrong with it. Never raises."""
    if b"\\" in body:
        return None
    try:
        try:
            request: _Request[Any] = _plain.decode(body)
            beside, read = 0, _position
        except msgspec.ValidationError:
            request = _fuller.decode(body)
            beside, read = sum(one.texts_beside for one in request.reports), _fuller_position
        texts = TEXTS_OF_A_REPORT * len(request.reports) + beside
        sent_ms = None if request.sent_at is None else parse_instant(request.sent_at)
        texts += TEXTS_OF_A_REQUEST if request.sent_at is None else TEXTS_OF_A_REQUEST + 2
        if body.count(b'"') != 2 * texts:
            return None
        reports = [(one.seq, read(one)) for one in request.reports]
    except (msgspec.DecodeError, UnicodeDecodeError, NotAnInstant):
        return None
    numbers = [seq for seq, _ in reports]
    ascend = all(map(lt, numbers, numbers[1:]))
    return Usual(request.boot, reports, sent_ms) if ascend else None


def _position(one: Any) -> PositionReport:
    return PositionReport(parse_instant(one.fix_time), one.lat_deg, one.lon_deg, one.precision_m, one.mechanism)


def _fuller_position(one: Any) -> PositionReport:
    return PositionReport(
        parse_instant(one.fix_time), one.lat_deg, one.lon_deg, one.precision_m, one.mechanism, None, None,
        optional_number(one.speed_kmh), optional_number(one.direction_deg), optional_count(one.satellites), optional_number(one.hdop),
    )  # fmt: skip
