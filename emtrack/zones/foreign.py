"""Layers out of GeoPackage, Shapefile, KML and archives of them, read by a process of its own (`gdal_child`)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from emtrack.zones import gdal_child
from emtrack.zones.gdal_child import Answer, Layer

WAIT_S = 180
_QUIET = {"PROJ_NETWORK": "OFF", "OGR_SKIP": "OGR_VRT", "GDAL_SKIP": "VRT", "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"}
"""Where zones lie is told to nobody, and a file names no other file to be read."""


class ForeignError(ValueError):
    """A file that cannot be read. The message says why."""


def read_foreign(path: Path, fields: Sequence[str]) -> list[Layer]:
    """All layers, with the values of some fields. Raises ForeignError."""
    with tempfile.TemporaryDirectory(prefix="emtrack-zones-") as folder:
        command = [sys.executable, "-m", gdal_child.__name__, str(path.absolute()), folder, *fields]
        try:
            ran = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False, env=os.environ | _QUIET)
        except subprocess.TimeoutExpired as error:
            raise ForeignError(f"it cannot be read: that took longer than {WAIT_S} s") from error
    if ran.returncode:
        raise ForeignError(f"it cannot be read: what reads it fell over ({_how(ran.returncode)})")
    answer = msgspec.msgpack.decode(ran.stdout, type=Answer)
    if answer.trouble is not None:
        raise ForeignError(answer.trouble)
    return answer.layers


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
