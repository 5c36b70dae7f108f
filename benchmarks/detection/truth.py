"""What is true of a wearer, and whether what was sent could show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.requirements import is_exclusion, margins_m
from benchmarks.detection.scores import Violation
from benchmarks.detection.sent import Sent
from emtrack.emulator import World
from geofence import Position, parse_instant
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
        findable = any(bool(look.findable(name, begin_ms, end).any()) for look in looks)
        found[name].append(Violation(begin_ms, end, findable))
    return found
