"""The file of the base map: what is read of it, what is refused, and that nobody gets more than a part of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pmtiles.tile import Compression, TileType, deserialize_header, serialize_header
from pmtiles.writer import Writer

from emtrack.basemap import (
    OUTLINE,
    BadRange,
    Basemap,
    BasemapError,
    ByteRange,
    open_basemap,
    open_or_outline,
    read_range,
)
from emtrack.basemap.mbtiles import LARGEST_TILE
from emtrack.basemap.opening import HEADER_BYTES, plain_attribution
from emtrack.basemap.ranges import LONGEST
from emtrack.people.roles import Role
from emtrack.service.examination import examine
from emtrack.service.health import Health
from emtrack.settings import Settings
from tests.office import Office, open_office
from tests.visitor import Visitor

STAFFORDSHIRE = (
    Path(__file__).parent.parent.parent / "shared" / "data" / "basemap-staffordshire" / "staffs-boundaries.pmtiles"
)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
SIZE = 50_000_000


# ---- ranges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-16383", (0, 16_383)),
        ("bytes=100-100", (100, 100)),
        (f"bytes={SIZE - 10}-", (SIZE - 10, SIZE - 1)),
        (f"bytes={SIZE - 10}-{SIZE + 999}", (SIZE - 10, SIZE - 1)),
        ("bytes=-500", (SIZE - 500, SIZE - 1)),
        (" bytes=0-9 ", (0, 9)),
    ],
)
def test_one_range_is_read_as_rfc_9110_says(header: str, expected: tuple[int, int]) -> None:
    assert read_range(header, SIZE) == ByteRange(*expected)


@pytest.mark.parametrize(
    "header",
    [
        f"bytes={SIZE}-",
        f"bytes={SIZE + 1}-{SIZE + 5}",
        "bytes=9-3",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes",
        "",
        "bytes=0-9,20-29",
        "bytes=0-0,1-1,2-2" + ",3-3" * 500,
        "bytes=-5-9",
        "bytes=a-b",
        "bytes=0x0-0x9",
        "bytes=٠-٩",
        "bytes=+0-9",
        "bytes=1e3-2e3",
        "items=0-9",
        "bytes=0-" + "9" * 5_000,
        f"bytes=0-{LONGEST}",
        "bytes=0-",
        None,
    ],
)
def test_what_is_no_short_range_of_the_file_is_refused(header: str | None) -> None:
    with pytest.raises(BadRange):
        read_range(header, SIZE)


def test_a_short_file_may_be_had_whole_and_the_last_bytes_of_one_that_is_shorter() -> None:
    assert read_range(None, 1_000) == ByteRange(0, 999)
    assert read_range("bytes=-5000", 1_000) == ByteRange(0, 999)


# ---- files


def pmtiles(path: Path, tile: bytes = b"tile", tile_type: TileType = TileType.MVT, **metadata: Any) -> Path:
    with path.open("wb") as file:
        writer: Any = Writer(file)  # type: ignore[no-untyped-call]
        writer.write_tile(0, tile)
        header = {
            "tile_type": tile_type,
            "tile_compression": Compression.GZIP if tile_type is TileType.MVT else Compression.NONE,
            "min_lon_e7": -22_000_000,
            "min_lat_e7": 529_000_000,
            "max_lon_e7": -21_000_000,
            "max_lat_e7": 531_000_000,
            "center_zoom": 0,
            "center_lon_e7": 0,
            "center_lat_e7": 0,
        }
        writer.finalize(header, metadata)
    return path


def mbtiles(path: Path, tile: bytes = PNG, **said: str) -> Path:
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE metadata (name text, value text)")
        made.execute("CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)")
        made.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
        made.executemany("INSERT INTO metadata VALUES (?, ?)", list(({"format": "png"} | said).items()))
        made.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", [(0, 0, 0, tile), (1, 0, 1, tile), (1, 1, 0, tile)])
        made.commit()
    return path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Basemap]:
    with closing(open_basemap(mbtiles(tmp_path / "a.mbtiles", attribution="Somebody"))) as basemap:
        yield basemap


def test_pmtiles_say_what_they_are(tmp_path: Path) -> None:
    path = pmtiles(
        tmp_path / "a.pmtiles", attribution='<a href="https://x.test">Map &amp; data</a> © <b>Somebody</b>\u202e'
    )
    with closing(open_basemap(path)) as basemap:
        assert (basemap.container, basemap.content, basemap.zooms) == ("pmtiles", "mvt", (0, 0))
        assert basemap.bounds == (-2.2, 52.9, -2.1, 53.1)
        assert basemap.attribution == "Map & data © Somebody"
        assert basemap.read(0, 7) == b"PMTiles"


def test_mbtiles_say_what_they_are_and_count_rows_from_the_south(opened: Basemap) -> None:
    assert (opened.container, opened.content, opened.zooms, opened.attribution) == (
        "mbtiles",
        "png",
        (0, 1),
        "Somebody",
    )
    assert opened.mbtiles is not None
    found = {(x, y): opened.mbtiles.tile(1, x, y) is not None for x in (0, 1) for y in (0, 1)}
    assert found == {(0, 0): True, (1, 1): True, (0, 1): False, (1, 0): False}


@pytest.mark.parametrize(
    "address", [(-1, 0, 0), (25, 0, 0), (1, 2, 0), (1, 0, 2), (1, -1, 0), (10**18, 0, 0), (0, 10**18, 0)]
)
def test_there_is_no_tile_outside_the_world(opened: Basemap, address: tuple[int, int, int]) -> None:
    assert opened.mbtiles is not None
    assert opened.mbtiles.tile(*address) is None


def test_what_is_no_map_is_refused_with_a_reason(tmp_path: Path) -> None:
    whole = pmtiles(tmp_path / "whole.pmtiles").read_bytes()
    header: Any = deserialize_header(whole[:HEADER_BYTES])
    files = {
        "empty": (b"", "neither PMTiles"),
        "text": (b"Dear all, " * 100, "neither PMTiles"),
        "version 2": (b"PM\x02\x00" + b"\0" * 600, "neither PMTiles"),
        "cut": (whole[:-2], "not whole"),
        "head only": (whole[:60], "neither PMTiles"),
        "brotli": (
            serialize_header(header | {"tile_compression": Compression.BROTLI}) + whole[HEADER_BYTES:],
            "gzip",
        ),
        "unknown": (serialize_header(header | {"tile_type": TileType.UNKNOWN}) + whole[HEADER_BYTES:], "UNKNOWN"),
        "talks": (serialize_header(header | {"metadata_length": 1 << 40}) + whole[HEADER_BYTES:], "more to say"),
        "sqlite cut": (b"SQLite format 3\0" + b"\xff" * 4_000, "not MBTiles"),
    }
    for name, (content, why) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BasemapError, match=why):
            open_basemap(path)
    with pytest.raises(BasemapError, match="No such file"):
        open_basemap(tmp_path / "nothing")
    with pytest.raises(BasemapError):
        open_basemap(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BasemapError):  # and nobody waits for the other end
        open_basemap(tmp_path / "pipe")


HOSTILE = {
    "no tables": "CREATE TABLE other (x)",
    "no tiles": "CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data); CREATE TABLE metadata (name, value); "
    "INSERT INTO metadata VALUES ('format', 'png')",
    "other columns": "CREATE TABLE tiles (z, x, y); CREATE TABLE metadata (name, value); "
    "INSERT INTO metadata VALUES ('format', 'png')",
    "no format": "CREATE TABLE metadata (name, value); CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data); "
    "INSERT INTO tiles VALUES (0, 0, 0, x'00')",
    "zoom is text": "CREATE TABLE metadata (name, value); CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data); "
    "INSERT INTO metadata VALUES ('format', 'png'); INSERT INTO tiles VALUES ('high', 0, 0, x'00')",
    "a view without end": "CREATE TABLE metadata (name, value); INSERT INTO metadata VALUES ('format', 'png'); "
    "CREATE VIEW tiles AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i AS zoom_level, i AS tile_column, i AS tile_row, x'00' AS tile_data FROM n",
    "a view that fills the memory": "CREATE TABLE metadata (name, value); INSERT INTO metadata VALUES ('format', 'png'); "
    "CREATE VIEW tiles AS SELECT length(zeroblob(2000000000)) AS zoom_level, 0 AS tile_column, 0 AS tile_row, 0 AS tile_data",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_a_database_that_is_no_map_is_refused_soon(tmp_path: Path, script: str) -> None:
    path = tmp_path / "hostile.mbtiles"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(script)
    with pytest.raises(BasemapError, match="is a database, and not MBTiles"):
        open_basemap(path)


def test_a_tile_of_hundreds_of_megabytes_is_not_read(tmp_path: Path) -> None:
    path = mbtiles(tmp_path / "a.mbtiles")
    with closing(sqlite3.connect(path)) as made:
        made.execute("UPDATE tiles SET tile_data = zeroblob(?) WHERE zoom_level = 0", (LARGEST_TILE + 1,))
        made.commit()
    with closing(open_basemap(path)) as basemap:
        tiles = basemap.mbtiles
        assert tiles is not None
        with pytest.raises(sqlite3.Error):
            tiles.tile(0, 0, 0)


def test_the_file_is_not_written_to(tmp_path: Path) -> None:
    path = mbtiles(tmp_path / "a.mbtiles")
    before = path.read_bytes()
    with closing(open_basemap(path)) as basemap:
        assert basemap.mbtiles is not None
        basemap.mbtiles.tile(0, 0, 0)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.mbtiles"]


@pytest.mark.parametrize("text", [None, 5, ["a"], {"a": 1}])
def test_an_attribution_that_is_no_text_is_none(text: object) -> None:
    assert plain_attribution(text) == ""


def test_the_outline_that_comes_with_us_can_be_drawn_and_says_whose_it_is() -> None:
    basemap, why = open_or_outline(None)
    with closing(basemap):
        assert (why, basemap.is_outline, basemap.content) == (None, True, "mvt")
        assert "Natural Earth" in basemap.attribution
        assert OUTLINE.stat().st_size < 400_000


def test_the_outline_stands_in_for_a_file_that_is_missing_and_it_is_said_why(tmp_path: Path) -> None:
    basemap, why = open_or_outline(tmp_path / "uk.pmtiles")
    with closing(basemap):
        assert basemap.is_outline
        assert why is not None
        assert "uk.pmtiles cannot be opened: No such file" in why


async def test_doctor_says_what_is_wrong_with_the_base_map(tmp_path: Path) -> None:
    async def look(path: Path | None) -> tuple[Health, str]:
        looks = await examine(Settings(data_dir=tmp_path / "data", basemap=path))
        return next((one.health, one.words) for one in looks if one.what == "base map")

    assert (await look(None))[0] is Health.NOTE
    assert (await look(tmp_path / "nothing.pmtiles"))[0] is Health.BAD
    health, words = await look(pmtiles(tmp_path / "a.pmtiles", attribution="Somebody"))
    assert (health, "pmtiles of mvt" in words, "Somebody" in words) == (Health.GOOD, True, True)
    assert (await look(pmtiles(tmp_path / "b.pmtiles")))[0] is Health.NOTE, "whose it is must be looked up"


def test_the_staffordshire_file_opens() -> None:
    if not STAFFORDSHIRE.exists():
        pytest.skip("../shared/data is not here")
    with closing(open_basemap(STAFFORDSHIRE)) as basemap:
        assert (basemap.content, basemap.zooms) == ("mvt", (6, 13))


# ---- over HTTP


async def described(visitor: Visitor) -> dict[str, Any]:
    async with visitor.http.get("/basemap") as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def test_only_who_is_logged_in_gets_the_map_and_only_by_parts(office: Office, visitor: Visitor) -> None:
    for path in ("/basemap", "/basemap/x/tiles.pmtiles"):
        assert (await visitor.get(path))[0] == 401
    await visitor.log_in(await office.account(Role.AUDITOR))
    ground = await described(visitor)
    address = ground["address"]
    whole = OUTLINE.read_bytes()
    async with visitor.http.get(address, headers={"Range": "bytes=0-126"}) as response:
        assert (response.status, await response.read()) == (206, whole[:127])
        assert response.headers["Content-Range"] == f"bytes 0-126/{len(whole)}"
        assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert "Content-Encoding" not in response.headers
        etag = response.headers["ETag"]
    for headers, status, body in [
        ({"Range": "bytes=-10"}, 206, whole[-10:]),
        ({"Range": f"bytes={len(whole) - 1}-{len(whole) + 10**9}"}, 206, whole[-1:]),
        ({"Range": "bytes=0-4", "If-Range": etag}, 206, whole[:5]),
        ({"Range": "bytes=0-4", "If-Range": '"another"'}, 200, whole),
        ({}, 200, whole),
        ({"Range": f"bytes={len(whole)}-"}, 416, None),
        ({"Range": "bytes=0-1,5-6"}, 416, None),
        ({"Range": "bytes=9-2"}, 416, None),
    ]:
        async with visitor.http.get(address, headers=headers) as response:
            found = await response.read()
            assert response.status == status, headers
            assert body is None or found == body
    async with visitor.http.head(address) as response:
        assert response.status == 405


@pytest.mark.parametrize(
    "path",
    ["/basemap/other/tiles.pmtiles", "/basemap/../settings", "/basemap/%2e%2e/%2e%2e/etc/passwd", "/basemap/{}/tiles.pmtiles/x",
     "/basemap/{}/%2Fetc%2Fpasswd", "/basemap/{}/0/0/0", "/basemap/{}//etc/passwd"],
)  # fmt: skip
async def test_no_path_of_the_caller_leads_to_a_file(office: Office, visitor: Visitor, path: str) -> None:
    await visitor.log_in(await office.account(Role.OPERATOR))
    version = (await described(visitor))["address"].split("/")[2]
    assert (await visitor.get(path.format(version)))[0] in (404, 405)


async def test_tiles_of_mbtiles_are_handed_out_one_by_one(database_url: str, data_dir: Path, tmp_path: Path) -> None:
    async with open_office(database_url, data_dir, basemap=mbtiles(tmp_path / "a.mbtiles")) as office:
        visitor = Visitor(office)
        await visitor.log_in(await office.account(Role.OPERATOR))
        ground = await described(visitor)
        assert (ground["container"], ground["content"], ground["max_zoom"]) == ("mbtiles", "png", 1)
        address = ground["address"]
        for tile, status in {
            (1, 0, 0): 200,
            (1, 0, 1): 204,
            (30, 0, 0): 204,
            (1, 9, 9): 204,
            (1, "x", 0): 404,
            (1, -1, 0): 404,
        }.items():
            z, x, y = tile
            async with visitor.http.get(
                address.replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))
            ) as response:
                assert response.status == status, tile
                if status == 200:
                    assert (await response.read(), response.content_type) == (PNG, "image/png")
        await visitor.http.close()


async def test_a_service_with_a_bad_map_watches_all_the_same(
    database_url: str, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.pmtiles").write_bytes(b"nothing")
    async with open_office(database_url, data_dir, basemap=tmp_path / "bad.pmtiles") as office:
        visitor = Visitor(office)
        await visitor.log_in(await office.account(Role.OPERATOR))
        assert (await described(visitor))["is_outline"]
        await visitor.http.close()
