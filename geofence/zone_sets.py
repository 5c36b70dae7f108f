"""Shared zone sets: many zones that any number of wearers are judged by as one ("no school in the county").

For the verdict a set is the union of its members: where two touch or overlap there is no boundary between them. Which
member a finding is about is told by `member_at`. A set is built once, kept as a folder of arrays, and loaded by memory map.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from geofence import kernels_sets as ks
from geofence.compiled import sources_hash
from geofence.kernels import UNITS_PER_DEG, metric_at
from geofence.kernels_zones import TILE
from geofence.margins import Floats, Verdicts, floats, margins_m
from geofence.orders import Area
from geofence.zones import PackedZones, packed, units

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]

SMALLEST_BITS = 9
"""Cells are not cut below 2^8 units (2.4 m)."""


COARSE_M = 150.0
"""Cells with boundary are cut to this, so that few places lie in one; less far where the boundary is long and its edges few."""
MOST_MET = 6
"""Edges that may meet a cell that is not cut on, unless it is one of the smallest."""


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
class _Arrays:
    """What the kernels read; `kernels_sets.py` and `kernels_zones.py` say how it is laid out."""

    root: Ints
    nodes: Ints
    lists: Words
    corners: Words
    runs: Words
    balls: npt.NDArray[np.float32]
    frame: Ints
    ring_ends: Ints
    """Ring r of the union is corners[ring_ends[r - 1]:ring_ends[r]]."""
    ring_group: Words
    """Each ring bounds the union of a group of members that touch: group_members[group_ends[g - 1]:group_ends[g]]."""
    group_ends: Words
    group_members: Words
    group_boxes: Words
    """Zones of a pack, one for each of `group_members`; empty for a group of one."""
    group_shapes: Words

    def union(self) -> tuple[Any, ...]:
        return self.root, self.nodes, self.lists, self.corners, self.runs, self.balls, self.frame


class ZoneSet:
    """A set, ready to be asked. Made by `build` or `load`."""

    def __init__(self, content: str, zone_ids: Sequence[str], arrays: _Arrays) -> None:
        self.content = content
        self.zone_ids: list[str] = list(zone_ids)
        self._arrays = arrays

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self._arrays, field.name).nbytes for field in fields(_Arrays))

    # ------------------------------------------------------------------------------------- questions

    def verdicts(
        self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike, radius_m: npt.ArrayLike, widen_m: float = 0.0
    ) -> Verdicts:
        """Verdicts of n positions with their radii (more than 0) on the union, taken wider by `widen_m`: int8 (n,)."""
        lon = floats(lon_deg)
        answers = np.empty(len(lon), np.int8)
        ks.set_verdicts(
            *self._arrays.union(), lon, floats(lat_deg), floats(radius_m), float(widen_m), answers, *_scratch()
        )
        return answers

    def contains(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """In or out of the union as drawn, of n positions: bool (n,)."""
        lon = floats(lon_deg)
        inside = np.empty(len(lon), np.bool_)
        root, nodes, lists, corners, _, _, frame = self._arrays.union()
        ks.set_contains(root, nodes, lists, corners, frame, lon, floats(lat_deg), inside, *_scratch())
        return inside

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Floats:
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

    def _nearest(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> tuple[Floats, Ints]:
        """Margins, and the edges (their first corners) that are nearest."""
        lon = floats(lon_deg)
        margins, nearest = np.empty(len(lon), np.float64), np.empty(len(lon), np.int64)
        entries, bits, _ = _scratch()
        ks.set_margins(*self._arrays.union(), lon, floats(lat_deg), margins, nearest, entries, bits)
        return margins, nearest

    # ------------------------------------------------------------------------------------- keeping

    def save(self, folder: Path) -> None:
        """Keep the set in a folder, which appears whole or not at all."""
        making = folder.with_name(folder.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for field in fields(_Arrays):
            np.save(making / f"{field.name}.npy", getattr(self._arrays, field.name))
        about = {"content": self.content, "sources": _sources(), "zone_ids": self.zone_ids}
        (making / "about.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)

    @classmethod
    def load(cls, folder: Path, content: str) -> ZoneSet:
        """The set that a folder keeps, by memory map. Raises StaleSet if it is another one, and OSError if there is none."""
        about = json.loads((folder / "about.json").read_text())
        if about["content"] != content or about["sources"] != _sources():
            raise StaleSet(
                f"{folder} does not hold zone set {content} as this program builds it; it is to be built again"
            )
        # Copy on write, because the kernels are compiled for arrays that may be written.
        arrays = [np.asarray(np.load(folder / f"{field.name}.npy", mmap_mode="c")) for field in fields(_Arrays)]
        return cls(content, about["zone_ids"], _Arrays(*arrays))


def _scratch() -> tuple[Ints, Ints, Ints]:
    return np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE + 1, np.int64)


def _sources() -> str:
    """A set is laid out as the sources of this folder have it."""
    return sources_hash(Path(__file__).parent)


# ---------------------------------------------------------------------------------------------- building


class _Union(NamedTuple):
    """Polygons that are apart, the group of each, and the members of the groups."""

    polygons: npt.NDArray[np.object_]
    group: Ints
    groups: list[Ints]


def build(members: Iterable[Member], *, root_bits: int | None = None, most_met: int = MOST_MET) -> ZoneSet:
    """The set of these members. `root_bits`: log2 of the cells in a row of the coarse grid, even; chosen if left out. Raises
    ValueError for a set without members, or one that spans half of the Earth."""
    ordered = sorted(members)
    if not ordered:
        raise ValueError("a zone set without members is no zone")
    union = _sorted(_union(ordered))
    _, coordinates, (ring_ends, polygon_ends) = shapely.to_ragged_array(union.polygons)
    corners = ((np.rint(coordinates).astype(np.int64) + 2**31) % 2**32 - 2**31).astype(np.int32)
    runs = _runs(ring_ends.astype(np.int64))
    frame, extremes = _frame(corners, len(runs), root_bits)
    balls = np.empty((frame[-1], 4), np.float32)
    ks.fill_runs(runs, corners, balls)
    ks.fill_balls(balls, frame)
    edges = np.delete(np.arange(len(corners), dtype=np.int32), ring_ends[1:] - 1)
    root, nodes, lists = _grown(edges, runs, corners, frame, extremes, most_met, _coarse_m(corners, edges, extremes))
    boxes, shapes = _packed_groups(ordered, union.groups)
    arrays = _Arrays(
        root, nodes, lists, corners, runs, balls, frame,
        ring_ends=ring_ends[1:].astype(np.int64),
        ring_group=np.repeat(union.group, np.diff(polygon_ends)).astype(np.int32),
        group_ends=np.cumsum([len(group) for group in union.groups], dtype=np.int32),
        group_members=np.concatenate(union.groups).astype(np.int32),
        group_boxes=boxes, group_shapes=shapes,
    )  # fmt: skip
    return ZoneSet(content_of(ordered), [member.zone_id for member in ordered], arrays)


def _polygons(members: Sequence[Member]) -> tuple[npt.NDArray[np.object_], Ints]:
    """All polygons of all members in units, and the member of each. In units, because neighbours whose corners differ in the
    last digit of their degrees touch there, as they should."""
    parts = [rings for member in members for rings in member.area.polygons]
    corners = units([corner for rings in parts for ring in rings for corner in ring]).astype(np.float64)
    ring_ends = np.cumsum([0, *(len(ring) for rings in parts for ring in rings)])
    polygon_ends = np.cumsum([0, *map(len, parts)])
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (ring_ends, polygon_ends))
    owner = np.repeat(np.arange(len(members)), [len(member.area.polygons) for member in members])
    touched = ~shapely.is_valid(polygons)  # corners nearer than a unit to an edge can come to lie on it, or beyond
    polygons[touched] = shapely.make_valid(polygons[touched])
    for _ in range(2):  # collections of multi-polygons
        polygons, index = shapely.get_parts(polygons, return_index=True)
        owner = owner[index]
    is_polygon = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    return polygons[is_polygon], owner[is_polygon]


def _union(members: Sequence[Member]) -> _Union:
    """Members that touch or overlap are made one, group by group."""
    polygons, owner = _polygons(members)
    a, b = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    touching = owner[a] < owner[b]
    chief = np.arange(len(members))
    for i, j in zip(owner[a[touching]], owner[b[touching]], strict=True):  # few touch: most sets are of places apart
        chief[_chief_of(chief, j)] = _chief_of(chief, i)
    chiefs = np.array([_chief_of(chief, i) for i in range(len(chief))]) if touching.any() else chief
    _, group_of = np.unique(chiefs, return_inverse=True)
    groups = np.split(np.argsort(group_of, kind="stable"), np.flatnonzero(np.diff(np.sort(group_of))) + 1)
    is_joint = np.array([len(group) > 1 for group in groups])[group_of[owner]]
    pieces, numbers = [polygons[~is_joint]], [group_of[owner[~is_joint]]]
    for number in np.unique(group_of[owner[is_joint]]):
        parts = shapely.get_parts(shapely.union_all(polygons[is_joint][group_of[owner[is_joint]] == number]))
        parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        pieces.append(parts)
        numbers.append(np.full(len(parts), number))
    return _Union(np.concatenate(pieces), np.concatenate(numbers), groups)


def _sorted(union: _Union) -> _Union:
    """Polygons in the order of a Morton curve through their middles, so that what lies together is kept together."""
    bounds = shapely.bounds(union.polygons)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    step = np.maximum(np.ptp(middle, axis=0), 1.0) / 65_535
    column, line = ((middle - middle.min(axis=0)) / step).astype(np.uint64).T
    order = np.argsort(_spread(column) | (_spread(line) << np.uint64(1)), kind="stable")
    return _Union(union.polygons[order], union.group[order], union.groups)


def _spread(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """16 bits with a place free after each."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        value = (value | (value << np.uint64(shift))) & np.uint64(mask)
    return value


def _chief_of(chief: Ints, i: int) -> int:
    """Whom the members that touch i follow (union-find with halving)."""
    while chief[i] != i:
        chief[i] = chief[chief[i]]
        i = int(chief[i])
    return i


def _packed_groups(members: Sequence[Member], groups: Sequence[Ints]) -> tuple[Words, Words]:
    """The members of groups of several as zones of a pack, in the order of all groups; of a group of one, an empty row."""
    sizes = np.array([len(group) for group in groups])
    joint = np.repeat(sizes > 1, sizes)
    pack = packed([members[i].area for group in groups if len(group) > 1 for i in group])
    boxes = np.zeros((len(joint) if joint.any() else 0, 8), np.int32)
    boxes[joint[: len(boxes)]] = pack.boxes
    return boxes, pack.shapes


def _runs(ring_ends: Ints) -> Words:
    """Rings in runs of at most `ks.RUN_EDGES` edges, as equal as can be; their boxes are still to be filled."""
    edges = np.diff(ring_ends) - 1
    pieces = -(-edges // ks.RUN_EDGES)
    of_ring = np.repeat(np.arange(len(edges)), pieces)
    rank = np.arange(len(of_ring)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin, end = (edges[of_ring] * k // pieces[of_ring] for k in (rank, rank + 1))
    runs = np.zeros((len(of_ring), 6), np.int32)
    runs[:, ks.RUN_FIRST], runs[:, ks.RUN_LENGTH] = ring_ends[of_ring] + begin, end - begin
    return runs


def _frame(corners: Words, runs: int, root_bits: int | None) -> tuple[Ints, Floats]:
    """The square that holds all corners and `ks.PAD_M` more, and the greatest and least metric in it."""
    south, north = int(corners[:, 1].min()), int(corners[:, 1].max())
    pad_deg = ks.PAD_M * 1.05 / 110_000.0
    highest_deg = min(89.0, max(abs(south), abs(north)) / UNITS_PER_DEG + pad_deg)
    lowest_deg = 0.0 if south <= 0 <= north else max(0.0, min(abs(south), abs(north)) / UNITS_PER_DEG - pad_deg)
    narrow, wide = metric_at(highest_deg), metric_at(lowest_deg)
    pad_east, pad_north = (int(ks.PAD_M * 1.05 / metre) for metre in narrow[:2])
    west, east = int(corners[:, 0].min()), int(corners[:, 0].max())
    side = max(east - west + 2 * pad_east, north - south + 2 * pad_north)
    if side > 2**31:
        raise ValueError(
            "the set spans more than 180° of longitude; make it two sets, one on each side of the 180° meridian"
        )
    side_bits = (
        max((side + (1 << SMALLEST_BITS)).bit_length(), 12) | 1
    )  # cells are 4^k times 2.4 m by 2 then: 76 m, 305 m
    bits = 2 * round(np.log2(4 * runs) / 4) if root_bits is None else root_bits
    bits = int(min(max(bits, 2), 10, (side_bits - SMALLEST_BITS) // 2 * 2))
    origin = (np.array([west - pad_east, south - pad_north]) >> SMALLEST_BITS) << SMALLEST_BITS
    levels = [0, runs]
    while levels[-1] - levels[-2] > 16:
        levels.append(levels[-1] + -(-(levels[-1] - levels[-2]) // 16))
    levels += [levels[-1]] * (ks.FRAME_LENGTH - ks.LEVELS - len(levels))
    frame = np.array([*origin, side_bits - bits, bits, *levels], np.int64)
    return frame, np.array([wide[0], metric_at(90.0)[1], narrow[0] * 0.95, metric_at(0.0)[1] * 0.95])


def _coarse_m(corners: Words, edges: Words, extremes: Floats) -> float:
    """How large a cell with boundary may be: so that there are at most some 4 for each edge, and 4,096."""
    steps = corners[edges + 1].astype(np.int64) - corners[edges]
    length_m = float(np.hypot(steps[:, 0] * extremes[0], steps[:, 1] * extremes[1]).sum())
    return max(COARSE_M, length_m / (4_096 + 4 * len(edges)))


def _grown(
    edges: Words, runs: Words, corners: Words, frame: Ints, extremes: Floats, most_met: int, coarse_m: float
) -> tuple[Ints, Ints, Words]:
    """Root, nodes and lists of a set: the frame is cut level by level until every cell is a leaf."""
    cell_bits, root_bits = int(frame[ks.CELL_BITS]), int(frame[ks.ROOT_BITS])
    root = np.empty((1 << root_bits, 1 << root_bits), np.int64)
    nodes = [np.empty(0, np.int64)]
    lists = np.empty(20 * len(edges) + 4_096, np.int32)
    counts = np.zeros(3, np.int64)
    cells = np.array([[0, 0, 0, len(runs), len(runs), len(edges), 0]], np.int64)
    cell_list = np.concatenate([np.arange(len(runs), dtype=np.int32), edges])
    bits = cell_bits + root_bits
    node_count = 0
    while len(cells):
        bits -= 2
        kept, found_list = (
            np.empty((4 * len(cells) + 1_024, 7), np.int64),
            np.empty(20 * len(edges) + 4_096, np.int32),
        )
        found = np.empty(16 * len(cells), np.int64)
        counts[:2] = 0
        done = 0
        while True:
            done += ks.cut_cells(
                cells[done:], cell_list, np.int64(1) << bits, bits > cell_bits, np.int64(1) << SMALLEST_BITS, most_met, coarse_m,
                extremes, runs, corners, frame, found[16 * done :], found_list, kept, lists, counts,
            )  # fmt: skip
            if done == len(cells):
                break
            kept, found_list, lists = (np.concatenate([old, np.empty_like(old)]) for old in (kept, found_list, lists))
        if bits >= cell_bits:
            _into_root(root, cells, found, bits - cell_bits, cell_bits)
        else:
            node_count += len(cells)
            nodes.append(np.where((found >> 30) & 3 == ks.NODE, found + node_count, found))
        cells, cell_list = kept[: counts[0]].copy(), found_list[: counts[1]].copy()
    return root.ravel(), np.concatenate(nodes), lists[: counts[2]].copy()


def _into_root(root: Ints, cells: Ints, found: Ints, above: int, cell_bits: int) -> None:
    """Write the parts of a level at or above the grid into it; a part above it fills the cells that it covers."""
    part = np.arange(16)
    x = ((cells[:, :1] >> cell_bits) + ((part & 3) << above)).ravel()
    y = ((cells[:, 1:2] >> cell_bits) + ((part >> 2) << above)).ravel()
    if above == 0:
        root[y, x] = found
        return
    span = 1 << above
    for column, line, entry in zip(x, y, found, strict=True):
        root[line : line + span, column : column + span] = entry
