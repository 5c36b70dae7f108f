"""A tile of a base map by its address, unpacked: for what is drawn on the server."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any, Final

from pmtiles.reader import Reader

from emtrack.basemap.opening import Basemap

LARGEST_UNPACKED: Final = 8 * 1024 * 1024
PACKED: Final = b"\x1f\x8b"


class TileError(ValueError):
    """A tile that cannot be read."""


def unpacked_tile(basemap: Basemap, zoom: int, column: int, row: int) -> bytes | None:
    """None where the file has none. Raises TileError."""
    try:
        data = _packed(basemap, zoom, column, row)
        if data is None or not data.startswith(PACKED):
            return data
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        found = unpacking.decompress(data, LARGEST_UNPACKED)
    except (OSError, sqlite3.Error, zlib.error, ValueError, IndexError, KeyError) as error:
        raise TileError(f"{basemap.path}: tile {zoom}/{column}/{row}: {type(error).__name__}") from error
    if unpacking.unconsumed_tail:
        raise TileError(f"{basemap.path}: tile {zoom}/{column}/{row} holds more than {LARGEST_UNPACKED:,} bytes")
    return found


def _packed(basemap: Basemap, zoom: int, column: int, row: int) -> bytes | None:
    if basemap.mbtiles is not None:
        return basemap.mbtiles.tile(zoom, column, row)
    reader: Any = Reader(basemap.read)  # type: ignore[no-untyped-call]
    data: bytes | None = reader.get(zoom, column, row)
    return data
