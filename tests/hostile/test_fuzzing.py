"""A minute of nonsense for each reader of what others write: a value, or an error of its own; never another error."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from alerts import BadFeedPosition, FeedPosition
from emtrack.files.facts import POSITION_COLUMNS, read_rows
from emtrack.forms.errors import FormError
from emtrack.forms.json_text import read_json_text
from emtrack.forms.names import harmless
from emtrack.forms.reading import read_orders
from emtrack.zones.reading import read_zone_file
from geofence import NotAnInstant, parse_instant
from ingest import WireError, read_request
from tests.hostile.test_files import GEOJSON, KML, archive_of
from tests.office import ORDERS, away
from tests.service_world import event

SECONDS = 60
SEED = 20_261_129
REPORTS = {"boot": 1, "reports": [away("19:50", 1), event(2, "19:51", "STRAP_TAMPER"), {"x": [[[1]], "\u00e9\n"]}]}
ODD = [
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"[" * 70,
        b"{",
        b"}",
        b'"',
        b"\\u0000",
        b"1e999",
        b"-",
        b"null",
        b"NaN",
        b",",
        b":",
    ),
    *(b"\x93", b"\xdf\xff\xff\xff\xff", "\u202e\u0661\u00b2".encode(), b"9" * 400, b"\r\n"),
]


def changed(rng: random.Random, seed: bytes) -> bytes:
    """Something cut out, put in, doubled or turned over, a few times."""
    body = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randrange(len(body) + 1), rng.randrange(12)
        piece = rng.choice([rng.choice(ODD), rng.randbytes(length), bytes(body[at : at + length]) * 3])
        body[at : at + rng.choice([0, length])] = piece
    return bytes(body)


def read_orders_in(body: bytes, _: Path) -> None:
    read_orders(body.decode("utf-8", "surrogateescape"), "orders.json")


def read_zones(name: str) -> Callable[[bytes, Path], None]:
    def read(body: bytes, folder: Path) -> None:
        (folder / name).write_bytes(body)
        read_zone_file(folder / name)

    return read


def read_csv(body: bytes, folder: Path) -> None:
    (folder / "positions.csv").write_bytes(body)
    list(read_rows(folder / "positions.csv", POSITION_COLUMNS))


def archive(folder: Path) -> bytes:
    return archive_of(folder / "seed.zip", {"a.kml": (KML % "").encode(), "b.geojson": GEOJSON.encode()}).read_bytes()


CSV = (",".join(POSITION_COLUMNS) + "\nD1,2026-03-02T12:01:00Z,53.0,-2.1,6,GPS\n").encode()
READERS: dict[str, tuple[Callable[[bytes, Path], object], Callable[[Path], bytes]]] = {
    "reports in JSON": (lambda body, _: read_request(body, "application/json"), lambda _: json.dumps(REPORTS).encode()),
    "reports in MessagePack": (
        lambda body, _: read_request(body, "application/msgpack"), lambda _: msgspec.msgpack.encode(REPORTS)),
    "orders": (read_orders_in, lambda _: json.dumps(ORDERS).encode()),
    "a body of a form": (lambda body, _: read_json_text(body, "x"), lambda _: json.dumps(REPORTS).encode()),
    "positions in CSV": (read_csv, lambda _: CSV),
    "GeoJSON": (read_zones("x.geojson"), lambda _: GEOJSON.encode()),
    "KML": (read_zones("x.kml"), lambda _: (KML % "").encode()),
    "an archive": (read_zones("x.zip"), archive),
    "a time": (lambda body, _: parse_instant(body.decode("latin-1")), lambda _: b"2026-03-02T19:00:00.250+01:00"),
    "a place in the feed": (lambda body, _: FeedPosition.read(body.decode("latin-1")), lambda _: b"123-456"),
    "a text for a terminal": (lambda body, _: harmless(body.decode("latin-1")), lambda _: b"line 1\nline 2"),
}  # fmt: skip
KNOWN = (FormError, WireError, NotAnInstant, BadFeedPosition)


def tried(reader: str, folder: Path, rounds: Iterator[object]) -> int:
    """How often it was read."""
    read, seed_of = READERS[reader]
    seed, rng, count = seed_of(folder), random.Random(SEED), 0
    for _ in rounds:
        body = changed(rng, seed)
        count += 1
        try:
            read(body, folder)
        except KNOWN:
            continue
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} at {body!r}") from error
    return count


def for_seconds(seconds: float) -> Iterator[object]:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        yield None


IN_A_PROCESS = ("KML", "an archive")


@pytest.mark.parametrize("reader", [one for one in READERS if one not in IN_A_PROCESS])
def test_some_nonsense_is_told_so(reader: str, tmp_path: Path) -> None:
    assert tried(reader, tmp_path, iter(range(100))) == 100


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS)
def test_a_minute_of_nonsense_is_told_so(reader: str, tmp_path: Path) -> None:
    assert tried(reader, tmp_path, for_seconds(SECONDS)) > 10
