"""Home units that send for themselves, tags that only they hear, and what else the second edition of the worlds brought."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from pyproj import Geod

from emtrack.emulator import PRESETS, Faults, Mix, ServiceClock, Upload, World, build_world, send_world
from emtrack.emulator.habits import NO_FAULTS
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, MINUTE_MS, ms_of
from tests.test_emulator_client import QUICK, expected, keys_of, service_in_the_future, serving

START_MS = 1_772_409_600_000
DAYS = 3
END_MS = START_MS + DAYS * DAY_MS
GEOD = Geod(ellps="WGS84")
ABOUT_A_TAG = {"RF_IN", "RF_OUT", "HEARTBEAT", "STRAP_TAMPER", "STRAP_CLEAR", "CASE_TAMPER", "CASE_CLEAR", "BATTERY_LOW",
               "BATTERY_CRITICAL", "BATTERY_OK"}  # fmt: skip
ABOUT_ITSELF = {"HEARTBEAT", "HMU_MOVED", "HMU_POWER_LOST", "HMU_POWER_RESTORED"}
Report = dict[str, Any]


class Told:
    """A world, and what was sent in three days by whom."""

    def __init__(self, mix: Mix, wearers: int = 20, seed: int = 3) -> None:
        self.world: World = build_world(wearers, seed, START_MS, mix=mix)
        self.uploads: list[Upload] = list(self.world.uploads(START_MS, END_MS))

    def by(self, letter: str) -> Iterator[tuple[Upload, Report]]:
        """From devices whose id begins so, each report once."""
        seen: set[tuple[str, int, int]] = set()
        for upload in self.uploads:
            for report in upload.reports if upload.device_id.startswith(letter) else []:
                key = upload.device_id, upload.boot, report["seq"]
                if key not in seen:
                    seen.add(key)
                    yield upload, report

    def of_unit(self, hmu_id: str) -> list[tuple[int, str, bool]]:
        """(own time, event, whether of a tag) in order of time."""
        rows = [(ms(r["event_time"]), r["event"], "tag" in r) for u, r in self.by("H") if u.device_id == hmu_id]
        return sorted(rows)


def ms(text: str) -> int:
    return ms_of(datetime.fromisoformat(text))


def rf_only(**faults: float) -> Mix:
    mix = PRESETS["rf_only"]
    return replace(mix, faults=replace(NO_FAULTS, **faults))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sound() -> Told:
    return Told(rf_only())


@pytest.fixture(scope="module")
def mixed() -> Told:
    return Told(PRESETS["standard.2"], wearers=60, seed=13)


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_a_unit_names_the_tag_that_it_speaks_of_and_nothing_that_its_key_says_already(mixed: Told) -> None:
    kinds: dict[bool, set[str]] = defaultdict(set)
    for _, report in mixed.by("H"):
        assert set(report) - {"tag"} == {"seq", "type", "event", "event_time"}
        assert report["type"] == "event"
        kinds["tag" in report].add(report["event"])
    assert kinds[True] <= ABOUT_A_TAG
    assert kinds[False] <= ABOUT_ITSELF
    assert {"RF_IN", "RF_OUT", "HEARTBEAT"} <= kinds[True]


def test_a_unit_speaks_of_the_tag_that_its_wearer_wears_at_that_time(mixed: Told) -> None:
    worn = {
        (a.wearer.hmu_id, a.device_id): (a.begin_ms, a.end_ms or END_MS)
        for a in mixed.world.activations
        if a.evidence
    }
    for upload, report in mixed.by("H"):
        if "tag" in report:
            begin_ms, end_ms = worn[upload.device_id, report["tag"]]
            assert begin_ms <= ms(report["event_time"]) < end_ms


def test_beside_a_unit_that_sends_for_itself_a_tag_says_nothing_of_it(mixed: Told) -> None:
    units = {w.hmu_id for w in mixed.world.wearers if w.hmu_id}
    assert {u.device_id for u, _ in mixed.by("H")} == units
    assert not any("hmu_id" in report or report.get("event", "").startswith("RF") for _, report in mixed.by("D"))


async def test_the_request_of_a_unit_is_the_one_that_the_contract_shows() -> None:
    world = build_world(2, 1, START_MS, preset="rf_only")
    service = service_in_the_future()
    async with serving(service) as base_url:
        clock = await ServiceClock.connect(base_url)
        await send_world(
            world, base_url=base_url, keys=keys_of(world), clock=clock, from_ms=START_MS, to_ms=START_MS + HOUR_MS,
            backoff=QUICK,
        )  # fmt: skip
    assert service.stored == expected(world, START_MS, START_MS + HOUR_MS)
    assert {device for device, _, _ in service.stored} == {"H0001", "H0002"}
    assert service.keys == {"Bearer key-of-H0001", "Bearer key-of-H0002"}
    first = service.stored["H0001", 1, 1]
    assert first == b'{"seq":1,"type":"event","event":"RF_IN","event_time":"2026-03-02T00:00:00Z","tag":"D0001"}'
    of_itself = [msgspec.json.decode(body) for body in service.stored.values() if b"tag" not in body]
    assert of_itself[0].keys() == {"seq", "type", "event", "event_time"}


# --- orders -----------------------------------------------------------------------------------------------------------


def test_a_third_has_a_tag_that_only_a_unit_hears_and_it_sends_nothing_itself() -> None:
    world = build_world(300, 2, START_MS, preset="standard.2")
    orders = world.orders()
    heard = {a["wearer_id"]: a for a in orders["activations"] if a.get("evidence") == ["RF"]}
    assert len({a for a in heard}) / 300 == pytest.approx(1 / 3, abs=0.08)
    assert not {a["device_id"] for a in heard.values()} & set(world.devices())
    kinds = Counter(r["kind"] for r in orders["requirements"] if r["wearer_id"] in heard)
    assert set(kinds) == {"CURFEW"}
    for unit in orders["home_units"]:
        if unit["wearer_id"] in heard:
            assert 600 <= unit["call_in_s"] < unit["rf_gap_s"] <= 14_400
            assert heard[unit["wearer_id"]]["report_interval_s"] == unit["call_in_s"]
        else:
            assert (unit["call_in_s"], "rf_gap_s" in unit) == (600, False)


def test_the_people_of_the_second_edition_are_those_of_the_first() -> None:
    first, second = (build_world(60, 4, START_MS, preset=name) for name in ("clean", "clean.2"))
    for before, after in zip(first.wearers, second.wearers, strict=True):
        changed = replace(after, unit=None, attendance=None, drinks=None)
        assert changed == before
    assert any(w.attendance for w in second.wearers)
    assert any(w.drinks for w in second.wearers)


@pytest.mark.parametrize("preset", ["rf_only", "standard.2"])
def test_what_units_send_does_not_depend_on_how_the_window_is_split(preset: str) -> None:
    whole = list(build_world(9, 3, START_MS, preset=preset).uploads(START_MS, END_MS))
    split = build_world(9, 3, START_MS, preset=preset)
    cuts = [START_MS, START_MS + 5 * HOUR_MS + 77_123, START_MS + 40 * HOUR_MS, END_MS]
    assert [u for low, high in pairwise(cuts) for u in split.uploads(low, high)] == whole


# --- what a unit hears ------------------------------------------------------------------------------------------------


def test_a_sound_unit_calls_in_on_time_and_tells_a_change_at_once(sound: Told) -> None:
    for wearer in sound.world.wearers:
        assert wearer.unit is not None
        calls = [
            at for at, event, of_tag in sound.of_unit(wearer.hmu_id or "") if event == "HEARTBEAT" and not of_tag
        ]
        assert set(np.diff(calls).tolist()) == {wearer.unit.call_in_s * 1_000}
    for upload, report in sound.by("H"):
        assert upload.send_ms - ms(report["event_time"]) < 15_000


def test_in_and_out_of_range_take_turns_and_agree_with_the_true_place(sound: Told) -> None:
    changes = 0
    for wearer in sound.world.wearers:
        seen = [(at, event) for at, event, _ in sound.of_unit(wearer.hmu_id or "") if event.startswith("RF")]
        assert seen[0][0] == START_MS
        assert all(a[1] != b[1] for a, b in pairwise(seen))
        lon, lat = sound.world.position(wearer.wearer_id, np.array([at for at, _ in seen], np.int64))
        home = next(r for r in sound.world.orders()["requirements"] if r["wearer_id"] == wearer.wearer_id)
        centre = home["geometry"]["centre"]
        away_m = GEOD.inv(np.full_like(lon, centre[0]), np.full_like(lat, centre[1]), lon, lat)[2]
        assert away_m[1:].max(initial=0) < 60
        changes += len(seen) - 1
    assert changes > 100


def test_that_the_tag_is_heard_is_said_with_a_call_only_while_it_is_in_range(sound: Told) -> None:
    for wearer in sound.world.wearers:
        in_range = False
        for _, event, of_tag in sound.of_unit(wearer.hmu_id or ""):
            in_range = event == "RF_IN" if event.startswith("RF") else in_range
            assert in_range or not (event == "HEARTBEAT" and of_tag)


# --- mishaps ----------------------------------------------------------------------------------------------------------


def test_without_power_a_unit_says_nothing_and_then_anew_whether_it_hears_its_tag() -> None:
    told = Told(rf_only(hmu_power_lost=0.7))
    cuts = 0
    for wearer in told.world.wearers:
        rows = told.of_unit(wearer.hmu_id or "")
        for k, (at, event, _) in enumerate(rows):
            if event == "HMU_POWER_LOST" and k + 2 < len(rows):
                after = rows[k + 1 :]
                assert after[0][1] in ("HMU_POWER_RESTORED", "HMU_POWER_LOST")
                if after[0][1] == "HMU_POWER_RESTORED":
                    anew = next(row for row in after if row[1].startswith("RF"))
                    assert anew[0] - after[0][0] <= 20_000
                    cuts += 1
                assert at < after[0][0]
    assert cuts > 10
    assert max(upload.boot for upload in told.uploads) > 1


def test_a_unit_that_was_moved_says_anew_whether_it_hears_its_tag() -> None:
    told = Told(rf_only(hmu_moved=0.9))
    moved = 0
    for wearer in told.world.wearers:
        rows = told.of_unit(wearer.hmu_id or "")
        for at, event, _ in rows:
            if event == "HMU_MOVED" and at + MINUTE_MS < END_MS:
                assert any(e.startswith("RF") and at <= t <= at + MINUTE_MS for t, e, _ in rows)
                moved += 1
    assert moved > 20


def test_a_dead_spot_in_the_house_is_a_leaving_that_was_none() -> None:
    told = Told(rf_only(dead_spot=0.9))
    false = 0
    for wearer in told.world.wearers:
        outs = [at for at, event, _ in told.of_unit(wearer.hmu_id or "") if event == "RF_OUT"]
        lon, lat = told.world.position(wearer.wearer_id, np.array(outs, np.int64))
        home = next(r for r in told.world.orders()["requirements"] if r["wearer_id"] == wearer.wearer_id)
        centre = home["geometry"]["centre"]
        false += int(np.sum(GEOD.inv(np.full_like(lon, centre[0]), np.full_like(lat, centre[1]), lon, lat)[2] < 1))
    assert false > 10


def test_what_a_unit_wrote_down_without_network_comes_later_and_nothing_is_lost(sound: Told) -> None:
    told = Told(rf_only(unit_offline=0.9))

    def content(one: Told) -> set[tuple[str, str, str, str]]:
        early = END_MS - 8 * HOUR_MS
        return {
            (u.device_id, r["event"], r["event_time"], r.get("tag", ""))
            for u, r in one.by("H")
            if ms(r["event_time"]) < early
        }

    assert content(told) == content(sound)
    assert max(u.send_ms - ms(r["event_time"]) for u, r in told.by("H")) > HOUR_MS


def test_what_happens_to_a_tag_without_a_network_is_told_when_its_unit_hears_it() -> None:
    told = Told(rf_only(strap_tamper=0.9, strap_clears_share=1.0))
    straps = 0
    for wearer in told.world.wearers:
        rows = told.of_unit(wearer.hmu_id or "")
        in_range = False
        for _, event, of_tag in rows:
            in_range = event == "RF_IN" if event.startswith("RF") else in_range
            if event.startswith("STRAP"):
                assert of_tag
                assert in_range
                straps += 1
    assert straps > 30


def test_a_tag_that_is_flat_is_not_heard() -> None:
    told = Told(rf_only(rf_battery_low=0.9, rf_battery_dies_share=1.0), wearers=10)
    assert any(event == "BATTERY_OK" for _, event in ((None, r["event"]) for _, r in told.by("H")))
    for wearer in told.world.wearers:
        rows = told.of_unit(wearer.hmu_id or "")
        for k, (at, event, _) in enumerate(rows):
            if event == "BATTERY_OK":
                assert ("RF_IN", True) in {(e, t) for when, e, t in rows[max(0, k - 3) : k + 3] if when <= at}


def test_every_fault_of_units_is_off_in_the_first_edition() -> None:
    faults = Faults()
    assert (faults.dead_spot, faults.unit_offline, faults.rf_battery_low) == (0, 0, 0)


# --- tags that hold their zones ---------------------------------------------------------------------------------------


def test_inside_a_zone_or_its_buffer_each_fix_is_sent_at_once() -> None:
    visited = replace(
        PRESETS["clean.2"], habits=replace(PRESETS["clean.2"].habits, zone_visit=(0.8, 0.8), buffered_share=1.0)
    )
    told = Told(visited, wearers=12)
    zones = {w.wearer_id: w.exclusions for w in told.world.wearers}
    of_device = {a.device_id: a.wearer.wearer_id for a in told.world.activations}
    assert all(zone.buffer_m for held in zones.values() for zone in held)
    inside: list[int] = []
    outside: list[int] = []
    geometry = {r["requirement_id"]: r["geometry"] for r in told.world.orders()["requirements"]}
    for upload, report in told.by("D"):
        if report["type"] != "position":
            continue
        away = [
            GEOD.inv(*geometry[zone.requirement_id]["centre"], report["lon_deg"], report["lat_deg"])[2]
            - geometry[zone.requirement_id]["radius_m"]
            - zone.buffer_m
            for zone in zones[of_device[upload.device_id]]
            if geometry[zone.requirement_id]["type"] == "Circle"
        ]
        waited_ms = upload.send_ms - ms(report["fix_time"])
        (inside if min(away, default=1.0) < -1 else outside).append(waited_ms)
    assert len(inside) > 50
    assert max(inside) < 5_000
    assert np.median(outside) > MINUTE_MS


# --- appointments and alcohol -----------------------------------------------------------------------------------------


def test_an_appointment_is_broken_once_too_little_of_it_is_left_and_only_then() -> None:
    """Against a clock that looks each second whether the wearer is there."""
    mix = PRESETS["clean.2"]
    habits = replace(mix.habits, attendance_share=1.0, attendance_missed=(0.3, 0.3), attendance_cut_short=(0.4, 0.4))
    world = build_world(24, 5, START_MS, mix=replace(mix, habits=habits))
    end_ms = START_MS + 5 * DAY_MS
    seen = Counter[str]()
    for wearer in world.wearers:
        rule = wearer.attendance
        if rule is None or wearer.absences or len([a for a in world.activations if a.wearer is wearer]) > 1:
            continue
        assert rule.timetable is not None
        broken = [row for row in world.truth(wearer.wearer_id, START_MS, end_ms) if row["kind"] == "ATTENDANCE"]
        wanted = []
        for day in range(5):
            weekday = ("MON", "TUE", "WED", "THU", "FRI")[day]
            for row in (row for row in rule.timetable if row.day == weekday):
                begin, end = (ms(f"2026-03-0{2 + day}T{wall}:00Z") for wall in (row.start, row.end))
                t = np.arange(begin, end, 1_000, dtype=np.int64)
                lon, lat = world.position(wearer.wearer_id, t)
                centre = rule.shape.geojson()["centre"]
                away = GEOD.inv(np.full_like(lon, centre[0]), np.full_like(lat, centre[1]), lon, lat)[2] > 100.0
                allowed_s = (end - begin) // 1_000 - rule.stay_s
                seen["kept" if away.sum() <= allowed_s else "broken"] += 1
                if away.sum() > allowed_s:
                    wanted.append((int(t[np.flatnonzero(away)[allowed_s]]), end))
        found = [(ms(row["begin"]), ms(row["end"])) for row in broken]
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert abs(one[0] - other[0]) <= 4_000
            assert one[1] == other[1]
    assert seen["kept"] > 5
    assert seen["broken"] > 5


def test_most_appointments_are_kept() -> None:
    mix = PRESETS["standard.2"]
    world = build_world(150, 1, START_MS, mix=replace(mix, habits=replace(mix.habits, attendance_share=1.0)))
    kept = broken = 0
    for wearer in world.wearers:
        if wearer.attendance is not None and wearer.attendance.timetable is not None:
            rows = [
                r for r in world.truth(wearer.wearer_id, START_MS, START_MS + 7 * DAY_MS) if r["kind"] == "ATTENDANCE"
            ]
            broken += len(rows)
            kept += len(wearer.attendance.timetable) - len(rows)
    assert kept > 3 * broken > 0


def test_an_alcohol_tag_tells_what_it_reads_and_that_it_is_there() -> None:
    mix = PRESETS["clean.2"]
    told = Told(replace(mix, habits=replace(mix.habits, alcohol_share=1.0, drinks=(0.5, 0.5))), wearers=8)
    rows = {a["device_id"]: a for a in told.world.orders()["activations"] if a["device_id"].startswith("S")}
    assert all(row["evidence"] == [] and row["report_interval_s"] == 3_600 for row in rows.values())
    assert len(rows) == 8
    by_device: dict[str, list[str]] = defaultdict(list)
    for upload, report in told.by("S"):
        assert upload.send_ms - ms(report["event_time"]) < 10_000
        by_device[upload.device_id].append(report["event"])
    assert set(by_device) == set(rows)
    events = Counter(event for told_ones in by_device.values() for event in told_ones)
    assert set(events) == {"HEARTBEAT", "ALCOHOL_DETECTED", "ALCOHOL_CLEAR"}
    for told_ones in by_device.values():
        turns = [event for event in told_ones if event != "HEARTBEAT"]
        assert all(a != b for a, b in pairwise(turns))
        assert turns[:1] in ([], ["ALCOHOL_DETECTED"])
