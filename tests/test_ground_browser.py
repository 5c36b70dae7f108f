"""The ground of the map in a browser: each kind of file is drawn, under the policy of the pages; none of them stops the positions."""

from __future__ import annotations

import itertools
import sqlite3
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pmtiles.reader import MmapSource, all_tiles
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer
from shapely import LineString, Point, box

from emtrack.basemap import open_basemap
from emtrack.basemap.writing import About, Layer, write_pmtiles
from tests import test_map_page
from tests.browser import OpenPage, WatchedPage, axe
from tests.test_basemap import STAFFORDSHIRE, mbtiles
from tests.test_map_page import DATA, HOME, INSIDE, OUTSIDE, facts, pixels_of, ready, served

LON, LAT = HOME
GREEN, WATER, MAIN_ROAD, PAPER = "#dfe9d7", "#c9dbe6", "#cdd0d2", "#f7f6f3"
RED, OUTLINES = "#ff0000", "#c4c8ca"
AROUND = (LON - 0.3, LAT - 0.2, LON + 0.3, LAT + 0.2)
SAID = "Map data: Somebody"


def town(path: Path) -> Path:
    """A road, a park and a lake round the positions of `tests.test_map_page`."""
    park, lake = (
        box(LON - 0.006, LAT + 0.001, LON + 0.006, LAT + 0.005),
        box(LON - 0.006, LAT - 0.004, LON + 0.006, LAT - 0.003),
    )
    road = LineString([(LON - 0.1, LAT - 0.0005), (LON + 0.1, LAT - 0.0005)])
    drawn = {
        "earth": (box(*AROUND), {"kind": "earth"}),
        "landuse": (park, {"kind": "park", "name": "Ashley Park"}),
        "water": (lake, {"kind": "lake"}),
        "roads": (road, {"kind": "major_road", "name": "Ash Road"}),
        "places": (Point(LON, LAT + 0.002), {"kind": "locality", "name": "Ashley"}),
    }
    layers = [Layer(name, (5, 12), [feature]) for name, feature in drawn.items()]
    write_pmtiles(path, layers, About("Town", "Somebody", AROUND))
    return path


def as_mbtiles(path: Path) -> Path:
    """The same town, tile by tile."""
    source = town(path.with_suffix(".pmtiles"))
    mbtiles(path, format="pbf", attribution="Somebody", bounds=",".join(map(str, AROUND)))
    with source.open("rb") as file, closing(sqlite3.connect(path)) as made:
        made.execute("DELETE FROM tiles")
        for (z, x, y), data in all_tiles(MmapSource(file)):
            made.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (z, x, (1 << z) - 1 - y, data))
        made.commit()
    return path


def red_picture() -> bytes:
    """A tile of 256 × 256 in one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + b"\xff\x00\x00" * 256) * 256
    head = struct.pack(">IIBBBBB", 256, 256, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pictures(path: Path) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)  # type: ignore[no-untyped-call]
        for z, x, y in itertools.chain.from_iterable(
            itertools.product([z], range(1 << z), range(1 << z)) for z in range(3)
        ):
            writer.write_tile(zxy_to_tileid(z, x, y), red_picture())  # type: ignore[no-untyped-call]
        header = {"tile_type": TileType.PNG, "tile_compression": Compression.NONE, "min_lon_e7": -1_800_000_000,
                  "min_lat_e7": -850_000_000, "max_lon_e7": 1_800_000_000, "max_lat_e7": 850_000_000, "center_zoom": 0,
                  "center_lon_e7": 0, "center_lat_e7": 0}  # fmt: skip
        writer.finalize(header, {"attribution": "Somebody"})  # type: ignore[no-untyped-call]
    return path


def picture_mbtiles(path: Path) -> Path:
    return mbtiles(path, red_picture(), attribution="Somebody")


async def drawn_on(address: str, open_page: OpenPage, name: str = "walk", **page: int) -> WatchedPage:
    return await ready(await open_page(f"{address}/maps/{name}", **page))


@pytest.mark.parametrize(
    ("make", "name"), [(town, "t.pmtiles"), (as_mbtiles, "t.mbtiles")], ids=["PMTiles", "MBTiles"]
)
async def test_a_town_of_vectors_is_drawn_under_the_positions(
    tmp_path: Path, open_page: OpenPage, make: Callable[[Path], Path], name: str
) -> None:
    with closing(open_basemap(make(tmp_path / name))) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            for colour in (GREEN, WATER, MAIN_ROAD, PAPER, INSIDE, OUTSIDE):
                assert await pixels_of(page, colour) > 20, colour
            assert await page.locator(".emtrack-map__attribution").inner_text() == SAID
            assert await axe(page) == []
            page.assert_clean(address)


@pytest.mark.parametrize(
    ("make", "name"), [(pictures, "p.pmtiles"), (picture_mbtiles, "p.mbtiles")], ids=["PMTiles", "MBTiles"]
)
async def test_a_map_of_pictures_is_drawn_under_the_positions(
    tmp_path: Path, open_page: OpenPage, make: Callable[[Path], Path], name: str
) -> None:
    with closing(open_basemap(make(tmp_path / name))) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            assert await pixels_of(page, RED) > 20_000
            assert await pixels_of(page, INSIDE) > 20
            page.assert_clean(address)


async def test_boundaries_of_a_real_file_are_drawn_although_nobody_knows_their_layers(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not STAFFORDSHIRE.exists():
        pytest.skip("../shared/data is not here")
    monkeypatch.setattr(test_map_page, "HOME", (-2.1753, 53.0027))
    monkeypatch.setitem(
        DATA, "walk", {**DATA["walk"], "zones": test_map_page.zones(), "points": test_map_page.walk()}
    )
    with closing(open_basemap(STAFFORDSHIRE)) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            assert len([url for url in page.request_urls if url.endswith(".pmtiles")]) > 1, "head, then tiles"
            assert await pixels_of(page, OUTLINES) > 3, "thin lines"
            page.assert_clean(address)


async def test_a_map_that_breaks_while_it_is_read_leaves_the_positions_and_says_so(
    tmp_path: Path, open_page: OpenPage
) -> None:
    path = town(tmp_path / "t.pmtiles")
    with closing(open_basemap(path)) as basemap:
        path.write_bytes(path.read_bytes()[:2_000])  # cut where it lies
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            assert await pixels_of(page, INSIDE) > 20
            said = page.locator(".emtrack-map__attribution")
            await said.filter(has_text="could not be loaded").wait_for()
            await page.click("#positions [data-step=first]")
            assert (await facts(page))["Point"] == "1 of 9"
            assert page.errors == page.policy_violations == []


async def test_circles_of_a_fortnight_are_off_until_somebody_wants_them(tmp_path: Path, open_page: OpenPage) -> None:
    with closing(open_basemap(town(tmp_path / "t.pmtiles"))) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page, "fortnight")
            assert not await page.is_checked("[data-shows=radii]")
            for _ in range(4):
                await page.click("#positions [data-does=zoom-in]")
            before = await page.locator(".emtrack-map__viewport").screenshot()
            await page.check("[data-shows=radii]", force=True)
            await another_picture(page, before)
            await page.click("#positions [data-step=last]")
            assert (await facts(page))["Point"] == "15000 of 15000"
            page.assert_clean(address)


async def another_picture(page: WatchedPage, before: bytes) -> bytes:
    """The map once it has moved."""
    for _ in range(200):
        now: bytes = await page.locator(".emtrack-map__viewport").screenshot()
        if now != before:
            return now
    raise AssertionError("the map does not move")


async def test_the_keyboard_moves_and_zooms_the_map(tmp_path: Path, open_page: OpenPage) -> None:
    with closing(open_basemap(town(tmp_path / "t.pmtiles"))) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            await page.focus(".emtrack-map__viewport")
            seen = await page.locator(".emtrack-map__viewport").screenshot()
            for key in ("ArrowRight", "ArrowDown", "+", "-"):
                await page.keyboard.press(key)
                seen = await another_picture(page, seen)
            page.assert_clean(address)


async def test_on_paper_there_is_the_picture_and_nothing_to_press(tmp_path: Path, open_page: OpenPage) -> None:
    with closing(open_basemap(town(tmp_path / "t.pmtiles"))) as basemap:
        async with served(basemap) as address:
            page = await drawn_on(address, open_page)
            await page.emulate_media(media="print")
            assert await page.locator(".emtrack-map__buttons").is_hidden()
            assert await page.locator(".emtrack-map__steps").is_hidden()
            assert await page.locator(".emtrack-map__viewport").is_visible()
            assert await pixels_of(page, INSIDE) > 20
