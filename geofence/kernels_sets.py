"""Compiled kernels: verdicts and margins of positions on a shared zone set.

The idea. The plane is cut into cells: a coarse grid, whose cells are cut in 4 × 4 again and again where the boundary is near.
Each cell that is not cut (a *leaf*) knows whether it lies outside or inside the union, or has boundary in it; between which
distances from the boundary its places lie; and every piece of boundary that can be nearest to any of its places. So one look-up
settles most positions, a few edges the rest, and the answer is exact for any radius.

    entry   8 bytes: what a cell knows. Least and most distance (quarters of a metre, 65535: that or more); is it a node, outside,
            inside, or boundary; the parity of its south-west corner; which node, or where its list begins
    root    int64 (2^root_bits squared,), entries of the grid, row by row
    nodes   int64 (16 × nodes,), entries of the 4 × 4 cells of each node, row by row
    lists   int32 (n,), for each: how many chunks, and which
    chunks  int32 (chunks, 8): west, south, east, north of a chunk from the origin of the set; its first corner, how many edges
    corners int32 (n, 2): longitude and latitude in units. A chunk is a run of at most 8 edges of one ring
    balls   float32 (chunks, 4): a ball that holds a chunk, Earth-centred m: for places far from everything
    frame   int64 (4,): origin longitude and latitude (units); log2 of the side of a cell of the grid, and of cells a row

Inside or outside, where boundary is in the cell, is told by a walk from the cell's corner (whose side was told so when the cell
was made) to the place: north along the cell's edge, then east. Each crossing on it is another side. Whatever crosses it crosses
the cell, and so is on its list.

The four steps of `kernels_zones.py` are the same here: cell, near, exact; and so is the promise that a verdict is the verdict
of the exact margin.
"""

import math

import numpy as np

from geofence.compiled import kernel
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
from geofence.kernels_zones import HEIGHT as BOX_HEIGHT
from geofence.kernels_zones import SOUTH as BOX_SOUTH
from geofence.kernels_zones import TILE, UNSETTLED, exact_margin_m, settled
from geofence.kernels_zones import WEST as BOX_WEST
from geofence.kernels_zones import WIDTH as BOX_WIDTH

ORIGIN_LON, ORIGIN_LAT, CELL_BITS, ROOT_BITS = range(4)
WEST, SOUTH, EAST, NORTH, FIRST, EDGES = range(6)
NODE, OUT_LEAF, IN_LEAF, BOUNDARY_LEAF = range(4)
INDEX_MASK = (1 << 29) - 1
NO_LIST = INDEX_MASK
QUARTERS = 0xFFFF
PAD_M = 5_000.0
"""How much wider than everything in it the frame of a set is at least."""
OUTSIDE_OF_FRAME = np.int64((OUT_LEAF << 30) | NO_LIST | (int(PAD_M * 4) << 32) | (-1 << 48))
MOST_FAR_CHUNKS = 64
"""Cells without boundary that more chunks could be nearest to keep no list: all are looked at."""
FAR_HALF_M = 2_000.0
"""Cells with a longer half diagonal are measured by the least and greatest metric of the set, and never become leaves near it."""

# ---------------------------------------------------------------------------------------------- entries


@kernel
def entry_of(tag, parity, index, least_m, most_m):
    """An entry; distances are rounded outward."""
    least = min(QUARTERS, np.int64(math.floor(least_m * 4.0)))
    most = min(QUARTERS, np.int64(math.ceil(min(most_m, 1e6) * 4.0)))
    return np.int64(index) | (np.int64(parity) << 29) | (np.int64(tag) << 30) | (least << 32) | (most << 48)


@kernel
def tag_of(entry):
    return (entry >> 30) & 3


@kernel
def entry_at(root, nodes, frame, x, y):
    """The entry of the leaf in which a place lies; x, y in units from the origin of the set."""
    shift = frame[CELL_BITS]
    side = np.int64(1) << frame[ROOT_BITS]
    if ((x >> shift) >= side) | (y < 0) | ((y >> shift) >= side):
        return OUTSIDE_OF_FRAME
    entry = root[row(((y >> shift) << frame[ROOT_BITS]) + (x >> shift))]
    while tag_of(entry) == NODE:
        shift -= 2
        entry = nodes[row(((entry & INDEX_MASK) << 4) + (((y >> shift) & 3) << 2) + ((x >> shift) & 3))]
    return entry


@kernel
def leaf_bits(root, nodes, frame, x, y):
    """log2 of the side of the leaf in which a place of the frame lies."""
    shift = frame[CELL_BITS]
    entry = root[row(((y >> shift) << frame[ROOT_BITS]) + (x >> shift))]
    while tag_of(entry) == NODE:
        shift -= 2
        entry = nodes[row(((entry & INDEX_MASK) << 4) + (((y >> shift) & 3) << 2) + ((x >> shift) & 3))]
    return shift


@kernel
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


@kernel
def walk_crosses(corners, begin, edges, x0, y0, lon, lat):
    """Whether the walk from (x0, y0) north to the latitude of a place and then east or west to it crosses a chunk oddly often. All in
    units (int64)."""
    odd = np.int64(0)
    ax, ay = wrapped(corners[row(begin), 0] - lon), corners[row(begin), 1] - lat
    dx, dy = wrapped(x0 - lon), y0 - lat
    for i in range(begin + 1, begin + edges + 1):
        bx, by = wrapped(corners[row(i), 0] - lon), corners[row(i), 1] - lat
        if (ay ^ by) < 0:
            odd ^= crossing(ax, ay, bx, by) ^ crossing(ax - dx, ay, bx - dx, by)
        if ((ax - dx) ^ (bx - dx)) < 0:
            odd ^= crossing_north(ax - dx, ay, bx - dx, by) ^ crossing_north(ax - dx, ay - dy, bx - dx, by - dy)
        ax, ay = bx, by
    return odd < 0


@kernel
def chunk_distance_2(corners, begin, edges, lon, lat, east, north, change):
    """Squared metres from a place to a chunk, near."""
    nearest_2 = math.inf
    ax, ay = wrapped(corners[row(begin), 0] - lon), corners[row(begin), 1] - lat
    for i in range(begin + 1, begin + edges + 1):
        bx, by = wrapped(corners[row(i), 0] - lon), corners[row(i), 1] - lat
        nearest_2 = min(nearest_2, edge_distance_2(ax, ay, bx, by, east, north, change))
        ax, ay = bx, by
    return nearest_2


@kernel
def box_distance_2(chunks, chunk, x, y, width, height, east, north):
    """Squared metres between the box of a chunk and another box (its south-west corner in units from the origin, and its
    size), no more than the truth if `east` is metres per unit where it is least."""
    dx = max(0, chunks[row(chunk), WEST] - x - width, x - chunks[row(chunk), EAST]) * east
    dy = max(0, chunks[row(chunk), SOUTH] - y - height, y - chunks[row(chunk), NORTH]) * north
    return dx * dx + dy * dy


@kernel
def list_side(lists, at, chunks, corners, x0, y0, lon, lat, corner_is_in):
    """Whether a place lies in the union, by the walk from the corner of its cell."""
    odd = corner_is_in
    for item in range(at + 1, at + 1 + lists[row(at)]):
        chunk = lists[row(item)]
        odd ^= walk_crosses(corners, chunks[row(chunk), FIRST], chunks[row(chunk), EDGES], x0, y0, lon, lat)
    return odd


@kernel
def list_distance_m(lists, at, chunks, corners, lon, lat, x, y, lat_deg):
    """Metres from a place to the nearest edge on a list, near. x, y: units from the origin."""
    east, north, change = metric_at(lat_deg)
    nearest_2 = math.inf
    for item in range(at + 1, at + 1 + lists[row(at)]):
        chunk = lists[row(item)]
        # The box is measured a little short, for the metric further off; a chunk is left out only if it is surely farther.
        if box_distance_2(chunks, chunk, x, y, 0, 0, east * 0.98, north * 0.98) < nearest_2:
            first, edges = chunks[row(chunk), FIRST], chunks[row(chunk), EDGES]
            nearest_2 = min(nearest_2, chunk_distance_2(corners, first, edges, lon, lat, east, north, change))
    return math.sqrt(nearest_2)


@kernel
def exact_chunk_chord_m(corners, begin, edges, x, y, z, limit_m):
    """Straight-line metres from (x, y, z) to a chunk; beyond `limit_m` as `exact_edge_distance_m` has it."""
    for i in range(begin, begin + edges):
        a_lon, a_lat = np.int64(corners[row(i), 0]), np.int64(corners[row(i), 1])
        b_lon, b_lat = np.int64(corners[row(i + 1), 0]), np.int64(corners[row(i + 1), 1])
        limit_m = min(limit_m, exact_edge_distance_m(a_lon, a_lat, b_lon, b_lat, x, y, z, limit_m))
    return limit_m


@kernel
def exact_distance_m(lists, at, chunks, corners, balls, lon_deg, lat_deg):
    """Metres from a position to the nearest edge: of its list, or where there is none (`at` NO_LIST) of all."""
    x, y, z = earth_centred(lon_deg, lat_deg)
    nearest_m = math.inf
    if at != NO_LIST:
        for item in range(at + 1, at + 1 + lists[row(at)]):
            chunk = lists[row(item)]
            first, edges = chunks[row(chunk), FIRST], chunks[row(chunk), EDGES]
            nearest_m = min(nearest_m, exact_chunk_chord_m(corners, first, edges, x, y, z, nearest_m))
        return arc_m(nearest_m)
    closest, closest_m = np.int64(0), math.inf
    for chunk in range(chunks.shape[0]):
        middle_m = math.sqrt((balls[chunk, 0] - x) ** 2 + (balls[chunk, 1] - y) ** 2 + (balls[chunk, 2] - z) ** 2)
        if middle_m < closest_m:
            closest, closest_m = np.int64(chunk), middle_m
    nearest_m = exact_chunk_chord_m(corners, chunks[closest, FIRST], chunks[closest, EDGES], x, y, z, nearest_m)
    for chunk in range(chunks.shape[0]):
        middle_m = math.sqrt((balls[chunk, 0] - x) ** 2 + (balls[chunk, 1] - y) ** 2 + (balls[chunk, 2] - z) ** 2)
        if middle_m - balls[chunk, 3] < nearest_m:
            first, edges = chunks[chunk, FIRST], chunks[chunk, EDGES]
            nearest_m = min(nearest_m, exact_chunk_chord_m(corners, first, edges, x, y, z, nearest_m))
    return arc_m(nearest_m)


@kernel
def is_inside(entry, lists, chunks, corners, frame, bits, lon, lat, x, y):
    """Whether a place lies in the union. bits: log2 of the side of its leaf."""
    tag = tag_of(entry)
    if tag != BOUNDARY_LEAF:
        return tag == IN_LEAF
    x0, y0 = ((x >> bits) << bits) + frame[ORIGIN_LON], ((y >> bits) << bits) + frame[ORIGIN_LAT]
    corner_is_in = ((entry >> 29) & 1) == 1
    return list_side(lists, entry & INDEX_MASK, chunks, corners, x0, y0, lon, lat, corner_is_in)


@kernel
def edges_verdict(entry, bits, lists, chunks, corners, balls, frame, lon, lat, lon_deg, lat_deg, inside_m, outside_m):
    """The verdict by the edges that can be nearest: near, and exact where a threshold is too near for that."""
    x, y = (lon - frame[ORIGIN_LON]) & TURN_MASK, lat - frame[ORIGIN_LAT]
    at = entry & INDEX_MASK
    inside = is_inside(entry, lists, chunks, corners, frame, bits, lon, lat, x, y)
    if at != NO_LIST:
        distance_m = list_distance_m(lists, at, chunks, corners, lon, lat, x, y, lat_deg)
        if distance_m < NEAR_M:
            near_m = distance_m if inside else -distance_m
            doubt = doubt_m(distance_m)
            answer = settled(near_m - doubt, near_m + doubt, inside_m, outside_m)
            if answer != UNSETTLED:
                return answer
    distance_m = exact_distance_m(lists, at, chunks, corners, balls, lon_deg, lat_deg)
    margin_m = distance_m if inside else -distance_m
    return settled(margin_m, margin_m, inside_m, outside_m)


# ---------------------------------------------------------------------------------------------- batches


@kernel
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
    deeper = True
    while deeper:
        deeper = False
        for i in range(begin, end):
            entry = entries[row(i - begin)]
            if tag_of(entry) == NODE:
                shift = bits[row(i - begin)] - 2
                x = (units_of(lon_deg[row(i)]) - frame[ORIGIN_LON]) & TURN_MASK
                y = units_of(lat_deg[row(i)]) - frame[ORIGIN_LAT]
                child = ((entry & INDEX_MASK) << 4) + (((y >> shift) & 3) << 2) + ((x >> shift) & 3)
                entries[row(i - begin)] = nodes[row(child)]
                bits[row(i - begin)] = shift
                deeper = True


@kernel
def set_verdicts(
    root,
    nodes,
    lists,
    chunks,
    corners,
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

    lon_deg, lat_deg, radius_m > 0: float64 (n,). entries, bits, left: int64 (TILE,), scratch.
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
        for k in range(asked):
            i = left[row(k)]
            at = row(i - begin)
            answers[row(i)] = edges_verdict(
                entries[at], bits[at], lists, chunks, corners, balls, frame,
                units_of(lon_deg[row(i)]), units_of(lat_deg[row(i)]), lon_deg[row(i)], lat_deg[row(i)],
                radius_m[row(i)] - widen_m, -radius_m[row(i)] - widen_m,
            )  # fmt: skip


@kernel
def set_contains(root, nodes, lists, chunks, corners, frame, lon_deg, lat_deg, inside, entries, bits, left):
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
        for k in range(asked):
            i = left[row(k)]
            lon, lat = units_of(lon_deg[row(i)]), units_of(lat_deg[row(i)])
            x, y = (lon - frame[ORIGIN_LON]) & TURN_MASK, lat - frame[ORIGIN_LAT]
            at = row(i - begin)
            inside[row(i)] = is_inside(entries[at], lists, chunks, corners, frame, bits[at], lon, lat, x, y)


@kernel
def set_margins(root, nodes, lists, chunks, corners, balls, frame, lon_deg, lat_deg, margins_m):
    """Exact margins of n positions on the union as drawn, positive inside: float64 (n,), written."""
    for i in range(lon_deg.shape[0]):
        lon, lat = units_of(lon_deg[i]), units_of(lat_deg[i])
        x, y = (lon - frame[ORIGIN_LON]) & TURN_MASK, lat - frame[ORIGIN_LAT]
        entry = entry_at(root, nodes, frame, x, y)
        bits = np.int64(0)
        if tag_of(entry) == BOUNDARY_LEAF:
            bits = leaf_bits(root, nodes, frame, x, y)
        inside = is_inside(entry, lists, chunks, corners, frame, bits, lon, lat, x, y)
        distance_m = exact_distance_m(lists, entry & INDEX_MASK, chunks, corners, balls, lon_deg[i], lat_deg[i])
        margins_m[i] = distance_m if inside else -distance_m


# ---------------------------------------------------------------------------------------------- building


@kernel
def fill_chunks(chunks, corners, frame, balls):
    """Boxes and balls of chunks whose first corner and number of edges are known."""
    for chunk in range(chunks.shape[0]):
        first, last = np.int64(chunks[chunk, FIRST]), np.int64(chunks[chunk, FIRST] + chunks[chunk, EDGES])
        west, south, east, north = np.int64(2**62), np.int64(2**62), np.int64(-(2**62)), np.int64(-(2**62))
        for i in range(first, last + 1):
            x = (corners[i, 0] - frame[ORIGIN_LON]) & TURN_MASK
            y = corners[i, 1] - frame[ORIGIN_LAT]
            west, east = min(west, x), max(east, x)
            south, north = min(south, y), max(north, y)
        chunks[chunk, WEST], chunks[chunk, EAST] = west, east
        chunks[chunk, SOUTH], chunks[chunk, NORTH] = south, north
        write_ball(
            balls,
            chunk,
            west + frame[ORIGIN_LON],
            south + frame[ORIGIN_LAT],
            east + frame[ORIGIN_LON],
            north + frame[ORIGIN_LAT],
        )


@kernel
def fill_balls(boxes, balls):
    """The balls of the zones of a pack."""
    for zone in range(boxes.shape[0]):
        west, south = np.int64(boxes[zone, BOX_WEST]), np.int64(boxes[zone, BOX_SOUTH])
        write_ball(
            balls, zone, west, south, west + (boxes[zone, BOX_WIDTH] & TURN_MASK), south + boxes[zone, BOX_HEIGHT]
        )


@kernel
def write_ball(balls, index, west, south, east, north):
    """The ball about a box (units): its middle and how far its corners are, or the middles of its sides, which bulge."""
    cx, cy, cz = earth_centred((west + east) * 0.5 * DEG_PER_UNIT, (south + north) * 0.5 * DEG_PER_UNIT)
    most_2 = 0.0
    for k in range(9):
        lon_deg = (west + (east - west) * 0.5 * (k % 3)) * DEG_PER_UNIT
        lat_deg = (south + (north - south) * 0.5 * (k // 3)) * DEG_PER_UNIT
        x, y, z = earth_centred(lon_deg, lat_deg)
        most_2 = max(most_2, (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
    balls[index, 0], balls[index, 1], balls[index, 2] = cx, cy, cz
    balls[index, 3] = math.sqrt(most_2) * 1.05 + 3.0  # between them it bulges little; float32 has a grain of 0.5 m


@kernel
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


@kernel
def chunk_meets_cell(chunks, chunk, corners, frame, x0, y0, size):
    """As `edge_meets_cell`, for the edges of a chunk."""
    if chunks[chunk, WEST] > x0 + size or chunks[chunk, EAST] < x0:
        return False
    if chunks[chunk, SOUTH] > y0 + size or chunks[chunk, NORTH] < y0:
        return False
    first = chunks[chunk, FIRST]
    ax = (corners[first, 0] - frame[ORIGIN_LON]) & TURN_MASK
    ay = corners[first, 1] - frame[ORIGIN_LAT]
    for i in range(first + 1, first + chunks[chunk, EDGES] + 1):
        bx = (corners[i, 0] - frame[ORIGIN_LON]) & TURN_MASK
        by = corners[i, 1] - frame[ORIGIN_LAT]
        if edge_meets_cell(ax, ay, bx, by, x0, y0, size):
            return True
        ax, ay = bx, by
    return False


@kernel
def lowest_latitude_deg(low_deg, high_deg):
    """The latitude between two at which a unit of longitude is widest, at most 85°."""
    if low_deg < 0.0 < high_deg:
        return 0.0
    return min(min(abs(low_deg), abs(high_deg)), 85.0)


@kernel
def middle_distance_m(cell_lists, begin, length, chunks, corners, x, y, lon, lat, metric, least_east, least_north):
    """Metres from the middle of a cell to the nearest edge of a list. x, y: it in units from the origin; lon, lat: in units.
    metric: of the middle (or the greatest); least_east, least_north: so short that no box seems farther than it is."""
    nearest_2 = math.inf
    east, north, change = metric
    for item in range(begin, begin + length):
        chunk = cell_lists[row(item)]
        if box_distance_2(chunks, chunk, x, y, 0, 0, least_east, least_north) < nearest_2:
            first, edges = chunks[row(chunk), FIRST], chunks[row(chunk), EDGES]
            nearest_2 = min(nearest_2, chunk_distance_2(corners, first, edges, lon, lat, east, north, change))
    return math.sqrt(nearest_2)


@kernel
def gather_near(
    cell_lists, begin, length, chunks, corners, frame, x0, y0, size, most_m, least_east, least_north, out, start
):
    """Write to `out` the chunks of a list that may be within `most_m` of a cell: (how many, how many of them meet the cell,
    squared metres to the nearest of all)."""
    near, met = np.int64(0), np.int64(0)
    gap_2 = math.inf
    for item in range(begin, begin + length):
        chunk = cell_lists[row(item)]
        apart_2 = box_distance_2(chunks, chunk, x0, y0, size, size, least_east, least_north)
        gap_2 = min(gap_2, apart_2)
        if apart_2 <= most_m * most_m:
            out[row(start + near)] = chunk
            near += 1
            met += np.int64(apart_2 == 0.0 and chunk_meets_cell(chunks, chunk, corners, frame, x0, y0, size))
    return near, met, gap_2


@kernel
def corner_side(cell_lists, begin, length, chunks, corners, frame, from_x, from_y, x0, y0, is_in):
    """On which side the corner (x0, y0) of a part lies, by the walk from the corner (from_x, from_y) of its cell."""
    lon, lat = wrapped(x0 + frame[ORIGIN_LON]), y0 + frame[ORIGIN_LAT]
    from_lon, from_lat = wrapped(from_x + frame[ORIGIN_LON]), from_y + frame[ORIGIN_LAT]
    for item in range(begin, begin + length):
        chunk = cell_lists[row(item)]
        beside_north = chunks[chunk, SOUTH] <= y0 and chunks[chunk, NORTH] >= from_y
        if beside_north and chunks[chunk, WEST] <= x0 and chunks[chunk, EAST] >= from_x:
            is_in ^= walk_crosses(corners, chunks[chunk, FIRST], chunks[chunk, EDGES], from_lon, from_lat, lon, lat)
    return is_in


@kernel
def must_cut(met, near, least_m, side_m, forced, is_far):
    """Whether a part is cut on: where boundary is in it, until few chunks are; elsewhere, until its list is short or it is small
    beside its distance from the boundary."""
    if met > 0:
        return forced or is_far or met > 2
    if is_far:
        return least_m < NEAR_M / 2.0
    return near > 6 and side_m > 0.7 * least_m


@kernel
def keep_list(lists, used, previous, found, start, near):
    """Where a list is kept: at `previous` if that is the same, else written at `used`."""
    if previous >= 0 and lists[previous] == near:
        same = True
        for item in range(near):
            same &= lists[row(previous + 1 + item)] == found[row(start + item)]
        if same:
            return previous
    lists[used] = near
    for item in range(near):
        lists[row(used + 1 + item)] = found[row(start + item)]
    return used


@kernel
def cut_cells(
    cells,
    cell_lists,
    size,
    forced,
    smallest,
    extremes,
    chunks,
    corners,
    frame,
    found,
    found_lists,
    kept,
    lists,
    counts,
):
    """Cut each cell of a level in 4 × 4, and say of each part what it is.

    cells: int64 (n, 5), x, y (units from the origin), where its list begins in `cell_lists`, how long it is, whether its
    south-west corner is inside. size: side of the parts. forced: cut on whatever has boundary in it. smallest: cut nothing that
    is not larger. extremes: float64 (4,), greatest and least metres per unit anywhere in the set: east, north; east, north.
    found: int64 (16 n,), written: the entries of the parts; of one that is to be cut on, its row among those of its level.
    kept: int64 (m, 5), cells of the next level; found_lists: int32, their lists. lists: int32, the lists of leaves.
    counts: int64 (3,), how much of kept, found_lists and lists is used. Returns the number of cells that were done: fewer
    than n if there may not be room for the next one, which is then to be asked again with more.
    """
    for c in range(cells.shape[0]):
        begin, length = cells[c, 2], cells[c, 3]
        room = 16 * (length + 1)
        if (
            counts[0] + 16 > kept.shape[0]
            or counts[1] + room > found_lists.shape[0]
            or counts[2] + room > lists.shape[0]
        ):
            return c
        previous = np.int64(-1)
        for part in range(16):
            x0, y0 = cells[c, 0] + (part & 3) * size, cells[c, 1] + (part >> 2) * size
            low_deg = (y0 + frame[ORIGIN_LAT]) * DEG_PER_UNIT
            high_deg = (y0 + size + frame[ORIGIN_LAT]) * DEG_PER_UNIT
            widest, per_north, _ = metric_at(lowest_latitude_deg(low_deg, high_deg))
            half_m = 0.5 * size * math.hypot(widest, per_north * 1.01)
            is_far = half_m > FAR_HALF_M
            middle = size // 2
            lon, lat = wrapped(x0 + middle + frame[ORIGIN_LON]), y0 + middle + frame[ORIGIN_LAT]
            metric = metric_at(min(89.0, max(-89.0, lat * DEG_PER_UNIT)))
            least_east, least_north = 0.97 * metric[0], 0.97 * metric[1]
            if is_far:
                metric = extremes[0], extremes[1], 0.0
                least_east, least_north = extremes[2], extremes[3]
            distance_m = middle_distance_m(
                cell_lists, begin, length, chunks, corners, x0 + middle, y0 + middle, lon, lat, metric, least_east, least_north
            )  # fmt: skip
            slack_m = 2.0 * doubt_m(distance_m)
            least_m, most_m = max(0.0, distance_m - half_m - slack_m), distance_m + half_m + slack_m
            start = counts[1]
            near, met, gap_2 = gather_near(
                cell_lists, begin, length, chunks, corners, frame, x0, y0, size, most_m, least_east, least_north,
                found_lists, start,
            )  # fmt: skip
            is_far |= most_m >= NEAR_M
            if is_far:
                least_m, most_m = math.sqrt(gap_2), math.inf
            is_in = corner_side(
                cell_lists, begin, length, chunks, corners, frame, cells[c, 0], cells[c, 1], x0, y0, cells[c, 4] != 0
            )
            if size > smallest and must_cut(met, near, least_m, size * per_north, forced, is_far):
                found[16 * c + part] = counts[0]
                kept[counts[0], 0], kept[counts[0], 1] = x0, y0
                kept[counts[0], 2], kept[counts[0], 3], kept[counts[0], 4] = start, near, np.int64(is_in)
                counts[0] += 1
                counts[1] += near
                continue
            index = np.int64(NO_LIST)
            if met > 0 or (near <= MOST_FAR_CHUNKS and not is_far):
                index = keep_list(lists, counts[2], previous, found_lists, start, near)
                if index == counts[2]:
                    previous = index
                    counts[2] += near + 1
            tag = BOUNDARY_LEAF if met > 0 else (IN_LEAF if is_in else OUT_LEAF)
            found[16 * c + part] = entry_of(tag, is_in, index, least_m, most_m)
    return cells.shape[0]


# ---------------------------------------------------------------------------------------------- members


@kernel
def greatest_margin(boxes, shapes, balls, lon_deg, lat_deg):
    """Which zone of a pack has the greatest margin; of several the first. balls: float32 (zones, 4), each holds a zone."""
    x, y, z = earth_centred(lon_deg, lat_deg)
    best, best_m = np.int64(-1), -math.inf
    closest, closest_m = np.int64(0), math.inf
    for zone in range(boxes.shape[0]):
        apart_m = ball_gap_m(balls, zone, x, y, z)
        if apart_m < closest_m:
            closest, closest_m = np.int64(zone), apart_m
    floor_m = exact_margin_m(boxes, closest, shapes, lon_deg, lat_deg)
    for zone in range(boxes.shape[0]):
        if -ball_gap_m(balls, zone, x, y, z) >= floor_m:
            margin_m = exact_margin_m(boxes, zone, shapes, lon_deg, lat_deg)
            if margin_m > best_m:
                best, best_m = np.int64(zone), margin_m
                floor_m = max(floor_m, margin_m)
    return best


@kernel
def ball_gap_m(balls, zone, x, y, z):
    """Metres from (x, y, z) to a ball; inside it, minus its diameter, which no margin exceeds."""
    middle_m = math.sqrt((balls[zone, 0] - x) ** 2 + (balls[zone, 1] - y) ** 2 + (balls[zone, 2] - z) ** 2)
    return middle_m - balls[zone, 3] if middle_m > balls[zone, 3] else -2.0 * balls[zone, 3]
