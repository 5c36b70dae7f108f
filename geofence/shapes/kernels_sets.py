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
verdict of the exact margin. How the cells are made is told in `kernels_cells.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import (
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

if TYPE_CHECKING:
    from geofence.shapes.arrays import Float32s, Int32s, Int64s

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
GRID = 1
"""Where the cells of the grid begin among the nodes, after the one of everything outside of the frame."""
CHAIN_EDGES = 15
MOST_CORNERS = 1 << 27
"""A walk holds the number of a corner, or the place of a list, in 27 bits."""
NO_WALK = 1 << 32
"""Of a leaf without boundary: an edge that is there, and that nobody asks for."""
RUN_WEST, RUN_SOUTH, RUN_EAST, RUN_NORTH, RUN_FIRST, RUN_LENGTH = range(6)


class Cells(NamedTuple):
    """What the plane is cut into, laid out as above."""

    nodes: Int64s
    firsts: Int32s
    entries: Int64s
    lists: Int32s


class Edges(NamedTuple):
    """The boundary, and the frame that it lies in, laid out as above."""

    corners: Int32s
    runs: Int32s
    balls: Float32s
    frame: Int64s


# ---------------------------------------------------------------------------------------------- entries


@piece
def tag_of(entry):
    return (entry >> 30) & 3


@piece
def part_at(tile, k, shift):
    """Which part of a node a position of a tile lies in. shift: log2 of the side of the part."""
    return (((tile[Y, row(k)] >> shift) & 3) << 2) + ((tile[X, row(k)] >> shift) & 3)


@piece
def entry_at(cells, tile, k):
    """The entry of the leaf of a position of a tile."""
    first = np.int64(cells.firsts[row(tile[AT, row(k)])])
    return cells.entries[row(first + part_at(tile, k, tile[BITS, row(k)]) if first >= 0 else ~first)]


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
def is_inside(walk, lists, edges, bits, x, y):
    """Whether a place in a leaf with boundary lies in the union, by the walk from the leaf's corner. bits: log2 of its side; x, y:
    units from the origin."""
    corners = edges.corners
    lon, lat = x + edges.frame[ORIGIN_LON], y + edges.frame[ORIGIN_LAT]
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
def list_distance_m(lists, at, edges, lon, lat, lat_deg, enough_m):
    """Metres from a place to the nearest edge on a list of runs, near; from `enough_m` up it may come out as anything from that
    up. Runs whose box is further off than that are not looked at."""
    runs, metric = edges.runs, metric_at(lat_deg)
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
            nearest_2 = min(
                nearest_2, run_distance_2(edges.corners, first, runs[row(run), RUN_LENGTH], lon, lat, metric)
            )
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
def exact_nearest(entry, lists, edges, lon_deg, lat_deg):
    """The nearest edge to a position and how far it is in metres: of the list of its leaf, or where there is none of all that are
    no further than any place of the leaf is."""
    at = entry & INDEX_MASK
    place = earth_centred(lon_deg, lat_deg)
    spot = units_of(lon_deg), units_of(lat_deg), metric_at(lat_deg)
    if at == NO_LIST:
        most = (entry >> 48) & QUARTERS
        limit_m = most * 0.25 + 1.0 if most < QUARTERS else math.inf
        return nearest_of_all(edges, place, spot, limit_m)
    nearest, nearest_m = np.int64(-1), math.inf
    for item in range(at + 1, at + 1 + lists[row(at)]):
        if ball_gap_m(edges.balls, lists[row(item)], place) < nearest_m:
            nearest, nearest_m = nearest_of_run(edges, lists[row(item)], place, spot, nearest, nearest_m)
    return nearest, arc_m(nearest_m)


@piece
def nearest_of_run(edges, run, place, spot, nearest, nearest_m):
    """The nearest edge so far and its chord, after one more run. place: Earth-centred m; spot: the same in units, with its metric."""
    x, y, z = place
    first, length = edges.runs[row(run), RUN_FIRST], edges.runs[row(run), RUN_LENGTH]
    near_m = math.sqrt(run_distance_2(edges.corners, first, length, spot[0], spot[1], spot[2]))
    if near_m < NEAR_M and near_m - doubt_m(near_m) > nearest_m:
        return nearest, nearest_m
    for edge in range(first, first + length):
        chord_m = exact_chord_m(edges.corners, edge, x, y, z, nearest_m)
        if chord_m < nearest_m:
            nearest, nearest_m = np.int64(edge), chord_m
    return nearest, nearest_m


@piece
def nearest_of_all(edges, place, spot, limit_m):
    """The nearest of all edges, by the balls: down into each that can hold it, on to the next beside it, and up where there is none.
    The run to which the balls with the nearest middles lead comes first, and leaves little to look at."""
    balls, frame = edges.balls, edges.frame
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
    nearest, nearest_m = nearest_of_run(edges, k, place, spot, np.int64(-1), math.inf)
    level, k = top, np.int64(0)
    while True:
        if ball_gap_m(balls, frame[LEVELS + level] + k, place) < min(nearest_m, limit_m):
            if level > 0:
                level, k = level - 1, k << 4
                continue
            nearest, nearest_m = nearest_of_run(edges, k, place, spot, nearest, nearest_m)
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
def set_edges_verdict(entry, inside, lists, edges, lon_deg, lat_deg, radius_m, widen_m):
    """The verdict by the edges that can be nearest: near, and exact where a threshold is too near for that."""
    lon, lat = units_of(lon_deg), units_of(lat_deg)
    at = entry & INDEX_MASK
    reach_m = radius_m + widen_m
    if at != NO_LIST and reach_m < 0.9 * NEAR_M:
        distance_m = list_distance_m(lists, at, edges, lon, lat, lat_deg, reach_m + 2.0 * doubt_m(reach_m))
        if distance_m < NEAR_M:
            near_m = distance_m if inside else -distance_m
            doubt = doubt_m(distance_m)
            answer = settled(near_m - doubt, near_m + doubt, radius_m - widen_m, -radius_m - widen_m)
            if answer != UNSETTLED:
                return answer
    _, distance_m = exact_nearest(entry, lists, edges, lon_deg, lat_deg)
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
def side_at(cells, edges, tile, k):
    """Whether a position of a tile lies in the union, when its leaf is known."""
    if tile[TAG, row(k)] != BOUNDARY_LEAF:
        return tile[TAG, row(k)] == IN_LEAF
    walk, bits = cells.nodes[row(tile[AT, row(k)])], tile[BITS, row(k)] + 2
    return is_inside(walk, cells.lists, edges, bits, tile[X, row(k)], tile[Y, row(k)])


@kernel
def set_verdicts(cells, edges, lon_deg, lat_deg, radius_m, widen_m, answers, tile):
    """Verdicts of n positions on the union, taken wider by `widen_m`: int8 (n,), written.

    lon_deg, lat_deg, radius_m > 0: float64 (n,). tile: int64 (7, TILE), scratch. Returns a sum of no use (`touch_chains`).
    """
    touched = np.int64(0)
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(cells.nodes, edges.frame, lon_deg, lat_deg, begin, end, tile)
        for k in range(end - begin):
            tile[ENTRY, row(k)] = entry_at(cells, tile, k)
        asked = np.int64(0)
        for k in range(end - begin):
            radius = radius_m[row(begin + k)]
            answer = entry_verdict(tile[ENTRY, row(k)], radius - widen_m, -radius - widen_m)
            answers[row(begin + k)] = answer
            tile[LEFT, row(asked)] = k
            asked += np.int64(answer == UNSETTLED)
        touched += touch_chains(cells.nodes, cells.lists, edges.corners, tile, asked)
        touched += touch_runs(cells.lists, edges.runs, tile, asked)
        for j in range(asked):
            k = tile[LEFT, row(j)]
            i = begin + k
            inside = side_at(cells, edges, tile, k)
            answers[row(i)] = set_edges_verdict(
                tile[ENTRY, row(k)], inside, cells.lists, edges, lon_deg[row(i)], lat_deg[row(i)], radius_m[row(i)], widen_m,
            )  # fmt: skip
    return touched


@kernel
def set_contains(cells, edges, lon_deg, lat_deg, inside, tile):
    """In or out of the union as drawn, of n positions: bool (n,), written. Scratch, and what is returned, as `set_verdicts` has
    it."""
    touched = np.int64(0)
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(cells.nodes, edges.frame, lon_deg, lat_deg, begin, end, tile)
        asked = np.int64(0)
        for k in range(end - begin):
            tag = tile[TAG, row(k)]
            inside[row(begin + k)] = tag == IN_LEAF
            tile[LEFT, row(asked)] = k
            asked += np.int64(tag == BOUNDARY_LEAF)
        touched += touch_chains(cells.nodes, cells.lists, edges.corners, tile, asked)
        for j in range(asked):
            k = tile[LEFT, row(j)]
            inside[row(begin + k)] = side_at(cells, edges, tile, k)
    return touched


@kernel
def set_margins(cells, edges, lon_deg, lat_deg, margins_m, nearest, tile):
    """Exact margins of n positions on the union as drawn, positive inside: float64 (n,), and the edges that are nearest:
    int64 (n,), written. Scratch as `set_verdicts` has it."""
    for begin in range(0, lon_deg.shape[0], TILE):
        end = min(begin + TILE, lon_deg.shape[0])
        find_leaves(cells.nodes, edges.frame, lon_deg, lat_deg, begin, end, tile)
        for k in range(end - begin):
            i = begin + k
            entry = entry_at(cells, tile, k)
            edge, distance_m = exact_nearest(entry, cells.lists, edges, lon_deg[row(i)], lat_deg[row(i)])
            margins_m[row(i)] = distance_m if side_at(cells, edges, tile, k) else -distance_m
            nearest[row(i)] = edge
