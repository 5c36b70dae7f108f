"""The geofence core beside what a user could pick instead, and beside the machine: `python -m benchmarks.geofence`.

Every ratio is of two medians of one run, taken in turns, because the machine is small and shared. The workloads are invented
(`geofence_worlds.py`); with `--data` those of shared data are measured too, if they are there.

    W1   30,000 wearers with 5 zones of 20 corners each
    W2   a shared set of 30,000 small polygons (schools)
    W3   a shared set of 50 districts of 10,000 to 50,000 corners
    W4   all of it for every fix
    r    with radii like the field's, and the three-valued verdict that RULES.md needs
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from numba import njit

from benchmarks import geofence_worlds as worlds
from geofence.shapes import kernels_sets as ks
from geofence.shapes.arrays import Float64s, Int64s
from geofence.shapes.kernels import UNITS_PER_DEG, metric_at
from geofence.shapes.kernels_sweep import Rules
from geofence.shapes.kernels_zones import PackedZones
from geofence.shapes.margins import contained, masks_of
from geofence.shapes.packing import Rings, packed_rings, units
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet
from geofence.sweep.duties import Duties
from geofence.sweep.following import Positions, Sweep
from geofence.zones import Area

ROUNDS = 5
BEGIN, END = "<!-- geofence begin -->", "<!-- geofence end -->"


class Line(NamedTuple):
    """A line of the table: nanoseconds a fix of ours and of the other, medians, and their ratio."""

    what: str
    ours_ns: float
    other: str
    other_ns: float
    wanted: str = ""

    @property
    def ratio(self) -> float:
        return self.other_ns / self.ours_ns


Timed = tuple[Callable[[], object], int]
"""What is done, and for how many fixes."""


def medians_ns(tasks: Sequence[Timed], rounds: int = ROUNDS) -> list[float]:
    """Nanoseconds a fix of each task: medians of rounds in which they take turns. Each runs once before."""
    times: list[list[float]] = [[] for _ in tasks]
    for task, _ in tasks:
        task()
    for _ in range(rounds):
        for (task, count), found in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            found.append((time.perf_counter() - start) / count * 1e9)
    return [statistics.median(found) for found in times]


def _points(places: Float64s) -> npt.NDArray[np.object_]:
    """Shapely's points of (n, 2)."""
    return np.array(shapely.points(places), np.object_)


# ---------------------------------------------------------------------------------------------- the machine


@njit(nogil=True)
def _random_lines(memory: Int64s, at: Int64s) -> int:
    total = 0
    for i in range(at.shape[0]):
        total += memory[at[i]]
    return total


@njit(nogil=True)
def _stream(memory: Int64s) -> int:
    total = 0
    for i in range(memory.shape[0]):
        total += memory[i]
    return total


class Machine(NamedTuple):
    """line_ns: a line of memory at random, many under way at once. stream_gb_s: read one after the other."""

    line_ns: float
    stream_gb_s: float


def calibrated(megabytes: float) -> Machine:
    """The cost of a random line in so much memory, and of reading it in order."""
    memory = np.ones(int(megabytes * 131_072), np.int64)  # zeros that nobody has written are all one page
    at = np.random.default_rng(0).integers(0, len(memory) // 8, 1_000_000) * 8
    line_ns, word_ns = medians_ns(
        [(lambda: _random_lines(memory, at), len(at)), (lambda: _stream(memory), len(memory))]
    )
    return Machine(line_ns, 8 / word_ns)


# ---------------------------------------------------------------------------------------------- W1


class PersonalWorld(NamedTuple):
    zones: PackedZones
    first: Int64s
    duties: Duties
    fixes: Positions
    polygons: npt.NDArray[np.object_]
    """In metres of the wearer's own frame; prepared, and so are their boundaries."""
    boundaries: npt.NDArray[np.object_]
    points_m: Float64s


def personal_world(wearers: int, fixes_each: int, *, peers: bool) -> PersonalWorld:
    rng = np.random.default_rng(1)
    homes = worlds.towns(rng, wearers)
    zones = worlds.personal_zones(rng, homes)
    count, corners, _ = zones.rings.shape
    rings = Rings(units(zones.rings), np.arange(1, count + 1) * corners, np.arange(count + 1))
    pack = packed_rings(rings, np.zeros(count))
    first = np.arange(wearers + 1) * zones.per_wearer
    fixes = worlds.lives(rng, homes, fixes_each)
    conditions = np.zeros((count, 3), np.int64)
    conditions[:, 0], conditions[:, 1] = 1, 2
    conditions[:: zones.per_wearer, 0] = -1  # the home is a curfew address, from 19:00 to 07:00 on each of 40 days
    nights = np.array([(h * 3_600_000, (h + 12) * 3_600_000) for h in range(0, 960, 24)], np.int64)
    always = np.array([(-(2**62), 2**62)], np.int64)
    per_wearer = np.concatenate([nights, *[always] * (zones.per_wearer - 1)])
    ends = np.cumsum([0, *([len(nights)] + [1] * (zones.per_wearer - 1)) * wearers])
    duties = Duties(pack, first, Rules(conditions, np.tile(per_wearer, (wearers, 1)), ends, 900_000))
    if not peers:
        nothing = np.empty(0, np.object_)
        return PersonalWorld(pack, first, duties, fixes, nothing, nothing, np.empty((0, 2)))
    origin = np.repeat(homes, zones.per_wearer, axis=0)[:, None]
    scale = worlds.M_PER_DEG * np.stack([np.cos(np.radians(origin[..., 1])), np.ones_like(origin[..., 1])], axis=-1)
    polygons = np.array(shapely.polygons((zones.rings - origin) * scale), np.object_)
    home = homes[fixes.wearer]
    points_m = (np.column_stack([fixes.lon_deg, fixes.lat_deg]) - home) * worlds.M_PER_DEG
    points_m[:, 0] *= np.cos(np.radians(home[:, 1]))
    boundaries = np.array(shapely.boundary(polygons), np.object_)
    shapely.prepare(polygons)
    shapely.prepare(boundaries)
    return PersonalWorld(pack, first, duties, fixes, polygons, boundaries, points_m)


def swept(world: PersonalWorld, fixes: Positions) -> Int64s:
    return Sweep(world.duties).feed(
        Positions(fixes.wearer, fixes.lon_deg, fixes.lat_deg, fixes.radius_m, fixes.fix_ms)
    )


def shapely_and_python(world: PersonalWorld, count: int) -> int:
    """What users write: margins by vectorised shapely on all pairs, then the state of each zone in Python."""
    each = 5
    fixes = world.fixes
    which = (fixes.wearer[:count, None].astype(np.int64) * each + np.arange(each)).ravel()
    polygons = world.polygons[which]
    points = _points(np.repeat(world.points_m[:count], each, axis=0))
    distance_m = shapely.distance(world.boundaries[which], points)
    margin_m = np.where(shapely.contains(polygons, points), distance_m, -distance_m).reshape(count, each)
    radius_m = fixes.radius_m[:count, None]
    verdicts = ((margin_m >= radius_m).astype(np.int8) - (margin_m <= -radius_m).astype(np.int8)).tolist()
    last: dict[int, tuple[int, int, int, int]] = {}
    presence: dict[int, int] = {}
    events = 0
    wearers, times = fixes.wearer[:count].tolist(), fixes.fix_ms[:count].tolist()
    for who, at_ms, answers in zip(wearers, times, verdicts, strict=True):
        zone = who * each
        for verdict in answers:
            if verdict:
                was, first_ms, length, last_ms = last.get(zone, (0, 0, 0, 0))
                if was == verdict and at_ms - last_ms <= 900_000:
                    length += 1
                else:
                    first_ms, length = at_ms, 1
                last[zone] = (verdict, first_ms, length, at_ms)
                if length >= 2 and presence.get(zone, 0) != verdict:
                    presence[zone] = verdict
                    obliged = zone % each or first_ms % 86_400_000 < 43_200_000
                    events += bool(obliged)
            zone += 1
    return events


def w1(world: PersonalWorld, n: int, few: int) -> list[Line]:
    fixes = world.fixes
    arrived = worlds.taken(fixes, worlds.arrival_order(fixes))
    which = (fixes.wearer[:few, None].astype(np.int64) * 5 + np.arange(5)).ravel()
    x, y = np.repeat(world.points_m[:few], 5, axis=0).T.copy()
    chosen = world.polygons[which]
    ours = [
        (lambda: contained(world.zones, world.first, fixes.wearer, fixes.lon_deg, fixes.lat_deg), n),
        (lambda: contained(world.zones, world.first, arrived.wearer, arrived.lon_deg, arrived.lat_deg), n),
        (lambda: swept(world, fixes), n),
        (lambda: swept(world, arrived), n),
        (lambda: shapely.contains_xy(chosen, x, y), few),
        (lambda: shapely_and_python(world, few // 4), few // 4),
    ]
    in_sorted, in_arrival, full_sorted, full_arrival, pairs, python = medians_ns(ours)
    best, naive = "shapely contains_xy, prepared, on pairs by device", "vectorised shapely + Python state"
    return [
        Line("W1 in/out, by device", in_sorted, best, pairs, "6"),
        Line("W1 in/out, in order of arrival", in_arrival, best + " (by device)", pairs),
        Line("W1 full step, by device", full_sorted, naive, python, "60"),
        Line("W1 full step, in order of arrival", full_arrival, naive + " (by device)", python, "30"),
    ]


# ---------------------------------------------------------------------------------------------- W2, W3


class SetWorld(NamedTuple):
    zone_set: ZoneSet
    built_s: float
    vertices: int
    polygons: npt.NDArray[np.object_]
    """In degrees."""
    polygons_m: npt.NDArray[np.object_]
    lon_deg: Float64s
    lat_deg: Float64s
    points_m: Float64s
    radius_m: Float64s


def set_world(rings: Sequence[Float64s], places: Float64s, radius_m: Float64s) -> SetWorld:
    members = [Member(f"Z{i:06d}", Area(((tuple(map(tuple, ring.tolist())),),))) for i, ring in enumerate(rings)]
    build(members[:2])  # compiles
    taken_s: list[float] = []
    while len(taken_s) < 3 and sum(taken_s) < 6:
        start = time.perf_counter()
        zone_set = build(members)
        taken_s.append(time.perf_counter() - start)
    scale = worlds.M_PER_DEG * np.array([np.cos(np.radians(53.0)), 1.0])  # a plane is plane enough for a baseline
    return SetWorld(
        zone_set, statistics.median(taken_s), sum(map(len, rings)),
        np.array([shapely.Polygon(ring) for ring in rings], np.object_),
        np.array([shapely.Polygon(ring * scale) for ring in rings], np.object_),
        places[:, 0].copy(), places[:, 1].copy(), places * scale, radius_m,
    )  # fmt: skip


def best_of(routes: dict[str, Timed]) -> tuple[str, float]:
    """The fastest route of a peer, by name."""
    times = medians_ns(list(routes.values()), 3)
    return min(zip(routes, times, strict=True), key=lambda pair: pair[1])


def in_out_routes(world: SetWorld, few: int) -> dict[str, Timed]:
    """In or out of a set by shapely, points prebuilt; what is made anew for every batch of fixes is part of the time."""
    tree = shapely.STRtree(world.polygons)
    shapely.prepare(world.polygons)
    points = _points(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    x, y = world.lon_deg[:few].copy(), world.lat_deg[:few].copy()

    def boxes_then_prepared() -> object:
        which, polygon = tree.query(points)
        return which[shapely.contains_xy(world.polygons[polygon], x[which], y[which])]

    return {
        "STRtree boxes, then prepared contains_xy": (boxes_then_prepared, few),
        "STRtree of the points, prepared polygons": (
            lambda: shapely.STRtree(points).query(world.polygons, predicate="contains"), few,
        ),
    }  # fmt: skip


def within_route(world: SetWorld, few: int) -> Timed:
    tree = shapely.STRtree(world.polygons)
    points = _points(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    return lambda: tree.query(points, predicate="within"), few


def radius_route(world: SetWorld, few: int) -> Timed:
    """The three-valued verdict by shapely: what is within the radius at all, then sides and distances of those pairs."""
    tree = shapely.STRtree(world.polygons_m)
    points = _points(world.points_m[:few])
    boundaries = shapely.boundary(world.polygons_m)
    shapely.prepare(boundaries)
    shapely.prepare(world.polygons_m)
    radius_m = world.radius_m[:few]

    def verdicts() -> object:
        answers = np.full(few, -1, np.int8)
        which, polygon = tree.query(points, predicate="dwithin", distance=radius_m)
        answers[which] = 0
        holds = shapely.contains(world.polygons_m[polygon], points[which])
        which, polygon = which[holds], polygon[holds]
        deep = ~shapely.dwithin(boundaries[polygon], points[which], radius_m[which])
        answers[which[deep]] = 1
        return answers

    return verdicts, few


def shared(name: str, world: SetWorld, n: int, few: int, wanted: tuple[str, str, str]) -> list[Line]:
    zone_set = world.zone_set
    best, _ = best_of(in_out_routes(world, few))
    ours, with_radius, route, within, radius = medians_ns(
        [
            (lambda: zone_set.contains(world.lon_deg, world.lat_deg), n),
            (lambda: zone_set.verdicts(world.lon_deg, world.lat_deg, world.radius_m), n),
            in_out_routes(world, few)[best],
            within_route(world, few),
            radius_route(world, few),
        ]
    )
    return [
        Line(f"{name} in/out", ours, f"shapely, best route: {best}", route, wanted[0]),
        Line(f"{name} in/out", ours, "shapely STRtree `within`", within, wanted[1]),
        Line(
            f"{name}r verdict with radii", with_radius, "shapely dwithin, then sides and distances", radius, wanted[2]
        ),
    ]


def prepared_on_candidates(world: SetWorld, few: int) -> Timed:
    """GEOS prepared polygons on candidates that are given: no search at all is counted."""
    shapely.prepare(world.polygons)
    which, polygon = shapely.STRtree(world.polygons).query(
        _points(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    )
    x, y, chosen = world.lon_deg[which], world.lat_deg[which], world.polygons[polygon]
    return lambda: shapely.contains_xy(chosen, x, y), len(which)


def hits(world: SetWorld, few: int = 100_000) -> str:
    points = _points(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]]))
    candidates = shapely.STRtree(world.polygons).query(points).shape[1] / len(points)
    inside = world.zone_set.contains(world.lon_deg[:few], world.lat_deg[:few]).mean()
    verdicts = world.zone_set.verdicts(world.lon_deg[:few], world.lat_deg[:few], world.radius_m[:few])
    unknown = float((verdicts == 0).mean())
    return (
        f"{candidates:.2f} candidates and {inside:.2f} hits a point; {unknown:.0%} of the verdicts with radii UNKNOWN"
    )


# ---------------------------------------------------------------------------------------------- the rest


@njit(nogil=True)
def _local_metres(place_deg: Float64s, east_m: Float64s, north_m: Float64s, lon_deg: float, lat_deg: float) -> None:
    """Metres east and north of an origin near n positions (2, n), as the near distances take them: float64 (n,), written."""
    for i in range(place_deg.shape[1]):
        east, north, change = metric_at(place_deg[1, i])
        to_north = (place_deg[1, i] - lat_deg) * UNITS_PER_DEG
        east_m[i] = (place_deg[0, i] - lon_deg) * UNITS_PER_DEG * (east - change * to_north)
        north_m[i] = to_north * north


def projection(n: int) -> Line:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-3, 0.5, n), rng.uniform(51, 54.5, n)
    place, east, north = np.stack([lon, lat]), np.empty(n), np.empty(n)
    few = n // 20
    to_grid = pyproj.Transformer.from_crs(4326, 27700, always_xy=True)
    ours, theirs = medians_ns(
        [
            (lambda: _local_metres(place, east, north, -2.0, 53.0), n),
            (lambda: to_grid.transform(lon[:few], lat[:few]), few),
        ]
    )
    return Line("longitude/latitude to metres", ours, "pyproj to EPSG:27700", theirs, "50")


def two_threads(world: PersonalWorld) -> Line:
    """The same positions classified by one thread and by two; how much faster two are stands in the place of a ratio."""
    fixes = world.fixes
    half = len(fixes.wearer) // 2
    parts = [fixes.part(0, half), fixes.part(half, 2 * half)]

    def classify(part: Positions) -> None:
        masks_of(world.zones, world.first, part.wearer, part.lon_deg, part.lat_deg, part.radius_m)

    def one_by_one() -> None:
        for part in parts:
            classify(part)

    def together() -> None:
        threads = [threading.Thread(target=classify, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    both, one = medians_ns([(together, 2 * half), (one_by_one, 2 * half)])
    return Line("verdicts, two threads", both, "one thread", one, "1.7")


def growth(sizes: Sequence[int], n: int) -> list[tuple[int, float, float]]:
    """Wearers, nanoseconds a fix of the full step in order of arrival, bytes a wearer. As in a service that runs, each round goes on
    where the one before ended."""
    tasks, bytes_each = [], []
    for wearers in sizes:
        world = personal_world(wearers, max(2, n // wearers), peers=False)
        arrived = worlds.taken(world.fixes, worlds.arrival_order(world.fixes))
        sweep = Sweep(world.duties)
        bytes_each.append((world.zones.boxes.nbytes + world.zones.shapes.nbytes + sweep.nbytes) / wearers)
        length_ms = int(np.ptp(arrived.fix_ms)) + 60_000
        rounds = iter([arrived._replace(fix_ms=arrived.fix_ms + i * length_ms) for i in range(ROUNDS + 1)])
        tasks.append((partial(_feed_next, sweep, rounds), len(arrived.wearer)))
    return list(zip(sizes, medians_ns(tasks), bytes_each, strict=True))


def _feed_next(sweep: Sweep, rounds: Iterator[Positions]) -> None:
    sweep.feed(next(rounds))


_NUMBA = "import time; s = time.perf_counter(); import numba; print(time.perf_counter() - s)"
_FIRST_FIX = """
import time
start = time.perf_counter()
from geofence.facts import Position
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, Plan, Requirement
from geofence.words import Mechanism, ObligationKind
from geofence.zones import Disc
requirement = Requirement("", "", "", ObligationKind.EXCLUSION, 0, 1, Disc((0.0, 0.0), 1.0))
judge_history(Plan(Activation("", "", "", 0, 1), (requirement,)), [Position(0, 0.0, 1.0, None, Mechanism.GPS, 0)], 0)
print(time.perf_counter() - start)
"""
_SERVICE = """
import time
start = time.perf_counter()
from emtrack.service.app import warm_up
warm_up()
print(time.perf_counter() - start)
"""


class ColdStart(NamedTuple):
    """Seconds in fresh interpreters with a warm cache, medians: `import numba`; the core imported and its first fix judged; the
    same with all that the service imports."""

    numba_s: float
    core_s: float
    service_s: float


def cold_start() -> ColdStart:
    def taken(code: str) -> float:
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return float(run.stdout)

    programs = (_NUMBA, _FIRST_FIX, _SERVICE)
    for program in programs:
        taken(program)
    rounds = [[taken(program) for program in programs] for _ in range(ROUNDS)]
    return ColdStart(*(statistics.median(column) for column in zip(*rounds, strict=True)))


# ---------------------------------------------------------------------------------------------- real shapes


def real_world(folder: Path) -> SetWorld | None:
    """The LSOAs of four districts, and the street crime of three months."""
    files = sorted((folder / "uk-boundaries" / "lsoa_by_lad").glob("*.json"))
    if not files:
        return None
    rings: list[Float64s] = []
    for file in files:
        for feature in json.loads(file.read_text())["features"]:
            geometry = feature["geometry"]
            polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            rings += [np.array(polygon[0], np.float64) for polygon in polygons]
    places = []
    for file in sorted((folder / "police-uk-staffordshire").glob("*-street.csv")):
        with file.open() as lines:
            head = next(lines).strip().split(",")
            at = head.index("Longitude")
            places += [line.split(",")[at : at + 2] for line in lines]
    points = np.array([(float(lon), float(lat)) for lon, lat in places if lon and lat])
    rng = np.random.default_rng(6)
    points = points[rng.integers(0, len(points), 200_000)]
    return set_world(rings, points, worlds.radii_like_the_field(rng, len(points)))


# ---------------------------------------------------------------------------------------------- PostGIS


def postgis(dsn: str, world: SetWorld, few: int) -> Line | None:
    """W2 on a server with PostGIS, if there is one: a GiST index, points in a table, one statement."""
    import asyncio

    import asyncpg

    async def measured() -> float:
        connection: Any = await asyncpg.connect(dsn)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
            await connection.execute("CREATE TEMP TABLE zone (g geometry); CREATE TEMP TABLE place (g geometry)")
            await connection.executemany(
                "INSERT INTO zone VALUES (ST_GeomFromWKB($1, 4326))", [(shapely.to_wkb(p),) for p in world.polygons]
            )
            await connection.execute("CREATE INDEX ON zone USING gist (g)")
            points = shapely.to_wkb(_points(np.column_stack([world.lon_deg[:few], world.lat_deg[:few]])))
            await connection.executemany(
                "INSERT INTO place VALUES (ST_GeomFromWKB($1, 4326))", [(p,) for p in points]
            )
            await connection.execute("ANALYZE zone; ANALYZE place")
            times = []
            for _ in range(3):
                start = time.perf_counter()
                await connection.fetchval("SELECT count(*) FROM place p JOIN zone z ON ST_Contains(z.g, p.g)")
                times.append((time.perf_counter() - start) / few * 1e9)
            return statistics.median(times)
        finally:
            await connection.close()

    theirs = asyncio.run(measured())
    (ours,) = medians_ns([(lambda: world.zone_set.contains(world.lon_deg, world.lat_deg), len(world.lon_deg))])
    return Line("W2 in/out", ours, "PostGIS, ST_Contains with a GiST index", theirs, "300")


# ---------------------------------------------------------------------------------------------- the table


def lines_of(table: Sequence[Line]) -> list[str]:
    out = ["| workload | ours, ns a fix | beside | ns a fix | ratio | wanted |", "|---|---:|---|---:|---:|---:|"]
    for line in table:
        digits = 2 if line.ours_ns < 5 else 0
        out.append(
            f"| {line.what} | {line.ours_ns:,.{digits}f} | {line.other} | {line.other_ns:,.{digits}f} | "
            f"**{line.ratio:,.1f}** | {line.wanted} |"
        )
    return out


def lines_of_memory(world: SetWorld) -> tuple[float, float]:
    """Lines that in or out of a set touches a fix: one for each level of cells, and one of corners if edges decide. And the
    megabytes in which they are."""
    arrays = world.zone_set._arrays
    frame, nodes = arrays.frame, arrays.nodes
    place = units(np.column_stack([world.lon_deg, world.lat_deg])).astype(np.int64)
    x, y = (place - frame[[ks.ORIGIN_LON, ks.ORIGIN_LAT]]).T
    column, line = x >> frame[ks.CELL_BITS], y >> frame[ks.CELL_BITS]
    is_there = (column >= 0) & (column < frame[ks.COLUMNS]) & (line >= 0) & (line < frame[ks.LINES])
    x, y, at = x[is_there], y[is_there], (ks.GRID + line * frame[ks.COLUMNS] + column)[is_there]
    lines, shift = float(np.mean(~is_there)), int(frame[ks.CELL_BITS])
    in_leaf = np.zeros(len(at), np.bool_)
    while len(at):
        shift -= 2
        part = ((y >> shift & 3) << 2) + (x >> shift & 3)
        tags = nodes[at, None] >> (2 * np.arange(16)) & 3
        tag = tags[np.arange(len(at)), part]
        lines += (len(at) + np.count_nonzero(in_leaf & (tag == ks.BOUNDARY_LEAF))) / len(place)
        before = ((tags >= ks.BOUNDARY_LEAF) & (np.arange(16) < part[:, None])).sum(axis=1)
        deeper = (tag >= ks.BOUNDARY_LEAF) & ~in_leaf
        x, y, at, in_leaf = (
            x[deeper],
            y[deeper],
            ((nodes[at] >> 32) + before)[deeper],
            (tag == ks.BOUNDARY_LEAF)[deeper],
        )
    return lines, (nodes.nbytes + arrays.corners.nbytes) / 2**20


def limits(table: Sequence[Line], touched: dict[str, tuple[float, float]]) -> list[str]:
    """Beside the physical limit: lines of memory that a fix touches × the cost of one in as much memory as there is."""
    out = [
        "| workload | lines a fix | memory, MB | a line, ns | limit, ns | ours, ns | ours / limit |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what, (lines, megabytes) in touched.items():
        machine = calibrated(megabytes)
        ours = next(line.ours_ns for line in table if line.what == what)
        limit = lines * machine.line_ns
        out.append(
            f"| {what} | {lines:.1f} | {megabytes:,.0f} | {machine.line_ns:.1f} | {limit:.0f} | {ours:.0f} | {ours / limit:.1f} |"
        )
    return out


def report(options: argparse.Namespace) -> list[str]:
    n, few = options.fixes, options.fixes // 8
    rng = np.random.default_rng(2)
    personal = personal_world(30_000, max(2, n // 30_000), peers=True)
    count = len(personal.fixes.wearer)
    table = w1(personal, count, min(few, count))
    schools = worlds.towns(rng, 30_000)
    school_rings = list(worlds.blobs(rng, schools, rng.uniform(40, 120, len(schools)), 12))
    w2 = set_world(school_rings, worlds.about(rng, schools, 150.0, n), worlds.radii_like_the_field(rng, n))
    table += shared("W2", w2, n, few, ("10", "17", "10"))
    rings = worlds.districts(rng)
    middles = np.array([ring.mean(axis=0) for ring in rings])
    w3 = set_world(rings, worlds.about(rng, middles, 8_000.0, n), worlds.radii_like_the_field(rng, n))
    candidates, w3_ns = medians_ns(
        [prepared_on_candidates(w3, few), (lambda: w3.zone_set.contains(w3.lon_deg, w3.lat_deg), n)]
    )
    table.append(Line("W3 in/out", w3_ns, "GEOS prepared, candidates given", candidates, "15"))
    table += shared("W3", w3, n, few // 20, ("", "", "15"))[1:]
    table += w4(table)
    table += [projection(n), two_threads(personal)]
    if options.postgis:
        table += [line for line in [postgis(options.postgis, w2, 20_000)] if line]
    start = cold_start()
    mb = (personal.zones.boxes.nbytes + personal.zones.shapes.nbytes + Sweep(personal.duties).nbytes) / 2**20
    touched = {
        "W1 in/out, in order of arrival": (5.0, mb),
        "W1 full step, in order of arrival": (7.0, mb),
        "W2 in/out": lines_of_memory(w2),
        "W3 in/out": lines_of_memory(w3),
    }
    out = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numba {numba.__version__}, "
        f"numpy {np.__version__}, shapely {shapely.__version__} (GEOS {shapely.geos_version_string}), pyproj "
        f"{pyproj.__version__}; {n:,} fixes, medians of {ROUNDS} rounds, one thread",
        "",
        *lines_of(table),
        "",
        f"W2: {hits(w2)}. W3: {hits(w3)}.",
        "",
        *limits(table, touched),
        "",
        "| memory and building | |",
        "|---|---:|",
        f"| bytes a wearer with 5 zones of 20 corners (zones and state) | {mb * 2**20 / 30_000:,.0f} |",
        f"| bytes a small polygon of W2 | {w2.zone_set.nbytes / len(school_rings):,.0f} |",
        f"| bytes a vertex of W3 | {w3.zone_set.nbytes / w3.vertices:,.0f} |",
        f"| 30,000 polygons of W2 built, s | {w2.built_s:.2f} |",
        f"| W3 built ({w3.vertices:,} vertices), s | {w3.built_s:.2f} |",
        f"| `import numba`, s | {start.numba_s:.2f} |",
        f"| the core imported and its first fix judged, s (ratio; wanted at most 2.5) | {start.core_s:.2f} "
        f"({start.core_s / start.numba_s:.2f}) |",
        f"| the same with all that the service imports, s (ratio) | {start.service_s:.2f} ({start.service_s / start.numba_s:.2f}) |",
        "",
        "| wearers | full step in order of arrival, ns a fix | bytes a wearer |",
        "|---:|---:|---:|",
        *(f"| {size:,} | {cost_ns:,.0f} | {nbytes:,.0f} |" for size, cost_ns, nbytes in growth(options.sizes, n)),
    ]
    real = real_world(Path(options.data)) if options.data else None
    if real:
        out += [
            "",
            "Real shapes and places: LSOAs of four districts, and street crime with radii like the field's.",
            "",
        ]
        out += lines_of(shared("LSOA", real, len(real.lon_deg), 25_000, ("", "", "")))
        out += ["", f"LSOA: {hits(real)}."]
    return out


def w4(table: Sequence[Line]) -> list[Line]:
    """All of it for every fix: the sums, each with what it was measured beside."""
    cost = {line.what: line for line in table}
    sets = cost["W2r verdict with radii"], cost["W3r verdict with radii"]
    both_ns, theirs_ns = sum(line.ours_ns for line in sets), sum(line.other_ns for line in sets)
    out = []
    for order, wanted in (("by device", "25"), ("in order of arrival", "15")):
        step = cost[f"W1 full step, {order}"]
        out.append(
            Line(
                f"W4, {order} (sum of W1, W2r, W3r)",
                step.ours_ns + both_ns,
                "the same by shapely",
                step.other_ns + theirs_ns,
                wanted,
            )
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fixes", type=int, default=1_200_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 300_000, 1_000_000])
    parser.add_argument(
        "--data", default="../shared/data", help="folder with real shapes; skipped where it is absent"
    )
    parser.add_argument("--postgis", metavar="DSN", help="a server with PostGIS to measure beside")
    parser.add_argument("--write", type=Path, help="a page whose part between the markers is written anew")
    options = parser.parse_args()
    out = "\n".join(report(options))
    print(out)
    if options.write:
        page = options.write.read_text()
        part = f"{BEGIN}\n{out}\n{END}"
        options.write.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: part, page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
