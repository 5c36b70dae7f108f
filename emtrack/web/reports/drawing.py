"""Maps of a report, drawn on the server: positions with their circles and zones, to scale, with a grid of degrees.

Metres east and north of the middle are taken on a plane that touches the earth there: within a part in ten thousand over 50 km.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, cos, floor, log10, radians
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from emtrack.basemap.roads import Area
from emtrack.web.reports.contents import Map
from emtrack.web.reports.streets import Box, streets_in

WIDTH, HEIGHT = 640, 460
LEAST_M = 400.0
"""A map shows at least so much, or a circle of 5 m would fill it."""
MOST_DRAWN = 1_500
MOST_NUMBERS = 40
METRES_A_DEGREE: Final = 111_320.0
FONT: Final = "Libertinus Serif, Times New Roman, serif"
COLOURS: Final[Mapping[str, str]] = {
    "EXCLUSION": "#d4351c",
    "INCLUSION": "#00703c",
    "CURFEW": "#1d70b8",
    "ATTENDANCE": "#4c2c92",
}


class MapPoint(NamedTuple):
    """`rests_on_it`: a finding rests on it. `is_evidence`: the rules take it."""

    n: int
    lon_deg: float
    lat_deg: float
    radius_m: float
    is_evidence: bool
    rests_on_it: bool = False


class MapZone(NamedTuple):
    """`geometry` as GeoJSON has it, and `Circle` with centre and radius_m."""

    label: str
    kind: str
    geometry: Mapping[str, Any]


class _Frame(NamedTuple):
    """Which part of the earth is drawn."""

    lon_deg: float
    lat_deg: float
    metres_a_unit: float

    @property
    def box(self) -> Box:
        up = HEIGHT / 2 * self.metres_a_unit / METRES_A_DEGREE
        across = WIDTH / 2 * self.metres_a_unit / METRES_A_DEGREE / cos(radians(self.lat_deg))
        area = Area(self.lon_deg - across, self.lat_deg - up, self.lon_deg + across, self.lat_deg + up)
        return Box(area, self.metres_a_unit)

    def at(self, lon_deg: float, lat_deg: float) -> tuple[float, float]:
        east_m = (lon_deg - self.lon_deg) * METRES_A_DEGREE * cos(radians(self.lat_deg))
        north_m = (lat_deg - self.lat_deg) * METRES_A_DEGREE
        return WIDTH / 2 + east_m / self.metres_a_unit, HEIGHT / 2 - north_m / self.metres_a_unit


def drawn_map(
    points: Sequence[MapPoint], zones: Sequence[MapZone], caption: str, basemap: Path | None = None
) -> Map | None:
    """None where there is nothing to draw. `basemap`: the file whose streets lie under it; None: none."""
    telling = [point for point in points if point.is_evidence] or list(points)
    if not telling and not zones:
        return None
    frame = _frame(telling, zones)
    shown = _spread(points)
    said = caption
    if len(shown) < len(points):
        said += f" Drawn are {len(shown):,} of {len(points):,} positions, evenly over the time."
    streets = streets_in(basemap, frame.box, frame.at)
    if streets.parts:
        said += f" Streets: {streets.attribution or 'the map of this deployment'}."
    parts = [
        *streets.parts,
        *_grid(frame),
        *_zones(frame, zones),
        *_circles(frame, shown),
        *_dots(frame, shown),
        *_scale(frame),
        _north(),
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label={quoteattr(said)}><defs><clipPath id="c"><rect width="{WIDTH}" height="{HEIGHT}"/></clipPath></defs>'
        f'<g clip-path="url(#c)" font-family="{FONT}"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</g>'
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" fill="none" stroke="#505a5f"/></svg>'
    )
    return Map(svg, said)


def _spread(points: Sequence[MapPoint]) -> list[MapPoint]:
    """Not more than can be drawn: those that a finding rests on, and of the others each so manyth."""
    step = max(1, ceil(len(points) / MOST_DRAWN))
    return [point for index, point in enumerate(points) if index % step == 0 or point.rests_on_it]


def _frame(points: Sequence[MapPoint], zones: Sequence[MapZone]) -> _Frame:
    corners = [(p.lon_deg, p.lat_deg) for p in points] or [at for zone in zones for at in _corners(zone.geometry)]
    west, east = min(lon for lon, _ in corners), max(lon for lon, _ in corners)
    south, north = min(lat for _, lat in corners), max(lat for _, lat in corners)
    middle_deg = (south + north) / 2
    widest_m = max((p.radius_m for p in points), default=0.0) if len(points) <= MOST_NUMBERS else 0.0
    across_m = (east - west) * METRES_A_DEGREE * cos(radians(middle_deg)) + 2 * widest_m
    up_m = (north - south) * METRES_A_DEGREE + 2 * widest_m
    scale = max(max(across_m, LEAST_M) / (WIDTH * 0.84), max(up_m, LEAST_M) / (HEIGHT * 0.8))
    return _Frame((west + east) / 2, middle_deg, scale)


def _corners(geometry: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    for ring in _rings(geometry):
        yield from ring
    if geometry["type"] == "Circle":
        lon, lat = geometry["centre"]
        up = geometry["radius_m"] / METRES_A_DEGREE
        yield from ((lon, lat + up), (lon, lat - up), (lon + up, lat), (lon - up, lat))


def _rings(geometry: Mapping[str, Any]) -> Iterator[list[tuple[float, float]]]:
    if geometry["type"] == "Polygon":
        yield from ([(at[0], at[1]) for at in ring] for ring in geometry["coordinates"])
    elif geometry["type"] == "MultiPolygon":
        yield from ([(at[0], at[1]) for at in ring] for polygon in geometry["coordinates"] for ring in polygon)


def _zones(frame: _Frame, zones: Iterable[MapZone]) -> Iterator[str]:
    for zone in zones:
        colour = COLOURS.get(zone.kind, "#505a5f")
        style = f'fill="{colour}" fill-opacity="0.12" stroke="{colour}" stroke-width="1.5"'
        if zone.geometry["type"] == "Circle":
            x, y = frame.at(*zone.geometry["centre"])
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{zone.geometry["radius_m"] / frame.metres_a_unit:.1f}" {style}/>'
            yield _label(x, y - zone.geometry["radius_m"] / frame.metres_a_unit - 4, zone.label, colour)
            continue
        path, top = "", (WIDTH / 2, float(HEIGHT))
        for ring in _rings(zone.geometry):
            at = [frame.at(*corner) for corner in ring]
            path += "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in at) + "Z"
            top = min(top, *at, key=lambda corner: corner[1])
        yield f'<path d="{path}" fill-rule="evenodd" {style}/>'
        yield _label(top[0], top[1] - 4, zone.label, colour)


def _label(x: float, y: float, text: str, colour: str, size: int = 11) -> str:
    x, y = min(max(x, 60), WIDTH - 60), min(max(y, 14), HEIGHT - 40)
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="middle" fill="{colour}">{escape(text[:60])}</text>'


def _circles(frame: _Frame, points: Iterable[MapPoint]) -> Iterator[str]:
    for point in points:
        x, y = frame.at(point.lon_deg, point.lat_deg)
        colour = "#0b0c0c" if point.rests_on_it else "#1d70b8"
        dashes = "" if point.is_evidence else ' stroke-dasharray="3 3"'
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(0.5, point.radius_m / frame.metres_a_unit):.1f}" fill="none" '
            f'stroke="{colour}" stroke-opacity="0.45" stroke-width="0.7"{dashes}/>'
        )


def _dots(frame: _Frame, points: Sequence[MapPoint]) -> Iterator[str]:
    for point in points:
        x, y = frame.at(point.lon_deg, point.lat_deg)
        if not point.is_evidence:
            yield f'<path d="M{x - 2.5:.1f},{y - 2.5:.1f}l5,5m0,-5l-5,5" stroke="#505a5f" fill="none"/>'
        elif point.rests_on_it:
            yield f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="#0b0c0c"/>'
        else:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="#1d70b8"/>'
        if len(points) <= MOST_NUMBERS:
            yield f'<text x="{x + 4:.1f}" y="{y - 3:.1f}" font-size="9" fill="#0b0c0c">{point.n}</text>'


def _nice(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not more."""
    power = 10.0 ** floor(log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * 1.000001)


def _scale(frame: _Frame) -> Iterator[str]:
    length_m = _nice(150 * frame.metres_a_unit)
    long = length_m / frame.metres_a_unit
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    x, y = 14, HEIGHT - 14
    yield f'<rect x="{x - 6}" y="{y - 20}" width="{long + 12:.1f}" height="26" fill="#fff" fill-opacity="0.85"/>'
    yield f'<path d="M{x},{y - 5}v5h{long:.1f}v-5" fill="none" stroke="#0b0c0c" stroke-width="1.5"/>'
    yield f'<text x="{x + long / 2:.1f}" y="{y - 8}" font-size="11" text-anchor="middle" fill="#0b0c0c">{text}</text>'


def _north() -> str:
    x = WIDTH - 24
    return (
        f'<path d="M{x},10l7,20l-7,-5l-7,5z" fill="#0b0c0c"/>'
        f'<text x="{x}" y="44" font-size="12" text-anchor="middle" fill="#0b0c0c">N</text>'
    )


def _grid(frame: _Frame) -> Iterator[str]:
    """Lines of latitude and longitude, with their degrees at the edge."""
    a_degree_up = METRES_A_DEGREE / frame.metres_a_unit
    a_degree_across = a_degree_up * cos(radians(frame.lat_deg))
    step = _nice(130 / a_degree_across)
    digits = max(0, -floor(log10(step)))
    for number in range(ceil((frame.lon_deg - WIDTH / 2 / a_degree_across) / step), 10**9):
        x, _ = frame.at(number * step, frame.lat_deg)
        if x > WIDTH:
            break
        yield f'<path d="M{x:.1f},0V{HEIGHT}" stroke="#b1b4b6" stroke-width="0.5"/>'
        yield f'<text x="{x + 2:.1f}" y="{HEIGHT - 4}" font-size="8" fill="#505a5f">{number * step:.{digits}f}</text>'
    for number in range(ceil((frame.lat_deg - HEIGHT / 2 / a_degree_up) / step), 10**9):
        _, y = frame.at(frame.lon_deg, number * step)
        if y < 0:
            break
        yield f'<path d="M0,{y:.1f}H{WIDTH}" stroke="#b1b4b6" stroke-width="0.5"/>'
        yield f'<text x="2" y="{y - 2:.1f}" font-size="8" fill="#505a5f">{number * step:.{digits}f}</text>'
