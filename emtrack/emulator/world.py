"""The invented world: who lives in it, what is true, and what the tags send. Time is an argument; nothing here reads a clock.

Memory: a world holds its wearers, a bounded number of paths, and per tag a few small states at the turn of a day. While
`uploads` runs it holds one day of rows per tag (about 60 kB).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from emtrack.emulator.geometry import CENTRE_LAT_DEG, CENTRE_LON_DEG, M_PER_LAT, M_PER_LON, Float64s, Int64s
from emtrack.emulator.habits import PRESETS, Mix
from emtrack.emulator.paths import DayPath, Planner
from emtrack.emulator.people import Activation, Requirement, Wearer, make_activations, make_wearers, orders_of
from emtrack.emulator.schedule import SECOND_MS, Interval, clipped, common, datetime_of, joined, periods, without
from emtrack.emulator.tags import Tag, Upload

REMEMBERED_PATHS = 4_096
DEPTH_STEP_MS = 2 * SECOND_MS


class World:
    """`count` wearers from `start_ms` on. The same arguments give the same world, on any machine and in any order of asking."""

    def __init__(
        self,
        count: int,
        seed: int,
        start_ms: int,
        timezone: str,
        mix: Mix,
        first: int = 1,
        spare_after: int | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"a world needs at least one wearer, not {count}")
        self.seed = seed
        self.start_ms = start_ms
        self.timezone = timezone
        self.zone = ZoneInfo(timezone)
        self.mix = mix
        self.wearers: list[Wearer] = make_wearers(count, seed, start_ms, self.zone, mix.habits, first)
        self.activations: list[Activation] = make_activations(
            self.wearers, seed, start_ms, self.zone, mix.habits, spare_after
        )
        self._wearer = {wearer.wearer_id: wearer for wearer in self.wearers}
        self._planner = Planner(seed, self.zone, mix.habits)
        self._paths: OrderedDict[tuple[int, int], DayPath] = OrderedDict()
        worn: dict[str, list[Activation]] = {}
        for activation in self.activations:
            worn.setdefault(activation.device_id, []).append(activation)
        self._tags = {device: Tag(seed, device, worn[device], self, self._planner, mix) for device in sorted(worn)}

    def devices(self) -> list[str]:
        """Every device, in order."""
        return list(self._tags)

    def orders(self) -> dict[str, Any]:
        """orders.json of this world, with `wearers` and `home_units`."""
        return orders_of(self.wearers, self.activations, self.start_ms, self.timezone)

    def skew_ms(self, device_id: str) -> int:
        """How far the clock of a device is ahead of true time. KeyError for a device that is not of this world."""
        return self._tags[device_id].skew_ms

    def path(self, wearer: Wearer, day: int) -> DayPath:
        """The true path of one day (04:00 to 04:00, numbered by the ordinal of its date)."""
        key = wearer.number, day
        found = self._paths.get(key)
        if found is None:
            found = self._paths[key] = self._planner.plan(wearer, day)
            if len(self._paths) > REMEMBERED_PATHS:
                self._paths.popitem(last=False)
        return found

    def position(self, wearer_id: str, at_ms: Int64s) -> tuple[Float64s, Float64s]:
        """True (longitude, latitude) in degrees, float64[n], at `at_ms` int64[n] ascending."""
        lon, lat = np.empty(len(at_ms)), np.empty(len(at_ms))
        if len(at_ms) == 0:
            return lon, lat
        wearer = self._wearer[wearer_id]
        for day in self._days(int(at_ms[0]), int(at_ms[-1]) + 1):
            begin, end = np.searchsorted(at_ms, (self._planner.turn_ms(day), self._planner.turn_ms(day + 1)))
            x, y = self.path(wearer, day).at(at_ms[begin:end])
            lon[begin:end] = CENTRE_LON_DEG + x / M_PER_LON
            lat[begin:end] = CENTRE_LAT_DEG + y / M_PER_LAT
        return lon, lat

    def uploads(self, from_ms: int, to_ms: int | None) -> Iterator[Upload]:
        """What all tags send in [from, to), in order of sending; `to_ms` None: without end.

        Windows may be split in any way. A window that does not go on from an earlier one is stepped to from the start of the world,
        a few milliseconds per tag and day.
        """
        streams = [tag.uploads(from_ms, to_ms) for tag in self._tags.values()]
        return (upload for *_, upload in heapq.merge(*streams))

    def truth(self, wearer_id: str, begin_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """True intervals of one wearer, cut at [begin, end) and at the start of the world, to the second.

        EXCLUSION: inside the zone while it is forbidden, with the greatest depth. CURFEW, INCLUSION: outside the place while
        it is ordered, less authorised absences. Whether a tag was worn, or worked, makes no difference.
        """
        wearer = self._wearer[wearer_id]
        begin_ms = max(begin_ms, self.start_ms)
        found = [
            (interval, requirement)
            for requirement in wearer.requirements
            for interval in self._true_intervals(wearer, requirement, begin_ms, end_ms)
        ]
        found.sort(key=lambda pair: (pair[0], pair[1].requirement_id))
        return [self._as_dict(wearer, requirement, interval) for interval, requirement in found]

    def _days(self, begin_ms: int, end_ms: int) -> range:
        return range(self._planner.day_of(begin_ms), self._planner.day_of(end_ms - 1) + 1)

    def _true_intervals(self, wearer: Wearer, rule: Requirement, begin_ms: int, end_ms: int) -> list[Interval]:
        if begin_ms >= end_ms:
            return []
        obliged = [(begin_ms, end_ms)]
        if rule.timetable is not None:
            obliged = periods(rule.timetable, self.zone, begin_ms, end_ms)
        inside = clipped(self._inside(wearer, rule, begin_ms, end_ms), begin_ms, end_ms)
        if rule.kind == "EXCLUSION":
            return common(inside, obliged)
        absences = joined(interval for interval, _ in wearer.absences)
        return without(without(obliged, absences), inside)

    def _inside(self, wearer: Wearer, rule: Requirement, begin_ms: int, end_ms: int) -> list[Interval]:
        """When the wearer is truly at the place of `rule`, by whole seconds, over the days that hold [begin, end)."""
        spans: list[Interval] = []
        for day in self._days(begin_ms, end_ms):
            path = self.path(wearer, day)
            for a, b in rule.shape.inside(path.t_ms.astype(np.float64), path.x_m, path.y_m):
                spans.append((round(a / SECOND_MS) * SECOND_MS, round(b / SECOND_MS) * SECOND_MS))
        return joined(spans)

    def _as_dict(self, wearer: Wearer, rule: Requirement, interval: Interval) -> dict[str, Any]:
        out: dict[str, Any] = {
            "wearer_id": wearer.wearer_id,
            "requirement_id": rule.requirement_id,
            "kind": rule.kind,
            "begin": _iso_s(interval[0]),
            "end": _iso_s(interval[1]),
        }
        if rule.kind == "EXCLUSION":
            out["depth_m"] = round(self._depth_m(wearer, rule, interval), 1)
        return out

    def _depth_m(self, wearer: Wearer, rule: Requirement, interval: Interval) -> float:
        """How deep in the zone the wearer was, at most, looked at every two seconds."""
        deepest = 0.0
        for day in self._days(*interval):
            path = self.path(wearer, day)
            low, high = max(interval[0], int(path.t_ms[0])), min(interval[1], int(path.t_ms[-1]))
            depth = rule.shape.depth_m(*path.at(np.arange(low, high, DEPTH_STEP_MS, dtype=np.int64)))
            deepest = max(deepest, float(np.max(depth, initial=0.0)))
        return deepest


def build_world(
    wearers: int,
    seed: int,
    start_ms: int,
    *,
    timezone: str = "Europe/London",
    preset: str = "standard",
    mix: Mix | None = None,
    first: int = 1,
    spare_after: int | None = None,
) -> World:
    """A world of `wearers` people from `start_ms` (UTC) on. `mix` overrides `preset`, a name in `PRESETS`.

    Two worlds live side by side if no number is in both: wearers are numbered from `first`, and tags that are handed out
    later after `spare_after` (by default after the last wearer).

    Raises ValueError for no wearers or an unknown preset.
    """
    if mix is None:
        if preset not in PRESETS:
            raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
        mix = PRESETS[preset]
    return World(wearers, seed, start_ms, timezone, mix, first, spare_after)


def _iso_s(at_ms: int) -> str:
    """To the second; only the ends of a window that is not on a second are cut."""
    return datetime_of(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
