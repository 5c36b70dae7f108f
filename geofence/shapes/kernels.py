"""Compiled kernels: coordinates, distances and sides. What the other kernels are made of.

The idea. A place is two integers: longitude and latitude in *units* of 1/2^32 of a turn (9.3 mm on the equator). Edges are
straight in them (RFC 7946), orientation is exact in 64 bits, the 180° meridian is no seam because differences wrap round,
and nothing is projected, so that nothing can be out of the range of a projection.

*Which side* of a boundary a place lies on is decided in units. *How far* it lies from it is decided twice:

    near    metres per unit at the place, and their change with latitude: a handful of multiplications an edge. Off by at most
            `doubt_m` up to NEAR_M, so it settles every case that is not within centimetres of a threshold.
    exact   Earth-centred metres on the WGS 84 ellipsoid, edges as chains of chords of which none is more than 1 cm off: right
            anywhere and at any distance. What is not settled by the first is decided by this one, so that every verdict is
            the verdict of the exact margin.

Kernels trust their arguments: `margins.py` and `zone_sets.py` are the doors of casts before them. What a margin means is
policy and lives outside. NaN never occurs. No `fastmath`: it gained nothing.
"""

import math

import numpy as np

from geofence.shapes.compiled import kernel, piece

SEMI_MAJOR_M = 6_378_137.0
ECCENTRICITY_2 = 6.694379990141317e-3  # WGS 84
ARC_RADIUS_M = 6_371_008.8
"""Mean radius: only the small difference between a chord and its arc rests on it (0.1 mm at 3 km)."""

UNITS_PER_DEG = 2.0**32 / 360.0
row = np.uint64
"""An index that cannot be negative: numba leaves out the look whether it counts from the end (a quarter of the time)."""
DEG_PER_UNIT = 360.0 / 2.0**32
RAD_PER_UNIT = 2.0 * math.pi / 2.0**32
HALF_TURN = 1 << 31
TURN_MASK = np.int64((1 << 32) - 1)

NEAR_M = 10_000.0
"""Beyond this distance only the exact margin is used."""
SAGITTA_M = 0.005
"""How far a chord may lie from its edge: under the ground, and (on a parallel of latitude) to the side."""

# ---------------------------------------------------------------------------------------------- coordinates


@piece
def wrapped(units):
    """A difference of longitudes as the short way round: int64 in [-2^31, 2^31)."""
    return ((np.int64(units) & TURN_MASK) ^ HALF_TURN) - HALF_TURN


@piece
def units_of(angle_deg):
    """Degrees as units, rounded, int64 in [-2^31, 2^31). A place is kept to 4.7 mm on the equator."""
    return wrapped(math.floor(angle_deg * UNITS_PER_DEG + 0.5))


@kernel
def metric_at(lat_deg):
    """Metres on the ground per unit: (east, north, change of east per unit north of the place, halved).

    The radii of curvature of the ellipsoid, N cos(lat) and M, as series (relative error below 1e-7 up to 85°; no calls, so
    that a loop over it is done four at a time). The change, -M sin(lat) a radian, is halved because a line to the north
    is as wide as the ground half way.
    """
    lat = lat_deg * (math.pi / 180.0)
    u = lat * lat
    cos_lat = 1.0 + u * (
        -1 / 2 + u * (1 / 24 + u * (-1 / 720 + u * (1 / 40320 + u * (-1 / 3628800 + u / 479001600))))
    )
    sin_lat = lat * (1.0 + u * (-1 / 6 + u * (1 / 120 + u * (-1 / 5040 + u / 362880))))
    cos_lat = max(cos_lat, 1e-9)
    x = ECCENTRICITY_2 * (1.0 - cos_lat * cos_lat)
    across_m = SEMI_MAJOR_M * (1.0 + x * (1 / 2 + x * (3 / 8 + x * 5 / 16)))
    along_m = SEMI_MAJOR_M * (1.0 - ECCENTRICITY_2) * (1.0 + x * (3 / 2 + x * (15 / 8 + x * 35 / 16)))
    half_change = -0.5 * along_m * sin_lat * RAD_PER_UNIT * RAD_PER_UNIT
    return across_m * cos_lat * RAD_PER_UNIT, along_m * RAD_PER_UNIT, half_change


@kernel
def to_units(lon_deg, lat_deg, place):
    """Places of n positions: float64 (n,), (n,) → int32 (n, 2), longitude and latitude in units."""
    for i in range(lon_deg.shape[0]):
        place[i, 0] = units_of(lon_deg[i])
        place[i, 1] = units_of(lat_deg[i])


@piece
def doubt_m(distance_m):
    """How far a near distance may be off: the place rounded to 7 mm, chords of the exact margin to 1 cm, the metric as
    a line. Generous: what it costs is a few exact margins more (measured: never off by a third of it)."""
    return 0.05 + 2e-4 * distance_m


# ---------------------------------------------------------------------------------------------- near


@piece
def edge_distance_2(ax, ay, bx, by, east, north, change):
    """Squared metres from the place to the edge a-b; a, b in units from the place (int64), and its metric.

    Where the edge is nearest is found in the metric of the place, in which it is straight. How far that is, is taken at
    the latitude half way: a change of the metric moves the nearest place only to second order.
    """
    x, y = ax * east, ay * north
    ux, uy = (bx - ax) * east, (by - ay) * north
    length_2 = ux * ux + uy * uy
    t = 0.0
    if length_2 > 0.0:
        t = min(1.0, max(0.0, -(x * ux + y * uy) / length_2))
    to_north = ay + t * (by - ay)
    dx = (ax + t * (bx - ax)) * (east + change * to_north)
    dy = to_north * north
    return dx * dx + dy * dy


@piece
def crossing(ax, ay, bx, by):
    """Negative exactly if a ray to the east from the place crosses the edge a-b; a, b in units from the place (int64).

    Exact, and without a branch: the signs of the two latitudes differ, and the orientation has the sign of the edge's
    direction. The place is taken to lie a trifle further west, and still less further south (simulation of simplicity,
    Edelsbrunner and Mücke 1990), so that a corner counts once and a place on an edge lies west of it. Source: the
    crossing-number rule (Shimrat 1962, corrected by Hacker).
    """
    down = ay - by
    return (ay ^ by) & ((ax * by - bx * ay - 1 - (down >> 63)) ^ down)


# ---------------------------------------------------------------------------------------------- exact


@piece
def earth_centred(lon_deg, lat_deg):
    """Earth-centred metres (x, y, z) of a place on the ellipsoid (height 0). Scalars, float64."""
    lon = math.radians(lon_deg)
    lat = math.radians(lat_deg)
    sin_lat = math.sin(lat)
    normal_m = SEMI_MAJOR_M / math.sqrt(1.0 - ECCENTRICITY_2 * sin_lat * sin_lat)
    ring_m = normal_m * math.cos(lat)
    return ring_m * math.cos(lon), ring_m * math.sin(lon), normal_m * (1.0 - ECCENTRICITY_2) * sin_lat


@piece
def arc_m(chord_m):
    """Length on the ground of a chord: 2 R asin(c / 2R). At 3 km exact to 1 nm, at 500 km to 1 m."""
    return 2.0 * ARC_RADIUS_M * math.asin(min(1.0, chord_m / (2.0 * ARC_RADIUS_M)))


@piece
def chord_distance_m(ax, ay, az, bx, by, bz, x, y, z):
    """Metres from (x, y, z) to the segment a-b, Earth-centred."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    px, py, pz = x - ax, y - ay, z - az
    length_2 = ux * ux + uy * uy + uz * uz
    t = 0.0
    if length_2 > 0.0:
        t = min(1.0, max(0.0, (px * ux + py * uy + pz * uz) / length_2))
    dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
    return math.sqrt(dx * dx + dy * dy + dz * dz)


@piece
def chords_of(lat_a_deg, lat_b_deg, length_m):
    """How many chords an edge needs. A chord of length c sinks c²/8R below the ground, and a parallel bends away from it
    by tan(latitude) times as much."""
    steepest = math.tan(math.radians(max(abs(lat_a_deg), abs(lat_b_deg))))
    longest_m = math.sqrt(8.0 * SEMI_MAJOR_M * SAGITTA_M / max(1.0, steepest))
    return max(1, math.ceil(length_m / longest_m))


@piece
def exact_edge_distance_m(a_lon, a_lat, b_lon, b_lat, x, y, z, limit_m):
    """Straight-line metres from (x, y, z) to an edge that is straight in degrees; ends in units. More than `limit_m` may
    come out as any value between that and the truth."""
    a_lon_deg, a_lat_deg = a_lon * DEG_PER_UNIT, a_lat * DEG_PER_UNIT
    step_lon_deg, step_lat_deg = wrapped(b_lon - a_lon) * DEG_PER_UNIT, (b_lat - a_lat) * DEG_PER_UNIT
    ax, ay, az = earth_centred(a_lon_deg, a_lat_deg)
    bx, by, bz = earth_centred(a_lon_deg + step_lon_deg, a_lat_deg + step_lat_deg)
    # A parallel is longer than its chord; the metres per degree at the lower latitude bound it from above.
    lower_lat = math.radians(min(abs(a_lat_deg), abs(a_lat_deg + step_lat_deg)))
    east_m = math.radians(step_lon_deg) * SEMI_MAJOR_M * math.cos(lower_lat)
    length_m = math.hypot(east_m, math.radians(step_lat_deg) * SEMI_MAJOR_M)
    pieces = chords_of(a_lat_deg, a_lat_deg + step_lat_deg, length_m)
    whole_m = chord_distance_m(ax, ay, az, bx, by, bz, x, y, z)
    if pieces == 1:
        return whole_m
    if whole_m - length_m > limit_m:  # no place of an edge lies further from its chord than the edge is long
        return whole_m - length_m
    nearest_m = math.inf
    for chord in range(1, pieces + 1):
        part = chord / pieces
        bx, by, bz = earth_centred(a_lon_deg + part * step_lon_deg, a_lat_deg + part * step_lat_deg)
        nearest_m = min(nearest_m, chord_distance_m(ax, ay, az, bx, by, bz, x, y, z))
        ax, ay, az = bx, by, bz
    return nearest_m


@piece
def exact_crosses(a_lon, a_lat, b_lon, b_lat, west, lon_units, lat_units):
    """As `crosses`, for a place that is not rounded: float64 units, longitudes counted from `west` eastward."""
    ax, ay = ((a_lon - west) & TURN_MASK) - lon_units, a_lat - lat_units
    bx, by = ((b_lon - west) & TURN_MASK) - lon_units, b_lat - lat_units
    side = ax * by - bx * ay
    return ((ay > 0.0) != (by > 0.0)) & ((side > 0.0) == (by > ay)) & (side != 0.0)
