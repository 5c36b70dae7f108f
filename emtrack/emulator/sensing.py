"""From a true path to what a tag measures: rows of positions and events, with honest and with dishonest errors.

A row is one report before it has a number. Columns of `ROW`: `order_ms` when the tag wrote it down, `at_ms` the time it
carries (both true time here), `kind` an index into `KINDS`, degrees, metres, km/h; NaN in a float column: not reported.

A reported precision is the radius of a circle that holds the true place 95 times in 100: the error is a Gaussian in the
plane with sigma = precision / 2.4477, and neighbours in time share most of it. Multipath, drift and jumps break that
promise on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emtrack.emulator.chance import dice
from emtrack.emulator.geometry import CENTRE_LAT_DEG, CENTRE_LON_DEG, M_PER_LAT, M_PER_LON, Circle, Float64s, Int64s
from emtrack.emulator.habits import Faults, Mix, Sensors
from emtrack.emulator.mishaps import UnitMishaps
from emtrack.emulator.paths import DRIVING, STANDING, WALKING, DayPath
from emtrack.emulator.people import Wearer
from emtrack.emulator.schedule import SECOND_MS, Interval, joined

MECHANISMS = ("GPS", "LBS", "WIFI")
GPS, LBS, WIFI = range(3)
KINDS = (
    *MECHANISMS,
    "RF_IN",
    "RF_OUT",
    "HEARTBEAT",
    "HMU_MOVED",
    "HMU_POWER_LOST",
    "HMU_POWER_RESTORED",
    "STRAP_TAMPER",
    "STRAP_CLEAR",
    "CASE_TAMPER",
    "CASE_CLEAR",
    "BATTERY_LOW",
    "BATTERY_CRITICAL",
    "BATTERY_OK",
    "JAMMING",
    "JAMMING_CLEAR",
    "ALCOHOL_DETECTED",
    "ALCOHOL_CLEAR",
)
KIND = {name: code for code, name in enumerate(KINDS)}
ROW = np.dtype(
    [
        ("order_ms", "i8"),
        ("at_ms", "i8"),
        ("kind", "u1"),
        ("at_once", "?"),
        ("lat_deg", "f8"),
        ("lon_deg", "f8"),
        ("precision_m", "f8"),
        ("speed_kmh", "f8"),
        ("direction_deg", "f8"),
        ("satellites", "f8"),
        ("hdop", "f8"),
        ("hmu", "i4"),
        ("tag", "i4"),
        ("boot", "i4"),
        ("seq", "i4"),
    ]
)
Rows = npt.NDArray[np.void]
Bools = npt.NDArray[np.bool_]
SIGMAS_95 = math.sqrt(-2.0 * math.log(0.05))  # radius of the 95 % circle of a plane Gaussian, in sigmas
Z_90, Z_95 = 1.2815515655446004, 1.6448536269514722
STRETCH = 10  # slots of a minute that share one kind of reception
STRAY_M = (3_000.0, 40_000.0)
MOST_GPS_M, MOST_WIFI_M, MOST_DRIFT_M = 150.0, 200.0, 400.0
LEAST_LBS_M = 5.0
STILL_M_S = 0.5


def no_rows(count: int = 0) -> Rows:
    """`count` rows with nothing reported."""
    rows = np.zeros(count, ROW)
    for name in ("lat_deg", "lon_deg", "precision_m", "speed_kmh", "direction_deg", "satellites", "hdop"):
        rows[name] = np.nan
    return rows


def event_rows(at_ms: Int64s, kind: str, at_once: bool, hmu: int = 0, tag: int = 0) -> Rows:
    """Events of one kind at `at_ms` int64[n]; `hmu` is the number of the home unit that speaks through a tag, `tag` that of the
    tag that a home unit speaks of, each 0 where there is none."""
    rows = no_rows(len(at_ms))
    rows["tag"] = tag
    rows["order_ms"] = rows["at_ms"] = at_ms
    rows["kind"], rows["at_once"], rows["hmu"] = KIND[kind], at_once, hmu
    return rows


@dataclass(frozen=True)
class _Day:
    """The minutes of one day of one tag, and what is true in each. All arrays have one length."""

    t_ms: Int64s
    x_m: Float64s
    y_m: Float64s
    vx_m_s: Float64s
    vy_m_s: Float64s
    outdoors: Bools
    driving: Bools
    indoor_turn: Bools  # the minutes in which a tag without satellites looks for cells


class Senses:
    """The receivers of one tag. The rows of a day depend on (seed, device, wearer, day) and the constants only."""

    def __init__(self, seed: int, mix: Mix) -> None:
        self.seed = seed
        self.sensors: Sensors = mix.sensors
        self.faults: Faults = mix.faults

    def positions(self, path: DayPath, device: int, day: int) -> Rows:
        """All fixes of a day, not in order of time."""
        rng = np.random.Generator(np.random.PCG64([self.seed, device, day, 1]))
        now = self._minutes(path, device)
        gps = self._reception(now, rng)
        lost = rng.random(len(now.t_ms)) < self.faults.gps_missed_share
        lost |= self._tunnels(now, rng)
        good = self._gps(now, gps & ~lost, rng)
        rest = self._cells(now, now.indoor_turn & ~gps, rng)
        rows = np.concatenate([good, rest])
        self._stray(rows, rng)
        return rows

    def _minutes(self, path: DayPath, device: int) -> _Day:
        step = self.sensors.gps_every_s * SECOND_MS
        first = int(path.t_ms[0]) + (device * 17 % self.sensors.gps_every_s) * SECOND_MS
        t = np.arange(first, int(path.t_ms[-1]), step, dtype=np.int64)
        leg = path.leg_at(t)
        x, y = path.at(t)
        span_s = np.diff(path.t_ms) / SECOND_MS
        vx, vy = np.diff(path.x_m) / span_s, np.diff(path.y_m) / span_s
        state = path.state[leg]
        every = self.sensors.indoor_every_s // self.sensors.gps_every_s
        turn = (np.arange(len(t)) + device) % every == 0
        outdoors = (state == WALKING) | (state == DRIVING) | (state == STANDING)
        return _Day(t, x, y, vx[leg], vy[leg], outdoors, state == DRIVING, turn)

    def _reception(self, now: _Day, rng: np.random.Generator) -> Bools:
        """Minutes with a sight of the sky; the constant is a share of stretches, not of minutes."""
        share = _stretched(rng.random, len(now.t_ms)) < self.sensors.gps_outdoors_share
        return now.outdoors & share

    def _tunnels(self, now: _Day, rng: np.random.Generator) -> Bools:
        """Minutes under ground: a part of some drives."""
        starts = np.flatnonzero(np.diff(now.driving.astype(np.int8), prepend=0) == 1)
        minutes = np.arange(len(now.t_ms))
        hidden = np.zeros(len(now.t_ms), np.bool_)
        for start, chance, length in zip(
            starts, rng.random(len(starts)), rng.uniform(*self.faults.tunnel_min, len(starts)), strict=True
        ):
            if chance < self.faults.tunnel_per_trip:
                hidden |= (minutes >= start) & (minutes < start + length)
        return hidden & now.driving

    def _gps(self, now: _Day, chosen: Bools, rng: np.random.Generator) -> Rows:
        sensors, n = self.sensors, len(now.t_ms)
        spread = math.log(sensors.gps_p95_m / sensors.gps_p50_m) / Z_95
        precision = sensors.gps_p50_m * np.exp(spread * _smooth(rng, n, sensors.gps_memory_fixes))
        precision = np.clip(precision * self.faults.gps_worse_factor, 1.0, MOST_GPS_M)
        ex, ey = (precision / SIGMAS_95 * _smooth(rng, n, sensors.gps_memory_fixes) for _ in range(2))
        bounced = _stretched(rng.random, n) < self.faults.multipath_share
        factor = np.where(bounced, _stretched(lambda k: rng.uniform(*self.faults.multipath_factor, k), n), 1.0)
        rows = _fixes(now, chosen, GPS, ex * factor, ey * factor, precision)
        self._gps_extras(rows, now, chosen, precision, rng)
        return rows

    def _gps_extras(
        self, rows: Rows, now: _Day, chosen: Bools, precision: Float64s, rng: np.random.Generator
    ) -> None:
        """Speed, direction, satellites and hdop, as a receiver would have them."""
        vx, vy = now.vx_m_s[chosen], now.vy_m_s[chosen]
        speed = np.hypot(vx, vy)
        rows["speed_kmh"] = np.round(np.abs(speed * 3.6 + rng.normal(0, 0.4, len(rows))), 1)
        heading = np.degrees(np.arctan2(vx, vy)) + rng.normal(0, 4.0, len(rows))
        rows["direction_deg"] = np.where(speed > STILL_M_S, np.round(heading) % 360, np.nan)
        rows["satellites"] = np.clip(np.round(13 - precision[chosen] / 4 + rng.normal(0, 1, len(rows))), 4, 16)
        rows["hdop"] = np.round(0.6 + precision[chosen] / 12, 1)

    def _cells(self, now: _Day, chosen: Bools, rng: np.random.Generator) -> Rows:
        """Cell, WIFI and (indoors only) drifting GPS fixes in the minutes `chosen`."""
        n, faults, sensors = len(now.t_ms), self.faults, self.sensors
        pick = rng.random(n)
        drift = chosen & ~now.outdoors & (pick < faults.indoor_gps_share)
        wifi = chosen & ~now.outdoors & ~drift & (pick < faults.indoor_gps_share + sensors.wifi_share)
        kinds = (
            self._lbs(now, chosen & ~drift & ~wifi, rng),
            self._wifi(now, wifi, rng),
            self._drift(now, drift, rng),
        )
        return np.concatenate(kinds)

    def _lbs(self, now: _Day, chosen: Bools, rng: np.random.Generator) -> Rows:
        """A tag that hears the same mast again reports the same circle again."""
        sensors, n = self.sensors, len(now.t_ms)
        spread = math.log(sensors.lbs_p90_m / sensors.lbs_p50_m) / Z_90
        radius = np.clip(sensors.lbs_p50_m * np.exp(spread * rng.normal(size=n)), LEAST_LBS_M, sensors.lbs_most_m)
        ex, ey = radius / SIGMAS_95 * rng.normal(size=n), radius / SIGMAS_95 * rng.normal(size=n)
        new = rng.random(n) >= sensors.lbs_same_cell_share
        fixes = np.flatnonzero(chosen)
        same = fixes[np.maximum.accumulate(np.where(new[fixes], np.arange(len(fixes)), 0))]
        for values in (radius, ex, ey):
            values[fixes] = values[same]
        rows = _fixes(now, chosen, LBS, ex, ey, np.maximum(np.round(radius), 1.0))
        rows["precision_m"][rng.random(len(rows)) < self.faults.lbs_unknown_share] = 0.0
        return rows

    def _wifi(self, now: _Day, chosen: Bools, rng: np.random.Generator) -> Rows:
        sensors, n = self.sensors, int(np.count_nonzero(chosen))
        spread = math.log(sensors.wifi_p95_m / sensors.wifi_p50_m) / Z_95
        radius = np.zeros(len(chosen))
        radius[chosen] = np.clip(sensors.wifi_p50_m * np.exp(spread * rng.normal(size=n)), 5.0, MOST_WIFI_M)
        ex, ey = (radius / SIGMAS_95 * rng.normal(size=len(chosen)) for _ in range(2))
        return _fixes(now, chosen, WIFI, ex, ey, radius)

    def _drift(self, now: _Day, chosen: Bools, rng: np.random.Generator) -> Rows:
        """GPS through a roof: a bad precision, and an error that is worse still."""
        n = len(now.t_ms)
        radius = np.clip(self.faults.indoor_gps_p50_m * np.exp(0.7 * rng.normal(size=n)), 8.0, MOST_DRIFT_M)
        ex, ey = (1.3 * radius / SIGMAS_95 * rng.normal(size=n) for _ in range(2))
        rows = _fixes(now, chosen, GPS, ex, ey, radius)
        rows["satellites"], rows["hdop"] = 4, np.round(2 + radius[chosen] / 20, 1)
        return rows

    def _stray(self, rows: Rows, rng: np.random.Generator) -> None:
        """Some fixes kilometres off with a good precision, and some at exactly (0, 0)."""
        n = len(rows)
        jumps = (rng.random(n) < self.faults.jump_share) & (rows["kind"] == GPS)
        away_m, angle = rng.uniform(*STRAY_M, n), rng.uniform(0, 2 * math.pi, n)
        rows["lon_deg"] += np.where(jumps, away_m * np.cos(angle) / M_PER_LON, 0.0)
        rows["lat_deg"] += np.where(jumps, away_m * np.sin(angle) / M_PER_LAT, 0.0)
        nowhere = rng.random(n) < self.faults.null_island_share
        rows["lat_deg"][nowhere] = rows["lon_deg"][nowhere] = 0.0

    def sightings(self, path: DayPath, wearer: Wearer, unit: UnitMishaps) -> Rows:
        """What the home unit sees in a day, and what happens to it; no rows without one."""
        if wearer.hmu_id is None or wearer.unit is not None:
            return no_rows()
        n, sensors = wearer.number, self.sensors
        near = in_range(self.seed, sensors, path, wearer)
        begin_ms, end_ms = int(path.t_ms[0]), int(path.t_ms[-1])
        came = [a for a, _ in near if a > begin_ms]
        left = [b for _, b in near if b < end_ms]
        step = sensors.rf_every_s * SECOND_MS
        grid = np.arange(begin_ms + (n * 37 % sensors.rf_every_s) * SECOND_MS, end_ms, step, dtype=np.int64)
        again = grid[within(grid, near) & ~np.isin(grid, came)]
        rows = np.concatenate(
            [
                event_rows(np.array(came, np.int64), "RF_IN", True, n),
                event_rows(again, "RF_IN", sensors.repeated_rf == "at once", n),
                event_rows(np.array(left, np.int64), "RF_OUT", True, n),
            ]
        )
        rows = rows[~within(rows["at_ms"], list(unit.silent))]
        events = [event_rows(np.array([at], np.int64), kind, True, n) for at, kind in unit.events]
        return np.concatenate([rows, *events])


def in_range(seed: int, sensors: Sensors, path: DayPath, wearer: Wearer) -> list[Interval]:
    """When a wearer is within the range of the home unit at home, to the second; over one day."""
    reach_m = dice(seed, "range", wearer.number).uniform(*sensors.home_unit_range_m)
    spans = Circle(wearer.home, reach_m).inside(path.t_ms.astype(np.float64), path.x_m, path.y_m)
    return joined((math.ceil(a / 1000) * 1000, math.ceil(b / 1000) * 1000) for a, b in spans)


def hurry_in_zones(rows: Rows, wearer: Wearer) -> None:
    """Fixes that a tag takes for inside an exclusion zone of its wearer, or the buffer of one, are sent at once."""
    x = (rows["lon_deg"] - CENTRE_LON_DEG) * M_PER_LON
    y = (rows["lat_deg"] - CENTRE_LAT_DEG) * M_PER_LAT
    for zone in wearer.exclusions:
        rows["at_once"] |= zone.shape.within(x, y, zone.buffer_m)


def heartbeats(rows: Rows, span: Interval, every_s: int) -> Rows:
    """One HEARTBEAT for each `every_s` without another report in `span`; `rows` in order of `order_ms`."""
    times = np.concatenate([[span[0]], rows["order_ms"], [span[1]]])
    step = every_s * SECOND_MS
    beats: list[int] = []
    for k in np.flatnonzero(np.diff(times) > step).tolist():
        beats += range(int(times[k]) + step, int(times[k + 1]), step)
    return event_rows(np.array(beats, np.int64), "HEARTBEAT", False)


def within(at_ms: Int64s, intervals: list[Interval]) -> Bools:
    """Which of `at_ms` lie in one of `intervals`."""
    inside = np.zeros(len(at_ms), np.bool_)
    for begin, end in intervals:
        inside |= (at_ms >= begin) & (at_ms < end)
    return inside


def _fixes(now: _Day, chosen: Bools, kind: int, ex_m: Float64s, ey_m: Float64s, precision_m: Float64s) -> Rows:
    """Position rows in the minutes `chosen`, at the true place plus (ex, ey)."""
    rows = no_rows(int(np.count_nonzero(chosen)))
    rows["order_ms"] = rows["at_ms"] = now.t_ms[chosen]
    rows["kind"] = kind
    rows["lon_deg"] = CENTRE_LON_DEG + (now.x_m + ex_m)[chosen] / M_PER_LON
    rows["lat_deg"] = CENTRE_LAT_DEG + (now.y_m + ey_m)[chosen] / M_PER_LAT
    rows["precision_m"] = np.round(precision_m[chosen], 1)
    return rows


def _smooth(rng: np.random.Generator, count: int, memory: float) -> Float64s:
    """`count` standard normals of which neighbours k apart correlate by about exp(-k / memory)."""
    kernel = np.exp(-np.arange(math.ceil(5 * memory) + 1) / memory)
    kernel /= math.sqrt(float(np.sum(kernel * kernel)))
    return np.convolve(rng.normal(size=count + len(kernel) - 1), kernel, mode="valid")


def _stretched(source: Callable[[int], Float64s], count: int) -> Float64s:
    """`count` values of which each ten-minute stretch shares one draw of `source`."""
    return np.repeat(source(-(-count // STRETCH)), STRETCH)[:count]
