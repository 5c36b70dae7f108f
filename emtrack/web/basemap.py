"""The ground of maps for browsers: what there is, and its bytes. There is one file, chosen by the deployment; no path comes from the
caller. An address has the version of the file in it, so that a browser keeps what it has for good.

Everybody who is logged in may have it: a base map says nothing of anybody. Who is not, may not: a map can be licensed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import asyncpg
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.basemap import BadRange, Basemap, read_range
from emtrack.people.roles import EVERYBODY, Caller
from emtrack.web.guard import Problem, answer, guarded

FOR_GOOD = "private, max-age=31536000, immutable"
TYPES = {"mvt": "application/vnd.mapbox-vector-tile", "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
PACKED = b"\x1f\x8b"

log = structlog.get_logger()


class GroundFile(msgspec.Struct, frozen=True):
    """What static/map/ground.js draws with. `bounds`: west, south, east, north in degrees."""

    address: str
    container: str
    content: str
    min_zoom: int
    max_zoom: int
    bounds: tuple[float, float, float, float]
    attribution: str
    is_outline: bool


class BasemapRoutes:
    """/basemap"""

    def __init__(self, pool: asyncpg.Pool[Any], basemap: Basemap) -> None:
        self._pool = pool
        self._basemap = basemap

    def routes(self) -> list[Route]:
        paths = [("/basemap", self.described)]
        if self._basemap.mbtiles is None:
            paths.append(("/basemap/{version}/tiles.pmtiles", self.bytes_of_file))
        else:
            paths.append(("/basemap/{version}/{zoom:number}/{column:number}/{row:number}", self.tile))
        return [guarded(self._pool, path, endpoint, EVERYBODY) for path, endpoint in paths]

    async def described(self, request: Request, caller: Caller) -> Response:
        """Which file there is, and how it is asked for."""
        del request, caller
        one = self._basemap
        last = "tiles.pmtiles" if one.mbtiles is None else "{z}/{x}/{y}"
        address = f"/basemap/{one.version}/{last}"
        return answer(
            GroundFile(address, one.container, one.content, *one.zooms, one.bounds, one.attribution, one.is_outline)
        )

    async def bytes_of_file(self, request: Request, caller: Caller) -> Response:
        """A range of PMTiles. Of a file that is another by now there is none."""
        del caller
        self._refuse_other(request)
        ranged, size = request.headers.get("range"), self._basemap.size
        etag = f'"{self._basemap.version}"'
        if request.headers.get("if-range", etag) != etag:
            ranged = None  # as RFC 9110 says: then all of it, and that may be too much
        try:
            asked = read_range(ranged, size)
        except BadRange as error:
            raise Problem(416, str(error)) from error
        try:
            data = await asyncio.to_thread(self._basemap.read, asked.first, asked.length)
        except OSError as error:
            log.error("base map cannot be read", error=type(error).__name__)
            raise Problem(503, "the base map cannot be read; the positions are drawn without it") from error
        headers = {"Cache-Control": FOR_GOOD, "ETag": etag, "Accept-Ranges": "bytes"}
        if ranged is not None:
            headers["Content-Range"] = f"bytes {asked.first}-{asked.last}/{size}"
        return Response(data, 200 if ranged is None else 206, headers, "application/vnd.pmtiles")

    async def tile(self, request: Request, caller: Caller) -> Response:
        """A tile of MBTiles; 204 where the file has none."""
        del caller
        self._refuse_other(request)
        tiles = self._basemap.mbtiles
        assert tiles is not None, "the route is there for MBTiles only"
        address = (request.path_params[name] for name in ("zoom", "column", "row"))
        try:
            data = await asyncio.to_thread(tiles.tile, *address)
        except sqlite3.Error as error:
            log.error("base map cannot be read", error=type(error).__name__)
            raise Problem(503, "the base map cannot be read; the positions are drawn without it") from error
        headers = {"Cache-Control": FOR_GOOD}
        if data is None:
            return Response(None, 204, headers)
        if data.startswith(PACKED):
            headers["Content-Encoding"] = "gzip"
        return Response(data, 200, headers, TYPES[self._basemap.content])

    def _refuse_other(self, request: Request) -> None:
        if request.path_params["version"] != self._basemap.version:
            raise Problem(404, "the base map is another by now; load the page again")
