"""The cohort in its order, with the reason in each row; a person's chronology; and the same over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import quote

import pytest

from emtrack.forms.iom import Cohort, RagGrade
from emtrack.iom.assessments import ASSESSMENT, Assessment, Rosh
from emtrack.iom.entries import Author, Draft, Entry, Span, enter, following, load
from emtrack.iom.exporting import exported_rows
from emtrack.iom.grading import Answer, give_grade, propose
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.notes import NOTE, Note, Visibility
from emtrack.iom.offences import OFFENCE, Offence, OffenceKind, OffenceOutcome
from emtrack.iom.people import Person
from emtrack.iom.proposals import PROPOSAL
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.standing import add_person, merge
from emtrack.people.roles import Role
from emtrack.reading.iom import Wanted, chronology, cohort
from emtrack.reading.iom_seldom import ASSESSED, OFFENDED, SeldomCache
from geofence import instant_of, parse_instant
from tests.office import BEGINS, Office
from tests.service_world import World, ms

ANN = Author("Ann")
NOW = ms("12:00")
DAY = 86_400_000


async def entered(world: World, *drafts: Draft, at: int = NOW) -> list[Entry]:
    async with world.connection.transaction():
        return await enter(world.connection, ANN, drafts, at)


async def member(world: World, reference: str, **assessed: Any) -> int:
    async with world.connection.transaction():
        entry = await add_person(world.connection, ANN, reference, Person(agencies=["Police"]), NOW)
    number = entry.wearer_no or 0
    content = Membership(cohort=Cohort.FIXED, lead_agency="Police", lead_officer="B. Ash")
    drafts = [Draft(MEMBERSHIP, number, content, "OPEN", Span(NOW - DAY))]
    if assessed:
        drafts.append(Draft(ASSESSMENT, number, Assessment(**assessed), occurred_ms=NOW - DAY))
    await entered(world, *drafts)
    return number


async def graded(world: World, number: int, grade: RagGrade, at: int = NOW) -> None:
    async with world.connection.transaction():
        await give_grade(world.connection, ANN, number, Answer(grade, "x"), at)


async def alert(world: World, number: int, severity: int) -> None:
    await world.connection.execute(
        "INSERT INTO alerts (alert_no, wearer_no, kind, severity, raised_at, known_at) VALUES ($1, $1, 'K', $2, now(), now())",
        number, severity,
    )  # fmt: skip


async def order(world: World, at: int = NOW) -> list[str]:
    return [row.reference for row in await cohort(world.connection, SeldomCache(), at)]


async def test_the_order_is_alert_then_grade_then_how_bad_then_band_then_the_oldest_review(world: World) -> None:
    numbers = {
        "A1": await member(world, "A1"),
        "B1": await member(world, "B1"),
        "B2": await member(world, "B2"),
        "C1": await member(world, "C1", rosh=Rosh.HIGH),
        "C2": await member(world, "C2", rosh=Rosh.LOW, mappa_level=3),
        "C3": await member(world, "C3", rosh=Rosh.LOW, mappa_level=1, serious_harm=6.9),
        "C4": await member(world, "C4", rosh=Rosh.LOW, mappa_level=1, serious_harm=2.9),
        "D1": await member(world, "D1", reoffending=90),
        "D2": await member(world, "D2", reoffending=89.9),
        "E1": await member(world, "E1"),
        "E2": await member(world, "E2"),
    }
    for name, number in numbers.items():
        await graded(world, number, RagGrade.GREEN if name != "B1" else RagGrade.RED, at=NOW - (name == "E1") * DAY)
    await alert(world, numbers["A1"], 1)
    await alert(world, numbers["B2"], 2)
    assert await order(world) == ["A1", "B2", "B1", "C1", "C2", "C3", "C4", "D1", "D2", "E1", "E2"]


async def test_a_grade_lifts_nobody_over_an_alert_of_higher_severity(world: World) -> None:
    red, green = await member(world, "RED"), await member(world, "GREEN")
    await graded(world, red, RagGrade.RED)
    await graded(world, green, RagGrade.GREEN)
    await alert(world, red, 2)
    await alert(world, green, 1)
    assert await order(world) == ["GREEN", "RED"]


async def test_a_row_says_why_it_stands_there_and_shows_three_panels(world: World) -> None:
    number = await member(world, "P1", rosh=Rosh.VERY_HIGH, mappa_level=2, reoffending=75.0, source="OASys")
    await graded(world, number, RagGrade.RED, at=NOW - 10 * DAY)
    await alert(world, number, 2)
    signal = Signal(kind=SignalKind.EXCLUSION, direction=Direction.UP, because="entered an exclusion zone")
    await entered(world, Draft(SIGNAL, number, signal, "LIVE", occurred_ms=NOW - 1, due_ms=NOW + DAY))
    old = Signal(kind=SignalKind.ARREST, direction=Direction.UP, because="arrested")
    await entered(world, Draft(SIGNAL, number, old, "LIVE", occurred_ms=NOW - 20 * DAY, due_ms=NOW - 6 * DAY))
    async with world.connection.transaction():
        await propose(world.connection, None, NOW)
    (row,) = await cohort(world.connection, SeldomCache(), NOW)
    assert row.because == [
        "serious alert open", "red since 20 February 2026", "risk of serious harm very high", "MAPPA level 2",
        "reoffending predictor high", "review overdue by 3 days",
    ]  # fmt: skip
    assert [signal.because for signal in row.signals] == ["entered an exclusion zone"], "what expired is not live"
    assert row.how_likely is not None
    assert (row.how_likely.percent, row.how_likely.band, row.how_likely.source) == (75.0, "HIGH", "OASys")
    assert (row.how_bad.rosh, row.how_bad.mappa_level, row.how_bad.serious_harm) == ("VH", 2, None)
    assert row.proposal is None, "the rules say what is held"
    assert row.changed["signal"] == 2


async def test_the_newest_assessment_counts_for_each_part_that_it_says(world: World) -> None:
    number = await member(world, "P1", rosh=Rosh.HIGH, reoffending=10.0)
    await entered(world, Draft(ASSESSMENT, number, Assessment(reoffending=60.0), occurred_ms=NOW))
    await entered(world, Draft(ASSESSMENT, number, Assessment(rosh=Rosh.LOW), occurred_ms=NOW - 9 * DAY))
    (row,) = await cohort(world.connection, SeldomCache(), NOW)
    assert row.how_likely is not None
    assert (row.how_likely.percent, row.how_bad.rosh) == (60.0, "H")


async def test_what_is_kept_of_assessments_and_offences_is_never_older_than_what_was_entered(world: World) -> None:
    kept = SeldomCache()
    number, other = await member(world, "P1", rosh=Rosh.HIGH), await member(world, "P2")

    async def shown() -> tuple[str | None, float]:
        row = next(row for row in await cohort(world.connection, kept, NOW) if row.wearer_no == number)
        return row.how_bad.rosh, row.how_bad.harm_days

    assert await shown() == ("H", 0)
    robbery = Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.CONVICTED, proven_on=date(2026, 2, 20))
    (offence,) = await entered(world, Draft(OFFENCE, number, robbery, "STATED", occurred_ms=NOW - 20 * DAY))
    await entered(world, Draft(ASSESSMENT, number, Assessment(rosh=Rosh.LOW), occurred_ms=NOW))
    assert await shown() == ("L", 365)
    await entered(world, following(offence, state="WITHDRAWN"))
    assert await shown() == ("L", 0)
    read: list[str] = []
    world.connection.add_query_logger(lambda query: read.append(query.query))
    assert await shown() == ("L", 0)
    assert not {ASSESSED, OFFENDED} & set(read), "nothing new: they are not read again"
    await entered(world, Draft(ASSESSMENT, other, Assessment(rosh=Rosh.LOW), occurred_ms=NOW))
    rows = await cohort(world.connection, kept, NOW)
    assert [row.how_bad.rosh for row in rows] == ["L", "L"]


async def test_who_was_removed_is_in_no_list_and_merged_records_are_one_row(world: World) -> None:
    one = await member(world, "P1")
    async with world.connection.transaction():
        two = await add_person(world.connection, ANN, "P2", Person(agencies=["Police"]), NOW)
        await merge(world.connection, ANN, two.wearer_no or 0, one, "the same", NOW)
    await alert(world, two.wearer_no or 0, 1)
    (row,) = await cohort(world.connection, SeldomCache(), NOW)
    assert (row.reference, row.severity) == ("P1", 1)
    (membership,) = await load(world.connection, [one], [MEMBERSHIP])

    ended = Membership(cohort=Cohort.FIXED, end_reason=EndReason.DIED, panel="March", panel_date=date(2026, 3, 2))
    await entered(world, following(membership, state="ENDED", content=ended, valid=Span(NOW - DAY, NOW)))
    assert await order(world) == []


async def test_filters_fit_and_nobody_else_is_shown(world: World) -> None:
    number = await member(world, "P1")
    await member(world, "P2")
    await graded(world, number, RagGrade.RED)
    for wanted, expected in (
        (Wanted(grade="RED"), ["P1"]),
        (Wanted(officer="B. Ash", cohort="FIXED", agency="Police"), ["P1", "P2"]),
        (Wanted(cohort="FREE"), []),
    ):
        assert [row.reference for row in await cohort(world.connection, SeldomCache(), NOW, wanted)] == expected


async def test_a_chronology_tells_everything_as_it_was_known(world: World) -> None:
    number = await member(world, "P1")
    (note,) = await entered(world, Draft(NOTE, number, Note(text="first"), occurred_ms=NOW - 5))
    await entered(world, following(note, content=Note(text="corrected")), at=NOW + 1000)
    await graded(world, number, RagGrade.RED)
    found = await chronology(world.connection, number, NOW + DAY, None, None)
    assert [(line.what, line.content.get("text")) for line in found.lines] == [
        ("grade", None), ("person", None), ("note", "corrected"), ("membership", None),
    ]  # fmt: skip
    before = await chronology(world.connection, number, NOW + DAY, NOW, frozenset({"note"}))
    assert [line.content["text"] for line in before.lines] == ["first"]


# ------------------------------------------------------------------ over HTTP


async def looked(office: Office) -> list[str]:
    return [row["what"] for row in await office.connection.fetch("SELECT what FROM looks ORDER BY look_no")]


async def test_the_cohort_over_http_is_that_of_the_agency_and_is_a_look(office: Office) -> None:
    theirs = await office.token_of(Role.OFFICER, "Housing")
    assert (await office.get("/v1/iom/cohort", theirs))[1] == {"people": []}
    status, body = await office.get("/v1/iom/cohort?grade=GREEN", "officer")
    assert (status, [row["reference"] for row in body["people"]]) == (200, ["W1"])
    assert body["people"][0]["because"][0] == "green since 2 March 2026"
    assert await looked(office) == ["IOM record", "IOM record"]


async def test_rows_come_in_and_the_feed_hands_them_on_once(office: Office) -> None:
    rows = [
        {"noun": "person", "person": "N1", "name": "New", "agencies": ["Police"]},
        {"noun": "note", "person": "N1", "record": "1", "text": "seen", "occurred": "2026-03-02T19:00:00Z"},
        {"noun": "note", "person": "N1"},
    ]
    police = await office.token_of(Role.OFFICER, "Police")
    status, tried = await office.post("/v1/iom/rows", {"rows": rows, "dry_run": True}, police)
    assert (status, tried["counts"]["entered"], tried["import_no"]) == (200, 2, None)
    _, before = await office.get("/v1/iom/changes", police)
    status, report = await office.post("/v1/iom/rows", {"rows": rows, "system": "delius"}, police)
    assert (status, [one["what"] for one in report["rows"]]) == (200, ["entered", "entered", "refused"])
    status, feed = await office.get(f"/v1/iom/changes?after={before['next']}", police)
    assert [(one["noun"], one["recorded_by"], one["agency"]) for one in feed["entries"]] == [
        ("person", police, "Police"), ("note", police, "Police"),
    ]  # fmt: skip
    assert (await office.get(f"/v1/iom/changes?after={feed['next']}", police))[1] == {
        "entries": [],
        "next": feed["next"],
    }
    _, again = await office.post("/v1/iom/rows", {"rows": rows[:2], "system": "delius"}, police)
    assert again["counts"]["unchanged"] == 2
    status, person = await office.get("/v1/iom/people/N1?nouns=note", police)
    assert (status, [line["content"]["text"] for line in person["lines"]]) == (200, ["seen"])
    assert (await office.get("/v1/iom/people/N1", await office.token_of(Role.OFFICER, "Housing")))[0] == 404


async def test_a_note_for_some_goes_to_none_but_them_by_no_door(office: Office) -> None:
    number = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    async with office.connection.transaction():
        draft = Draft(
            NOTE, number, Note(text="secret"), occurred_ms=parse_instant(BEGINS), visibility=Visibility.POLICE_INTEL
        )
        await enter(office.connection, Author("Ann", "Police"), [draft], parse_instant(BEGINS))
    police, probation = [await office.token_of(Role.OFFICER, agency) for agency in ("Police", "Probation Service")]
    for role, sees in ((police, True), (probation, False), ("operator", False), ("administrator", False)):
        for path in ("/v1/iom/changes", "/v1/iom/people/W1"):
            async with office.http.get(path, headers=office.bearer(role)) as response:
                assert response.status == 200
                assert ("secret" in await response.text()) == sees, (role, path)


async def test_a_grade_is_given_and_a_proposal_decided_against_with_a_reason(office: Office) -> None:
    number = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    now_ms = parse_instant(BEGINS)
    signal = Signal(kind=SignalKind.EXCLUSION, direction=Direction.UP, because="x")
    async with office.connection.transaction():
        await enter(
            office.connection,
            ANN,
            [Draft(SIGNAL, number, signal, "LIVE", occurred_ms=now_ms, due_ms=now_ms + DAY)],
            now_ms,
        )
        await propose(office.connection, None, now_ms)
    (proposal,) = [e for e in await load(office.connection, [number], [PROPOSAL]) if e.state == "OPEN"]
    against = f"/v1/iom/proposals/{proposal.item_no}/against"
    assert (await office.post(against, {"why": ""}, "officer"))[0] == 422
    status, body = await office.post(against, {"why": "the zone was moved"}, "officer")
    assert (status, body["state"], body["recorded_by"]) == (200, "DECIDED_AGAINST", "the officer")
    assert (await office.post(against, {"why": "again"}, "officer"))[0] == 422
    status, body = await office.post(
        "/v1/iom/people/W1/grades", {"grade": "AMBER", "why": "new associates"}, "officer"
    )
    assert (status, body["content"]["graded_by"]) == (200, "the officer")
    assert (await office.post("/v1/iom/people/W1/grades", {"grade": "GREEN"}, "officer"))[0] == 422
    assert (await office.post("/v1/iom/people/W1/grades", {"grade": "RED", "why": "x"}, "auditor"))[0] == 403


async def test_no_grade_is_given_by_a_row_over_http(office: Office) -> None:
    row = {
        "noun": "grade",
        "person": "W1",
        "record": "q",
        "grade": "RED",
        "occurred": "2026-03-01",
        "graded_by": "the chief",
    }
    status, report = await office.post("/v1/iom/rows", {"rows": [row]}, "officer")
    assert (status, report["rows"][0]["what"]) == (200, "refused")
    assert report["rows"][0]["why"] == "no grade is taken as a row here; it has its own way in"


async def test_an_amended_finding_is_told_as_it_was_known(office: Office) -> None:
    connection = office.connection
    found = await connection.fetchrow(
        "SELECT f.finding_no, a.wearer_no, v.recorded_at, v.version FROM findings f JOIN activation_versions a USING (activation_no) "
        "CROSS JOIN LATERAL newest_version(f.finding_no) v WHERE upper_inf(a.recorded) LIMIT 1"
    )
    at_ms = instant_of(found["recorded_at"])
    asked = (connection, found["wearer_no"], at_ms + 1_000_000 * DAY // 1_000, at_ms, frozenset({"finding"}))
    before = await chronology(*asked)
    assert before.lines
    await connection.execute(
        "INSERT INTO finding_versions SELECT (jsonb_populate_record(v, jsonb_build_object('version', v.version + 1, "
        "'change', 'amended', 'recorded_at', v.recorded_at + interval '1 hour'))).* "
        "FROM finding_versions v WHERE finding_no = $1 AND version = $2",
        found["finding_no"], found["version"],
    )  # fmt: skip
    assert (await chronology(*asked)).lines == before.lines


@pytest.mark.parametrize(
    "path", ["/v1/iom/people/W1?nouns=shoe", "/v1/iom/people/W1?as_known_at=soon", "/v1/iom/changes?after=x"]
)
async def test_what_cannot_be_asked_says_why(office: Office, path: str) -> None:
    status, body = await office.get(path, "officer")
    assert status in (400, 422)
    assert "expected" in body["error"] or "cannot be read" in body["error"]


# ------------------------------------------------------------------ rows out


async def all_rows(office: Office, role: str) -> list[dict[str, Any]]:
    """Page by page, as a program takes them."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        status, body = await office.get(f"/v1/iom/rows{after}", role)
        assert status == 200
        rows += body["rows"]
        if body["next"] is None:
            return rows
        after = f"?after={quote(body['next'])}"


async def test_the_rows_that_go_out_over_http_are_those_of_the_file_and_change_nothing_when_they_come_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"noun": "person", "person": f"N {n}", "name": "New", "crn": f"X00000{n}"} for n in range(5)]
    rows += [{"noun": "note", "person": "N 1", "record": "1", "text": "seen", "occurred": "2026-03-02T19:00:00Z"}]
    await office.post("/v1/iom/rows", {"rows": rows, "system": "delius"}, "officer")
    monkeypatch.setattr("emtrack.web.api.iom.ENOUGH_ROWS", 1)
    monkeypatch.setattr("emtrack.iom.exporting.FEW", 2)
    found = await all_rows(office, "officer")
    assert found == [row async for row in exported_rows(office.connection, None)]
    assert {row["person"] for row in found} == {"W1", "W2", *(f"N {n}" for n in range(5))}
    back = [row for row in found if row["noun"] != "grade"]
    _, report = await office.post("/v1/iom/rows", {"rows": back}, "officer")
    assert report["counts"]["unchanged"] == len(back)
    _, one = await office.get("/v1/iom/rows?person=N%201", "officer")
    assert [row["noun"] for row in one["rows"]] == ["person", "note"]
    assert one["next"] is None
    assert (
        await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'export' AND wearer_no IS NOT NULL")
        == 1
    )


async def test_whoever_took_all_rows_hears_what_changed_since_the_first(office: Office) -> None:
    _, body = await office.get("/v1/iom/rows", "officer")
    note = {"noun": "note", "person": "W1", "record": "1", "text": "seen", "occurred": "2026-03-02T19:00:00Z"}
    await office.post("/v1/iom/rows", {"rows": [note]}, "officer")
    _, feed = await office.get(f"/v1/iom/changes?after={body['changes_after']}", "officer")
    assert [entry["noun"] for entry in feed["entries"]] == ["note"]


async def test_rows_go_out_only_to_those_who_may_see_them_and_not_before_the_look(office: Office) -> None:
    theirs = await office.token_of(Role.OFFICER, "Housing")
    assert (await office.get("/v1/iom/rows", theirs))[1]["rows"] == []
    assert (await office.get("/v1/iom/rows?person=W1", theirs))[0] == 404
    assert (await office.get("/v1/iom/rows?person=nobody", "officer"))[0] == 404
    assert await looked(office) == ["export"]
