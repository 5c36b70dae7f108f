"""What leaves the service says behind which of its facts nothing stands but an identifier: every form, every door (decision 46)."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import geopandas
import gpxpy
import msgspec
import pyarrow.parquet as pq
import pypdf
import pytest

from emtrack.canary.entering import enter_canary
from emtrack.cli.exporting import AskedExport, export_positions, export_report
from emtrack.cli.findings import stored_findings
from emtrack.cli.near import near_of
from emtrack.files.evaluate import evaluate
from emtrack.files.export import export_to
from emtrack.files.positions import PositionForm
from emtrack.files.subject import export_subject
from emtrack.forms.lines import finding_lines
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import end_device_identifier, import_orders, set_device_identifier
from emtrack.people.looks import SERVICE, commander
from emtrack.people.roles import Role
from emtrack.reading.breach_pack import pack_of
from emtrack.record.near import Asked, Question, results_of
from emtrack.retention.rules import Kind, Rule
from emtrack.retention.runs import begin_run, planned
from geofence import Interval
from geofence.nearness import Spot
from geofence.words import parse_instant
from tests.office import EXCLUSION, ORDERS, Office, away, open_office
from tests.service_world import AWAY, activation, curfew, event, ms, settings_for
from tests.test_home_units import unit
from tests.visitor import Visitor

PHONE = "ann-pixel"
WINDOW = (parse_instant("2026-03-02T19:00:00Z"), parse_instant("2026-03-02T20:00:00Z"))
BODY = {"from": "2026-03-02T19:00:00Z", "to": "2026-03-02T20:00:00Z"}
WORDS = ["no", "no", "yes"]
"""Of the positions of W1: two by telephone, one by the key of the tag."""
ANN = commander("Ann", "COURT", "case 7")


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """W1 is out at curfew: a telephone says so twice, then the tag. W2 has a tag alone; a home unit hears it."""
    form = ORDERS | {"home_units": [unit(2)]}
    async with open_office(database_url, data_dir, form, check_in="on") as office:
        await set_device_identifier(office.settings, "D1", "osmand", PHONE, who="Ann")
        await office.report(
            "H1", {**event(1, "19:05", "RF_IN"), "tag": "D2"}, {**event(2, "19:30", "RF_OUT"), "tag": "D2"}
        )
        for at in ("19:50", "19:52"):
            await check_in(office, at)
        await office.report("D1", away("19:54", 3))
        await office.report("D2", away("19:51", 1), away("19:53", 2), away("19:56", 3))
        yield office


async def check_in(office: Office, at: str) -> None:
    query = f"id={PHONE}&lat={AWAY[1]}&lon={AWAY[0]}&timestamp={ms(at) // 1000}&accuracy=5&token={office.keys['D1']}"
    async with office.http.get(f"/check-in/osmand?{query}") as response:
        assert response.status == 200, await response.text()


# ---------------------------------------------------------------------------------------------- positions


def of_csv(content: bytes) -> list[str]:
    return [row["authenticated"] for row in csv.DictReader(io.StringIO(content.decode()))]


def word(is_authenticated: Any) -> str:
    assert is_authenticated in (True, False)
    return "yes" if is_authenticated else "no"


def of_geojson(content: bytes) -> list[str]:
    whole = json.loads(content)
    assert whole["about"]["not_authenticated"] == 2
    geopandas.read_file(io.BytesIO(content))
    return [word(feature["properties"]["authenticated"]) for feature in whole["features"]]


def of_gpx(content: bytes) -> list[str]:
    read = gpxpy.parse(content.decode())
    points = [point for segment in read.tracks[0].segments for point in segment.points] + list(read.waypoints)
    points.sort(key=lambda point: point.time)
    return [one.text for point in points for one in point.extensions if one.tag == "{urn:emtrack:gpx:1}authenticated"]


def of_geoparquet(content: bytes) -> list[str]:
    table = pq.read_table(io.BytesIO(content))
    assert json.loads(table.schema.metadata[b"emtrack"])["not_authenticated"] == 2
    return [word(one) for one in table.column("authenticated").to_pylist()]


READ: dict[PositionForm, Callable[[bytes], list[str]]] = {
    PositionForm.CSV: of_csv, PositionForm.CSV_FULL: of_csv, PositionForm.GEOJSON: of_geojson, PositionForm.GPX: of_gpx,
    PositionForm.GEOPARQUET: of_geoparquet,
}  # fmt: skip


async def test_each_form_of_a_file_of_positions_says_it_at_each_door(office: Office, tmp_path: Path) -> None:
    assert set(READ) == set(PositionForm), "a form that nobody reads here says it to nobody"
    headers = office.bearer("officer") | {"Purpose": "COURT"}
    visitor = Visitor(office)
    try:
        await visitor.log_in(await office.account(Role.OFFICER))
        page = {
            "purpose": "COURT",
            "begin": "2026-03-02T19:00",
            "end": "2026-03-02T20:00",
            "form_key": await visitor.form_key(),
        }
        for form, read in READ.items():
            async with office.http.post(
                "/v1/wearers/W1/export", json=BODY | {"form": form}, headers=headers
            ) as answer:
                assert read(await answer.read()) == WORDS, f"{form} over HTTP"
            async with visitor.http.post("/wearers/1/export", data=page | {"form": str(form)}) as answer:
                assert read(await answer.read()) == WORDS, f"{form} of the page"
            path = tmp_path / str(form)
            await export_positions(office.settings, ANN, AskedExport("W1", WINDOW, str(form)), path)
            assert read(path.read_bytes()) == WORDS, f"{form} of the command"
    finally:
        await visitor.http.close()


async def test_the_evidence_report_says_it_in_each_of_its_files(office: Office, tmp_path: Path) -> None:
    await export_report(office.settings, ANN, AskedExport("W1", WINDOW, ""), tmp_path / "W1.zip")
    with zipfile.ZipFile(tmp_path / "W1.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert of_csv(files["positions.csv"]) == WORDS
    told = json.loads(files["report.json"])
    assert [row[told["positions"]["head"].index("Authenticated")] for row in told["positions"]["rows"]] == WORDS
    (curfew_finding,) = [one for one in told["standing"] + told["amended"] if "curfew" in one["title"].lower()]
    assert dict(curfew_finding["lines"])["Not authenticated"] == "2 of the 2 facts it rests on"
    at = curfew_finding["evidence"]["head"].index("Authenticated")
    assert [row[at] for row in curfew_finding["evidence"]["rows"]] == ["no", "no"]
    said = "2 of the positions and the facts of"
    printed = pypdf.PdfReader(io.BytesIO(files["report.pdf"]))
    text = " ".join(" ".join(page.extract_text() for page in printed.pages).split())
    for one in (files["report.html"].decode(), text):
        assert said in one
        assert "Authenticated" in one


async def test_a_report_of_somebody_with_a_key_says_so_of_each_fact_and_warns_of_nothing(
    office: Office, tmp_path: Path
) -> None:
    await export_report(office.settings, ANN, AskedExport("W2", WINDOW, ""), tmp_path / "W2.zip")
    with zipfile.ZipFile(tmp_path / "W2.zip") as archive:
        told = json.loads(archive.read("report.json"))
    assert {row[-1] for row in (*told["positions"]["rows"], *told["events"]["rows"])} == {"yes"}
    assert "ot authenticated" not in json.dumps(told)


# ---------------------------------------------------------------------------------------------- who was near


def near(begin: str, end: str, asked: Asked = Asked.PLACE) -> Question:
    spot = Spot(*AWAY, 100.0) if asked is Asked.PLACE else None
    return Question(asked, Interval(ms(begin), ms(end)), 100.0, spot)


async def test_who_was_near_says_on_what_it_rests_over_http_on_the_page_and_by_the_command(office: Office) -> None:
    """In the first time the likeliest position of W1 is of the telephone, in the second of the tag; in the third is none, and there
    was time between one of each."""
    visitor = Visitor(office)
    try:
        await visitor.log_in(await office.account(Role.SUPERVISOR), "Ann")
        for begin, end, expected in (
            ("19:49", "19:53", {"W1": False, "W2": True}),
            ("19:53:30", "19:55", {"W1": True, "W2": True}),
            ("19:52:30", "19:52:50", {"W1": False, "W2": True}),
        ):
            body = {"lat_deg": AWAY[1], "lon_deg": AWAY[0], "radius_m": 100, "from": at(begin), "to": at(end)}
            status, answer = await office.post("/v1/near", body)
            assert status == 200, answer
            assert {one["wearer_id"]: one["authenticated"] for one in answer["people"]} == expected, begin
            (line,) = await near_of(office.settings, ANN, [near(begin, end)])
            assert {one["wearer_id"]: one["authenticated"] for one in json.loads(line)["people"]} == expected, begin
            _, page = await visitor.get(f"/near/{answer['run_no']}")
            assert page.count("Not authenticated") == list(expected.values()).count(False), begin
        page = await page_of_pair(visitor)
        assert page.count("Not authenticated") == 1, "that of the other counts, too"
    finally:
        await visitor.http.close()


async def page_of_pair(visitor: Visitor) -> str:
    """The page of the answer whether W2 and W1 were near each other."""
    pair = {
        "purpose": "COURT",
        "radius": "100",
        "one": "W2",
        "other": "W1",
        "begin": "2026-03-02T19:45",
        "end": "2026-03-02T19:59",
    }
    _, there = await visitor.post("/near/together", form_key=await visitor.form_key(), **pair)
    _, page = await visitor.get(there)
    return str(page)


@pytest.fixture
async def by_phone(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """Of W1 nothing but what a telephone says, until 20:30, when their order ends. They are in no cohort."""
    form = {
        "activations": [activation(1, to=ENDS), activation(2)],
        "requirements": [curfew(1, to=ENDS), curfew(2)],
    }
    async with open_office(database_url, data_dir, form, check_in="on") as office:
        await set_device_identifier(office.settings, "D1", "osmand", PHONE, who="Ann")
        yield office


ENDS = "2026-03-02T20:30:00Z"


async def asked(office: Office, question: Question) -> tuple[int, dict[str, bool]]:
    """The number of a question, and what its answer says of each whom it names."""
    (line,) = await near_of(office.settings, ANN, [question])
    told = json.loads(line)
    return told["run_no"], {one["wearer_id"]: one["authenticated"] for one in told["people"]}


async def test_time_to_be_there_rests_on_both_positions_also_where_one_of_them_lies_in_the_time(
    by_phone: Office,
) -> None:
    """A telephone at 19:50, the tag at 19:54, the place 1.3 km off: the position of the tag says nothing of it, the time does."""
    await check_in(by_phone, "19:50")
    await by_phone.report("D1", away("19:54", 3))
    spot = Spot(AWAY[0], AWAY[1] + 0.012, 100.0)
    question = Question(Asked.PLACE, Interval(ms("19:51"), ms("19:55")), 100.0, spot)
    run_no, told = await asked(by_phone, question)
    (result,) = await results_of(by_phone.connection, run_no)
    assert result.named.fact_id is not None, "the case is one of a named position"
    assert result.named.possible is not None
    assert told == {"W1": False}


async def test_as_far_as_positions_hold_is_what_it_was_when_it_was_asked(database_url: str, data_dir: Path) -> None:
    """Both ends of a gap of 75 minutes are of the telephone; here positions hold for two hours."""
    form = ORDERS | {"settings": {"max_gap_s": 7200}}
    async with open_office(database_url, data_dir, form, check_in="on") as office:
        await set_device_identifier(office.settings, "D1", "osmand", PHONE, who="Ann")
        await check_in(office, "18:30")
        await check_in(office, "19:45")
        assert (await asked(office, near("19:05", "19:10")))[1] == {"W1": False}


async def test_what_was_not_authenticated_never_becomes_so_by_what_is_deleted(by_phone: Office) -> None:
    """Looks, and with them what was answered, are kept for longer than positions and findings."""
    await check_in(by_phone, "19:50")
    await check_in(by_phone, "19:52")
    await by_phone.report("D2", away("19:51", 1), away("19:53", 2))
    by_sight, told = await asked(by_phone, near("19:49", "19:53:30"))
    assert told == {"W1": False, "W2": True}
    by_time, told = await asked(by_phone, near("19:51:30", "19:51:50"))
    assert told == {"W1": False, "W2": True}

    await delete(by_phone, {Kind.LOOKS: 300})
    assert await by_phone.connection.fetchval("SELECT count(*) FROM positions") == 2, "those of W1 went"
    for run_no in (by_sight, by_time):
        results = await results_of(by_phone.connection, run_no)
        assert {one.wearer_id: one.is_authenticated for one in results} == {"W1": False, "W2": True}

    await delete(by_phone, {})
    assert await by_phone.connection.fetchval("SELECT count(*) FROM unauthenticated_facts") == 0
    for run_no in (by_sight, by_time):
        assert [one.wearer_id for one in await results_of(by_phone.connection, run_no)] == ["W2"]


async def test_what_rests_on_positions_of_which_none_is_stored_any_more_is_not_authenticated(office: Office) -> None:
    """Nobody can say what stood behind them."""
    by_time, told = await asked(office, near("19:52:30", "19:52:50"))
    assert told == {"W1": False, "W2": True}
    await office.connection.execute("DELETE FROM positions")
    assert {one.is_authenticated for one in await results_of(office.connection, by_time)} == {False}


async def test_what_was_not_authenticated_never_becomes_so_by_a_correction_of_orders(by_phone: Office) -> None:
    """By orders of today the telephone was with nobody yet when it said where it was."""
    await check_in(by_phone, "19:50")
    await by_phone.report("D1", away("19:54", 3))
    run_no, told = await asked(by_phone, near("19:51", "19:53"))
    assert told == {"W1": False}
    corrected = {"activations": [activation(1, **{"from": "2026-03-02T19:52:00Z", "to": ENDS})]}
    await import_orders(
        by_phone.settings, read_orders(json.dumps(corrected), "corrected.json"), who="Ann", dry_run=False
    )
    (result,) = await results_of(by_phone.connection, run_no)
    assert not result.is_authenticated


@pytest.mark.parametrize("kind", [Kind.FINDINGS, Kind.POSITIONS, Kind.EVENTS, Kind.LOOKS])
async def test_what_is_not_authenticated_is_known_as_long_as_anything_that_may_rest_on_it(
    by_phone: Office, kind: Kind
) -> None:
    await check_in(by_phone, "19:50")
    await delete(by_phone, {kind: 300})
    assert await by_phone.connection.fetchval("SELECT count(*) FROM unauthenticated_facts") == 1


async def delete(office: Office, days: dict[Kind, int]) -> None:
    """Retention on 1 April: all but some kinds goes after a day."""
    rules = {kind: Rule(days.get(kind, 1), "a test") for kind in Kind}
    now_ms = parse_instant("2026-04-01T12:00:00Z")
    run = await begin_run(office.connection, await planned(office.connection, rules, now_ms), "Ann")
    await run.all_of_it("Ann", now_ms)


def at(moment: str) -> str:
    return f"2026-03-02T{moment if moment.count(':') == 2 else f'{moment}:00'}Z"


# ---------------------------------------------------------------------------------------------- findings


async def test_findings_say_of_how_many_facts_nobody_vouches(office: Office) -> None:
    async with office.http.get("/v1/findings", headers=office.bearer("operator")) as answer:
        over_http = [json.loads(line) for line in (await answer.text()).splitlines()]
    by_command = [json.loads(line) for line in await stored_findings(office.settings, ANN, None, None, None)]
    again = [json.loads(line) for line in await stored_findings(office.settings, ANN, None, ms("20:10"), None)]
    for lines in (over_http, by_command, again):
        lower = {line["wearer_id"]: line.get("unauthenticated_facts") for line in lines if line["kind"] == "CURFEW"}
        assert lower == {"W1": 2, "W2": None}, lines


async def test_a_breach_pack_says_it_of_its_findings(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = await office.connection.fetch(
        "SELECT finding_no FROM findings WHERE kind = 'CURFEW' ORDER BY activation_no"
    )
    numbers = [row["finding_no"] for row in rows]

    class Breach(msgspec.Struct):
        findings: list[int]
        why: str = ""

    class Line(msgspec.Struct):
        breach: Breach
        wearer_no: int = 1
        item_no: int = 0

    async def lines_of(*_: Any) -> list[Line]:
        return [Line(Breach(numbers))]

    monkeypatch.setattr("emtrack.reading.breach_pack.lines_of", lines_of)
    pack = await pack_of(office.connection, None, ms("20:00"))
    assert [one.unauthenticated for one in pack.findings] == [0, 2]


async def test_the_file_that_a_person_is_given_of_what_is_held_says_it(office: Office, tmp_path: Path) -> None:
    for begin, end in (("19:49", "19:53"), ("19:53:30", "19:55"), ("19:52:30", "19:52:50")):
        await near_of(office.settings, ANN, [near(begin, end)])
    visitor = Visitor(office)
    try:
        await visitor.log_in(await office.account(Role.SUPERVISOR), "Ann")
        await page_of_pair(visitor)
    finally:
        await visitor.http.close()
    await export_subject(office.settings, "W1", tmp_path / "W1", "Ann")

    def column(name: str, field: str) -> list[str]:
        with (tmp_path / "W1" / f"{name}.csv").open(newline="") as file:
            return [row[field] for row in csv.DictReader(file)]

    assert column("positions", "authenticated") == WORDS
    assert column("near", "authenticated") == ["no", "yes", "no", "no"], "as `results_of` says it"
    assert "2" in column("findings", "unauthenticated_facts")


# ---------------------------------------------------------------------------------------------- all that is stored


async def test_the_bundle_of_all_says_it_and_what_devices_speak_and_is_judged_as_the_record_is(
    office: Office, second_database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "all"
    await export_to(office.settings, folder, commander("Ann", SERVICE))
    for name, words in (("positions", [*WORDS, "yes", "yes", "yes"]), ("events", ["yes", "yes"])):
        assert of_csv((folder / f"{name}.csv").read_bytes()) == words, name
    told = json.loads((folder / "orders.json").read_text())
    assert told["devices"] == [{"device_id": "D1", "speaks": {"osmand": PHONE}}]
    assert {(one["device_id"], one["wearer_id"], one["from"]) for one in told["activations"]} == {
        ("D1", "W1", "2026-03-02T08:00:00Z"), ("D2", "W2", "2026-03-02T08:00:00Z"),
    }  # fmt: skip
    orders = read_orders((folder / "orders.json").read_text(), "orders.json")
    judged = evaluate(orders, folder / "positions.csv", folder / "events.csv", ms("20:10"))
    assert judged.refused == []
    recorded = [json.loads(line) for line in await stored_findings(office.settings, ANN, None, ms("20:10"), None)]
    assert {(line["wearer_id"], line["kind"]) for line in recorded} >= {("W1", "CURFEW"), ("W2", "CURFEW")}
    assert without_grade(recorded) == [json.loads(line) for line in finding_lines(judged.findings)]

    there = settings_for(second_database_url)
    await import_orders(there, orders, who="Ann", dry_run=False)
    await export_to(there, tmp_path / "again", commander("Ann", SERVICE))
    again = json.loads((tmp_path / "again" / "orders.json").read_text())
    assert again["devices"] == told["devices"]
    assert again["settings"] == told["settings"]


async def test_the_bundle_has_what_devices_speak_that_are_on_nobody(
    database_url: str, data_dir: Path, second_database_url: str, tmp_path: Path
) -> None:
    """A home unit and a spare device are; the device of a canary is not, nor an identifier that has ended."""
    form = ORDERS | {
        "home_units": [unit(2)],
        "devices": [
            {"device_id": "D1", "speaks": {"osmand": PHONE}},
            {"device_id": "H1", "speaks": {"teltonika": "356307042441013"}},
            {"device_id": "SPARE", "speaks": {"teltonika": "356307042441021", "osmand": "spare"}},
        ],
    }
    async with open_office(database_url, data_dir, form, check_in="on") as office:
        await enter_canary(office.settings, office.address, "test")
        nobodys = await office.connection.fetchval(NOBODYS_DEVICE)
        await set_device_identifier(office.settings, nobodys, "osmand", "nobody", who="Ann")
        await end_device_identifier(office.settings, "SPARE", "osmand", who="Ann")
        await export_to(office.settings, tmp_path / "all", commander("Ann", SERVICE))
    told = json.loads((tmp_path / "all" / "orders.json").read_text())
    assert told["devices"] == [
        form["devices"][0], form["devices"][1], {"device_id": "SPARE", "speaks": {"teltonika": "356307042441021"}},
    ]  # fmt: skip
    orders = read_orders((tmp_path / "all" / "orders.json").read_text(), "orders.json")
    there = settings_for(second_database_url)
    await import_orders(there, orders, who="Ann", dry_run=False)
    await export_to(there, tmp_path / "again", commander("Ann", SERVICE))
    assert json.loads((tmp_path / "again" / "orders.json").read_text())["devices"] == told["devices"]


NOBODYS_DEVICE = """
SELECT device_id FROM devices JOIN activation_versions USING (device_no) WHERE wearer_no IN (SELECT canary_wearers())
"""


def without_grade(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `evaluate` has them, which is told no ids of facts."""
    return [{name: value for name, value in line.items() if name != "unauthenticated_facts"} for line in lines]


async def test_the_bundle_has_settings_by_which_nobody_is_judged(
    database_url: str, data_dir: Path, tmp_path: Path
) -> None:
    form = {
        "activations": [activation(1)],
        "requirements": [curfew(1), EXCLUSION],
        "settings": {"silence_near_m": 750, "atv_threshold_s": 7200},
    }
    async with open_office(database_url, data_dir, form) as office:
        await export_to(office.settings, tmp_path, commander("Ann", SERVICE))
    told = json.loads((tmp_path / "orders.json").read_text())["settings"]
    assert (told["silence_near_m"], told["atv_threshold_s"]) == (750, 7200)
