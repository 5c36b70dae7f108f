"""The form of orders.json (CONTRACT.md), read strictly: an error names the line, the field and what was expected."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from emtrack.forms.features import FeatureError, Features, Mended, read_collection
from geofence.intervals import Interval, merged
from geofence.obligations import Activation, Plan, Requirement, Settings, TimetableRow
from geofence.shapes.areas import area_m2, drawn_area_m2
from geofence.shapes.geojson import ZoneError, geojson_from_zone, zone_from_geojson
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import ZoneSet
from geofence.words import (
    FOREVER_MS,
    ActivationId,
    DeviceId,
    EntryId,
    ObligationKind,
    RequirementId,
    WearerId,
    format_instant,
    parse_instant,
)
from geofence.zones import SetZone, Zone

Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Seconds = Annotated[float, Meta(ge=0, le=1e8)]
WallTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="HH:MM")]
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


class FormError(ValueError):
    """A file that does not fit its form. The message names the line, the field and what was expected."""


class Moment:
    """An instant as a form carries it: ISO 8601 with a zone, cut to milliseconds."""

    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms


class _Form(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Forms are strict: a field that is not known is an error."""


class TimetableForm(_Form, frozen=True):
    day: Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    start: WallTime
    end: WallTime


class ActivationForm(_Form, frozen=True):
    activation_id: Identifier
    device_id: Identifier
    wearer_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None = None
    report_interval_s: Annotated[float, Meta(gt=0, le=1e8)] = 60
    network: str | None = None
    entered_at: Moment | None = None
    """When we were told of it (an addition to the contract: `emtrack export` writes it, see docs/decisions)."""


class RequirementForm(_Form, frozen=True):
    requirement_id: Identifier
    wearer_id: Identifier
    kind: ObligationKind
    from_: Moment = field(name="from")
    geometry: dict[str, Any]
    to: Moment | None = None
    timetable: list[TimetableForm] | None = None
    buffer_m: Annotated[float, Meta(ge=0, le=1e6)] = 0
    widen_m: Annotated[float, Meta(ge=0, le=1e6)] = 0
    confirm_points: Annotated[int, Meta(ge=1, le=1000)] = 2
    confirm_seconds: Seconds = 0
    grace_s: Seconds = 0


class ZoneSetForm(_Form, frozen=True):
    """One version of a shared zone set: what requirements with the geometry {"type": "ZoneSet", "set_id"} are on."""

    set_id: Identifier
    version: Identifier
    features: Features


class SetName(_Form, frozen=True, tag_field="type", tag="ZoneSet"):
    """A set as the geometry of a requirement. Without a version, the requirement follows the last one that is given."""

    set_id: Identifier
    version: Identifier | None = None


class AbsenceForm(_Form, frozen=True):
    wearer_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None
    reason: str = ""


class OutageForm(_Form, frozen=True):
    from_: Moment = field(name="from")
    to: Moment


class HomeUnitForm(_Form, frozen=True):
    """Which home unit stands at the address of which curfew requirement (an addition to the contract)."""

    hmu_id: Identifier
    wearer_id: Identifier
    requirement_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None = None


class RagGrade(StrEnum):
    RED = "RED"
    AMBER = "AMBER"
    GREEN = "GREEN"


class Cohort(StrEnum):
    """Neighbourhood and acquisitive crime; local choice; local discretion."""

    FIXED = "FIXED"
    FLEX = "FLEX"
    FREE = "FREE"


class Pathway(StrEnum):
    """Criminogenic pathways: what helps a person to stop."""

    ACCOMMODATION = "ACCOMMODATION"
    EDUCATION_TRAINING_EMPLOYMENT = "EDUCATION_TRAINING_EMPLOYMENT"
    HEALTH = "HEALTH"
    DRUGS_ALCOHOL = "DRUGS_ALCOHOL"
    FINANCE = "FINANCE"
    RELATIONSHIPS_FAMILY = "RELATIONSHIPS_FAMILY"
    ATTITUDES_THINKING_BEHAVIOUR = "ATTITUDES_THINKING_BEHAVIOUR"


class RagForm(_Form, frozen=True):
    grade: RagGrade
    from_: Moment = field(name="from")
    reason: str | None = None
    by: str | None = None


class IomForm(_Form, frozen=True):
    """The IOM record: ids in the systems of partners, and what the programme knows. `rag` is the grade that holds now;
    with `rag_history` (ascending) it is the last of them."""

    pnc: str | None = None
    crn: str | None = None
    nomis: str | None = None
    ecins: str | None = None
    cohort: Cohort | None = None
    rag: RagGrade | None = None
    rag_history: list[RagForm] = []
    mappa_category: Annotated[int, Meta(ge=1, le=4)] | None = None
    mappa_level: Annotated[int, Meta(ge=1, le=3)] | None = None
    pathways: list[Pathway] = []
    agencies: list[str] = []
    lead_officer: str | None = None
    lead_agency: str | None = None


class WearerForm(_Form, frozen=True):
    wearer_id: Identifier
    name: str | None = None
    iom: IomForm | None = None


class SettingsForm(_Form, frozen=True):
    max_gap_s: Annotated[float, Meta(gt=0, le=1e8)] = 900
    unknown_limit_s: Seconds = 1800
    silence_buffer_s: Seconds = 540
    atv_threshold_s: Annotated[float, Meta(gt=0, le=1e8)] | None = None
    """Accumulated curfew violations that raise an alert (an addition to the contract); null: none do."""
    atv_counts_grace: bool = False


class Orders(_Form, frozen=True):
    """orders.json."""

    activations: list[ActivationForm] = []
    requirements: list[RequirementForm] = []
    zone_sets: list[ZoneSetForm] = []
    timezone: str | UnsetType = UNSET
    absences: list[AbsenceForm] = []
    outages: list[OutageForm] = []
    home_units: list[HomeUnitForm] = []
    settings: SettingsForm | UnsetType = UNSET
    wearers: list[WearerForm] = []


# ---------------------------------------------------------------------------------------------- reading


def _read_special(kind: type, value: object) -> Any:
    if kind is Features:
        if isinstance(value, str):
            return Features(None, value)
        if not isinstance(value, dict):
            raise ValueError("expected a GeoJSON FeatureCollection, or the name of a file that holds one")
        return Features(value)
    if kind is Moment:
        if not isinstance(value, str):
            raise ValueError("expected an ISO 8601 time with a zone, such as 2026-03-02T19:00:00Z")
        return Moment(parse_instant(value))
    raise NotImplementedError(kind)


def _write_special(value: object) -> Any:
    if isinstance(value, Features):
        return value.as_written()
    if isinstance(value, Moment):
        return format_instant(value.ms)
    raise NotImplementedError(type(value))


def read_orders(text: str, name: str, *, folder: Path | None = None) -> Orders:
    """The orders in a text. Raises FormError. `name` of the file, for the message. `folder`: where files with zone sets lie that
    the orders name; None: they may name none."""
    return read_and_mend(text, name, folder=folder)[0]


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
    raw = _read_json(text, name)
    if isinstance(raw, dict):
        raw = {field_name: value for field_name, value in raw.items() if field_name not in ignored}
    try:
        orders = msgspec.convert(raw, Orders, dec_hook=_read_special)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        unknown = _UNKNOWN_FIELD.search(what)
        path = (path.rstrip("`") or "$") + (f".{unknown.group(1)}" if unknown else "")
        raise _form_error(text, name, path, what + _expected(path, is_unknown=unknown is not None)) from error
    orders, mended = _with_zones(orders, text, name, repair=repair)
    orders, mended_in_sets = _with_sets(orders, text, name, folder, repair=repair)
    for path, what in _complaints(orders):
        raise _form_error(text, name, path, what)
    return orders, mended + mended_in_sets


_UNKNOWN_FIELD = re.compile(r"unknown field `(\w+)`")


def _read_json(text: str, name: str) -> Any:
    try:
        raw = JSONDecoder(object_pairs_hook=_without_repetition).decode(text)
        msgspec.json.encode(raw)
    except JSONDecodeError as error:
        raise FormError(f"{name}: line {error.lineno}: this is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise FormError(f"{name}: line 1: it is nested too deeply to be orders") from error
    except UnicodeEncodeError as error:
        raise FormError(
            f"{name}: it holds half of a surrogate pair (\\ud800 or the like), which is no text"
        ) from error
    except ValueError as error:
        raise FormError(f"{name}: {error}") from error
    return raw


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a field that stands twice nobody can say which was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object; keep one of them")
    return found


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
    return msgspec.json.schema(Orders, schema_hook=_schema_of_special)


def _schema_of_special(kind: type) -> dict[str, Any]:
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
    if kind is Moment:
        return {"type": "string", "format": "date-time", "description": "ISO 8601 with a zone"}
    raise NotImplementedError(kind)


def _with_zones(orders: Orders, text: str, name: str, *, repair: bool) -> tuple[Orders, list[Mended]]:
    """Geometries checked, and mended where asked for."""
    checked, mended = [], []
    for index, requirement in enumerate(orders.requirements):
        geometry = requirement.geometry
        try:
            why = _trouble(geometry)
            if why is not None and (not repair or geometry.get("type") == "ZoneSet"):
                raise ZoneError(why)
            if why is not None:
                zone = zone_from_geojson(geometry, repair=True)
                what = f"the zone of requirement {requirement.requirement_id!r}"
                mended.append(Mended(what, why.partition("; mend")[0], drawn_area_m2(geometry), area_m2(zone)))
                geometry = geojson_from_zone(zone)
        except ZoneError as error:
            raise _form_error(text, name, f"$.requirements[{index}].geometry", str(error)) from error
        checked.append(msgspec.structs.replace(requirement, geometry=geometry))
    return msgspec.structs.replace(orders, requirements=checked), mended


def _trouble(geometry: dict[str, Any]) -> str | None:
    """Why a geometry cannot be judged; None if it can, or names a set."""
    try:
        if geometry.get("type") != "ZoneSet":
            zone_from_geojson(geometry)
        else:
            msgspec.convert(geometry, SetName)
    except (ZoneError, msgspec.ValidationError) as error:
        return str(error).replace("MultiPolygon or Circle", "MultiPolygon, Circle or ZoneSet")
    return None


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
                raise _form_error(text, name, path, f"zone set {form.set_id!r}: {error}") from error
            raw, where = _read_json(body, source), (body, source, "$")
        try:
            found = read_collection(raw, form.set_id, repair=repair, source=source)
        except FeatureError as error:
            at = f"{where[2]}.{error.place}" if error.place else where[2]
            raise _form_error(where[0], where[1], at, f"zone set {form.set_id!r}: {error}") from error
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


def _complaints(orders: Orders) -> Iterator[tuple[str, str]]:
    """What is wrong although each field by itself is well formed: path and text."""
    try:
        ZoneInfo(timezone_of(orders))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "$.timezone", f"{timezone_of(orders)!r} is not a known time zone; expected a name such as Europe/London"
    for field_name in ("activations", "requirements", "absences", "outages", "home_units"):
        for index, row in enumerate(getattr(orders, field_name)):
            if row.to is not None and row.to.ms <= row.from_.ms:
                yield f"$.{field_name}[{index}].to", "`to` is not after `from`; expected a later time, or null"
    for index, requirement in enumerate(orders.requirements):
        if requirement.timetable is not None and not requirement.timetable:
            yield f"$.requirements[{index}].timetable", "an empty timetable; leave it out (or null) for always"
    for index, wearer in enumerate(orders.wearers):
        for what in _iom_complaints(wearer.iom):
            yield f"$.wearers[{index}].iom", what
    yield from _repeated(orders)
    yield from _repeated_sets(orders)
    yield from _overlapping_activations(orders)


def _iom_complaints(iom: IomForm | None) -> Iterator[str]:
    if iom is None or not iom.rag_history:
        return
    if any(two.from_.ms <= one.from_.ms for one, two in pairwise(iom.rag_history)):
        yield "rag_history is not in ascending order of `from`; expected each grade after the one before"
    if iom.rag not in (None, iom.rag_history[-1].grade):
        yield f"rag is {iom.rag}, and the last grade of rag_history is {iom.rag_history[-1].grade}; expected them to agree"


def _repeated(orders: Orders) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, activation in enumerate(orders.activations):
        if activation.activation_id in seen:
            what = f"activation_id {activation.activation_id!r} stands twice"
            yield f"$.activations[{index}].activation_id", what
        seen.add(activation.activation_id)


def _repeated_sets(orders: Orders) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for index, form in enumerate(orders.zone_sets):
        if (form.set_id, form.version) in seen:
            what = f"version {form.version!r} of zone set {form.set_id!r} stands twice"
            yield f"$.zone_sets[{index}].version", what
        seen.add((form.set_id, form.version))


def _overlapping_activations(orders: Orders) -> Iterator[tuple[str, str]]:
    by_device: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for index, row in enumerate(orders.activations):
        by_device[row.device_id].append((row.from_.ms, end_of(row.to), index))
    for device_id, intervals in by_device.items():
        intervals.sort()
        for (_, end_ms, first), (begin_ms, _, second) in pairwise(intervals):
            if begin_ms < end_ms:
                one, two = orders.activations[first], orders.activations[second]
                yield (
                    f"$.activations[{second}].from",
                    f"device {device_id!r} is activated twice at one time, by {one.activation_id!r} and "
                    f"{two.activation_id!r}; end the first before the second begins",
                )


def end_of(moment: Moment | None) -> int:
    """Milliseconds of an end; FOREVER_MS where it is open."""
    return FOREVER_MS if moment is None else moment.ms


# ---------------------------------------------------------------------------------------------- where it is

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_SPACE = re.compile(r"[ \t\r\n]*")


def _form_error(text: str, name: str, path: str, what: str) -> FormError:
    line = text.count("\n", 0, _offset_of(text, path)) + 1
    shown = path.removeprefix("$").removeprefix(".") or "the whole file"
    return FormError(f"{name}: line {line}: {shown}: {what}")


def _offset_of(text: str, path: str) -> int:
    """Where in a JSON text the value at a path ($.requirements[0].from) begins, or the nearest one round it."""
    offset = _skip(text, 0)
    for step in _STEP.finditer(path):
        key, index = step.group(1), step.group(2)
        found = None
        if key is not None and text[offset] == "{":
            found = next((at for name, at in _members(text, offset) if name == key), None)
        elif index is not None and text[offset] == "[":
            found = next((at for number, at in enumerate(_items(text, offset)) if number == int(index)), None)
        if found is None:
            return offset
        offset = found
    return offset


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _after_value(text: str, offset: int) -> int:
    return JSONDecoder().raw_decode(text, offset)[1]


def _members(text: str, offset: int) -> Iterator[tuple[str, int]]:
    offset = _skip(text, offset + 1)
    while text[offset] == '"':
        name, offset = scanstring(text, offset + 1)
        offset = _skip(text, _skip(text, offset) + 1)
        yield name, offset
        offset = _skip(text, _after_value(text, offset))
        offset = _skip(text, offset + 1) if text[offset] == "," else offset


def _items(text: str, offset: int) -> Iterator[int]:
    offset = _skip(text, offset + 1)
    while text[offset] != "]":
        yield offset
        offset = _skip(text, _after_value(text, offset))
        offset = _skip(text, offset + 1) if text[offset] == "," else offset


# ---------------------------------------------------------------------------------------------- to the core's nouns


def _ms(seconds: float) -> int:
    return math.floor(seconds * 1000)


def timezone_of(orders: Orders, default: str = "Europe/London") -> str:
    """The time zone that the orders name, or the default."""
    return default if isinstance(orders.timezone, UnsetType) else orders.timezone


def settings_of(orders: Orders) -> Settings:
    form = SettingsForm() if isinstance(orders.settings, UnsetType) else orders.settings
    return Settings(_ms(form.max_gap_s), _ms(form.unknown_limit_s), _ms(form.silence_buffer_s))


def atv_settings_of(orders: Orders) -> tuple[int | None, bool]:
    """The threshold of accumulated violations in milliseconds, and whether minutes within grace count."""
    form = SettingsForm() if isinstance(orders.settings, UnsetType) else orders.settings
    return None if form.atv_threshold_s is None else _ms(form.atv_threshold_s), form.atv_counts_grace


def timetable_of(form: Sequence[TimetableForm] | None) -> tuple[TimetableRow, ...] | None:
    if form is None:
        return None
    return tuple(TimetableRow(DAYS.index(row.day), _minutes(row.start), _minutes(row.end)) for row in form)


def _minutes(wall_time: str) -> int:
    hours, minutes = wall_time.split(":")
    return int(hours) * 60 + int(minutes)


class UnknownSetName(FormError):
    """A requirement is on a zone set, or on a version of one, that nobody has given."""


class SetNames:
    """Zone sets as requirements name them. The version that was added last is the one that is followed."""

    def __init__(self) -> None:
        self._contents: dict[str, dict[str, str]] = {}

    def add(self, set_id: str, version: str, content: str) -> None:
        self._contents.setdefault(set_id, {})[version] = content

    def named(self, name: SetName) -> SetZone:
        """Raises UnknownSetName."""
        versions = self._contents.get(name.set_id)
        if versions is None:
            raise UnknownSetName(
                f"zone set {name.set_id!r} is not known; give it under zone_sets, or enter it with `emtrack zones import`"
            )
        version = next(reversed(versions)) if name.version is None else name.version
        if version not in versions:
            known = ", ".join(map(repr, versions))
            raise UnknownSetName(
                f"version {version!r} of zone set {name.set_id!r} is not known; expected one of {known}"
            )
        return SetZone(name.set_id, version, versions[version])


def set_names_of(orders: Orders) -> SetNames:
    """The sets that the orders themselves give."""
    names = SetNames()
    for form in orders.zone_sets:
        names.add(form.set_id, form.version, form.features.content)
    return names


def set_name_of(form: RequirementForm) -> SetName | None:
    """The set that a requirement is on; None if it has a zone of its own."""
    return msgspec.convert(form.geometry, SetName) if form.geometry.get("type") == "ZoneSet" else None


def refuse_unknown_sets(orders: Orders, text: str, name: str) -> None:
    """For orders that must stand for themselves: raises FormError if a requirement is on a set that they do not give."""
    names = set_names_of(orders)
    for index, form in enumerate(orders.requirements):
        set_name = set_name_of(form)
        try:
            if set_name is not None:
                names.named(set_name)
        except UnknownSetName as error:
            raise _form_error(text, name, f"$.requirements[{index}].geometry", str(error)) from error


def sets_of(orders: Orders) -> dict[str, ZoneSet]:
    """The sets that requirements are on, by content, ready to be asked."""
    names = set_names_of(orders)
    used = {names.named(name).content for name in map(set_name_of, orders.requirements) if name is not None}
    members = {form.features.content: form.features.members for form in orders.zone_sets}
    return {content: build(members[content]) for content in sorted(used)}


NO_NAMES = SetNames()


def zone_of(form: RequirementForm, names: SetNames = NO_NAMES) -> Zone:
    """Raises UnknownSetName if it is on a set that is not among the names."""
    name = set_name_of(form)
    return zone_from_geojson(form.geometry) if name is None else names.named(name)


def geometry_of(zone: Zone) -> dict[str, Any]:
    """A zone as the `geometry` of a requirement. A set is named with its version, so that it stays exactly this one."""
    if isinstance(zone, SetZone):
        return {"type": "ZoneSet", "set_id": zone.set_id, "version": zone.version}
    return geojson_from_zone(zone)


def requirement_of(form: RequirementForm, entry_id: str, names: SetNames = NO_NAMES) -> Requirement:
    """Raises UnknownSetName if it is on a set that is not among the names."""
    return Requirement(
        entry_id=EntryId(entry_id),
        requirement_id=RequirementId(form.requirement_id),
        wearer_id=WearerId(form.wearer_id),
        kind=form.kind,
        from_ms=form.from_.ms,
        to_ms=end_of(form.to),
        zone=zone_of(form, names),
        timetable=timetable_of(form.timetable),
        buffer_m=float(form.buffer_m),
        widen_m=float(form.widen_m),
        confirm_points=form.confirm_points,
        confirm_ms=_ms(form.confirm_seconds),
        grace_ms=_ms(form.grace_s),
    )


def activation_of(form: ActivationForm) -> Activation:
    return Activation(
        activation_id=ActivationId(form.activation_id),
        device_id=DeviceId(form.device_id),
        wearer_id=WearerId(form.wearer_id),
        from_ms=form.from_.ms,
        to_ms=end_of(form.to),
        report_interval_ms=_ms(form.report_interval_s),
        entered_ms=None if form.entered_at is None else form.entered_at.ms,
        network=form.network,
    )


def plans_of(orders: Orders) -> list[Plan]:
    """One plan for each activation. Raises UnknownSetName for orders that do not stand for themselves."""
    names = set_names_of(orders)
    requirements: dict[str, list[Requirement]] = defaultdict(list)
    for index, form in enumerate(orders.requirements):
        requirements[form.wearer_id].append(requirement_of(form, str(index), names))
    absences: dict[str, list[Interval]] = defaultdict(list)
    for absence in orders.absences:
        absences[absence.wearer_id].append(Interval(absence.from_.ms, end_of(absence.to)))
    outages = tuple(merged((outage.from_.ms, outage.to.ms) for outage in orders.outages))
    return [
        Plan(
            activation=activation_of(form),
            requirements=tuple(requirements[form.wearer_id]),
            timezone=timezone_of(orders),
            settings=settings_of(orders),
            absences=tuple(merged(absences[form.wearer_id])),
            outages=outages,
        )
        for form in orders.activations
    ]
