"""Compiled kernels: a zone set is built. The plane is cut into the cells that `kernels_sets.py` describes and asks.

The idea. Level by level, each cell that is not a leaf is cut in 4 × 4. A cell comes with the runs of edges that can be nearest to any
of its places, and with the edges that meet it; what its parts need is among them. So each part is told by few edges: how far its
places are from the boundary (bounds, rounded outward), which edges meet it, and whether its south-west corner lies inside, by a walk
along the borders of the parts from a corner of which that is known. A part becomes a leaf where its lists are short.

    runs    boxes and balls, filled first
    parts   of a cell: distances, edges, corners
    leaves  their lists, and the walks to places in them
    cells   all of it, for the cells of a level
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import DEG_PER_UNIT, NEAR_M, TURN_MASK, doubt_m, earth_centred, metric_at, row, wrapped
from geofence.shapes.kernels_sets import (
    BOUNDARY_LEAF,
    CELL_BITS,
    CHAIN_EDGES,
    COLUMNS,
    IN_LEAF,
    LEVELS,
    LINES,
    NO_LIST,
    NODE,
    ORIGIN_LAT,
    ORIGIN_LON,
    OUT_LEAF,
    QUARTERS,
    RUN_EAST,
    RUN_FIRST,
    RUN_LENGTH,
    RUN_NORTH,
    RUN_SOUTH,
    RUN_WEST,
    ball_gap_m,
    chain_crossings,
    run_distance_2,
)

if TYPE_CHECKING:
    from geofence.shapes.arrays import Float64s, Int32s, Int64s

PAD_M = 5_000.0
"""How much wider than everything in it the frame of a set is at least."""
OUTSIDE_OF_FRAME = np.int64((OUT_LEAF << 30) | NO_LIST | (int(PAD_M * 4) << 32) | (-1 << 48))
RUN_EDGES = 16
MOST_FAR_RUNS = 12
"""Cells without boundary to which more runs could be nearest keep no list: the balls are searched."""
MOST_SHARED = 12
"""Runs that may be nearest to a cell for which its parts have one list in common."""
FINE_M = 40.0
"""Cells that are no larger hold four times as many edges: few places lie in them."""
FAR_HALF_M = 2_000.0
"""Cells with a longer half diagonal are measured by the least and greatest metric of the set, and never become leaves near it."""


class Level(NamedTuple):
    """Cells that are to be cut.

    cells   int64 (n, 7): x, y (units from the origin); where in `lists` the runs begin that can be nearest to it, and how many; where
            the edges begin that meet it, and how many; whether its south-west corner is inside
    lists   int32 (m,)
    """

    cells: Int64s
    lists: Int32s


class Limits(NamedTuple):
    """How far the cells of a level are cut.

    bits     log2 of the side of the parts
    forced   cut on whatever has boundary in it
    smallest cut nothing that is not larger (units)
    most_met edges that may meet a leaf
    coarse_m side of the largest leaf that may have boundary in it
    extremes float64 (4,): greatest and least metres per unit anywhere in the set: east, north; east, north
    """

    bits: int
    forced: bool
    smallest: np.int64
    most_met: int
    coarse_m: float
    extremes: Float64s


class Made(NamedTuple):
    """What comes of a level.

    found    int64 (16 n,): the entries of the parts; of one that is to be cut on, its row among those of its level
    leaves   int64 (16 n,): the nodes of those with boundary
    kept     int64 (m, 7): the cells of the next level, and kept_lists int32: their lists
    lists    int32: the lists of leaves
    counts   int64 (3,): how much of kept, kept_lists and lists is used
    meets    int32, scratch: twice as long as the longest list of edges
    """

    found: Int64s
    leaves: Int64s
    kept: Int64s
    kept_lists: Int32s
    lists: Int32s
    counts: Int64s
    meets: Int32s


# ---------------------------------------------------------------------------------------------- runs


@kernel
def fill_runs(runs, corners, balls):
    """Boxes and balls of runs whose first edge and length are known."""
    for run in range(runs.shape[0]):
        first, length = np.int64(runs[run, RUN_FIRST]), np.int64(runs[run, RUN_LENGTH])
        start_lon, start_lat = np.int64(corners[first, 0]), np.int64(corners[first, 1])
        west, south, east, north = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(first + 1, first + length + 1):
            x, y = wrapped(corners[i, 0] - start_lon), corners[i, 1] - start_lat
            west, east, south, north = min(west, x), max(east, x), min(south, y), max(north, y)
        runs[run, RUN_WEST], runs[run, RUN_EAST] = wrapped(start_lon + west), wrapped(start_lon + east)
        runs[run, RUN_SOUTH], runs[run, RUN_NORTH] = start_lat + south, start_lat + north
        cx, cy, cz = earth_centred(
            (start_lon + (west + east) * 0.5) * DEG_PER_UNIT, (start_lat + (south + north) * 0.5) * DEG_PER_UNIT
        )
        most_m = 0.0
        for i in range(first, first + length):
            ax, ay, az = earth_centred(corners[i, 0] * DEG_PER_UNIT, corners[i, 1] * DEG_PER_UNIT)
            bx, by, bz = earth_centred(corners[i + 1, 0] * DEG_PER_UNIT, corners[i + 1, 1] * DEG_PER_UNIT)
            # No place of an edge is further off than an end and half as far again as the edge's chord is long.
            edge_m = 1.5 * math.sqrt((ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2)
            most_m = max(most_m, math.sqrt((ax - cx) ** 2 + (ay - cy) ** 2 + (az - cz) ** 2) + edge_m)
        balls[run, 0], balls[run, 1], balls[run, 2] = cx, cy, cz
        balls[run, 3] = most_m + 3.0  # float32 has a grain of 0.5 m


@kernel
def fill_balls(balls, frame):
    """The balls of all levels but the first, each about those of the level below."""
    level = 1
    while frame[LEVELS + level] < balls.shape[0]:
        below, begin, end = frame[LEVELS + level - 1], frame[LEVELS + level], frame[LEVELS + level + 1]
        for ball in range(begin, end):
            first = below + 16 * (ball - begin)
            last = min(first + 16, begin)
            for axis in range(3):
                total = 0.0
                for child in range(first, last):
                    total += balls[child, axis]
                balls[ball, axis] = total / (last - first)
            balls[ball, 3] = 0.0
            for child in range(first, last):
                middle = np.float64(balls[child, 0]), np.float64(balls[child, 1]), np.float64(balls[child, 2])
                reach_m = ball_gap_m(balls, ball, middle) + balls[ball, 3]
                balls[ball, 3] = max(balls[ball, 3], reach_m + balls[child, 3] + 1.0)
        level += 1


# ---------------------------------------------------------------------------------------------- parts


@piece
def edge_meets_cell(ax, ay, bx, by, x0, y0, size):
    """Whether an edge may meet a closed cell (units from one origin, int64): false only if it surely does not."""
    if min(ax, bx) > x0 + size or max(ax, bx) < x0 or min(ay, by) > y0 + size or max(ay, by) < y0:
        return False
    ux, uy = bx - ax, by - ay
    c0 = ux * (y0 - ay) - uy * (x0 - ax)
    c1 = ux * (y0 - ay) - uy * (x0 + size - ax)
    c2 = ux * (y0 + size - ay) - uy * (x0 - ax)
    c3 = ux * (y0 + size - ay) - uy * (x0 + size - ax)
    return not (((c0 > 0) & (c1 > 0) & (c2 > 0) & (c3 > 0)) | ((c0 < 0) & (c1 < 0) & (c2 < 0) & (c3 < 0)))


@piece
def lowest_latitude_deg(low_deg, high_deg):
    """The latitude between two at which a unit of longitude is widest, at most 85°."""
    if low_deg < 0.0 < high_deg:
        return 0.0
    return min(min(abs(low_deg), abs(high_deg)), 85.0)


@piece
def box_gap_2(edges, run, x0, y0, size, east, north):
    """Squared metres between the box of a run and a cell, no more than the truth if a unit is nowhere shorter."""
    runs, origin_lon, origin_lat = edges.runs, edges.frame[ORIGIN_LON], edges.frame[ORIGIN_LAT]
    run_west, run_east = (
        (runs[row(run), RUN_WEST] - origin_lon) & TURN_MASK, (runs[row(run), RUN_EAST] - origin_lon) & TURN_MASK,
    )  # fmt: skip
    run_south, run_north = runs[row(run), RUN_SOUTH] - origin_lat, runs[row(run), RUN_NORTH] - origin_lat
    dx = max(0, run_west - x0 - size, x0 - run_east) * east
    dy = max(0, run_south - y0 - size, y0 - run_north) * north
    return dx * dx + dy * dy


@piece
def middle_distance_m(run_list, edges, x, y, metric, least):
    """Metres from a place (units from the origin) to the nearest edge of a list of runs, near. metric: of the place or the greatest;
    least: metres per unit east and north, so short that no box seems farther than it is."""
    lon, lat = wrapped(x + edges.frame[ORIGIN_LON]), y + edges.frame[ORIGIN_LAT]
    nearest_2 = math.inf
    for item in range(len(run_list)):
        run = run_list[row(item)]
        if box_gap_2(edges, run, x, y, 0, least[0], least[1]) < nearest_2:
            first, length = edges.runs[row(run), RUN_FIRST], edges.runs[row(run), RUN_LENGTH]
            nearest_2 = min(nearest_2, run_distance_2(edges.corners, first, length, lon, lat, metric))
    return math.sqrt(nearest_2)


@piece
def gather_runs(run_list, edges, x0, y0, size, most_m, least, out):
    """Write to `out` the runs of a list that may be within `most_m` of a cell: (how many, squared metres to the nearest)."""
    near = np.int64(0)
    gap_2 = math.inf
    for item in range(len(run_list)):
        apart_2 = box_gap_2(edges, run_list[row(item)], x0, y0, size, least[0], least[1])
        gap_2 = min(gap_2, apart_2)
        out[row(near)] = run_list[row(item)]
        near += np.int64(apart_2 <= most_m * most_m)
    return near, gap_2


@piece
def part_distances(run_list, edges, extremes, x0, y0, size, out):
    """How near the boundary is to the part of a cell at (x0, y0). Runs of the cell's list that can be nearest are written to `out`:
    (how many, least and most metres from its places to the boundary, its side in metres, whether the most is not known)."""
    origin_lat = edges.frame[ORIGIN_LAT]
    low_deg, high_deg = (y0 + origin_lat) * DEG_PER_UNIT, (y0 + size + origin_lat) * DEG_PER_UNIT
    widest, per_north, _ = metric_at(lowest_latitude_deg(low_deg, high_deg))
    half_m = 0.5 * size * math.hypot(widest, per_north * 1.01)
    is_far = half_m > FAR_HALF_M
    x, y = x0 + size // 2, y0 + size // 2
    metric = metric_at(min(89.0, max(-89.0, (y + origin_lat) * DEG_PER_UNIT)))
    least = 0.97 * metric[0], 0.97 * metric[1]
    beyond_m = 0.0
    if is_far:
        metric = extremes[0], extremes[1], 0.0
        least = extremes[2], extremes[3]
        beyond_m = middle_distance_m(run_list, edges, x, y, (least[0], least[1], 0.0), least) - half_m
    distance_m = middle_distance_m(run_list, edges, x, y, metric, least)
    slack_m = 2.0 * doubt_m(distance_m)
    least_m, most_m = max(0.0, distance_m - half_m - slack_m), distance_m + half_m + slack_m
    near, gap_2 = gather_runs(run_list, edges, x0, y0, size, most_m, least, out)
    # Near distances are too long by little where they are short: one of 5.5 km is of a place 5 km off, whatever it is.
    if not is_far and least_m > 0.55 * NEAR_M:
        beyond_m = 0.5 * NEAR_M
    is_far |= most_m >= NEAR_M
    if is_far:  # boxes of runs can be wide: a place deep in one has no gap to it
        least_m, most_m = max(math.sqrt(gap_2), beyond_m), math.inf
    return near, least_m, most_m, size * per_north, is_far


@piece
def parts_met(edge_list, edges, x0, y0, bits, meets):
    """Which of the 4 × 4 parts of a cell at (x0, y0) each edge of a list meets: a bit for each part, written to `meets`. bits: log2
    of the side of a part."""
    corners, origin_lon, origin_lat = edges.corners, edges.frame[ORIGIN_LON], edges.frame[ORIGIN_LAT]
    size = np.int64(1) << bits
    for item in range(len(edge_list)):
        edge = edge_list[row(item)]
        ax, ay = (corners[row(edge), 0] - origin_lon) & TURN_MASK, corners[row(edge), 1] - origin_lat
        bx, by = (corners[row(edge + 1), 0] - origin_lon) & TURN_MASK, corners[row(edge + 1), 1] - origin_lat
        # A unit more on each side: an edge along the border of two parts meets both.
        west, east = max(0, (min(ax, bx) - 1 - x0) >> bits), min(3, (max(ax, bx) - x0) >> bits)
        south, north = max(0, (min(ay, by) - 1 - y0) >> bits), min(3, (max(ay, by) - y0) >> bits)
        parts = np.int64(0)
        for line in range(south, north + 1):
            for column in range(west, east + 1):
                if edge_meets_cell(ax, ay, bx, by, x0 + column * size, y0 + line * size, size):
                    parts |= np.int64(1) << (4 * line + column)
        meets[row(item)] = parts


@piece
def gather_edges(edge_list, meets, part, out):
    """Write to `out` the edges of a list that meet a part: how many."""
    met = np.int64(0)
    for item in range(len(edge_list)):
        out[row(met)] = edge_list[row(item)]
        met += (np.int64(meets[row(item)]) >> part) & 1
    return met


@piece
def corner_side(met_edges, edges, x, y, dx, dy, is_in):
    """Whether the corner (x + dx, y + dy) of a part lies inside, by the walk from its south-west corner (x, y), of which that is
    known, along its border. met_edges: those that meet the part."""
    lon, lat = wrapped(x + dx + edges.frame[ORIGIN_LON]), y + dy + edges.frame[ORIGIN_LAT]
    odd = np.int64(0)
    for item in range(len(met_edges)):
        odd ^= chain_crossings(edges.corners, np.int64(met_edges[row(item)]), np.int64(1), dx, dy, lon, lat)
    return (odd < 0) ^ is_in


@piece
def corner_sides(edge_list, edges, x0, y0, bits, is_in, meets, out):
    """Which of the south-west corners of the 4 × 4 parts of a cell at (x0, y0) lie inside, a bit for each part: from one to the next,
    by the edges that meet the part between. is_in: whether the first does; meets: from `parts_met`; out: scratch."""
    size = np.int64(1) << bits
    inside = np.int64(0)
    next_is_in = first_is_in = is_in
    for part in range(16):
        x, y = x0 + (part & 3) * size, y0 + (part >> 2) * size
        met_edges = out[: gather_edges(edge_list, meets, part, out)]
        is_in = next_is_in if part & 3 else first_is_in
        next_is_in = corner_side(met_edges, edges, x, y, size, np.int64(0), is_in)
        if part & 3 == 0:
            first_is_in = corner_side(met_edges, edges, x, y, np.int64(0), size, is_in)
        inside |= np.int64(is_in) << part
    return inside


# ---------------------------------------------------------------------------------------------- leaves


@piece
def must_cut(limits, met, near, least_m, side_m, is_far):
    """Whether a part is cut on: where boundary is in it, until few edges meet it; elsewhere, until its list is short or it is small
    beside its distance from the boundary."""
    if np.int64(1) << limits.bits <= limits.smallest:
        return False
    if met > 0:
        many = met > limits.most_met and (side_m > FINE_M or met > 4 * limits.most_met)
        return limits.forced or is_far or side_m > limits.coarse_m or many
    if is_far:
        return least_m < NEAR_M / 2.0
    return near > MOST_SHARED and side_m > 0.7 * least_m


@piece
def entry_of(tag, index, least_m, most_m):
    """An entry; distances are rounded outward."""
    least = np.int64(min(QUARTERS, math.floor(least_m * 4.0)))
    most = np.int64(min(QUARTERS, math.ceil(min(most_m, 1e6) * 4.0)))
    return np.int64(index) | (np.int64(tag) << 30) | (least << 32) | (most << 48)


@piece
def keep_list(made, run_list):
    """Write a list of runs, and say where it begins."""
    at = made.counts[2]
    made.lists[at] = len(run_list)
    for item in range(len(run_list)):
        made.lists[row(at + 1 + item)] = run_list[row(item)]
    made.counts[2] = at + 1 + len(run_list)
    return at


@piece
def walk_of(made, met_edges, is_in):
    """The upper half of a leaf that some edges (in their order) meet. Several chains are written as a list."""
    lists, at = made.lists, made.counts[2]
    lists[at] = 0
    end = at + 1
    for item in range(len(met_edges)):
        edge = np.int64(met_edges[row(item)])
        chain = np.int64(lists[row(end - 1)])
        goes_on = (chain >> 4) + (chain & CHAIN_EDGES) == edge and (chain & CHAIN_EDGES) < CHAIN_EDGES
        if lists[at] > 0 and goes_on:
            lists[row(end - 1)] += 1
        else:
            lists[row(end)] = (edge << 4) + 1
            lists[at] += 1
            end += 1
    walk = np.int64(lists[at + 1])
    if end > at + 2:
        walk = at << 4
        made.counts[2] = end
    return walk | (np.int64(is_in) << 31)


@piece
def leaf_tags(met_edges, edges, x0, y0, bits, is_in, meets, out):
    """What the 4 × 4 parts of a leaf with boundary are, 2 bits each. met_edges: those that meet it; bits: log2 of the side of a part;
    is_in: whether its corner (x0, y0) is inside; meets, out: scratch."""
    parts_met(met_edges, edges, x0, y0, bits, meets)
    inside = corner_sides(met_edges, edges, x0, y0, bits, is_in, meets, out)
    with_boundary = np.int64(0)
    for item in range(len(met_edges)):
        with_boundary |= meets[row(item)]
    tags = np.int64(0)
    for part in range(16):
        side = IN_LEAF if (inside >> part) & 1 else OUT_LEAF
        tags |= np.int64(BOUNDARY_LEAF if (with_boundary >> part) & 1 else side) << (2 * part)
    return tags


# ---------------------------------------------------------------------------------------------- cells


@piece
def cut_on(made, x0, y0, near, met, is_in):
    """Take a part to the next level, whose lists lie behind those that are kept already: the entry that says which it is there."""
    kept, counts = made.kept, made.counts
    index, start = counts[0], counts[1]
    kept[index, 0], kept[index, 1], kept[index, 2], kept[index, 3] = x0, y0, start, near
    kept[index, 4], kept[index, 5], kept[index, 6] = start + near, met, np.int64(is_in)
    counts[0] = index + 1
    counts[1] = start + near + met
    return index | (NODE << 30)


@kernel
def cut_cells(level, limits, edges, made):
    """Cut each cell of a level in 4 × 4, and say of each part what it is. Returns the number of cells that were done: fewer than all
    if there may not be room for the lists of the next one, which is then to be asked again with more."""
    cells, counts, meets, frame = level.cells, made.counts, made.meets, edges.frame
    size = np.int64(1) << limits.bits
    for c in range(cells.shape[0]):
        run_list = level.lists[cells[c, 2] : cells[c, 2] + cells[c, 3]]
        edge_list = level.lists[cells[c, 4] : cells[c, 4] + cells[c, 5]]
        if counts[2] + 17 * (len(run_list) + len(edge_list) + 4) > made.lists.shape[0]:
            return c
        shared = np.int64(-1)
        parts_met(edge_list, edges, cells[c, 0], cells[c, 1], limits.bits, meets)
        inside = corner_sides(
            edge_list, edges, cells[c, 0], cells[c, 1], limits.bits, cells[c, 6] != 0, meets, made.kept_lists[counts[1] :]
        )  # fmt: skip
        for part in range(16):
            x0, y0 = cells[c, 0] + (part & 3) * size, cells[c, 1] + (part >> 2) * size
            if x0 >= frame[COLUMNS] << frame[CELL_BITS] or y0 >= frame[LINES] << frame[CELL_BITS]:
                made.found[16 * c + part] = OUTSIDE_OF_FRAME
                continue
            room = made.kept_lists[counts[1] :]
            near, least_m, most_m, side_m, is_far = part_distances(
                run_list, edges, limits.extremes, x0, y0, size, room
            )  # fmt: skip
            met = gather_edges(edge_list, meets, part, room[near:])
            near_runs, met_edges = room[:near], room[near : near + met]
            if met > 0:
                least_m = 0.0
            is_in = (inside >> part) & 1 != 0
            if must_cut(limits, met, near, least_m, side_m, is_far):
                made.found[16 * c + part] = cut_on(made, x0, y0, near, met, is_in)
                continue
            index = np.int64(NO_LIST)
            if not is_far and len(run_list) <= MOST_SHARED:  # what the whole cell has serves all its parts
                if shared < 0:
                    shared = keep_list(made, run_list)
                index = shared
            elif (not is_far and near <= MOST_FAR_RUNS) or met > 0:
                index = keep_list(made, near_runs)
            if met > 0:
                scratch = meets[len(edge_list) :]
                tags = leaf_tags(met_edges, edges, x0, y0, limits.bits - 2, is_in, scratch, room[near + met :])
                made.leaves[16 * c + part] = (walk_of(made, met_edges, is_in) << 32) | tags
            tag = BOUNDARY_LEAF if met > 0 else (IN_LEAF if is_in else OUT_LEAF)
            made.found[16 * c + part] = entry_of(tag, index, least_m, most_m)
    return cells.shape[0]
