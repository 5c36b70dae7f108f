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

from emtrack.emulator.alcohol_tags import AlcoholTag
from emtrack.emulator.geometry import CENTRE_LAT_DEG, CENTRE_LON_DEG, M_PER_LAT, M_PER_LON, Float64s, Int64s
from emtrack.emulator.habits import PRESETS, Mix
from emtrack.emulator.paths import DayPath, Planner
from emtrack.emulator.people import Activation, Requirement, Wearer, make_activations, make_wearers, orders_of
from emtrack.emulator.schedule import (
    SECOND_MS,
    Interval,
    clipped,
    common,
    datetime_of,
    joined,
    periods,
    whole_rows,
    without,
)
from emtrack.emulator.sending import Sender, Upload
from emtrack.emulator.tags import Tag
from emtrack.emulator.units import HomeUnit

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
        senders = [*self._make_tags(), *self._make_units()]
        self._senders: dict[str, Sender] = {sender.device_id: sender for sender in senders}

    def _make_tags(self) -> Iterator[Sender]:
        """Every device on a wearer that has a channel of its own."""
        worn: dict[str, list[Activation]] = {}
        for activation in self.activations:
            worn.setdefault(activation.device_id, []).append(activation)
        for device in sorted(worn):
            first = worn[device][0]
            if first.by_alcohol_tag and first.wearer.drinks is not None:
                yield AlcoholTag(self.seed, first, first.wearer.drinks, self._planner, self.mix)
            elif not first.wearer.rf_only:
                yield Tag(self.seed, device, worn[device], self, self._planner, self.mix)

    def _make_units(self) -> Iterator[Sender]:
        for wearer in self.wearers:
            if wearer.unit is not None:
                yield HomeUnit(self.seed, wearer, wearer.unit, self._heard_of(wearer), self, self._planner, self.mix)

    def _heard_of(self, wearer: Wearer) -> list[Activation]:
        """What a home unit can hear of a wearer, in order of time."""
        own = [one for one in self.activations if one.wearer is wearer and not one.by_alcohol_tag]
        return sorted(own, key=lambda activation: activation.begin_ms)

    def devices(self) -> list[str]:
        """Every device that sends, in order: tags, then home units that send for themselves."""
        return list(self._senders)

    def listening(self, wearer_id: str, begin_ms: int, end_ms: int) -> list[Interval]:
        """When a wearer who has nothing but a home unit would be heard at home: unit and tag have power. Of others nothing."""
        wearer = self._wearer[wearer_id]
        unit = self._senders.get(wearer.hmu_id or "")
        if not wearer.rf_only or not isinstance(unit, HomeUnit):
            return []
        found = (interval for day in self._days(begin_ms, end_ms) for interval in unit.listening(day))
        return clipped(joined(found), begin_ms, end_ms)

    def unreachable(self, device_id: str, begin_ms: int, end_ms: int) -> list[Interval]:
        """When a tag with a channel of its own can send nothing: it has no network, or no power. Of other devices nothing."""
        tag = self._senders.get(device_id)
        if not isinstance(tag, Tag):
            return []
        found = (interval for day in self._days(begin_ms, end_ms) for interval in tag.unreachable(day))
        return clipped(joined(found), begin_ms, end_ms)

    def orders(self) -> dict[str, Any]:
        """orders.json of this world, with `wearers` and `home_units`."""
        return orders_of(self.wearers, self.activations, self.start_ms, self.timezone)

    def skew_ms(self, device_id: str) -> int:
        """How far the clock of a device is ahead of true time; of a tag without one, 0."""
        sender = self._senders.get(device_id)
        return 0 if sender is None else sender.skew_ms

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
        """What all tags and home units send in [from, to), in order of sending; `to_ms` None: without end.

        Windows may be split in any way. A window that does not go on from an earlier one is stepped to from the start of the world,
        a few milliseconds per tag and day.
        """
        streams = [sender.uploads(from_ms, to_ms) for sender in self._senders.values()]
        return (upload for *_, upload in heapq.merge(*streams))

    def truth(self, wearer_id: str, begin_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """True intervals of one wearer, cut at [begin, end) and at the start of the world, to the second.

        EXCLUSION: inside the zone while it is forbidden, with the greatest depth. CURFEW, INCLUSION: outside the place while
        it is ordered, less authorised absences. ATTENDANCE: from when too little is left of an appointment to stay for long enough,
        to its end. Whether a tag was worn, or worked, makes no difference.
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
        if rule.kind == "ATTENDANCE":
            return clipped(self._unattended(wearer, rule, begin_ms, end_ms), begin_ms, end_ms)
        obliged = [(begin_ms, end_ms)]
        if rule.timetable is not None:
            obliged = periods(rule.timetable, self.zone, begin_ms, end_ms)
        inside = clipped(self._inside(wearer, rule, begin_ms, end_ms), begin_ms, end_ms)
        if rule.kind == "EXCLUSION":
            return common(inside, obliged)
        absences = joined(interval for interval, _ in wearer.absences)
        return without(without(obliged, absences), inside)

    def _unattended(self, wearer: Wearer, rule: Requirement, begin_ms: int, end_ms: int) -> list[Interval]:
        """Of each appointment that obliges: from when on too little is left of it."""
        assert rule.timetable is not None, "an attendance has a timetable"
        found: list[Interval] = []
        for row in whole_rows(rule.timetable, self.zone, begin_ms, end_ms):
            if self._is_kept(wearer, row):
                away = without([row], clipped(self._inside(wearer, rule, *row), *row))
                found += _end_of_what_may_be_missed(away, row[1] - row[0] - rule.stay_s * SECOND_MS, row[1])
        return found

    def _is_kept(self, wearer: Wearer, row: Interval) -> bool:
        """Whether an appointment obliges: it lies whole within one activation, and no absence overlaps it."""
        within_one = any(
            one.begin_ms <= row[0] and (one.end_ms is None or row[1] <= one.end_ms) for one in self._heard_of(wearer)
        )
        return within_one and not any(begin < row[1] and row[0] < end for (begin, end), _ in wearer.absences)

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


def _end_of_what_may_be_missed(away: list[Interval], allowed_ms: int, end_ms: int) -> list[Interval]:
    """From the instant at which the absence has added up to `allowed_ms` and goes on, to the end; nothing if it does not."""
    for begin, end in away:
        if end - begin > allowed_ms:
            return [(begin + allowed_ms, end_ms)]
        allowed_ms -= end - begin
    return []


def _iso_s(at_ms: int) -> str:
    """To the second; only the ends of a window that is not on a second are cut."""
    return datetime_of(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
