"""What is true of a wearer, and whether what was sent could show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.requirements import is_exclusion, margins_m
from benchmarks.detection.scores import SHORTEST_MS, Violation
from benchmarks.detection.sent import Sent
from emtrack.emulator import World
from geofence import ObligationKind, Position, parse_instant
from geofence.judgement import Schedule
from geofence.shapes import Bools, Int64s


@dataclass(frozen=True)
class Seen:
    """The positions of one activation beside the truth. `at_ms`: true instants (n,). `past`: (n, requirements), truly on the
    wrong side by twice the radius."""

    sent: Sent
    positions: list[Position]
    at_ms: Int64s
    past: Bools

    def column(self, requirement_id: str) -> int:
        return [str(r.requirement_id) for r in self.sent.plan.requirements].index(requirement_id)

    def findable(self, requirement_id: str, begin_ms: int, end_ms: int) -> Bools:
        """(n,): positions of the interval that belong to two consecutive ones, far enough past and close enough in time."""
        good = self.past[:, self.column(requirement_id)] & (self.at_ms >= begin_ms) & (self.at_ms < end_ms)
        pair = good[1:] & good[:-1] & (np.diff(self.at_ms) <= self.sent.plan.settings.max_gap_ms)
        chosen = np.zeros(len(good), np.bool_)
        chosen[1:] |= pair
        chosen[:-1] |= pair
        return chosen

    def can_show(self, requirement_id: str, begin_ms: int, end_ms: int) -> bool:
        """Whether the positions could show a violation. Of an appointment: they do for as long as it may be missed."""
        requirement = self.sent.plan.requirements[self.column(requirement_id)]
        if requirement.kind is not ObligationKind.ATTENDANCE:
            return bool(self.findable(requirement_id, begin_ms, end_ms).any())
        periods = Schedule(self.sent.plan, requirement).periods(begin_ms, end_ms)
        return any(
            self._shown_ms(requirement_id, period.begin_ms, period.end_ms)
            >= period.end_ms - period.begin_ms - requirement.stay_ms
            for period in periods
            if period.begin_ms < end_ms and begin_ms < period.end_ms
        )

    def _shown_ms(self, requirement_id: str, begin_ms: int, end_ms: int) -> int:
        """For how long consecutive positions, close enough in time, are all far enough past the boundary."""
        good = self.past[:, self.column(requirement_id)] & (self.at_ms >= begin_ms) & (self.at_ms < end_ms)
        steps = np.diff(self.at_ms)
        pair = good[1:] & good[:-1] & (steps <= self.sent.plan.settings.max_gap_ms)
        return int(steps[pair].sum())


def _heard(world: World, wearer_id: str, begin_ms: int, end_ms: int) -> bool:
    """Whether the unit of a wearer without positions could hear the tag, were it there, for some time of a violation."""
    return sum(b - a for a, b in world.listening(wearer_id, begin_ms, end_ms)) >= SHORTEST_MS


def seen(world: World, sent: Sent) -> Seen:
    """Each position with where the wearer truly was at its true instant."""
    positions, requirements = sent.positions, sent.plan.requirements
    at_ms = np.array([p.fix_ms for p in positions], np.int64) - sent.skew_ms
    lon_deg, lat_deg = world.position(sent.plan.activation.wearer_id, at_ms)
    sign = np.array([1.0 if is_exclusion(r) else -1.0 for r in requirements])
    depth_m = margins_m(requirements, lon_deg, lat_deg) * sign
    radius_m = np.array([p.radius_m for p in positions], np.float64).reshape(-1, 1)
    return Seen(sent, positions, at_ms, depth_m >= 2 * radius_m)


def violations_of(world: World, wearer_id: str, end_ms: int, looks: Sequence[Seen]) -> Mapping[str, list[Violation]]:
    """What is true of one wearer, by requirement, in order of time."""
    found: dict[str, list[Violation]] = defaultdict(list)
    for row in world.truth(wearer_id, world.start_ms, end_ms):
        name, begin_ms, end = row["requirement_id"], parse_instant(row["begin"]), parse_instant(row["end"])
        findable = any(look.can_show(name, begin_ms, end) for look in looks) or _heard(
            world, wearer_id, begin_ms, end
        )
        found[name].append(Violation(begin_ms, end, findable))
    return found
