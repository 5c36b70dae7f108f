"""The map of the demonstration: a town that nobody has been to, round the places of its invented people, as a PMTiles file.

The streets are those that people travel: the planner of the emulator sends them along one grid of streets (`Habits.street_m`), and
that grid is drawn here, where homes, shops, work places and pubs of the people lie. Stations, schools, parks, a river, a railway and
the names of everything are invented. Layers and attributes are those of Protomaps' base map, so that the pages draw this as they
would draw a real town.

Everything follows from the seed and the people. Runs in a process of its own (`python -m emtrack.demo.town`): GDAL has no business in
the service.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from shapely import Geometry, LineString, Point, Polygon, box, transform, unary_union

from emtrack.basemap.writing import About, Layer, write_pmtiles
from emtrack.demo.people import People, Place
from emtrack.emulator.chance import dice
from emtrack.emulator.geometry import to_degrees

Feature = tuple[Geometry, dict[str, Any]]

ATTRIBUTION = "Invented for the demonstration of emtrack; no such place"
REACH_M = 19_000.0
"""Half the side of the map."""
AVENUE_EVERY, ROAD_EVERY = 5, 20
"""Each fifth street is an avenue, each twentieth a main road."""
BUILT_M = 420.0
"""So far from where people live and go is built up."""
FILLED_M = 1_500.0
CELL_M = 800.0
FAR, MIDDLE, NEAR = (5, 9), (10, 11), (12, 14)
HEADS = (
    "Ash",
    "Birch",
    "Clay",
    "Copper",
    "Fern",
    "Flint",
    "Hazel",
    "Kiln",
    "Lark",
    "Marl",
    "Oat",
    "Potter",
    "Rook",
    "Saggar",
    "Tile",
    "Wren",
)
TAILS = (
    "ley",
    "ford",
    "burslow",
    "cote",
    "field",
    "gate",
    "hurst",
    "low",
    "shaw",
    "stall",
    "ton",
    "wall",
    "well",
    "wood",
)
POIS = (
    ("hospital", "Hospital", 3),
    ("police", "Police Station", 6),
    ("courthouse", "Magistrates", 2),
    ("supermarket", "Stores", 25),
)
STREETS = ("Street", "Road", "Lane", "Terrace", "Grove", "Row", "Close", "Bank")


class Frame(NamedTuple):
    """The streets run along `u` and `v`, in metres."""

    cos: float
    sin: float

    def degrees(self, u: float, v: float) -> Place:
        return to_degrees((u * self.cos - v * self.sin, v * self.cos + u * self.sin))

    def turned(self, place: Place) -> Place:
        return place[0] * self.cos + place[1] * self.sin, place[1] * self.cos - place[0] * self.sin


def write_town(path: Path, people: People) -> None:
    """The file is there whole or not at all."""
    town = Town(people)
    write_pmtiles(path, town.layers(), About("The town of the demonstration", ATTRIBUTION, town.bounds))


class Town:
    """What is where. `built`: in metres of the streets."""

    def __init__(self, people: People) -> None:
        self._seed = people.seed
        self._street_m = people.street_m
        self._frame = Frame(math.cos(people.angle_rad), math.sin(people.angle_rad))
        self._places = [self._frame.turned(place) for place in people.places]
        self.built = unary_union([Point(place).buffer(BUILT_M, quad_segs=4) for place in self._places]).simplify(40)
        corners = [to_degrees((x, y)) for x in (-REACH_M, REACH_M) for y in (-REACH_M, REACH_M)]
        lons, lats = zip(*corners, strict=True)
        self.bounds = (min(lons), min(lats), max(lons), max(lats))

    def layers(self) -> Iterator[Layer]:
        whole = box(*self.bounds)
        yield Layer("earth", (FAR[0], NEAR[1]), [(whole, {"kind": "earth"})])
        yield from self._ground()
        yield from self._roads()
        yield Layer("places", FAR, self._quarters(3))
        yield Layer("places", (MIDDLE[0], NEAR[1]), self._quarters(1))
        yield Layer("pois", NEAR, list(self._pois()))

    # ---- ground

    def _ground(self) -> Iterator[Layer]:
        built = [(self._drawn(part), {"kind": "residential"}) for part in _polygons(self.built)]
        yield Layer("landuse", (FAR[0], NEAR[1]), [*built, *self._parks()])
        river = [(self._drawn(self._river().buffer(18)), {"kind": "river"})]
        lakes = [(self._drawn(lake), {"kind": "lake"}) for lake in self._lakes()]
        yield Layer("water", (FAR[0], NEAR[1]), [*river, *lakes])

    def _parks(self) -> Iterator[Feature]:
        rng = dice(self._seed, "parks")
        for k in range(90):
            u, v = rng.uniform(-13_000, 13_000), rng.uniform(-13_000, 13_000)
            wide, high = (self._street_m * rng.randint(1, 4) for _ in range(2))
            u, v = self._snapped(u), self._snapped(v)
            kind = rng.choice(("park", "wood", "recreation_ground", "cemetery", "allotments", "grass"))
            shape = box(u + 12, v + 12, u + wide - 12, v + high - 12)
            yield self._drawn(shape), {"kind": kind, "name": f"{self._name('park', k)} {_green(kind)}"}
        for k, school in enumerate(self._at_random("schools", 45)):
            yield (
                self._drawn(box(school[0] - 60, school[1] - 45, school[0] + 60, school[1] + 45)),
                {"kind": "school", "name": self._school(k)},
            )

    def _lakes(self) -> Iterator[Polygon]:
        rng = dice(self._seed, "lakes")
        for _ in range(9):
            middle = Point(rng.uniform(-14_000, 14_000), rng.uniform(-14_000, 14_000))
            yield middle.buffer(rng.uniform(90, 320), quad_segs=6)

    def _river(self) -> LineString:
        """From the north to the south, in bends."""
        rng = dice(self._seed, "river")
        at, turn, points = rng.uniform(-4_000, 4_000), 0.0, []
        for v in range(-26_000, 26_001, 400):
            turn = 0.8 * turn + rng.uniform(-90, 90)
            at += turn
            points.append((at, float(v)))
        return LineString(points)

    # ---- roads

    def _roads(self) -> Iterator[Layer]:
        far, middle, near = [], [], []
        for kind, line, name in self._lines():
            feature = (self._drawn(line), {"kind": kind, "name": name} if name else {"kind": kind})
            near.append(feature)
            if kind != "minor_road":
                middle.append(feature)
            if kind in ("highway", "rail", "major_road"):
                far.append(feature)
        yield Layer("roads", FAR, far)
        yield Layer("roads", MIDDLE, middle)
        yield Layer("roads", NEAR, near)

    def _lines(self) -> Iterator[tuple[str, LineString, str]]:
        yield "highway", LineString([(-30_000, 9_000), (-6_000, 10_500), (6_000, 9_200), (30_000, 11_000)]), "A599"
        yield "rail", LineString([(-5_200, -30_000), (-4_800, -6_000), (-3_900, 3_000), (-5_600, 30_000)]), ""
        town = self.built.buffer(FILLED_M).buffer(self._street_m / 2 - FILLED_M)  # streets go on over a gap
        count = int(REACH_M * 1.5 // self._street_m)
        for k in range(-count, count + 1):
            at_m = k * self._street_m
            lines: dict[str, list[Place]] = {
                "u": [(-30_000, at_m), (30_000, at_m)],
                "v": [(at_m, -30_000), (at_m, 30_000)],
            }
            for way, ends in lines.items():
                yield from self._along(LineString(ends), k, way, town)

    def _along(self, line: LineString, k: int, way: str, town: Geometry) -> Iterator[tuple[str, LineString, str]]:
        """Main roads go on through the country; avenues and streets are where people live."""
        name = f"{self._name(way, k)} {STREETS[k % len(STREETS)]}"
        if k % ROAD_EVERY == 0:
            yield "major_road", line, name
            return
        kind = "medium_road" if k % AVENUE_EVERY == 0 else "minor_road"
        for part in _lines_of(line.intersection(town)):
            if part.length > self._street_m:
                yield kind, part, name

    # ---- names and points

    def _quarters(self, every: int) -> list[Feature]:
        """Names of the parts of the town, at the middle of where most people are."""
        counts: dict[tuple[int, int], int] = {}
        for u, v in self._places:
            cell = math.floor(u / (2 * CELL_M)), math.floor(v / (2 * CELL_M))
            counts[cell] = counts.get(cell, 0) + 1
        found = sorted(counts, key=lambda cell: (-counts[cell], cell))[: 60 // every]
        return [
            (
                Point(self._frame.degrees((u + 0.5) * 2 * CELL_M, (v + 0.5) * 2 * CELL_M)),
                {
                    "kind": "locality" if rank < 7 else "neighbourhood",
                    "kind_detail": "town" if rank < 7 else "suburb",
                    "name": self._name("quarter", rank),
                    "population": max(2_000, 70_000 // (rank + 1)),
                },
            )
            for rank, (u, v) in enumerate(found)
        ]

    def _pois(self) -> Iterator[Feature]:
        for k, v in enumerate(range(-15_000, 15_001, 5_000)):
            at = -4_600 + (v / 15_000) ** 2 * 300
            yield self._at((at, float(v))), {"kind": "station", "name": f"{self._name('quarter', k)} Station"}
        for k, school in enumerate(self._at_random("schools", 45)):
            yield self._at(school), {"kind": "school", "name": self._school(k)}
        for kind, name, count in POIS:
            for k, place in enumerate(self._at_random(kind, count)):
                yield self._at(place), {"kind": kind, "name": f"{self._name(kind, k)} {name}"}

    def _at_random(self, what: str, count: int) -> list[Place]:
        """Near where people are, on a corner of streets."""
        rng = dice(self._seed, f"town {what}")
        return [
            (self._snapped(u + rng.uniform(-400, 400)) + 70, self._snapped(v + rng.uniform(-400, 400)) + 70)
            for u, v in rng.sample(self._places, min(count, len(self._places)))
        ]

    def _school(self, k: int) -> str:
        return f"{self._name('school', k)} {('Primary School', 'Academy', 'High School')[k % 3]}"

    def _name(self, what: str, k: int) -> str:
        """Of the same kind of thing none has the name of another, as long as there are names."""
        supply = [head + tail for head in HEADS for tail in TAILS]
        dice(self._seed, f"names of {what}").shuffle(supply)
        return supply[k % len(supply)]

    def _at(self, place: Place) -> Point:
        return Point(self._frame.degrees(*place))

    def _snapped(self, at: float) -> float:
        return round(at / self._street_m) * self._street_m

    def _drawn(self, shape: Geometry) -> Geometry:
        """From the streets' metres to degrees."""
        return transform(shape, lambda points: np.array([self._frame.degrees(u, v) for u, v in points]))


def _green(kind: str) -> str:
    return {
        "park": "Park",
        "wood": "Wood",
        "recreation_ground": "Fields",
        "cemetery": "Cemetery",
        "allotments": "Gardens",
        "grass": "Green",
    }[kind]


def _polygons(shape: Geometry) -> Sequence[Geometry]:
    return list(getattr(shape, "geoms", [shape]))


def _lines_of(shape: Geometry) -> list[LineString]:
    return [part for part in getattr(shape, "geoms", [shape]) if isinstance(part, LineString)]


def main() -> None:
    """The file to write is the argument; the people come on the standard input, as JSON."""
    write_town(Path(sys.argv[1]), msgspec.json.decode(sys.stdin.buffer.read(), type=People))


if __name__ == "__main__":
    main()
