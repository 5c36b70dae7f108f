"""*Who was near here?* through its doors: who is named, who is counted, what is kept, and who is looked at first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.cli.near import BLOCK, BLOCK_MS, blocks_of, near_of
from emtrack.db.connect import connect
from emtrack.files.crimes import UnfitFile, read_crimes
from emtrack.people.looks import commander
from emtrack.people.roles import Role
from emtrack.reading.near import Answer, near_place, person_near_place
from emtrack.record.near import Asked, Question
from emtrack.record.zone_sets import ZoneSetCache
from geofence import Interval, parse_instant
from geofence.nearness import NAMED, Grade, Spot
from tests.office import Office, open_office
from tests.service_world import AWAY, activation
from tests.visitor import Visitor

SPOT = {"lat_deg": AWAY[1], "lon_deg": AWAY[0], "radius_m": 100}
AT_NIGHT = {"from": "2026-03-02T19:45:00Z", "to": "2026-03-02T19:59:00Z"}
FORM = {"purpose": "INVESTIGATION", "reference": "crime 7", "label": "a burglary", "lat": str(AWAY[1]), "lon": str(AWAY[0]),
        "radius": "100", "begin": "2026-03-02T19:45", "end": "2026-03-02T19:59"}  # fmt: skip


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


async def looks(office: Office) -> list[tuple[Any, ...]]:
    rows = await office.connection.fetch(
        "SELECT what, wearer_no, purpose, reference FROM looks WHERE what = 'near' ORDER BY look_no"
    )
    return [tuple(row) for row in rows]


async def test_a_program_is_told_who_was_there_and_everybody_named_is_a_look(office: Office) -> None:
    await office.two_are_out()
    status, answer = await office.post("/v1/near", SPOT | AT_NIGHT | {"label": "a burglary"})
    assert status == 200, answer
    assert [(one["wearer_id"], one["grade"]) for one in answer["people"]] == [("W1", "INSIDE"), ("W2", "INSIDE")]
    assert answer["counts"] == {"INSIDE": 2, "PROBABLY": 0, "NOT_EXCLUDED": 0, "NO_DATA": 0, "ELSEWHERE": 0}
    assert answer["rules"]["version"] == 1
    assert [(what, number) for what, number, _, _ in await looks(office)] == [
        ("near", None),
        ("near", 1),
        ("near", 2),
    ]


async def test_who_was_not_there_is_counted_and_named_to_nobody(office: Office) -> None:
    await office.two_are_out()
    status, answer = await office.post("/v1/near", SPOT | AT_NIGHT | {"lat_deg": 53.9})
    assert (status, answer["people"]) == (200, [])
    assert sum(answer["counts"].values()) == 2
    assert [number for _, number, _, _ in await looks(office)] == [None]
    assert await office.connection.fetchval("SELECT count(*) FROM near_runs") == 1, "an empty result is kept"


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"to": "2026-03-03T08:00:00Z"}, "12 hours"), ({"to": "2026-03-02T19:00:00Z"}, "after"), ({"radius_m": 0}, "radius_m"),
     ({"lat_deg": 120}, "lat_deg"), ({"when": 1}, "when")],
)  # fmt: skip
async def test_a_question_that_does_not_fit_is_refused_before_anybody_is_looked_at(
    office: Office, changed: dict[str, Any], said: str
) -> None:
    status, answer = await office.post("/v1/near", SPOT | AT_NIGHT | changed)
    assert (status, said in answer["error"]) == (422, True), answer
    assert await looks(office) == []


async def test_officers_are_told_of_people_whom_their_agency_shares_and_of_no_others(office: Office) -> None:
    await office.two_are_out()
    police = await office.token_of(Role.OFFICER, "Police")
    status, answer = await office.post("/v1/near", SPOT | AT_NIGHT, police)
    assert status == 200, answer
    assert [one["wearer_id"] for one in answer["people"]] == ["W1"]
    assert sum(answer["counts"].values()) == 1
    other = await office.token_of(Role.OFFICER, "Housing")
    assert sum((await office.post("/v1/near", SPOT | AT_NIGHT, other))[1]["counts"].values()) == 0


async def test_the_canary_is_nobody(office: Office) -> None:
    await office.two_are_out()
    await office.connection.execute("UPDATE wearers SET is_canary = true WHERE wearer_id = 'W2'")
    _, answer = await office.post("/v1/near", SPOT | AT_NIGHT)
    assert sum(answer["counts"].values()) == 1
    (line,) = await near_of(office.settings, commander("Ann", "COURT"), [question()])
    assert [one["wearer_id"] for one in json.loads(line)["people"]] == ["W1"]


def question(hours: float = 0.2, lat_deg: float = AWAY[1]) -> Question:
    begin_ms = parse_instant("2026-03-02T19:45:00Z")
    window = Interval(begin_ms, begin_ms + round(hours * 3_600_000))
    return Question(Asked.PLACE, window, 100.0, Spot(AWAY[0], lat_deg, 100.0))


# ---------------------------------------------------------------------------------------------- pages


async def test_a_page_asks_for_the_purpose_and_shows_the_answer_until_it_is_assessed(
    office: Office, visitor: Visitor
) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    status, page = await visitor.post("/near", form_key=key, **FORM | {"purpose": ""})
    assert (status, "Select a reason" in page) == (422, True)
    assert await looks(office) == []
    assert await visitor.post("/near", form_key=key, **FORM) == (303, "/near/1")
    assert (await looks(office))[0] == ("near", None, "INVESTIGATION", "crime 7")
    status, page = await visitor.get("/near/1")
    assert status == 200
    assert "Ann Other" in page
    assert page.count("Not assessed") == 2
    status, page = await visitor.post("/near/1/results/1", form_key=key, state="relevant", why="")
    assert (status, "Enter why" in page) == (422, True)
    assert await visitor.post("/near/1/results/1", form_key=key, state="relevant", why="seen on CCTV") == (
        303,
        "/near/1#result-1",
    )
    _, page = await visitor.get("/near/1")
    assert "seen on CCTV" in page
    assert page.count("Not assessed") == 1


async def test_somebody_who_is_counted_is_opened_with_a_look(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    await visitor.post("/near", form_key=key, **FORM | {"lat": "53.9"})
    before = await looks(office)
    status, page = await visitor.post("/near/1/person", form_key=key, wearer="W1")
    assert status == 200
    assert "W1: <strong>Was elsewhere for certain" in page or "W1: <strong>No data" in page
    assert ("near", 1, "INVESTIGATION", "crime 7") in (await looks(office))[len(before) :]
    status, page = await visitor.post("/near/1/person", form_key=key, wearer="W99")
    assert (status, "whom you may see" in page) == (422, True)


async def test_a_question_of_somebody_else_is_not_shown(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await office.post("/v1/near", SPOT | AT_NIGHT)
    await visitor.log_in(await office.account())
    assert (await visitor.get("/near/1"))[0] == 404
    await visitor.log_in(await office.account(Role.SUPERVISOR, "Bea"), "Bea")
    assert (await visitor.get("/near/1"))[0] == 200, "overseers read them all"


async def test_people_who_were_near_each_other(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    asked = {name: FORM[name] for name in ("purpose", "reference", "radius", "begin", "end")}
    for number, people in enumerate(({"one": "W1", "other": "W2"}, {"one": "W2"}, {}), 1):
        assert await visitor.post("/near/together", form_key=key, **asked, **people) == (303, f"/near/{number}")
        _, page = await visitor.get(f"/near/{number}")
        assert page.count("Probably") == 2, "among the counts, and in the one row: they were sighted a minute apart"
        assert "W2" in page
    status, page = await visitor.post("/near/together", form_key=key, **asked, one="W1", other="W1")
    assert (status, "two different people" in page) == (422, True)
    rows = await office.connection.fetch(
        "SELECT DISTINCT wearer_no, other_wearer_no, grade FROM near_people ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(1, 2, "PROBABLY"), (2, 1, "PROBABLY")]


# ---------------------------------------------------------------------------------------------- the statements

DAY = datetime(2026, 3, 2, tzinfo=UTC)
POSITION = """
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at, salt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
"""


async def somebody(connection: asyncpg.Connection[Any], number: int, chance: np.random.Generator) -> None:
    """A person with a tag and a day of positions: near or far, fast or not, with gaps, jumps and twice the same instant."""
    await connection.execute(
        "INSERT INTO wearers (wearer_no, wearer_id) OVERRIDING SYSTEM VALUE VALUES ($1, 'N' || $1::bigint)", number
    )
    await connection.execute(
        "INSERT INTO devices (device_no, device_id, added_at) OVERRIDING SYSTEM VALUE VALUES ($1, 'N' || $1::bigint, now())",
        number,
    )
    await connection.execute(
        "INSERT INTO activations (activation_no, activation_id, entered_at) OVERRIDING SYSTEM VALUE "
        "VALUES ($1, 'N' || $1::bigint, now())",
        number,
    )
    begin = DAY + timedelta(hours=float(chance.choice([-24.0, 19.8])))
    await connection.execute(
        "INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, "
        "entered_by, evidence) "
        "VALUES ($1, $1, $1, tstzrange($2, NULL), 60000, tstzrange($2, NULL), 'x', '{POSITION}')",
        number, begin,
    )  # fmt: skip
    times = [DAY + timedelta(hours=18, seconds=60.0 * k + number) for k in range(240)]
    way = np.cumsum(chance.normal(0, float(chance.choice([20, 300])), 240)) + chance.choice(
        [0, 2_000, 15_000, 40_000, 200_000]
    )
    jumps = chance.random(240) < 0.01
    keep = chance.random(240) < chance.choice([1.0, 0.5, 0.1])
    if number % 4 == 0:  # nothing but samples, of which some are jumps: what is left has gaps of ten minutes
        keep, jumps = np.arange(240) % 5 == 0, chance.random(240) < 0.3
        way = np.full(240, 9_000.0) + number
    is_lbs = chance.random(240) < 0.1
    rows = [
        (k + number * 1_000, number, at, "LBS" if lbs else "GPS", 53.01 + (0.4 if jump else metres / 111_000), AWAY[0],
         float(chance.choice([5.0, 900.0])) if lbs else None, at, b"0" * 16)
        for k, (at, metres, jump, kept, lbs) in enumerate(zip(times, way, jumps, keep, is_lbs, strict=True)) if kept
    ]  # fmt: skip
    await connection.executemany(POSITION, rows)


async def test_samples_and_arrays_give_each_person_the_grade_of_all_their_positions(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
            await connection.execute("SELECT make_positions_day($1::text::date)", day)
        chance = np.random.default_rng(16)
        for number in range(1, 41):
            await somebody(connection, number, chance)
        seen = set()
        for hours, lat_deg in ((0.02, 53.01), (0.5, 53.01), (1.5, 53.02), (0.5, 53.3)):
            asked = question(hours, lat_deg)
            answer = await near_place(connection, ZoneSetCache(None), asked, 0)
            named = {one.wearer_no: one.grade for one in answer.named}
            counted = dict.fromkeys(Grade, 0)
            for number in range(1, 41):
                alone = await person_near_place(connection, ZoneSetCache(None), asked, number, 0)
                if alone.grade in NAMED or number in named:
                    assert named[number] is alone.grade, number
                began = await connection.fetchval(
                    "SELECT lower(during) FROM activation_versions WHERE wearer_no = $1", number
                )
                counted[alone.grade] += began.timestamp() * 1000 < asked.window.end_ms
            assert {grade: count for grade, count in answer.counts.items() if count} == {
                g: c for g, c in counted.items() if c
            }
            seen |= {grade for grade, count in counted.items() if count}
        assert seen >= set(Grade) - {Grade.PROBABLY}
    finally:
        await connection.close()


async def test_the_index_of_samples_is_the_way_to_them(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        await connection.execute("SELECT make_positions_day('2026-03-02')")
        await connection.execute("SET enable_seqscan = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT device_no FROM positions WHERE fix_time >= '2026-03-02T10:00Z' AND fix_time < '2026-03-02T11:00Z' "
            "AND date_part('epoch', fix_time - '1970-01-01 00:00:00+00'::timestamptz)::bigint % 300 < 60"
        )
        assert "Index Only Scan" in "".join(row[0] for row in plan)
    finally:
        await connection.close()


# ---------------------------------------------------------------------------------------------- files of crimes

ROW = "STAFFS,RB,a house,STAFFS20260302-1,22/1,20260302194500,20260302195900,,,53.0127,-2.1753,WGS84,by a window"


def rows(*texts: str) -> bytes:
    return ("\ufeff" + "\r\n".join(texts)).encode()


def test_a_file_of_crimes_is_read_with_a_byte_order_mark_in_degrees_or_on_the_grid() -> None:
    grid = ROW.replace(",,,53.0127,-2.1753,WGS84", ",388334,346169,,,")
    found = read_crimes(rows(ROW, "", grid), 100.0, "Europe/London")
    assert found.troubles == []
    for one in found.questions:
        assert one.spot is not None
        assert one.spot.lat_deg == pytest.approx(53.0127, abs=2e-4)
        assert one.spot.lon_deg == pytest.approx(-2.1753, abs=4e-4)
        assert one.window.begin_ms == parse_instant("2026-03-02T19:45:00Z")
    assert found.lines == [1, 3]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (",RB,", ",XX,", "RB, BIAD, AB"), ("STAFFS20260302-1", "1", "CODEyyyymmdd"), ("20260302195900", "20260303095900", "12 hours"),
        ("20260302194500", "20260230194500", "no date"), ("20260302194500", "2026", "yyyyMMddHHmmss"),
        ("20260302195900", "20260302193000", "exchange"), (",,,53", ",388000,346000,53", "not both"),
        (",,,53.0127,-2.1753", ",,,,", "either"), ("53.0127", "48", "latitude"), ("-2.1753", "x", "number"),
        (",by a window", "", "12 columns"),
        ("WGS84", "NAD27", "WGS84 or OSGB36"), ("20260302194500", "20260329013000", "write a time before or after"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_says_what_to_do_and_refuses_no_other(before: str, after: str, said: str) -> None:
    found = read_crimes(rows(ROW.replace(before, after, 1), ROW), 100.0, "Europe/London")
    assert len(found.questions) == 1
    (trouble,) = found.troubles
    assert trouble.line == 1
    assert said in trouble.what


def test_a_time_that_comes_twice_widens_the_window() -> None:
    row = ROW.replace("20260302194500", "20261025013000").replace("20260302195900", "20261025014500")
    (asked,) = read_crimes(rows(row), 100.0, "Europe/London").questions
    assert asked.window.end_ms - asked.window.begin_ms == 75 * 60_000


def test_what_is_no_file_of_crimes_is_refused() -> None:
    for body in (b"\xff\xfe", b'"' + b"x" * 20, b"," * (5 << 20)):
        with pytest.raises(UnfitFile):
            read_crimes(body, 100.0, "Europe/London")


@given(st.lists(st.tuples(st.integers(0, 40 * 60), st.integers(1, 12 * 60)), max_size=90))
def test_questions_that_lie_near_each_other_in_time_are_a_block(minutes: list[tuple[int, int]]) -> None:
    windows = [Interval(begin * 60_000, (begin + length) * 60_000) for begin, length in minutes]
    blocks = list(blocks_of([Question(Asked.PLACE, window, 100.0, Spot(0.0, 0.0, 100.0)) for window in windows]))
    assert sorted(place for block in blocks for place in block) == list(range(len(windows))), "each once"
    begins = [windows[place].begin_ms for block in blocks for place in block]
    assert begins == sorted(begins)
    for block in blocks:
        assert 1 <= len(block) <= BLOCK
        assert len(block) == 1 or max(windows[n].end_ms for n in block) - windows[block[0]].begin_ms <= BLOCK_MS


async def test_the_looks_of_a_block_are_committed_before_any_of_it_is_answered(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, seen = [question(), question(lat_deg=53.9)], []

    async def refuse(*_: Any) -> list[Answer]:
        seen.extend(await looks(office))
        raise ConnectionError("the database is gone")

    monkeypatch.setattr("emtrack.reading.near.near_places", refuse)
    with pytest.raises(ExceptionGroup):
        await near_of(office.settings, commander("Ann", "COURT", "case 1"), questions)
    assert seen == [("near", None, "COURT", "case 1")] * 2, "by another session"
    unfit = question()._replace(near_m=6_000.0)
    with pytest.raises(ExceptionGroup):
        await near_of(office.settings, commander("Ann", "COURT", "case 1"), [question(), unfit])
    assert len(await looks(office)) == 2, "nobody is looked at for a block that is not answered"


async def test_a_batch_asks_about_each_crime(office: Office) -> None:
    await office.two_are_out()
    questions = read_crimes(rows(ROW, ROW.replace("53.0127", "53.9")), 100.0, "Europe/London").questions
    first, second = (
        json.loads(line) for line in await near_of(office.settings, commander("Ann", "COURT", "case 1"), questions)
    )
    assert [one["grade"] for one in first["people"]] == ["INSIDE", "INSIDE"]
    assert first["label"] == "22/1, Residential burglary"
    assert second["people"] == []
    assert activation(1)["wearer_id"] == first["people"][0]["wearer_id"]
