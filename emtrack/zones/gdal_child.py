"""A process of its own that unpacks and reads files of zones: `python -m emtrack.zones.gdal_child FILE FOLDER FIELD…`.

What is in such a file comes from anywhere, and a great deal of code in C looks at it. Here it may take only so much memory and
time, reaches no other file, no network and no program (`confinement`), and if it falls over, only the answer is lost. Each ending has
one driver; the others are not there. The file stands in the folder, the answer is MessagePack on standard output.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from emtrack.zones.confinement import confine

MOST_BYTES = 100_000_000
"""Unpacked, all files of an archive together."""
MOST_FILES = 10_000
MOST_TIMES = 100
"""An archive unpacks to at most so many times its size, once it is large: one that does not is made to fill a disk."""
LARGE_BYTES = 10_000_000
MOST_ANSWER_BYTES = 400_000_000
ARCHIVES = (".zip", ".kmz")
DRIVERS_OF = {
    ".shp": frozenset({"ESRI Shapefile"}),
    ".gpkg": frozenset({"GPKG"}),
    ".kml": frozenset({"LIBKML"}),
    ".geojson": frozenset({"GeoJSON", "TopoJSON", "ESRIJSON"}),
    ".json": frozenset({"GeoJSON", "TopoJSON", "ESRIJSON"}),
}
"""Which driver reads which ending: the first of a kind of JSON is told by what is in it."""
READABLE = tuple(DRIVERS_OF)
NOT_WANTED = (
    "ADBC,AIVector,AVCBin,AVCE00,AmigoCloud,CAD,CSV,CSW,Carto,DGN,DXF,EDIGEO,EEDA,Elasticsearch,FlatGeobuf,GDALG,GML,GMLAS,GPSBabel,GPX,"
    "GTFS,GeoJSONSeq,GeoRSS,HTTP,Idrisi,JML,JSONFG,KML,LVBAG,MBTiles,MSSQLSpatial,MVT,MapInfo File,MapML,MiraMonVector,MySQL,NAS,NGW,"
    "OAPIF,ODBC,ODS,OGCAPI,OGR_GMT,OGR_PDS,OGR_VRT,OSM,OpenFileGDB,PCIDSK,PDF,PDS4,PGDUMP,PGeo,PLSCENES,PMTiles,Parquet,PostgreSQL,Arrow,"
    "S57,SQLite,SXF,Selafin,VDV,VFK,VICAR,WAsP,WFS,XLSX,XODR,netCDF"
)
"""Drivers of GDAL that read nothing here. One that is not named here and there all the same refuses the file."""
KEPT = frozenset({"MEM", "Memory"})
"""They read no file."""
_CHUNK = 1 << 20
_MEANINGFUL = re.compile(r"[^\w .()-]")


class NotReadable(Exception):
    """The message says why, and what to do."""


class Layer(msgspec.Struct):
    """A layer, or a file of GeoJSON as it is. `geometries`: WKB. `columns`: values of the fields that were asked for."""

    name: str
    is_kml: bool = False
    crs: str | None = None
    fields: list[str] = []
    columns: dict[str, list[str | int | float | None]] = {}
    geometries: list[bytes | None] = []
    geojson: bytes | None = None


class Answer(msgspec.Struct):
    """What came of reading. `trouble`: why nothing did."""

    layers: list[Layer] = []
    trouble: str | None = None


class _Unpacking:
    """Archives into a folder, within one limit for all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = MOST_BYTES
        self._files = 0

    def files_in(self, archive: Path, depth: int = 0) -> Iterator[Path]:
        """Files that can be read, in the order of their names; those of an archive in the archive among them."""
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir() and _is_wanted(entry.filename)]
            self._refuse_bomb(archive, entries)
            found = [self._unpack(opened, entry) for entry in sorted(entries, key=lambda entry: entry.filename)]
        for path in found:
            if path.suffix.lower() in ARCHIVES:
                if depth > 0:
                    raise NotReadable("it holds an archive in an archive in an archive; unpack it first")
                yield from self.files_in(path, depth + 1)
            elif path.suffix.lower() in READABLE:
                yield path

    def _refuse_bomb(self, archive: Path, entries: list[zipfile.ZipInfo]) -> None:
        """By what it says of itself, before anything of it is unpacked. No entry is read beyond the size that it says."""
        size = sum(entry.file_size for entry in entries)
        if size > self._left:
            raise NotReadable(f"unpacked it is larger than {MOST_BYTES:,} bytes; send less at once")
        if size > max(LARGE_BYTES, MOST_TIMES * archive.stat().st_size):
            raise NotReadable(f"unpacked it is more than {MOST_TIMES} times as large")

    def _unpack(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Path:
        """Into a folder by number: what an archive calls its folders may lead anywhere. Files that belong together stay together."""
        self._files += 1
        if self._files > MOST_FILES:
            raise NotReadable(f"it holds more than {MOST_FILES:,} files")
        inside = PurePosixPath(entry.filename.replace("\\", "/"))
        parent = self._folder / f"{abs(hash((opened.filename, inside.parent))):x}"
        parent.mkdir(exist_ok=True)
        target = parent / plain_name(inside.name)
        with opened.open(entry) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise NotReadable(f"unpacked it is larger than {MOST_BYTES:,} bytes; send less at once")
                file.write(chunk)
        return target


def plain_name(name: str) -> str:
    """A name that means nothing to GDAL but a file: `!`, `:` and the like lead elsewhere."""
    stem, dot, ending = name.rpartition(".")
    return _MEANINGFUL.sub("_", stem if dot else name)[:100] + dot + (ending.lower() if dot else "")


def _is_wanted(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not any(part == "__MACOSX" or part.startswith("._") for part in parts) and parts[-1] not in ("", ".", "..")


def read(path: Path, folder: Path, fields: list[str]) -> Answer:
    """All layers of a file, or of all files of an archive."""
    try:
        paths = list(_Unpacking(folder).files_in(path)) if path.suffix.lower() in ARCHIVES else [path]
        if not paths:
            raise NotReadable("there is no GeoJSON, GeoPackage, Shapefile or KML in it")
        _load_drivers({one.suffix.lower() for one in paths})
        return Answer([layer for one in paths for layer in _layers(one, fields, is_inside=one != path)])
    except NotReadable as error:
        return Answer(trouble=str(error))
    except zipfile.BadZipFile as error:
        return Answer(trouble=f"it is no archive that can be read: {error}")
    except (RuntimeError, ValueError, TypeError, OSError, NotImplementedError, MemoryError, LookupError) as error:
        return Answer(trouble=f"it cannot be read: {_shown(error, folder)}")


def _load_drivers(endings: set[str]) -> None:
    """GDAL, with those drivers alone that read these endings. Raises NotReadable."""
    wanted = {driver for ending in endings for driver in DRIVERS_OF[ending]}
    others = {driver for drivers in DRIVERS_OF.values() for driver in drivers} - wanted
    os.environ["OGR_SKIP"] = ",".join([NOT_WANTED, *sorted(others)])
    import pyogrio

    if strange := set(pyogrio.list_drivers()) - wanted - KEPT:
        raise NotReadable(f"GDAL here has drivers that are not known: {', '.join(sorted(strange))}")


def _shown(error: Exception, folder: Path) -> str:
    """The first sentence, without the names of our folders."""
    return str(error).replace(str(folder), "").split("; It might help")[0][:300] or type(error).__name__


def _layers(path: Path, fields: list[str], *, is_inside: bool) -> Iterator[Layer]:
    if is_inside and path.suffix.lower() in (".geojson", ".json"):
        yield Layer(path.name, geojson=path.read_bytes())
        return
    import pyogrio

    for name, kind in pyogrio.list_layers(path):
        if kind is not None:  # a table without geometries
            yield _layer(path, str(name), fields)


def _layer(path: Path, name: str, wanted: list[str]) -> Layer:
    import pyogrio

    driver = pyogrio.read_info(path, layer=name)["driver"]
    if driver not in DRIVERS_OF[path.suffix.lower()]:
        raise NotReadable(f"it is {driver}; expected GeoJSON, GeoPackage, Shapefile or KML, each with its own ending")
    found, _, geometries, values = pyogrio.raw.read(path, layer=name)
    fields = [str(field) for field in found["fields"]]
    columns = {
        field: [_plain(value) for value in column.tolist()]
        for field, column in zip(fields, values, strict=True)
        if field in wanted
    }
    wkb = [None if one is None else bytes(one) for one in geometries]
    return Layer(name, driver in ("KML", "LIBKML"), found["crs"], fields, columns, wkb)


def _plain(value: Any) -> str | int | float | None:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def main() -> None:
    path, folder, *fields = sys.argv[1:]
    confine(Path(folder))
    warnings.simplefilter("ignore")
    answer = msgspec.msgpack.encode(read(Path(path), Path(folder), fields))
    if len(answer) > MOST_ANSWER_BYTES:
        answer = msgspec.msgpack.encode(Answer(trouble="it holds more than can be taken at once; send less"))
    with open(
        sys.stdout.fileno(), "wb", closefd=False
    ) as whole:  # `sys.stdout` writes a part only where it is not buffered
        whole.write(answer)


if __name__ == "__main__":
    main()
