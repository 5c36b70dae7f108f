"""Lines of memory that a fix touches, and the limit that they set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.geofence.machine import calibrated
from benchmarks.geofence.set_worlds import SetWorld
from benchmarks.geofence.timing import Line
from geofence.shapes import kernels_sets as ks
from geofence.shapes.packing import units


def lines_of_memory(world: SetWorld) -> tuple[float, float]:
    """Lines that in or out of a set touches a fix: one for each level of cells, and one of corners if edges decide. And the
    megabytes in which they are."""
    arrays = world.zone_set._arrays
    frame, nodes = arrays.frame, arrays.nodes
    place = units(np.column_stack([world.lon_deg, world.lat_deg])).astype(np.int64)
    x, y = (place - frame[[ks.ORIGIN_LON, ks.ORIGIN_LAT]]).T
    column, line = x >> frame[ks.CELL_BITS], y >> frame[ks.CELL_BITS]
    is_there = (column >= 0) & (column < frame[ks.COLUMNS]) & (line >= 0) & (line < frame[ks.LINES])
    x, y, at = x[is_there], y[is_there], (ks.GRID + line * frame[ks.COLUMNS] + column)[is_there]
    lines, shift = float(np.mean(~is_there)), int(frame[ks.CELL_BITS])
    in_leaf = np.zeros(len(at), np.bool_)
    while len(at):
        shift -= 2
        part = ((y >> shift & 3) << 2) + (x >> shift & 3)
        tags = nodes[at, None] >> (2 * np.arange(16)) & 3
        tag = tags[np.arange(len(at)), part]
        lines += (len(at) + np.count_nonzero(in_leaf & (tag == ks.BOUNDARY_LEAF))) / len(place)
        before = ((tags >= ks.BOUNDARY_LEAF) & (np.arange(16) < part[:, None])).sum(axis=1)
        deeper = (tag >= ks.BOUNDARY_LEAF) & ~in_leaf
        x, y, at, in_leaf = (
            x[deeper],
            y[deeper],
            ((nodes[at] >> 32) + before)[deeper],
            (tag == ks.BOUNDARY_LEAF)[deeper],
        )
    return lines, (nodes.nbytes + arrays.corners.nbytes) / 2**20


def limits(table: Sequence[Line], touched: dict[str, tuple[float, float]]) -> list[str]:
    """Beside the physical limit: lines of memory that a fix touches × the cost of one in as much memory as there is."""
    out = [
        "| workload | lines a fix | memory, MB | a line, ns | limit, ns | ours, ns | ours / limit |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what, (lines, megabytes) in touched.items():
        machine = calibrated(megabytes)
        ours = next(line.ours_ns for line in table if line.what == what)
        limit = lines * machine.line_ns
        out.append(
            f"| {what} | {lines:.1f} | {megabytes:,.0f} | {machine.line_ns:.1f} | {limit:.0f} | {ours:.0f} | {ours / limit:.1f} |"
        )
    return out
