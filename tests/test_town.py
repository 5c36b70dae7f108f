"""The map of the demonstration's town: made at once, and its streets are those that its people travel."""

from __future__ import annotations

import gzip
import math
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles

from emtrack.basemap import open_basemap
from emtrack.demo.history import MIX, STREET_M
from emtrack.demo.run import TOWN_FILE, _people_of, _with_town
from emtrack.demo.town import write_town
from emtrack.emulator.paths import DRIVING, WALKING, WOBBLE_M, street_angle_rad
from emtrack.emulator.world import World, build_world
from emtrack.settings import Settings
from geofence import parse_instant

START_MS = parse_instant("2026-03-02T04:00:00Z")
SEED = 3


@pytest.fixture(scope="module")
def people() -> World:
    return build_world(60, SEED, START_MS, mix=MIX)


def test_people_keep_to_the_streets_but_for_the_last_steps_to_a_door(people: World) -> None:
    angle = street_angle_rad(SEED)
    planner, on, off = people._planner, 0.0, 0.0
    for wearer in people.wearers[:30]:
        path = people.path(wearer, planner.day_of(START_MS))
        u = path.x_m * math.cos(angle) + path.y_m * math.sin(angle)
        v = path.y_m * math.cos(angle) - path.x_m * math.sin(angle)
        away = np.minimum(*(np.abs(along - np.round(along / STREET_M) * STREET_M) for along in (u, v)))
        moves = np.isin(path.state, (WALKING, DRIVING))
        length = np.hypot(np.diff(path.x_m), np.diff(path.y_m)) * moves
        is_on = (away[1:] <= WOBBLE_M + 0.5) & (away[:-1] <= WOBBLE_M + 0.5)
        on, off = on + float(length[is_on].sum()), off + float(length[~is_on].sum())
    assert on > 50_000
    assert off / (on + off) < 0.15, "doors, and ways through zones"


def test_the_town_is_made_in_seconds_and_drawn_by_the_layers_of_protomaps(people: World, tmp_path: Path) -> None:
    path, begun_s = tmp_path / "town.pmtiles", time.monotonic()
    write_town(path, _people_of([people]))
    assert time.monotonic() - begun_s < 30, "seconds, also on a machine that does something else"
    with closing(open_basemap(path)) as basemap:
        assert (basemap.content, basemap.zooms) == ("mvt", (5, 14))
        assert "Invented" in basemap.attribution
    with path.open("rb") as file:
        source = MmapSource(file)
        layers = {one["id"] for one in Reader(source).metadata()["vector_layers"]}
        tiles = {address: gzip.decompress(data) for address, data in all_tiles(source)}
    assert layers == {"earth", "landuse", "water", "roads", "places", "pois"}
    assert {address[0] for address in tiles} == set(range(5, 15))
    assert max(map(len, tiles.values())) < 500_000
    assert b"Primary School" in b"".join(tiles.values())


def test_the_same_people_have_the_same_town(tmp_path: Path) -> None:
    some = _people_of([build_world(5, SEED, START_MS, mix=MIX)])
    for name in ("one", "other"):
        write_town(tmp_path / name, some)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


async def test_the_demo_makes_its_town_once_and_leaves_another_map_alone(tmp_path: Path) -> None:
    worlds, said = [build_world(4, SEED, START_MS, mix=MIX)], list[str]()
    settings = Settings(data_dir=tmp_path)
    found = await _with_town(settings, worlds, said.append)
    assert (found.basemap, said) == (tmp_path / TOWN_FILE, [])
    made_ns = (tmp_path / TOWN_FILE).stat().st_mtime_ns
    assert (await _with_town(settings, worlds, said.append)).basemap == found.basemap
    assert (tmp_path / TOWN_FILE).stat().st_mtime_ns == made_ns
    other = Settings(data_dir=tmp_path / "x", basemap=tmp_path / "uk.pmtiles")
    assert await _with_town(other, worlds, said.append) is other
