"""The geometry of a requirement: a zone of its own, or a shared zone set by its name."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from emtrack.forms.strict import Form
from geofence import SetZone, Shape, Zone
from geofence.shapes import SHAPES, ZoneError, geojson_from_zone, read_zone


class SetName(Form, frozen=True, tag_field="type", tag="ZoneSet"):
    """A set as the geometry of a requirement. Without a version, the requirement follows the last one that is given."""

    set_id: Annotated[str, Meta(min_length=1, max_length=200)]
    version: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Geometry:
    """As it is written, and, once it was read, what it stands for."""

    __slots__ = ("_zone", "written")

    def __init__(self, written: dict[str, Any], zone: Shape | SetName | None = None) -> None:
        self.written = written
        self._zone = zone

    @property
    def zone(self) -> Shape | SetName:
        """Of a geometry that was read."""
        assert self._zone is not None, "orders are read before their zones are asked for"
        return self._zone

    @property
    def names_a_set(self) -> bool:
        return self.written.get("type") == "ZoneSet"

    def read(self, *, repair: bool = False) -> tuple[Geometry, ZoneError | None]:
        """The same, understood. With `repair` an invalid polygon is mended, written as it is then, and said what was wrong.
        Raises ZoneError."""
        if self.names_a_set:
            return Geometry(self.written, _read_name(self.written)), None
        kind = self.written.get("type")
        if kind not in SHAPES:
            raise ZoneError(f"geometry type {kind!r} is not known; expected Polygon, MultiPolygon, Circle or ZoneSet")
        zone, mended = read_zone(self.written, repair=repair)
        return Geometry(self.written if mended is None else geojson_from_zone(zone), zone), mended


def _read_name(written: dict[str, Any]) -> SetName:
    try:
        return msgspec.convert(written, SetName)
    except msgspec.ValidationError as error:
        raise ZoneError(str(error)) from error


def geometry_of(zone: Zone) -> Geometry:
    """A zone as the geometry of a requirement. A set is named with its version, so that it stays exactly this one."""
    if isinstance(zone, SetZone):
        written = {"type": "ZoneSet", "set_id": zone.set_id, "version": zone.version}
        return Geometry(written, SetName(zone.set_id, zone.version))
    return Geometry(geojson_from_zone(zone), zone)
