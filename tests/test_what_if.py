"""What if? Drafts over past positions: what would be gained and lost, who is named, who is counted, and that nothing is entered."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from emtrack.cli.what_if import tried
from emtrack.db.connect import connect, open_pool
from emtrack.db.identity import Identity, ask_as, identify, identify_as
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.db.session import READING
from emtrack.forms.drafts import (
    Draft,
    DraftSettings,
    DraftTimetable,
    DraftZone,
    UnfitDraft,
    read_settings,
    read_timetable_text,
    read_zone_text,
)
from emtrack.people.looks import Door, Looker, commander
from emtrack.people.roles import Caller, Role
from emtrack.reading import drafts
from emtrack.reading.apart import Judges
from emtrack.reading.drafts import Change, KindRow, Outcome, Trial, UnfitTrial, narrowed, slices_of, total_of
from emtrack.record.draft_runs import draft_run
from emtrack.record.fact_columns import received_of
from emtrack.record.facts import load_facts
from emtrack.record.plans import load_judged
from emtrack.web import draft_runs
from emtrack.web.draft_runs import DraftRuns, RunState
from geofence import ALWAYS_MS, Disc, Interval, Kind, ObligationKind, Position, TimetableRow
from geofence.judgement import Finding
from geofence.sweep import MECHANISMS
from geofence.words import parse_instant
from tests.command_line import emtrack
from tests.kept import kept_reports
from tests.office import Office, at_home, away, open_office
from tests.service_world import AWAY, HOME, activation, curfew
from tests.visitor import Visitor

PEOPLE = 7
WINDOW = (parse_instant("2026-03-02T18:00:00Z"), parse_instant("2026-03-02T20:00:00Z"))
LATER_MS = WINDOW[1] + 60_000
"""Orders and reports are on record by then."""
THERE = DraftZone(ObligationKind.EXCLUSION, Disc(AWAY, 100.0))
IOM = {"cohort": "FIXED", "agencies": ["Police"], "pathways": []}
MANY = {
    "activations": [activation(n) for n in range(1, PEOPLE + 1)],
    "requirements": [curfew(n) for n in range(1, PEOPLE + 1)],
    "wearers": [{"wearer_id": f"W{n}", "name": f"Person {n}", "iom": IOM} for n in range(1, PEOPLE + 1)],
}


# ------------------------------------------------------------------------------------------ drafts as they are read


@pytest.mark.parametrize(
    ("text", "days"),
    [("DAILY 19:00-07:00", 7), ("mon-fri 19:00–07:00", 5), ("SAT,SUN 09:00-17:00\n\nMON 00:00-00:00", 3), ("FRI-MON 1:00-2:00", None),
     ("SOMEDAY 10:00-11:00", None), ("MON 25:00-26:00", None), ("MON 10:00-11:00\nMON 10:00-11:00", None), ("", None),
     ("MON" * 9_000, None)],
)  # fmt: skip
def test_a_timetable_is_lines_of_days_and_times(text: str, days: int | None) -> None:
    if days is None:
        with pytest.raises(UnfitDraft):
            read_timetable_text(text)
    else:
        assert len(read_timetable_text(text)) == days


def test_days_over_the_weekend_go_round() -> None:
    assert [row.day for row in read_timetable_text("FRI-MON 19:00-07:00")] == [4, 5, 6, 0]
    assert read_timetable_text("MON 19:00-07:00") == (TimetableRow(0, 1140, 420),)


def test_a_zone_is_a_polygon_a_circle_or_one_feature() -> None:
    ring = [[-2.18, 53.01], [-2.17, 53.01], [-2.17, 53.016], [-2.18, 53.01]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": polygon}
    collection = {"type": "FeatureCollection", "features": [feature]}
    shapes = {read_zone_text(json.dumps(one)) for one in (polygon, feature, collection)}
    assert len(shapes) == 1
    for text in ("", "7", "[]", '{"type": "Point", "coordinates": [1, 2]}', json.dumps(collection | {"features": [feature] * 2}),
                 '{"type": "Polygon", "coordinates": 7}', "[" * 20_000, " " * 60_000):  # fmt: skip
        with pytest.raises(UnfitDraft):
            read_zone_text(text)


@pytest.mark.parametrize(
    "fields", [{"confirm_points": 0}, {"confirm_points": 1.5}, {"max_gap_s": 1e9}, {"widen_m": -1}, {"speed": 1}]
)
def test_settings_that_can_be_tried_are_listed_and_bounded(fields: dict[str, Any]) -> None:
    with pytest.raises(UnfitDraft):
        read_settings(fields)


# ------------------------------------------------------------------------------------------ counts


def outcome(wearer_no: int, now: int, then: int) -> Outcome:
    gained, lost = max(0, then - now), max(0, now - then)
    changes = [("gained", Change(Finding(Kind.CURFEW, 0, 1, 0)))] * gained
    return Outcome(
        wearer_no, 10, *(Counter({"CURFEW": some} if some else {}) for some in (now, then, gained, lost)), changes
    )


def row_of(outcomes: list[Outcome]) -> KindRow:
    rows = total_of(outcomes, is_one_person=False).rows
    assert [row.kind for row in rows] == sorted(Kind), "a kind that is left out would tell that nobody has it"
    return next(row for row in rows if row.kind == "CURFEW")


@pytest.mark.parametrize("affected", range(12))
def test_no_count_of_fewer_than_five_people_is_given(affected: int) -> None:
    outcomes = [outcome(n, 1, 2 if n < affected else 1) for n in range(20)]
    row = row_of(outcomes)
    assert row.people_now == 20
    assert row.people_gained == (affected if affected >= 5 else None)
    assert row.gained == (affected if affected >= 5 else None)
    assert (row.then is None) == (affected > 0), (
        "nobody loses any, which is a count of few that would follow from the others"
    )
    appeared = [outcome(n, int(n < 8), int(n < 8 + affected)) for n in range(20)]
    row = row_of(appeared)
    assert (row.people_then is None) == (0 < affected < 5)


def test_what_many_gain_and_many_lose_is_shown_beside_what_is_found_then() -> None:
    row = row_of([outcome(n, 2, 3 if n < 6 else 1) for n in range(12)])
    assert (row.now, row.then, row.gained, row.lost, row.people_gained, row.people_lost) == (24, 24, 6, 6, 6, 6)
    row = row_of([outcome(n, 2, 3 if n < 2 else 1) for n in range(12)])
    assert (row.now, row.then, row.gained, row.lost) == (24, None, None, 10)


def test_one_person_is_told_everything() -> None:
    total = total_of([outcome(1, 1, 3)], is_one_person=True)
    assert (total.rows[0].gained, total.rows[0].people_gained, len(total.named)) == (2, 1, 2)


# ------------------------------------------------------------------------------------------ judged


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir, MANY) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


async def an_evening(office: Office, out: int = PEOPLE) -> None:
    """So many are out from 19:30 to 19:44, the others at home."""
    for n in range(1, PEOPLE + 1):
        place = away if n <= out else at_home
        await office.report(f"D{n}", *(place(f"19:{minute}", minute) for minute in range(30, 46, 2)))


async def of_one(office: Office, draft: Draft, wearer_id: str = "W1") -> list[tuple[str, str, str | None]]:
    total, _ = await tried(office.settings, commander("Ann", "COURT"), draft, WINDOW, wearer_id, None)
    return [(what, str(change.finding.kind), change.finding.requirement_id) for what, change in total.named]


async def test_a_draft_is_judged_by_the_judge_of_findings_and_enters_nothing(office: Office) -> None:
    await an_evening(office)
    entered = await all_that_is_entered(office)
    assert await of_one(office, Draft(zone=THERE)) == [("gained", "EXCLUSION", "drafted zone")]
    quiet = Draft(timetable=DraftTimetable(read_timetable_text("SUN 01:00-02:00")))
    assert ("lost", "CURFEW", "C1") in await of_one(office, quiet)
    assert ("lost", "CURFEW", "C1") in await of_one(office, Draft(settings=DraftSettings(confirm_points=20)))
    assert ("lost", "CURFEW", "C1") in await of_one(
        office, Draft(settings=DraftSettings(grace_s=0), timetable=quiet.timetable)
    )
    assert await of_one(office, Draft(settings=DraftSettings(confirm_points=2))) == [], "as it is today"
    always = Draft(timetable=DraftTimetable(read_timetable_text("DAILY 00:00-00:00"), "C1"))
    assert any(kind == "CURFEW" for _, kind, _ in await of_one(office, always))
    assert await all_that_is_entered(office) == entered


async def all_that_is_entered(office: Office) -> list[int]:
    return [
        await office.connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
        for table in (
            "requirement_versions",
            "requirement_entries",
            "settings_versions",
            "zones",
            "order_changes",
            "alerts",
            "findings",
        )
    ]


async def test_today_beside_a_draft_is_what_is_on_record(office: Office) -> None:
    await an_evening(office, out=3)
    total, _ = await tried(office.settings, commander("Ann", "COURT"), Draft(zone=THERE), WINDOW, "W2", None)
    recorded = await office.connection.fetch(
        "SELECT f.kind, count(*) FROM findings f JOIN activation_versions v USING (activation_no) JOIN wearers USING (wearer_no) "
        "CROSS JOIN LATERAL newest_version(f.finding_no) n WHERE wearer_id = 'W2' AND n.change <> 'withdrawn' GROUP BY 1"
    )
    assert {row.kind: row.now for row in total.rows if row.now} == {row["kind"]: row["count"] for row in recorded}


async def test_positions_come_as_they_are_stored(office: Office) -> None:
    """COPY in binary into arrays, beside the way in which everything else reads facts."""
    await office.report(
        "D1", away("19:30", 1) | {"precision_m": None, "mechanism": "LBS"}, away("19:31", 2), at_home("19:32", 3)
    )
    await office.report("D2", at_home("19:30", 1) | {"mechanism": "WIFI"})
    assignments = [narrowed(a, Interval(*WINDOW)) for a in (await load_judged(office.connection, LATER_MS)).values()]
    received = await received_of(office.connection, assignments)
    facts = await load_facts(office.connection, [(a, ALWAYS_MS) for a in assignments])
    told = sorted(
        (place, p.fix_ms, p.received_ms, p.lat_deg, p.lon_deg, p.precision_m or -1.0, p.mechanism)
        for place, a in enumerate(assignments)
        for p in facts[a.activation_no]
        if isinstance(p, Position)
    )
    read = sorted(
        (w, f, r, lat, lon, -1.0 if p != p else p, MECHANISMS[m])
        for w, m, f, r, lat, lon, p in zip(*(column.tolist() for column in received), strict=True)
    )
    assert len(read) == 4
    assert read == told


async def test_a_drafted_zone_is_set_beside_home_ways_and_radii(office: Office) -> None:
    await an_evening(office)
    look = commander("Ann", "COURT")
    _, check = await tried(office.settings, look, Draft(zone=THERE), WINDOW, "W1", None)
    assert check is not None
    assert (check.weekdays, check.weekdays_in, check.near, check.median_radius_m) == (1, 1, 8, 6.0)
    (home,) = check.homes
    assert (home.requirement_id, home.share) == ("C1", 0.0)
    assert home.apart_m == pytest.approx((AWAY[1] - HOME[1]) * 111_320 - 160, abs=5)
    at_home_too = DraftZone(ObligationKind.EXCLUSION, Disc(HOME, 1_000.0))
    _, check = await tried(office.settings, look, Draft(zone=at_home_too), WINDOW, "W1", None)
    assert check is not None
    assert check.homes[0].share == pytest.approx(1.0)


async def test_a_cohort_is_counts_of_five_and_more_and_a_smaller_one_is_refused(office: Office) -> None:
    await an_evening(office, out=5)
    total, _ = await tried(office.settings, commander("Ann", "COURT"), Draft(zone=THERE), WINDOW, None, "FIXED")
    (row,) = [row for row in total.rows if row.kind == "EXCLUSION"]
    assert (total.people, row.people_gained, row.gained, total.named) == (PEOPLE, 5, 5, [])
    with pytest.raises(UnfitTrial, match="Fewer than 5"):
        await tried(office.settings, commander("Ann", "COURT"), Draft(zone=THERE), WINDOW, None, "FREE")


# ------------------------------------------------------------------------------------------ pages


FORM = {"purpose": "COMPLIANCE", "reference": "review 4", "who": "cohort", "cohort": "FIXED", "begin": "2026-03-02T18:00",
        "end": "2026-03-02T20:00", "lat": str(AWAY[1]), "lon": str(AWAY[0]), "radius": "100", "zone_kind": "EXCLUSION"}  # fmt: skip


async def looks(office: Office) -> list[tuple[Any, ...]]:
    rows = await office.connection.fetch(
        "SELECT what, wearer_no, purpose, reference FROM looks WHERE what = 'what if' ORDER BY look_no"
    )
    return [tuple(row) for row in rows]


async def finished(visitor: Visitor, path: str) -> str:
    """The page of a trial that is over."""
    for _ in range(400):
        _, text = await visitor.get(f"{path}/state")
        if json.loads(text)["state"] != "running":
            return (await visitor.get(path))[1]
        await asyncio.sleep(0.02)
    raise AssertionError("not within 8 s")


async def test_a_page_tries_a_zone_on_a_cohort_and_names_nobody(office: Office, visitor: Visitor) -> None:
    await an_evening(office, out=3)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    status, page = await visitor.post("/what-if", form_key=key, **FORM | {"purpose": ""})
    assert (status, "Select a reason" in page) == (422, True)
    assert await looks(office) == []
    status, place = await visitor.post("/what-if", form_key=key, **FORM)
    assert (status, place) == (303, "/what-if/1")
    assert await looks(office) == [("what if", None, "COMPLIANCE", "review 4")]
    page = await finished(visitor, place)
    assert "of 7 people" in page
    assert "Person 1" not in page
    rows = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*In an exclusion zone(?:(?!</tr>).)*</tr>", page, re.S)
    cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", rows[0], re.S)]
    assert cells[:4] == ["fewer than 5"] * 4, "three people, and nobody today: neither is told from the other"
    assert not any(re.search(r"\d", cell.replace("fewer than 5", "")) for cell in cells)


async def test_a_page_names_one_person_after_a_look_at_that_person(office: Office, visitor: Visitor) -> None:
    await an_evening(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    _, place = await visitor.post("/what-if", form_key=key, **FORM | {"who": "person", "wearer": "W2"})
    assert await looks(office) == [("what if", 2, "COMPLIANCE", "review 4")]
    page = await finished(visitor, place)
    assert "Person 2" in page
    assert "not in the zone" in page
    assert "drafted zone" in page
    other = Visitor(office)
    await other.log_in(await office.account(Role.OFFICER, "Bob"), "Bob")
    assert (await other.get(place))[0] == 404, "it is of who began it"
    await other.http.close()


async def test_a_program_tries_a_draft_and_the_counts_outlive_the_service(
    office: Office, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await an_evening(office, out=6)
    headers = office.bearer("officer") | {"Purpose": "COMPLIANCE"}
    circle = {"lat_deg": AWAY[1], "lon_deg": AWAY[0], "radius_m": 100}
    body = {"from": "2026-03-02T18:00:00Z", "to": "2026-03-02T20:00:00Z", "zone": {"circle": circle}}
    whole = await office.tried(body | {"cohort": "FIXED"}, headers)
    assert (whole["state"], whole["percent"], whole["people"], whole["changes"]) == ("done", 100, 7, [])
    (kind,) = [one for one in whole["kinds"] if one["kind"] == "EXCLUSION"]
    assert (kind["people_then"], kind["people_gained"]) == (6, 6)
    one = await office.tried(body | {"wearer_id": "W2"}, headers)
    assert [change["what"] for change in one["changes"]] == ["gained"]
    assert [home["requirement_id"] for home in one["zone"]["homes"]] == ["C2"]
    looked = await looks(office)
    assert looked == [("what if", None, "COMPLIANCE", None), ("what if", 2, "COMPLIANCE", None)]
    for changed, status in (
        ({}, 422), ({"wearer_id": "W2", "everybody": True}, 422), ({"wearer_id": "W9"}, 404), ({"cohort": "FIXED", "zone": {}}, 422),
        ({"cohort": "FIXED", "zone": None}, 422), ({"cohort": "FIXED", "settings": {"max_gap_s": 1}}, 422),
        ({"cohort": "FIXED", "zone": {"geometry": {"type": "Point"}}}, 422), ({"cohort": "FIXED", "to": body["from"]}, 422),
    ):  # fmt: skip
        async with office.http.post("/v1/what-if", json=body | changed, headers=headers) as answer:
            assert answer.status == status, (changed, await answer.text())
    assert await looks(office) == looked, "who is refused has looked at nobody"
    for role, status in (("operator", 403), ("supervisor", 404)):
        async with office.http.get("/v1/what-if/1", headers=office.bearer(role)) as answer:
            assert answer.status == status

    # An hour later, or after a restart: the counts, on the page as well, and no changes.
    monkeypatch.setattr(draft_runs, "KEPT_MS", -1)
    async with office.http.get("/v1/what-if/1", headers=headers) as answer:
        assert await answer.json() == whole | {"changes": []}
    async with office.http.get("/v1/what-if/2", headers=headers) as answer:
        assert await answer.json() == one | {"changes": [], "zone": None}
    async with office.http.post("/v1/what-if/2/cancel", headers=headers) as answer:
        assert answer.status == 404
    await visitor.log_in(await office.account(Role.OFFICER))
    _, place = await visitor.post("/what-if", form_key=await visitor.form_key(), **FORM)
    for _ in range(400):
        page = (await visitor.get(place))[1]
        if "These counts are on record" in page:
            break
        await asyncio.sleep(0.02)
    assert "of 7 people" in page
    assert "In an exclusion zone" in page
    _, page = await visitor.get("/what-if")
    assert "circle of 100 m around" in page
    assert ", done</li>" in page


async def test_who_only_works_alerts_and_other_agencies_try_nothing(office: Office, visitor: Visitor) -> None:
    await an_evening(office)
    await visitor.log_in(await office.account(Role.OPERATOR))
    assert (await visitor.get("/what-if"))[0] == 403
    housing = Visitor(office)
    await housing.log_in(await office.account(Role.OFFICER, "Hal", "Housing"), "Hal")
    key = await housing.form_key()
    for changed in ({}, {"who": "everybody"}, {"who": "person", "wearer": "W2"}):
        status, page = await housing.post("/what-if", form_key=key, **FORM | changed)
        assert status == 422, page
        assert ("Fewer than 5" in page) or ("nobody with the id" in page)
    await housing.http.close()


async def test_what_does_not_fit_is_refused_before_anybody_is_looked_at(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    nothing = {"lat": "", "lon": "", "radius": ""}
    for changed, said in (
        (nothing, "Change a setting"),
        ({"begin": "2026-01-02T18:00"}, "31 days"),
        ({"end": "2026-03-03T18:00"}, "past"),
        ({"who": "person", "wearer": "W99"}, "nobody with the id"),
        ({"radius": ""}, "A circle needs"),
        ({"geojson": "{}"}, "not both"),
        ({"confirm_points": "nan"}, "no number"),
        ({"confirm_points": "99"}, "Positions that confirm: 99 does not fit. Allowed: 1 to 20."),
        (nothing | {"timetable": "MON 19:00-07:00", "requirement": "C1"}, "Name the person"),
    ):
        status, page = await visitor.post("/what-if", form_key=key, **FORM | changed)
        assert (status, said in page) == (422, True), said
    assert await looks(office) == []


async def test_more_than_can_be_judged_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await an_evening(office)
    monkeypatch.setattr(drafts, "MOST_PERSON_DAYS", 3)
    with pytest.raises(UnfitTrial, match="days of people"):
        await slices_of(office.connection, Trial(Draft(zone=THERE), Interval(*WINDOW)))


# ------------------------------------------------------------------------------------------ beside what is live


@asynccontextmanager
async def runs_of(office: Office) -> AsyncIterator[tuple[DraftRuns, Caller, Looker]]:
    """As an officer asks, whom the pool knows as in a request."""
    dsn = await run_time_dsn(office.settings.database_url or "", RunTime.PAGES)
    judges = Judges(dsn, None)
    caller = Caller("Ann", Role.OFFICER, "key")
    ask_as(Identity("Ann", "officer", None))
    async with open_pool(dsn, size=1, limits=READING, prepare=identify) as pool:
        runs = DraftRuns(pool, judges, lambda: LATER_MS, asyncio.Event())
        yield runs, caller, Looker("Ann", "officer", Door.PAGE, "COURT")
    await judges.aclose()


async def as_pages(office: Office, trial: Trial) -> list[drafts.Slice]:
    connection = await connect(await run_time_dsn(office.settings.database_url or "", RunTime.PAGES))
    try:
        await identify_as(connection, Identity("Ann", "officer", None))
        return await slices_of(connection, trial)
    finally:
        await connection.close()


async def test_reports_are_taken_while_a_trial_is_judged(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await an_evening(office)
    monkeypatch.setattr(drafts, "A_SLICE_DAYS", 1)
    trial = Trial(Draft(zone=THERE), Interval(*WINDOW))
    slices = await as_pages(office, trial)
    assert len(slices) == PEOPLE
    async with runs_of(office) as (runs, caller, looker):
        run = await runs.begin(caller, looker, trial, slices)
        assert run.task is not None
        taken = 0
        while not run.task.done() or taken < 20:
            fix_time = f"2026-03-02T19:50:{taken % 60:02}Z"
            await office.report("D1", away("19:50", 100 + taken) | {"fix_time": fix_time})
            taken += 1
        assert (run.state, len(run.outcomes), run.share) == (RunState.DONE, PEOPLE, 1.0)
    kept = await kept_reports(office.connection)
    assert sum(1 for report in kept if report.seq >= 100) == taken, "none is lost"
    stored = await draft_run(office.connection, "Ann", run.run_no)
    assert stored is not None
    assert stored.ended is not None
    assert (stored.ended.state, stored.ended.people, stored.purpose) == ("done", PEOPLE, "COURT")
    assert stored.ended.kinds == [row._asdict() for row in total_of(run.outcomes, is_one_person=False).rows]
    assert await draft_run(office.connection, "Bob", run.run_no) is None, "nobody else has it"


async def test_a_trial_is_cancelled_between_two_slices_and_one_of_an_account_goes_at_a_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await an_evening(office)
    monkeypatch.setattr(drafts, "A_SLICE_DAYS", 1)
    trial = Trial(Draft(zone=THERE), Interval(*WINDOW))
    slices = await as_pages(office, trial)
    async with runs_of(office) as (runs, caller, looker):
        async with runs._turn:  # somebody else's slice is being judged
            run = await runs.begin(caller, looker, trial, slices)
            with pytest.raises(UnfitTrial, match="still being judged"):
                runs.refuse_another(caller)
            await asyncio.sleep(0)
            stored = await draft_run(office.connection, "Ann", run.run_no)
            assert stored is not None
            assert stored.ended is None, "it is on record before it is judged"
            runs.cancel(run)
        assert run.task is not None
        await run.task
        assert (run.state, run.outcomes) == (RunState.CANCELLED, [])
        assert run.done <= 1
        stored = await draft_run(office.connection, "Ann", run.run_no)
        assert stored is not None
        assert stored.ended is not None
        assert (stored.ended.state, stored.ended.kinds) == ("cancelled", [])
        runs.refuse_another(caller)
        assert runs.of(Caller("Bob", Role.OFFICER, "key"), run.run_no) is None
        for _ in range(draft_runs.MOST_OF_ONE + 2):
            last = await runs.begin(caller, looker, trial, [])
            assert last.task is not None
            await last.task
        assert len(runs.last_of(caller)) == draft_runs.MOST_OF_ONE, "nobody fills the places of the others"


# ------------------------------------------------------------------------------------------ the command


def test_the_command_says_what_does_not_fit() -> None:
    time = ("--from", "2026-03-01T00:00:00Z", "--to", "2026-03-02T00:00:00Z", "--purpose", "COMPLIANCE")
    for more, said in (
        (("--wearer", "W1", "--everybody", "--set", "confirm_points=3"), "one of --wearer"),
        (("--wearer", "W1", "--set", "confirm_points=99"), "confirm_points"),
    ):
        ended = emtrack("whatif", *time, *more)
        assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
