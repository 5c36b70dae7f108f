"""The programme's record out of files and into them: nothing twice, nothing lost, and one bad row is one bad row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from emtrack.db.connect import connect
from emtrack.db.identity import Identity, identify_as
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.files.iom import UnfitFile, merge_records, read_rows, unmerge_record, written
from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import Author, Draft, Entry, enter, following, load
from emtrack.iom.exporting import exported_rows
from emtrack.iom.importing import Report, Source, import_rows
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.notes import NOTE
from emtrack.iom.people import PERSON, Person
from emtrack.iom.record import load_iom
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.standing import UnfitPerson
from emtrack.iom.statuses import STATUS
from emtrack.settings import Settings
from geofence import parse_instant
from tests.command_line import emtrack_aside
from tests.service_world import World, ms

NOW = ms("12:00")
ANN = Author("Ann")
SOURCE = Source("a file", "delius", ZoneInfo("Europe/London"))
JO = {
    "noun": "person",
    "person": "P1",
    "name": "Jo Example",
    "crn": "X123456",
    "pnc": "12/394773H",
    "agencies": "Police; Housing",
}


async def imported(world: World, *rows: Mapping[str, Any], **more: Any) -> Report:
    return await import_rows(world.connection, more.pop("author", ANN), rows, SOURCE, NOW, **more)


async def of(world: World, reference: str, *nouns: Any) -> list[Entry]:
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", reference)
    return await load(world.connection, [number], nouns)


def whats(report: Report) -> list[str]:
    return [one.what for one in report.rows]


async def test_a_person_is_found_by_any_valid_identifier_and_what_is_not_given_stays(world: World) -> None:
    assert whats(await imported(world, JO)) == ["entered"]
    again = {"noun": "person", "pnc": "2012/0394773H", "sex": "F", "date_of_birth": "14/06/1990"}
    assert whats(await imported(world, again)) == ["entered"]
    (entry,) = await of(world, "P1", PERSON)
    assert isinstance(entry.content, Person)
    assert (entry.version, entry.content.name, entry.content.sex, str(entry.content.date_of_birth)) == (
        2,
        "Jo Example",
        "F",
        "1990-06-14",
    )
    assert {str(one.scheme): one.canonical for one in entry.content.identifiers} == {
        "CRN": "X123456",
        "PNC": "2012/0394773H",
    }
    summary = (await load_iom(world.connection, [entry.wearer_no or 0]))[entry.wearer_no or 0]
    assert (summary.crn, summary.agencies) == ("X123456", ["Police", "Housing"])


async def test_an_identifier_that_is_not_valid_is_kept_and_finds_nobody(world: World) -> None:
    bad = {"noun": "person", "person": "P2", "pnc": "2012/0394773J"}
    assert whats(await imported(world, JO, bad)) == ["entered", "entered"]
    (entry,) = await of(world, "P2", PERSON)
    assert isinstance(entry.content, Person)
    (pnc,) = entry.content.identifiers
    assert (pnc.given, pnc.is_valid, pnc.flag) == ("2012/0394773J", False, "the check letter does not fit")
    assert whats(
        await imported(world, {"noun": "note", "pnc": "2012/0394773J", "text": "x", "occurred": "2026-03-01"})
    ) == ["refused"]


async def test_two_people_who_share_an_identifier_are_not_made_one_by_a_file(world: World) -> None:
    twin = {"noun": "person", "person": "P2", "crn": "X123456"}
    report = await imported(world, JO, twin)
    assert whats(report) == ["entered", "refused"]
    assert "merge them" in (report.rows[1].why or "")


ROWS = [
    JO,
    {"noun": "membership", "person": "P1", "record": "m1", "cohort": "fixed", "from": "2025-01-01", "lead_agency": "Police"},
    {"noun": "status", "person": "P1", "record": "s1", "status": "COMMUNITY", "from": "2025-01-01"},
    {"noun": "status", "person": "P1", "record": "s2", "status": "REMAND", "from": "2026-02-01T10:00:00Z", "place": "HMP Somewhere"},
    {"noun": "contact", "crn": "X123456", "record": "c1", "code": "C145", "occurred": "Fri Jun 14 09:06:52 BST 2024"},
    {"noun": "contact", "crn": "X123456", "record": "c2", "kind": "office", "outcome": "kept", "occurred": "2026-02-01"},
    {"noun": "offence", "person": "P1", "record": "o1", "kind": "ROBBERY", "outcome": "CONVICTED", "occurred": "2025-06-01",
     "proven_on": "2025-12-01", "charged": "2025-06-03T08:00:00Z"},
    {"noun": "registration", "person": "P1", "record": "r1", "code": "MAPP", "level": "M2", "category": "M3", "from": "2025-01-01"},
    {"noun": "registration", "person": "P1", "record": "r2", "code": "RVHR", "from": "2025-01-01"},
    {"noun": "registration", "person": "P1", "record": "r3", "code": "ADVP", "from": "2025-01-01"},
    {"noun": "registration", "person": "P1", "record": "r4", "code": "IIOM", "from": "2025-01-01"},
    {"noun": "signal", "person": "P1", "record": "g1", "kind": "INTELLIGENCE", "occurred": "2026-03-01T08:00:00Z",
     "visibility": "POLICE_INTEL"},
    {"noun": "note", "person": "P1", "record": "n1", "text": "seen", "occurred": "2026-03-01", "visibility": "NAMED", "named":
    "Housing"}, {"noun": "grade", "person": "P1", "record": "k1", "grade": "RED", "occurred": "2026-01-05", "reason": "panel"},
    {"noun": "plan", "person": "P1", "record": "p1", "agreed": True,
     "goals": [{"what": "a home", "strand": "CHANGE", "steps": [{"step": "s1", "what": "apply"}]}]},
    {"noun": "circumstance", "person": "P1", "record": "h1", "kind": "HOUSING", "what": "hostel", "from": "2025-01-01", "to":
    "2026-01-01"}, {"noun": "task", "person": "P1", "record": "t1", "title": "call", "for_agency": "Housing", "due": "2026-03-05"},
    {"noun": "transition", "person": "P1", "record": "x1", "kind": "RELEASE", "occurred": "2026-03-20", "state": "PLANNED"},
    {"noun": "breach", "person": "P1", "record": "b1", "occurred": "2026-02-02", "requirement_id": "C1"},
    {"noun": "nomination", "person": "P1", "record": "q1", "reason": "burglaries", "occurred": "2024-12-01"},
    {"noun": "share", "person": "P1", "record": "y1", "purpose": "housing", "basis": "consent", "recipient": "a landlord",
     "fields": "name;status", "occurred": "2026-01-01"},
]  # fmt: skip


async def test_every_noun_is_taken_and_the_same_file_again_changes_nothing(world: World) -> None:
    report = await imported(world, *ROWS)
    assert [(one.row, one.why) for one in report.rows if one.what == "refused"] == []
    assert report.rows[10].what == "unchanged", "a member already"
    before = await world.count("iom_entries")
    again = await imported(world, *ROWS)
    assert set(whats(again)) == {"unchanged"}
    assert await world.count("iom_entries") == before
    (membership,) = await of(world, "P1", MEMBERSHIP)
    assert membership.valid is not None
    assert membership.valid.begin_ms == parse_instant("2025-01-01T00:00:00Z")
    statuses = await of(world, "P1", STATUS)
    assert [entry.valid.end_ms for entry in statuses if entry.valid] == [parse_instant("2026-02-01T10:00:00Z"), None]
    contacts = [entry.content for entry in await of(world, "P1", CONTACT)]
    assert isinstance(contacts[0], Contact)
    assert contacts[0].kind == "curfew violation"
    assert isinstance(contacts[1], Contact)
    assert contacts[1].outcome is Outcome.KEPT
    assessments = [entry.content for entry in await of(world, "P1", ASSESSMENT)]
    assert [(a.mappa_level, a.mappa_category, a.rosh, a.domestic_abuse) for a in assessments if isinstance(a, Assessment)] == [
        (2, 3, None, False), (None, None, "VH", False), (None, None, None, True),
    ]  # fmt: skip
    (signal,) = await of(world, "P1", SIGNAL)
    assert signal.due_ms == parse_instant("2026-03-15T08:00:00Z"), "nothing counts for ever"
    (summary,) = (await load_iom(world.connection, [membership.wearer_no or 0])).values()
    assert (summary.cohort, summary.mappa_level, summary.rag) == ("FIXED", 2, "RED")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".ndjson"])
async def test_what_was_exported_comes_back_and_changes_nothing(world: World, tmp_path: Path, suffix: str) -> None:
    await imported(world, *ROWS)
    rows = [row async for row in exported_rows(world.connection, None)]
    codes = {row["code"] for row in rows if "code" in row}
    assert codes >= {"IIOM", "MAPP", "RVHR", "ADVP", "ERFI", "C145"}
    path = tmp_path / f"all{suffix}"
    path.write_bytes(written(rows, suffix))
    before = await world.count("iom_entries")
    report = await imported(world, *read_rows(path))
    assert [(one.row, rows[one.row - 1], one.why) for one in report.rows if one.what != "unchanged"] == []
    assert await world.count("iom_entries") == before


async def test_what_ended_elsewhere_comes_as_it_ended(world: World) -> None:
    rows = [
        {"noun": "task", "person": "P1", "record": "t", "title": "call", "state": "DONE", "evidence": "called"},
        {"noun": "nomination", "person": "P1", "record": "n", "reason": "x", "occurred": "2025-01-01", "state": "DECLINED",
         "panel": "May", "panel_date": "2025-05-01", "panel_reason": "no risk"},
        {"noun": "membership", "person": "P1", "record": "m", "cohort": "FIXED", "from": "2024-01-01", "to": "2025-01-01",
         "state": "ENDED", "end_reason": "MOVED", "panel": "May", "panel_date": "2025-01-01"},
        {"noun": "task", "person": "P1", "record": "u", "title": "call", "state": "LOST"},
    ]  # fmt: skip
    report = await imported(world, JO, *rows)
    assert whats(report) == ["entered", "entered", "entered", "entered", "refused"]
    assert "'LOST' is no state of a task" in (report.rows[4].why or "")


async def test_the_record_moves_whole_to_another_deployment(world: World, second_database_url: str) -> None:
    await imported(world, *ROWS)
    rows = [row async for row in exported_rows(world.connection, "P1")]
    from tests.service_world import deployed

    async with deployed(second_database_url) as other:
        await other.connection.execute(
            "UPDATE iom_deployment SET name = 'another'"
        )  # both are copies of one template
        report = await imported(other, *rows)
        assert [(one.row, one.why) for one in report.rows if one.what == "refused"] == []
        nouns = [entry.noun.name for entry in await of(world, "P1")]
        there = [entry.noun.name for entry in await of(other, "P1")]
        assert set(nouns) == set(there)
        again = await imported(other, *rows)
        assert set(whats(again)) == {"unchanged"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"noun": "persn", "person": "P1"}, "noun is 'persn'"),
        ({"noun": "note", "text": "x", "occurred": "2026-03-01"}, "it names nobody"),
        ({"noun": "note", "person": "nobody", "text": "x", "occurred": "2026-03-01"}, "there is nobody 'nobody'"),
        ({"noun": "note", "person": "P1", "occurred": "2026-03-01"}, "text"),
        ({"noun": "note", "person": "P1", "text": "x"}, "`occurred` is missing"),
        ({"noun": "note", "person": "P1", "text": "x", "occurred": "soon"}, "`occurred`:"),
        ({"noun": "note", "person": "P1", "text": "x\u202e", "occurred": "2026-03-01"}, "U+202E"),
        ({"noun": "note", "person": "P1", "text": "x\u0000", "occurred": "2026-03-01"}, "U+0000"),
        ({"noun": "note", "person": "P1", "text": "x", "occurred": "2026-03-01", "visibility": "everyone"}, "visibility is"),
        ({"noun": "status", "person": "P1", "status": "REMAND", "from": "2026-03-01", "to": "later"}, "`to`:"),
        ({"noun": "status", "person": "P1", "status": "ASLEEP", "from": "2026-03-01"}, "status"),
        ({"noun": "membership", "person": "P1", "cohort": "FIXED", "from": "2026-03-01", "to": "2026-03-02"}, "is ENDED"),
        ({"noun": "membership", "person": "P1", "cohort": "FIXED", "from": "2026-03-01", "state": "ENDED"}, "panel"),
        ({"noun": "registration", "person": "P1", "code": "IIOM", "from": "2026-03-01"}, "says the cohort, too"),
        ({"noun": "registration", "person": "P1", "code": "XXXX", "from": "2026-03-01"}, "no registration that is known"),
        ({"noun": "registration", "person": "P1", "code": "MAPP", "level": "M9"}, "its level"),
        ({"noun": "proposal", "person": "P1"}, "noun is 'proposal'"),
        ({"noun": "person", "person": "a/b"}, "cannot be taken"),
    ],
)  # fmt: skip
async def test_a_row_that_does_not_fit_is_refused_by_itself_and_kept_as_it_was_given(
    world: World, row: dict[str, Any], why: str
) -> None:
    good = {"noun": "note", "person": "P1", "record": "n", "text": "good", "occurred": "2026-03-01"}
    report = await imported(world, JO, row, good)
    assert whats(report) == ["entered", "refused", "entered"]
    assert why in (report.rows[1].why or "")
    kept = await world.connection.fetchrow("SELECT row_no, what, given FROM iom_import_rows")
    assert kept is not None
    expected = json.loads(json.dumps(row).replace("\\u0000", "\\ufffd"))
    assert tuple(kept) == (2, "refused", expected)


async def test_what_is_not_understood_is_kept_and_told(world: World) -> None:
    row = {
        "noun": "contact",
        "person": "P1",
        "record": "c",
        "kind": "office",
        "occurred": "2026-03-01",
        "shoe_size": 9,
        "outcome": "DNA",
    }
    report = await imported(world, JO, row)
    assert report.rows[1].not_understood == ["outcome", "shoe_size"]
    assert report.counts == {"entered": 2, "unchanged": 0, "refused": 0, "not understood": 1}
    (contact,) = await of(world, "P1", CONTACT)
    assert contact.content.not_understood == {"shoe_size": "9", "outcome": "DNA"}
    assert await world.connection.fetchval("SELECT why FROM iom_import_rows") == "outcome, shoe_size"


async def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    bad = {"noun": "note", "person": "P1"}
    tried = await imported(world, *ROWS, bad, keeps=False)
    assert tried.import_no is None
    for table in ("iom_entries", "iom_imports", "iom_import_rows"):
        assert await world.count(table) == 0
    assert (await imported(world, *ROWS, bad)).rows == tried.rows


async def test_a_row_that_another_row_contradicts_is_refused_and_the_slice_goes_on(world: World) -> None:
    two = [
        {
            "noun": "status",
            "person": "P1",
            "record": "a",
            "status": "REMAND",
            "from": "2026-01-01",
            "to": "2026-02-01",
        },
        {
            "noun": "status",
            "person": "P1",
            "record": "b",
            "status": "WANTED",
            "from": "2026-01-15",
            "to": "2026-01-20",
        },
        {"noun": "note", "person": "P1", "record": "n", "text": "x", "occurred": "2026-03-01"},
    ]
    report = await imported(world, JO, *two)
    assert whats(report) == ["entered", "entered", "refused", "entered"]
    assert "two status entries" in (report.rows[2].why or "")


async def test_an_agency_imports_for_its_own_people_and_no_others(world: World) -> None:
    theirs = JO | {"person": "P9", "agencies": "Police", "crn": "X999999", "pnc": ""}
    await imported(world, JO, theirs)
    await grant_rights(world.connection)
    session = await connect(await run_time_dsn(world.dsn, RunTime.PAGES))
    try:
        await identify_as(session, Identity("Dee", "officer", "Housing"))
        rows: Sequence[dict[str, Any]] = [
            {"noun": "note", "person": "P1", "record": "1", "text": "ours", "occurred": "2026-03-01"},
            {"noun": "note", "person": "P9", "record": "2", "text": "theirs", "occurred": "2026-03-01"},
            {"noun": "person", "person": "P9", "name": "Mine"},
            {"noun": "person", "person": "P10", "name": "New"},
            {"noun": "note", "person": "P10", "record": "3", "text": "ours", "occurred": "2026-03-01"},
        ]
        report = await import_rows(session, Author("Dee", "Housing"), rows, SOURCE, NOW)
        assert whats(report) == ["entered", "refused", "refused", "entered", "entered"], report.rows
        assert {note.agency for note in await of(world, "P1", NOTE)} == {"Housing"}
        assert await session.fetchval("SELECT count(*) FROM iom_import_rows") == 2
        await identify_as(session, Identity("Bob", "officer", "Police"))
        assert await session.fetchval("SELECT count(*) FROM iom_import_rows") == 0, "of who imports"
    finally:
        await session.close()


async def test_what_a_row_does_not_say_stays_as_it_was(world: World) -> None:
    note = {"noun": "note", "person": "P1", "record": "n", "text": "heard", "occurred": "2026-03-01"}
    signal = {"noun": "signal", "person": "P1", "record": "s", "kind": "ARREST", "occurred": "2026-03-01"}
    await imported(
        world, JO, note | {"visibility": "POLICE_INTEL"}, note | {"record": "m", "visibility": "NAMED", "named": "Health"}, signal
    )  # fmt: skip
    (arrest,) = await of(world, "P1", SIGNAL)
    async with world.connection.transaction():
        await enter(world.connection, ANN, [following(arrest, state="WITHDRAWN")], NOW)
    again = await imported(world, note, note | {"record": "m"}, signal)
    assert whats(again) == ["unchanged", "unchanged", "unchanged"]
    await imported(world, note | {"text": "heard twice"}, note | {"record": "m", "text": "heard twice"})
    told = {(str(entry.visibility), entry.named, entry.version) for entry in await of(world, "P1", NOTE)}
    assert told == {("POLICE_INTEL", (), 2), ("NAMED", ("Health",), 2)}, "nothing is opened without being asked for"
    (arrest,) = await of(world, "P1", SIGNAL)
    assert arrest.state == "WITHDRAWN", "it does not come back with the file"
    assert whats(await imported(world, note | {"text": "heard twice", "visibility": "ALL"})) == ["entered"]


async def test_a_row_changes_nothing_of_another_agency_or_of_the_service(world: World) -> None:
    police, probation = Author("Pat", "Police"), Author("Dee", "Probation")
    note = {
        "noun": "note",
        "person": "P1",
        "system": "niche",
        "record": "n1",
        "text": "ours",
        "occurred": "2026-03-01",
    }
    await imported(world, JO)
    await imported(world, note, author=police)
    (person,) = await of(world, "P1", PERSON)
    found = Signal(kind=SignalKind.EXCLUSION, direction=Direction.UP, because="entered a zone", finding_no=1)
    async with world.connection.transaction():
        await enter(
            world.connection, Author("the service"),
            [Draft(SIGNAL, person.wearer_no, found, "LIVE", occurred_ms=NOW, due_ms=NOW + 1, system="emtrack", record="finding 1")],
            NOW,
        )  # fmt: skip
    taken_back = {"noun": "signal", "person": "P1", "system": "emtrack", "record": "finding 1", "state": "WITHDRAWN",
                  "kind": "EXCLUSION", "occurred": "2026-03-02T12:00:00Z"}  # fmt: skip
    report = await imported(
        world, note | {"text": "nothing"}, note | {"visibility": "OWN"}, taken_back, note, author=probation
    )
    assert whats(report) == ["refused", "refused", "refused", "unchanged"]
    assert [one.why for one in report.rows[1:3]] == [
        "Police recorded it; only they change it", "the service recorded it, out of what it found; no row changes it",
    ]  # fmt: skip
    assert whats(await imported(world, taken_back)) == ["refused"], "nor does the programme itself"
    (signal,) = await of(world, "P1", SIGNAL)
    assert (signal.state, signal.version) == ("LIVE", 1)
    assert whats(await imported(world, note | {"text": "corrected"}, author=police)) == ["entered"]


async def test_a_grade_that_was_given_is_not_rewritten_and_none_is_of_a_time_to_come(world: World) -> None:
    grade = {"noun": "grade", "person": "P1", "record": "g", "grade": "GREEN", "occurred": "2026-03-01"}
    await imported(world, JO, grade)
    rows = (
        grade,
        grade | {"grade": "RED"},
        grade | {"record": "h", "occurred": "2090-01-01"},
        grade | {"record": "i", "from": "2090-01-01", "occurred": ""},
    )
    report = await imported(world, *rows)
    assert whats(report) == ["unchanged", "refused", "refused", "refused"]
    assert "is a row of its own" in (report.rows[1].why or "")
    assert "expected one up to now" in (report.rows[2].why or "")
    assert await world.connection.fetch("SELECT grade FROM rag_grades") == [("GREEN",)]
    assert whats(
        await imported(world, grade | {"record": "j", "grade": "RED", "occurred": "2026-03-01T00:00:01Z"})
    ) == ["entered"]
    newest = await world.connection.fetchval("SELECT grade FROM rag_grades ORDER BY since DESC LIMIT 1")
    assert newest == "RED", "the one that corrects it counts"


async def test_a_file_that_is_no_table_says_where(tmp_path: Path) -> None:
    for name, text, why in (
        ("a.csv", "person\nP1\n", "line 1: expected a column `noun`"),
        ("a.csv", 'noun\n"x\n', "line"),
        ("a.json", "{}", "expected an array"),
        ("a.json", "[", "a.json"),
        ("a.ndjson", "{}\n[]\n", "line 2: expected an object"),
        ("a.txt", "", "ends in .csv"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnfitFile, match=why):
            read_rows(tmp_path / name)


async def test_two_records_are_merged_and_unmerged_by_a_command(world: World, tmp_path: Path) -> None:
    chosen = Settings(data_dir=tmp_path, database_url=world.dsn)
    rows = [{"noun": "person", "person": one, "name": one, "agencies": ["Police"]} for one in ("P1", "P2")]
    await imported(world, *rows)
    with pytest.raises(UnfitFile, match="nobody 'P9'"):
        await merge_records(chosen, "P2", "P9", "the same", "Ann")
    with pytest.raises(UnfitFile, match="--reason"):
        await merge_records(chosen, "P2", "P1", " ", "Ann")
    await merge_records(chosen, "P2", "P1", "the same person, seen by both", "Ann")
    assert await world.connection.fetchval("SELECT count(*) FROM merged_people()") == 2
    with pytest.raises(UnfitPerson, match="merged into another already"):
        await merge_records(chosen, "P2", "P1", "again", "Ann")
    await unmerge_record(chosen, "P2", "they are two", "Ann")
    assert await world.connection.fetchval("SELECT count(*) FROM merged_people()") == 0


async def test_the_commands_work_from_an_empty_folder(database_url: str, tmp_path: Path) -> None:
    chosen = {"EMTRACK_DATABASE_URL": database_url, "EMTRACK_DATA_DIR": str(tmp_path / "data")}
    bad = {"noun": "note", "person": "P1"}
    (tmp_path / "in.json").write_text(json.dumps([*ROWS, bad]))
    dry = await emtrack_aside("iom", "import", str(tmp_path / "in.json"), "--dry-run", **chosen)
    assert (dry.returncode, "nothing was changed" in dry.stderr) == (1, True), dry.stderr
    done = await emtrack_aside(
        "iom",
        "import",
        str(tmp_path / "in.json"),
        "--system",
        "delius",
        "--report",
        str(tmp_path / "report.json"),
        **chosen,
    )
    assert done.returncode == 1, done.stderr
    assert "row 22: refused" in done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["counts"]["refused"], len(report["rows"])) == (1, len(ROWS) + 1)
    out = await emtrack_aside(
        "iom", "export", str(tmp_path / "out.csv"), "--person", "P1", "--purpose", "COURT", **chosen
    )
    assert (out.returncode, "only you can read it" in out.stderr) == (0, True), out.stderr
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600
    back = await emtrack_aside("iom", "import", str(tmp_path / "out.csv"), **chosen)
    assert (back.returncode, "0  entered" in back.stderr) == (0, True), back.stderr
    connection = await connect(database_url)
    looks = await connection.fetch("SELECT what, purpose FROM looks")
    await connection.close()
    assert [tuple(look) for look in looks] == [("export", "COURT")]
