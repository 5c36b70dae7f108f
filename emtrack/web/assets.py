"""Scripts, styles and pictures of the pages: read once, compressed once, and kept by browsers for good.

Their addresses begin with `/static/VERSION`, which is another when any of them is another; modules import each other by relative
addresses, so a page names the version and all that it loads is of one. No path comes to the disk: what is asked for is looked up
among what was read.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

FOLDER = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
TEXT = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".json": "application/json",
}
LEVEL = 9


class Asset(NamedTuple):
    """A file as it is sent. `packed`: with gzip, where that makes it shorter."""

    content: bytes
    packed: bytes | None
    etag: str
    media_type: str


class Assets(NamedTuple):
    """All files, by their paths under /static. `version`: of all of them together."""

    version: str
    files: dict[str, Asset]

    @property
    def root(self) -> str:
        """Where their addresses begin on a page."""
        return f"/static/{self.version}"

    @property
    def map_modules(self) -> list[str]:
        """What a page with a map loads, so that it need not be found out step by step."""
        own = sorted(name for name in self.files if name.startswith("map/"))
        return [*own, "vendor/ol.js", "vendor/pmtiles.js"]


@functools.cache
def assets() -> Assets:
    """As they are when they are first asked for."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    files = {path.relative_to(FOLDER).as_posix(): _asset(path) for path in paths}
    told = "\n".join(f"{name} {asset.etag}" for name, asset in files.items())
    return Assets(hashlib.blake2b(told.encode(), digest_size=8).hexdigest(), files)


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    packed = gzip.compress(content, LEVEL, mtime=0) if path.suffix in TEXT else content
    etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    media_type = TEXT.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, packed if len(packed) < len(content) else None, etag, media_type)


def static_route() -> Mount:
    return Mount("/static", routes=[Route("/{path:path}", _file)], name="static")


async def _file(request: Request) -> Response:
    """With the version of now in its address for good; without one, or with another, to be asked for again."""
    known = assets()
    version, _, name = request.path_params["path"].partition("/")
    is_of_now = version == known.version
    asset = known.files.get(name if is_of_now else request.path_params["path"])
    if asset is None:
        return Response("Not Found", 404, media_type="text/plain")
    headers = {
        "Cache-Control": FOR_GOOD if is_of_now else ASK_AGAIN,
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == asset.etag:
        return Response(None, 304, headers)
    if asset.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.content, 200, headers, asset.media_type)
    return Response(asset.packed, 200, headers | {"Content-Encoding": "gzip"}, asset.media_type)
