"""Compiled kernels: verdicts and margins of positions on zones of their wearer's own.

The idea. The verdict asks whether the margin m reaches a threshold above or lies under one below. Each step narrows an
interval in which m must lie, and stops when both thresholds are outside it:

    box       of the zone, grown by the reach            most zones end here, on 16 bytes
    raster    8 × 8 cells over the box, each with the least distance from its places to the boundary
    near      all edges, in metres per unit of the place: m to within `doubt_m`
    exact     Earth-centred metres: m itself

so the verdict is that of the exact margin, whichever step gave it. Layout (made by `zones.packed`), all int32:

    boxes (zones, 8)   west, south, width, height (units); where its shape begins; by how much it is widened (mm);
                       cells per unit × 2^32, to the east and to the north
    shapes (n,)        for each: number of rings (0: a circle), centimetres per step of the raster, and how much deeper than
                       its least distance a cell can be (cm), number of corners; 16 words of raster; the end of each ring;
                       the corners, longitude and latitude in turn, rings closed.
                       A circle: 0, radius (mm), 0, 1; its centre.

A shape lies in one piece because one position touches all of it or nothing.
"""

import math

import numpy as np

from geofence.compiled import kernel
from geofence.kernels import (
    DEG_PER_UNIT,
    NEAR_M,
    TURN_MASK,
    UNITS_PER_DEG,
    arc_m,
    crosses,
    doubt_m,
    earth_centred,
    edge_distance_2,
    exact_crosses,
    exact_edge_distance_m,
    metric_at,
    units_of,
    wrapped,
)

WEST, SOUTH, WIDTH, HEIGHT, SHAPE, WIDEN_MM, CELLS_EAST, CELLS_NORTH = range(8)
RINGS, STEP_CM, SPREAD_CM, CORNERS, RASTER = range(5)
RING_ENDS = RASTER + 16
DISC_MM = STEP_CM
DISC_CENTRE = RASTER
CELLS = 8
OUTSIDE, UNKNOWN, INSIDE = -1, 0, 1
UNSETTLED = 2


# ---------------------------------------------------------------------------------------------- policy of thresholds


@kernel
def settled(least_m, most_m, inside_m, outside_m):
    """The verdict if any margin in [least, most] gives the same one, else UNSETTLED. INSIDE from `inside_m` up, OUTSIDE
    from `outside_m` down (RULES.md section 3)."""
    if least_m >= inside_m:
        return INSIDE
    if most_m <= outside_m:
        return OUTSIDE
    if least_m > outside_m and most_m < inside_m:
        return UNKNOWN
    return UNSETTLED


# ---------------------------------------------------------------------------------------------- steps


@kernel
def corners_at(shapes, shape):
    """Where the corners of an area begin in `shapes`."""
    return shape + RING_ENDS + shapes[shape + RINGS]


@kernel
def raster_cell(boxes, zone, dx, dy):
    """The cell of the raster in which a place of the box lies; dx, dy in units from its west and south."""
    east = (dx * boxes[zone, CELLS_EAST]) >> 32
    north = (dy * boxes[zone, CELLS_NORTH]) >> 32
    return north * CELLS + east


@kernel
def raster_value(shapes, shape, cell):
    """The signed byte of a cell: steps of least distance to the boundary, negative outside, 0 on it."""
    byte = (shapes[shape + RASTER + (cell >> 2)] >> ((cell & 3) << 3)) & 255
    return byte - ((byte & 128) << 1)


@kernel
def side_of(shapes, shape, lon, lat):
    """Whether a place (units, int64) lies in an area, by the parity of its crossings; exact."""
    at = corners_at(shapes, shape)
    odd = False
    begin = at
    for ring in range(shapes[shape + RINGS]):
        end = at + 2 * shapes[shape + RING_ENDS + ring]
        ax, ay = wrapped(shapes[begin] - lon), np.int64(shapes[begin + 1]) - lat
        for i in range(begin + 2, end, 2):
            bx, by = wrapped(shapes[i] - lon), np.int64(shapes[i + 1]) - lat
            odd ^= crosses(ax, ay, bx, by)
            ax, ay = bx, by
        begin = end
    return odd


@kernel
def near_margin_m(shapes, shape, lon, lat, east, north, change):
    """The margin of a place (units) on a shape to within `doubt_m`, up to NEAR_M."""
    if shapes[shape + RINGS] == 0:
        dx, dy = wrapped(shapes[shape + DISC_CENTRE] - lon), np.int64(shapes[shape + DISC_CENTRE + 1]) - lat
        return shapes[shape + DISC_MM] * 1e-3 - math.sqrt(edge_distance_2(dx, dy, dx, dy, east, north, change))
    at = corners_at(shapes, shape)
    nearest_2 = math.inf
    odd = False
    begin = at
    for ring in range(shapes[shape + RINGS]):
        end = at + 2 * shapes[shape + RING_ENDS + ring]
        ax, ay = wrapped(shapes[begin] - lon), np.int64(shapes[begin + 1]) - lat
        for i in range(begin + 2, end, 2):
            bx, by = wrapped(shapes[i] - lon), np.int64(shapes[i + 1]) - lat
            odd ^= crosses(ax, ay, bx, by)
            nearest_2 = min(nearest_2, edge_distance_2(ax, ay, bx, by, east, north, change))
            ax, ay = bx, by
        begin = end
    distance_m = math.sqrt(nearest_2)
    return distance_m if odd else -distance_m


@kernel
def exact_margin_m(boxes, zone, shapes, lon_deg, lat_deg):
    """Metres from a position to the boundary of a zone as it is drawn, positive inside; anywhere, at any distance."""
    shape = boxes[zone, SHAPE]
    x, y, z = earth_centred(lon_deg, lat_deg)
    if shapes[shape + RINGS] == 0:
        cx, cy, cz = earth_centred(
            shapes[shape + DISC_CENTRE] * DEG_PER_UNIT, shapes[shape + DISC_CENTRE + 1] * DEG_PER_UNIT
        )
        chord_m = math.sqrt((cx - x) ** 2 + (cy - y) ** 2 + (cz - z) ** 2)
        return shapes[shape + DISC_MM] * 1e-3 - arc_m(chord_m)
    west = np.int64(boxes[zone, WEST])
    lon = (lon_deg * UNITS_PER_DEG - west) % (TURN_MASK + 1.0)
    lat = lat_deg * UNITS_PER_DEG
    within = lon <= (boxes[zone, WIDTH] & TURN_MASK)
    at = corners_at(shapes, shape)
    nearest_m = math.inf
    odd = False
    begin = at
    for ring in range(shapes[shape + RINGS]):
        end = at + 2 * shapes[shape + RING_ENDS + ring]
        for i in range(begin + 2, end, 2):
            a_lon, a_lat = np.int64(shapes[i - 2]), np.int64(shapes[i - 1])
            b_lon, b_lat = np.int64(shapes[i]), np.int64(shapes[i + 1])
            nearest_m = min(nearest_m, exact_edge_distance_m(a_lon, a_lat, b_lon, b_lat, x, y, z, nearest_m))
            if within:
                odd ^= exact_crosses(a_lon, a_lat, b_lon, b_lat, west, lon, lat)
        begin = end
    margin_m = arc_m(nearest_m)
    return margin_m if odd else -margin_m


@kernel
def verdict(boxes, zone, shapes, lon, lat, east, north, change, radius_m, lon_deg, lat_deg):
    """The verdict of one position on one zone; see the idea at the top of this file.

    lon, lat: the position in units (int64). east, north, change: `metric_at` it. radius_m > 0.
    """
    widen_m = boxes[zone, WIDEN_MM] * 1e-3
    reach_m = radius_m + widen_m
    inside_m, outside_m = radius_m - widen_m, -reach_m
    shape = boxes[zone, SHAPE]
    if reach_m < NEAR_M:
        to_south = lat - boxes[zone, SOUTH]
        to_west = wrapped(lon - boxes[zone, WEST]) & TURN_MASK
        # A box a little too large costs a look at the raster: 2 % cover the change of the metric up to NEAR_M.
        grow_east = np.int64(reach_m * 1.02 / east) + 16
        grow_north = np.int64(reach_m * 1.02 / north) + 16
        width, height = boxes[zone, WIDTH] & TURN_MASK, np.int64(boxes[zone, HEIGHT])
        if to_south < -grow_north or to_south > height + grow_north:
            return OUTSIDE
        if ((to_west + grow_east) & TURN_MASK) > width + 2 * grow_east:
            return OUTSIDE
        if shapes[shape + RINGS] > 0 and to_west <= width and 0 <= to_south <= height:
            value = raster_value(shapes, shape, raster_cell(boxes, zone, to_west, to_south))
            step_m, spread_m = shapes[shape + STEP_CM] * 0.01, shapes[shape + SPREAD_CM] * 0.01
            least_m = abs(value) * step_m
            if value > 0:
                answer = settled(least_m, least_m + spread_m, inside_m, outside_m)
            elif value < 0:
                answer = settled(-least_m - spread_m, -least_m, inside_m, outside_m)
            else:
                answer = settled(-spread_m, spread_m, inside_m, outside_m)
            if answer != UNSETTLED:
                return answer
        near_m = near_margin_m(shapes, shape, lon, lat, east, north, change)
        measured_m = abs(near_m)
        if shapes[shape + RINGS] == 0:  # what was measured is the distance to the centre
            measured_m += shapes[shape + DISC_MM] * 1e-3
        if measured_m < NEAR_M:
            doubt = doubt_m(measured_m)
            answer = settled(near_m - doubt, near_m + doubt, inside_m, outside_m)
            if answer != UNSETTLED:
                return answer
    margin_m = exact_margin_m(boxes, zone, shapes, lon_deg, lat_deg)
    return settled(margin_m, margin_m, inside_m, outside_m)


@kernel
def holds(boxes, zone, shapes, lon, lat):
    """Whether a place (units) lies in a zone as it is drawn: no radius, no widening."""
    to_south = lat - boxes[zone, SOUTH]
    to_west = wrapped(lon - boxes[zone, WEST]) & TURN_MASK
    if to_south < 0 or to_south > boxes[zone, HEIGHT] or to_west > (boxes[zone, WIDTH] & TURN_MASK):
        return False
    shape = boxes[zone, SHAPE]
    if shapes[shape + RINGS] == 0:
        east, north, change = metric_at(lat)
        return near_margin_m(shapes, shape, lon, lat, east, north, change) >= 0.0
    value = raster_value(shapes, shape, raster_cell(boxes, zone, to_west, to_south))
    if value != 0:
        return value > 0
    return side_of(shapes, shape, lon, lat)


# ---------------------------------------------------------------------------------------------- batches


@kernel
def verdicts_of(boxes, shapes, first, wearer, lon_deg, lat_deg, radius_m, inside, unknown):
    """Verdicts of n positions on the zones of their wearers, as two bit masks a position (bit k: k-th zone; at most 64).

    first: int64 (wearers + 1,), first zone of each wearer. wearer: int32 (n,). lon_deg, lat_deg, radius_m: float64 (n,).
    inside, unknown: uint64 (n,), written. Needs no order and no state: any thread, any part of the positions.
    """
    for i in range(lon_deg.shape[0]):
        lon, lat = units_of(lon_deg[i]), units_of(lat_deg[i])
        east, north, change = metric_at(lat)
        in_mask, unknown_mask = np.uint64(0), np.uint64(0)
        bit = np.uint64(1)
        for zone in range(first[wearer[i]], first[wearer[i] + 1]):
            answer = verdict(boxes, zone, shapes, lon, lat, east, north, change, radius_m[i], lon_deg[i], lat_deg[i])
            if answer == INSIDE:
                in_mask |= bit
            elif answer == UNKNOWN:
                unknown_mask |= bit
            bit <<= np.uint64(1)
        inside[i] = in_mask
        unknown[i] = unknown_mask


@kernel
def contains_of(boxes, shapes, first, wearer, lon_deg, lat_deg, inside):
    """In or out as drawn, of n positions on the zones of their wearers: bit masks as `verdicts_of` has them."""
    for i in range(lon_deg.shape[0]):
        lon, lat = units_of(lon_deg[i]), units_of(lat_deg[i])
        mask = np.uint64(0)
        bit = np.uint64(1)
        for zone in range(first[wearer[i]], first[wearer[i] + 1]):
            if holds(boxes, zone, shapes, lon, lat):
                mask |= bit
            bit <<= np.uint64(1)
        inside[i] = mask


@kernel
def verdicts_on_all(boxes, shapes, lon_deg, lat_deg, radius_m, answers):
    """Verdicts of n positions on every zone: int8 (n, zones), written. radius_m: float64 (n,)."""
    for i in range(lon_deg.shape[0]):
        lon, lat = units_of(lon_deg[i]), units_of(lat_deg[i])
        east, north, change = metric_at(lat)
        for zone in range(boxes.shape[0]):
            answers[i, zone] = verdict(
                boxes, zone, shapes, lon, lat, east, north, change, radius_m[i], lon_deg[i], lat_deg[i]
            )


@kernel
def margins_of(boxes, shapes, lon_deg, lat_deg, margins_m):
    """Exact margins of n positions on every zone as drawn: float64 (n, zones), written."""
    for i in range(lon_deg.shape[0]):
        for zone in range(boxes.shape[0]):
            margins_m[i, zone] = exact_margin_m(boxes, zone, shapes, lon_deg[i], lat_deg[i])


# ---------------------------------------------------------------------------------------------- building


@kernel
def cell_begin(cell, cells_per_unit):
    """The first unit of a cell (see `raster_cell`): the least d with (d × cells_per_unit) >> 32 = cell."""
    return ((cell << 32) + cells_per_unit - 1) // cells_per_unit


@kernel
def fill_raster(boxes, zone, shapes, least_m):
    """Write the raster of an area, from the near margin at the middle of each cell. least_m: float64 (64,), scratch.

    No place of a cell is further from its middle than half its diagonal, taken where a unit is widest.
    """
    shape = boxes[zone, SHAPE]
    west, south = np.int64(boxes[zone, WEST]), np.int64(boxes[zone, SOUTH])
    lowest = max(0, south, -(south + boxes[zone, HEIGHT]))
    widest, north, _ = metric_at(lowest)
    deepest_m, longest_m = 0.0, 0.0
    for cell in range(CELLS * CELLS):
        x0 = cell_begin(cell % CELLS, boxes[zone, CELLS_EAST])
        x1 = cell_begin(cell % CELLS + 1, boxes[zone, CELLS_EAST])
        y0 = cell_begin(cell // CELLS, boxes[zone, CELLS_NORTH])
        y1 = cell_begin(cell // CELLS + 1, boxes[zone, CELLS_NORTH])
        half_m = 0.5 * math.hypot((x1 - x0 + 1) * widest, (y1 - y0 + 1) * north * 1.01)
        lon, lat = wrapped(west + ((x0 + x1) >> 1)), south + ((y0 + y1) >> 1)
        east, per_north, change = metric_at(lat)
        margin_m = near_margin_m(shapes, shape, lon, lat, east, per_north, change)
        slack_m = half_m + 2.0 * doubt_m(abs(margin_m) + half_m)
        within_reach = abs(margin_m) + half_m < NEAR_M
        least = max(0.0, abs(margin_m) - slack_m) if within_reach else 0.0
        least_m[cell] = least if margin_m > 0.0 else -least
        deepest_m = max(deepest_m, least)
        longest_m = max(longest_m, 2.0 * slack_m if within_reach else 1e7)
    step_cm = max(1, math.ceil(deepest_m * 100.0 / 127.0))
    shapes[shape + STEP_CM] = step_cm
    shapes[shape + SPREAD_CM] = min(2**31 - 1, math.ceil(longest_m * 100.0) + step_cm)
    for word in range(16):
        packed = np.int64(0)
        for byte in range(4):
            signed_m = least_m[4 * word + byte]
            steps = math.floor(abs(signed_m) * 100.0 / step_cm)
            packed |= ((steps if signed_m > 0.0 else -steps) & 255) << (8 * byte)
        shapes[shape + RASTER + word] = wrapped(packed)


@kernel
def fill_rasters(boxes, shapes):
    """Write the rasters of all areas of a pack."""
    least_m = np.empty(CELLS * CELLS, np.float64)
    for zone in range(boxes.shape[0]):
        if shapes[boxes[zone, SHAPE] + RINGS] > 0:
            fill_raster(boxes, zone, shapes, least_m)
