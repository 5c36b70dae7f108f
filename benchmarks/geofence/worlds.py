"""Invented worlds for the benchmark of the geofence core: zones, fixes and their order. Everything from one seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofence.shapes import Float64s, Int64s
from geofence.sweep import Positions

M_PER_DEG = 111_195.0
ENGLAND = (-3.0, 0.5, 51.2, 54.5)
"""West, east, south, north of where the invented people live."""


def taken(positions: Positions, order: Int64s) -> Positions:
    """Positions in another order."""
    return Positions._make(column[order] for column in positions)


class Personal(NamedTuple):
    """Zones of wearers: rings (zones, corners + 1, 2) of longitude and latitude, closed; `per_wearer` of them each."""

    rings: Float64s
    per_wearer: int


def towns(rng: np.random.Generator, count: int) -> Float64s:
    """Places in clusters, as people live: (count, 2)."""
    west, east, south, north = ENGLAND
    country = np.random.default_rng(400)  # one country, however often it is asked for
    centres = np.column_stack([country.uniform(west, east, 400), country.uniform(south, north, 400)])
    spread_m = country.choice([1_500.0, 4_000.0, 9_000.0], 400, p=[0.6, 0.3, 0.1])
    town = rng.choice(400, count, p=spread_m / spread_m.sum())
    places: Float64s = centres[town] + metres(rng.normal(size=(count, 2)) * spread_m[town, None], centres[town, 1])
    return places


def metres(offset_m: Float64s, lat_deg: Float64s) -> Float64s:
    """Offsets in metres (n, 2) as degrees."""
    offset_deg: Float64s = (
        offset_m / M_PER_DEG / np.column_stack([np.cos(np.radians(lat_deg)), np.ones(len(offset_m))])
    )
    return offset_deg


def blobs(rng: np.random.Generator, centre: Float64s, radius_m: Float64s, corners: int) -> Float64s:
    """Star-shaped polygons of so many corners about their centres: (n, corners + 1, 2), closed."""
    angle = (np.arange(corners) + rng.uniform(0, 0.8, (len(centre), corners))) * (2 * np.pi / corners)
    reach_m = radius_m[:, None] * rng.uniform(0.65, 1.0, (len(centre), corners))
    offset_m = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * reach_m[:, :, None]
    scale = M_PER_DEG * np.stack([np.cos(np.radians(centre[:, 1])), np.ones(len(centre))], axis=-1)
    ring = centre[:, None] + offset_m / scale[:, None]
    return np.concatenate([ring, ring[:, :1]], axis=1)


def personal_zones(rng: np.random.Generator, homes: Float64s, per_wearer: int = 5, corners: int = 20) -> Personal:
    """A home of 60 m, and zones of 100 to 800 m within some 3 km of it."""
    count = len(homes) * per_wearer
    about = np.repeat(homes, per_wearer, axis=0)
    away_m = rng.normal(size=(count, 2)) * 1_500.0
    away_m[::per_wearer] = 0.0
    radius_m = rng.uniform(100, 800, count)
    radius_m[::per_wearer] = 60.0
    return Personal(blobs(rng, about + metres(away_m, about[:, 1]), radius_m, corners), per_wearer)


def radii_like_the_field(rng: np.random.Generator, count: int) -> Float64s:
    """94 % LBS (p50 57 m, p90 729 m, at most 1.6 km), the rest GPS (p50 3 m, p95 17 m): PEERS.md."""
    lbs = np.minimum(57.0 * np.exp(rng.normal(size=count) * np.log(729 / 57) / 1.2816), 1_600.0)
    gps = 3.0 * np.exp(rng.normal(size=count) * np.log(17 / 3) / 1.6449)
    radius_m: Float64s = np.where(rng.random(count) < 0.94, np.maximum(lbs, 1.0), np.maximum(gps, 0.5))
    return radius_m


def gps_radii(rng: np.random.Generator, count: int) -> Float64s:
    radius_m: Float64s = np.maximum(3.0 * np.exp(rng.normal(size=count) * np.log(17 / 3) / 1.6449), 0.5)
    return radius_m


def lives(rng: np.random.Generator, homes: Float64s, fixes_each: int) -> Positions:
    """Fixes a minute apart, by device: half the people at home, with a drift of some metres; the others on walks."""
    count = len(homes) * fixes_each
    wearer = np.repeat(np.arange(len(homes), dtype=np.int32), fixes_each)
    steps_m = rng.normal(size=(len(homes), fixes_each, 2)) * 60.0
    start_m = rng.normal(size=(len(homes), 1, 2)) * 1_200.0
    walk_m = start_m + np.cumsum(steps_m, axis=1)
    drift_m = rng.normal(size=(len(homes), fixes_each, 2)) * 8.0
    home = (rng.random(len(homes)) < 0.5)[:, None, None]
    offset_m = np.where(home, drift_m, walk_m).reshape(count, 2)
    place = homes[wearer] + metres(offset_m, homes[wearer, 1])
    minute = np.tile(np.arange(fixes_each, dtype=np.int64), len(homes))
    start_ms = rng.integers(0, 60_000, len(homes))
    fix_ms = minute * 60_000 + start_ms[wearer]
    by_gps = np.zeros(count, np.bool_)
    return Positions(wearer, place[:, 0].copy(), place[:, 1].copy(), gps_radii(rng, count), fix_ms, by_gps)


def arrival_order(fixes: Positions) -> Int64s:
    """The order of their times: every fix is another wearer's."""
    return np.argsort(fixes.fix_ms, kind="stable")


def districts(rng: np.random.Generator, count: int = 50) -> list[Float64s]:
    """Districts of 10,000 to 50,000 corners, some 20 km across and apart from each other: rings (n, 2), closed."""
    west, _, south, _ = ENGLAND
    rings = []
    for i in range(count):
        corners = int(rng.integers(10_000, 50_001))
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        reach_m = np.full(corners, 9_000.0)
        for wave in (3, 7, 20, 60, 180, 540, 1_600, 4_800):  # a coast: every scale adds its bays
            reach_m += 2_600 / wave**0.75 * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
        centre = np.array([west + 0.42 * (i % 8 + 0.5), south + 0.27 * (i // 8 + 0.5)])
        offset_m = np.column_stack([np.cos(angle), np.sin(angle)]) * reach_m[:, None]
        ring = centre + metres(offset_m, np.full(corners, centre[1]))
        rings.append(np.concatenate([ring, ring[:1]]))
    return rings


def about(rng: np.random.Generator, centres: Float64s, spread_m: float, count: int) -> Float64s:
    """Places about some centres: (count, 2)."""
    chosen = centres[rng.integers(0, len(centres), count)]
    return chosen + metres(rng.normal(size=(count, 2)) * spread_m, chosen[:, 1])
