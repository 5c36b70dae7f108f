"""One form, one answer: the same inputs, good and bad, through every door; what each says is compared.

Orders go through `evaluate`, `orders import` and HTTP; facts through `evaluate` (CSV, NDJSON, Parquet), the door of devices (JSON,
MessagePack) and `replay`; zones through `zones check`, `zones import`, `orders import` and `evaluate`.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from emtrack.files.facts import POSITION_COLUMNS
from tests.command_line import Ran, emtrack_aside
from tests.office import ORDERS, Office
from tests.service_world import activation, curfew

FIELD = Path(__file__).parent / "field"
UNTIL = ("--until", "2026-03-02T19:30:00Z")
OK = "taken"
HEADER = ",".join(POSITION_COLUMNS)


def database(office: Office) -> dict[str, str]:
    assert office.settings.database_url is not None
    return {"EMTRACK_DATABASE_URL": office.settings.database_url, "EMTRACK_URL": office.address}


def what_is_wrong(text: str) -> str:
    """The last line of an error, without the name of the file, the line and the field."""
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return re.sub(r"^(emtrack: )?[^:]+: (line [0-9]+: )?([A-Za-z_.\[\]0-9]+: )?", "", last)


def answer_of(ran: Ran) -> str:
    assert ran.returncode in (0, 2), ran.stderr
    assert "Traceback" not in ran.stderr
    return OK if ran.returncode == 0 else what_is_wrong(ran.stderr)


# ------------------------------------------------------------------------------------------- orders

ABSENCE = {"wearer_id": "W9", "from": "2026-03-05T18:00:00Z", "to": "2026-03-05T22:00:00Z", "reason": "hospital"}
LATER = ABSENCE | {"from": "2026-03-05T21:00:00Z", "to": None}
WORN = activation(9)
BOW = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
OPEN = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}

ORDERS_CORPUS: dict[str, tuple[dict[str, Any], str]] = {
    "good": ({"activations": [WORN], "requirements": [curfew(9)]}, OK),
    "id that needs quoting": ({"activations": [activation(9, activation_id="A 26#1?x=é%:'", device_id="D 26#1?x=é%:'")]}, OK),
    "requirement that needs quoting": ({"requirements": [curfew(9, requirement_id="R 26#1?x=é%:'")]}, OK),
    "id with a slash": ({"activations": [activation(9, activation_id="A/26")]}, "it holds '/'"),
    "id that is not seen": ({"activations": [activation(9, device_id="D\u200b9")]}, "a mark that is not seen"),
    "id from right to left": ({"activations": [activation(9, wearer_id="\u202eW9")]}, "a mark that is not seen"),
    "control character": ({"activations": [activation(9, network="a\x1b[2J")]}, "changes what is"),
    "NUL": ({"activations": [activation(9, network="a\0b")]}, "a NUL character"),
    "24:00": ({"activations": [activation(9, to="2026-03-04T24:00:00Z")]}, "24:00, which is no time of day"),
    "second 60": ({"requirements": [curfew(9, to="2026-06-30T23:59:60Z")]}, "second 60, a leap second"),
    "name of a zone": ({"requirements": [curfew(9, to="2026-06-30 23:59 UTC")]}, "the name of a zone"),
    "ends before it begins": ({"requirements": [curfew(9, to="2020-01-01T00:00:00Z")]}, "`to` is not after `from`"),
    "entry twice": ({"requirements": [curfew(9), curfew(9)]}, "it stands twice"),
    "entries that overlap": (
        {"requirements": [curfew(9), curfew(9, **{"from": "2026-03-02T00:00:00Z"})]}, "end the first before the second",
    ),
    "good absence": ({"activations": [WORN], "absences": [ABSENCE]}, OK),
    "shape that crosses itself": ({"requirements": [curfew(9, geometry=BOW)]}, "Self-intersection"),
    "shape that is open": ({"requirements": [curfew(9, geometry=OPEN)]}, "is not closed"),
    "unknown field": ({"requirements": [curfew(9, colour="red")]}, "unknown field"),
}  # fmt: skip


async def evaluated(path: Path) -> str:
    facts = path.with_name("none.csv")
    facts.write_text(HEADER + "\n")
    return answer_of(await emtrack_aside("evaluate", "--orders", path, "--positions", facts, *UNTIL))


async def imported(office: Office, path: Path) -> str:
    return answer_of(await emtrack_aside("orders", "import", "--dry-run", path, **database(office)))


async def sent(office: Office, method: str, path: str, body: Any) -> str:
    async with office.http.request(method, path, json=body, headers=office.bearer("officer")) as response:
        said = await response.json()
        if response.status == 200:
            return OK
        assert response.status in (409, 422), said
        assert (response.status == 409) == ("overlaps" in said)
        return what_is_wrong(said["error"])


async def over_http(office: Office, form: dict[str, Any]) -> set[str]:
    """The answers to each thing of some orders; OK only where there is nothing else."""
    answers = {await sent(office, "POST", "/v1/activations", one) for one in form.get("activations", [])}
    for requirement_id in {one["requirement_id"] for one in form.get("requirements", [])}:
        entries = [one for one in form["requirements"] if one["requirement_id"] == requirement_id]
        answers.add(await sent(office, "PUT", f"/v1/requirements/{quote(requirement_id, safe='')}", entries))
    answers |= {await sent(office, "POST", "/v1/wearers/W9/absences", one) for one in form.get("absences", [])}
    return answers - {OK} or {OK}


async def test_orders_get_the_same_answer_at_every_door(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    for name, (form, expected) in ORDERS_CORPUS.items():
        path.write_text(json.dumps(form, indent=1))
        first = await evaluated(path)
        assert (first == OK) if expected == OK else (expected in first), (name, first)
        assert await imported(office, path) == first, name
        assert await over_http(office, form) == {first}, name


async def test_texts_of_orders_get_the_same_answer_at_every_door(office: Office, tmp_path: Path) -> None:
    """What is wrong before there is a form: the answer over HTTP is 400, and the text the same."""
    path, good = tmp_path / "orders.json", json.dumps(WORN)
    texts = {
        good[:-1] + ', "device_id": "D8"}': "the field 'device_id' stands twice",
        good[:-1] + ', "device\\u005fid": "D8"}': "the field 'device_id' stands twice",
        good[:-1]: "this is not JSON",
        good.replace("W9", "\\ud800"): "half of a surrogate pair",
        "\ufeff" + good: OK,
    }
    for text, expected in texts.items():
        mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
        path.write_text(f'{mark}{{"activations": [{body}' + ("" if expected.startswith("this is not") else "]}"))
        first = await evaluated(path)
        assert (first == OK) if expected == OK else (expected in first), (text, first)
        assert await imported(office, path) == first, text
        headers = office.bearer("officer")
        async with office.http.post("/v1/activations", data=text.encode(), headers=headers) as response:
            said = await response.json()
        assert response.status == (200 if expected == OK else 400), said
        assert expected == OK or expected in said["error"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("26/orders.json", "it holds '/'"),
        ("33/orders_nul_name.json", "wearers[0].name: it holds a NUL character"),
        ("15/orders_dup.json", "it stands twice"),
        ("15/orders_overlap.json", "end the first before the second begins"),
    ],
)
async def test_orders_from_the_field_are_refused_alike(office: Office, name: str, what: str) -> None:
    doors = (
        ("evaluate", "--positions", FIELD / "base" / "positions.csv", *UNTIL, "--orders"), ("orders", "import"),
        ("replay", FIELD / "base" / "positions.csv", "--orders"),
    )  # fmt: skip
    answers = [await emtrack_aside(*door, FIELD / name, **database(office)) for door in doors]
    assert {ran.returncode for ran in answers} == {2}
    assert len({ran.stderr for ran in answers}) == 1
    assert what in answers[0].stderr


async def test_a_body_that_is_compressed_is_415_at_every_door_and_names_the_header(office: Office) -> None:
    doors = [
        ("POST", "/v1/devices/D1/reports", office.keys["D1"]), ("PUT", "/v1/requirements/C1", office.tokens["officer"]),
        ("POST", "/v1/activations", office.tokens["officer"]), ("POST", "/v1/alerts/1/actions", office.tokens["operator"]),
        ("POST", "/v1/findings/1/excuse", office.tokens["officer"]),
    ]  # fmt: skip
    for method, path, key in doors:
        headers = {"Authorization": f"Bearer {key}", "Content-Encoding": "gzip", "Content-Type": "application/json"}
        async with office.http.request(method, path, data=b"\x1f\x8b", headers=headers) as response:
            assert (response.status, "Content-Encoding is 'gzip'" in await response.text()) == (415, True), path


# ------------------------------------------------------------------------------------------- facts

GOOD = {"device_id": "D1", "fix_time": "2026-03-02T19:00:00Z", "lat_deg": 53.0, "lon_deg": -2.1, "precision_m": 6.0,
        "mechanism": "GPS"}  # fmt: skip
FACTS: list[tuple[dict[str, Any], str]] = [
    (GOOD, OK),
    (GOOD | {"fix_time": "2026-03-02 19:01:00,5+00"}, OK),
    (GOOD | {"fix_time": "20260302T190200Z", "precision_m": None}, OK),
    (GOOD | {"fix_time": "2026-03-01T24:00:00Z"}, "bad_time"),
    (GOOD | {"fix_time": "2026-03-02T18:59:60Z"}, "bad_time"),
    (GOOD | {"fix_time": "2026-03-02T19:00:00"}, "bad_time"),
    (GOOD | {"fix_time": "02/03/2026 19:00"}, "bad_time"),
    (GOOD | {"fix_time": "2026-W10-1T19:10:00Z"}, "bad_time"),
    (GOOD | {"fix_time": None}, "bad_time"),
    (GOOD | {"fix_time": "2026-02-30T19:00:00Z"}, "bad_time"),
    (GOOD | {"lat_deg": 91.0}, "bad_coordinate"),
    (GOOD | {"lon_deg": None}, "bad_coordinate"),
    (GOOD | {"precision_m": "six"}, "bad_precision"),
    (GOOD | {"mechanism": "GLONASS"}, "unknown_mechanism"),
    (GOOD | {"mechanism": None}, "unknown_mechanism"),
    (GOOD | {"fix_time": "2020-01-01T00:00:00Z"}, "no_activation"),
]


def files_of(folder: Path, facts: list[dict[str, Any]]) -> list[Path]:
    """The same facts in every form of file."""
    paths = [folder / f"facts{ending}" for ending in (".csv", ".ndjson", ".parquet")]
    with paths[0].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(POSITION_COLUMNS)
        writer.writerows([["" if f[name] is None else f[name] for name in POSITION_COLUMNS] for f in facts])
    paths[1].write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    typed = [fact | {"precision_m": 6.0} if isinstance(fact["precision_m"], str) else fact for fact in facts]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(typed), paths[2])  # a column of Parquet has one type
    return paths


Refused = list[tuple[int, str, str]]
"""Number of the fact (from 1), reason, and what is said of it."""


async def refused_by_evaluate(path: Path, orders: Path) -> Refused:
    out = path.with_suffix(".refusals")
    ran = await emtrack_aside("evaluate", "--orders", orders, "--positions", path, *UNTIL, "--refusals", out)
    assert ran.returncode == 0, ran.stderr
    first = 2 if path.suffix == ".csv" else 1
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return [(row["line"] - first + 1, row["reason"], f"{row['what']}: {row['action']}") for row in rows]


async def refused_by_the_service(
    office: Office, facts: list[dict[str, Any]], content_type: str, boot: int
) -> Refused:
    reports = [
        {"seq": n, "type": "position"} | {k: v for k, v in f.items() if v is not None} for n, f in enumerate(facts, 1)
    ]
    encode, decode = (
        (msgspec.json.encode, msgspec.json.decode)
        if "json" in content_type
        else (msgspec.msgpack.encode, msgspec.msgpack.decode)
    )
    headers = {"Authorization": f"Bearer {office.keys['D1']}", "Content-Type": content_type}
    body = encode({"boot": boot, "reports": reports})
    async with office.http.post("/v1/devices/D1/reports", data=body, headers=headers) as response:
        answer = decode(await response.read())
    assert (response.status, answer["ack"]) == (200, [*range(1, len(facts) + 1)])
    return [(row["seq"], row["reason"], row["action"]) for row in answer["refused"]]


def without_activation(refused: Refused) -> Refused:
    """A service says that it waits for an activation; a file says of which device. The reason is the same."""
    return [(n, reason, "" if reason == "no_activation" else what) for n, reason, what in refused]


async def test_facts_get_the_same_answer_at_every_door(office: Office, tmp_path: Path) -> None:
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps(ORDERS))
    expected = [(n, reason) for n, (_, reason) in enumerate(FACTS, 1) if reason != OK]
    facts = [dict(fact) for fact, _ in FACTS]
    online = await refused_by_the_service(office, facts, "application/json", 1)
    assert [(n, reason) for n, reason, _ in online] == expected
    assert await refused_by_the_service(office, facts, "application/msgpack", 2) == online
    by_csv, by_ndjson, by_parquet = [
        without_activation(await refused_by_evaluate(path, orders)) for path in files_of(tmp_path, facts)
    ]
    assert by_csv == by_ndjson == without_activation(online)
    assert by_parquet == [row for row in by_ndjson if row[1] != "bad_precision"]


async def test_a_recording_is_sent_to_its_end_and_counts_what_the_service_refuses(
    office: Office, tmp_path: Path
) -> None:
    facts = [dict(fact, device_id="D2") for fact, _ in FACTS] + [GOOD | {"device_id": "stranger"}]
    path = tmp_path / "facts.ndjson"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts) + '{"device_id": "D2", "device_id": "D1"}\n')
    (tmp_path / "orders.json").write_text(json.dumps(ORDERS))
    ran = await emtrack_aside("replay", path, "--orders", tmp_path / "orders.json", **database(office))
    assert ran.returncode == 0, ran.stderr
    refused = Counter(reason for _, reason in FACTS if reason != OK)
    counted = {m[2]: int(m[1]) for m in re.finditer(r"([0-9]+) +refused: (\w+)", ran.stderr)}
    assert counted == refused
    assert "1 rows are of devices that the orders do not activate, and are left out: 'stranger' (1)" in ran.stderr
    assert "the field 'device_id' stands twice" in ran.stderr
    assert f"{len(FACTS)} of {len(FACTS)} reports acknowledged" in ran.stderr


# ------------------------------------------------------------------------------------------- zones

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[-2.19, 53.02], [-2.17, 53.02], [-2.17, 53.03], [-2.19, 53.03], [-2.19, 53.02]]],
}
FEATURE = {"type": "Feature", "id": "a", "properties": {}, "geometry": SQUARE}
ZONES: dict[str, tuple[Any, str]] = {
    "good": (FEATURE, OK),
    "bounding box": (FEATURE | {"bbox": [0, 0, 1, 1], "geometry": SQUARE | {"bbox": [0, 0, 1, 1]}}, OK),
    "number": (FEATURE | {"id": 12345678901234567890}, OK),
    "other number": (FEATURE | {"id": 1.5}, OK),
    "id by its property": (FEATURE | {"id": None, "properties": {"zone_id": "way/1"}}, OK),
    "id that is none": (FEATURE | {"id": True}, "its id is 'True'; expected a text or a number"),
    "id that is not seen": (FEATURE | {"id": "a\u200f"}, "a mark that is not seen"),
    "open": (FEATURE | {"geometry": OPEN}, "a ring that begins at [0.0, 0.0] is not closed"),
    "crossing": (FEATURE | {"geometry": BOW}, "Self-intersection[0.5 0.5]"),
    "part of nothing": (
        FEATURE | {"geometry": {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"], []]}},
        "part 2: coordinates are empty",
    ),
    "line": (FEATURE | {"geometry": {"type": "LineString", "coordinates": [[0, 0]]}}, "its geometry is LineString"),
    "text for a number": (
        FEATURE | {"geometry": {"type": "Polygon", "coordinates": [[["x", 1], [1, 1], [1, 0], ["x", 1]]]}}, "a longitude is 'x'",
    ),
}  # fmt: skip


async def test_zones_get_the_same_answer_at_every_door(office: Office, tmp_path: Path) -> None:
    zones, orders = tmp_path / "zones.geojson", tmp_path / "orders.json"
    orders.write_text(json.dumps({"zone_sets": [{"set_id": "s", "version": "1", "features": "zones.geojson"}]}))
    facts = tmp_path / "none.csv"
    facts.write_text(HEADER + "\n")
    doors = (
        ("zones", "check", zones), ("zones", "import", "--dry-run", "--set-id", "s", "--version", "1", zones),
        ("orders", "import", "--dry-run", orders), ("evaluate", "--orders", orders, "--positions", facts, *UNTIL),
    )  # fmt: skip
    for name, (feature, expected) in ZONES.items():
        zones.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        for door in doors:
            ran = await emtrack_aside(*door, **database(office))
            assert ran.returncode == (0 if expected == OK else 2), (name, door, ran.stderr)
            assert expected == OK or expected in " ".join((ran.stdout + ran.stderr).split()), (name, door, ran.stderr)
