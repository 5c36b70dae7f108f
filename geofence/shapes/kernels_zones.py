"""Compiled kernels: verdicts and margins of positions on zones of their wearer's own.

The idea. The verdict asks whether the margin m reaches a threshold above or lies under one below. Each step narrows an
interval in which m must lie, and is the last one when both thresholds are outside it:

    box       of the zone with its widening, grown by the radius: most zones end here, on 16 bytes
    raster    8 × 8 cells over the box, each with the least distance from its places to the boundary
    near      all edges, in metres per unit of the place: m to within `doubt_m`
    exact     Earth-centred metres: m itself

so the verdict is that of the exact margin, whichever step gave it. Layout of `PackedZones` (made by `packing.packed`), int32:

    boxes (zones, 8)   west, south, width, height (units) of the widened zone; where its shape begins; by how much it is
                       widened (mm); cells of the raster per unit × 2^32, to the east and to the north
    shapes (n,)        for each: number of rings (0: a circle), centimetres per step of the raster, how much deeper than its
                       least distance a cell can be (cm), number of corners; 16 words of raster; the end of each ring; the
                       corners, longitude and latitude in turn, rings closed.
                       A circle: 0, radius (mm), how far a place of its box can be from it (cm), its row in `discs`; its centre.
    discs (n, 3)       float64: longitude, latitude (degrees) and radius (m) of circles, for their exact margins

A shape lies in one piece because one position touches all of it or nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import (
    DEG_PER_UNIT,
    NEAR_M,
    TURN_MASK,
    UNITS_PER_DEG,
    arc_m,
    crossing,
    doubt_m,
    earth_centred,
    edge_distance_2,
    exact_crosses,
    exact_edge_distance_m,
    metric_at,
    row,
    units_of,
    wrapped,
)

if TYPE_CHECKING:
    from geofence.shapes.arrays import Float64s, Int32s, Int64s, UInt64s

WEST, SOUTH, WIDTH, HEIGHT, SHAPE, WIDEN_MM, CELLS_EAST, CELLS_NORTH = range(8)
RINGS, STEP_CM, SPREAD_CM, CORNERS, RASTER = range(5)
RING_ENDS = RASTER + 16
DISC_MM = STEP_CM
DISC = CORNERS
DISC_CENTRE = RASTER
CELLS = 8
OUTSIDE, UNKNOWN, INSIDE = -1, 0, 1
UNSETTLED = 2
TILE = 64
"""Positions that are in hand at once."""

BAND_BITS = 22
HALF_BANDS = 1 << (31 - BAND_BITS)
_BAND_DEG = (1 << BAND_BITS) * DEG_PER_UNIT
_metric = getattr(
    metric_at, "py_func", metric_at
)  # a thousand times plain Python is less than one start of the compiled one
UNITS_PER_M_EAST = np.array(
    [1.02 / _metric(min(89.9, (max(band + 1, -band)) * _BAND_DEG))[0] for band in range(-HALF_BANDS, HALF_BANDS)]
)
"""By how many units a box must grow for a metre, by bands of latitude: taken where a unit is narrowest, and 2 % more for the
change of the metric up to NEAR_M. Spares the metric of most positions (a quarter of the time)."""
UNITS_PER_M_NORTH = 1.02 / _metric(0.0)[1]


class PackedZones(NamedTuple):
    """Zones side by side, laid out as above."""

    boxes: Int32s
    shapes: Int32s
    discs: Float64s


class Fixes(NamedTuple):
    """n positions, and whose they are. wearer: int32 (n,); lon_deg, lat_deg: float64 (n,)."""

    wearer: Int32s
    lon_deg: Float64s
    lat_deg: Float64s


class Masks(NamedTuple):
    """Verdicts as bits, uint64 (n, words): bit k of word w is about the (64 w + k)-th zone of the position's wearer. Neither
    bit set: OUTSIDE."""

    inside: UInt64s
    unknown: UInt64s


class Scratch(NamedTuple):
    """What a batch works on. pairs: int64 (TILE × most zones of a wearer + 1,), position << 32 | zone; touched: int64 (2,)."""

    pairs: Int64s
    touched: Int64s


# ---------------------------------------------------------------------------------------------- policy of thresholds


@piece
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


@piece
def corners_at(shapes, shape):
    """Where the corners of an area begin in `shapes`."""
    return shape + RING_ENDS + shapes[shape + RINGS]


@piece
def raster_value(zones, zone, to_west, to_south):
    """The signed byte of the cell of a place in the box: steps of least distance to the boundary, negative outside, 0 on it.
    to_west, to_south: units from the west and the south of the box."""
    cell = (((to_south * zones.boxes[row(zone), CELLS_NORTH]) >> 32) << 3) + (
        (to_west * zones.boxes[row(zone), CELLS_EAST]) >> 32
    )
    byte = (zones.shapes[row(zones.boxes[row(zone), SHAPE] + RASTER + (cell >> 2))] >> ((cell & 3) << 3)) & 255
    return byte - ((byte & 128) << 1)


@piece
def side_of(shapes, shape, lon, lat):
    """Whether a place (units, int64) lies in an area, by the parity of its crossings; exact."""
    at = corners_at(shapes, shape)
    odd = np.int64(0)
    begin = at
    for ring in range(shapes[row(shape + RINGS)]):
        end = at + 2 * shapes[row(shape + RING_ENDS + ring)]
        ax, ay = wrapped(shapes[row(begin)] - lon), shapes[row(begin + 1)] - lat
        for i in range(begin + 2, end, 2):
            bx, by = wrapped(shapes[row(i)] - lon), shapes[row(i + 1)] - lat
            odd ^= crossing(ax, ay, bx, by)
            ax, ay = bx, by
        begin = end
    return odd < 0


@piece
def disc_margin_m(shapes, shape, lon, lat, east, north, change):
    """The margin of a place (units) on a circle, good to within `doubt_m` of the distance to its centre."""
    dx, dy = wrapped(shapes[row(shape + DISC_CENTRE)] - lon), shapes[row(shape + DISC_CENTRE + 1)] - lat
    return shapes[row(shape + DISC_MM)] * 1e-3 - math.sqrt(edge_distance_2(dx, dy, dx, dy, east, north, change))


@piece
def near_margin_m(shapes, shape, lon, lat, east, north, change):
    """The margin of a place (units) on an area, good to within `doubt_m` of it up to NEAR_M."""
    at = corners_at(shapes, shape)
    nearest_2 = math.inf
    odd = np.int64(0)
    begin = at
    for ring in range(shapes[row(shape + RINGS)]):
        end = at + 2 * shapes[row(shape + RING_ENDS + ring)]
        ax, ay = wrapped(shapes[row(begin)] - lon), shapes[row(begin + 1)] - lat
        for i in range(begin + 2, end, 2):
            bx, by = wrapped(shapes[row(i)] - lon), shapes[row(i + 1)] - lat
            odd ^= crossing(ax, ay, bx, by)
            nearest_2 = min(nearest_2, edge_distance_2(ax, ay, bx, by, east, north, change))
            ax, ay = bx, by
        begin = end
    distance_m = math.sqrt(nearest_2)
    return distance_m if odd < 0 else -distance_m


@piece
def exact_margin_m(zones, zone, lon_deg, lat_deg):
    """Metres from a position to the boundary of a zone as it is drawn, positive inside; anywhere, at any distance."""
    shape = zones.boxes[zone, SHAPE]
    x, y, z = earth_centred(lon_deg, lat_deg)
    if zones.shapes[shape + RINGS] == 0:
        disc = zones.shapes[shape + DISC]
        cx, cy, cz = earth_centred(zones.discs[disc, 0], zones.discs[disc, 1])
        chord_m = math.sqrt((cx - x) ** 2 + (cy - y) ** 2 + (cz - z) ** 2)
        return zones.discs[disc, 2] - arc_m(chord_m)
    west = np.int64(zones.boxes[zone, WEST])
    lon = (lon_deg * UNITS_PER_DEG - west) % (TURN_MASK + 1.0)
    lat = lat_deg * UNITS_PER_DEG
    within = lon <= (
        zones.boxes[zone, WIDTH] & TURN_MASK
    )  # else an edge could seem to cross the far side of the Earth
    at = corners_at(zones.shapes, shape)
    nearest_m = math.inf
    odd = False
    begin = at
    for ring in range(zones.shapes[shape + RINGS]):
        end = at + 2 * zones.shapes[shape + RING_ENDS + ring]
        for i in range(begin + 2, end, 2):
            a_lon, a_lat = np.int64(zones.shapes[i - 2]), np.int64(zones.shapes[i - 1])
            b_lon, b_lat = np.int64(zones.shapes[i]), np.int64(zones.shapes[i + 1])
            nearest_m = min(nearest_m, exact_edge_distance_m(a_lon, a_lat, b_lon, b_lat, x, y, z, nearest_m))
            if within:
                odd ^= exact_crosses(a_lon, a_lat, b_lon, b_lat, west, lon, lat)
        begin = end
    margin_m = arc_m(nearest_m)
    return margin_m if odd else -margin_m


@piece
def box_verdict(zones, zone, to_west, to_south, inside_m, outside_m, lat_deg):
    """The verdict as far as the box or its raster can settle it, for a place (units from its west and south)."""
    shape = zones.boxes[row(zone), SHAPE]
    width, height = zones.boxes[row(zone), WIDTH] & TURN_MASK, np.int64(zones.boxes[row(zone), HEIGHT])
    is_disc = zones.shapes[row(shape + RINGS)] == 0
    spread_m = zones.shapes[row(shape + SPREAD_CM)] * 0.01
    step_m = 0.0 if is_disc else zones.shapes[row(shape + STEP_CM)] * 0.01
    if (to_west <= width) & (to_south >= 0) & (to_south <= height):
        if is_disc:
            return UNSETTLED
        value = raster_value(zones, zone, to_west, to_south)
        least_m = abs(value) * step_m
        most_m = least_m + spread_m
        if value > 0:
            return settled(least_m, most_m, inside_m, outside_m)
        return settled(-most_m, -least_m if value < 0 else most_m, inside_m, outside_m)
    # Beside the box: to its nearest place, and from there to the boundary as far as from any place of the box. 2 % and
    # 0.2 m cover the metric, as where the box was grown.
    aside = 0 if to_west <= width else min(to_west - width, TURN_MASK + 1 - to_west)
    over = max(0, -to_south, to_south - height)
    east, north, _ = metric_at(lat_deg)
    gap_m = math.hypot(aside * east, over * north)
    most_m = gap_m * 1.02 + 127.0 * step_m + spread_m + 0.2 if gap_m < NEAR_M else math.inf
    widen_m = -0.5 * (inside_m + outside_m)
    least_m = (
        max(0.0, 0.95 * min(gap_m, NEAR_M) - 0.2) + 0.95 * widen_m
    )  # what was drawn lies deeper in the box by that
    return settled(-most_m, -least_m, inside_m, outside_m)


@piece
def edges_verdict(zones, zone, lon_deg, lat_deg, radius_m):
    """The verdict by all edges: near, and exact where a threshold is too near for that."""
    lon, lat = units_of(lon_deg), units_of(lat_deg)
    shape, widen_m = zones.boxes[row(zone), SHAPE], zones.boxes[row(zone), WIDEN_MM] / 1e3
    if radius_m + widen_m < NEAR_M:
        east, north, change = metric_at(lat_deg)
        if zones.shapes[row(shape + RINGS)] == 0:
            near_m = disc_margin_m(zones.shapes, shape, lon, lat, east, north, change)
            measured_m = zones.shapes[row(shape + DISC_MM)] * 1e-3 - near_m
        else:
            near_m = near_margin_m(zones.shapes, shape, lon, lat, east, north, change)
            measured_m = abs(near_m)
        if measured_m < NEAR_M:
            doubt = doubt_m(measured_m)
            answer = settled(near_m - doubt, near_m + doubt, radius_m - widen_m, -radius_m - widen_m)
            if answer != UNSETTLED:
                return answer
    margin_m = exact_margin_m(zones, zone, lon_deg, lat_deg)
    return settled(margin_m + widen_m, margin_m + widen_m, radius_m, -radius_m)


# ---------------------------------------------------------------------------------------------- batches


@kernel
def verdicts_of(zones, first, fixes, radius_m, masks, scratch):
    """Verdicts of n positions on the zones of their wearers, as bit masks: bit k of word w for their (64 w + k)-th zone.

    first: int64 (wearers + 1,), first zone of each wearer. radius_m: float64 (n,), more than 0. masks: zeros, written. Needs no
    order and no state: any thread, any part of the positions.

    Positions are taken in tiles, and each step takes the pairs of position and zone that the one before left. So the
    processor waits for the memory of many positions at once.
    """
    pairs = scratch.pairs
    for begin in range(0, fixes.lon_deg.shape[0], TILE):
        end = min(begin + TILE, fixes.lon_deg.shape[0])
        scratch.touched[0] = touch_boxes(zones, first, fixes.wearer, begin, end)
        left = 0
        for i in range(begin, end):
            lon, lat = units_of(fixes.lon_deg[row(i)]), units_of(fixes.lat_deg[row(i)])
            grow_east = np.int64(radius_m[row(i)] * UNITS_PER_M_EAST[row((lat >> BAND_BITS) + HALF_BANDS)]) + 16
            grow_north = np.int64(radius_m[row(i)] * UNITS_PER_M_NORTH) + 16
            if radius_m[row(i)] >= NEAR_M:
                grow_east = grow_north = TURN_MASK
            for zone in range(first[row(fixes.wearer[row(i)])], first[row(fixes.wearer[row(i)] + 1)]):
                to_south = lat - zones.boxes[row(zone), SOUTH] + grow_north
                to_west = (lon - zones.boxes[row(zone), WEST] + grow_east) & TURN_MASK
                to_north = zones.boxes[row(zone), HEIGHT] + 2 * grow_north - to_south
                to_east = (zones.boxes[row(zone), WIDTH] & TURN_MASK) + 2 * grow_east - to_west
                if (to_south | to_north | to_east) >= 0:  # one branch on a sign, where three would be guessed wrong
                    pairs[row(left)] = (i << 32) | zone
                    left += 1
        scratch.touched[1] = touch_shapes(zones, pairs, left)
        asked, left = left, 0
        for pair in range(asked):
            i, zone = pairs[row(pair)] >> 32, pairs[row(pair)] & TURN_MASK
            lon, lat = units_of(fixes.lon_deg[row(i)]), units_of(fixes.lat_deg[row(i)])
            widen_m = zones.boxes[row(zone), WIDEN_MM] / 1e3
            answer = box_verdict(
                zones, zone, (lon - zones.boxes[row(zone), WEST]) & TURN_MASK, lat - zones.boxes[row(zone), SOUTH],
                radius_m[row(i)] - widen_m, -radius_m[row(i)] - widen_m, fixes.lat_deg[row(i)],
            )  # fmt: skip
            pairs[row(left)] = pairs[row(pair)]
            left += np.int64(answer == UNSETTLED)
            write(masks, i, zone - first[row(fixes.wearer[row(i)])], answer)
        for pair in range(left):
            i, zone = pairs[row(pair)] >> 32, pairs[row(pair)] & TURN_MASK
            answer = edges_verdict(zones, zone, fixes.lon_deg[row(i)], fixes.lat_deg[row(i)], radius_m[row(i)])
            write(masks, i, zone - first[row(fixes.wearer[row(i)])], answer)


@piece
def touch_boxes(zones, first, wearer, begin, end):
    """Read a word of each line of the boxes that a tile needs, so that they come from memory all at once and not one by one
    (2 times faster in order of arrival). The sum is of no use; it keeps the compiler from leaving this out."""
    total = np.int64(0)
    for i in range(begin, end):
        for zone in range(first[row(wearer[row(i)])], first[row(wearer[row(i)] + 1)], 2):
            total += zones.boxes[row(zone), WEST]
    return total


@piece
def touch_shapes(zones, pairs, count):
    """As `touch_boxes`, for the first lines of the shapes of some pairs."""
    total = np.int64(0)
    for pair in range(count):
        shape = zones.boxes[row(pairs[row(pair)] & TURN_MASK), SHAPE]
        total += zones.shapes[row(shape)] + zones.shapes[row(shape + RASTER)]
    return total


@piece
def write(masks, i, k, answer):
    """Set the bit of zone k in the masks of position i."""
    masks.inside[row(i), row(k >> 6)] |= np.uint64(answer == INSIDE) << np.uint64(k & 63)
    masks.unknown[row(i), row(k >> 6)] |= np.uint64(answer == UNKNOWN) << np.uint64(k & 63)


@kernel
def contains_of(zones, first, fixes, inside, scratch):
    """In or out as drawn, of n positions on the zones of their wearers: no radius, no widening. Arguments and tiles as
    `verdicts_of` has them."""
    pairs = scratch.pairs
    for begin in range(0, fixes.lon_deg.shape[0], TILE):
        end = min(begin + TILE, fixes.lon_deg.shape[0])
        scratch.touched[0] = touch_boxes(zones, first, fixes.wearer, begin, end)
        left = 0
        for i in range(begin, end):
            lon, lat = units_of(fixes.lon_deg[row(i)]), units_of(fixes.lat_deg[row(i)])
            for zone in range(first[row(fixes.wearer[row(i)])], first[row(fixes.wearer[row(i)] + 1)]):
                to_south = lat - zones.boxes[row(zone), SOUTH]
                to_west = (lon - zones.boxes[row(zone), WEST]) & TURN_MASK
                to_north, to_east = (
                    zones.boxes[row(zone), HEIGHT] - to_south,
                    (zones.boxes[row(zone), WIDTH] & TURN_MASK) - to_west,
                )
                if (to_south | to_north | to_east) >= 0:
                    pairs[row(left)] = (i << 32) | zone
                    left += 1
        scratch.touched[1] = touch_shapes(zones, pairs, left)
        asked, left = left, 0
        for pair in range(asked):
            i, zone = pairs[row(pair)] >> 32, pairs[row(pair)] & TURN_MASK
            lon, lat = units_of(fixes.lon_deg[row(i)]), units_of(fixes.lat_deg[row(i)])
            value = np.int64(0)
            if zones.shapes[row(zones.boxes[row(zone), SHAPE] + RINGS)] > 0:
                to_west, to_south = (
                    (lon - zones.boxes[row(zone), WEST]) & TURN_MASK,
                    lat - zones.boxes[row(zone), SOUTH],
                )
                value = raster_value(zones, zone, to_west, to_south)
            pairs[row(left)] = pairs[row(pair)]
            left += np.int64(value == 0)
            k = zone - first[row(fixes.wearer[row(i)])]
            inside[row(i), row(k >> 6)] |= np.uint64(value > 0) << np.uint64(k & 63)
        for pair in range(left):
            i, zone = pairs[row(pair)] >> 32, pairs[row(pair)] & TURN_MASK
            lon, lat = units_of(fixes.lon_deg[row(i)]), units_of(fixes.lat_deg[row(i)])
            k = zone - first[row(fixes.wearer[row(i)])]
            within = holds(zones.shapes, zones.boxes[row(zone), SHAPE], lon, lat, fixes.lat_deg[row(i)])
            inside[row(i), row(k >> 6)] |= np.uint64(within) << np.uint64(k & 63)


@piece
def holds(shapes, shape, lon, lat, lat_deg):
    """Whether a place lies in an area, exact, or in a circle, near."""
    if shapes[row(shape + RINGS)] > 0:
        return side_of(shapes, shape, lon, lat)
    east, north, change = metric_at(lat_deg)
    return disc_margin_m(shapes, shape, lon, lat, east, north, change) >= 0.0


@kernel
def verdicts_on_all(zones, lon_deg, lat_deg, radius_m, answers):
    """Verdicts of n positions on every zone of a pack: int8 (n, zones), written. The same steps one after the other, for few
    positions: there is nothing to wait for at once, and no scratch to be made."""
    for i in range(lon_deg.shape[0]):
        lon, lat = units_of(lon_deg[i]), units_of(lat_deg[i])
        for zone in range(zones.boxes.shape[0]):
            widen_m = zones.boxes[row(zone), WIDEN_MM] / 1e3
            to_west, to_south = (lon - zones.boxes[row(zone), WEST]) & TURN_MASK, lat - zones.boxes[row(zone), SOUTH]
            answer = box_verdict(
                zones, zone, to_west, to_south, radius_m[i] - widen_m, -radius_m[i] - widen_m, lat_deg[i]
            )  # fmt: skip
            if answer == UNSETTLED:
                answer = edges_verdict(zones, zone, lon_deg[i], lat_deg[i], radius_m[i])
            answers[i, zone] = answer


@kernel
def margins_of(zones, lon_deg, lat_deg, margins_m):
    """Exact margins of n positions on every zone as drawn: float64 (n, zones), written."""
    for i in range(lon_deg.shape[0]):
        for zone in range(zones.boxes.shape[0]):
            margins_m[i, zone] = exact_margin_m(zones, zone, lon_deg[i], lat_deg[i])


# ---------------------------------------------------------------------------------------------- building


@kernel
def set_boxes(boxes, west_south, east_north, wider_m):
    """Write the boxes from corner to corner (int64 (zones, 2), units) and so many metres more on each side (float64 (zones,)),
    taken where a unit is narrowest."""
    for zone in range(boxes.shape[0]):
        west, south, east, north = west_south[zone, 0], west_south[zone, 1], east_north[zone, 0], east_north[zone, 1]
        grow_east, grow_north = np.int64(0), np.int64(0)
        if wider_m[zone] > 0.0:
            highest_deg = max(abs(south), abs(north)) * DEG_PER_UNIT + wider_m[zone] / 110_000.0
            per_east, per_north, _ = metric_at(min(highest_deg, 89.9))
            grow_east = np.int64(wider_m[zone] * 1.02 / per_east) + 16
            grow_north = np.int64(wider_m[zone] * 1.02 / per_north) + 16
        width = min(TURN_MASK, east - west + 2 * grow_east)
        height = min(TURN_MASK >> 1, north - south + 2 * grow_north)
        boxes[zone, WEST], boxes[zone, WIDTH] = wrapped(west - grow_east), wrapped(width)
        boxes[zone, SOUTH], boxes[zone, HEIGHT] = max(-(TURN_MASK >> 1), south - grow_north), height
        boxes[zone, CELLS_EAST] = min((CELLS << 32) // (width + 1), TURN_MASK >> 1)
        boxes[zone, CELLS_NORTH] = min((CELLS << 32) // (height + 1), TURN_MASK >> 1)


@piece
def cell_begin(cell, cells_per_unit):
    """The first unit of a cell (see `raster_cell`): the least d with (d × cells_per_unit) >> 32 = cell."""
    return ((cell << 32) + np.int64(cells_per_unit) - 1) // cells_per_unit


@piece
def fill_raster(zones, zone, least_m):
    """Write the raster of an area, from the near margin at the middle of each cell. least_m: float64 (64,), scratch.

    No place of a cell is further from its middle than half its diagonal, taken where a unit is widest.
    """
    shape = zones.boxes[zone, SHAPE]
    west, south = np.int64(zones.boxes[zone, WEST]), np.int64(zones.boxes[zone, SOUTH])
    lowest = max(0, south, -(south + zones.boxes[zone, HEIGHT]))
    widest, north, _ = metric_at(lowest * DEG_PER_UNIT)
    deepest_m, longest_m = 0.0, 0.0
    for cell in range(CELLS * CELLS):
        x0 = cell_begin(cell % CELLS, zones.boxes[zone, CELLS_EAST])
        x1 = cell_begin(cell % CELLS + 1, zones.boxes[zone, CELLS_EAST])
        y0 = cell_begin(cell // CELLS, zones.boxes[zone, CELLS_NORTH])
        y1 = cell_begin(cell // CELLS + 1, zones.boxes[zone, CELLS_NORTH])
        half_m = 0.5 * math.hypot((x1 - x0 + 1) * widest, (y1 - y0 + 1) * north * 1.01)
        lon, lat = wrapped(west + ((x0 + x1) >> 1)), south + ((y0 + y1) >> 1)
        east, per_north, change = metric_at(lat * DEG_PER_UNIT)
        margin_m = near_margin_m(zones.shapes, shape, lon, lat, east, per_north, change)
        slack_m = half_m + 2.0 * doubt_m(abs(margin_m) + half_m)
        within_reach = abs(margin_m) + half_m < NEAR_M
        least = max(0.0, abs(margin_m) - slack_m) if within_reach else 0.0
        least_m[cell] = least if margin_m > 0.0 else -least
        deepest_m = max(deepest_m, least)
        longest_m = max(longest_m, 2.0 * slack_m if within_reach else 1e7)
    step_cm = max(1, math.ceil(deepest_m * 100.0 / 127.0))
    zones.shapes[shape + STEP_CM] = step_cm
    zones.shapes[shape + SPREAD_CM] = min(2**31 - 1, math.ceil(longest_m * 100.0) + step_cm)
    for word in range(16):
        packed = np.int64(0)
        for byte in range(4):
            signed_m = least_m[4 * word + byte]
            steps = math.floor(abs(signed_m) * 100.0 / step_cm)
            packed |= ((steps if signed_m > 0.0 else -steps) & 255) << (8 * byte)
        zones.shapes[shape + RASTER + word] = wrapped(packed)


@kernel
def fill_rasters(zones, least_m):
    """Write the rasters of all areas of a pack. least_m: float64 (64,), scratch."""
    for zone in range(zones.boxes.shape[0]):
        if zones.shapes[zones.boxes[zone, SHAPE] + RINGS] > 0:
            fill_raster(zones, zone, least_m)
