"""What positions say of the zones of one plan: verdicts, margins, and the member of a set that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.margins import margins_m, verdicts
from geofence.orders import Requirement, SetZone
from geofence.zone_sets import ZoneSet
from geofence.zones import packed

Floats = npt.NDArray[np.float64]
Verdicts = npt.NDArray[np.int8]

NO_SETS: Mapping[str, ZoneSet] = {}


class UnknownSet(LookupError):
    """A requirement names a zone set that was not handed over with the plan."""


class Judged(NamedTuple):
    """Verdicts of n positions on k requirements, int8 of Presence (n, k): on the zones, and on the zones widened by their
    buffers."""

    in_zone: Verdicts
    in_widened: Verdicts


class Places:
    """The zones of some requirements. `sets`: by `SetZone.content`. Raises UnknownSet for one that is missing."""

    def __init__(self, requirements: Sequence[Requirement], sets: Mapping[str, ZoneSet] = NO_SETS) -> None:
        self._personal = [i for i, r in enumerate(requirements) if not isinstance(r.zone, SetZone)]
        self._packed = packed([r.zone for r in requirements if not isinstance(r.zone, SetZone)])
        self._shared = {i: _found(sets, r.zone) for i, r in enumerate(requirements) if isinstance(r.zone, SetZone)}
        self._buffers_m = np.array([r.buffer_m for r in requirements], np.float64)
        self._widen_m = np.array([r.widen_m for r in requirements], np.float64)

    def verdicts(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, radius_m: npt.ArrayLike) -> Judged:
        """RULES.md section 3, for n positions with their radii."""
        radius = np.asarray(radius_m, np.float64).reshape(-1, 1)
        margin_m = self.margins_m(lon_deg, lat_deg, radius + self._buffers_m + self._widen_m) + self._widen_m
        return Judged(verdicts(margin_m, radius), verdicts(margin_m + self._buffers_m, radius))

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, cutoff_m: npt.ArrayLike = np.inf) -> Floats:
        """Signed margins of n positions to the zones as drawn, float64 (n, k). `cutoff_m` (n, k): see `margins.margins_m`."""
        lon, lat = np.asarray(lon_deg, np.float64), np.asarray(lat_deg, np.float64)
        cutoff = np.broadcast_to(cutoff_m, (len(lon), len(self._buffers_m)))
        margin_m = np.empty(cutoff.shape, np.float64)
        margin_m[:, self._personal] = margins_m(self._packed, lon, lat, cutoff[:, self._personal])
        for index, zone_set in self._shared.items():
            margin_m[:, index] = zone_set.margins_m(lon, lat)
        return margin_m

    def zone_id(self, index: int, lon_deg: float, lat_deg: float) -> str | None:
        """The member of a set that a position is about; None for a requirement with a zone of its own."""
        zone_set = self._shared.get(index)
        return None if zone_set is None else zone_set.member_at(lon_deg, lat_deg)


def _found(sets: Mapping[str, ZoneSet], zone: SetZone) -> ZoneSet:
    if zone.content not in sets:
        raise UnknownSet(f"zone set {zone.set_id!r} version {zone.version!r} is not at hand")
    return sets[zone.content]
