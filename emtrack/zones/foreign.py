"""Layers out of GeoPackage, Shapefile, KML and archives of them, read by a process of its own (`gdal_child`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from emtrack.zones import gdal_child
from emtrack.zones.gdal_child import Answer, Layer, plain_name

WAIT_S = 90
LARGEST_BYTES = 200_000_000
_QUIET = {
    "PROJ_NETWORK": "OFF",
    "GDAL_SKIP": "VRT",
    "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}
"""Where zones lie is told to nobody, and a file names no other file to be read."""
_SIDE_FILES = (".dbf", ".shx", ".prj", ".cpg")
"""What belongs to a Shapefile."""


class ForeignError(ValueError):
    """A file that cannot be read. The message says why."""


def read_foreign(path: Path, fields: Sequence[str]) -> list[Layer]:
    """All layers, with the values of some fields. Raises ForeignError."""
    with tempfile.TemporaryDirectory(prefix="emtrack-zones-") as folder:
        copy = _copied(path, Path(folder))
        command = [sys.executable, "-m", gdal_child.__name__, str(copy), folder, *fields]
        try:
            ran = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False, env=_environment())
        except subprocess.TimeoutExpired as error:
            raise ForeignError(f"it cannot be read: that took longer than {WAIT_S} s") from error
    if ran.returncode:
        raise ForeignError(f"it cannot be read: what reads it fell over ({_how(ran.returncode)})")
    answer = msgspec.msgpack.decode(ran.stdout, type=Answer)
    if answer.trouble is not None:
        raise ForeignError(answer.trouble)
    return answer.layers


def _copied(path: Path, folder: Path) -> Path:
    """The file, with what belongs to it, where alone the process may read. Raises ForeignError."""
    beside = [path.with_suffix(ending) for ending in _SIDE_FILES] if path.suffix.lower() == ".shp" else []
    beside += [path.with_suffix(ending.upper()) for ending in _SIDE_FILES if beside]
    files = [path, *(one for one in beside if one.is_file())]
    if sum(one.stat().st_size for one in files) > LARGEST_BYTES:
        raise ForeignError(f"it is larger than {LARGEST_BYTES:,} bytes; send less at once")
    for one in files:
        shutil.copyfile(one, folder / plain_name(one.name))
    return folder / plain_name(path.name)


def _environment() -> dict[str, str]:
    """Without our settings, which may hold a password."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")} | _QUIET


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
