"""What somebody tries and has not entered: changed settings, a drafted zone, a changed timetable. Bounded like what is entered."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from emtrack.errors import MendableError
from emtrack.forms.errors import FormError
from emtrack.forms.json_text import read_json_text
from geofence import (
    EntryId,
    JudgementSettings,
    ObligationKind,
    Plan,
    Requirement,
    RequirementId,
    Shape,
    TimetableRow,
)
from geofence.shapes import ZoneError, zone_from_geojson

DRAFT_ENTRY: Final = EntryId("0")
"""Of no requirement on record."""
DRAFT_ID: Final = RequirementId("drafted zone")
LONGEST_ZONE = 50_000
MOST_ROWS = 50
MOST_BUFFER_M = 5_000.0
DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_ROW = re.compile(
    r"(?P<days>[A-Z,\- ]+?) +(?P<start>([01]\d|2[0-3]):[0-5]\d) *[-–] *(?P<end>([01]\d|2[0-3]):[0-5]\d)"
)


class UnfitDraft(MendableError, ValueError):
    """What cannot be tried. The message says what to change."""


class DraftSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Each left out stays as it is. The first three are of the deployment, the others of requirements."""

    max_gap_s: Annotated[float, Meta(ge=60, le=7_200)] | None = None
    unknown_limit_s: Annotated[float, Meta(ge=60, le=86_400)] | None = None
    silence_buffer_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    confirm_points: Annotated[int, Meta(ge=1, le=20)] | None = None
    confirm_seconds: Annotated[float, Meta(ge=0, le=3_600)] | None = None
    grace_s: Annotated[float, Meta(ge=0, le=7_200)] | None = None
    seen_within_s: Annotated[float, Meta(ge=0, le=3_600)] | None = None
    widen_m: Annotated[float, Meta(ge=0, le=500)] | None = None
    buffer_m: Annotated[float, Meta(ge=0, le=MOST_BUFFER_M)] | None = None


class DraftZone(Struct, frozen=True):
    """A zone that nobody has entered. `timetable` None: always."""

    kind: ObligationKind
    shape: Shape
    timetable: tuple[TimetableRow, ...] | None = None
    buffer_m: float = 0.0


class DraftTimetable(Struct, frozen=True):
    """Another timetable of a requirement; `requirement_id` None: of every curfew."""

    rows: tuple[TimetableRow, ...]
    requirement_id: str | None = None


class Draft(Struct, frozen=True):
    """All of it together; at least one."""

    settings: DraftSettings | None = None
    zone: DraftZone | None = None
    timetable: DraftTimetable | None = None

    def applied(self, plan: Plan) -> Plan:
        """A plan as it would be."""
        if self.timetable is not None:
            plan = replace(plan, requirements=tuple(_retimed(r, self.timetable) for r in plan.requirements))
        if self.settings is not None:
            plan = replace(
                plan,
                settings=_changed_settings(plan.settings, self.settings),
                requirements=tuple(_changed(r, self.settings) for r in plan.requirements),
            )
        if self.zone is not None:
            plan = replace(plan, requirements=(*plan.requirements, _drafted(plan, self.zone)))
        return plan


KINDS_OF_ZONES: Final = (ObligationKind.EXCLUSION, ObligationKind.INCLUSION, ObligationKind.CURFEW)
NUMBERS: Final = tuple(DraftSettings.__struct_fields__)


def _ms(seconds: float | None, otherwise_ms: int) -> int:
    return otherwise_ms if seconds is None else round(seconds * 1000)


def _changed_settings(settings: JudgementSettings, changes: DraftSettings) -> JudgementSettings:
    return JudgementSettings(
        _ms(changes.max_gap_s, settings.max_gap_ms),
        _ms(changes.unknown_limit_s, settings.unknown_limit_ms),
        _ms(changes.silence_buffer_s, settings.silence_buffer_ms),
    )


def _changed(requirement: Requirement, changes: DraftSettings) -> Requirement:
    return replace(
        requirement,
        confirm_points=requirement.confirm_points if changes.confirm_points is None else changes.confirm_points,
        confirm_ms=_ms(changes.confirm_seconds, requirement.confirm_ms),
        grace_ms=_ms(changes.grace_s, requirement.grace_ms),
        seen_within_ms=_ms(changes.seen_within_s, requirement.seen_within_ms),
        widen_m=requirement.widen_m if changes.widen_m is None else changes.widen_m,
        buffer_m=requirement.buffer_m if changes.buffer_m is None else changes.buffer_m,
    )


def _retimed(requirement: Requirement, timetable: DraftTimetable) -> Requirement:
    if timetable.requirement_id is None:
        is_meant = requirement.kind is ObligationKind.CURFEW
    else:
        is_meant = requirement.requirement_id == timetable.requirement_id
    return replace(requirement, timetable=timetable.rows) if is_meant else requirement


def _drafted(plan: Plan, zone: DraftZone) -> Requirement:
    activation = plan.activation
    return Requirement(
        DRAFT_ENTRY, DRAFT_ID, activation.wearer_id, zone.kind, activation.from_ms, activation.to_ms, zone.shape, zone.timetable,
        zone.buffer_m,
    )  # fmt: skip


def read_settings(fields: dict[str, Any]) -> DraftSettings:
    """Of numbers by their names. Raises UnfitDraft."""
    try:
        return msgspec.convert(fields, DraftSettings)
    except msgspec.ValidationError as error:
        raise UnfitDraft(f"A setting does not fit: {error}.") from error


def read_zone_text(text: str) -> Shape:
    """A zone out of GeoJSON: Polygon, MultiPolygon, {"type": "Circle", …}, or a feature or a collection of one. Raises UnfitDraft."""
    if len(text) > LONGEST_ZONE:
        raise UnfitDraft(f"A drafted zone has at most {LONGEST_ZONE:,} characters. Make it simpler.")
    try:
        written = read_json_text(text, "the zone")
        for _ in range(2):
            written = _inner(written)
        return zone_from_geojson(written)
    except (FormError, ZoneError) as error:
        raise UnfitDraft(f"The zone cannot be read: {error}.") from error
    except (RecursionError, TypeError, KeyError, AttributeError) as error:
        raise UnfitDraft("The zone cannot be read; expected a polygon as GeoJSON.") from error


def _inner(written: Any) -> Any:
    if not isinstance(written, dict):
        raise UnfitDraft("The zone cannot be read; expected a polygon as GeoJSON.")
    if written.get("type") == "FeatureCollection":
        features = written.get("features")
        if not isinstance(features, list) or len(features) != 1:
            raise UnfitDraft("One zone can be tried at a time. Leave one feature in the collection.")
        return features[0]
    if written.get("type") == "Feature":
        return written.get("geometry") or {}
    return written


def read_timetable_text(text: str) -> tuple[TimetableRow, ...]:
    """Lines such as "daily 19:00-07:00", "MON-FRI 21:00-06:00" and "SAT,SUN 09:00-17:00". Raises UnfitDraft."""
    rows: list[TimetableRow] = []
    for line in text.upper().splitlines():
        if not line.strip():
            continue
        found = _ROW.fullmatch(line.strip())
        if found is None:
            raise UnfitDraft(
                f"{line.strip()[:60]!r} is no line of a timetable; expected such as MON-FRI 19:00-07:00."
            )
        start_min, end_min = (int(at[:2]) * 60 + int(at[3:]) for at in (found["start"], found["end"]))
        rows += [TimetableRow(day, start_min, end_min) for day in _days(found["days"])]
    if not 0 < len(rows) <= MOST_ROWS:
        raise UnfitDraft(f"A timetable has 1 to {MOST_ROWS} rows, a day each.")
    if len(set(rows)) < len(rows):
        raise UnfitDraft("A row of the timetable comes twice. Leave it out once.")
    return tuple(rows)


def _days(text: str) -> list[int]:
    if text.strip() == "DAILY":
        return list(range(7))
    days: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise UnfitDraft(f"{part[:20]!r} names no day; expected {', '.join(DAYS)} or DAILY.")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if last else 0
        days += [(begin + by) % 7 for by in range(length + 1)]
    return days
