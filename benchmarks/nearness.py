"""How often *who was near here* is wrong: on emulated worlds, whose truth is known, and on real tracks, of which most is withheld.

    python -m benchmarks.nearness [--wearers 40] [--questions 4000] [--write docs/near.md]

A question is a place of 100 m within some hundred metres of where somebody truly was, and 10 minutes about then; it is put to that
person and to others of the world. *There* means that the true way came within the radius in the time. Beside the grades stands the
plain way: a position in the time within the radius.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.sent import sent_by
from emtrack.emulator import PRESETS, World
from geofence import Interval, parse_instant
from geofence.nearness import Grade, Spot, Trail, distances_m, graded, probability_within, trail_of
from geofence.shapes import Float64s, Int64s

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
IMAGE = ROOT / "docs" / "images" / "near-calibration.png"
START_MS = parse_instant("2026-03-02T04:00:00Z")
DAY_MS = 86_400_000
RADIUS_M = 100.0
HALF_MS = 5 * 60_000
WORLDS = ("clean", "standard.2", "lbs_heavy", "urban_canyon", "gaps", "jumps")
BEGIN, END = "<!-- measured by `make near` -->", "<!-- end -->"


class Tally:
    """Answers by grade, and by the plain way, of those who were there and those who were not."""

    def __init__(self) -> None:
        self.grades: Counter[tuple[Grade, bool]] = Counter()
        self.plain: Counter[tuple[bool, bool]] = Counter()

    def add(self, spot: Spot, window: Interval, trail: Trail, was_there: bool) -> None:
        self.grades[graded(spot, window, trail).grade, was_there] += 1
        self.plain[_plainly(spot, window, trail), was_there] += 1

    def row(self, name: str) -> str:
        there = sum(count for (_, was), count in self.grades.items() if was)
        absent = sum(count for (_, was), count in self.grades.items() if not was)
        cells = [name, f"{there:,}", f"{absent:,}"]
        for grade in (Grade.INSIDE, Grade.PROBABLY, Grade.NOT_EXCLUDED):
            cells.append(_share(self.grades[grade, False], self.grades[grade, False] + self.grades[grade, True]))
        cells.append(_share(self.grades[Grade.ELSEWHERE, True], there))
        named = sum(self.grades[grade, True] for grade in (Grade.INSIDE, Grade.PROBABLY))
        cells.append(f"{100 * named / max(there, 1):.0f} %")
        cells.append(_share(self.plain[True, False], self.plain[True, False] + self.plain[True, True]))
        cells.append(f"{100 * self.plain[True, True] / max(there, 1):.0f} %")
        return f"| {' | '.join(cells)} |"


HEAD = """| | there | not there | *inside*, wrongly | *probably*, wrongly | *not excluded*, not there | *elsewhere*, wrongly | found as *inside* or *probably* | plain: wrongly | plain: found |
|---|---|---|---|---|---|---|---|---|---|"""  # noqa: E501


def _share(wrong: int, of: int) -> str:
    return "none given" if of == 0 else f"{100 * wrong / of:.1f} % of {of:,}"


def _plainly(spot: Spot, window: Interval, trail: Trail) -> bool:
    away = distances_m(spot.lon_deg, spot.lat_deg, trail.lon_deg, trail.lat_deg)
    return bool(((trail.fix_ms >= window.begin_ms) & (trail.fix_ms < window.end_ms) & (away <= spot.radius_m)).any())


class Calibration(NamedTuple):
    """P of positions on places near them, and whether the true place lay within."""

    chance: list[float]
    within: list[bool]


def emulated(name: str, wearers: int, questions: int, calibration: Calibration) -> Tally:
    """A world of some people over a day."""
    world = World(wearers, 16, START_MS, "Europe/London", PRESETS[name])
    people: dict[str, list[Any]] = defaultdict(list)
    for sent in sent_by(world, START_MS + DAY_MS + 12 * 3_600_000):
        people[str(sent.plan.activation.wearer_id)].append(sent.positions)
    trails = {wearer: trail_of(devices) for wearer, devices in people.items()}
    chance, tally, names = np.random.default_rng(16), Tally(), sorted(trails)
    for number in range(questions):
        one = names[number % len(names)]
        at_ms = int(START_MS + chance.integers(3_600_000, DAY_MS - 3_600_000))
        window = Interval(at_ms - HALF_MS, at_ms + HALF_MS)
        asked = one if number % 4 else names[int(chance.integers(0, len(names)))]
        true_lon, true_lat = world.position(one, np.array([at_ms], np.int64))
        spot = _moved(float(true_lon[0]), float(true_lat[0]), chance)
        tally.add(spot, window, trails[asked], _came(world, asked, spot, window))
    for wearer, trail in trails.items():
        _calibrate(world, wearer, trail, chance, calibration)
    return tally


def _moved(lon_deg: float, lat_deg: float, chance: np.random.Generator) -> Spot:
    """A place so far away that it is there as often as not."""
    east, north = chance.normal(0, 120, 2)
    return Spot(lon_deg + east / (111_300 * np.cos(np.radians(lat_deg))), lat_deg + north / 111_200, RADIUS_M)


def _came(world: World, wearer: str, spot: Spot, window: Interval) -> bool:
    lon, lat = world.position(wearer, np.arange(window.begin_ms, window.end_ms, 1_000, dtype=np.int64))
    return bool((distances_m(spot.lon_deg, spot.lat_deg, lon, lat) <= spot.radius_m).any())


def _calibrate(world: World, wearer: str, trail: Trail, chance: np.random.Generator, into: Calibration) -> None:
    few = trail.taken(np.sort(chance.choice(len(trail.fix_ms), min(100, len(trail.fix_ms)), replace=False)))
    if not len(few.fix_ms):
        return
    lon, lat = world.position(wearer, few.fix_ms)
    for k in range(len(few.fix_ms)):
        reach_m = float(max(few.radius_m[k], 20.0))
        east, north = chance.normal(0, reach_m, 2)
        spot = Spot(
            float(few.lon_deg[k]) + east / (111_300 * np.cos(np.radians(53))),
            float(few.lat_deg[k]) + north / 111_200,
            reach_m,
        )
        away = distances_m(spot.lon_deg, spot.lat_deg, few.lon_deg[k], few.lat_deg[k])
        into.chance.append(float(probability_within(away, few.radius_m[k], reach_m)[0]))
        into.within.append(bool(distances_m(spot.lon_deg, spot.lat_deg, lon[k], lat[k]) <= reach_m))


# ---------------------------------------------------------------------------------------------- real tracks


class Track(NamedTuple):
    """Of one vehicle or bird: all that was recorded, sorted by time."""

    fix_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    radius_m: Float64s


def buses() -> Iterator[Track]:
    rows: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    with (DATA / "bods-liverpool-bus" / "route14_outbound.csv").open() as file:
        for row in csv.DictReader(file):
            at_ms = parse_instant(row["timestamp"].replace(" ", "T") + "Z")
            rows[row["vehicle_id"]].append((at_ms, float(row["longitude"]), float(row["latitude"]), 20.0))
    yield from _tracks(rows)


def birds() -> Iterator[Track]:
    rows: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    with gzip.open(DATA / "movebank-oystercatcher" / "O_ASSEN-gps-2018.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["location-error-numerical"]:
                # What the tag says is one sigma; ours is the circle of 95 %.
                radius_m = max(3.0, 2.448 * float(row["location-error-numerical"]))
                at_ms = parse_instant(row["timestamp"].replace(" ", "T") + "Z")
                bird = row["individual-local-identifier"]
                rows[bird].append((at_ms, float(row["location-long"]), float(row["location-lat"]), radius_m))
    yield from _tracks(rows)


def _tracks(rows: dict[str, list[tuple[int, float, float, float]]]) -> Iterator[Track]:
    for points in rows.values():
        at, lon, lat, radius = (np.array(column) for column in zip(*sorted(set(points)), strict=True))
        once = np.concatenate(([True], np.diff(at) > 0))
        if once.sum() >= 40:
            yield Track(at[once].astype(np.int64), lon[once], lat[once], radius[once])


def withheld(tracks: Sequence[Track], every: int, questions: int) -> Tally:
    """One position in `every` is evidence; the others are where it truly was."""
    chance, tally = np.random.default_rng(16), Tally()
    for number in range(questions):
        track = tracks[number % len(tracks)]
        kept = np.arange(len(track.fix_ms)) % every == 0
        middle = int(chance.integers(every, len(track.fix_ms) - every))
        window = Interval(int(track.fix_ms[middle]) - HALF_MS, int(track.fix_ms[middle]) + HALF_MS)
        spot = _moved(float(track.lon_deg[middle]), float(track.lat_deg[middle]), chance)
        in_time = (track.fix_ms >= window.begin_ms) & (track.fix_ms < window.end_ms)
        away = distances_m(spot.lon_deg, spot.lat_deg, track.lon_deg[in_time], track.lat_deg[in_time])
        nothing = np.zeros(len(track.fix_ms), np.int64)
        trail = Trail(track.fix_ms, track.lon_deg, track.lat_deg, track.radius_m, nothing).taken(kept)
        tally.add(spot, window, trail, bool((away <= spot.radius_m).any()))
    return tally


# ---------------------------------------------------------------------------------------------- the picture


def bins_of(calibration: Calibration) -> list[tuple[float, float, int]]:
    """(mean P, share that lay within, how many) of each tenth."""
    chance, within = np.array(calibration.chance), np.array(calibration.within)
    place = np.minimum((chance * 10).astype(int), 9)
    return [
        (float(chance[place == k].mean()), float(within[place == k].mean()), int((place == k).sum()))
        for k in range(10) if (place == k).any()
    ]  # fmt: skip


def draw(found: dict[str, Calibration]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.6))
    axes.plot([0, 1], [0, 1], color="#b1b4b6", lw=1, label="as it should be")
    for (name, calibration), mark in zip(found.items(), "osD^vP", strict=False):
        points = bins_of(calibration)
        axes.plot([p for p, _, _ in points], [share for _, share, _ in points], marker=mark, ms=5, lw=1, label=name)
    axes.set_xlabel("P that the true place lay within")
    axes.set_ylabel("share of which it did")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(IMAGE, dpi=110)


def page(wearers: int, questions: int) -> str:
    lines, found = [HEAD], {}
    for name in WORLDS:
        found[name] = Calibration([], [])
        lines.append(emulated(name, wearers, questions, found[name]).row(f"world `{name}`"))
        print(lines[-1], flush=True)
    for name, tracks, every in (("buses of Liverpool, 1 in 5", buses, 5), ("oystercatchers, 1 in 2", birds, 2)):
        if DATA.exists():
            lines.append(withheld(list(tracks()), every, questions).row(name))
            print(lines[-1], flush=True)
    draw(found)
    lines += [
        "",
        "| P of a position | " + " | ".join(f"`{name}`" for name in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for k in range(10):
        cells = []
        for calibration in found.values():
            chance, within = np.array(calibration.chance), np.array(calibration.within)
            of = np.minimum((chance * 10).astype(int), 9) == k
            cells.append(f"{within[of].mean():.2f} of {of.sum():,}" if of.any() else "none")
        lines.append(f"| {k / 10:.1f} to {(k + 1) / 10:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wearers", type=int, default=40)
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--write", type=Path)
    wish = parser.parse_args()
    measured = page(wish.wearers, wish.questions)
    if wish.write is None:
        print(measured)
        return
    text = wish.write.read_text()
    before, _, rest = text.partition(BEGIN)
    wish.write.write_text(f"{before}{BEGIN}\n{measured}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
