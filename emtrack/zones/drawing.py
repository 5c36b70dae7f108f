"""Zones as a picture: a PNG, or a page that needs nothing but itself."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import geopandas
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from shapely.geometry import MultiPolygon, Polygon

from emtrack.forms.features import area_words
from geofence import Ring
from geofence.shapes import Member, area_m2

MOST_LABELS = 150
"""Of more, labels would cover the zones; the page says the name of each where the pointer rests."""
WIDTH_PX = 1000.0
M_PER_DEGREE = 111_320.0


def png(members: Sequence[Member], title: str) -> bytes:
    """The zones on a grid of degrees, as they lie on the ground: as wide as high."""
    grounds = [MultiPolygon([Polygon(rings[0], rings[1:]) for rings in m.area.polygons]) for m in members]
    frame = geopandas.GeoDataFrame({"zone_id": [m.zone_id for m in members]}, geometry=grounds, crs="EPSG:4326")
    figure = Figure(figsize=(10, 10), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen
    axes = figure.add_subplot()
    frame.plot(ax=axes, facecolor="#d4351c33", edgecolor="#942514", linewidth=1.2, aspect=None)
    south, north = frame.total_bounds[1], frame.total_bounds[3]
    axes.set_aspect(1 / math.cos(math.radians((south + north) / 2)))
    if len(members) <= MOST_LABELS:
        for zone_id, ground in zip(frame["zone_id"], grounds, strict=True):
            at = ground.representative_point()
            axes.annotate(str(zone_id).replace("$", r"\$"), (at.x, at.y), ha="center", va="center", fontsize=8)
    axes.set_title(title.replace("$", r"\$"))
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    axes.ticklabel_format(useOffset=False)
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


class _Sheet(NamedTuple):
    """A flat sheet for some degrees: pixels from the upper left corner."""

    west: float
    north: float
    east_px: float
    north_px: float
    height_px: float

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        return (lon - self.west) * self.east_px, (self.north - lat) * self.north_px


class _Drawn(NamedTuple):
    """A zone as the page shows it; `outline` is the path's `d`."""

    zone_id: str
    outline: str
    area: str
    vertices: str


class _Label(NamedTuple):
    zone_id: str
    x: str
    y: str


class _Scale(NamedTuple):
    """A bar from x = 16 to `x`, and what is written above it."""

    x: str
    y: str
    text_y: str
    length: str


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def page(members: Sequence[Member], title: str) -> bytes:
    """A page with the zones as SVG and as a table. It refers to nothing outside itself: who draws a zone tells nobody."""
    sheet = _sheet(members)
    text = _TEMPLATES.get_template("zones.html").render(
        title=title,
        width=f"{WIDTH_PX:.0f}",
        height=f"{sheet.height_px:.0f}",
        zones=[_drawn(member, sheet) for member in members],
        labels=[_label(member, sheet) for member in members] if len(members) <= MOST_LABELS else [],
        scale=_scale(sheet),
        count=f"{len(members):,}",
        area=area_words(sum(area_m2(m.area) for m in members)),
    )
    return text.encode()


def _sheet(members: Sequence[Member]) -> _Sheet:
    corners = [corner for m in members for rings in m.area.polygons for corner in rings[0]]
    west, east = min(lon for lon, _ in corners), max(lon for lon, _ in corners)
    south, north = min(lat for _, lat in corners), max(lat for _, lat in corners)
    narrower = math.cos(math.radians((south + north) / 2))
    margin = 0.04 * max((east - west) * narrower, north - south, 1e-6)
    west, east, south, north = west - margin / narrower, east + margin / narrower, south - margin, north + margin
    px = min(WIDTH_PX / ((east - west) * narrower), 1.5 * WIDTH_PX / (north - south))
    return _Sheet(west, north, px * narrower, px, (north - south) * px)


def _drawn(member: Member, sheet: _Sheet) -> _Drawn:
    rings = [ring for polygon in member.area.polygons for ring in polygon]
    vertices = sum(len(ring) - 1 for ring in rings)
    return _Drawn(member.zone_id, _outline(rings, sheet), area_words(area_m2(member.area)), f"{vertices:,}")


def _outline(rings: Sequence[Ring], sheet: _Sheet) -> str:
    return "".join(
        "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in (sheet.at(*c) for c in ring[:-1])) + "Z" for ring in rings
    )


def _label(member: Member, sheet: _Sheet) -> _Label:
    """Inside of the largest part of the zone."""
    largest = max((Polygon(rings[0], rings[1:]) for rings in member.area.polygons), key=lambda polygon: polygon.area)
    point = largest.representative_point()
    x, y = sheet.at(point.x, point.y)
    return _Label(member.zone_id, f"{x:.1f}", f"{y:.1f}")


def _scale(sheet: _Sheet) -> _Scale:
    """A bar of a round length, some fifth of the width."""
    m_per_px = M_PER_DEGREE / sheet.north_px
    power = 10 ** math.floor(math.log10(m_per_px * WIDTH_PX / 5))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= m_per_px * WIDTH_PX / 5)
    words = f"{length_m:g} m" if length_m < 1000 else f"{length_m / 1000:g} km"
    y = sheet.height_px - 12
    return _Scale(f"{16 + length_m / m_per_px:.0f}", f"{y:.0f}", f"{y - 8:.0f}", words)
