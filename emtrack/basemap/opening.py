"""Opening the file of a base map: what it is, what it covers, whose it is, or what is wrong with it."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from pmtiles.tile import Compression, MagicNumberNotFound, SpecVersionUnsupported, TileType, deserialize_header

from emtrack.basemap.mbtiles import MBTiles, NotMBTiles
from emtrack.errors import MendableError

OUTLINE = Path(__file__).parent / "outline.pmtiles"
"""Coast, counties and towns of Great Britain and Ireland; made by tools/outline.py, sources in docs/maps.md."""
HEADER_BYTES = 127
LARGEST_METADATA = 4 * 1024 * 1024
LONGEST_ATTRIBUTION = 300
SQLITE_MAGIC = b"SQLite format 3\0"
CONTENTS = {TileType.MVT: "mvt", TileType.PNG: "png", TileType.JPEG: "jpeg", TileType.WEBP: "webp"}
READABLE = {Compression.NONE, Compression.GZIP}
TAG = re.compile(r"<[^>]*>")


class BasemapError(MendableError, ValueError):
    """A base map that cannot be used. The message names the file, and says what is wrong and what to do."""


class Basemap(NamedTuple):
    """A file of tiles that is open. `content`: what a tile is (mvt, png, jpeg, webp). `bounds`: west, south, east, north in degrees.
    `version`: another one when the file is another. `file_no`: the descriptor of PMTiles; `mbtiles`: None for PMTiles."""

    path: Path
    content: str
    zooms: tuple[int, int]
    bounds: tuple[float, float, float, float]
    attribution: str
    version: str
    size: int
    file_no: int
    mbtiles: MBTiles | None

    @property
    def container(self) -> str:
        return "pmtiles" if self.mbtiles is None else "mbtiles"

    @property
    def is_outline(self) -> bool:
        return self.path == OUTLINE

    def read(self, first: int, length: int) -> bytes:
        """Bytes of PMTiles, as they were when the file was opened. Raises OSError, also where there are fewer."""
        found = os.pread(self.file_no, length, first)
        if len(found) != length:
            raise OSError(f"{self.path} has become shorter since it was opened")
        return found

    def close(self) -> None:
        if self.mbtiles is not None:
            self.mbtiles.close()
        else:
            os.close(self.file_no)


def open_or_outline(path: Path | None) -> tuple[Basemap, str | None]:
    """The base map of a deployment; the outline where there is none, or where it cannot be used: then with the reason."""
    if path is None:
        return open_basemap(OUTLINE), None
    try:
        return open_basemap(path), None
    except BasemapError as error:
        return open_basemap(OUTLINE), str(error)


def open_basemap(path: Path) -> Basemap:
    """Raises BasemapError."""
    try:
        file_no = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BasemapError(
            f"The base map {path} cannot be opened: {error.strerror}. Correct EMTRACK_BASEMAP, or let the service read the file."
        ) from error
    try:
        return _opened(path, file_no)
    except BaseException:
        os.close(file_no)
        raise


def _opened(path: Path, file_no: int) -> Basemap:
    status = os.fstat(file_no)
    try:
        head = os.pread(file_no, HEADER_BYTES, 0)
    except OSError as error:
        raise BasemapError(f"The base map {path} cannot be read: {error.strerror}.") from error
    told = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()
    version = hashlib.blake2b(told + head, digest_size=8).hexdigest()
    if head.startswith(SQLITE_MAGIC):
        found = _open_mbtiles(path, version, status.st_size)
        os.close(file_no)
        return found
    return _open_pmtiles(path, file_no, head, version, status.st_size)


# ---- PMTiles


def _open_pmtiles(path: Path, file_no: int, head: bytes, version: str, size: int) -> Basemap:
    header = _header_of(path, head, size)
    content = CONTENTS.get(header["tile_type"])
    if content is None:
        raise BasemapError(
            f"The base map {path} has tiles of the type {header['tile_type'].name}; expected MVT, PNG, JPEG or WEBP."
        )
    if not {header["internal_compression"], header["tile_compression"]} <= READABLE:
        raise BasemapError(
            f"The base map {path} is compressed in a way that browsers do not read; expected gzip. `pmtiles convert` makes it anew."
        )
    metadata = _metadata(path, file_no, header)
    bounds = tuple(header[f"{side}_e7"] / 1e7 for side in ("min_lon", "min_lat", "max_lon", "max_lat"))
    return Basemap(
        path,
        content,
        (header["min_zoom"], header["max_zoom"]),
        (bounds[0], bounds[1], bounds[2], bounds[3]),
        plain_attribution(metadata.get("attribution")),
        version,
        size,
        file_no,
        None,
    )


def _header_of(path: Path, head: bytes, size: int) -> Any:
    try:
        header = deserialize_header(head)
    except (MagicNumberNotFound, SpecVersionUnsupported, ValueError, IndexError) as error:
        raise BasemapError(
            f"The base map {path} is neither PMTiles of version 3 nor MBTiles. "
            "Set EMTRACK_BASEMAP to such a file, or unset it: then an outline of the country is drawn."
        ) from error
    begins = (
        header["root_offset"],
        header["metadata_offset"],
        header["leaf_directory_offset"],
        header["tile_data_offset"],
    )
    is_cut = max(begins) > size or header["tile_data_offset"] + header["tile_data_length"] > size
    if is_cut or header["root_length"] == 0:
        raise BasemapError(f"The base map {path} is not whole: its end is missing. Copy it again.")
    return header


def _metadata(path: Path, file_no: int, header: Any) -> dict[str, Any]:
    """What the file says of itself; nothing where that cannot be read: the tiles can be good all the same."""
    if header["metadata_length"] > LARGEST_METADATA:
        raise BasemapError(f"The base map {path} has more to say of itself than {LARGEST_METADATA:,} bytes.")
    packed = os.pread(file_no, header["metadata_length"], header["metadata_offset"])
    try:
        if header["internal_compression"] is Compression.GZIP:
            unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS)
            packed = unpacked.decompress(packed, LARGEST_METADATA)
        found = json.loads(packed)
    except (zlib.error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def plain_attribution(text: object) -> str:
    """Whose data it is, as text: files have links in it, and a page takes no markup from a file."""
    if not isinstance(text, str):
        return ""
    plain = "".join(sign for sign in html.unescape(TAG.sub(" ", text)) if sign.isprintable() or sign.isspace())
    return " ".join(plain.split())[:LONGEST_ATTRIBUTION]


# ---- MBTiles


def _open_mbtiles(path: Path, version: str, size: int) -> Basemap:
    try:
        tiles = MBTiles(path)
    except NotMBTiles as error:
        raise BasemapError(
            f"The base map {path} is a database, and not MBTiles: {error}. Set EMTRACK_BASEMAP to another file, or unset it."
        ) from error
    said = tiles.said
    return Basemap(
        path, tiles.content, tiles.zooms, tiles.bounds, plain_attribution(said.get("attribution")), version, size, -1, tiles
    )  # fmt: skip
