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
from geofence.margins import Floats, Verdicts, floats
from geofence.orders import Area
from geofence.zones import PackedZones, packed_rings, rings_of, units

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]

CHUNK_EDGES = 8
SMALLEST_BITS = 8
"""Cells are not cut below 2^8 units (2.4 m)."""


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
    chunks: Words
    corners: Words
    balls: npt.NDArray[np.float32]
    frame: Ints
    member_boxes: Words
    member_shapes: Words
    member_balls: npt.NDArray[np.float32]

    def union(self) -> tuple[Any, ...]:
        return self.root, self.nodes, self.lists, self.chunks, self.corners, self.balls, self.frame


class ZoneSet:
    """A set, ready to be asked. Made by `build` or `load`."""

    def __init__(self, content: str, zone_ids: Sequence[str], arrays: _Arrays) -> None:
        self.content = content
        self.zone_ids = list(zone_ids)
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
        root, nodes, lists, chunks, corners, _, frame = self._arrays.union()
        ks.set_contains(root, nodes, lists, chunks, corners, frame, lon, floats(lat_deg), inside, *_scratch())
        return inside

    def margins_m(self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Floats:
        """Signed margins of n positions to the boundary of the union as drawn, positive inside: float64 (n,)."""
        lon = floats(lon_deg)
        margins = np.empty(len(lon), np.float64)
        ks.set_margins(*self._arrays.union(), lon, floats(lat_deg), margins)
        return margins

    def member_at(self, lon_deg: float, lat_deg: float) -> str:
        """The member that a position is about: the one with the greatest margin (it lies in it, or nearest to it); of
        several the first by id."""
        arrays = self._arrays
        args = (arrays.member_boxes, arrays.member_shapes, arrays.member_balls, float(lon_deg), float(lat_deg))
        return self.zone_ids[ks.greatest_margin(*args)]

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
    return np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)


def _sources() -> str:
    """A set is laid out as the sources of this folder have it."""
    return sources_hash(Path(__file__).parent)


# ---------------------------------------------------------------------------------------------- building


def build(members: Iterable[Member], *, root_bits: int | None = None) -> ZoneSet:
    """The set of these members. `root_bits`: log2 of the cells in a row of the coarse grid, even; chosen if left out."""
    ordered = sorted(members)
    rings = rings_of([member.area for member in ordered])
    pack = packed_rings(rings, np.zeros(len(ordered)))
    corners, chunks = _chunked(_union(_polygons(ordered)))
    frame, extremes = _frame(corners, len(chunks), root_bits)
    balls = np.zeros((len(chunks), 4), np.float32)
    ks.fill_chunks(chunks, corners, frame, balls)
    root, nodes, lists = _grown(chunks, corners, frame, extremes)
    arrays = _Arrays(
        root, nodes, lists, chunks, corners, balls, frame, pack.boxes, pack.shapes, _member_balls(pack)
    )  # fmt: skip
    return ZoneSet(content_of(ordered), [member.zone_id for member in ordered], arrays)


def _polygons(members: Sequence[Member]) -> npt.NDArray[np.object_]:
    """All polygons of all members."""
    parts = [rings for member in members for rings in member.area.polygons]
    corners = np.array([corner for rings in parts for ring in rings for corner in ring], np.float64)
    ring_ends = np.cumsum([0, *(len(ring) for rings in parts for ring in rings)])
    polygon_ends = np.cumsum([0, *map(len, parts)])
    polygons: npt.NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, corners, (ring_ends, polygon_ends)
    )
    return polygons


def _union(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Polygons that are apart: those that touch or overlap another are made one, group by group."""
    tree = shapely.STRtree(polygons)
    a, b = tree.query(polygons, predicate="intersects")
    group = np.arange(len(polygons))
    pairs = a < b
    for i, j in zip(a[pairs], b[pairs], strict=True):  # few touch: most sets are of places that lie apart
        group[_root_of(group, j)] = _root_of(group, i)
    roots = np.array([_root_of(group, i) for i in range(len(group))]) if pairs.any() else group
    touched = np.bincount(roots, minlength=len(group))[roots] > 1
    apart = list(polygons[~touched])
    order = np.argsort(roots[touched], kind="stable")
    joined = polygons[touched][order]
    for part in np.split(joined, np.flatnonzero(np.diff(roots[touched][order])) + 1) if len(joined) else []:
        whole = shapely.get_parts(shapely.union_all(part))
        apart += [piece for piece in whole if shapely.get_type_id(piece) == shapely.GeometryType.POLYGON]
    return np.array(apart, np.object_)


def _root_of(group: Ints, i: int) -> int:
    while group[i] != i:
        group[i] = group[group[i]]
        i = int(group[i])
    return i


def _chunked(polygons: npt.NDArray[np.object_]) -> tuple[Words, Words]:
    """Corners in units (n, 2), and chunks (m, 8) whose boxes are still to be filled."""
    _, coordinates, (ring_ends, _) = shapely.to_ragged_array(polygons)
    corners = units(coordinates)
    edges = np.diff(ring_ends) - 1
    pieces = -(-edges // CHUNK_EDGES)
    of_ring = np.repeat(np.arange(len(edges)), pieces)
    rank = np.arange(len(of_ring)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    chunks = np.zeros((len(of_ring), 8), np.int32)
    chunks[:, ks.FIRST] = ring_ends[of_ring] + rank * CHUNK_EDGES
    chunks[:, ks.EDGES] = np.minimum(CHUNK_EDGES, edges[of_ring] - rank * CHUNK_EDGES)
    return corners, chunks


def _frame(corners: Words, chunks: int, root_bits: int | None) -> tuple[Ints, Floats]:
    """The square that holds all corners and `ks.PAD_M` more, and the greatest and least metric in it."""
    south, north = int(corners[:, 1].min()), int(corners[:, 1].max())
    pad_deg = ks.PAD_M * 1.05 / 110_000.0
    highest_deg = min(89.0, max(abs(south), abs(north)) / UNITS_PER_DEG + pad_deg)
    lowest_deg = 0.0 if south <= 0 <= north else max(0.0, min(abs(south), abs(north)) / UNITS_PER_DEG - pad_deg)
    narrow, wide = metric_at(highest_deg), metric_at(lowest_deg)
    pad_east, pad_north = (int(ks.PAD_M * 1.05 / metre) for metre in narrow[:2])
    west, east = int(corners[:, 0].min()), int(corners[:, 0].max())
    side = max(east - west + 2 * pad_east, north - south + 2 * pad_north)
    side_bits = max(side.bit_length(), 12)
    bits = 2 * round(np.log2(8 * chunks) / 4) if root_bits is None else root_bits
    bits = int(min(max(bits, 2), 10, (side_bits - SMALLEST_BITS) // 2 * 2))
    frame = np.array([west - pad_east, south - pad_north, side_bits - bits, bits], np.int64)
    return frame, np.array([wide[0], metric_at(90.0)[1], narrow[0] * 0.95, metric_at(0.0)[1] * 0.95])


class _Room:
    """Arrays that grow."""

    def __init__(self, chunks: int) -> None:
        self.kept = np.empty((4_096, 5), np.int64)
        self.found_lists = np.empty(32 * chunks + 4_096, np.int32)

    def double(self) -> None:
        self.kept = np.concatenate([self.kept, np.empty_like(self.kept)])
        self.found_lists = np.concatenate([self.found_lists, np.empty_like(self.found_lists)])


def _grown(chunks: Words, corners: Words, frame: Ints, extremes: Floats) -> tuple[Ints, Ints, Words]:
    """Root, nodes and lists of a set: the frame is cut level by level until every cell is a leaf."""
    cell_bits, root_bits = int(frame[ks.CELL_BITS]), int(frame[ks.ROOT_BITS])
    root = np.empty((1 << root_bits, 1 << root_bits), np.int64)
    nodes: list[Ints] = []
    lists = np.empty(32 * len(chunks) + 4_096, np.int32)
    counts = np.zeros(3, np.int64)
    cells = np.array([[0, 0, 0, len(chunks), 0]], np.int64)
    cell_lists = np.arange(len(chunks), dtype=np.int32)
    bits = cell_bits + root_bits
    node_count = 0
    while len(cells):
        bits -= 2
        room = _Room(len(chunks))
        found = np.empty(16 * len(cells), np.int64)
        counts[:2] = 0
        done = 0
        while True:
            done += ks.cut_cells(
                cells[done:], cell_lists, np.int64(1) << bits, bits > cell_bits, np.int64(1) << SMALLEST_BITS, extremes,
                chunks, corners, frame, found[16 * done :], room.found_lists, room.kept, lists, counts,
            )  # fmt: skip
            if done == len(cells):
                break
            room.double()
            lists = np.concatenate([lists, np.empty_like(lists)])
        if bits >= cell_bits:
            _into_root(root, cells, found, bits - cell_bits, cell_bits)
        else:
            is_node = (found >> 30) & 3 == ks.NODE
            nodes.append(np.where(is_node, found + node_count + len(cells), found))
        if bits < cell_bits:
            node_count += len(cells)
        cells = room.kept[: counts[0]].copy()
        cell_lists = room.found_lists[: counts[1]].copy()
    return root.ravel(), np.concatenate([*nodes, np.empty(0, np.int64)]), lists[: counts[2]].copy()


def _into_root(root: Ints, cells: Ints, found: Ints, above: int, cell_bits: int) -> None:
    """Write the parts of a level at or above the grid into it; a part above it fills the cells that it covers."""
    part = np.arange(16)
    size_bits = above + cell_bits
    x = ((cells[:, :1] >> cell_bits) + ((part & 3) << (size_bits - cell_bits))).ravel()
    y = ((cells[:, 1:2] >> cell_bits) + ((part >> 2) << (size_bits - cell_bits))).ravel()
    span = 1 << above
    if above == 0:
        root[y, x] = found
        return
    for column, line, entry in zip(x, y, found, strict=True):
        root[line : line + span, column : column + span] = entry


def _member_balls(pack: PackedZones) -> npt.NDArray[np.float32]:
    balls = np.zeros((len(pack), 4), np.float32)
    ks.fill_balls(pack.boxes, balls)
    return balls
