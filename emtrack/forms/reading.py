"""Reading orders.json strictly, and writing it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

import msgspec

from emtrack.forms.complaints import complaints
from emtrack.forms.errors import FormError
from emtrack.forms.features import FeatureError, Features, Mended, read_collection
from emtrack.forms.geometry import Geometry, SetName
from emtrack.forms.json_text import read_json_text
from emtrack.forms.locating import form_error_at
from emtrack.forms.moment import Moment
from emtrack.forms.orders import DAYS, Orders
from emtrack.forms.to_core import UnknownSetName, set_name_of, set_names_of
from geofence import ObligationKind, format_instant, parse_instant
from geofence.shapes import ZoneError, area_m2, drawn_area_m2


def _read_special(kind: type, value: object) -> Any:
    if kind is Features:
        if isinstance(value, str):
            return Features(None, value)
        if not isinstance(value, dict):
            raise ValueError("expected a GeoJSON FeatureCollection, or the name of a file that holds one")
        return Features(value)
    if kind is Geometry:
        if not isinstance(value, dict):
            raise ValueError("expected an object: a GeoJSON geometry, a Circle or the name of a ZoneSet")
        return Geometry(value)
    if kind is Moment:
        if not isinstance(value, str):
            raise ValueError("expected an ISO 8601 time with a zone, such as 2026-03-02T19:00:00Z")
        return Moment(parse_instant(value))
    raise NotImplementedError(kind)


def _write_special(value: object) -> Any:
    if isinstance(value, Features):
        return value.as_written()
    if isinstance(value, Geometry):
        return value.written
    if isinstance(value, Moment):
        return format_instant(value.ms)
    raise NotImplementedError(type(value))


def read_orders(text: str, name: str, *, folder: Path | None = None) -> Orders:
    """The orders in a text. Raises FormError. `name` of the file, for the message. `folder`: where files with zone sets lie that
    the orders name; None: they may name none."""
    return read_and_mend(text, name, folder=folder)[0]


def read_orders_of(form: dict[str, Any], name: str) -> Orders:
    """The orders in what a program made: an object of orders.json. Raises FormError."""
    return read_orders(msgspec.json.encode(form).decode(), name)


def read_and_mend(
    text: str,
    name: str,
    *,
    folder: Path | None = None,
    repair: bool = False,
    ignored: frozenset[str] = frozenset(),
) -> tuple[Orders, list[Mended]]:
    """As `read_orders`. With `repair`, invalid polygons come back mended in the orders, and with what was done to each.
    Fields of the whole file that are `ignored` may hold anything."""
    raw = read_json_text(text, name)
    if isinstance(raw, dict):
        raw = {field_name: value for field_name, value in raw.items() if field_name not in ignored}
    try:
        orders = msgspec.convert(raw, Orders, dec_hook=_read_special)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        unknown = _UNKNOWN_FIELD.search(what)
        path = (path.rstrip("`") or "$") + (f".{unknown.group(1)}" if unknown else "")
        raise form_error_at(text, name, path, what + _expected(path, is_unknown=unknown is not None)) from error
    orders, mended = _with_zones(orders, text, name, repair=repair)
    orders, mended_in_sets = _with_sets(orders, text, name, folder, repair=repair)
    for complaint in complaints(orders):
        refusal = form_error_at(text, name, complaint.path, complaint.what)
        refusal.overlaps = complaint.overlaps
        raise refusal
    return orders, mended + mended_in_sets


_UNKNOWN_FIELD = re.compile(r"unknown field `(\w+)`")


def _expected(path: str, *, is_unknown: bool) -> str:
    if is_unknown:
        return "; `emtrack schema orders` lists the fields there are"
    choices = {"kind": tuple(ObligationKind), "day": DAYS}.get(path.rpartition(".")[2])
    return f"; expected one of {', '.join(choices)}" if choices else ""


def write_orders(orders: Orders) -> bytes:
    """The orders as JSON in the form that `read_orders` takes."""
    return msgspec.json.format(msgspec.json.encode(orders, enc_hook=_write_special), indent=1)


def orders_schema() -> dict[str, Any]:
    """JSON Schema of orders.json."""
    return msgspec.json.schema(Orders, schema_hook=schema_of_special)


_COORDINATES = {"coordinates": {"type": "array", "minItems": 1}}
_CENTRE = {
    "type": "array",
    "minItems": 2,
    "maxItems": 2,
    "items": {"type": "number", "minimum": -180, "maximum": 180},
}
_SHAPE_SCHEMAS = [
    {"type": "object", "properties": {"type": {"const": kind}, **fields}, "required": ["type", *fields]}
    for kind, fields in (
        ("Polygon", _COORDINATES),
        ("MultiPolygon", _COORDINATES),
        ("Circle", {"centre": _CENTRE, "radius_m": {"type": "number", "exclusiveMinimum": 0}}),
    )
]


def schema_of_special(kind: type) -> dict[str, Any]:
    """JSON Schema of what forms hold and msgspec does not know."""
    if kind is Features:
        collection = {"type": {"const": "FeatureCollection"}, "features": {"type": "array", "minItems": 1}}
        return {
            "description": "GeoJSON: Polygon and MultiPolygon features, called by their id or by properties.zone_id; "
            "or the name of a file with them, relative to the orders",
            "anyOf": [
                {"type": "object", "properties": collection, "required": ["type", "features"]},
                {"type": "string"},
            ],
        }
    if kind is Geometry:
        return {
            "description": "GeoJSON in longitude and latitude of WGS 84, a Circle, or the name of a shared ZoneSet",
            "anyOf": [*_SHAPE_SCHEMAS, msgspec.json.schema(SetName)["$defs"][SetName.__name__]],
        }
    if kind is Moment:
        return {"type": "string", "format": "date-time", "description": "ISO 8601 with a zone"}
    raise NotImplementedError(kind)


def _with_zones(orders: Orders, text: str, name: str, *, repair: bool) -> tuple[Orders, list[Mended]]:
    """Geometries read, and mended where asked for."""
    read, mended = [], []
    for index, requirement in enumerate(orders.requirements):
        drawn = requirement.geometry
        try:
            geometry, trouble = drawn.read(repair=repair)
        except ZoneError as error:
            raise form_error_at(text, name, f"$.requirements[{index}].geometry", str(error)) from error
        if trouble is not None and not isinstance(geometry.zone, SetName):
            what = f"the zone of requirement {requirement.requirement_id!r}"
            areas_m2 = drawn_area_m2(drawn.written), area_m2(geometry.zone)
            mended.append(Mended(what, trouble.what, *areas_m2))
        read.append(msgspec.structs.replace(requirement, geometry=geometry))
    return msgspec.structs.replace(orders, requirements=read), mended


def _with_sets(
    orders: Orders, text: str, name: str, folder: Path | None, *, repair: bool
) -> tuple[Orders, list[Mended]]:
    """Sets with their members, checked, and mended where asked for; out of their files where the orders name them."""
    read, mended = [], []
    for index, form in enumerate(orders.zone_sets):
        source, path = form.features.source, f"$.zone_sets[{index}].features"
        raw: Any = form.features.collection
        where = (text, name, path)
        if source is not None:
            try:
                body = _text_beside(folder, source)
            except FormError as error:
                raise form_error_at(text, name, path, f"zone set {form.set_id!r}: {error}") from error
            raw, where = read_json_text(body, source), (body, source, "$")
        try:
            found = read_collection(raw, form.set_id, repair=repair, source=source)
        except FeatureError as error:
            at = f"{where[2]}.{error.place}" if error.place else where[2]
            raise form_error_at(where[0], where[1], at, f"zone set {form.set_id!r}: {error}") from error
        mended += found.mended
        keep = source is None or found.mended
        features = Features(found.collection if keep else None, source, found.members)
        read.append(msgspec.structs.replace(form, features=features))
    return msgspec.structs.replace(orders, zone_sets=read), mended


def _text_beside(folder: Path | None, source: str) -> str:
    """A file that the orders name. Only what lies in their folder is read: orders come from elsewhere, too."""
    if folder is None:
        raise FormError("files cannot be named here; give the FeatureCollection itself")
    try:
        path = (folder / source).resolve()
        if PurePath(source).is_absolute() or not path.is_relative_to(folder.resolve()):
            raise FormError(f"{source!r} leads out of the folder of the orders; name a file that lies in it")
        return path.read_text(encoding="utf-8-sig")
    except FormError:
        raise
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no name of a file
        raise FormError(f"{source!r} cannot be read: {error}") from error


def refuse_unknown_sets(orders: Orders, text: str, name: str) -> None:
    """For orders that must stand for themselves: raises FormError if a requirement is on a set that they do not give."""
    names = set_names_of(orders)
    for index, form in enumerate(orders.requirements):
        set_name = set_name_of(form)
        try:
            if set_name is not None:
                names.named(set_name)
        except UnknownSetName as error:
            raise form_error_at(text, name, f"$.requirements[{index}].geometry", str(error)) from error
