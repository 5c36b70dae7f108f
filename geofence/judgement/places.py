"""What positions say of the zones of one plan: verdicts, margins, and the member of a set that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.obligations import Requirement
from geofence.shapes.arrays import Float64s
from geofence.shapes.kernels_zones import PackedZones
from geofence.shapes.margins import Verdicts, floats, margins_m, verdicts_on
from geofence.shapes.packing import packed_apart
from geofence.shapes.zone_sets import ZoneSet
from geofence.zones import SetZone

NO_SETS: Mapping[str, ZoneSet] = {}


class UnknownSet(LookupError):
    """A requirement names a zone set that was not handed over with the plan."""


class ZoneVerdicts(NamedTuple):
    """Verdicts of n positions on k requirements, int8 of Presence (n, k): on the zones, and on the zones widened by their
    buffers."""

    in_zone: Verdicts
    in_widened: Verdicts


class Packs(NamedTuple):
    """The zones of some requirements that are on no set, and of those with a buffer the zones that are so much wider."""

    zones: PackedZones
    buffer_zones: PackedZones


def packs_of(many: Sequence[Sequence[Requirement]]) -> list[Packs]:
    """Of many plans at once: one by one it was a third of what a start took."""
    own = [[(r.zone, r) for r in requirements if not isinstance(r.zone, SetZone)] for requirements in many]
    buffered = [[(zone, r) for zone, r in zones if r.buffer_m > 0] for zones in own]
    zones = packed_apart([[z for z, _ in one] for one in own], [[r.widen_m for _, r in one] for one in own])
    wider = packed_apart(
        [[z for z, _ in one] for one in buffered], [[r.widen_m + r.buffer_m for _, r in one] for one in buffered]
    )
    return list(map(Packs, zones, wider))


class Places:
    """The zones of some requirements. `sets`: by `SetZone.content`. `packs`: of these requirements, where they are made already.
    Raises UnknownSet for a set that is missing."""

    def __init__(
        self, requirements: Sequence[Requirement], sets: Mapping[str, ZoneSet] = NO_SETS, packs: Packs | None = None
    ) -> None:
        self._widen_m = [r.widen_m for r in requirements]
        self._buffers_m = [r.buffer_m for r in requirements]
        self._zones, self._buffer_zones = packs_of([requirements])[0] if packs is None else packs
        self._personal = [i for i, r in enumerate(requirements) if not isinstance(r.zone, SetZone)]
        self._buffered = [i for i in self._personal if self._buffers_m[i] > 0]
        self._shared = {i: _found(sets, r.zone) for i, r in enumerate(requirements) if isinstance(r.zone, SetZone)}

    def verdicts(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, radius_m: npt.ArrayLike) -> ZoneVerdicts:
        """RULES.md section 3, for n positions with their radii."""
        lon, lat, radius = floats(lon_deg), floats(lat_deg), floats(radius_m)
        in_zone = np.zeros((len(lon), len(self._widen_m)), np.int8)
        in_zone[:, self._personal] = verdicts_on(self._zones, lon, lat, radius)
        in_widened = in_zone.copy()
        if self._buffered:
            in_widened[:, self._buffered] = verdicts_on(self._buffer_zones, lon, lat, radius)
        for index, zone_set in self._shared.items():
            widen_m = self._widen_m[index]
            in_zone[:, index] = in_widened[:, index] = zone_set.verdicts(lon, lat, radius, widen_m)
            if self._buffers_m[index] > 0:
                in_widened[:, index] = zone_set.verdicts(lon, lat, radius, widen_m + self._buffers_m[index])
        return ZoneVerdicts(in_zone, in_widened)

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Float64s:
        """Signed margins of n positions to the zones as drawn, float64 (n, k)."""
        lon, lat = floats(lon_deg), floats(lat_deg)
        margin_m = np.empty((len(lon), len(self._widen_m)), np.float64)
        margin_m[:, self._personal] = margins_m(self._zones, lon, lat)
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
