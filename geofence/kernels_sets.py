"""Compiled kernels: verdicts and margins of positions on a shared zone set.

The idea. The plane is cut into cells: a coarse grid, whose cells are cut in 4 × 4 again and again where the boundary is near.
Each cell that is not cut (a *leaf*) knows whether it lies outside or inside the union, or has boundary in it; between which
distances from the boundary its places lie; and every piece of boundary that can be nearest to any of its places. So one look-up
settles most positions, a few edges the rest, and the answer is exact for any radius.

    entry   8 bytes: what a cell knows. Least and most distance (quarters of a metre, 65535: that or more); is it a node, outside,
            inside, or boundary; the parity of its south-west corner; which node, or where its list begins
    root    int64 (2^root_bits squared,), entries of the grid, row by row
    nodes   int64 (16 × nodes,), entries of the 4 × 4 cells of each node, row by row
    lists   int32 (n,), of two kinds. All runs that can be nearest: how many, the runs. Of a boundary cell, the edges that meet
            it: how many, where its list of runs begins, the edges
    corners int32 (n, 2): longitude and latitude in units. Edge i is from corner i to the next
    runs    int32 (runs, 6): at most 16 edges of a ring in a row; their box, west, south, east, north (units); first edge, how many
    balls   float32 (n, 4): a ball that holds each run, Earth-centred m; then one for each 16 of them, and so on up to at most
            16: for places to which too many runs could be nearest to list them
    frame   int64 (12,): origin longitude and latitude (units); log2 of the side of a cell of the grid, and of cells a row; then
            where the balls of each level begin, and where they end

Inside or outside, where boundary is in the cell, is told by a walk from the cell's corner (whose side was told so when the cell
was made) to the place: north along the cell's edge, then east. Each crossing on it is another side. Whatever crosses it crosses
the cell, and so is on its list.

The four steps of `kernels_zones.py` are the same here: cell, near, exact; and so is the promise that a verdict is the verdict
of the exact margin.
"""

import math

import numpy as np

from geofence.compiled import kernel, piece
from geofence.kernels import (
    DEG_PER_UNIT,
    NEAR_M,
    TURN_MASK,
    arc_m,
    crossing,
    crossing_north,
    doubt_m,
    earth_centred,
    edge_distance_2,
    exact_edge_distance_m,
    metric_at,
    row,
    units_of,
    wrapped,
)
from geofence.kernels_zones import TILE, UNSETTLED, settled

ORIGIN_LON, ORIGIN_LAT, CELL_BITS, ROOT_BITS, LEVELS = range(5)
FRAME_LENGTH = 12
NODE, OUT_LEAF, IN_LEAF, BOUNDARY_LEAF = range(4)
INDEX_MASK = (1 << 29) - 1
NO_LIST = INDEX_MASK
QUARTERS = 0xFFFF
PAD_M = 5_000.0
"""How much wider than everything in it the frame of a set is at least."""
OUTSIDE_OF_FRAME = np.int64((OUT_LEAF << 30) | NO_LIST | (int(PAD_M * 4) << 32) | (-1 << 48))
RUN_EDGES = 16
RUN_WEST, RUN_SOUTH, RUN_EAST, RUN_NORTH, RUN_FIRST, RUN_LENGTH = range(6)
MOST_FAR_RUNS = 12
"""Cells without boundary to which more runs could be nearest keep no list: the balls are searched."""
MOST_SHARED = 12
"""Runs that may be nearest to a cell for which its parts have one list in common."""
FINE_M = 40.0
"""Cells that are no larger hold four times as many edges: few places lie in them."""
FAR_HALF_M = 2_000.0
"""Cells with a longer half diagonal are measured by the least and greatest metric of the set, and never become leaves near it."""

# ---------------------------------------------------------------------------------------------- entries


@piece
def entry_of(tag, parity, index, least_m, most_m):
    """An entry; distances are rounded outward."""
    least = np.int64(min(QUARTERS, math.floor(least_m * 4.0)))
    most = np.int64(min(QUARTERS, math.ceil(min(most_m, 1e6) * 4.0)))
    return np.int64(index) | (np.int64(parity) << 29) | (np.int64(tag) << 30) | (least << 32) | (most << 48)


@piece
def tag_of(entry):
    return (entry >> 30) & 3


@piece
def entry_verdict(entry, inside_m, outside_m):
    """The verdict as far as a leaf can settle it."""
    tag = tag_of(entry)
    least, most = (entry >> 32) & QUARTERS, (entry >> 48) & QUARTERS
    least_m = least * 0.25
    most_m = most * 0.25 if most < QUARTERS else math.inf
    if tag == IN_LEAF:
        return settled(least_m, most_m, inside_m, outside_m)
    return settled(-most_m, -least_m if tag == OUT_LEAF else most_m, inside_m, outside_m)


# ---------------------------------------------------------------------------------------------- edges


@piece
def walk_crossing(corners, edge, dx, dy, lon, lat):
    """Negative if the walk from (dx, dy) north to the latitude of a place and from there to it crosses an edge oddly often. dx, dy:
    units from the place (int64)."""
    ax, ay = wrapped(corners[row(edge), 0] - lon), corners[row(edge), 1] - lat
    bx, by = wrapped(corners[row(edge + 1), 0] - lon), corners[row(edge + 1), 1] - lat
    east = crossing(ax, ay, bx, by) ^ crossing(ax - dx, ay, bx - dx, by)
    return east ^ crossing_north(ax - dx, ay, bx - dx, by) ^ crossing_north(ax - dx, ay - dy, bx - dx, by - dy)


@piece
def is_inside(entry, lists, corners, frame, bits, lon, lat):
    """Whether a place lies in the union: what its leaf says, or the walk from its corner. bits: log2 of its side."""
    tag = tag_of(entry)
    if tag != BOUNDARY_LEAF:
        return tag == IN_LEAF
    part = (np.int64(1) << bits) - 1
    dx, dy = -((lon - frame[ORIGIN_LON]) & part), -((lat - frame[ORIGIN_LAT]) & part)
    at = entry & INDEX_MASK
    odd = -((entry >> 29) & 1)
    for item in range(at + 2, at + 2 + lists[row(at)]):
        odd ^= walk_crossing(corners, lists[row(item)], dx, dy, lon, lat)
    return odd < 0


@piece
def near_list(entry, lists):
    """Where the list begins of the edges that can be nearest to a place of a leaf; NO_LIST if all can."""
    at = entry & INDEX_MASK
    return np.int64(lists[row(at + 1)]) if tag_of(entry) == BOUNDARY_LEAF else at


@piece
def list_distance_m(lists, at, runs, corners, lon, lat, lat_deg, enough_m):
    """Metres from a place to the nearest edge on a list of runs, near; from `enough_m` up it may come out as anything from that
    up. Runs whose box is further off than that are not looked at."""
    metric = metric_at(lat_deg)
    nearest_2 = enough_m * enough_m
    reach_east, reach_north = np.int64(enough_m * 1.02 / metric[0]) + 16, np.int64(enough_m * 1.02 / metric[1]) + 16
    for item in range(at + 1, at + 1 + lists[row(at)]):
        run = lists[row(item)]
        beside = (wrapped(runs[row(run), RUN_EAST] - lon) + reach_east) | (
            reach_east - wrapped(runs[row(run), RUN_WEST] - lon)
        )
        over = (runs[row(run), RUN_NORTH] - lat + reach_north) | (reach_north - runs[row(run), RUN_SOUTH] + lat)
        if (beside | over) >= 0:
            first = runs[row(run), RUN_FIRST]
            nearest_2 = min(nearest_2, run_distance_2(corners, first, runs[row(run), RUN_LENGTH], lon, lat, metric))
    return math.sqrt(nearest_2)


@piece
def run_distance_2(corners, first, length, lon, lat, metric):
    """Squared metres from a place to the nearest edge of a run, near."""
    nearest_2 = math.inf
    ax, ay = wrapped(corners[row(first), 0] - lon), corners[row(first), 1] - lat
    for i in range(first + 1, first + length + 1):
        bx, by = wrapped(corners[row(i), 0] - lon), corners[row(i), 1] - lat
        nearest_2 = min(nearest_2, edge_distance_2(ax, ay, bx, by, metric[0], metric[1], metric[2]))
        ax, ay = bx, by
    return nearest_2


@piece
def exact_chord_m(corners, edge, x, y, z, limit_m):
    """Straight-line metres from (x, y, z) to an edge, exact; beyond `limit_m` as `exact_edge_distance_m` has it."""
    a_lon, a_lat = np.int64(corners[row(edge), 0]), np.int64(corners[row(edge), 1])
    b_lon, b_lat = np.int64(corners[row(edge + 1), 0]), np.int64(corners[row(edge + 1), 1])
    return exact_edge_distance_m(a_lon, a_lat, b_lon, b_lat, x, y, z, limit_m)


@piece
def exact_nearest(entry, lists, corners, runs, balls, frame, lon_deg, lat_deg):
    """The nearest edge to a position and how far it is in metres: of the list of its leaf, or where there is none of all that are
    no further than any place of the leaf is."""
    at = near_list(entry, lists)
    place = earth_centred(lon_deg, lat_deg)
    spot = units_of(lon_deg), units_of(lat_deg), metric_at(lat_deg)
    if at == NO_LIST:
        most = (entry >> 48) & QUARTERS
        limit_m = most * 0.25 + 1.0 if most < QUARTERS else math.inf
        return nearest_of_all(corners, runs, balls, frame, place, spot, limit_m)
    nearest, nearest_m = np.int64(-1), math.inf
    for item in range(at + 1, at + 1 + lists[row(at)]):
        if ball_gap_m(balls, lists[row(item)], place) < nearest_m:
            nearest, nearest_m = nearest_of_run(corners, runs, lists[row(item)], place, spot, nearest, nearest_m)
    return nearest, arc_m(nearest_m)


@piece
def nearest_of_run(corners, runs, run, place, spot, nearest, nearest_m):
    """The nearest edge so far and its chord, after one more run. place: Earth-centred m; spot: the same in units, with its metric."""
    x, y, z = place
    near_m = math.sqrt(
        run_distance_2(corners, runs[row(run), RUN_FIRST], runs[row(run), RUN_LENGTH], spot[0], spot[1], spot[2])
    )
    if near_m < NEAR_M and near_m - doubt_m(near_m) > nearest_m:
        return nearest, nearest_m
    for edge in range(runs[row(run), RUN_FIRST], runs[row(run), RUN_FIRST] + runs[row(run), RUN_LENGTH]):
        chord_m = exact_chord_m(corners, edge, x, y, z, nearest_m)
        if chord_m < nearest_m:
            nearest, nearest_m = np.int64(edge), chord_m
    return nearest, nearest_m


@piece
def nearest_of_all(corners, runs, balls, frame, place, spot, limit_m):
    """The nearest of all edges, by the balls: down into each that can hold it, on to the next beside it, and up where there is none.
    The run to which the balls with the nearest middles lead comes first, and leaves little to look at."""
    top = np.int64(0)
    while frame[LEVELS + top + 1] < balls.shape[0]:
        top += 1
    first, last = frame[LEVELS + top], np.int64(balls.shape[0])
    k = np.int64(0)
    for level in range(top, -1, -1):
        closest_m = math.inf
        for ball in range(first, last):
            middle_m = ball_gap_m(balls, ball, place) + balls[row(ball), 3]
            if middle_m < closest_m:
                closest_m, k = middle_m, ball - frame[LEVELS + level]
        if level > 0:
            first = frame[LEVELS + level - 1] + (k << 4)
            last = min(first + 16, frame[LEVELS + level])
    nearest, nearest_m = nearest_of_run(corners, runs, k, place, spot, np.int64(-1), math.inf)
    level, k = top, np.int64(0)
    while True:
        if ball_gap_m(balls, frame[LEVELS + level] + k, place) < min(nearest_m, limit_m):
            if level > 0:
                level, k = level - 1, k << 4
                continue
            nearest, nearest_m = nearest_of_run(corners, runs, k, place, spot, nearest, nearest_m)
        k += 1
        while level < top and ((k & 15) == 0 or frame[LEVELS + level] + k == frame[LEVELS + level + 1]):
            level, k = level + 1, (k + 15) >> 4
        if level == top and frame[LEVELS + level] + k == balls.shape[0]:
            return nearest, arc_m(nearest_m)


@piece
def ball_gap_m(balls, index, place):
    """Metres from a place (x, y, z) to a ball, negative inside."""
    dx, dy, dz = balls[row(index), 0] - place[0], balls[row(index), 1] - place[1], balls[row(index), 2] - place[2]
    return math.sqrt(dx * dx + dy * dy + dz * dz) - balls[row(index), 3]


@piece
def edges_verdict(entry, bits, lists, corners, runs, balls, frame, lon_deg, lat_deg, radius_m, widen_m):
    """The verdict by the edges that can be nearest: near, and exact where a threshold is too near for that."""
    lon, lat = units_of(lon_deg), units_of(lat_deg)
    at = near_list(entry, lists)
    inside = is_inside(entry, lists, corners, frame, bits, lon, lat)
    reach_m = radius_m + widen_m
    if at != NO_LIST and reach_m < 0.9 * NEAR_M:
        distance_m = list_distance_m(lists, at, runs, corners, lon, lat, lat_deg, reach_m + 2.0 * doubt_m(reach_m))
        if distance_m < NEAR_M:
            near_m = distance_m if inside else -distance_m
            doubt = doubt_m(distance_m)
            answer = settled(near_m - doubt, near_m + doubt, radius_m - widen_m, -radius_m - widen_m)
            if answer != UNSETTLED:
                return answer
    _, distance_m = exact_nearest(entry, lists, corners, runs, balls, frame, lon_deg, lat_deg)
    margin_m = distance_m if inside else -distance_m
    return settled(margin_m + widen_m, margin_m + widen_m, radius_m, -radius_m)


# ---------------------------------------------------------------------------------------------- batches


@piece
def find_leaves(root, nodes, frame, lon_deg, lat_deg, begin, end, entries, bits):
    """The entries of the leaves of a tile of positions, and log2 of their sides; one level at a time for all of them, so that
    the processor waits for the memory of many at once. entries, bits: int64 (TILE,), written."""
    cell_bits, root_bits = frame[CELL_BITS], frame[ROOT_BITS]
    side = np.int64(1) << root_bits
    for i in range(begin, end):
        x = (units_of(lon_deg[row(i)]) - frame[ORIGIN_LON]) & TURN_MASK
        y = units_of(lat_deg[row(i)]) - frame[ORIGIN_LAT]
        column, line = x >> cell_bits, y >> cell_bits
        within = (side - 1 - column) | line | (side - 1 - line)
        at = (line << root_bits) + column if within >= 0 else np.int64(0)
        entry = root[row(at)]
        entries[row(i - begin)] = entry if within >= 0 else OUTSIDE_OF_FRAME
        bits[row(i - begin)] = cell_bits
    deeper = np.int64(1)
    while deeper:
        deeper = np.int64(0)
        for i in range(begin, end):
            # Those that are there already look at entry 0 again: cheaper than a branch that nobody can foresee.
            entry, shift = entries[row(i - begin)], bits[row(i - begin)]
            on = np.int64(tag_of(entry) == NODE)
            shift -= 2 * on
            x = (units_of(lon_deg[row(i)]) - frame[ORIGIN_LON]) & TURN_MASK
            y = units_of(lat_deg[row(i)]) - frame[ORIGIN_LAT]
            child = ((entry & INDEX_MASK) << 4) + (((y >> shift) & 3) << 2) + ((x >> shift) & 3)
            below = nodes[row(child * on)] if nodes.shape[0] else np.int64(0)
            entries[row(i - begin)] = below if on else entry
            bits[row(i - begin)] = shift
            deeper |= on


@piece
def touch_lists(entries, left, asked, begin, lists, corners):
    """Read a word of each line of the lists and corners that some positions need, so that they come from memory all at once and
    not one by one (2 times faster). The sum is of no use; it keeps the compiler from leaving this out."""
    total = np.int64(0)
    for k in range(asked):
        at = entries[row(left[row(k)] - begin)] & INDEX_MASK
        if at != NO_LIST:
            total += lists[row(at)]
    for k in range(asked):
        entry = entries[row(left[row(k)] - begin)]
        if tag_of(entry) == BOUNDARY_LEAF:
            at = entry & INDEX_MASK
            total += lists[row(lists[row(at + 1)])]
            for item in range(at + 2, at + 2 + lists[row(at)]):
                total += corners[row(lists[row(item)]), 0]
    return total


@kernel
def set_verdicts(
    root,
    nodes,
    lists,
    corners,
    runs,
    balls,
    frame,
    lon_deg,
    lat_deg,
    radius_m,
    widen_m,
    answers,
    entries,
    bits,
    left,
):
    """Verdicts of n positions on the union, taken wider by `widen_m`: int8 (n,), written.

    lon_deg, lat_deg, radius_m > 0: float64 (n,). entries, bits: int64 (TILE,), left: int64 (TILE + 1,), scratch.
    """
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(root, nodes, frame, lon_deg, lat_deg, begin, end, entries, bits)
        asked = np.int64(0)
        for i in range(begin, end):
            radius = radius_m[row(i)]
            answer = entry_verdict(entries[row(i - begin)], radius - widen_m, -radius - widen_m)
            answers[row(i)] = answer
            left[row(asked)] = i
            asked += np.int64(answer == UNSETTLED)
        left[TILE] = touch_lists(entries, left, asked, begin, lists, corners)
        for k in range(asked):
            i = left[row(k)]
            at = row(i - begin)
            answers[row(i)] = edges_verdict(
                entries[at], bits[at], lists, corners, runs, balls, frame, lon_deg[row(i)], lat_deg[row(i)],
                radius_m[row(i)], widen_m,
            )  # fmt: skip


@kernel
def set_contains(root, nodes, lists, corners, frame, lon_deg, lat_deg, inside, entries, bits, left):
    """In or out of the union as drawn, of n positions: bool (n,), written. Scratch as `set_verdicts` has it."""
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(root, nodes, frame, lon_deg, lat_deg, begin, end, entries, bits)
        asked = np.int64(0)
        for i in range(begin, end):
            tag = tag_of(entries[row(i - begin)])
            inside[row(i)] = tag == IN_LEAF
            left[row(asked)] = i
            asked += np.int64(tag == BOUNDARY_LEAF)
        left[TILE] = touch_lists(entries, left, asked, begin, lists, corners)
        for k in range(asked):
            i = left[row(k)]
            lon, lat = units_of(lon_deg[row(i)]), units_of(lat_deg[row(i)])
            at = row(i - begin)
            inside[row(i)] = is_inside(entries[at], lists, corners, frame, bits[at], lon, lat)


@kernel
def set_margins(root, nodes, lists, corners, runs, balls, frame, lon_deg, lat_deg, margins_m, nearest, entries, bits):
    """Exact margins of n positions on the union as drawn, positive inside: float64 (n,), and the edges that are nearest:
    int64 (n,), written. Scratch as `set_verdicts` has it."""
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(root, nodes, frame, lon_deg, lat_deg, begin, end, entries, bits)
        for i in range(begin, end):
            entry = entries[row(i - begin)]
            lon, lat = units_of(lon_deg[row(i)]), units_of(lat_deg[row(i)])
            inside = is_inside(entry, lists, corners, frame, bits[row(i - begin)], lon, lat)
            edge, distance_m = exact_nearest(
                entry, lists, corners, runs, balls, frame, lon_deg[row(i)], lat_deg[row(i)]
            )  # fmt: skip
            margins_m[row(i)] = distance_m if inside else -distance_m
            nearest[row(i)] = edge


# ---------------------------------------------------------------------------------------------- building


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
def box_gap_2(runs, run, frame, x0, y0, size, east, north):
    """Squared metres between the box of a run and a cell, no more than the truth if a unit is nowhere shorter."""
    run_west, run_east = (
        (runs[row(run), RUN_WEST] - frame[ORIGIN_LON]) & TURN_MASK,
        (runs[row(run), RUN_EAST] - frame[ORIGIN_LON]) & TURN_MASK,
    )
    run_south, run_north = (
        runs[row(run), RUN_SOUTH] - frame[ORIGIN_LAT],
        runs[row(run), RUN_NORTH] - frame[ORIGIN_LAT],
    )
    dx = max(0, run_west - x0 - size, x0 - run_east) * east
    dy = max(0, run_south - y0 - size, y0 - run_north) * north
    return dx * dx + dy * dy


@piece
def middle_distance_m(cell_list, begin, length, runs, corners, frame, x, y, metric, least_east, least_north):
    """Metres from a place (units from the origin) to the nearest edge of a list of runs, near. metric: of the place or the greatest;
    least_east, least_north: so short that no box seems farther than it is."""
    lon, lat = wrapped(x + frame[ORIGIN_LON]), y + frame[ORIGIN_LAT]
    nearest_2 = math.inf
    for item in range(begin, begin + length):
        run = cell_list[row(item)]
        if box_gap_2(runs, run, frame, x, y, 0, least_east, least_north) < nearest_2:
            first = runs[row(run), RUN_FIRST]
            nearest_2 = min(nearest_2, run_distance_2(corners, first, runs[row(run), RUN_LENGTH], lon, lat, metric))
    return math.sqrt(nearest_2)


@piece
def gather_runs(cell_list, begin, length, runs, frame, x0, y0, size, most_m, least_east, least_north, out, start):
    """Write to `out` the runs of a list that may be within `most_m` of a cell: (how many, squared metres to the nearest)."""
    near = np.int64(0)
    gap_2 = math.inf
    for item in range(begin, begin + length):
        apart_2 = box_gap_2(runs, cell_list[row(item)], frame, x0, y0, size, least_east, least_north)
        gap_2 = min(gap_2, apart_2)
        out[row(start + near)] = cell_list[row(item)]
        near += np.int64(apart_2 <= most_m * most_m)
    return near, gap_2


@piece
def gather_edges(cell_list, begin, length, corners, frame, x0, y0, size, out, start):
    """Write to `out` the edges of a list that meet a cell: how many."""
    met = np.int64(0)
    for item in range(begin, begin + length):
        edge = cell_list[row(item)]
        ax, ay = (corners[row(edge), 0] - frame[ORIGIN_LON]) & TURN_MASK, corners[row(edge), 1] - frame[ORIGIN_LAT]
        bx = (corners[row(edge + 1), 0] - frame[ORIGIN_LON]) & TURN_MASK
        by = corners[row(edge + 1), 1] - frame[ORIGIN_LAT]
        out[row(start + met)] = edge
        met += np.int64(edge_meets_cell(ax, ay, bx, by, x0, y0, size))
    return met


@piece
def corner_side(cell_list, begin, met, corners, frame, from_x, from_y, x0, y0, is_in):
    """Whether the corner (x0, y0) of a part lies inside, by the walk from the corner (from_x, from_y) of its cell, which the first
    `met` edges of its list meet."""
    lon, lat = wrapped(x0 + frame[ORIGIN_LON]), y0 + frame[ORIGIN_LAT]
    odd = np.int64(0)
    dx, dy = from_x - x0, from_y - y0
    if dx == 0 and dy == 0:
        return is_in
    for item in range(begin, begin + met):
        edge = cell_list[row(item)]
        ax, bx = wrapped(corners[row(edge), 0] - lon), wrapped(corners[row(edge + 1), 0] - lon)
        ay, by = corners[row(edge), 1] - lat, corners[row(edge + 1), 1] - lat
        beside = (max(ax, bx) - dx) | -min(ax, bx) | (max(ay, by) - dy) | -min(ay, by)
        if beside >= 0:  # else it lies wholly on one side of the walk
            odd ^= walk_crossing(corners, edge, dx, dy, lon, lat)
    return (odd < 0) ^ is_in


@piece
def must_cut(met, most_met, coarse_m, near, least_m, side_m, forced, is_far):
    """Whether a part is cut on: where boundary is in it, until few edges meet it; elsewhere, until its list is short or it is small
    beside its distance from the boundary."""
    if met > 0:
        return forced or is_far or side_m > coarse_m or (met > most_met and (side_m > FINE_M or met > 4 * most_met))
    if is_far:
        return least_m < NEAR_M / 2.0
    return near > MOST_SHARED and side_m > 0.7 * least_m


@piece
def keep_list(lists, counts, found, start, length, second):
    """Write a list, and say where it begins. second: what follows its length, or negative."""
    at = counts[2]
    lists[at] = length
    begin = at + 1
    if second >= 0:
        lists[begin] = second
        begin += 1
    for item in range(length):
        lists[row(begin + item)] = found[row(start + item)]
    counts[2] = begin + length
    return at


@kernel
def cut_cells(
    cells,
    cell_list,
    size,
    forced,
    smallest,
    most_met,
    coarse_m,
    extremes,
    runs,
    corners,
    frame,
    found,
    found_list,
    kept,
    lists,
    counts,
):
    """Cut each cell of a level in 4 × 4, and say of each part what it is.

    cells: int64 (n, 7), x, y (units from the origin); where in `cell_list` the runs begin that can be nearest to it, and how many;
    where the edges begin that meet it, and how many; whether its south-west corner is inside. size: side of the parts. forced:
    cut on whatever has boundary in it. smallest: cut nothing that is not larger. most_met: edges that may meet a leaf. coarse_m:
    side of the largest leaf that may have boundary in it. extremes: float64 (4,), greatest and least metres per unit anywhere in
    the set: east, north; east, north.
    found: int64 (16 n,), written: the entries of the parts; of one that is to be cut on, its row among those of its level.
    kept: int64 (m, 7), cells of the next level; found_list: int32, their lists. lists: int32, the lists of leaves.
    counts: int64 (3,), how much of kept, found_list and lists is used. Returns the number of cells that were done: fewer
    than n if there may not be room for the next one, which is then to be asked again with more.
    """
    for c in range(cells.shape[0]):
        begin, length, edge_begin, edge_length = cells[c, 2], cells[c, 3], cells[c, 4], cells[c, 5]
        room = 17 * (length + edge_length + 4)
        if (
            counts[0] + 16 > kept.shape[0]
            or counts[1] + room > found_list.shape[0]
            or counts[2] + room > lists.shape[0]
        ):
            return c
        shared = np.int64(-1)
        for part in range(16):
            x0, y0 = cells[c, 0] + (part & 3) * size, cells[c, 1] + (part >> 2) * size
            low_deg = (y0 + frame[ORIGIN_LAT]) * DEG_PER_UNIT
            high_deg = (y0 + size + frame[ORIGIN_LAT]) * DEG_PER_UNIT
            widest, per_north, _ = metric_at(lowest_latitude_deg(low_deg, high_deg))
            half_m = 0.5 * size * math.hypot(widest, per_north * 1.01)
            is_far = half_m > FAR_HALF_M
            x, y = x0 + size // 2, y0 + size // 2
            metric = metric_at(min(89.0, max(-89.0, (y + frame[ORIGIN_LAT]) * DEG_PER_UNIT)))
            least_east, least_north = 0.97 * metric[0], 0.97 * metric[1]
            if is_far:
                metric = extremes[0], extremes[1], 0.0
                least_east, least_north = extremes[2], extremes[3]
            distance_m = middle_distance_m(
                cell_list, begin, length, runs, corners, frame, x, y, metric, least_east, least_north
            )  # fmt: skip
            slack_m = 2.0 * doubt_m(distance_m)
            least_m, most_m = max(0.0, distance_m - half_m - slack_m), distance_m + half_m + slack_m
            start = counts[1]
            near, gap_2 = gather_runs(
                cell_list, begin, length, runs, frame, x0, y0, size, most_m, least_east, least_north, found_list, start
            )  # fmt: skip
            met = np.int64(0)
            if least_m == 0.0:
                met = gather_edges(
                    cell_list, edge_begin, edge_length, corners, frame, x0, y0, size, found_list, start + near
                )  # fmt: skip
            # Near distances are too long by little where they are short: one of 5.5 km is of a place 5 km off, whatever it is.
            beyond_m = 0.5 * NEAR_M if not is_far and least_m > 0.55 * NEAR_M else 0.0
            is_far |= most_m >= NEAR_M
            if is_far:  # boxes of runs can be wide: a place deep in one has no gap to it
                least_m, most_m = max(math.sqrt(gap_2), beyond_m), math.inf
            is_in = corner_side(
                cell_list, edge_begin, edge_length, corners, frame, cells[c, 0], cells[c, 1], x0, y0, cells[c, 6] != 0
            )  # fmt: skip
            if size > smallest and must_cut(met, most_met, coarse_m, near, least_m, size * per_north, forced, is_far):
                found[16 * c + part] = counts[0]
                kept[counts[0], 0], kept[counts[0], 1] = x0, y0
                kept[counts[0], 2], kept[counts[0], 3] = start, near
                kept[counts[0], 4], kept[counts[0], 5], kept[counts[0], 6] = start + near, met, np.int64(is_in)
                counts[0] += 1
                counts[1] += near + met
                continue
            index = np.int64(NO_LIST)
            if not is_far and length <= MOST_SHARED:  # what the whole cell has serves all its parts
                if shared < 0:
                    shared = keep_list(lists, counts, cell_list, begin, length, -1)
                index = shared
            elif (not is_far and near <= MOST_FAR_RUNS) or met > 0:
                index = keep_list(lists, counts, found_list, start, near, -1)
            if met > 0:
                index = keep_list(lists, counts, found_list, start + near, met, index)
            tag = BOUNDARY_LEAF if met > 0 else (IN_LEAF if is_in else OUT_LEAF)
            found[16 * c + part] = entry_of(tag, is_in, index, least_m, most_m)
    return cells.shape[0]
