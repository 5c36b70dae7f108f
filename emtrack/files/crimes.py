"""A file of crimes, as police forces send it: 13 columns of CSV without a head, a place and a time each.

A row that cannot be used says what to do, and the others are used. Eastings and northings are brought to WGS 84 by PROJ, within some
5 m where the grid of the Ordnance Survey is not installed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from emtrack.errors import MendableError
from emtrack.forms.names import unfit_text
from emtrack.forms.wall_time import NoSuchTime, TwoSuchTimes, instant_of_wall
from emtrack.record.near import Asked, Question
from geofence import Interval
from geofence.nearness import Spot

COLUMNS = 13
MOST_CRIMES = 2_000
LARGEST_BYTES = 4 << 20
LONGEST_MS = 12 * 3_600_000
KINDS = {
    "RB": "Residential burglary", "BIAD": "Burglary in a dwelling", "AB": "Aggravated burglary",
    "BOTD": "Burglary other than a dwelling", "TOMV": "Theft of a motor vehicle", "TFP": "Theft from a person",
    "TFMV": "Theft from a motor vehicle",
}  # fmt: skip
BATCH = re.compile(r"[A-Z]{2,}\d{8}(-\d+)?(-[RA])?")
TIME = re.compile(r"\d{14}")
EASTING, NORTHING = (0.0, 600_000.0), (0.0, 1_300_000.0)
LATITUDE, LONGITUDE = (49.5, 61.5), (-8.5, 2.6)


class UnfitRow(Exception):
    """What is wrong with a row, and what to do."""


class UnfitFile(MendableError):
    """A file that is no file of crimes."""


class Trouble(NamedTuple):
    line: int
    what: str


class Crimes(NamedTuple):
    """`lines`: of the file, where each question stands."""

    questions: list[Question]
    lines: list[int]
    troubles: list[Trouble]


def read_crimes(body: bytes, radius_m: float, timezone: str) -> Crimes:
    """All rows that can be used, in their order, and what is wrong with the others. Raises UnfitFile."""
    if len(body) > LARGEST_BYTES:
        raise UnfitFile(f"A file of crimes has at most {LARGEST_BYTES >> 20} MB; divide it.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnfitFile(f"Byte {error.start} is not UTF-8; save the file as UTF-8.") from error
    zone = ZoneInfo(timezone)
    crimes = Crimes([], [], [])
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(crimes.questions) + len(crimes.troubles) >= MOST_CRIMES:
                raise UnfitFile(f"A file has at most {MOST_CRIMES:,} crimes; divide it.")
            try:
                crimes.questions.append(_question(row, radius_m, zone))
                crimes.lines.append(rows.line_num)
            except UnfitRow as error:
                crimes.troubles.append(Trouble(rows.line_num, str(error)))
    except csv.Error as error:
        raise UnfitFile(f"Line {rows.line_num} is not CSV ({error}); check its quotes.") from error
    return crimes


def _question(row: Sequence[str], radius_m: float, zone: ZoneInfo) -> Question:
    if len(row) != COLUMNS:
        raise UnfitRow(f"it has {len(row)} columns; write 13, and leave empty what does not apply")
    cells = [cell.strip() for cell in row]
    _force, kind, _description, batch, reference, begin, end, easting, northing, lat, lon, datum, _text = cells
    if kind not in KINDS:
        raise UnfitRow(f"crime type {kind[:20]!r}; write one of {', '.join(KINDS)}")
    if BATCH.fullmatch(batch) is None:
        raise UnfitRow(f"batch id {batch[:40]!r}; write it as CODEyyyymmdd, with -1 or -R if need be")
    if not 0 < len(reference) <= 100 or unfit_text(reference) is not None:
        raise UnfitRow("write the reference of the crime, in at most 100 characters")
    spot = _spot((easting, northing), (lat, lon), datum, radius_m)
    return Question(Asked.PLACE, _window(begin, end, zone), radius_m, spot, f"{reference}, {KINDS[kind]}")


def _window(begin: str, end: str, zone: ZoneInfo) -> Interval:
    begin_ms, end_ms = _instant(begin, zone, "from", 0), _instant(end, zone, "to", 1)
    if end_ms < begin_ms:
        raise UnfitRow("'to' lies before 'from'; exchange them")
    if end_ms - begin_ms > LONGEST_MS:
        raise UnfitRow("from and to are more than 12 hours apart; divide the time into several rows")
    return Interval(begin_ms, max(end_ms, begin_ms + 1_000))


def _instant(text: str, zone: ZoneInfo, name: str, which: int) -> int:
    """Of a time that comes twice, a window begins with the first and ends with the second."""
    if TIME.fullmatch(text) is None or not text.isascii():
        raise UnfitRow(f"{name} is {text[:20]!r}; write yyyyMMddHHmmss")
    try:
        wall = datetime.strptime(text, "%Y%m%d%H%M%S").isoformat()  # noqa: DTZ007  the zone comes next
    except ValueError:
        raise UnfitRow(f"{name} is {text!r}, which is no date; write yyyyMMddHHmmss") from None
    try:
        return instant_of_wall(wall, zone)
    except TwoSuchTimes as error:
        return error.passes[which].instant_ms
    except NoSuchTime as error:
        raise UnfitRow(f"{name}: {error}; write a time before or after") from error


def _spot(grid: tuple[str, str], degrees: tuple[str, str], datum: str, radius_m: float) -> Spot:
    has_grid, has_degrees = any(grid), any(degrees)
    if has_grid == has_degrees:
        raise UnfitRow("write either easting and northing, or latitude and longitude, and not both")
    if datum.upper() not in ("", "WGS84", "OSGB36"):
        raise UnfitRow(f"datum {datum[:20]!r}; write WGS84 or OSGB36")
    if has_grid:
        easting, northing = _within(grid[0], "easting", EASTING), _within(grid[1], "northing", NORTHING)
        lon_deg, lat_deg = _to_wgs84("EPSG:27700").transform(easting, northing)
        return Spot(lon_deg, lat_deg, radius_m)
    lat_deg, lon_deg = _within(degrees[0], "latitude", LATITUDE), _within(degrees[1], "longitude", LONGITUDE)
    if datum.upper() == "OSGB36":
        lon_deg, lat_deg = _to_wgs84("EPSG:4277").transform(lon_deg, lat_deg)
    return Spot(lon_deg, lat_deg, radius_m)


@cache
def _to_wgs84(system: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(system, "EPSG:4326", always_xy=True)


def _within(text: str, name: str, limits: tuple[float, float]) -> float:
    low, high = limits
    try:
        value = float(text)
    except ValueError:
        raise UnfitRow(f"{name} is {text[:20]!r}; write a number from {low:,.1f} to {high:,.1f}") from None
    if not low <= value <= high:
        raise UnfitRow(f"{name} is {text[:20]}; it is from {low:,.1f} to {high:,.1f}: check the columns")
    return value
