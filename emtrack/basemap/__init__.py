"""The ground of maps: a file of tiles that the deployment brings, or an outline of the country that comes with us.

PMTiles (version 3) are read by the browser in ranges of bytes; MBTiles are read here and handed out tile by tile. Both hold
vector tiles (MVT) or pictures. The file is opened once, when the service starts: who replaces it starts the service again.
"""

from __future__ import annotations

from emtrack.basemap.opening import OUTLINE, Basemap, BasemapError, open_basemap, open_or_outline
from emtrack.basemap.ranges import BadRange, ByteRange, read_range

__all__ = [
    "OUTLINE",
    "BadRange",
    "Basemap",
    "BasemapError",
    "ByteRange",
    "open_basemap",
    "open_or_outline",
    "read_range",
]
