"""What tags send: the numbers that they keep to, and every kind of fault."""

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

from emtrack.emulator import PRESETS, Faults, Upload, World, build_world
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, MINUTE_MS, ms_of
from emtrack.emulator.sensing import KINDS

START_MS = 1_772_409_600_000
DAYS = 3
GEOD = Geod(ellps="WGS84")
Report = dict[str, Any]


class WeighedFix:
    """A world and all it sent in three days."""

    def __init__(self, preset: str, wearers: int, seed: int) -> None:
        self.world: World = build_world(wearers, seed, START_MS, preset=preset)
        self.uploads: list[Upload] = list(self.world.uploads(START_MS, START_MS + DAYS * DAY_MS))

    def reports(self) -> Iterator[tuple[Upload, Report]]:
        return ((upload, report) for upload in self.uploads for report in upload.reports)

    def positions(self, mechanism: str) -> list[tuple[Upload, Report]]:
        return [(u, r) for u, r in self.reports() if r.get("mechanism") == mechanism]

    def events(self) -> Counter[str]:
        return Counter(r["event"] for _, r in self.reports() if r["type"] == "event")

    def wearer_of(self, device_id: str, at_ms: int) -> str:
        for a in self.world.activations:
            if a.device_id == device_id and a.begin_ms <= at_ms and (a.end_ms is None or at_ms < a.end_ms):
                return a.wearer.wearer_id
        raise AssertionError(f"{device_id} is worn by nobody at {at_ms}")

    def errors_m(self, chosen: list[tuple[Upload, Report]]) -> np.ndarray:
        """Distance of each fix from the true place at its true time, on the ellipsoid."""
        by_wearer: dict[str, list[tuple[int, Report]]] = defaultdict(list)
        for upload, report in chosen:
            at_ms = ms(report["fix_time"]) - self.world.skew_ms(upload.device_id)
            by_wearer[self.wearer_of(upload.device_id, at_ms)].append((at_ms, report))
        out = []
        for wearer_id, fixes in by_wearer.items():
            fixes.sort(key=lambda fix: fix[0])
            lon, lat = self.world.position(wearer_id, np.array([at for at, _ in fixes], np.int64))
            told = np.array([(r["lon_deg"], r["lat_deg"], r["precision_m"]) for _, r in fixes])
            away_m = GEOD.inv(lon, lat, told[:, 0], told[:, 1])[2]
            out.append(np.column_stack([away_m, told[:, 2]]))
        return np.concatenate(out)


def ms(text: str) -> int:
    return ms_of(datetime.fromisoformat(text))


def time_of(report: Report) -> int:
    return ms(report.get("fix_time") or report["event_time"])


def content_of(report: Report) -> bytes:
    return msgspec.json.encode({k: v for k, v in report.items() if k != "seq"})


@pytest.fixture(scope="module")
def standard() -> WeighedFix:
    return WeighedFix("standard", 100, 13)


@pytest.fixture(scope="module")
def clean() -> WeighedFix:
    return WeighedFix("clean", 30, 13)


# --- the wire ---------------------------------------------------------------------------------------------------------

POSITION = {"seq", "type", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism"}
POSITION_EXTRAS = {"speed_kmh", "direction_deg", "satellites", "hdop"}
EVENT = {"seq", "type", "event", "event_time"}


def test_reports_have_the_agreed_form(standard: WeighedFix) -> None:
    for _, report in standard.reports():
        if report["type"] == "position":
            assert POSITION <= set(report) <= POSITION | POSITION_EXTRAS
            assert report["lat_deg"] == round(report["lat_deg"], 6)
            assert report["precision_m"] >= 0
        else:
            assert EVENT <= set(report) <= EVENT | {"hmu_id"}
            assert ("hmu_id" in report) == (report["event"].startswith(("RF", "HMU")))


def test_uploads_are_in_order_and_within_the_protocol(standard: WeighedFix) -> None:
    sends = [upload.send_ms for upload in standard.uploads]
    assert sends == sorted(sends)
    assert all(1 <= len(upload.reports) <= 120 for upload in standard.uploads)
    assert max(len(msgspec.json.encode(upload.reports)) for upload in standard.uploads) < 1 << 20


def test_nothing_is_sent_before_it_happened(standard: WeighedFix) -> None:
    for upload, report in standard.reports():
        assert upload.send_ms > time_of(report) - standard.world.skew_ms(upload.device_id)


def test_seq_counts_from_1_without_a_hole_in_each_boot(standard: WeighedFix) -> None:
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    last_boot: dict[str, int] = defaultdict(int)
    for upload, report in standard.reports():
        numbers[upload.device_id, upload.boot].add(report["seq"])
        last_boot[upload.device_id] = max(last_boot[upload.device_id], upload.boot)
    for (device, boot), seqs in numbers.items():
        if boot < last_boot[device] - 1:  # what is not yet sent at the end of the window leaves holes
            assert seqs == set(range(1, len(seqs) + 1))


def test_one_seq_has_one_content(standard: WeighedFix) -> None:
    first: dict[tuple[str, int, int], bytes] = {}
    for upload, report in standard.reports():
        key = upload.device_id, upload.boot, report["seq"]
        assert first.setdefault(key, content_of(report)) == content_of(report)


def test_a_tag_reports_only_while_it_is_worn(standard: WeighedFix) -> None:
    for upload, report in standard.reports():
        standard.wearer_of(upload.device_id, time_of(report) - standard.world.skew_ms(upload.device_id))


def test_a_clean_tag_uploads_at_least_every_ten_minutes_in_tens_at_most(clean: WeighedFix) -> None:
    assert max(len(upload.reports) for upload in clean.uploads) <= 10
    last = {
        a.device_id: a.begin_ms
        for a in clean.world.activations
        if len(clean.world._senders[a.device_id].activations) == 1
    }
    for upload in clean.uploads:
        if upload.device_id in last:
            assert upload.send_ms - last[upload.device_id] <= 10 * MINUTE_MS + 5_000
            last[upload.device_id] = upload.send_ms


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_gps_precision_and_its_true_error(clean: WeighedFix) -> None:
    table = clean.errors_m(clean.positions("GPS"))
    assert len(table) > 5_000
    p50, p95 = np.percentile(table[:, 1], (50, 95))
    assert p50 == pytest.approx(3, rel=0.15)
    assert p95 == pytest.approx(17, rel=0.2)
    assert np.mean(table[:, 0] <= table[:, 1]) == pytest.approx(0.95, abs=0.015)


def test_neighbouring_gps_errors_are_correlated(clean: WeighedFix) -> None:
    by_device: dict[str, list[Report]] = defaultdict(list)
    for upload, report in clean.positions("GPS"):
        by_device[upload.device_id].append(report)
    firsts, seconds = [], []
    for device, fixes in by_device.items():
        fixes.sort(key=time_of)
        t = np.array([time_of(r) for r in fixes], np.int64)
        if len({clean.wearer_of(device, int(at)) for at in t}) > 1:
            continue
        _, lat = clean.world.position(clean.wearer_of(device, int(t[0])), t)
        off = (np.array([r["lat_deg"] for r in fixes]) - lat) / np.array([r["precision_m"] for r in fixes])
        close = np.diff(t) == 60_000
        firsts.append(off[:-1][close])
        seconds.append(off[1:][close])
    assert np.corrcoef(np.concatenate(firsts), np.concatenate(seconds))[0, 1] > 0.4


def test_lbs_radii_and_the_unknown_ones(standard: WeighedFix) -> None:
    radii = np.array([r["precision_m"] for _, r in standard.positions("LBS")])
    known = radii[radii > 0]
    assert np.mean(radii == 0) == pytest.approx(0.024, abs=0.004)
    assert np.percentile(known, 50) == pytest.approx(57, rel=0.1)
    assert np.percentile(known, 90) == pytest.approx(729, rel=0.15)
    assert known.max() == 1_600


def test_an_lbs_radius_holds_the_true_place_19_times_in_20(clean: WeighedFix) -> None:
    table = clean.errors_m(clean.positions("LBS"))
    assert np.mean(table[:, 0] <= table[:, 1]) == pytest.approx(0.95, abs=0.015)


def test_shares_of_mechanisms_follow_the_life_of_the_wearers(standard: WeighedFix) -> None:
    count = {name: len(standard.positions(name)) for name in ("GPS", "LBS", "WIFI")}
    total = sum(count.values())
    assert 0.2 < count["GPS"] / total < 0.6
    assert 0.35 < count["LBS"] / total < 0.7
    assert 0.03 < count["WIFI"] / total < 0.15
    reports = sum(len(upload.reports) for upload in standard.uploads)
    assert 450 < reports / 100 / DAYS < 850


def test_home_units_see_their_wearer_every_five_minutes_and_only_near_home(clean: WeighedFix) -> None:
    wearer = next(w for w in clean.world.wearers if w.hmu_id and len(clean.world.activations) and w.number > 3)
    sightings = [
        ms(r["event_time"]) for _, r in clean.reports() if r.get("hmu_id") == wearer.hmu_id and r["event"] == "RF_IN"
    ]
    lon, lat = clean.world.position(wearer.wearer_id, np.array(sightings, np.int64))
    home = clean.world.position(wearer.wearer_id, np.array([START_MS + 3 * HOUR_MS], np.int64))
    away_m = GEOD.inv(np.full_like(lon, home[0][0]), np.full_like(lat, home[1][0]), lon, lat)[2]
    assert away_m.max() < 40
    assert Counter(np.diff(sightings).tolist()).most_common(1)[0][0] == 300_000


def test_leaving_home_is_told_once_and_at_once(clean: WeighedFix) -> None:
    for upload, report in clean.reports():
        if report.get("event") == "RF_OUT":
            assert upload.send_ms - time_of(report) < 10_000
    for unit in {r["hmu_id"] for _, r in clean.reports() if "hmu_id" in r}:
        told = sorted(
            (time_of(r), r["event"]) for _, r in clean.reports() if r.get("hmu_id") == unit and "RF" in r["event"]
        )
        assert all({a[1], b[1]} != {"RF_OUT"} for a, b in pairwise(told))


# --- faults -----------------------------------------------------------------------------------------------------------


def duplicates(seen: WeighedFix) -> int:
    keys = Counter((u.device_id, u.boot, r["seq"]) for u, r in seen.reports())
    return sum(count > 1 for count in keys.values())


def resequenced(seen: WeighedFix) -> int:
    numbers: dict[tuple[str, bytes], set[tuple[int, int]]] = defaultdict(set)
    for upload, report in seen.reports():
        numbers[upload.device_id, content_of(report)].add((upload.boot, report["seq"]))
    return sum(len(keys) > 1 for keys in numbers.values())


def overtaken(seen: WeighedFix) -> int:
    top: dict[tuple[str, int], int] = defaultdict(int)
    count = 0
    fresh: set[tuple[str, int, int]] = set()
    for u in seen.uploads:
        first = u.reports[0]["seq"]
        new = (u.device_id, u.boot, first) not in fresh
        fresh |= {(u.device_id, u.boot, r["seq"]) for r in u.reports}
        count += new and first < top[u.device_id, u.boot]
        top[u.device_id, u.boot] = max(top[u.device_id, u.boot], first)
    return count


def late_h(seen: WeighedFix) -> float:
    return max(u.send_ms - time_of(r) + seen.world.skew_ms(u.device_id) for u, r in seen.reports()) / HOUR_MS


def strays(seen: WeighedFix) -> int:
    table = seen.errors_m([(u, r) for u, r in seen.positions("GPS") if r["precision_m"] < 20 and r["lat_deg"]])
    return int(np.sum(table[:, 0] > 2_000))


def nowhere(seen: WeighedFix) -> int:
    return sum(r.get("lat_deg") == 0 and r["lon_deg"] == 0 for _, r in seen.reports())


def restarts(seen: WeighedFix) -> int:
    return sum(u.boot > len(seen.world._senders[u.device_id].activations) for u in seen.uploads)


def long_silences(seen: WeighedFix) -> int:
    """Half an hour and more without a report by any tag, by the times that reports carry."""
    times: dict[str, list[int]] = defaultdict(list)
    for u, r in seen.reports():
        if not seen.world._senders[u.device_id].activations[1:]:
            times[u.device_id].append(time_of(r))
    return sum(int(np.sum(np.diff(sorted(t)) >= HOUR_MS / 2)) for t in times.values())


def skews(seen: WeighedFix) -> Counter[int]:
    return Counter(seen.world.skew_ms(device) for device in seen.world.devices())


def test_every_fault_occurs_among_100_wearers_in_3_days(standard: WeighedFix) -> None:
    events = standard.events()
    # heartbeats are rare: a sound tag has something else to say at least every five minutes
    alcohol = {"ALCOHOL_DETECTED", "ALCOHOL_CLEAR"}
    assert set(events) == {name for name in KINDS if name not in ("GPS", "LBS", "WIFI")} - alcohol
    assert events["STRAP_TAMPER"] > events["STRAP_CLEAR"] > 0
    assert duplicates(standard) > 0
    assert resequenced(standard) > 0
    assert overtaken(standard) > 0
    assert 4 < late_h(standard) < 18
    assert strays(standard) > 0
    assert nowhere(standard) > 0
    assert restarts(standard) > 0
    assert long_silences(standard) > 0
    assert {-3_600_000, 400_000} < set(skews(standard))
    assert 0.75 < skews(standard)[0] / len(standard.world.devices()) < 0.98
    assert any(5_000 <= abs(skew) <= 90_000 for skew in skews(standard))


def test_a_burst_comes_in_several_requests_after_an_outage() -> None:
    seen = WeighedFix("gaps", 20, 4)
    big = [u for u in seen.uploads if len(u.reports) > 40]
    assert big
    assert any(
        a.device_id == b.device_id and 0 < b.send_ms - a.send_ms < 10_000 for a in big for b in big if a is not b
    )


def test_a_clean_world_has_no_fault(clean: WeighedFix) -> None:
    assert set(clean.events()) <= {"RF_IN", "RF_OUT", "HEARTBEAT"}
    for fault in (duplicates, resequenced, overtaken, strays, nowhere, restarts, long_silences):
        assert fault(clean) == 0, fault.__name__
    assert set(skews(clean)) == {0}
    assert late_h(clean) * 60 < 10.2
    assert all(r["precision_m"] > 0 for _, r in clean.positions("LBS"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("battery_low", lambda seen: seen.events()["BATTERY_LOW"]),
        ("strap_tamper", lambda seen: seen.events()["STRAP_TAMPER"]),
        ("case_tamper", lambda seen: seen.events()["CASE_TAMPER"]),
        ("jamming", lambda seen: seen.events()["JAMMING"]),
        ("hmu_moved", lambda seen: seen.events()["HMU_MOVED"]),
        ("hmu_power_lost", lambda seen: seen.events()["HMU_POWER_LOST"]),
        ("reboot", restarts),
        ("outage", lambda seen: late_h(seen) > 1),
        ("duplicate_share", duplicates),
        ("resequenced_share", resequenced),
        ("delayed_share", overtaken),
        ("jump_share", strays),
        ("null_island_share", nowhere),
        ("lbs_unknown_share", lambda seen: any(r["precision_m"] == 0 for _, r in seen.positions("LBS"))),
        ("skew_ahead_share", lambda seen: 400_000 in skews(seen)),
    ],
)
def test_each_fault_can_be_turned_up_alone(name: str, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = replace(PRESETS["clean"], faults=replace(PRESETS["clean"].faults, **{name: 0.5}))
    monkeypatch.setitem(PRESETS, "one fault", mix)
    assert found(WeighedFix("one fault", 4, 2))


def test_lbs_heavy_is_94_percent_lbs() -> None:
    seen = WeighedFix("lbs_heavy", 30, 5)
    count = {name: len(seen.positions(name)) for name in ("GPS", "LBS", "WIFI")}
    assert count["LBS"] / sum(count.values()) == pytest.approx(0.94, abs=0.03)


def test_in_an_urban_canyon_the_reported_precision_promises_too_much() -> None:
    seen = WeighedFix("urban_canyon", 15, 5)
    table = seen.errors_m([(u, r) for u, r in seen.positions("GPS") if r["lat_deg"]])
    assert np.mean(table[:, 0] <= table[:, 1]) < 0.85


def test_jumps_have_strays_and_no_other_fault() -> None:
    seen = WeighedFix("jumps", 15, 5)
    assert strays(seen) > 20
    assert duplicates(seen) == overtaken(seen) == restarts(seen) == 0


def test_every_share_of_faults_is_off_in_the_clean_preset() -> None:
    lengths = ("factor", "_min", "_h", "_s", "_m", "burst_reports", "dies_share", "clears_share")
    for name in Faults.__dataclass_fields__:
        if not name.endswith(lengths):
            assert getattr(PRESETS["clean"].faults, name) == 0.0, name
