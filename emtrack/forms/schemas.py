"""JSON Schemas of the forms that outsiders rely on. The files in docs/schemas/ are made by `make schemas`; a test
compares them with what the program reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from emtrack.forms.lines import FindingLine
from emtrack.forms.reading import orders_schema
from ingest import Acknowledgement

Counter = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[str, Meta(description="ISO 8601 with a zone", extra_json_schema={"format": "date-time"})]


class PositionForm(msgspec.Struct, tag_field="type", tag="position"):
    seq: Counter
    fix_time: Instant
    lat_deg: Annotated[float, Meta(ge=-90, le=90)]
    lon_deg: Annotated[float, Meta(ge=-180, le=180)]
    mechanism: Literal["GPS", "RF", "LBS", "WIFI"]
    precision_m: float | None = None
    recorded_time: Instant | None = None
    uploaded_time: Instant | None = None
    speed_kmh: float | None = None
    direction_deg: float | None = None
    satellites: int | None = None
    hdop: float | None = None


class EventForm(msgspec.Struct, tag_field="type", tag="event"):
    seq: Counter
    event: str
    event_time: Instant
    hmu_id: str | None = None
    tag: str | None = None
    """Of a report of a home unit: the device id of the tag that it is about. Left out: of the unit itself."""


class RequestForm(msgspec.Struct):
    boot: Counter
    reports: Annotated[list[PositionForm | EventForm], Meta(max_length=1000)]
    sent_at: Instant | None = None
    signature: str | None = None
    """Ed25519 over device id, boot and the bytes of `reports`, in base64; in MessagePack also as 64 bytes."""


ReportsAnswer = Acknowledgement
"""What a device is told after the commit."""


def _text(schema: dict[str, Any]) -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n"


SCHEMAS: dict[str, Callable[[], bytes]] = {
    "orders": lambda: _text(orders_schema()),
    "report": lambda: _text(msgspec.json.schema(RequestForm)),
    "finding": lambda: _text(msgspec.json.schema(FindingLine)),
}
