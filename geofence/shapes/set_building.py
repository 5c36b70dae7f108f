"""Zone sets are built: members that touch are made one, the boundary is put in runs, and the plane is cut into cells.

`kernels_sets.py` says what comes out, `kernels_cells.py` how the plane is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geofence.shapes import kernels_cells as kc
from geofence.shapes import kernels_sets as ks
from geofence.shapes.arrays import Bools, Float64s, Int32s, Int64s, UInt64s
from geofence.shapes.kernels import UNITS_PER_DEG, metric_at
from geofence.shapes.kernels_cells import Level, Limits, Made
from geofence.shapes.kernels_sets import Cells, Edges
from geofence.shapes.packing import corners_of, packed, units
from geofence.shapes.zone_sets import Member, SetArrays, ZoneSet, content_of

SMALLEST_BITS = 9
"""Cells are not cut below 2^9 units (4.8 m)."""
COARSE_M = 150.0
"""Cells with boundary are cut to this, so that few places lie in one; less far where the boundary is long and its edges few."""
MOST_MET = 6
"""Edges that may meet a cell that is not cut on, unless it is one of the smallest."""
MOST_GRID = 8
"""Cells of the grid for each run of edges, at most: 96 bytes."""


class _Union(NamedTuple):
    """Polygons that are apart, the group of each, the members of all groups in a row, where each group ends among them, and how
    many belong to groups of several, which come first."""

    polygons: npt.NDArray[np.object_]
    group: Int64s
    members: Int64s
    ends: Int64s
    joint: int


def build(members: Iterable[Member], *, root_bits: int | None = None, most_met: int = MOST_MET) -> ZoneSet:
    """The set of these members. `root_bits`: log2 of the most cells in a row of the coarse grid; chosen if left out. Raises
    ValueError for a set without members, or one that spans half of the Earth."""
    ordered = sorted(members)
    if not ordered:
        raise ValueError("a zone set without members is no zone")
    union = _union(ordered)
    if not len(union.polygons):
        raise ValueError("no member of the zone set is wider than a centimetre; draw them anew")
    union = _sorted(union)
    _, coordinates, (ring_ends, polygon_ends) = shapely.to_ragged_array(union.polygons)
    if len(coordinates) >= ks.MOST_CORNERS:
        raise ValueError(f"a set of {len(coordinates):,} corners is too large; make it several sets")
    corners = ((np.rint(coordinates).astype(np.int64) + 2**31) % 2**32 - 2**31).astype(np.int32)
    numbers = np.delete(np.arange(len(corners), dtype=np.int32), ring_ends[1:] - 1)
    runs = _runs(ring_ends.astype(np.int64))
    frame, extremes = _frame(corners, len(runs), root_bits)
    balls = np.empty((frame[-1], 4), np.float32)
    kc.fill_runs(runs, corners, balls)
    kc.fill_balls(balls, frame)
    boundary = Edges(corners, runs, balls, frame)
    cells = _grown(numbers, boundary, extremes, most_met, _coarse_m(corners, numbers, extremes))
    joint = packed([ordered[i].area for i in union.members[: union.joint]])
    arrays = SetArrays(
        *cells, *boundary,
        ring_ends=ring_ends[1:].astype(np.int64),
        ring_group=np.repeat(union.group, np.diff(polygon_ends)).astype(np.int32),
        group_ends=union.ends.astype(np.int32), group_members=union.members.astype(np.int32),
        group_boxes=joint.boxes, group_shapes=joint.shapes,
    )  # fmt: skip
    return ZoneSet(content_of(ordered), [member.zone_id for member in ordered], arrays)


def _polygons(members: Sequence[Member]) -> tuple[npt.NDArray[np.object_], Int64s]:
    """All polygons of all members in units, and the member of each. In units, because members that are neighbours and whose corners
    differ in the last digit of their degrees touch there, as they should. (Parts of one member stay as they were drawn.)"""
    parts = [rings for member in members for rings in member.area.polygons]
    corners = units(corners_of(ring for rings in parts for ring in rings)).astype(np.float64)
    ring_ends = np.cumsum([0, *(len(ring) for rings in parts for ring in rings)])
    polygon_ends = np.cumsum([0, *map(len, parts)])
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (ring_ends, polygon_ends))
    owner = np.repeat(np.arange(len(members)), [len(member.area.polygons) for member in members])
    touched = ~shapely.is_valid(polygons)  # corners nearer than a unit to an edge can come to lie on it, or beyond
    if not touched.any():
        return polygons, owner
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
    _, group_of, sizes = np.unique(chiefs, return_inverse=True, return_counts=True)
    several_first = np.argsort(sizes == 1, kind="stable")
    group_of, sizes = np.argsort(several_first)[group_of], sizes[several_first]
    group = group_of[owner]
    is_joint = sizes[group] > 1
    pieces, numbers = [polygons[~is_joint]], [group[~is_joint]]
    joint = np.flatnonzero(is_joint)[np.argsort(group[is_joint], kind="stable")]
    for touched in np.split(joint, np.flatnonzero(np.diff(group[joint])) + 1) if len(joint) else []:
        parts = shapely.get_parts(shapely.union_all(polygons[touched]))
        parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        pieces.append(parts)
        numbers.append(np.full(len(parts), group[touched[0]]))
    return _Union(
        np.concatenate(pieces), np.concatenate(numbers), np.argsort(group_of, kind="stable"), np.cumsum(sizes),
        int(sizes[sizes > 1].sum()),
    )  # fmt: skip


def _sorted(union: _Union) -> _Union:
    """Polygons in the order of a Morton curve through their middles, so that what lies together is kept together."""
    bounds = shapely.bounds(union.polygons)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    step = np.maximum(np.ptp(middle, axis=0), 1.0) / 65_535
    column, line = ((middle - middle.min(axis=0)) / step).astype(np.uint64).T
    order = np.argsort(_spread(column) | (_spread(line) << np.uint64(1)), kind="stable")
    return union._replace(polygons=union.polygons[order], group=union.group[order])


def _spread(value: UInt64s) -> UInt64s:
    """16 bits with a place free after each."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        value = (value | (value << np.uint64(shift))) & np.uint64(mask)
    return value


def _chief_of(chief: Int64s, i: int) -> int:
    """Whom the members that touch i follow (union-find with halving)."""
    while chief[i] != i:
        chief[i] = chief[chief[i]]
        i = int(chief[i])
    return i


def _runs(ring_ends: Int64s) -> Int32s:
    """Rings in runs of at most `kc.RUN_EDGES` edges, as equal as can be; their boxes are still to be filled."""
    edges = np.diff(ring_ends) - 1
    pieces = -(-edges // kc.RUN_EDGES)
    of_ring = np.repeat(np.arange(len(edges)), pieces)
    rank = np.arange(len(of_ring)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin, end = (edges[of_ring] * k // pieces[of_ring] for k in (rank, rank + 1))
    runs = np.zeros((len(of_ring), 6), np.int32)
    runs[:, ks.RUN_FIRST], runs[:, ks.RUN_LENGTH] = ring_ends[of_ring] + begin, end - begin
    return runs


def _frame(corners: Int32s, runs: int, root_bits: int | None) -> tuple[Int64s, Float64s]:
    """The frame that holds all corners and `kc.PAD_M` more, and the greatest and least metric in it (as `Limits` has them)."""
    south, north = int(corners[:, 1].min()), int(corners[:, 1].max())
    pad_deg = kc.PAD_M * 1.05 / 110_000.0
    highest_deg = min(89.0, max(abs(south), abs(north)) / UNITS_PER_DEG + pad_deg)
    lowest_deg = 0.0 if south <= 0 <= north else max(0.0, min(abs(south), abs(north)) / UNITS_PER_DEG - pad_deg)
    narrow, wide = metric_at(highest_deg), metric_at(lowest_deg)
    pad_east, pad_north = (int(kc.PAD_M * 1.05 / metre) for metre in narrow[:2])
    west, east = int(corners[:, 0].min()), int(corners[:, 0].max())
    extent = np.array([east - west + 2 * pad_east, north - south + 2 * pad_north]) + (1 << SMALLEST_BITS)
    if extent[0] >= 2**31:
        raise ValueError(
            "the set spans more than 180° of longitude; make it two sets, one on each side of the 180° meridian"
        )
    if root_bits is None:
        bits = SMALLEST_BITS + 2
        while np.prod((extent >> bits) + 1) > MOST_GRID * runs + 4:
            bits += 2  # cells are 4.8 m times 4^k: 76 m, 305 m
    else:
        bits = max(SMALLEST_BITS + 2, int(extent.max()).bit_length() - root_bits)
        bits += (bits ^ SMALLEST_BITS) & 1
    origin = (np.array([west - pad_east, south - pad_north]) >> SMALLEST_BITS) << SMALLEST_BITS
    levels = [0, runs]
    while levels[-1] - levels[-2] > 16:
        levels.append(levels[-1] + -(-(levels[-1] - levels[-2]) // 16))
    levels += [levels[-1]] * (ks.FRAME_LENGTH - ks.LEVELS - len(levels))
    frame = np.array([*origin, bits, *((extent >> bits) + 1), *levels], np.int64)
    return frame, np.array([wide[0], metric_at(90.0)[1], narrow[0] * 0.95, metric_at(0.0)[1] * 0.95])


def _coarse_m(corners: Int32s, edges: Int32s, extremes: Float64s) -> float:
    """How large a cell with boundary may be: so that there are at most some 4 for each edge, and 4,096."""
    steps = corners[edges + 1].astype(np.int64) - corners[edges]
    length_m = float(np.hypot(steps[:, 0] * extremes[0], steps[:, 1] * extremes[1]).sum())
    return max(COARSE_M, length_m / (4_096 + 4 * len(edges)))


def _grown(numbers: Int32s, edges: Edges, extremes: Float64s, most_met: int, coarse_m: float) -> Cells:
    """The cells of a set: the frame is cut level by level until every cell is a leaf. numbers: of all edges."""
    cell_bits, columns, lines = (int(edges.frame[at]) for at in (ks.CELL_BITS, ks.COLUMNS, ks.LINES))
    grid = np.empty((lines, columns), np.int64)
    levels: list[tuple[Int64s, Int64s]] = []
    """Of each level below the grid, what the parts of its cells are, 16 for each, and the nodes of those with boundary."""
    lists = np.empty(20 * len(numbers) + 4_096, np.int32)
    used = 0
    runs = len(edges.runs)
    level = Level(
        np.array([[0, 0, 0, runs, runs, len(numbers), 0]], np.int64), np.concatenate([np.arange(runs, dtype=np.int32), numbers])
    )  # fmt: skip
    bits = cell_bits + 2 * -(-max(1, (columns - 1).bit_length(), (lines - 1).bit_length()) // 2)
    while len(level.cells):
        bits -= 2
        limits = Limits(bits, bits >= cell_bits, np.int64(1) << SMALLEST_BITS, most_met, coarse_m, extremes)
        made = _cut(level, limits, edges, lists, used)
        lists, used = made.lists, int(made.counts[2])
        if bits >= cell_bits:
            _into_grid(grid, level.cells, made.found, bits - cell_bits, cell_bits)
        else:
            levels.append((made.found.reshape(-1, 16), made.leaves))
        level = Level(made.kept[: made.counts[0]].copy(), made.kept_lists[: made.counts[1]].copy())
    if used >= ks.MOST_CORNERS:
        raise ValueError("the set is too large; make it several sets")
    return _assembled(grid.ravel(), levels, lists[:used].copy())


def _cut(level: Level, limits: Limits, edges: Edges, lists: Int32s, used: int) -> Made:
    """What comes of a level. lists: those of leaves so far, of which `used` is; made longer where they have to be."""
    cells = level.cells
    made = Made(  # as much as there can be: what is not written to takes no memory
        found=np.empty(16 * len(cells), np.int64), leaves=np.empty(16 * len(cells), np.int64),
        kept=np.empty((16 * len(cells), 7), np.int64),
        kept_lists=np.empty(18 * int(cells[:, (3, 5)].sum() + 4 * len(cells)), np.int32),
        lists=lists, counts=np.array([0, 0, used], np.int64), meets=np.empty(2 * cells[:, 5].max(), np.int32),
    )  # fmt: skip
    done = kc.cut_cells(level, limits, edges, made)
    while done < len(cells):
        made = made._replace(lists=np.concatenate([made.lists, np.empty_like(made.lists)]))
        left = made._replace(found=made.found[16 * done :], leaves=made.leaves[16 * done :])
        done += kc.cut_cells(Level(cells[done:], level.lists), limits, edges, left)
    return made


def _assembled(grid: Int64s, levels: Sequence[tuple[Int64s, Int64s]], lists: Int32s) -> Cells:
    """The arrays, from what the cells of the grid are and the parts of the cells of each level below; of one that is cut its row on
    the next level."""
    is_cut = (grid >> 30) & 3 == ks.NODE
    whole = np.append(kc.OUTSIDE_OF_FRAME, np.where(is_cut, kc.OUTSIDE_OF_FRAME, grid))
    alone, place = np.unique(whole, return_inverse=True)
    nodes, firsts, entries = [_word(np.repeat(alone[place, None] >> 30 & 3, 16, axis=1), 0)], [~place], [alone]
    used, used_entries = len(place), len(alone)
    cut, rows = ks.GRID + np.flatnonzero(is_cut), grid[is_cut] & ks.INDEX_MASK
    for found, leaves in levels:
        tags = (found >> 30) & 3
        is_node = tags >= ks.BOUNDARY_LEAF
        word = _word(tags, used + _before(is_node))
        nodes[-1][cut], firsts[-1][cut] = word[rows], used_entries + 16 * rows
        # What is cut is written by the next level.
        nodes.append(leaves[is_node.ravel()])
        firsts.append(~(used_entries + np.flatnonzero(is_node)))
        cut = np.flatnonzero(tags[is_node] == ks.NODE)
        rows = np.arange(len(cut))
        used += len(nodes[-1])
        entries.append(found.ravel())
        used_entries += found.size
    return Cells(np.concatenate(nodes), np.concatenate(firsts).astype(np.int32), np.concatenate(entries), lists)


def _before(is_such: Bools) -> Int64s:
    """How many there are in all rows before each."""
    ends: Int64s = np.cumsum(is_such.sum(axis=1))
    return np.append(0, ends[:-1])


def _word(tags: Int64s, begins: Int64s | int) -> Int64s:
    """Nodes, from what their 16 parts are and where those begin that are cut or have boundary."""
    word: Int64s = (tags << (2 * np.arange(16))).sum(axis=1) | (np.int64(begins) << 32)
    return word


def _into_grid(grid: Int64s, cells: Int64s, found: Int64s, above: int, cell_bits: int) -> None:
    """Write the parts of a level at or above the grid into it; a part above it fills the cells that it covers."""
    part = np.arange(16)
    x = ((cells[:, :1] >> cell_bits) + ((part & 3) << above)).ravel()
    y = ((cells[:, 1:2] >> cell_bits) + ((part >> 2) << above)).ravel()
    if above == 0:
        is_there = (x < grid.shape[1]) & (y < grid.shape[0])
        grid[y[is_there], x[is_there]] = found[is_there]
        return
    span = 1 << above
    for column, line, entry in zip(x, y, found, strict=True):
        grid[line : line + span, column : column + span] = entry
