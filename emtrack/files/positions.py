"""Positions of one person as files for other programs: CSV, GeoJSON, GPX and GeoParquet.

Every position is in each of them, and what the rules make of it; only a track of GPX goes through evidence alone, and is parted where
nothing was known for longer than positions hold. A line between two positions is not the way that somebody took.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from emtrack.forms.grades import AUTHENTICATED, authenticated_word
from geofence import Interval, Position, datetime_of, format_instant
from geofence.judgement import PositionStatus

CAUTION: Final = (
    "A position says where a tag was: the true place lies within accuracy_m of it 95 times of 100. "
    "A line between two positions is not the way that somebody took."
)
_FORMULA = re.compile(r"(^|[\s;,|\"'])([=+\-@\uff1d\uff0b\uff0d\uff20])")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
GPX: Final = "http://www.topografix.com/GPX/1/1"
EXTENSIONS: Final = "urn:emtrack:gpx:1"


class PositionForm(StrEnum):
    """The form of a file."""

    CSV = "csv"
    CSV_FULL = "csv-full"
    GEOJSON = "geojson"
    GPX = "gpx"
    GEOPARQUET = "geoparquet"


class FileType(NamedTuple):
    media_type: str
    extension: str


FILE_TYPES: Final[Mapping[PositionForm, FileType]] = {
    PositionForm.CSV: FileType("text/csv; charset=utf-8", "csv"),
    PositionForm.CSV_FULL: FileType("text/csv; charset=utf-8", "csv"),
    PositionForm.GEOJSON: FileType("application/geo+json", "geojson"),
    PositionForm.GPX: FileType("application/gpx+xml", "gpx"),
    PositionForm.GEOPARQUET: FileType("application/vnd.apache.parquet", "parquet"),
}


class FilePosition(NamedTuple):
    """A position as it is handed out. `n` counts from 1; what a device did not say is None. `is_authenticated`: more than an
    identifier stands behind it."""

    n: int
    device_id: str
    position: Position
    status: PositionStatus
    is_authenticated: bool
    speed_kmh: float | None = None
    direction_deg: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    recorded_ms: int | None = None
    uploaded_ms: int | None = None


class PositionFile(NamedTuple):
    """Positions in order of time, and what the file says of itself. `max_gap_ms`: so long a position holds."""

    points: Sequence[FilePosition]
    wearer_id: str
    window: Interval
    known_ms: int
    timezone: str
    max_gap_ms: int
    purpose: str
    reference: str | None
    recipient: str | None
    made_by: str
    made_ms: int


def told(file: PositionFile) -> dict[str, Any]:
    """What a file says of itself, where its form has a place for it."""
    return {
        "wearer_id": file.wearer_id,
        "from": format_instant(file.window.begin_ms),
        "to": format_instant(file.window.end_ms),
        "as_known_at": format_instant(file.known_ms),
        "purpose": file.purpose,
        "reference": file.reference,
        "recipient": file.recipient,
        "made_by": file.made_by,
        "made_at": format_instant(file.made_ms),
        "positions": len(file.points),
        "not_authenticated": sum(not point.is_authenticated for point in file.points),
        "caution": CAUTION,
    }


def plain_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, whichever of , ; and tab it parts cells by: an apostrophe stands before what
    could begin one."""
    return _FORMULA.sub(r"\1'\2", text)


def local_time(instant_ms: int, zone: ZoneInfo) -> tuple[str, str]:
    """The clock on the wall and its name (BST, GMT)."""
    moment: datetime = datetime_of(instant_ms).astimezone(zone)
    return moment.strftime("%Y-%m-%d %H:%M:%S"), moment.strftime("%Z")


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _instant(instant_ms: int | None) -> str:
    return "" if instant_ms is None else format_instant(instant_ms)


CONDENSED: Final = (
    "number",
    "local_time",
    "clock",
    "utc_time",
    "lat_deg",
    "lon_deg",
    "accuracy_m",
    "mechanism",
    "use",
    AUTHENTICATED,
)
FULL: Final = (
    "device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism", "received_time", "recorded_time", "uploaded_time",
    "speed_kmh", "direction_deg", "satellites", "hdop", "number", "local_time", "clock", "accuracy_m", "use",
    AUTHENTICATED,
)  # fmt: skip
"""The first are those that `emtrack evaluate` reads."""


def condensed_csv(file: PositionFile) -> bytes:
    """A line for each position, as people read it."""
    return _csv(CONDENSED, _condensed_rows(file))


def full_csv(file: PositionFile) -> bytes:
    """All that is known of each, in the columns that `emtrack evaluate` reads, and more after them."""
    return _csv(FULL, _full_rows(file))


def _csv(head: Sequence[str], rows: Iterator[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()


def _condensed_rows(file: PositionFile) -> Iterator[Sequence[str]]:
    zone = ZoneInfo(file.timezone)
    for point in file.points:
        position = point.position
        wall, clock = local_time(position.fix_ms, zone)
        yield (
            str(point.n), wall, clock, format_instant(position.fix_ms), f"{position.lat_deg:.6f}", f"{position.lon_deg:.6f}",
            f"{position.radius_m:.0f}", str(position.mechanism), str(point.status), authenticated_word(point.is_authenticated),
        )  # fmt: skip


def _full_rows(file: PositionFile) -> Iterator[Sequence[str]]:
    zone = ZoneInfo(file.timezone)
    for point in file.points:
        position = point.position
        wall, clock = local_time(position.fix_ms, zone)
        yield (
            plain_cell(point.device_id), format_instant(position.fix_ms), repr(position.lat_deg), repr(position.lon_deg),
            _number(position.precision_m), str(position.mechanism), format_instant(position.received_ms),
            _instant(point.recorded_ms), _instant(point.uploaded_ms), _number(point.speed_kmh), _number(point.direction_deg),
            _number(point.satellites), _number(point.hdop), str(point.n), wall, clock, _number(position.radius_m),
            str(point.status), authenticated_word(point.is_authenticated),
        )  # fmt: skip


def _properties(point: FilePosition, zone: ZoneInfo) -> dict[str, Any]:
    position = point.position
    wall, clock = local_time(position.fix_ms, zone)
    return {
        "number": point.n,
        "device_id": point.device_id,
        "fix_time": format_instant(position.fix_ms),
        "local_time": wall,
        "clock": clock,
        "received_time": format_instant(position.received_ms),
        "precision_m": position.precision_m,
        "accuracy_m": position.radius_m,
        "mechanism": str(position.mechanism),
        "speed_kmh": point.speed_kmh,
        "direction_deg": point.direction_deg,
        "satellites": point.satellites,
        "hdop": point.hdop,
        "use": str(point.status),
        AUTHENTICATED: point.is_authenticated,
    }


def geojson(file: PositionFile) -> bytes:
    """A point for each position (RFC 7946). No line: that would show a way."""
    zone = ZoneInfo(file.timezone)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [point.position.lon_deg, point.position.lat_deg]},
            "properties": _properties(point, zone),
        }
        for point in file.points
    ]
    return msgspec.json.encode({"type": "FeatureCollection", "about": told(file), "features": features})


def gpx(file: PositionFile) -> bytes:
    """A track through the positions that are evidence (GPX 1.1), in parts: a new one where nothing was known for longer than
    positions hold. The others are waypoints."""
    ElementTree.register_namespace("", GPX)
    ElementTree.register_namespace("em", EXTENSIONS)
    root = ElementTree.Element(f"{{{GPX}}}gpx", {"version": "1.1", "creator": "emtrack"})
    about = ElementTree.SubElement(root, f"{{{GPX}}}metadata")
    _text(about, "name", f"Positions of {file.wearer_id}")
    _text(about, "desc", "; ".join(f"{name}: {value}" for name, value in told(file).items() if value is not None))
    _text(about, "time", format_instant(file.made_ms))
    for point in file.points:
        if point.status is not PositionStatus.EVIDENCE:
            _gpx_point(root, "wpt", point)
    line = ElementTree.SubElement(root, f"{{{GPX}}}trk")
    _text(line, "name", f"Positions of {file.wearer_id}")
    _text(line, "desc", CAUTION)
    for part in parts_of(file):
        segment = ElementTree.SubElement(line, f"{{{GPX}}}trkseg")
        for point in part:
            _gpx_point(segment, "trkpt", point)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def parts_of(file: PositionFile) -> Iterator[list[FilePosition]]:
    """Evidence, parted where nothing was known for longer than positions hold."""
    part: list[FilePosition] = []
    for point in file.points:
        if point.status is not PositionStatus.EVIDENCE:
            continue
        if part and point.position.fix_ms - part[-1].position.fix_ms > file.max_gap_ms:
            yield part
            part = []
        part.append(point)
    if part:
        yield part


def _gpx_point(parent: ElementTree.Element, name: str, point: FilePosition) -> None:
    position = point.position
    place = {"lat": f"{position.lat_deg:.7f}", "lon": f"{position.lon_deg:.7f}"}
    one = ElementTree.SubElement(parent, f"{{{GPX}}}{name}", place)
    _text(one, "time", format_instant(position.fix_ms))
    _text(one, "name", str(point.n))
    _text(one, "src", str(position.mechanism))
    if point.satellites is not None:
        _text(one, "sat", str(point.satellites))
    if point.hdop is not None:
        _text(one, "hdop", repr(point.hdop))
    more = ElementTree.SubElement(one, f"{{{GPX}}}extensions")
    said = {
        "accuracy_m": position.radius_m,
        "use": point.status,
        AUTHENTICATED: authenticated_word(point.is_authenticated),
        "speed_kmh": point.speed_kmh,
        "direction_deg": point.direction_deg,
    }
    for field, value in said.items():
        if value is not None:
            ElementTree.SubElement(more, f"{{{EXTENSIONS}}}{field}").text = str(value)


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, f"{{{GPX}}}{name}").text = _NOT_XML.sub("\ufffd", text)


def geoparquet(file: PositionFile) -> bytes:
    """A row for each position (GeoParquet 1.1, points as WKB, WGS 84)."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import shapely

    zone = ZoneInfo(file.timezone)
    columns = list(file.points)
    lon = np.array([point.position.lon_deg for point in columns], np.float64)
    lat = np.array([point.position.lat_deg for point in columns], np.float64)
    instants = pa.timestamp("ms", tz="UTC")
    walls = [local_time(point.position.fix_ms, zone) for point in columns]
    table = pa.table({
        "number": pa.array([point.n for point in columns], pa.int64()),
        "device_id": pa.array([point.device_id for point in columns], pa.string()),
        "fix_time": pa.array([point.position.fix_ms for point in columns], instants),
        "local_time": pa.array([wall for wall, _ in walls], pa.string()),
        "clock": pa.array([clock for _, clock in walls], pa.string()),
        "received_time": pa.array([point.position.received_ms for point in columns], instants),
        "recorded_time": pa.array([point.recorded_ms for point in columns], instants),
        "uploaded_time": pa.array([point.uploaded_ms for point in columns], instants),
        "lat_deg": pa.array(lat),
        "lon_deg": pa.array(lon),
        "precision_m": pa.array([point.position.precision_m for point in columns], pa.float64()),
        "accuracy_m": pa.array([point.position.radius_m for point in columns], pa.float64()),
        "mechanism": pa.array([str(point.position.mechanism) for point in columns], pa.string()),
        "speed_kmh": pa.array([point.speed_kmh for point in columns], pa.float64()),
        "direction_deg": pa.array([point.direction_deg for point in columns], pa.float64()),
        "satellites": pa.array([point.satellites for point in columns], pa.int64()),
        "hdop": pa.array([point.hdop for point in columns], pa.float64()),
        "use": pa.array([str(point.status) for point in columns], pa.string()),
        AUTHENTICATED: pa.array([point.is_authenticated for point in columns], pa.bool_()),
        "geometry": pa.array(list(shapely.to_wkb(shapely.points(lon, lat))), pa.binary()),
    })  # fmt: skip
    box = [float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())] if columns else []
    column = {"encoding": "WKB", "geometry_types": ["Point"]} | ({"bbox": box} if box else {})
    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    metadata = {"geo": msgspec.json.encode(about), "emtrack": msgspec.json.encode(told(file))}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


WRITERS: Final[Mapping[PositionForm, Callable[[PositionFile], bytes]]] = {
    PositionForm.CSV: condensed_csv,
    PositionForm.CSV_FULL: full_csv,
    PositionForm.GEOJSON: geojson,
    PositionForm.GPX: gpx,
    PositionForm.GEOPARQUET: geoparquet,
}
