"""Which detector of stops: ours beside those of movingpandas and trackintel.

    python -m benchmarks.stops [--data ../shared/data] [--people 12] [--write docs/stops.md]

The two others are no dependencies: `pip install movingpandas trackintel` into the environment that this runs in, or their lines are
missing. Each gets the same positions, once as they are and once without those whose circle is larger than 100 m, as one would use a
library that knows no circles.

    people    days of the emulator's invented people, whose true ways are known: a position a minute (GPS), and a tag that hears
    cells most of
              the time (94 % LBS; radius p50 57 m, p90 729 m, every 5 minutes). Right: the share of the time in true stops and in
              found ones together that is in both.
    buses     the 16 trips of real buses (GPS without circles, 10 m taken), without a truth: the stops of 3 minutes and more that are
              found when circles of 57 to 729 m come between them, beside those found before. Right: the share that is in both.
    bird      the same with a real tag of 10 minutes and more between positions, and its own circles.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from emtrack.emulator.world import build_world
from geofence import Interval, Mechanism, Position, clipped, merged
from geofence.dwelling import StopRules, stops_of

BEGIN, END = "<!-- stops begin -->", "<!-- stops end -->"
MINUTE_MS, DAY_MS = 60_000, 86_400_000
START_MS = 1_772_409_600_000  # 2 March 2026
M_PER_DEG = 111_195.0
VAGUE_M = 100.0
LEAST_MS = 10 * MINUTE_MS
LBS_SIGMA = math.log(729 / 57) / 1.2816
Find = Callable[[Sequence[Position], int, int], list[Interval]]


# ---------------------------------------------------------------------------------------------- detectors


def ours(positions: Sequence[Position], least_ms: int, unseen_ms: int) -> list[Interval]:
    rules = StopRules(least_ms=least_ms, unseen_ms=unseen_ms)
    return [Interval(stop.begin_ms, stop.end_ms) for stop in stops_of(positions, rules) if stop.exact]


def frame(positions: Sequence[Position]) -> Any:
    import geopandas
    import pandas  # type: ignore[import-untyped]

    at = pandas.to_datetime([p.fix_ms for p in positions], unit="ms", utc=True)
    places = geopandas.points_from_xy([p.lon_deg for p in positions], [p.lat_deg for p in positions])
    return geopandas.GeoDataFrame({"user_id": 1, "tracked_at": at}, geometry=places, crs=4326)


def by_movingpandas(positions: Sequence[Position], least_ms: int, unseen_ms: int) -> list[Interval]:
    import movingpandas  # type: ignore[import-not-found]
    import pandas

    del unseen_ms
    if len(positions) < 3:
        return []
    table = frame(positions).drop_duplicates("tracked_at").set_index("tracked_at").tz_localize(None)
    way = movingpandas.Trajectory(table, traj_id=1)
    found = movingpandas.TrajectoryStopDetector(way).get_stop_time_ranges(
        min_duration=pandas.Timedelta(milliseconds=least_ms), max_diameter=120
    )
    return [Interval(int(one.t_0.value // 10**6), int(one.t_n.value // 10**6)) for one in found]


def by_trackintel(positions: Sequence[Position], least_ms: int, unseen_ms: int) -> list[Interval]:
    import trackintel  # type: ignore[import-not-found]

    fixes = trackintel.Positionfixes(frame(positions).set_geometry("geometry"))
    _, found = fixes.generate_staypoints(
        method="sliding", dist_threshold=100, time_threshold=least_ms / MINUTE_MS, gap_threshold=unseen_ms / MINUTE_MS,
        include_last=True,
    )  # fmt: skip
    return [
        Interval(int(row.started_at.timestamp() * 1000), int(row.finished_at.timestamp() * 1000))
        for row in found.itertuples()
    ]


def without_vague(find: Find) -> Find:
    return lambda positions, least_ms, unseen_ms: find(
        [p for p in positions if p.radius_m <= VAGUE_M], least_ms, unseen_ms
    )


def detectors() -> dict[str, Find]:
    found: dict[str, Find] = {"ours": ours}
    for name, find in (("movingpandas", by_movingpandas), ("trackintel", by_trackintel)):
        try:
            __import__(name)
        except ImportError:
            continue
        found[name] = find
        found[f"{name}, circles over {VAGUE_M:.0f} m left out"] = without_vague(find)
    return found


# ---------------------------------------------------------------------------------------------- positions


def heard(rng: np.random.Generator, at_ms: int, lon: float, lat: float, radius_m: float, kind: Mechanism) -> Position:
    """A position with an error that lies within its circle 95 % of the time."""
    off_m = radius_m / 2.448 * rng.normal(size=2)
    east = off_m[0] / (M_PER_DEG * math.cos(math.radians(lat)))
    return Position(at_ms, lat + off_m[1] / M_PER_DEG, lon + east, radius_m, kind, at_ms, at_ms)


def cell_radius_m(rng: np.random.Generator) -> float:
    return float(np.clip(57 * math.exp(LBS_SIGMA * rng.normal()), 20, 1_600))


def person(world: Any, wearer: str, days: int, tag: str) -> list[Position]:
    rng = np.random.default_rng(len(wearer) + sum(map(ord, wearer)))
    step_ms = MINUTE_MS if tag == "GPS a minute" else 5 * MINUTE_MS
    at_ms = START_MS + np.arange(days * DAY_MS // step_ms, dtype=np.int64) * step_ms
    lon, lat = world.position(wearer, at_ms)
    fixes = []
    for n, at in enumerate(at_ms.tolist()):
        is_cell = tag != "GPS a minute" and rng.random() < 0.94
        radius_m = cell_radius_m(rng) if is_cell else float(rng.uniform(3, 17))
        fixes.append(heard(rng, at, lon[n], lat[n], radius_m, Mechanism.LBS if is_cell else Mechanism.GPS))
    return fixes


def true_stops(world: Any, wearer: str, days: int) -> list[Interval]:
    """Where the true way stays within 60 m of one place for 10 minutes, looked at twice a minute."""
    at_ms = START_MS + np.arange(days * DAY_MS // 30_000, dtype=np.int64) * 30_000
    lon, lat = world.position(wearer, at_ms)
    x, y = lon * M_PER_DEG * math.cos(math.radians(float(lat[0]))), lat * M_PER_DEG
    found, first = [], 0
    for n in range(1, len(at_ms) + 1):
        if n == len(at_ms) or math.hypot(x[n] - x[first], y[n] - y[first]) > 60:
            if at_ms[n - 1] - at_ms[first] >= LEAST_MS:
                found.append(Interval(int(at_ms[first]), int(at_ms[n - 1])))
            first = n
    return found


def buses(data: Path) -> list[list[Position]]:
    path = data / "bods-liverpool-bus" / "route14_outbound.csv"
    trips: dict[str, list[Position]] = {}
    if path.exists():
        with path.open() as lines:
            for row in csv.DictReader(lines):
                at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
                at_ms = int(at.timestamp() * 1000)
                fix = Position(
                    at_ms, float(row["latitude"]), float(row["longitude"]), 10.0, Mechanism.GPS, at_ms, at_ms
                )
                trips.setdefault(f"{row['vehicle_id']} {row['trip_id']}", []).append(fix)
    return [in_order(trip) for trip in trips.values()]


def bird(data: Path) -> list[list[Position]]:
    path = data / "movebank-oystercatcher" / "O_ASSEN-gps-2018.csv.gz"
    birds: dict[str, list[Position]] = {}
    if path.exists():
        with gzip.open(path, "rt") as lines:
            for row in csv.DictReader(lines):
                if not row["location-lat"]:
                    continue
                at_ms = int(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp() * 1000)
                radius_m = float(
                    row.get("gps:horizontal-accuracy-estimate") or row.get("eobs:horizontal-accuracy-estimate") or 10
                )
                fix = Position(
                    at_ms,
                    float(row["location-lat"]),
                    float(row["location-long"]),
                    radius_m,
                    Mechanism.GPS,
                    at_ms,
                    at_ms,
                )
                birds.setdefault(row["individual-local-identifier"], []).append(fix)
    return [in_order(one)[:3_000] for one in birds.values()]


def in_order(fixes: list[Position]) -> list[Position]:
    return sorted({fix.fix_ms: fix for fix in fixes}.values(), key=lambda fix: fix.fix_ms)


def with_cells(fixes: Sequence[Position]) -> list[Position]:
    """Between each two a cell that the same true place is in."""
    rng = np.random.default_rng(11)
    more = [
        heard(rng, (a.fix_ms + b.fix_ms) // 2, a.lon_deg, a.lat_deg, cell_radius_m(rng), Mechanism.LBS)
        for a, b in pairwise(fixes)
        if b.fix_ms - a.fix_ms > 1
    ]
    return in_order([*fixes, *more])


# ---------------------------------------------------------------------------------------------- figures


def in_both(one: Sequence[Interval], other: Sequence[Interval]) -> tuple[int, int]:
    """Time in both, and time in either."""
    one, other = merged(list(one)), merged(list(other))
    both = sum(part.end_ms - part.begin_ms for span in one for part in clipped(other, *span))
    lengths = sum(span.end_ms - span.begin_ms for span in (*one, *other))
    return both, lengths - both


def share(pairs: Sequence[tuple[int, int]]) -> str:
    either = sum(pair[1] for pair in pairs)
    return "–" if either == 0 else f"{100 * sum(pair[0] for pair in pairs) / either:.1f} %"


def people_right(find: Find, world: Any, people: int, days: int, tag: str) -> tuple[str, float]:
    pairs, took_s, count = [], 0.0, 0
    for wearer in world.wearers[:people]:
        fixes = person(world, wearer.wearer_id, days, tag)
        begin = time.perf_counter()
        found = find(fixes, LEAST_MS, 60 * MINUTE_MS)
        took_s, count = took_s + time.perf_counter() - begin, count + len(fixes)
        pairs.append(in_both(true_stops(world, wearer.wearer_id, days), found))
    return share(pairs), took_s / count * 20_160


def unchanged(find: Find, trips: Sequence[Sequence[Position]], least_ms: int, unseen_ms: int) -> str:
    return share(
        [in_both(find(trip, least_ms, unseen_ms), find(with_cells(trip), least_ms, unseen_ms)) for trip in trips]
    )


def report(data: Path, people: int) -> list[str]:
    world = build_world(people, 7, START_MS)
    trips, birds = buses(data), bird(data)
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores; {people} people of 3 days; {sum(map(len, trips)):,} positions of buses, "
        f"{sum(map(len, birds)):,} of birds.",
        "",
        "| detector | people, GPS a minute | people, 94 % LBS | buses | bird | a fortnight (20,160) takes, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, find in detectors().items():
        gps, took_s = people_right(find, world, people, 3, "GPS a minute")
        cells, _ = people_right(find, world, people, 3, "cells")
        told = [
            gps,
            cells,
            unchanged(find, trips, 3 * MINUTE_MS, 60 * MINUTE_MS),
            unchanged(find, birds, 30 * MINUTE_MS, 120 * MINUTE_MS),
        ]
        lines.append(f"| {name} | {' | '.join(told)} | {took_s:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stops", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent.parent.parent / "shared" / "data")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--write", type=Path, help="a page whose part between the markers is written anew")
    options = parser.parse_args()
    out = "\n".join(report(options.data, options.people))
    print(out)
    if options.write:
        part = f"{BEGIN}\n{out}\n{END}"
        options.write.write_text(
            re.sub(f"{BEGIN}.*{END}", lambda _: part, options.write.read_text(), flags=re.DOTALL)
        )


if __name__ == "__main__":
    main()
