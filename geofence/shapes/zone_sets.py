"""Shared zone sets: many zones that any number of wearers are judged by as one ("no school in the county").

For the verdict a set is the union of its members: where two touch or overlap there is no boundary between them. Which
member a finding is about is told by `member_at`. A set is built once (`set_building.py`), kept as a folder of arrays, and loaded by
memory map.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from geofence.shapes import kernels_sets as ks
from geofence.shapes.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from geofence.shapes.compiled import sources_hash
from geofence.shapes.kernels_sets import Cells, Edges
from geofence.shapes.kernels_zones import PackedZones
from geofence.shapes.margins import Verdicts, floats, margins_m
from geofence.zones import Area


class Member(NamedTuple):
    """One zone of a set. `zone_id` is unique in it."""

    zone_id: str
    area: Area


class StaleSet(ValueError):
    """A folder holds another set, or one that other sources built; build it again."""


def content_of(members: Iterable[Member]) -> str:
    """32 hexadecimal digits that name exactly these members, whatever their order."""
    digest = hashlib.blake2b(digest_size=16)
    for member in sorted(members):
        digest.update(msgspec.json.encode(member))
    return digest.hexdigest()


@dataclass(frozen=True)
class SetArrays:
    """What the kernels read; `kernels_sets.py` and `kernels_zones.py` say how it is laid out."""

    nodes: Int64s
    firsts: Int32s
    entries: Int64s
    lists: Int32s
    corners: Int32s
    runs: Int32s
    balls: Float32s
    frame: Int64s
    ring_ends: Int64s
    """Ring r of the union is corners[ring_ends[r - 1]:ring_ends[r]]."""
    ring_group: Int32s
    """Each ring bounds the union of a group of members that touch: group_members[group_ends[g - 1]:group_ends[g]]."""
    group_ends: Int32s
    group_members: Int32s
    group_boxes: Int32s
    """Zones of a pack, one for each of the first `group_members`: groups of several come first."""
    group_shapes: Int32s

    def cells(self) -> Cells:
        return Cells(self.nodes, self.firsts, self.entries, self.lists)

    def edges(self) -> Edges:
        return Edges(self.corners, self.runs, self.balls, self.frame)


class ZoneSet:
    """A set, ready to be asked. Made by `set_building.build` or `load`."""

    def __init__(self, content: str, zone_ids: Sequence[str], arrays: SetArrays) -> None:
        self.content = content
        self.zone_ids: list[str] = list(zone_ids)
        self._arrays = arrays
        self._cells, self._edges = arrays.cells(), arrays.edges()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self._arrays, field.name).nbytes for field in fields(SetArrays))

    # ------------------------------------------------------------------------------------- questions

    def verdicts(
        self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, radius_m: npt.ArrayLike, widen_m: float = 0.0
    ) -> Verdicts:
        """Verdicts of n positions with their radii (more than 0) on the union, taken wider by `widen_m`: int8 (n,)."""
        lon = floats(lon_deg)
        answers = np.empty(len(lon), np.int8)
        radius, widen = floats(radius_m), float(widen_m)
        ks.set_verdicts(self._cells, self._edges, lon, floats(lat_deg), radius, widen, answers, _scratch())
        return answers

    def contains(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Bools:
        """In or out of the union as drawn, of n positions: bool (n,)."""
        lon = floats(lon_deg)
        inside = np.empty(len(lon), np.bool_)
        ks.set_contains(self._cells, self._edges, lon, floats(lat_deg), inside, _scratch())
        return inside

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Float64s:
        """Signed margins of n positions to the boundary of the union as drawn, positive inside: float64 (n,)."""
        return self._nearest(lon_deg, lat_deg)[0]

    def member_at(self, lon_deg: float, lat_deg: float) -> str:
        """The member that a position is about: the one with the greatest margin (it lies in it, or nearest to it); of
        several the first by id."""
        arrays = self._arrays
        ring = int(np.searchsorted(arrays.ring_ends, self._nearest([lon_deg], [lat_deg])[1][0], side="right"))
        group = int(arrays.ring_group[ring])
        begin, end = (int(arrays.group_ends[group - 1]) if group else 0), int(arrays.group_ends[group])
        members = arrays.group_members[begin:end]
        if len(members) == 1:
            return self.zone_ids[int(members[0])]
        pack = PackedZones(arrays.group_boxes[begin:end], arrays.group_shapes, np.empty((0, 3)))
        return self.zone_ids[int(members[int(np.argmax(margins_m(pack, [lon_deg], [lat_deg])[0]))])]

    def _nearest(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> tuple[Float64s, Int64s]:
        """Margins, and the edges (their first corners) that are nearest."""
        lon = floats(lon_deg)
        margins, nearest = np.empty(len(lon), np.float64), np.empty(len(lon), np.int64)
        ks.set_margins(self._cells, self._edges, lon, floats(lat_deg), margins, nearest, _scratch())
        return margins, nearest

    # ------------------------------------------------------------------------------------- keeping

    def save(self, folder: Path) -> None:
        """Keep the set in a folder, which appears whole or not at all."""
        making = folder.with_name(folder.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for field in fields(SetArrays):
            np.save(making / f"{field.name}.npy", getattr(self._arrays, field.name))
        about = {"content": self.content, "sources": _SOURCES, "zone_ids": self.zone_ids}
        (making / "about.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)

    @classmethod
    def load(cls, folder: Path, content: str) -> ZoneSet:
        """The set that a folder keeps, by memory map. Raises StaleSet if it is another one, and OSError if there is none."""
        about = json.loads((folder / "about.json").read_text())
        if about["content"] != content or about["sources"] != _SOURCES:
            raise StaleSet(
                f"{folder} does not hold zone set {content} as this program builds it; it is to be built again"
            )
        # Copy on write, because the kernels are compiled for arrays that may be written.
        arrays = [np.asarray(np.load(folder / f"{field.name}.npy", mmap_mode="c")) for field in fields(SetArrays)]
        return cls(content, about["zone_ids"], SetArrays(*arrays))


def _scratch() -> Int64s:
    return np.empty((7, ks.TILE), np.int64)


def _sources(folder: Path = Path(__file__).parent) -> str:
    """What a set is laid out by: the kernels, what builds it, this file, and what packs members that touch."""
    return sources_hash(folder, "zone_sets.py", "set_building.py", "packing.py", "geojson.py")


_SOURCES = _sources()
"""Of this program, which may run on when its files have changed."""
