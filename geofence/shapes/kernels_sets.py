"""Compiled kernels: verdicts and margins of positions on a shared zone set.

The idea. The plane is cut into cells: a coarse grid, whose cells are cut in 4 × 4 again and again where the boundary is near.
Each cell that is not cut (a *leaf*) knows whether it lies outside or inside the union, or has boundary in it; between which
distances from the boundary its places lie; and every piece of boundary that can be nearest to any of its places. So two or three
look-ups settle most positions, a few edges the rest, and the answer is exact for any radius.

In or out is asked most, so what it needs is kept apart and small: 8 bytes for each cell that is cut, or has boundary in it.

    nodes   int64 (n,), the cells that are cut, or have boundary in them. The lower half is what each of its 4 × 4 parts is, 2 bits
            each, row by row: outside, inside, boundary, or cut again. The upper half of one that is cut: where those of its parts
            begin, among the nodes, that are cut or have boundary. Of a leaf with boundary, its *walk*: the edges that meet it. They
            are a chain of up to 15 edges in a row, first · 16 + how many; or if they are several chains, the place of their
            list · 16; and the highest bit says whether its south-west corner is inside.
            First comes a cell that stands for everything outside of the frame, then those of the grid, row by row (one that is
            not cut has 16 equal parts)
    firsts  int32 (n,), of each node where the entries of its parts begin; of one that is a leaf, ~ the place of its entry
    entries int64 (n,), what a leaf knows for distances: the least and the most to the boundary (quarters of a metre, 65535: that or
            more); outside, inside, or boundary; where the list begins of all runs that can be nearest. Nobody reads those of
            parts that are cut
    lists   int32 (n,): how many, the runs; and how many, the chains
    corners int32 (n, 2): longitude and latitude in units. Edge i is from corner i to the next
    runs    int32 (runs, 6): at most 16 edges of a ring in a row; their box, west, south, east, north (units); first edge, how many
    balls   float32 (n, 4): a ball that holds each run, Earth-centred m; then one for each 16 of them, and so on up to at most
            16: for places to which too many runs could be nearest to list them
    frame   int64 (13,): origin longitude and latitude (units); log2 of the side of a cell of the grid; cells of the grid from west
            to east, and from south to north; then where the balls of each level begin, and where they end

Inside or outside, where boundary is in the cell, is told by a walk from the cell's corner (whose side was told so when the cell
was made) straight to the place. Each crossing on it is another side. Whatever crosses it crosses the cell, and so is on its list.

The steps are those of `kernels_zones.py`, with a cell in the place of box and raster, and so is the promise that a verdict is the
verdict of the exact margin.
"""

import math

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import (
    DEG_PER_UNIT,
    NEAR_M,
    TURN_MASK,
    UNITS_PER_DEG,
    arc_m,
    doubt_m,
    earth_centred,
    edge_distance_2,
    exact_edge_distance_m,
    metric_at,
    row,
    units_of,
    wrapped,
)
from geofence.shapes.kernels_zones import UNSETTLED, settled

TILE = 256
"""Positions that are looked up together. Of 64, a fifth of the time goes to waiting at the end of each step."""
ORIGIN_LON, ORIGIN_LAT, CELL_BITS, COLUMNS, LINES, LEVELS = range(6)
FRAME_LENGTH = 13
OUT_LEAF, IN_LEAF, BOUNDARY_LEAF, NODE = range(4)
X, Y, AT, TAG, BITS, ENTRY, LEFT = range(7)
"""Of each position of a tile: units from the origin; the last node that was looked at, what its part is in which the position
lies, and log2 of the side of that; its entry; and which positions of the tile are still to be worked on."""
INDEX_MASK = (1 << 29) - 1
NO_LIST = INDEX_MASK
QUARTERS = 0xFFFF
PAD_M = 5_000.0
"""How much wider than everything in it the frame of a set is at least."""
OUTSIDE_OF_FRAME = np.int64((OUT_LEAF << 30) | NO_LIST | (int(PAD_M * 4) << 32) | (-1 << 48))
GRID = 1
"""Where the cells of the grid begin among the nodes, after the one of everything outside of the frame."""
CHAIN_EDGES = 15
MOST_CORNERS = 1 << 27
"""A walk holds the number of a corner, or the place of a list, in 27 bits."""
NO_WALK = 1 << 32
"""Of a leaf without boundary: an edge that is there, and that nobody asks for."""
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
def entry_of(tag, index, least_m, most_m):
    """An entry; distances are rounded outward."""
    least = np.int64(min(QUARTERS, math.floor(least_m * 4.0)))
    most = np.int64(min(QUARTERS, math.ceil(min(most_m, 1e6) * 4.0)))
    return np.int64(index) | (np.int64(tag) << 30) | (least << 32) | (most << 48)


@piece
def tag_of(entry):
    return (entry >> 30) & 3


@piece
def part_at(tile, k, shift):
    """Which part of a node a position of a tile lies in. shift: log2 of the side of the part."""
    return (((tile[Y, row(k)] >> shift) & 3) << 2) + ((tile[X, row(k)] >> shift) & 3)


@piece
def entry_at(firsts, entries, tile, k):
    """The entry of the leaf of a position of a tile."""
    first = np.int64(firsts[row(tile[AT, row(k)])])
    return entries[row(first + part_at(tile, k, tile[BITS, row(k)]) if first >= 0 else ~first)]


@piece
def nodes_before(word, part):
    """How many of the parts of a node before one are nodes: those whose higher bit is set, added up in ever wider fields."""
    ones = (word >> 1) & 0x55555555 & ((np.int64(1) << (2 * part)) - 1)
    ones = (ones & 0x33333333) + ((ones >> 2) & 0x33333333)
    ones = (ones + (ones >> 4)) & 0x0F0F0F0F
    return ((ones * 0x01010101) >> 24) & 0xFF


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
def chain_crossings(corners, first, length, dx, dy, lon, lat):
    """Negative if the walk from a point straight to a place crosses a chain of edges oddly often. dx, dy: units from the point east
    and north to the place, none negative (int64).

    An edge a-b is crossed if a and b lie on two sides of the walk (`left`), and its ends on two sides of the edge (`side`): four
    products of exact differences. Ties are broken as in `crossing`: all corners lie a trifle further east, and still less north.
    """
    odd = np.int64(0)
    uphill = np.int64(dy > 0)
    ax, ay = wrapped(corners[row(first), 0] - lon), corners[row(first), 1] - lat
    a_left = dx * ay - dy * ax
    for i in range(first + 1, first + length + 1):
        bx, by = wrapped(corners[row(i), 0] - lon), corners[row(i), 1] - lat
        b_left = dx * by - dy * bx
        downhill = np.int64(2 * (ay - by) + np.int64(bx > ax) > 0)
        side = ax * by - bx * ay - downhill
        odd ^= ((a_left - uphill) ^ (b_left - uphill)) & (side ^ (side + b_left - a_left))
        ax, ay, a_left = bx, by, b_left
    return odd


@piece
def is_inside(walk, lists, corners, frame, bits, x, y):
    """Whether a place in a leaf with boundary lies in the union, by the walk from the leaf's corner. bits: log2 of its side; x, y:
    units from the origin."""
    lon, lat = x + frame[ORIGIN_LON], y + frame[ORIGIN_LAT]
    part = (np.int64(1) << bits) - 1
    dx, dy = x & part, y & part
    first, length = first_of(walk), edges_of(walk)
    if length > 0:
        return (walk ^ chain_crossings(corners, first, length, dx, dy, lon, lat)) < 0
    odd = walk
    for item in range(first + 1, first + 1 + lists[row(first)]):
        chain = np.int64(lists[row(item)])
        odd ^= chain_crossings(corners, chain >> 4, chain & CHAIN_EDGES, dx, dy, lon, lat)
    return odd < 0


@piece
def first_of(walk):
    """The first corner of the chain of a walk, or the place of the list of its chains."""
    return (walk >> 36) & (MOST_CORNERS - 1)


@piece
def edges_of(walk):
    """How many edges the chain of a walk has; 0 if there are several chains."""
    return (walk >> 32) & CHAIN_EDGES


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
    at = entry & INDEX_MASK
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
def edges_verdict(entry, inside, lists, corners, runs, balls, frame, lon_deg, lat_deg, radius_m, widen_m):
    """The verdict by the edges that can be nearest: near, and exact where a threshold is too near for that."""
    lon, lat = units_of(lon_deg), units_of(lat_deg)
    at = entry & INDEX_MASK
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
def find_leaves(nodes, frame, lon_deg, lat_deg, begin, end, tile):
    """Find the leaves of a tile of positions; one level at a time for all of them that are not there yet, so that the processor
    waits for the memory of many at once. tile: int64 (7, TILE), its rows X, Y, AT, TAG and BITS written."""
    cell_bits, columns, lines = frame[CELL_BITS], frame[COLUMNS], frame[LINES]
    west, south = frame[ORIGIN_LON], frame[ORIGIN_LAT]
    for k in range(end - begin):
        i = begin + k
        x = (math.floor(lon_deg[row(i)] * UNITS_PER_DEG + 0.5) - west) & TURN_MASK
        y = math.floor(lat_deg[row(i)] * UNITS_PER_DEG + 0.5) - south
        column, line = x >> cell_bits, y >> cell_bits
        within = (columns - 1 - column) | line | (lines - 1 - line)
        tile[X, row(k)], tile[Y, row(k)] = x, y
        tile[AT, row(k)] = GRID + line * columns + column if within >= 0 else np.int64(0)
        tile[TAG, row(k)], tile[BITS, row(k)] = NODE, cell_bits
        tile[LEFT, row(k)] = k
    left = end - begin
    while left:
        asked, left = left, np.int64(0)
        for j in range(asked):
            k = tile[LEFT, row(j)]
            word = nodes[row(tile[AT, row(k)])]
            shift = tile[BITS, row(k)] - 2
            part = part_at(tile, k, shift)
            tag = (word >> (2 * part)) & 3
            # Down into what is cut or has boundary, but no further than a leaf with boundary. Others are gone down into all the
            # same and then passed over: cheaper than a branch that nobody can foresee.
            deeper = (tag >> 1) & np.int64(tile[TAG, row(k)] == NODE)
            tile[AT, row(k)] = (word >> 32) + nodes_before(word, part) if deeper else tile[AT, row(k)]
            tile[TAG, row(k)], tile[BITS, row(k)] = tag, shift
            tile[LEFT, row(left)] = k
            left += deeper


@piece
def touch_chains(nodes, lists, corners, tile, asked):
    """Read a word of the memory that the walks of the first `asked` positions that are left will need, so that it comes for all at
    once and not one by one (2 times faster). The sum is of no use; it keeps the compiler from leaving this out."""
    touched = np.int64(0)
    for j in range(asked):
        k = tile[LEFT, row(j)]
        walk = nodes[row(tile[AT, row(k)])] if tile[TAG, row(k)] == BOUNDARY_LEAF else np.int64(NO_WALK)
        first, length = first_of(walk), edges_of(walk)
        touched += corners[row(first), 0] + corners[row(first + length), 1] if length > 0 else lists[row(first)]
    return touched


@piece
def touch_runs(lists, runs, tile, asked):
    """As `touch_chains` does, read a word of the lists and runs that the first `asked` positions that are left will need (a fifth
    faster)."""
    touched = np.int64(0)
    for j in range(asked):
        at = tile[ENTRY, row(tile[LEFT, row(j)])] & INDEX_MASK
        touched += lists[row(at)] if at != NO_LIST else np.int64(0)
    for j in range(asked):
        at = tile[ENTRY, row(tile[LEFT, row(j)])] & INDEX_MASK
        if at != NO_LIST:
            for item in range(at + 1, at + 1 + lists[row(at)]):
                touched += runs[row(lists[row(item)]), RUN_WEST]
    return touched


@piece
def side_at(nodes, lists, corners, frame, tile, k):
    """Whether a position of a tile lies in the union, when its leaf is known."""
    if tile[TAG, row(k)] != BOUNDARY_LEAF:
        return tile[TAG, row(k)] == IN_LEAF
    walk, bits = nodes[row(tile[AT, row(k)])], tile[BITS, row(k)] + 2
    return is_inside(walk, lists, corners, frame, bits, tile[X, row(k)], tile[Y, row(k)])


@kernel
def set_verdicts(
    nodes,
    firsts,
    entries,
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
    tile,
):
    """Verdicts of n positions on the union, taken wider by `widen_m`: int8 (n,), written.

    lon_deg, lat_deg, radius_m > 0: float64 (n,). tile: int64 (7, TILE), scratch. Returns a sum of no use (`touch_chains`).
    """
    touched = np.int64(0)
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(nodes, frame, lon_deg, lat_deg, begin, end, tile)
        for k in range(end - begin):
            tile[ENTRY, row(k)] = entry_at(firsts, entries, tile, k)
        asked = np.int64(0)
        for k in range(end - begin):
            radius = radius_m[row(begin + k)]
            answer = entry_verdict(tile[ENTRY, row(k)], radius - widen_m, -radius - widen_m)
            answers[row(begin + k)] = answer
            tile[LEFT, row(asked)] = k
            asked += np.int64(answer == UNSETTLED)
        touched += touch_chains(nodes, lists, corners, tile, asked)
        touched += touch_runs(lists, runs, tile, asked)
        for j in range(asked):
            k = tile[LEFT, row(j)]
            i = begin + k
            inside = side_at(nodes, lists, corners, frame, tile, k)
            answers[row(i)] = edges_verdict(
                tile[ENTRY, row(k)], inside, lists, corners, runs, balls, frame,
                lon_deg[row(i)], lat_deg[row(i)], radius_m[row(i)], widen_m,
            )  # fmt: skip
    return touched


@kernel
def set_contains(nodes, lists, corners, frame, lon_deg, lat_deg, inside, tile):
    """In or out of the union as drawn, of n positions: bool (n,), written. Scratch, and what is returned, as `set_verdicts` has
    it."""
    touched = np.int64(0)
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(nodes, frame, lon_deg, lat_deg, begin, end, tile)
        asked = np.int64(0)
        for k in range(end - begin):
            tag = tile[TAG, row(k)]
            inside[row(begin + k)] = tag == IN_LEAF
            tile[LEFT, row(asked)] = k
            asked += np.int64(tag == BOUNDARY_LEAF)
        touched += touch_chains(nodes, lists, corners, tile, asked)
        for j in range(asked):
            k = tile[LEFT, row(j)]
            inside[row(begin + k)] = side_at(nodes, lists, corners, frame, tile, k)
    return touched


@kernel
def set_margins(
    nodes, firsts, entries, lists, corners, runs, balls, frame, lon_deg, lat_deg, margins_m, nearest, tile
):
    """Exact margins of n positions on the union as drawn, positive inside: float64 (n,), and the edges that are nearest:
    int64 (n,), written. Scratch as `set_verdicts` has it."""
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(nodes, frame, lon_deg, lat_deg, begin, end, tile)
        for k in range(end - begin):
            i = begin + k
            entry = entry_at(firsts, entries, tile, k)
            edge, distance_m = exact_nearest(
                entry, lists, corners, runs, balls, frame, lon_deg[row(i)], lat_deg[row(i)]
            )  # fmt: skip
            margins_m[row(i)] = distance_m if side_at(nodes, lists, corners, frame, tile, k) else -distance_m
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
def part_distances(cell_list, begin, length, runs, corners, frame, extremes, x0, y0, size, out, start):
    """How near the boundary is to the part of a cell at (x0, y0). Runs of the cell's list that can be nearest are written to `out`:
    (how many, least and most metres from its places to the boundary, its side in metres, whether the most is not known)."""
    low_deg = (y0 + frame[ORIGIN_LAT]) * DEG_PER_UNIT
    high_deg = (y0 + size + frame[ORIGIN_LAT]) * DEG_PER_UNIT
    widest, per_north, _ = metric_at(lowest_latitude_deg(low_deg, high_deg))
    half_m = 0.5 * size * math.hypot(widest, per_north * 1.01)
    is_far = half_m > FAR_HALF_M
    x, y = x0 + size // 2, y0 + size // 2
    metric = metric_at(min(89.0, max(-89.0, (y + frame[ORIGIN_LAT]) * DEG_PER_UNIT)))
    least_east, least_north = 0.97 * metric[0], 0.97 * metric[1]
    beyond_m = 0.0
    if is_far:
        metric = extremes[0], extremes[1], 0.0
        least_east, least_north = extremes[2], extremes[3]
        least_metric = least_east, least_north, 0.0
        beyond_m = -half_m + middle_distance_m(
            cell_list, begin, length, runs, corners, frame, x, y, least_metric, least_east, least_north
        )  # fmt: skip
    distance_m = middle_distance_m(
        cell_list, begin, length, runs, corners, frame, x, y, metric, least_east, least_north
    )  # fmt: skip
    slack_m = 2.0 * doubt_m(distance_m)
    least_m, most_m = max(0.0, distance_m - half_m - slack_m), distance_m + half_m + slack_m
    near, gap_2 = gather_runs(
        cell_list, begin, length, runs, frame, x0, y0, size, most_m, least_east, least_north, out, start
    )  # fmt: skip
    # Near distances are too long by little where they are short: one of 5.5 km is of a place 5 km off, whatever it is.
    if not is_far and least_m > 0.55 * NEAR_M:
        beyond_m = 0.5 * NEAR_M
    is_far |= most_m >= NEAR_M
    if is_far:  # boxes of runs can be wide: a place deep in one has no gap to it
        least_m, most_m = max(math.sqrt(gap_2), beyond_m), math.inf
    return near, least_m, most_m, size * per_north, is_far


@piece
def parts_met(cell_list, begin, length, corners, frame, x0, y0, bits, meets):
    """Which of the 4 × 4 parts of a cell at (x0, y0) each edge of a list meets: a bit for each part, written to `meets`. bits: log2
    of the side of a part."""
    size = np.int64(1) << bits
    for item in range(length):
        edge = cell_list[row(begin + item)]
        ax, ay = (corners[row(edge), 0] - frame[ORIGIN_LON]) & TURN_MASK, corners[row(edge), 1] - frame[ORIGIN_LAT]
        bx = (corners[row(edge + 1), 0] - frame[ORIGIN_LON]) & TURN_MASK
        by = corners[row(edge + 1), 1] - frame[ORIGIN_LAT]
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
def gather_edges(cell_list, begin, length, meets, part, out, start):
    """Write to `out` the edges of a list that meet a part: how many."""
    met = np.int64(0)
    for item in range(length):
        out[row(start + met)] = cell_list[row(begin + item)]
        met += (np.int64(meets[row(item)]) >> part) & 1
    return met


@piece
def corner_side(cell_list, begin, met, corners, frame, x, y, dx, dy, is_in):
    """Whether the corner (x + dx, y + dy) of a part lies inside, by the walk from its south-west corner (x, y), of which that is
    known, along its border. begin, met: the edges that meet the part."""
    lon, lat = wrapped(x + dx + frame[ORIGIN_LON]), y + dy + frame[ORIGIN_LAT]
    odd = np.int64(0)
    for item in range(begin, begin + met):
        odd ^= chain_crossings(corners, np.int64(cell_list[row(item)]), np.int64(1), dx, dy, lon, lat)
    return (odd < 0) ^ is_in


@piece
def corner_sides(cell_list, begin, length, corners, frame, x0, y0, bits, is_in, meets, out, start):
    """Which of the south-west corners of the 4 × 4 parts of a cell at (x0, y0) lie inside, a bit for each part: from one to the next,
    by the edges that meet the part between. is_in: whether the first does; meets: from `parts_met`; out: scratch, from `start` on."""
    size = np.int64(1) << bits
    inside = np.int64(0)
    next_is_in = first_is_in = is_in
    for part in range(16):
        x, y = x0 + (part & 3) * size, y0 + (part >> 2) * size
        met = gather_edges(cell_list, begin, length, meets, part, out, start)
        is_in = next_is_in if part & 3 else first_is_in
        next_is_in = corner_side(out, start, met, corners, frame, x, y, size, np.int64(0), is_in)
        if part & 3 == 0:
            first_is_in = corner_side(out, start, met, corners, frame, x, y, np.int64(0), size, is_in)
        inside |= np.int64(is_in) << part
    return inside


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
def keep_list(lists, counts, found, start, length):
    """Write a list of runs, and say where it begins."""
    at = counts[2]
    lists[at] = length
    begin = at + 1
    for item in range(length):
        lists[row(begin + item)] = found[row(start + item)]
    counts[2] = begin + length
    return at


@piece
def walk_of(lists, counts, edges, start, length, is_in):
    """The upper half of a leaf that some edges (in their order) meet. Several chains are written as a list."""
    at = counts[2]
    lists[at] = 0
    end = at + 1
    for item in range(start, start + length):
        edge = np.int64(edges[row(item)])
        chain = np.int64(lists[row(end - 1)])
        goes_on = (
            lists[at] > 0 and (chain >> 4) + (chain & CHAIN_EDGES) == edge and (chain & CHAIN_EDGES) < CHAIN_EDGES
        )
        if goes_on:
            lists[row(end - 1)] += 1
        else:
            lists[row(end)] = (edge << 4) + 1
            lists[at] += 1
            end += 1
    walk = np.int64(lists[at + 1])
    if end > at + 2:
        walk = at << 4
        counts[2] = end
    return walk | (np.int64(is_in) << 31)


@piece
def leaf_tags(edges, begin, met, corners, frame, x0, y0, bits, is_in, meets):
    """What the 4 × 4 parts of a leaf with boundary are, 2 bits each. edges: those that meet it, and room for as many more; bits: log2
    of the side of a part; is_in: whether its corner (x0, y0) is inside; meets: scratch."""
    parts_met(edges, begin, met, corners, frame, x0, y0, bits, meets)
    inside = corner_sides(edges, begin, met, corners, frame, x0, y0, bits, is_in, meets, edges, begin + met)
    with_boundary = np.int64(0)
    for item in range(met):
        with_boundary |= meets[row(item)]
    tags = np.int64(0)
    for part in range(16):
        side = IN_LEAF if (inside >> part) & 1 else OUT_LEAF
        tags |= np.int64(BOUNDARY_LEAF if (with_boundary >> part) & 1 else side) << (2 * part)
    return tags


@kernel
def cut_cells(
    cells,
    cell_list,
    bits,
    forced,
    smallest,
    most_met,
    coarse_m,
    extremes,
    runs,
    corners,
    frame,
    found,
    leaves,
    found_list,
    meets,
    kept,
    lists,
    counts,
):
    """Cut each cell of a level in 4 × 4, and say of each part what it is.

    cells: int64 (n, 7), x, y (units from the origin); where in `cell_list` the runs begin that can be nearest to it, and how many;
    where the edges begin that meet it, and how many; whether its south-west corner is inside. bits: log2 of the side of the parts.
    forced: cut on whatever has boundary in it. smallest: cut nothing that is not larger. most_met: edges that may meet a leaf.
    coarse_m: side of the largest leaf that may have boundary in it. extremes: float64 (4,), greatest and least metres per unit
    anywhere in the set: east, north; east, north.
    found: int64 (16 n,), written: the entries of the parts; of one that is to be cut on, its row among those of its level.
    leaves: int64 (16 n,), written: the nodes of those with boundary.
    kept: int64 (m, 7), cells of the next level; found_list: int32, their lists. lists: int32, the lists of leaves.
    meets: int32, scratch, twice as long as the longest list of edges.
    counts: int64 (3,), how much of kept, found_list and lists is used. Returns the number of cells that were done: fewer
    than n if there may not be room for the next one, which is then to be asked again with more.
    """
    size = np.int64(1) << bits
    for c in range(cells.shape[0]):
        begin, length, edge_begin, edge_length = cells[c, 2], cells[c, 3], cells[c, 4], cells[c, 5]
        room = 17 * (length + edge_length + 4)
        if counts[2] + room > lists.shape[0]:
            return c
        shared = np.int64(-1)
        parts_met(cell_list, edge_begin, edge_length, corners, frame, cells[c, 0], cells[c, 1], bits, meets)
        inside = corner_sides(
            cell_list, edge_begin, edge_length, corners, frame, cells[c, 0], cells[c, 1], bits, cells[c, 6] != 0, meets,
            found_list, counts[1],
        )  # fmt: skip
        for part in range(16):
            x0, y0 = cells[c, 0] + (part & 3) * size, cells[c, 1] + (part >> 2) * size
            if x0 >= frame[COLUMNS] << frame[CELL_BITS] or y0 >= frame[LINES] << frame[CELL_BITS]:
                found[16 * c + part] = OUTSIDE_OF_FRAME
                continue
            start = counts[1]
            near, least_m, most_m, side_m, is_far = part_distances(
                cell_list, begin, length, runs, corners, frame, extremes, x0, y0, size, found_list, start
            )  # fmt: skip
            met = gather_edges(cell_list, edge_begin, edge_length, meets, part, found_list, start + near)
            if met > 0:
                least_m = 0.0
            is_in = (inside >> part) & 1 != 0
            if size > smallest and must_cut(met, most_met, coarse_m, near, least_m, side_m, forced, is_far):
                found[16 * c + part] = counts[0] | (NODE << 30)
                kept[counts[0], 0], kept[counts[0], 1] = x0, y0
                kept[counts[0], 2], kept[counts[0], 3] = start, near
                kept[counts[0], 4], kept[counts[0], 5], kept[counts[0], 6] = start + near, met, np.int64(is_in)
                counts[0] += 1
                counts[1] += near + met
                continue
            index = np.int64(NO_LIST)
            if not is_far and length <= MOST_SHARED:  # what the whole cell has serves all its parts
                if shared < 0:
                    shared = keep_list(lists, counts, cell_list, begin, length)
                index = shared
            elif (not is_far and near <= MOST_FAR_RUNS) or met > 0:
                index = keep_list(lists, counts, found_list, start, near)
            if met > 0:
                tags = leaf_tags(
                    found_list, start + near, met, corners, frame, x0, y0, bits - 2, is_in, meets[edge_length:]
                )  # fmt: skip
                walk = walk_of(lists, counts, found_list, start + near, met, is_in)
                leaves[16 * c + part] = (walk << 32) | tags
            tag = BOUNDARY_LEAF if met > 0 else (IN_LEAF if is_in else OUT_LEAF)
            found[16 * c + part] = entry_of(tag, index, least_m, most_m)
    return cells.shape[0]
