"""W1: wearers with zones of their own, in or out, and the full step up to findings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from benchmarks.geofence import worlds
from benchmarks.geofence.set_routes import points_of
from benchmarks.geofence.timing import Line, medians_ns
from geofence.shapes import Float64s, Int64s
from geofence.shapes.kernels_sweep import Rules
from geofence.shapes.kernels_zones import PackedZones
from geofence.shapes.margins import contained
from geofence.shapes.packing import Rings, packed_rings, units
from geofence.sweep import Duties, Positions, Sweep


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
    return Sweep(world.duties).feed(fixes)


def shapely_and_python(world: PersonalWorld, count: int) -> int:
    """What users write: margins by vectorised shapely on all pairs, then the state of each zone in Python."""
    each = 5
    fixes = world.fixes
    which = (fixes.wearer[:count, None].astype(np.int64) * each + np.arange(each)).ravel()
    polygons = world.polygons[which]
    points = points_of(np.repeat(world.points_m[:count], each, axis=0))
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
