"""The published cases: the oracle says exactly what each expects. Files are read here by hand, so that nothing of the
program stands between a case and the rules."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geofence.facts import DeviceEvent, Fact, Position
from geofence.intervals import Interval, merged
from geofence.obligations import Activation, HomeUnit, JudgementSettings, Plan, Requirement, TimetableRow
from geofence.shapes.geojson import zone_from_geojson
from geofence.shapes.zone_sets import Member
from geofence.words import (
    FOREVER_MS,
    EventType,
    EvidenceKind,
    Mechanism,
    ObligationKind,
    format_instant,
    parse_instant,
)
from geofence.zones import Area, SetZone, Zone
from tests.oracle import Told, findings_by_the_rules

HERE = Path(__file__).parent / "conformance"
CASES = sorted(path.name for path in HERE.iterdir() if path.is_dir())
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
NAMING_A_UNIT = {"RF_IN", "RF_OUT", "HMU_MOVED", "HMU_POWER_LOST", "HMU_POWER_RESTORED", "HEARTBEAT"}
Read = dict[str, Any]


def _until_ms(form: Read) -> int:
    return parse_instant(form["to"]) if form.get("to") else FOREVER_MS


def _spans(forms: Iterable[Read]) -> tuple[Interval, ...]:
    return tuple(merged(Interval(parse_instant(form["from"]), _until_ms(form)) for form in forms))


def _thousand(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _activation(form: Read) -> Activation:
    return Activation(
        form["activation_id"],
        form["device_id"],
        form["wearer_id"],
        parse_instant(form["from"]),
        _until_ms(form),
        round(form.get("report_interval_s", 60) * 1000),
        evidence=tuple(map(EvidenceKind, form.get("evidence", ("POSITION", "RF")))),
    )


def _timetable(rows: list[Read] | None) -> tuple[TimetableRow, ...] | None:
    if rows is None:
        return None
    minutes = [[int(row[end][:2]) * 60 + int(row[end][3:]) for end in ("start", "end")] for row in rows]
    return tuple(TimetableRow(DAYS.index(row["day"]), *ends) for row, ends in zip(rows, minutes, strict=True))


def _zone(geometry: Read) -> Zone:
    """A set stands for itself: no case gives two versions of one."""
    if geometry["type"] == "ZoneSet":
        return SetZone(geometry["set_id"], "1", geometry["set_id"])
    return zone_from_geojson(geometry)


def _requirement(form: Read) -> Requirement:
    return Requirement(
        entry_id=f"{form['requirement_id']}/{form['from']}",
        requirement_id=form["requirement_id"],
        wearer_id=form["wearer_id"],
        kind=ObligationKind(form["kind"]),
        from_ms=parse_instant(form["from"]),
        to_ms=_until_ms(form),
        zone=_zone(form["geometry"]),
        timetable=_timetable(form.get("timetable")),
        buffer_m=form.get("buffer_m", 0),
        widen_m=form.get("widen_m", 0),
        confirm_points=form.get("confirm_points", 2),
        confirm_ms=round(form.get("confirm_seconds", 0) * 1000),
        grace_ms=round(form.get("grace_s", 0) * 1000),
        seen_within_ms=round(form.get("seen_within_s", 120) * 1000),
        rf_gap_ms=_thousand(form.get("rf_gap_s")),
        stay_ms=round(form.get("stay_s", 60) * 1000),
    )


def _home_unit(form: Read) -> HomeUnit:
    gap_ms = _thousand(form.get("rf_gap_s"))
    return HomeUnit(form["hmu_id"], form["requirement_id"], parse_instant(form["from"]), _until_ms(form), gap_ms)


def _settings(form: Read) -> JudgementSettings:
    names = ("max_gap_s", 900), ("unknown_limit_s", 1800), ("silence_buffer_s", 540)
    return JudgementSettings(*(round(form.get(name, default) * 1000) for name, default in names))


def plans_of(orders: Read) -> Iterator[Plan]:
    """One for each activation."""
    for activation in map(_activation, orders["activations"]):

        def own(name: str, whose: str = activation.wearer_id) -> list[Read]:
            return [form for form in orders.get(name, []) if form["wearer_id"] == whose]

        yield Plan(
            activation,
            tuple(map(_requirement, own("requirements"))),
            orders.get("timezone", "Europe/London"),
            _settings(orders.get("settings", {})),
            _spans(own("absences")),
            _spans(orders.get("outages", [])),
            tuple(map(_home_unit, own("home_units"))),
        )


def members_of(orders: Read) -> dict[str, list[Member]]:
    """Members of each set, by its id."""
    return {form["set_id"]: [*map(_member, form["features"]["features"])] for form in orders.get("zone_sets", [])}


def _member(feature: Read) -> Member:
    area = zone_from_geojson(feature["geometry"])
    assert isinstance(area, Area)
    return Member(feature["id"], area)


def _position(row: dict[str, str]) -> Position:
    return Position(
        parse_instant(row["fix_time"]),
        float(row["lat_deg"]),
        float(row["lon_deg"]),
        float(row["precision_m"]) if row["precision_m"] else None,
        Mechanism(row["mechanism"]),
        parse_instant(row["received_time"] or row["fix_time"]),
    )


def _event(row: dict[str, str]) -> DeviceEvent:
    unit = row["requirement_id"] if row["type"] in NAMING_A_UNIT else ""
    return DeviceEvent(
        parse_instant(row["event_time"]),
        EventType(row["type"]),
        unit or None,
        parse_instant(row["received_time"] or row["event_time"]),
        sent_by=row.get("sent_by") or None,
    )


def facts_of(case: Path) -> Iterator[tuple[str, Fact]]:
    """Each with its device."""
    for name, read in (("positions.csv", _position), ("events.csv", _event)):
        if (case / name).exists():
            with (case / name).open(newline="") as lines:
                yield from ((row["device_id"], read(row)) for row in csv.DictReader(lines))


def as_published(plan: Plan, found: Told) -> Read:
    end = None if found.end_ms is None else format_instant(found.end_ms)
    return {
        "wearer_id": plan.activation.wearer_id,
        "activation_id": plan.activation.activation_id,
        "requirement_id": found.requirement_id,
        "kind": found.kind,
        "reason": found.reason,
        "begin": format_instant(found.begin_ms),
        "end": end,
        "known_at": format_instant(found.known_ms),
        "within_grace": found.within_grace,
    }


def told_of(case: Path) -> list[Read]:
    orders = json.loads((case / "orders.json").read_text())
    now_ms = parse_instant((case / "until.txt").read_text().strip())
    reported, told = list(facts_of(case)), []
    for plan in plans_of(orders):
        worn = plan.activation
        facts = [f for device, f in reported if device == worn.device_id and worn.from_ms <= f.own_ms < worn.to_ms]
        told += [as_published(plan, f) for f in findings_by_the_rules(plan, facts, now_ms, members_of(orders))]
    return told


def test_there_are_fifty_cases():
    assert len(CASES) >= 50


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_tells_of_a_case_what_is_expected(name):
    expected = [json.loads(line) for line in (HERE / name / "expected.jsonl").read_text().splitlines()]
    assert sorted(told_of(HERE / name), key=str) == sorted(expected, key=str)
