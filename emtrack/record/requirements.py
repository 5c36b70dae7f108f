"""Requirements in the record: entries (versions with a validity), each with its zone or the shared set that it is on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import msgspec

from emtrack.db.connect import Connection
from emtrack.forms.errors import FormError
from emtrack.forms.orders import RequirementForm, TimetableForm
from emtrack.forms.to_core import SetNames, UnknownSetName, requirement_of, set_name_of, timetable_of
from emtrack.record.entering import OrderWriter, PastEntry, span
from emtrack.record.zone_sets import known_sets, stored_zone
from geofence import FOREVER_MS, Requirement, SetZone, TimetableRow, datetime_of, instant_of, version_of
from geofence.shapes import geojson_from_zone

if TYPE_CHECKING:
    from datetime import datetime

REQUIREMENTS = """
SELECT v.version_no, v.entry_no, v.wearer_no, v.requirement_id, v.kind, v.valid, z.version AS zone, v.timetable,
       v.buffer_m, v.widen_m, v.confirm_points, v.confirm_ms, v.grace_ms, v.seen_within_ms, v.rf_gap_ms, v.stay_ms, v.set_pinned,
       s.set_id, n.version AS set_version, n.content AS set_content
FROM requirement_versions v LEFT JOIN zones z USING (zone_no)
     LEFT JOIN zone_set_versions n USING (set_version_no) LEFT JOIN zone_sets s USING (set_no)
WHERE v.wearer_no = ANY($1::bigint[]) AND upper_inf(v.recorded)
"""
CLOSE_REQUIREMENT = "UPDATE requirement_versions SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
ENTRIES = """
INSERT INTO requirement_entries (wearer_no, requirement_id, valid_from)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[])
ON CONFLICT (wearer_no, requirement_id, valid_from) DO UPDATE SET valid_from = excluded.valid_from
RETURNING wearer_no, requirement_id, valid_from, entry_no
"""
NEW_ZONES = """
INSERT INTO zones (version, geometry) SELECT * FROM unnest($1::text[], $2::jsonb[])
ON CONFLICT (version) DO UPDATE SET version = excluded.version RETURNING version, zone_no
"""
NEW_REQUIREMENTS = """
INSERT INTO requirement_versions (entry_no, valid, zone_no, set_version_no, recorded, entered_by, reason, wearer_no,
                                  requirement_id, kind, set_pinned, timetable, buffer_m, widen_m, confirm_points, confirm_ms,
                                  grace_ms, seen_within_ms, rf_gap_ms, stay_ms)
SELECT t.entry_no, t.valid, t.zone_no, t.set_version_no, $7, $8, t.reason, r.wearer_no, r.requirement_id, r.kind, r.set_pinned,
       r.timetable, r.buffer_m, r.widen_m, r.confirm_points, r.confirm_ms, r.grace_ms, r.seen_within_ms, r.rf_gap_ms, r.stay_ms
FROM unnest($1::bigint[], $2::tstzrange[], $3::bigint[], $4::bigint[], $5::text[], $6::jsonb[])
         WITH ORDINALITY AS t (entry_no, valid, zone_no, set_version_no, reason, content, place),
     jsonb_to_record(t.content) AS r (wearer_no bigint, requirement_id text, kind text, set_pinned boolean, timetable jsonb,
                               buffer_m float8, widen_m float8, confirm_points bigint, confirm_ms bigint, grace_ms bigint,
                               seen_within_ms bigint, rf_gap_ms bigint, stay_ms bigint)
ORDER BY t.place
"""
# Requirements that follow a set and are on another version of it than the one given last.
CLOSE_FOLLOWERS = """
UPDATE requirement_versions v SET recorded = tstzrange(lower(v.recorded), $3)
FROM zone_set_versions o JOIN zone_sets s USING (set_no)
WHERE v.set_version_no = o.set_version_no AND s.set_id = $1 AND o.version <> $2 AND NOT v.set_pinned AND upper_inf(v.recorded)
RETURNING v.version_no, v.wearer_no, v.requirement_id, v.kind, v.valid
"""
FOLLOW = """
INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, set_version_no, set_pinned, timetable,
                                  buffer_m, widen_m, confirm_points, confirm_ms, grace_ms, seen_within_ms, rf_gap_ms, stay_ms,
                                  recorded, entered_by, reason)
SELECT v.entry_no, v.wearer_no, v.requirement_id, v.kind, v.valid, n.set_version_no, false, v.timetable,
       v.buffer_m, v.widen_m, v.confirm_points, v.confirm_ms, v.grace_ms, v.seen_within_ms, v.rf_gap_ms, v.stay_ms, $4, $5, $6
FROM requirement_versions v, zone_set_versions n JOIN zone_sets s USING (set_no)
WHERE v.version_no = ANY($1::bigint[]) AND s.set_id = $2 AND n.version = $3
"""


class _Content(NamedTuple):
    """What an entry says: two entries are the same if these are. `zone`: the version of the zone or set."""

    kind: str
    from_ms: int
    to_ms: int
    zone: str
    set_pinned: bool
    timetable: tuple[TimetableRow, ...] | None
    buffer_m: float
    widen_m: float
    confirm_points: int
    confirm_ms: int
    grace_ms: int
    seen_within_ms: int
    rf_gap_ms: int | None
    stay_ms: int


class _Wanted(NamedTuple):
    """An entry as it was given, and as the core takes it."""

    form: RequirementForm
    requirement: Requirement


class _Fresh(NamedTuple):
    """An entry that is not there yet."""

    wearer_no: int
    form: RequirementForm
    requirement: Requirement

    @property
    def key(self) -> tuple[int, str, datetime]:
        return self.wearer_no, self.form.requirement_id, datetime_of(self.requirement.from_ms)


_Key = tuple[int, str]
"""Wearer number and requirement id: over all entries."""


async def enter_requirements(
    writer: OrderWriter, forms: Sequence[RequirementForm], wearers: Mapping[str, int]
) -> None:
    """All entries of the requirements that the forms name replace those that were entered before. Raises FormError for one on
    a zone set that is not known."""
    names, set_numbers = await known_sets(writer.connection)
    current: dict[_Key, dict[_Content, int]] = defaultdict(dict)
    numbers = sorted({wearers[form.wearer_id] for form in forms})
    for row in await writer.connection.fetch(REQUIREMENTS, numbers):
        current[row["wearer_no"], row["requirement_id"]][_content_of_row(row)] = row["version_no"]
    wanted: dict[_Key, dict[_Content, _Wanted]] = defaultdict(dict)
    for form in forms:
        requirement = _resolved(form, names)
        content = _content_of(requirement, _is_pinned(form))
        wanted[wearers[form.wearer_id], form.requirement_id][content] = _Wanted(form, requirement)
    for key, entries in wanted.items():
        for content, version_no in current[key].items():
            if content not in entries:
                await writer.connection.execute(CLOSE_REQUIREMENT, version_no, writer.now)
                writer.changed("requirement entry ended", key[0], requirement_id=key[1])
    fresh = [
        _Fresh(key[0], form, requirement)
        for key, entries in wanted.items()
        for content, (form, requirement) in entries.items()
        if content not in current[key]
    ]
    if fresh:
        await _enter(writer, fresh, set_numbers)


async def _enter(writer: OrderWriter, fresh: Sequence[_Fresh], set_numbers: Mapping[SetZone, int]) -> None:
    """One statement for each table: with one for each row these were most of what an import of thousands cost."""
    connection = writer.connection
    zone_nos, entry_nos = await _zones(connection, fresh), await _entries(connection, fresh)
    zones = [(one.requirement.zone, version_of(one.requirement.zone)) for one in fresh]
    await connection.execute(
        NEW_REQUIREMENTS,
        [entry_nos[one.key] for one in fresh],
        [span(one.requirement.from_ms, one.requirement.to_ms) for one in fresh],
        [None if isinstance(zone, SetZone) else zone_nos[version] for zone, version in zones],
        [set_numbers[zone] if isinstance(zone, SetZone) else None for zone, _ in zones],
        [one.form.reason for one in fresh],
        [_columns_of(*one) for one in fresh],
        writer.since,
        writer.who,
    )
    for wearer_no, form, requirement in fresh:
        _note_past(writer, wearer_no, form.requirement_id, requirement.from_ms, requirement.to_ms, form.reason)
        named = {"requirement_id": form.requirement_id, "kind": str(form.kind)}
        writer.changed("requirement entered", wearer_no, **named)


async def _zones(connection: Connection, fresh: Sequence[_Fresh]) -> dict[str, int]:
    """The numbers of zones by version; the same zone is one."""
    drawn = {
        version_of(zone): geojson_from_zone(zone)
        for zone in (one.requirement.zone for one in fresh)
        if not isinstance(zone, SetZone)
    }
    rows = await connection.fetch(NEW_ZONES, list(drawn), list(drawn.values()))
    return {row["version"]: row["zone_no"] for row in rows}


async def _entries(connection: Connection, fresh: Sequence[_Fresh]) -> dict[tuple[int, str, datetime], int]:
    keys = dict.fromkeys(one.key for one in fresh)
    columns = zip(*keys, strict=True)
    rows = await connection.fetch(ENTRIES, *map(list, columns))
    return {(row["wearer_no"], row["requirement_id"], row["valid_from"]): row["entry_no"] for row in rows}


def _note_past(
    writer: OrderWriter, wearer_no: int, requirement_id: str, from_ms: int, to_ms: int, reason: str | None
) -> None:
    """Of what is entered: the time before it is entered, if there is any."""
    until_ms = min(to_ms, writer.now_ms)
    if from_ms < until_ms:
        writer.entered.past.append(PastEntry(wearer_no, requirement_id, from_ms, until_ms, reason))


def _columns_of(wearer_no: int, form: RequirementForm, requirement: Requirement) -> dict[str, Any]:
    """By the names of the columns."""
    return {
        "wearer_no": wearer_no,
        "requirement_id": form.requirement_id,
        "kind": str(form.kind),
        "set_pinned": _is_pinned(form),
        "timetable": None if form.timetable is None else [msgspec.to_builtins(row) for row in form.timetable],
        "buffer_m": requirement.buffer_m,
        "widen_m": requirement.widen_m,
        "confirm_points": requirement.confirm_points,
        "confirm_ms": requirement.confirm_ms,
        "grace_ms": requirement.grace_ms,
        "seen_within_ms": requirement.seen_within_ms,
        "rf_gap_ms": requirement.rf_gap_ms,
        "stay_ms": requirement.stay_ms,
    }


async def follow_sets(writer: OrderWriter, fresh: Mapping[str, SetZone]) -> None:
    """Requirements that follow a set get a new version with the new one of the set."""
    for zone in fresh.values():
        rows = await writer.connection.fetch(CLOSE_FOLLOWERS, zone.set_id, zone.version, writer.now)
        numbers = [row["version_no"] for row in rows]
        why = f"version {zone.version} of zone set {zone.set_id}"
        await writer.connection.execute(FOLLOW, numbers, zone.set_id, zone.version, writer.since, writer.who, why)
        for row in rows:
            valid = row["valid"]
            until_ms = FOREVER_MS if valid.upper is None else instant_of(valid.upper)
            _note_past(writer, row["wearer_no"], row["requirement_id"], instant_of(valid.lower), until_ms, why)
            named = {"requirement_id": row["requirement_id"], "set_id": zone.set_id, "version": zone.version}
            writer.changed("requirement follows its zone set", row["wearer_no"], **named)


def _content_of(requirement: Requirement, is_pinned: bool) -> _Content:
    r = requirement
    return _Content(
        str(r.kind), r.from_ms, r.to_ms, version_of(r.zone), is_pinned, r.timetable, r.buffer_m, r.widen_m,
        r.confirm_points, r.confirm_ms, r.grace_ms, r.seen_within_ms, r.rf_gap_ms, r.stay_ms,
    )  # fmt: skip


def _content_of_row(row: asyncpg.Record) -> _Content:
    on_set, valid = stored_zone(row), row["valid"]
    return _Content(
        row["kind"], instant_of(valid.lower), FOREVER_MS if valid.upper is None else instant_of(valid.upper),
        row["zone"] if on_set is None else version_of(on_set), row["set_pinned"], stored_timetable(row), row["buffer_m"],
        row["widen_m"], row["confirm_points"], row["confirm_ms"], row["grace_ms"],
        row["seen_within_ms"], row["rf_gap_ms"], row["stay_ms"],
    )  # fmt: skip


def stored_timetable(row: asyncpg.Record) -> tuple[TimetableRow, ...] | None:
    """The timetable of a stored requirement."""
    rows = row["timetable"]
    return None if rows is None else _timetable(tuple((row["day"], row["start"], row["end"]) for row in rows))


@lru_cache(maxsize=10_000)
def _timetable(rows: tuple[tuple[str, str, str], ...]) -> tuple[TimetableRow, ...]:
    """Of very many people who have the same nights it is made once, and is one in memory."""
    named = [dict(zip(TimetableForm.__struct_fields__, row, strict=True)) for row in rows]
    return timetable_of(msgspec.convert(named, list[TimetableForm])) or ()


def _is_pinned(form: RequirementForm) -> bool:
    name = set_name_of(form)
    return name is not None and name.version is not None


def _resolved(form: RequirementForm, names: SetNames) -> Requirement:
    """The requirement on the sets that are entered. Raises FormError."""
    try:
        return requirement_of(form, "", names)
    except UnknownSetName as error:
        who = f"requirement {form.requirement_id!r} of wearer {form.wearer_id!r}"
        raise FormError(f"The orders were not entered, because of {who} the {error}") from error
