"""Shared zone sets in the database, and those at hand in memory."""

from __future__ import annotations

import asyncio
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import asyncpg
import msgspec
import numpy as np
import structlog

from emtrack.atomic_files import belong_to_owner_of
from emtrack.db.connect import Connection
from emtrack.forms.orders import ZoneSetForm
from emtrack.forms.to_core import SetNames
from emtrack.record.entering import OrdersConflict, OrderWriter
from geofence import Area, Disc, LonLat, PolygonRings, Requirement, SetZone, Shape, version_of
from geofence.judgement import UnknownSet
from geofence.shapes import Member, ZoneSet, build, content_of, geojson_from_zone, zone_from_geojson

KEPT = 4
"""Sets that are kept although nobody is judged by them: an older version that somebody looks at."""
KEPT_FOLDERS = 16
AT_A_TIME = 5_000

log = structlog.get_logger()


# ---------------------------------------------------------------------------------------------- entering

KNOWN = """
SELECT s.set_id, v.set_version_no, v.version, v.content
FROM zone_set_versions v JOIN zone_sets s USING (set_no) ORDER BY v.set_version_no
"""
ENTER_SET = """
INSERT INTO zone_sets (set_id) VALUES ($1) ON CONFLICT (set_id) DO UPDATE SET set_id = excluded.set_id RETURNING set_no
"""
ENTER_VERSION = """
INSERT INTO zone_set_versions (set_no, version, content, members, entered_at, entered_by)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING set_version_no
"""
# Zones that are there already are left alone: the same version names the same content.
ENTER_ZONES = """
INSERT INTO zones (version, geometry) SELECT DISTINCT ON (version) * FROM unnest($1::text[], $2::jsonb[]) AS t (version, geometry)
ON CONFLICT (version) DO NOTHING
"""
ENTER_MEMBERS = """
INSERT INTO zone_set_members (set_version_no, zone_id, zone_no, extent)
SELECT $1, t.zone_id, z.zone_no, t.extent
FROM unnest($2::text[], $3::text[], $4::box[]) AS t (zone_id, version, extent) JOIN zones z USING (version)
"""


async def known_sets(connection: Connection) -> tuple[SetNames, dict[SetZone, int]]:
    """The sets that are entered, by name, and the numbers of their versions."""
    names, numbers = SetNames(), {}
    for row in await connection.fetch(KNOWN):
        names.add(row["set_id"], row["version"], row["content"])
        numbers[SetZone(row["set_id"], row["version"], row["content"])] = row["set_version_no"]
    return names, numbers


async def _enter_version(writer: OrderWriter, zone: SetZone, members: Sequence[Member]) -> None:
    connection = writer.connection
    set_no = await connection.fetchval(ENTER_SET, zone.set_id)
    number: int = await connection.fetchval(
        ENTER_VERSION, set_no, zone.version, zone.content, len(members), writer.now, writer.who
    )
    for begin in range(0, len(members), AT_A_TIME):
        some = members[begin : begin + AT_A_TIME]
        versions = [version_of(member.area) for member in some]
        await connection.execute(ENTER_ZONES, versions, [geojson_from_zone(member.area) for member in some])
        extents = [_box(member.area) for member in some]
        await connection.execute(ENTER_MEMBERS, number, [member.zone_id for member in some], versions, extents)


async def enter_zone_sets(writer: OrderWriter, forms: Sequence[ZoneSetForm]) -> dict[str, SetZone]:
    """Enter versions that are new; of each set that got any the last, by set id. Raises OrdersConflict for a version that is
    there with other zones."""
    _, numbers = await known_sets(writer.connection)
    contents = {(zone.set_id, zone.version): zone.content for zone in numbers}
    fresh = {}
    for form in forms:
        zone = SetZone(form.set_id, form.version, form.features.content)
        known = contents.get((zone.set_id, zone.version))
        if known is None:
            await _enter_version(writer, zone, form.features.members)
            fresh[zone.set_id] = zone
            what = {"set_id": zone.set_id, "version": zone.version, "members": len(form.features.members)}
            writer.changed("zone set entered", None, **what)
        elif known != zone.content:
            raise OrdersConflict(
                f"The orders were not entered, because version {zone.version!r} of zone set {zone.set_id!r} is entered already "
                "with other zones. A version is never changed: give these another."
            )
    return fresh


def _box(area: Area) -> asyncpg.Box:
    corners = np.concatenate([np.array(rings[0], np.float64) for rings in area.polygons])
    west, south = corners.min(axis=0).tolist()
    east, north = corners.max(axis=0).tolist()
    return asyncpg.Box((east, north), (west, south))


def stored_zone(row: asyncpg.Record) -> SetZone | None:
    """The set that a stored requirement is on; None if it has a zone of its own."""
    return None if row["set_id"] is None else SetZone(row["set_id"], row["set_version"], row["set_content"])


# ---------------------------------------------------------------------------------------------- reading

MEMBERS = """
SELECT m.zone_id, z.geometry
FROM zone_set_members m JOIN zones z USING (zone_no)
WHERE m.set_version_no = (SELECT min(set_version_no) FROM zone_set_versions WHERE content = $1)
ORDER BY m.zone_id COLLATE "C"
"""
# Members whose extent meets one of some boxes: the one that is named first, then by nearness to the first box.
NEAR = """
WITH version AS (SELECT min(set_version_no) AS set_version_no FROM zone_set_versions WHERE content = $1),
near AS (
    SELECT m.zone_id FROM version JOIN unnest($2::box[]) AS b (near) ON true
    JOIN zone_set_members m ON m.set_version_no = version.set_version_no AND m.extent && b.near
    UNION
    SELECT m.zone_id FROM version JOIN zone_set_members m USING (set_version_no) WHERE m.zone_id = $3)
SELECT m.zone_id, z.geometry, count(*) OVER () AS found
FROM version JOIN near ON true JOIN zone_set_members m USING (set_version_no, zone_id) JOIN zones z USING (zone_no)
ORDER BY m.zone_id IS NOT DISTINCT FROM $3 DESC, center(m.extent) <-> center(($2::box[])[1]), m.zone_id LIMIT $4
"""


async def load_members(connection: Connection, content: str) -> list[Member]:
    """The members of a set, as they were entered. Raises UnknownSet."""
    return _members(await _rows_of(connection, content), content)


async def _rows_of(connection: Connection, content: str) -> list[asyncpg.Record]:
    rows = await connection.fetch(MEMBERS, content)
    if not rows:
        raise UnknownSet(f"no zone set with the content {content} is entered")
    return list(rows)


def _members(rows: Sequence[asyncpg.Record], content: str) -> list[Member]:
    """What was checked on the way in is not checked again, for a tenth of the time (20,000 squares: 0.6 s, not 6): the content says
    whether it is the same. It is not where a requirement stored a geometry first, in its own way of writing it (with heights)."""
    with suppress(msgspec.ValidationError):
        members = [Member(row["zone_id"], _area(as_checked(row["geometry"]))) for row in rows]
        if content_of(members) == content:
            return members
    return [_member(row) for row in rows]


def as_checked(geometry: dict[str, Any]) -> Shape:
    """A stored geometry that was checked on the way in. Raises ValidationError for one that is none of ours."""
    if geometry["type"] == "Circle":
        return Disc(msgspec.convert(geometry["centre"], LonLat), float(geometry["radius_m"]))
    coordinates = geometry["coordinates"]
    polygons = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
    return Area(msgspec.convert(polygons, tuple[PolygonRings, ...]))


def zone_of_stored(geometry: dict[str, Any], version: str) -> Shape:
    """A stored zone: what was checked on the way in is not checked again, if its content is still what its version names. It is
    not where it was stored as somebody had written it (with heights, or parts that overlap)."""
    with suppress(msgspec.ValidationError):
        zone = as_checked(geometry)
        if version_of(zone) == version:
            return zone
    return zone_from_geojson(geometry)


def _member(row: asyncpg.Record) -> Member:
    return Member(row["zone_id"], _area(zone_from_geojson(row["geometry"])))


def _area(shape: Shape) -> Area:
    assert isinstance(shape, Area), "members are areas"
    return shape


class Near(NamedTuple):
    """Members near some places, the most telling first; `found`: how many there are, of which so many were asked for."""

    members: list[Member]
    found: int


M_PER_DEGREE = 111_320.0
CELL_DEG = 0.02
MOST_CELLS = 100


async def members_near(
    connection: Connection,
    content: str,
    places: Sequence[tuple[float, float]],
    *,
    within_m: float,
    named: str | None,
    most: int,
) -> Near:
    """At most `most` members of a set whose extent comes within some `within_m` of the places (longitude, latitude): the one that is
    named, then those that are nearest to the first place."""
    boxes = _boxes(places, within_m)
    if not boxes and named is None:
        return Near([], 0)
    rows = await connection.fetch(NEAR, content, boxes, named, most)
    return Near([_member(row) for row in rows], rows[0]["found"] if rows else 0)


def _boxes(places: Sequence[tuple[float, float]], within_m: float) -> list[asyncpg.Box]:
    """Boxes round the places, in order; places that share a cell share a box. Of a long journey the first cells count."""
    cells = dict.fromkeys((round(lon / CELL_DEG), round(lat / CELL_DEG)) for lon, lat in places)
    boxes = []
    for x, y in list(cells)[:MOST_CELLS]:
        lon, lat = x * CELL_DEG, y * CELL_DEG
        north = within_m / M_PER_DEGREE + CELL_DEG / 2
        east = within_m / (M_PER_DEGREE * max(0.05, np.cos(np.radians(lat)))) + CELL_DEG / 2
        boxes.append(asyncpg.Box((lon + east, lat + north), (lon - east, lat - north)))
    return boxes


# ---------------------------------------------------------------------------------------------- at hand


class ZoneSetCache:
    """Zone sets by content, each built once and kept in a folder of its own, from which it is loaded by memory map. Those that
    somebody is judged by stay at hand as long as they are held; of the others a few.

    The folder is derived: without it, or with one that other sources made, sets are built again from the database."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._held: WeakValueDictionary[str, ZoneSet] = WeakValueDictionary()
        self._last: OrderedDict[str, ZoneSet] = OrderedDict()
        self._building = asyncio.Lock()

    async def sets_of(self, connection: Connection, requirements: Iterable[Requirement]) -> Mapping[str, ZoneSet]:
        """The sets that some requirements are on. Raises UnknownSet for one that is not entered."""
        contents = {r.zone.content for r in requirements if isinstance(r.zone, SetZone)}
        return {content: await self.get(connection, content) for content in sorted(contents)}

    async def get(self, connection: Connection, content: str) -> ZoneSet:
        """The set with exactly these members. Raises UnknownSet."""
        found = self._held.get(content)
        if found is None:
            async with self._building:  # who comes second finds it made
                found = self._held.get(content) or await self._build(connection, content)
        self._last[content] = self._held[content] = found
        self._last.move_to_end(content)
        while len(self._last) > KEPT:
            self._last.popitem(last=False)
        return found

    async def _build(self, connection: Connection, content: str) -> ZoneSet:
        """In a thread: of a county's schools it takes seconds, and devices wait for their answers."""
        folder = None if self.folder is None else self.folder / content
        if folder is not None:
            with suppress(OSError, ValueError):
                return await asyncio.to_thread(ZoneSet.load, folder, content)
        rows = await _rows_of(connection, content)
        return await asyncio.to_thread(lambda: _built(rows, content, folder))


def _built(rows: Sequence[asyncpg.Record], content: str, folder: Path | None) -> ZoneSet:
    """Build a set, and keep it if that can be done."""
    zone_set = build(_members(rows, content))
    if folder is not None:
        try:
            zone_set.save(folder)
            belong_to_owner_of(folder.parent.parent, folder.parent)
            _forget_old(folder.parent)
        except OSError as error:
            log.warning(
                "zone set not kept",
                reason=str(error),
                action="it is built again at each start; see that the folder is writable",
            )
    return zone_set


def _forget_old(folder: Path) -> None:
    """Leave the folders of the sets that were built last."""
    by_age = sorted((each for each in folder.iterdir() if each.is_dir()), key=lambda each: each.stat().st_mtime)
    for each in by_age[:-KEPT_FOLDERS]:
        shutil.rmtree(each, ignore_errors=True)
