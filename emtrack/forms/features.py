"""The zones of a set as a GeoJSON FeatureCollection: each checked like any zone, and named by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emtrack.forms.names import LONGEST, unfit_label
from geofence import Area
from geofence.shapes import Member, ZoneError, area_m2, content_of, drawn_area_m2, geojson_from_zone, read_zone

ID_PROPERTIES = ("zone_id", "id")
"""Where the id of a zone is looked for if the feature itself has none."""
_EXACT = 2.0**53
_DEGREES = ("CRS84", "EPSG::4326", "EPSG:4326")
"""What a `crs` of older GeoJSON may say: longitude and latitude of WGS 84."""


class FeatureError(ValueError):
    """A collection that is no zone set. `place`: the path in it of what is wrong ("features[3].geometry")."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(what)
        self.place = place


class Mended(NamedTuple):
    """A zone that was repaired. `what`: which; `why`: what was wrong with it; areas as drawn and now, in m². `source`: the file
    that holds it; None: the orders themselves."""

    what: str
    why: str
    before_m2: float
    after_m2: float
    source: str | None = None

    def __str__(self) -> str:
        return f"{self.what} was repaired ({self.why}): {area_change(self.before_m2, self.after_m2)}"


class Collection(NamedTuple):
    """A collection that was read. `mended`: the zones that were repaired; then `collection` holds the repaired ones."""

    collection: dict[str, Any]
    members: list[Member]
    mended: list[Mended]


def area_words(area_m2: float) -> str:
    """ "310 m²", "1.25 km²"."""
    return f"{area_m2:,.0f} m²" if area_m2 < 100_000 else f"{area_m2 / 1e6:,.2f} km²"


def area_change(before_m2: float, after_m2: float) -> str:
    """What a repair does to an area. Crossing parts of a ring can cancel out: then a percentage would say nothing."""
    change = f"{abs(after_m2 - before_m2):,.0f} m² {'more' if after_m2 >= before_m2 else 'less'}"
    if before_m2 > 0.01 * after_m2:
        change = f"{(after_m2 - before_m2) / before_m2:+.2%}, {change}"
    return f"area {area_words(after_m2)}, {area_words(before_m2)} as drawn ({change})"


def read_collection(raw: object, set_id: str, *, repair: bool, source: str | None = None) -> Collection:
    """The members of a set from a FeatureCollection. Raises FeatureError.

    What a zone is called says `feature_id`. With `repair` invalid polygons are mended.
    """
    if not isinstance(raw, dict) or raw.get("type") != "FeatureCollection":
        raise FeatureError("", "expected a GeoJSON FeatureCollection")
    _refuse_other_coordinates(raw)
    features = raw.get("features")
    if not isinstance(features, list) or not features:
        raise FeatureError("features", "expected a list of at least one feature: a set has zones")
    members: list[Member] = []
    mended: list[Mended] = []
    seen: dict[str, int] = {}
    for index, feature in enumerate(features):
        zone_id = _zone_id(feature, index)
        if zone_id in seen:
            raise FeatureError(
                f"features[{index}]", f"zone id {zone_id!r} stands twice (before at features[{seen[zone_id]}])"
            )
        seen[zone_id] = index
        area, trouble = _read_area(feature, zone_id, index, repair=repair)
        members.append(Member(zone_id, area))
        if trouble is not None:
            areas_m2 = drawn_area_m2(feature["geometry"]), area_m2(area)
            mended.append(Mended(f"zone {zone_id!r} of set {set_id!r}", trouble.what, *areas_m2, source))
    if mended:
        raw = raw | {"features": [_with_area(f, m) for f, m in zip(features, members, strict=True)]}
    return Collection(raw, members, mended)


def collection_of(members: Sequence[Member]) -> dict[str, Any]:
    """Members as a FeatureCollection that `read_collection` reads."""
    features = [
        {"type": "Feature", "id": m.zone_id, "properties": {}, "geometry": geojson_from_zone(m.area)} for m in members
    ]
    return {"type": "FeatureCollection", "features": features}


def crs_name_of(raw: Mapping[str, Any]) -> str | None:
    """The coordinate system that older GeoJSON names; RFC 7946 has none, and is in longitude and latitude of WGS 84."""
    crs = raw.get("crs")
    if crs is None:
        return None
    properties = crs.get("properties") if isinstance(crs, dict) else None
    return str(properties.get("name") if isinstance(properties, dict) else crs)


def _refuse_other_coordinates(raw: Mapping[str, Any]) -> None:
    """Coordinates of another system would be read as degrees."""
    name = crs_name_of(raw)
    if name is not None and not name.endswith(_DEGREES):
        raise FeatureError(
            "crs",
            f"the coordinates are in {name}; expected longitude and latitude of WGS 84. `emtrack zones import` reads others",
        )


# ---------------------------------------------------------------------------------------------- what a zone is called


class UnfitId(ValueError):
    """A value that is no id. The message goes on after "its id"."""


def feature_id(feature: Mapping[str, Any]) -> str | None:
    """What a zone is called: the feature's `id`, else its property `zone_id`, else its property `id`; None without any. Raises
    UnfitId."""
    properties = feature.get("properties")
    named = [feature.get("id")]
    if isinstance(properties, Mapping):
        named += [properties.get(name) for name in ID_PROPERTIES]
    return next((id_text(value) for value in named if value is not None), None)


def id_text(value: object) -> str | None:
    """An id as text; a number as it is written. Raises UnfitId for what is none."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnfitId(f"is {str(value)[:60]!r}; expected a text or a number")
    if isinstance(value, float) and not abs(value) < _EXACT:
        raise UnfitId(f"is {value!r}, a number of which digits are lost; write it as a text")
    text = value if isinstance(value, str) else str(value)
    if (trouble := unfit_label(text)) is not None:
        raise UnfitId(f"{text[:60]!r} cannot be taken: {trouble}")
    return text


def _zone_id(feature: object, index: int) -> str:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise FeatureError(f"features[{index}]", "expected a GeoJSON Feature")
    try:
        found = feature_id(feature)
    except UnfitId as error:
        raise FeatureError(f"features[{index}]", f"its id {error}") from error
    if found is None:
        raise FeatureError(
            f"features[{index}]",
            f"expected a zone id of 1 to {LONGEST} characters as the feature's id or as properties.zone_id; there is none",
        )
    return found


def _read_area(
    feature: Mapping[str, Any], zone_id: str, index: int, *, repair: bool
) -> tuple[Area, ZoneError | None]:
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    try:
        if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
            circle = ": a Circle has no place in GeoJSON, draw it as a polygon" if kind == "Circle" else ""
            raise ZoneError(f"its geometry is {kind or 'missing'}; expected Polygon or MultiPolygon{circle}")
        drawn = {name: geometry[name] for name in ("type", "coordinates") if name in geometry}  # not a `bbox`
        area, trouble = read_zone(drawn, repair=repair)
    except ZoneError as error:
        raise FeatureError(f"features[{index}].geometry", f"zone {zone_id!r}: {error}") from error
    assert isinstance(area, Area), "polygons are areas"
    return area, trouble


def _with_area(feature: dict[str, Any], member: Member) -> dict[str, Any]:
    """The feature as it was written, with its zone as it was read."""
    return feature | {"geometry": geojson_from_zone(member.area)}


class Features:
    """The zones of a set as a form carries them: a collection, or the name of a file with one; after reading, its members."""

    __slots__ = ("collection", "content", "members", "source")

    def __init__(
        self, collection: dict[str, Any] | None, source: str | None = None, members: Sequence[Member] = ()
    ) -> None:
        self.collection = collection
        self.source = source
        self.members = members
        self.content = content_of(members) if members else ""

    def as_written(self) -> dict[str, Any] | str:
        if self.source is not None:
            return self.source
        return collection_of(self.members) if self.collection is None else self.collection
