"""The invented world: its orders, its paths, and what is true in it, checked against an outside engine."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, time
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from pyproj import Geod
from shapely import contains_xy
from shapely.geometry import shape

from emtrack.emulator import PRESETS, Habits, Upload, World, build_world
from emtrack.emulator.geometry import distance_m
from emtrack.emulator.paths import Planner
from emtrack.emulator.schedule import DAY_MS, DAYS, HOUR_MS, Row, end_of_wall, iso_of, ms_of, periods, start_of_wall
from geofence.words import datetime_of

LONDON = ZoneInfo("Europe/London")
START_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z, a Monday
SPRING_MS = 1_774_612_800_000  # 2026-03-27T12:00:00Z, the Friday before the clocks go forward
GEOD = Geod(ellps="WGS84")
LAWLESS = replace(
    PRESETS["clean"],
    habits=Habits(
        prone_share=1.0, inclusion_share=1.0, zone_visit=(0, 0.4), zone_cut_through=(0, 0.4), work_skipped=(0, 0.5)
    ),
)


def encoded(uploads: list[Upload]) -> bytes:
    return msgspec.json.encode([[u.send_ms, u.device_id, u.boot, u.reports] for u in uploads])


def ms(text: str) -> int:
    return ms_of(datetime.fromisoformat(text))


# --- determinism ------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (build_world(12, seed, START_MS) for seed in (5, 5, 6))
    window = START_MS, START_MS + 30 * HOUR_MS
    assert encoded(list(first.uploads(*window))) == encoded(list(again.uploads(*window)))
    assert first.orders() == again.orders()
    assert encoded(list(first.uploads(*window))) != encoded(list(other.uploads(*window)))


@pytest.mark.parametrize("preset", ["standard", "gaps"])
def test_uploads_do_not_depend_on_how_the_window_is_split(preset: str) -> None:
    end_ms = START_MS + 3 * DAY_MS
    whole = encoded(list(build_world(9, 3, START_MS, preset=preset).uploads(START_MS, end_ms)))
    split = build_world(9, 3, START_MS, preset=preset)
    cuts = [START_MS, START_MS + 1, START_MS + 5 * HOUR_MS + 77_123, START_MS + 40 * HOUR_MS, end_ms]
    parts = [u for low, high in pairwise(cuts) for u in split.uploads(low, high)]
    assert encoded(parts) == whole


def test_a_window_in_the_middle_can_be_asked_first_and_an_earlier_one_after_it() -> None:
    world, fresh = build_world(6, 3, START_MS), build_world(6, 3, START_MS)
    late = list(world.uploads(START_MS + 50 * HOUR_MS, START_MS + 60 * HOUR_MS))
    early = list(world.uploads(START_MS, START_MS + 60 * HOUR_MS))
    assert encoded(early) == encoded(list(fresh.uploads(START_MS, START_MS + 60 * HOUR_MS)))
    assert encoded(late) == encoded([u for u in early if u.send_ms >= START_MS + 50 * HOUR_MS])


def test_streams_that_run_at_the_same_time_do_not_disturb_each_other() -> None:
    world = build_world(5, 8, START_MS)
    one, two = (world.uploads(START_MS, START_MS + 30 * HOUR_MS) for _ in range(2))
    pairs = list(zip(one, two, strict=True))
    assert encoded([a for a, _ in pairs]) == encoded([b for _, b in pairs])


def test_a_world_without_end_goes_on() -> None:
    stream = build_world(1, 1, START_MS).uploads(START_MS, None)
    assert next(u for u in stream if u.send_ms > START_MS + 5 * DAY_MS).reports


def test_memory_of_a_long_run_is_bounded() -> None:
    world = build_world(1, 1, START_MS)
    for _ in world.uploads(START_MS, START_MS + 40 * DAY_MS):
        pass
    assert len(world._senders["D0001"]._lives) <= 5


# --- paths ------------------------------------------------------------------------------------------------------------


def test_nobody_teleports_not_even_over_the_turn_of_a_day() -> None:
    planner = Planner(4, LONDON, LAWLESS.habits)
    world = build_world(40, 4, SPRING_MS, mix=LAWLESS)
    for wearer in world.wearers:
        before = None
        for day in range(planner.day_of(SPRING_MS), planner.day_of(SPRING_MS) + 6):
            path = planner.plan(wearer, day)
            here = float(path.x_m[0]), float(path.y_m[0])
            assert before is None or distance_m(before, here) == 0
            before = float(path.x_m[-1]), float(path.y_m[-1])
            assert np.all(np.diff(path.t_ms) > 0)
            speed_m_s = np.hypot(np.diff(path.x_m), np.diff(path.y_m)) / np.diff(path.t_ms) * 1000
            assert speed_m_s.max() <= 35
            assert (int(path.t_ms[0]), int(path.t_ms[-1])) == (planner.turn_ms(day), planner.turn_ms(day + 1))


def test_position_agrees_with_the_speed_limit_measured_on_the_ellipsoid() -> None:
    world = build_world(5, 4, START_MS)
    t = np.arange(START_MS, START_MS + 2 * DAY_MS, 10_000, dtype=np.int64)
    for wearer in world.wearers:
        lon, lat = world.position(wearer.wearer_id, t)
        _, _, step_m = GEOD.inv(lon[:-1], lat[:-1], lon[1:], lat[1:])
        assert step_m.max() / 10 < 15
        assert step_m.sum() > 500  # and nobody sits at home for two days


# --- truth ------------------------------------------------------------------------------------------------------------


def obliged_by_the_wall(requirement: dict[str, Any], t_ms: np.ndarray) -> np.ndarray:
    """Looks at the wall clock at each instant; no interval arithmetic. Right where no row ends in a doubled hour."""
    if requirement["timetable"] is None:
        return np.ones(len(t_ms), bool)
    marks = np.zeros(7 * 1440, bool)
    for row in requirement["timetable"]:
        first = DAYS.index(row["day"]) * 1440 + minute(row["start"])
        length = (minute(row["end"]) - minute(row["start"])) % 1440 or 1440
        marks[np.arange(first, first + length) % len(marks)] = True
    walls = [datetime_of(int(t)).astimezone(LONDON) for t in t_ms]
    return marks[[w.weekday() * 1440 + w.hour * 60 + w.minute for w in walls]]


def minute(wall: str) -> int:
    return int(wall[:2]) * 60 + int(wall[3:])


def inside_by_other_engines(geometry: dict[str, Any], lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    if geometry["type"] == "Polygon":
        return contains_xy(shape(geometry), lon, lat)
    centre_lon, centre_lat = geometry["centre"]
    _, _, away_m = GEOD.inv(np.full_like(lon, centre_lon), np.full_like(lat, centre_lat), lon, lat)
    return away_m <= geometry["radius_m"]


def covered(intervals: list[dict[str, Any]], t_ms: np.ndarray) -> np.ndarray:
    out = np.zeros(len(t_ms), bool)
    for row in intervals:
        out |= (t_ms >= ms(row["begin"])) & (t_ms < ms(row["end"]))
    return out


def test_truth_agrees_with_an_outside_engine_over_a_clock_change() -> None:
    world = build_world(16, 11, SPRING_MS, mix=LAWLESS)
    orders = world.orders()
    end_ms = SPRING_MS + 4 * DAY_MS
    t = np.arange(SPRING_MS, end_ms, 20_000, dtype=np.int64)
    seen: set[str] = set()
    for wearer in world.wearers:
        truth = world.truth(wearer.wearer_id, SPRING_MS, end_ms)
        lon, lat = world.position(wearer.wearer_id, t)
        excused = covered(
            [{"begin": a["from"], "end": a["to"]} for a in orders["absences"] if a["wearer_id"] == wearer.wearer_id],
            t,
        )
        for requirement in orders["requirements"]:
            if requirement["wearer_id"] != wearer.wearer_id:
                continue
            inside = inside_by_other_engines(requirement["geometry"], lon, lat)
            wrong = inside if requirement["kind"] == "EXCLUSION" else ~inside & ~excused
            wanted = wrong & obliged_by_the_wall(requirement, t)
            mine = [row for row in truth if row["requirement_id"] == requirement["requirement_id"]]
            seen |= {row["kind"] for row in mine}
            ends = np.array([ms(row[end]) for row in mine for end in ("begin", "end")] or [0])
            off = t[covered(mine, t) != wanted]
            assert all(np.abs(ends - at).min() <= 1_000 for at in off), (requirement["requirement_id"], off)
    assert seen == {"EXCLUSION", "CURFEW", "INCLUSION"}


def test_depth_is_the_greatest_margin_that_an_outside_engine_finds() -> None:
    world = build_world(16, 11, SPRING_MS, mix=LAWLESS)
    geometry = {r["requirement_id"]: r["geometry"] for r in world.orders()["requirements"]}
    checked = 0
    for wearer in world.wearers:
        for row in world.truth(wearer.wearer_id, SPRING_MS, SPRING_MS + 3 * DAY_MS):
            zone = geometry[row["requirement_id"]]
            if row["kind"] != "EXCLUSION" or zone["type"] != "Circle":
                continue
            t = np.arange(ms(row["begin"]), ms(row["end"]), 1_000, dtype=np.int64)
            lon, lat = world.position(wearer.wearer_id, t)
            centre = np.full_like(lon, zone["centre"][0]), np.full_like(lat, zone["centre"][1])
            away_m = GEOD.inv(*centre, lon, lat)[2]
            assert row["depth_m"] == pytest.approx(zone["radius_m"] - away_m.min(), abs=20.0)
            assert 0 <= row["depth_m"] <= zone["radius_m"]
            checked += 1
    assert checked


def test_truth_of_two_windows_is_the_truth_of_both_together() -> None:
    world = build_world(20, 2, START_MS, mix=LAWLESS)
    middle, end = START_MS + 26 * HOUR_MS, START_MS + 3 * DAY_MS

    def total_s(rows: list[dict[str, Any]]) -> int:
        return sum(ms(row["end"]) - ms(row["begin"]) for row in rows) // 1000

    for wearer in world.wearers:
        parts = [*world.truth(wearer.wearer_id, START_MS, middle), *world.truth(wearer.wearer_id, middle, end)]
        assert total_s(parts) == total_s(world.truth(wearer.wearer_id, START_MS, end))


def test_most_wearers_keep_their_orders_and_some_break_them() -> None:
    world = build_world(200, 1, START_MS)
    broken = [w for w in world.wearers if world.truth(w.wearer_id, START_MS, START_MS + 3 * DAY_MS)]
    assert 0.05 < len(broken) / 200 < 0.4


def test_lawful_habits_leave_nothing_to_find() -> None:
    never: dict[str, Any] = dict.fromkeys(
        ("late_home", "night_leave", "out_all_night", "zone_visit", "zone_cut_through", "work_skipped"), (0, 0)
    )
    lawful = replace(PRESETS["clean"], habits=Habits(**never, inclusion_share=0.0))
    world = build_world(60, 1, START_MS, mix=lawful)
    # whoever has to start at a zone's far side may still cut it: streets are drawn, not searched
    found = [r for w in world.wearers for r in world.truth(w.wearer_id, START_MS, START_MS + 4 * DAY_MS)]
    assert [r for r in found if r["kind"] == "CURFEW"] == []
    assert len(found) <= 2


# --- timetables -------------------------------------------------------------------------------------------------------


def test_a_wall_time_that_comes_twice_starts_late_and_ends_early() -> None:
    autumn = date(2026, 10, 25)
    assert iso_of(start_of_wall(autumn, time(1, 30), LONDON)) == "2026-10-25T01:30:00Z"
    assert iso_of(end_of_wall(autumn, time(1, 30), LONDON)) == "2026-10-25T00:30:00Z"


def test_a_wall_time_that_does_not_exist_is_the_change_of_the_clock() -> None:
    spring = date(2026, 3, 29)
    for reading in (start_of_wall, end_of_wall):
        assert iso_of(reading(spring, time(1, 30), LONDON)) == "2026-03-29T01:00:00Z"


def test_a_row_that_ends_where_it_starts_lasts_23_hours_in_the_spring_night() -> None:
    begin = ms("2026-03-28T12:00:00Z")
    rows = (Row("SAT", "19:00", "19:00"),)
    (period,) = periods(rows, LONDON, begin, begin + 3 * DAY_MS)
    assert period[1] - period[0] == 23 * HOUR_MS


# --- orders -----------------------------------------------------------------------------------------------------------

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
FIELDS = {
    "activations": {"activation_id", "device_id", "wearer_id", "from", "to", "report_interval_s", "network"},
    "absences": {"wearer_id", "from", "to", "reason"},
    "home_units": {"hmu_id", "wearer_id", "requirement_id", "from", "to"},
    "wearers": {"wearer_id", "name", "iom"},
}
IOM = {
    "cohort", "rag", "rag_history", "mappa_category", "mappa_level", "pathways", "agencies", "lead_officer", "lead_agency",
    "pnc", "crn", "nomis", "ecins",
}  # fmt: skip


@pytest.fixture(scope="module")
def crowd() -> World:
    return build_world(200, 7, START_MS)


def test_orders_have_the_agreed_form(crowd: World) -> None:
    orders = msgspec.json.decode(msgspec.json.encode(crowd.orders()))
    assert set(orders) == {*FIELDS, "timezone", "requirements", "settings"}
    for name, fields in FIELDS.items():
        assert orders[name]
        assert all(set(row) == fields for row in orders[name])
    for row in [*orders["activations"], *orders["requirements"], *orders["absences"], *orders["home_units"]]:
        assert ISO.fullmatch(row["from"])
        assert row["to"] is None or (ISO.fullmatch(row["to"]) and row["from"] < row["to"])
    for name, key in (("activations", "activation_id"), ("requirements", "requirement_id"), ("wearers", "name")):
        assert len({row[key] for row in orders[name]}) == len(orders[name])
    for wearer in orders["wearers"]:
        assert set(wearer["iom"]) == IOM
        assert wearer["iom"]["cohort"] in {"FIXED", "FLEX", "FREE"}
        assert wearer["iom"]["rag"] in {"RED", "AMBER", "GREEN"}


def test_requirements_have_valid_shapes_and_lawful_hours(crowd: World) -> None:
    for requirement in crowd.orders()["requirements"]:
        geometry = requirement["geometry"]
        assert geometry["type"] in {"Circle", "Polygon"}
        if geometry["type"] == "Polygon":
            ring = geometry["coordinates"][0]
            assert ring[0] == ring[-1]
            assert shape(geometry).is_valid
        else:
            assert 50 <= geometry["radius_m"] <= 800
        rows = requirement["timetable"]
        assert rows is None or all(
            re.fullmatch(r"[0-2]\d:[0-5]\d", row[end]) for row in rows for end in ("start", "end")
        )
        if requirement["kind"] == "CURFEW":
            hours = [((minute(row["end"]) - minute(row["start"])) % 1440 or 1440) / 60 for row in rows]
            assert sum(hours) <= 112


def test_every_wearer_has_a_curfew_and_one_or_two_zones_away_from_home(crowd: World) -> None:
    for wearer in crowd.wearers:
        kinds = [r.kind for r in wearer.requirements]
        assert kinds.count("CURFEW") == 1
        assert 1 <= kinds.count("EXCLUSION") <= 2
        assert all(distance_m(wearer.home, z.shape.centre) > z.shape.reach_m + 500 for z in wearer.exclusions)
    units = len(crowd.orders()["home_units"])
    assert 0.7 < units / 200 < 0.9


def test_some_tags_go_from_one_wearer_to_another_without_an_overlap(crowd: World) -> None:
    worn: dict[str, list[dict[str, Any]]] = {}
    for row in crowd.orders()["activations"]:
        worn.setdefault(row["device_id"], []).append(row)
    reused = [rows for rows in worn.values() if len({row["wearer_id"] for row in rows}) > 1]
    assert len(reused) == 5  # one in forty
    for rows in worn.values():
        rows.sort(key=lambda row: row["from"])
        for first, second in pairwise(rows):
            assert first["to"] is not None
            assert first["to"] < second["from"]
            assert first["to"][:10] == second["from"][:10]


def test_two_worlds_of_other_numbers_live_side_by_side() -> None:
    first = build_world(40, 7, START_MS, spare_after=200)
    others = build_world(160, 7, START_MS + DAY_MS, first=41, spare_after=240)
    assert [w.number for w in [*first.wearers, *others.wearers]] == list(range(1, 201))
    assert not set(first.devices()) & set(others.devices())
    orders = first.orders(), others.orders()
    for name, key in (
        ("wearers", "name"),
        ("activations", "activation_id"),
        ("requirements", "requirement_id"),
        ("home_units", "hmu_id"),
    ):
        ids = [{row[key] for row in form[name]} for form in orders]
        assert not ids[0] & ids[1]


def test_whoever_has_a_number_is_the_same_person_in_every_world() -> None:
    whole, part = build_world(30, 7, START_MS), build_world(10, 7, START_MS, first=21)
    assert whole.wearers[20:] == part.wearers


def test_an_unknown_preset_or_an_empty_world_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of"):
        build_world(1, 1, START_MS, preset="none such")
    with pytest.raises(ValueError, match="at least one"):
        build_world(0, 1, START_MS)
