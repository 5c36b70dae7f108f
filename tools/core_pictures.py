"""The two pictures of docs/core.md, drawn from the arrays that the kernels read: `python tools/core_pictures.py`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.collections import PatchCollection
from matplotlib.patches import Circle, Rectangle

from geofence import Area
from geofence.shapes import Member, ZoneSet, build, margins_m, packed, verdicts
from geofence.shapes import kernels_sets as ks
from geofence.shapes import kernels_zones as kz
from geofence.shapes.kernels import metric_at

IMAGES = Path(__file__).parent.parent / "docs" / "images"
DEG_PER_UNIT = 360 / 2**32
INSIDE, OUTSIDE, BOUNDARY, INK = "#8fc1a9", "#f3f2f1", "#f4c08a", "#0b0c0c"
LAT_DEG = 53.0
EAST, NORTH, _ = metric_at(LAT_DEG)


def ring(*places_m: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Metres east and north of a place near Stoke, as a closed ring of degrees."""
    lon_lat = [
        (float(-2.18 + x / EAST * DEG_PER_UNIT), float(LAT_DEG + y / NORTH * DEG_PER_UNIT)) for x, y in places_m
    ]
    return (*lon_lat, lon_lat[0])


PARK = Area(
    ((ring((-310, -190), (-60, -230), (40, -90), (260, -150), (330, 90), (120, 230), (-20, 110), (-280, 190)),),)
)


def park(axes: plt.Axes) -> None:
    """One zone: its box, its raster, its corners; three fixes."""
    pack = packed([PARK])
    west, south, width, height = (int(value) for value in pack.boxes[0, :4])
    origin = np.array([-2.18, LAT_DEG]) / DEG_PER_UNIT
    for cell in range(64):
        x0, x1 = (kz.cell_begin(cell % 8 + k, int(pack.boxes[0, kz.CELLS_EAST])) for k in (0, 1))
        y0, y1 = (kz.cell_begin(cell // 8 + k, int(pack.boxes[0, kz.CELLS_NORTH])) for k in (0, 1))
        value = int(kz.raster_value(pack, 0, np.int64(x0), np.int64(y0)))
        colour = BOUNDARY if value == 0 else INSIDE if value > 0 else "#d8dde0"
        corner = (west + x0 - origin[0]) * EAST, (south + y0 - origin[1]) * NORTH
        axes.add_patch(
            Rectangle(corner, (x1 - x0) * EAST, (y1 - y0) * NORTH, facecolor=colour, edgecolor="white", lw=0.8)
        )
        if value:
            least_m = abs(value) * pack.shapes[kz.STEP_CM] / 100
            middle = corner[0] + (x1 - x0) * EAST / 2, corner[1] + (y1 - y0) * NORTH / 2
            axes.text(*middle, f"{least_m:.0f}", ha="center", va="center", fontsize=7, color="#505a5f")
    places = (np.array(PARK.polygons[0][0]) / DEG_PER_UNIT - origin) * (EAST, NORTH)
    axes.plot(*places.T, color=INK, lw=1.6)
    box = (west - origin[0]) * EAST, (south - origin[1]) * NORTH
    axes.add_patch(Rectangle(box, width * EAST, height * NORTH, fill=False, edgecolor=INK, lw=1, ls="--"))
    for x, y, radius_m, name in (
        (-190, -20, 30, "1"),
        (205, 55, 45, "2"),
        (300, -230, 30, "3"),
        (-430, 120, 60, "4"),
    ):
        axes.add_patch(Circle((x, y), radius_m, fill=False, edgecolor="#1d70b8", lw=1.6))
        axes.text(x, y, name, ha="center", va="center", fontsize=9, color="#1d70b8", weight="bold")
    axes.set(xlim=(-520, 400), ylim=(-300, 290), xticks=[], yticks=[], aspect="equal")


def schools() -> ZoneSet:
    """A few schools, two of which touch, and a boundary of many corners."""
    rng = np.random.default_rng(11)
    members = []
    for i, (x, y) in enumerate([(-700, 300), (-560, 330), (500, -380), (150, 420)]):
        angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        reach_m = rng.uniform(60, 95, 9)
        members.append(
            Member(
                f"S{i}", Area(((ring(*zip(x + reach_m * np.cos(angle), y + reach_m * np.sin(angle), strict=True)),),))
            )
        )
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    reach_m = 330 + 60 * np.cos(3 * angle) + 25 * np.cos(11 * angle + 1) + 9 * np.cos(37 * angle)
    shore = ring(*zip(-80 + reach_m * np.cos(angle), -260 + reach_m * np.sin(angle), strict=True))
    return build([*members, Member("W", Area(((shore,),)))])


def cells(axes: plt.Axes, zone_set: ZoneSet) -> None:
    """The leaves of a set: small where the boundary is, large where it is far."""
    arrays = zone_set._arrays
    frame = arrays.frame
    origin = np.array([-2.18, LAT_DEG]) / DEG_PER_UNIT
    patches, colours = [], []
    columns, lines = int(frame[ks.COLUMNS]), int(frame[ks.LINES])
    todo = [(ks.GRID + i, i % columns, i // columns, int(frame[ks.CELL_BITS])) for i in range(columns * lines)]
    while todo:
        node, column, line, bits = todo.pop()
        word = int(arrays.nodes[node])
        if arrays.firsts[node] < 0:
            leaves = [(word & 3, column, line, bits)]
        else:
            parts = [(word >> (2 * i) & 3, column * 4 + i % 4, line * 4 + i // 4) for i in range(16)]
            nodes = [part for part in parts if part[0] in (ks.NODE, ks.BOUNDARY_LEAF)]
            todo += [((word >> 32) + i, x, y, bits - 2) for i, (tag, x, y) in enumerate(nodes) if tag == ks.NODE]
            leaves = [(*part, bits - 2) for part in parts if part[0] != ks.NODE]
        for tag, x, y, side_bits in leaves:
            size = 1 << side_bits
            corner = (
                ((x << side_bits) + frame[0] - origin[0]) * EAST,
                ((y << side_bits) + frame[1] - origin[1]) * NORTH,
            )
            patches.append(Rectangle(corner, size * EAST, size * NORTH))
            colours.append({ks.OUT_LEAF: OUTSIDE, ks.IN_LEAF: INSIDE, ks.BOUNDARY_LEAF: BOUNDARY}[tag])
    axes.add_collection(PatchCollection(patches, facecolor=colours, edgecolor="#b1b4b6", lw=0.4))
    ends = [0, *arrays.ring_ends]
    for begin, end in pairwise(ends):
        places = (arrays.corners[begin:end] - origin) * (EAST, NORTH)
        axes.plot(*places.T, color=INK, lw=1.1)
    axes.set(xlim=(-900, 900), ylim=(-700, 620), xticks=[], yticks=[], aspect="equal")


def main() -> None:
    mpl.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "core"})
    for name, draw, size in (
        ("core-zone", park, (7.4, 4.8)),
        ("core-set", lambda axes: cells(axes, schools()), (7.4, 5.5)),
    ):
        figure, axes = plt.subplots(figsize=size)
        draw(axes)
        figure.tight_layout(pad=0.3)
        figure.savefig(IMAGES / f"{name}.png", dpi=130)
        plt.close(figure)
    fixes = np.array([(-190, -20), (205, 55), (300, -230), (-430, 120)], float) / (EAST, NORTH) * DEG_PER_UNIT + (
        -2.18,
        LAT_DEG,
    )
    radius_m = np.array([30.0, 45.0, 30.0, 60.0])
    margin_m = margins_m(packed([PARK]), *fixes.T)[:, 0]
    print("margins", np.round(margin_m).astype(int).tolist(), "verdicts", verdicts(margin_m, radius_m).tolist())


if __name__ == "__main__":
    main()
