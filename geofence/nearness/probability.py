"""How likely a true place lay within a circle, when a position tells it with a circle of its own.

A position's radius is that of the circle that holds the true place 95 % of the time. The error is taken to be a Gaussian in two
dimensions, as wide in all directions. What is asked for is its integral over a disc: 1 - Q1(d / sigma, R / sigma) with Marcum's Q.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geofence.shapes import Float64s

SIGMAS_OF_RADIUS = math.sqrt(-2 * math.log(0.05))
"""In two dimensions 95 % lie within 2.448 sigma."""
FAR_SIGMAS = 8.0
"""Beyond it nothing is left that a double shows."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_WGS84_M, _WGS84_E2 = 6_378_137.0, 0.006_694_379_990_141_3


def sigma_of(radius_m: npt.ArrayLike) -> Float64s:
    """Standard deviation in each direction, in metres, of positions with these radii."""
    return np.asarray(radius_m, np.float64) / SIGMAS_OF_RADIUS


def distances_m(
    lon_a_deg: npt.ArrayLike, lat_a_deg: npt.ArrayLike, lon_b_deg: npt.ArrayLike, lat_b_deg: npt.ArrayLike
) -> Float64s:
    """Distances on WGS 84 by the radii of curvature at the latitude half way; broadcast. Up to 50 km within 0.01 %, up to 1,000 km
    within 1 %, away from the poles and the antimeridian."""
    lat_a, lat_b = np.asarray(lat_a_deg, np.float64), np.asarray(lat_b_deg, np.float64)
    middle = np.radians((lat_a + lat_b) / 2)
    below = 1 - _WGS84_E2 * np.sin(middle) ** 2
    north_m = np.radians(lat_b - lat_a) * (_WGS84_M * (1 - _WGS84_E2) / below**1.5)
    turn = np.radians(np.asarray(lon_b_deg, np.float64) - np.asarray(lon_a_deg, np.float64))
    east_m = turn * np.cos(middle) * (_WGS84_M / np.sqrt(below))
    distance: Float64s = np.hypot(north_m, east_m)
    return distance


def probability_within(distance_m: npt.ArrayLike, radius_m: npt.ArrayLike, within_m: float) -> Float64s:
    """P(the true place lies within `within_m` of a point), for positions `distance_m` from it with these radii: float64 (n,), each
    within 1e-6. Strips across the disc, by Gauss and Legendre: x = R sin(t) keeps the ends smooth."""
    distance, sigma = np.broadcast_arrays(np.atleast_1d(np.asarray(distance_m, np.float64)), sigma_of(radius_m))
    found = np.where(distance + FAR_SIGMAS * sigma <= within_m, 1.0, 0.0)
    open_ = (np.abs(distance) - FAR_SIGMAS * sigma < within_m) & (found == 0.0)
    if open_.any():
        found[open_] = _integrals(distance[open_], sigma[open_], within_m)
    return found


def _integrals(distance: Float64s, sigma: Float64s, within_m: float) -> Float64s:
    first = np.arcsin(np.clip((distance - FAR_SIGMAS * sigma) / within_m, -1.0, 1.0))
    last = np.arcsin(np.clip((distance + FAR_SIGMAS * sigma) / within_m, -1.0, 1.0))
    half = (last - first)[:, None] / 2
    turn = (first + last)[:, None] / 2 + half * _NODES
    across = (within_m * np.sin(turn) - distance[:, None]) / sigma[:, None]
    half_strip = within_m * np.cos(turn)
    density = np.exp(-(across**2) / 2) / math.sqrt(2 * math.pi) * half_strip / sigma[:, None]
    strip = density * _erf(half_strip / (sigma[:, None] * math.sqrt(2)))
    total: Float64s = np.clip((half * _WEIGHTS * strip).sum(axis=1), 0.0, 1.0)
    return total


def _erf(x: Float64s) -> Float64s:
    """The error function of x >= 0 within 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    found: Float64s = 1 - series * np.exp(-(x**2))
    return found
