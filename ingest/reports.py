"""Reports as devices and files carry them: read strictly, and refused with a reason (RULES.md section 3).

A report comes as a mapping of field names to plain values (from JSON, MessagePack, CSV, Parquet). Nothing here does
I/O; whether an activation covers the report is the caller's to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from geofence import DeviceEvent, EventType, Fact, Mechanism, NotAnInstant, Position, parse_instant

_MAX_TEXT = 200
NAME_A_UNIT = frozenset({
    EventType.RF_IN, EventType.RF_OUT, EventType.HMU_MOVED, EventType.HMU_POWER_LOST, EventType.HMU_POWER_RESTORED,
    EventType.HEARTBEAT,
})  # fmt: skip
"""The events that speak of a home unit; on others the name of one is no part of the event."""
OF_THE_UNIT_ITSELF = frozenset({
    EventType.HEARTBEAT, EventType.HMU_MOVED, EventType.HMU_POWER_LOST, EventType.HMU_POWER_RESTORED,
})  # fmt: skip
"""What a home unit says of itself, and so of nobody's tag alone."""


class RefusalReason(StrEnum):
    """Why a report is kept in quarantine and is neither evidence nor communication."""

    UNREADABLE = "unreadable"
    UNKNOWN_DEVICE = "unknown_device"
    NO_ACTIVATION = "no_activation"
    NO_HOME_UNIT_ENTRY = "no_home_unit_entry"
    NOT_OF_A_HOME_UNIT = "not_of_a_home_unit"
    UNKNOWN_MECHANISM = "unknown_mechanism"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    BAD_COORDINATE = "bad_coordinate"
    BAD_PRECISION = "bad_precision"
    BAD_TIME = "bad_time"


class Refusal(msgspec.Struct, frozen=True):
    """`what` happened, and which `action` mends it; both for a person."""

    reason: RefusalReason
    what: str
    action: str


class PositionReport(msgspec.Struct, frozen=True):
    """A position that can be used. Optional fields that made no sense are None; the raw report keeps them."""

    fix_ms: int
    lat_deg: float
    lon_deg: float
    precision_m: float | None
    mechanism: Mechanism
    recorded_ms: int | None = None
    uploaded_ms: int | None = None
    speed_kmh: float | None = None
    direction_deg: float | None = None
    satellites: int | None = None
    hdop: float | None = None

    @property
    def own_ms(self) -> int:
        return self.fix_ms


class EventReport(msgspec.Struct, frozen=True):
    """A device event that can be used. `hmu_id`: the home unit that it names, if it names one."""

    event_ms: int
    type: EventType
    hmu_id: str | None = None
    sent_by: str | None = None
    """The home unit that sent it; None: the device itself."""
    tag: str | None = None
    """The tag that a home unit says it of; None: the sender says it of itself."""

    @property
    def own_ms(self) -> int:
        return self.event_ms


class _Refused(Exception):
    def __init__(self, reason: RefusalReason, what: str, action: str) -> None:
        super().__init__(what)
        self.refusal = Refusal(reason, what, action)


Raw = Mapping[str, Any]


def read_report(raw: object) -> PositionReport | EventReport | Refusal:
    """A report of the device protocol: its `type` says which of the two it is."""
    if not isinstance(raw, dict):  # not Mapping: a check of an abstract class is slow, and decoders make dicts
        return Refusal(RefusalReason.UNREADABLE, "the report is not an object", 'send {"seq": …, "type": …, …}')
    kind = raw.get("type")
    if kind == "position":
        return read_position(raw) if raw.get("tag") is None else position_of_a_unit()
    if kind == "event":
        return read_event(raw)
    return Refusal(RefusalReason.UNREADABLE, f"type is {_shown(kind)}", 'set "type" to "position" or "event"')


def read_sent_at(request: Raw) -> int | Refusal | None:
    """When a request was sent by the clock of its sender: the optional `sent_at`, in the grammar of all times. None: not said."""
    if request.get("sent_at") is None:
        return None
    try:
        return _instant(request, "sent_at")
    except _Refused as refused:
        return refused.refusal


def read_position(raw: Raw) -> PositionReport | Refusal:
    """A position from its named fields."""
    try:
        return PositionReport(
            fix_ms=_instant(raw, "fix_time"),
            lat_deg=_coordinate(raw, "lat_deg", 90.0),
            lon_deg=_coordinate(raw, "lon_deg", 180.0),
            precision_m=_precision(raw),
            mechanism=_mechanism(raw),
            recorded_ms=_optional_instant(raw.get("recorded_time")),
            uploaded_ms=_optional_instant(raw.get("uploaded_time")),
            speed_kmh=optional_number(raw.get("speed_kmh")),
            direction_deg=optional_number(raw.get("direction_deg")),
            satellites=optional_count(raw.get("satellites")),
            hdop=optional_number(raw.get("hdop")),
        )
    except _Refused as refused:
        return refused.refusal


def read_event(raw: Raw) -> EventReport | Refusal:
    """An event of the device protocol from its named fields. Who sent it is for its key to say, and is not read here."""
    report = _read_event(raw, raw.get("event"), raw.get("hmu_id"), None)
    if isinstance(report, Refusal) or raw.get("tag") is None:
        return report
    tag = raw["tag"]
    if not isinstance(tag, str) or not tag or len(tag) > _MAX_TEXT:
        return Refusal(RefusalReason.UNREADABLE, f"the tag is {_shown(tag)}", "name it by its device id")
    return msgspec.structs.replace(report, tag=tag)


def read_event_row(raw: Raw) -> EventReport | Refusal:
    """An event from a row of a file, in which a home unit is named by the requirement at whose address it stands."""
    return _read_event(raw, raw.get("type"), raw.get("requirement_id"), raw.get("sent_by"))


def _read_event(raw: Raw, kind: object, unit: object, sent_by: object) -> EventReport | Refusal:
    try:
        event_ms, event = _instant(raw, "event_time"), _event_type(kind)
        named = _unit(unit) if event in NAME_A_UNIT else None
        return EventReport(event_ms, event, named, _unit(sent_by))
    except _Refused as refused:
        return refused.refusal


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]


def _instant(raw: Raw, name: str) -> int:
    value = raw.get(name)
    try:
        if not isinstance(value, str):
            raise NotAnInstant(f"{name} is {_shown(value)}")
        return parse_instant(value)
    except NotAnInstant as error:
        action = f"send {name} in ISO 8601 with a zone, such as 2026-03-02T19:00:00Z"
        raise _Refused(RefusalReason.BAD_TIME, f"{name}: {error}"[:_MAX_TEXT], action) from error


def _optional_instant(value: object) -> int | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except NotAnInstant:
        return None


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _coordinate(raw: Raw, name: str, limit_deg: float) -> float:
    value = raw.get(name)
    if type(value) is float and -limit_deg <= value <= limit_deg:
        return value
    if not _is_number(value) or abs(value) > limit_deg:  # type: ignore[arg-type]
        what = f"{name} is {_shown(value)}"
        raise _Refused(RefusalReason.BAD_COORDINATE, what, f"send degrees of WGS 84 within ±{limit_deg:g}")
    return float(value)  # type: ignore[arg-type]


def _precision(raw: Raw) -> float | None:
    value = raw.get("precision_m")
    if value is None:
        return None
    if not _is_number(value):
        what = f"precision_m is {_shown(value)}"
        raise _Refused(RefusalReason.BAD_PRECISION, what, "send metres, or leave it out where it is not known")
    return float(value)


_MECHANISMS = dict(Mechanism.__members__)


def _mechanism(raw: Raw) -> Mechanism:
    value = raw.get("mechanism")
    mechanism = _MECHANISMS.get(value) if isinstance(value, str) else None
    if mechanism is None:
        what = f"mechanism is {_shown(value)}"
        raise _Refused(RefusalReason.UNKNOWN_MECHANISM, what, f"send one of {', '.join(Mechanism)}")
    return mechanism


def _event_type(value: object) -> EventType:
    if not isinstance(value, str) or value not in EventType.__members__:
        what = f"the event is {_shown(value)}"
        raise _Refused(RefusalReason.UNKNOWN_EVENT_TYPE, what, f"send one of {', '.join(EventType)}")
    return EventType(value)


def _unit(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _MAX_TEXT or "\x00" in value:
        what = f"the home unit is {_shown(value)}"
        raise _Refused(RefusalReason.UNREADABLE, what, f"name it by a text of at most {_MAX_TEXT} characters")
    return value


def optional_number(value: object) -> float | None:
    """A number that may be left out; None too where it makes no sense."""
    return float(value) if _is_number(value) and abs(value) < 1e30 else None  # type: ignore[arg-type]


def optional_count(value: object) -> int | None:
    """The same of a count."""
    number = optional_number(value)
    return int(number) if number is not None and 0 <= number < 1e6 else None


def fact_of(report: PositionReport | EventReport, requirement_id: str | None, received_ms: int, fact_id: int) -> Fact:
    """A report as the judgement takes it. `requirement_id`: of an event that names a home unit, the requirement at whose address
    the unit stands."""
    if isinstance(report, EventReport):
        return DeviceEvent(report.event_ms, report.type, requirement_id, received_ms, fact_id, report.sent_by)
    return Position(
        report.fix_ms, report.lat_deg, report.lon_deg, report.precision_m, report.mechanism, received_ms, fact_id
    )


def no_activation(device: str, own_time: str) -> Refusal:
    """The device is known, but on nobody at the time of the report."""
    what = f"no activation of {device} at {own_time}"
    return Refusal(RefusalReason.NO_ACTIVATION, what, "enter the activation; the report is then examined again")


def no_home_unit_entry(what: str) -> Refusal:
    """The sender is no home unit of that wearer at the time of the report."""
    action = "enter the home unit for the wearer of the tag; the report is then examined again"
    return Refusal(RefusalReason.NO_HOME_UNIT_ENTRY, what, action)


def position_of_a_unit() -> Refusal:
    """A home unit knows no position, its own or of a tag."""
    return Refusal(
        RefusalReason.NOT_OF_A_HOME_UNIT, "a position from a home unit", "send what the unit heard as events"
    )


def event_without_a_tag(event: EventType) -> Refusal:
    """A home unit says of itself only what it can tell of itself."""
    action = 'say of which tag it is: "tag": the device id of the tag'
    return Refusal(RefusalReason.NOT_OF_A_HOME_UNIT, f"{event} from a home unit, of no tag", action)


def event_of_the_unit(event: EventType) -> Refusal:
    """What happened to a home unit concerns all tags that it hears."""
    return Refusal(RefusalReason.NOT_OF_A_HOME_UNIT, f"{event} of a tag", 'leave "tag" out: it happened to the unit')


def unknown_device(device_id: object) -> Refusal:
    what = f"device_id is {_shown(device_id)}, which no activation names"
    return Refusal(RefusalReason.UNKNOWN_DEVICE, what, "enter an activation of this device")
