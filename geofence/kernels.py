"""Compiled kernels: the signed margin of positions to zones.

The idea. *Which side* is decided in the coordinates in which a zone was drawn: longitude and latitude, where its
edges are straight (RFC 7946), by the crossing-number rule. *How far* is decided in one plain frame that has no
seams: Earth-centred metres on the WGS 84 ellipsoid, in which edges are chains of short chords (`zones.py` makes
them so short that a chord is nowhere more than 1 cm from its edge). The chord to the nearest edge is turned into an
arc. So no projection can be out of its range and no scale factor is needed.

Kernels trust their arguments: `margins.py` is the door of casts before them. What a margin means (radius, buffer,
verdict) is policy and lives outside. NaN never occurs. All kernels that call each other stand in this file, because
numba's cache does not notice a helper that changed in another one.
"""

import math

import numpy as np
from numba import njit

SEMI_MAJOR_M = 6_378_137.0
ECCENTRICITY_2 = 6.694379990141317e-3  # WGS 84
ARC_RADIUS_M = 6_371_008.8
"""Mean radius: only the small difference between a chord and its arc rests on it (0.1 mm at 3 km)."""


@njit(cache=True, nogil=True)
def earth_centred(lon_deg, lat_deg):
    """Earth-centred metres (x, y, z) of a place on the ellipsoid (height 0). Scalars, float64."""
    lon = math.radians(lon_deg)
    lat = math.radians(lat_deg)
    sin_lat = math.sin(lat)
    normal_m = SEMI_MAJOR_M / math.sqrt(1.0 - ECCENTRICITY_2 * sin_lat * sin_lat)
    ring_m = normal_m * math.cos(lat)
    return ring_m * math.cos(lon), ring_m * math.sin(lon), normal_m * (1.0 - ECCENTRICITY_2) * sin_lat


@njit(cache=True, nogil=True)
def arc_m(chord_m):
    """Length on the ground of a chord: 2 R asin(c / 2R). At 3 km exact to 1 nm, at 500 km to 1 m."""
    return 2.0 * ARC_RADIUS_M * math.asin(min(1.0, chord_m / (2.0 * ARC_RADIUS_M)))


@njit(cache=True, nogil=True)
def distance_to_chain_2(chain, begin, end, x, y, z):
    """Squared distance (m²) from (x, y, z) to the polyline chain[begin:end], float64 rows (x, y, z)."""
    nearest = math.inf
    for i in range(begin, end - 1):
        ax, ay, az = chain[i, 0], chain[i, 1], chain[i, 2]
        ux, uy, uz = chain[i + 1, 0] - ax, chain[i + 1, 1] - ay, chain[i + 1, 2] - az
        px, py, pz = x - ax, y - ay, z - az
        length_2 = ux * ux + uy * uy + uz * uz
        t = 0.0
        if length_2 > 0.0:
            t = min(1.0, max(0.0, (px * ux + py * uy + pz * uz) / length_2))
        dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
        nearest = min(nearest, dx * dx + dy * dy + dz * dz)
    return nearest


@njit(cache=True, nogil=True)
def crosses_odd(corners, begin, end, lon_deg, lat_deg):
    """Whether a ray to the east from the point crosses the ring corners[begin:end] (closed; lon, lat) oddly often.

    Half-open in latitude, so that a corner counts once. Source: the crossing-number rule (Shimrat 1962,
    corrected by Hacker). A point exactly on an edge may get either answer: its margin is 0 both ways.
    """
    odd = False
    for i in range(begin, end - 1):
        x1, y1 = corners[i, 0], corners[i, 1]
        x2, y2 = corners[i + 1, 0], corners[i + 1, 1]
        if (y1 > lat_deg) != (y2 > lat_deg):
            side = (x2 - x1) * (lat_deg - y1) - (lon_deg - x1) * (y2 - y1)
            if (side > 0.0) == (y2 > y1) and side != 0.0:
                odd = not odd
    return odd


@njit(cache=True, nogil=True)
def signed_margin(
    zone, lon_deg, lat_deg, x, y, z, cutoff_m, balls, discs, rings, corner_ends, corners, chain_ends, chain
):
    """Metres from one position to the boundary of one zone, positive inside.

    Beyond `cutoff_m` outside the answer may be any value between the true margin and -cutoff_m.
    Layout: see `zones.PackedZones`.
    """
    cx, cy, cz = balls[zone, 0] - x, balls[zone, 1] - y, balls[zone, 2] - z
    centre_chord_m = math.sqrt(cx * cx + cy * cy + cz * cz)
    if discs[zone] >= 0.0:
        return discs[zone] - arc_m(centre_chord_m)
    floor_m = centre_chord_m - balls[zone, 3]
    if floor_m > cutoff_m:
        return -floor_m
    nearest_2 = math.inf
    odd = False
    for ring in range(rings[zone], rings[zone + 1]):
        nearest_2 = min(nearest_2, distance_to_chain_2(chain, chain_ends[ring], chain_ends[ring + 1], x, y, z))
        odd ^= crosses_odd(corners, corner_ends[ring], corner_ends[ring + 1], lon_deg, lat_deg)
    margin_m = arc_m(math.sqrt(nearest_2))
    return margin_m if odd else -margin_m


@njit(cache=True, nogil=True)
def signed_margins(lon_deg, lat_deg, cutoff_m, balls, discs, rings, corner_ends, corners, chain_ends, chain):
    """Margins of n positions to all zones of a pack: float64 (n, zones).

    lon_deg, lat_deg: float64 (n,). cutoff_m: float64 (n, zones), see `signed_margin`.
    """
    margins = np.empty(cutoff_m.shape, np.float64)
    for i in range(lon_deg.shape[0]):
        x, y, z = earth_centred(lon_deg[i], lat_deg[i])
        for zone in range(discs.shape[0]):
            margins[i, zone] = signed_margin(
                zone, lon_deg[i], lat_deg[i], x, y, z, cutoff_m[i, zone],
                balls, discs, rings, corner_ends, corners, chain_ends, chain,
            )  # fmt: skip
    return margins
