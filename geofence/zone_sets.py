"""Shared zone sets: many zones that any number of wearers are judged by as one ("no school in the county").

For the verdict a set is the union of its members: where two touch or overlap there is no boundary between them. Which
member a finding is about is told by `member_at`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from geofence.margins import margins_m
from geofence.orders import Area
from geofence.zones import packed, union_of

Floats = npt.NDArray[np.float64]


class Member(NamedTuple):
    """One zone of a set. `zone_id` is unique in it."""

    zone_id: str
    area: Area


def content_of(members: Iterable[Member]) -> str:
    """32 hexadecimal digits that name exactly these members, whatever their order."""
    digest = hashlib.blake2b(digest_size=16)
    for member in sorted(members):
        digest.update(msgspec.json.encode(member))
    return digest.hexdigest()


class ZoneSet:
    """A set, ready to be asked."""

    def __init__(self, members: Sequence[Member]) -> None:
        ordered = sorted(members)
        self.content = content_of(ordered)
        self.zone_ids = [member.zone_id for member in ordered]
        self._members = packed([member.area for member in ordered])
        self._union = packed([union_of([member.area for member in ordered])])

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Floats:
        """Signed margins of n positions to the boundary of the union, positive inside: float64 (n,)."""
        return margins_m(self._union, lon_deg, lat_deg)[:, 0]

    def member_at(self, lon_deg: float, lat_deg: float) -> str:
        """The member that a position is about: the one with the greatest margin (it lies in it, or nearest to it); of
        several the first by id."""
        return self.zone_ids[int(np.argmax(margins_m(self._members, [lon_deg], [lat_deg])[0]))]
