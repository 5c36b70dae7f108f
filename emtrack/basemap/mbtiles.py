"""MBTiles (version 1.3): tiles in an SQLite database, read only, and never for long: the file may be anybody's."""

from __future__ import annotations

import math
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

LARGEST_TILE = 8 * 1024 * 1024
MOST_STEPS = 200_000
"""Of SQLite's virtual machine for one question: a tile by its index takes some dozens."""
HIGHEST_ZOOM = 24
FORMATS = {"pbf": "mvt", "png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
SAID = "/* of SQLite */ SELECT name, value FROM metadata WHERE typeof(name) = 'text' AND typeof(value) = 'text' LIMIT 200"
ZOOMS = (
    "/* of SQLite */ SELECT (SELECT zoom_level FROM tiles ORDER BY zoom_level LIMIT 1), "
    "(SELECT zoom_level FROM tiles ORDER BY zoom_level DESC LIMIT 1)"
)
TILE = "/* of SQLite */ SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
WORLD = (-180.0, -85.06, 180.0, 85.06)


class NotMBTiles(ValueError):
    """The message says what is missing."""


class MBTiles:
    """An open file. Asked from any thread, one after the other."""

    def __init__(self, path: Path) -> None:
        """Raises NotMBTiles."""
        self._lock = threading.Lock()
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False, cached_statements=8)
            self._bound()
            self.said = {name: value for name, value in self._asked(SAID, ())}
            zooms = self._asked(ZOOMS, ())[0]
        except sqlite3.Error as error:
            raise NotMBTiles(str(error)) from error
        self.content = _content(self.said.get("format", ""))
        self.zooms = _zooms(self.said, zooms)
        self.bounds = _bounds(self.said.get("bounds", ""))

    def _bound(self) -> None:
        """Views and triggers in the file are somebody's program: they run without functions that matter, and not for long."""
        self._connection.execute("PRAGMA trusted_schema = OFF")
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_TILE)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

    def _asked(self, statement: str, values: tuple[int, ...]) -> list[tuple[object, ...]]:
        steps = 0

        def is_too_long() -> int:
            nonlocal steps
            steps += 1_000
            return int(steps > MOST_STEPS)

        with self._lock:
            self._connection.set_progress_handler(is_too_long, 1_000)
            return self._connection.execute(statement, values).fetchall()

    def tile(self, zoom: int, column: int, row: int) -> bytes | None:
        """A tile by its address as the web counts (row 0 in the north); None where there is none. Raises sqlite3.Error."""
        if not (0 <= zoom <= HIGHEST_ZOOM and 0 <= column < 1 << zoom and 0 <= row < 1 << zoom):
            return None
        found = self._asked(TILE, (zoom, column, (1 << zoom) - 1 - row))
        data = found[0][0] if found else None
        return data if isinstance(data, bytes) and data else None

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _content(format_name: object) -> str:
    content = FORMATS.get(str(format_name).lower())
    if content is None:
        raise NotMBTiles(f"its format is {str(format_name)[:40]!r}; expected pbf, png, jpg or webp")
    return content


def _zooms(said: dict[object, object], found: tuple[object, ...]) -> tuple[int, int]:
    """As the file says, or as its tiles are."""
    zooms = []
    for name, there in zip(("minzoom", "maxzoom"), found, strict=True):
        if not isinstance(there, int):
            raise NotMBTiles("it has no tiles")
        text = str(said.get(name, ""))
        zooms.append(int(text) if text.isascii() and text.isdigit() and len(text) < 3 else there)
    low, high = max(0, zooms[0]), min(zooms[1], HIGHEST_ZOOM)
    if low > high:
        raise NotMBTiles(f"its zooms go from {low} to {high}")
    return low, high


def _bounds(text: object) -> tuple[float, float, float, float]:
    """West, south, east, north; the world where the file does not say, or says nonsense."""
    try:
        west, south, east, north = (float(part) for part in str(text).split(","))
    except ValueError:
        return WORLD
    is_sound = all(map(math.isfinite, (west, south, east, north))) and west < east and south < north
    return (west, south, east, north) if is_sound else WORLD
