"""Files that people bring: what is in them reaches nothing, and fills nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from emtrack.forms.errors import FormError
from emtrack.zones import gdal_child
from emtrack.zones.reading import read_zone_file

SQUARE = {"type": "Polygon", "coordinates": [[[-2.2, 53.0], [-2.1, 53.0], [-2.1, 53.1], [-2.2, 53.1], [-2.2, 53.0]]]}
GEOJSON = json.dumps(
    {"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a", "properties": {}, "geometry": SQUARE}]}
)
KML = """<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>a</name><Polygon>
<outerBoundaryIs><LinearRing><coordinates>-2.2,53.0 -2.1,53.0 -2.1,53.1 -2.2,53.0</coordinates></LinearRing></outerBoundaryIs>
</Polygon></Placemark>%s</Document></kml>"""
VRT = """<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource>
<SrcSQL>SELECT * FROM x</SrcSQL></OGRVRTLayer></OGRVRTDataSource>"""


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def told_of(path: Path) -> str:
    with pytest.raises(FormError) as refused:
        read_zone_file(path)
    return str(refused.value)


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused_before_it_is_unpacked(
    tmp_path: Path,
) -> None:
    bomb = archive_of(tmp_path / "bomb.zip", {f"{n}.geojson": b" " * 40_000_000 for n in range(2)})
    assert bomb.stat().st_size < 400_000
    assert "100 times" in told_of(bomb)


def test_an_archive_that_says_too_little_of_itself_is_refused_while_it_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", b" " * 20_000_000)
    packed = buffer.getvalue().replace((20_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    (tmp_path / "liar.zip").write_bytes(packed)
    assert "no archive that can be read" in told_of(tmp_path / "liar.zip")


@pytest.mark.parametrize("ending", [".geojson", ".json", ".gpkg", ".shp", ".kml"])
def test_a_file_that_names_others_is_read_by_no_driver(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"x{ending}").write_text(VRT)
    told_of(tmp_path / f"x{ending}")
    told_of(archive_of(tmp_path / "x.zip", {f"x{ending}": VRT.encode()}))


@pytest.mark.parametrize("content", [b'WKT,id\n"POLYGON((0 0,1 0,1 1,0 0))",a\n', GEOJSON.encode(), KML.encode()])
@pytest.mark.parametrize("ending", [".gpkg", ".shp"])
def test_each_ending_has_its_driver(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"x{ending}").write_bytes(content)
    told_of(tmp_path / f"x{ending}")


def test_links_of_a_file_lead_nowhere(tmp_path: Path) -> None:
    link = "<NetworkLink><Link><href>http://127.0.0.1:1/x.kml</href></Link></NetworkLink>"
    (tmp_path / "x.kml").write_text(KML % link)
    assert [zone.zone_id for zone in read_zone_file(tmp_path / "x.kml").zones] == ["a"]


@pytest.mark.parametrize("name", ["/vsicurl/http:x!y.kml", "../../x.kml", "a:b|c.kml", "zip!x.kml"])
def test_names_in_an_archive_are_names_and_nothing_else(tmp_path: Path, name: str) -> None:
    archive = archive_of(tmp_path / "x.zip", {name: (KML % "").encode()})
    assert [zone.zone_id for zone in read_zone_file(archive).zones] == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


# ---------------------------------------------------------------------------------------------- the process that reads

TRIES = {
    "another file": "open('/etc/passwd')",
    "a folder": "os.listdir('/tmp')",
    "to write elsewhere": "open('/tmp/emtrack-hostile', 'w')",
    "the network": "socket.socket()",
    "another program": "subprocess.run(['/bin/true'])",
    "another process": "os.fork()",
    "a signal": "os.kill(os.getppid(), 0)",
    "to become another": "os.setuid(65534)",
}
ALLOWED = {
    "its folder": "open(os.path.join(folder, 'x'), 'w').close()",
    "a thread": "threading.Thread(target=int).start()",
    "the modules of Python": "import csv, sqlite3",
}
CHILD = """
import os, socket, subprocess, sys, threading
from pathlib import Path
from emtrack.zones.confinement import confine
folder = sys.argv[1]
print(confine(Path(folder)))
for what in sys.argv[2:]:
    try:
        exec(what)
        print("done")
    except OSError as error:
        print(type(error).__name__)
"""


def in_confinement(folder: Path, *statements: str) -> list[str]:
    command = [sys.executable, "-c", CHILD, str(folder), *statements]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    held, *outcomes = ran.stdout.splitlines()
    if held != "Held(files=True, calls=True)":
        pytest.skip(f"this kernel does not confine all: {held}")
    return outcomes


def test_it_reaches_no_other_file_no_network_and_no_program(tmp_path: Path) -> None:
    outcomes = in_confinement(tmp_path, *TRIES.values(), *ALLOWED.values())
    refused, done = outcomes[: len(TRIES)], outcomes[len(TRIES) :]
    assert dict(zip(TRIES, refused, strict=True)) == dict.fromkeys(TRIES, "PermissionError")
    assert dict(zip(ALLOWED, done, strict=True)) == dict.fromkeys(ALLOWED, "done")


def test_it_takes_so_much_memory_and_no_more(tmp_path: Path) -> None:
    taken = "\ntry:\n  bytearray(3 << 30)\nexcept MemoryError:\n  raise PermissionError"
    assert in_confinement(tmp_path, taken) == ["PermissionError"]


def test_drivers_that_are_wanted_are_no_others() -> None:
    named = set(gdal_child.NOT_WANTED.split(","))
    assert not named & {driver for drivers in gdal_child.DRIVERS_OF.values() for driver in drivers}
