"""Nobody looks unseen: before the first row that says where somebody was, or what was found, who asks and why is committed."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import asyncpg
import pytest
from starlette.routing import Route

from emtrack.cli.audit import proofs_of
from emtrack.cli.curfews import curfews_of_tonight
from emtrack.cli.exporting import AskedExport, export_positions, export_report
from emtrack.cli.findings import stored_findings
from emtrack.cli.near import near_of
from emtrack.cli.rejudging import would_change
from emtrack.cli.what_if import tried
from emtrack.db.connect import connect
from emtrack.db.session import Session
from emtrack.files.export import export_to
from emtrack.files.subject import export_subject
from emtrack.forms.drafts import Draft, DraftZone
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.people.looks import AGAIN_MS, Door, Looker, What, commander, look_at_people, looks_at, record_look
from emtrack.people.roles import Role
from emtrack.reading import apart
from emtrack.record.near import Asked, Question
from emtrack.record.past_orders import NoReason
from emtrack.web.rendering import LITTLE
from geofence import Disc, Interval, ObligationKind, datetime_of
from geofence.nearness import Spot
from tests.office import EXCLUSION, Office
from tests.service_world import AWAY, curfew, ms
from tests.visitor import Visitor

TELLING = re.compile(
    r"\b(positions|future_positions|device_events|findings|finding_versions|newest_version|version_known_at|alert_occurrences|"
    r"atv_lines|possible_entries|presence_notes|wearer_details|near_people)\b"
)
"""What says where somebody was, or what was found about somebody."""
COUNTS = re.compile(r"\A\s*SELECT (count\(\*\)|severity, count\(\*\))")
"""How many there are says nothing of anybody."""


class Watch:
    """All rows that a session read, in order: those of looks that this session wrote, and those that tell. `rows_apart`: in processes
    of their own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.unseen: list[str] = []
        self.rows = 0
        self.rows_apart = 0

    async def saw(self, statement: str, rows: int) -> None:
        """A statement gave rows. If they tell, another session must find a look that is committed."""
        if rows == 0 or TELLING.search(statement) is None or COUNTS.match(statement):
            return
        self.rows += rows
        other = await asyncpg.connect(self._dsn)
        try:
            if await other.fetchval("SELECT count(*) FROM looks") == 0:
                self.unseen.append(statement)
        finally:
            await other.close()


@pytest.fixture
def watch(database_url: str) -> Iterator[Watch]:
    """Every session of ours but that of the turn, which judges and shows nobody anything, is watched from here on; so are those of
    the processes that judge for readers."""
    watch = Watch(database_url)
    with (
        watching(watch, lambda session: session._limits is None),  # the turn's session has limits of its own
        mock.patch.object(apart, "exchanged", watched_apart(apart.exchanged, watch, database_url)),
    ):
        yield watch


@contextmanager
def watching(watch: Watch, which: Callable[[Any], bool]) -> Iterator[None]:
    with ExitStack() as patched:
        for name in ("fetch", "fetchrow", "fetchval"):
            patched.enter_context(mock.patch.object(Session, name, watched(getattr(Session, name), watch, which)))
        patched.enter_context(
            mock.patch.object(Session, "copy_from_query", copied(Session.copy_from_query, watch, which))
        )
        yield


def watched(
    fetch: Callable[..., Awaitable[Any]], watch: Watch, which: Callable[[Any], bool]
) -> Callable[..., Awaitable[Any]]:
    async def seen(session: Any, statement: str, *args: Any, **options: Any) -> Any:
        found = await fetch(session, statement, *args, **options)
        if which(session):
            await watch.saw(statement, len(found) if isinstance(found, list) else int(found is not None))
        return found

    return seen


def copied(
    copy: Callable[..., Awaitable[Any]], watch: Watch, which: Callable[[Any], bool]
) -> Callable[..., Awaitable[Any]]:
    """COPY says how many rows it gave."""

    async def seen(session: Any, statement: str, *args: Any, **options: Any) -> Any:
        said = await copy(session, statement, *args, **options)
        if which(session):
            await watch.saw(statement, int(said.split()[-1]))
        return said

    return seen


def watched_apart(exchanged: Callable[..., Awaitable[Any]], watch: Watch, dsn: str) -> Callable[..., Awaitable[Any]]:
    """Each question is asked in such a way that the process says what it saw as well."""

    async def asked(process: Any, question: apart.Question) -> Any:
        wrapped = question._replace(
            work=watched_there, arguments=(dsn, question.work, question.arguments, question.named)
        )
        told = await exchanged(process, wrapped._replace(named={}))
        if isinstance(told, apart.Failed):
            return told
        answer, rows, unseen = told.answer
        watch.rows += rows
        watch.rows_apart += rows
        watch.unseen += unseen
        return told._replace(answer=answer)

    return asked


async def watched_there(
    connection: Any, sets: Any, dsn: str, work: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, int, list[str]]:
    """In the process: the answer, and what a watch saw there."""
    watch = Watch(dsn)
    with watching(watch, lambda _: True):
        answer = await work(connection, sets, *arguments, **named)
    return answer, watch.rows, watch.unseen


NOBODY_NEAR = Question(Asked.PLACE, Interval(ms("19:00"), ms("20:00")), 100.0, Spot(1.0, 52.0, 100.0))
NEAR = {
    "purpose": "COURT", "lat": str(AWAY[1]), "lon": str(AWAY[0]), "radius": "100",
    "begin": "2026-03-02T19:00", "end": "2026-03-02T20:00",
}  # fmt: skip
ONE_EXPORT = AskedExport("W1", (ms("19:00"), ms("21:00")), "csv")
EXPORT = {"purpose": "COURT", "begin": "2026-03-02T19:00", "end": "2026-03-02T20:00", "form": "csv"}
WHAT_IF = EXPORT | {
    "who": "person",
    "wearer": "W1",
    "zone_kind": "EXCLUSION",
    "lat": str(AWAY[1]),
    "lon": str(AWAY[0]),
    "radius": "100",
}
THERE = Draft(zone=DraftZone(ObligationKind.EXCLUSION, Disc(AWAY, 100.0)))
SEALED_FINDINGS = """
SELECT m.keys[1] FROM log_leaves l JOIN log_material m USING (material_no), (SELECT max(size) AS size FROM log_heads) h
WHERE m.kind = 'finding_versions' AND l.first_leaf + cardinality(m.keys) <= h.size AND NOT EXISTS (
    SELECT FROM log_material w LEFT JOIN log_leaves x USING (material_no)
    WHERE w.kind IN ('findings', 'finding_versions') AND (x.first_leaf IS NULL OR x.first_leaf + cardinality(w.keys) > h.size))
"""


async def a_sealed_finding(office: Office) -> int:
    """The number of a finding that is under a head: the service puts it there within seconds."""
    for _ in range(400):
        number: int | None = await office.connection.fetchval(SEALED_FINDINGS)
        if number is not None:
            return number
        await asyncio.sleep(0.05)
    raise AssertionError("not within 20 s")


async def forget_looks(office: Office) -> None:
    await office.connection.execute("DELETE FROM looks")


def as_asked(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = re.sub(r"\{" + name + r"(:\w+)?\}", value, path)
    return path


@pytest.mark.parametrize("little", [LITTLE, -1], ids=["judged here", "judged apart"])
async def test_no_route_hands_out_a_telling_row_without_a_committed_look(
    office: Office, visitor: Visitor, watch: Watch, monkeypatch: pytest.MonkeyPatch, little: int
) -> None:
    """Whether a page judges what it shows itself, or has it judged in another process."""
    monkeypatch.setattr("emtrack.web.rendering.LITTLE", little)
    await office.two_are_out()
    finding = str(await office.connection.fetchval("SELECT min(finding_no) FROM findings"))
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    _, place = await visitor.post(
        "/wearers/1/history", form_key=await visitor.form_key(), purpose="COURT",
        begin="2026-03-02T19:00", end="2026-03-02T21:00",
    )  # fmt: skip
    values = {
        "wearer_no": "1", "alert_no": "1", "wearer_id": "W1", "finding_no": finding, "requirement_id": "C1",
        "reference": "W1", "view_no": place.removeprefix("/views/"), "device_id": "D1",
    }  # fmt: skip
    _, run = await visitor.post("/near", form_key=await visitor.form_key(), **NEAR)
    values["run_no"] = run.removeprefix("/near/")
    assert await office.connection.fetchval("SELECT count(*) FROM near_people") == 2
    asked = 0
    watch.unseen.clear()  # what this test read itself
    _, both = await visitor.post(f"{place}/beside", form_key=await visitor.form_key(), purpose="COURT", other="W2")
    assert (await visitor.get(both))[0] == 200
    for route in office.routes:
        if not isinstance(route, Route) or "GET" not in (route.methods or ()) or route.path.endswith("/stream"):
            continue
        path = as_asked(route.path, values)
        if not path.startswith("/views/"):  # those rest on a look of their own, which is there
            await forget_looks(office)
        await visitor.get(path)
        if path.startswith("/v1"):
            await forget_looks(office)
            await office.http.get(path, headers=office.bearer("administrator"))
        asked += 1
    assert asked > 15
    assert watch.rows > 25, "the walk saw what tells"
    assert watch.rows_apart > (0 if little == LITTLE else 8), "also where it is judged in another process"
    assert watch.unseen == []


async def test_nothing_is_handed_out_without_a_look_that_was_committed_before(
    office: Office, visitor: Visitor, watch: Watch
) -> None:
    """What is posted, and answered with where somebody was."""
    await office.two_are_out()
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    headers = office.bearer("officer") | {"Purpose": "COURT"}
    watch.unseen.clear()
    await forget_looks(office)
    status, text = await visitor.post("/wearers/1/export", form_key=key, **EXPORT)
    assert (status, text.count("GPS")) == (200, 2)
    await forget_looks(office)
    async with visitor.http.post("/wearers/1/report", data=EXPORT | {"form_key": key}) as answer:
        assert (answer.status, (await answer.read())[:2]) == (200, b"PK")
    await forget_looks(office)
    before = watch.rows_apart
    status, place = await visitor.post("/what-if", form_key=key, **WHAT_IF)
    assert (status, place) == (303, "/what-if/1")
    for _ in range(400):
        if '"running"' not in (await visitor.get("/what-if/1/state"))[1]:
            break
        await asyncio.sleep(0.02)
    assert "drafted zone" in (await visitor.get("/what-if/1"))[1]
    assert watch.rows_apart > before
    await forget_looks(office)
    body = {"from": "2026-03-02T19:00:00Z", "to": "2026-03-02T20:00:00Z"}
    async with office.http.post("/v1/wearers/W1/export", json=body, headers=headers) as answer:
        assert (answer.status, (await answer.text()).count("GPS")) == (200, 2)
    await forget_looks(office)
    async with office.http.post("/v1/wearers/W1/report", json=body, headers=headers) as answer:
        assert (answer.status, (await answer.read())[:2]) == (200, b"PK")
    await forget_looks(office)
    before = watch.rows_apart
    told = await office.tried(body | {"wearer_id": "W1", "settings": {"confirm_points": 3}}, headers)
    assert told["state"] == "done"
    assert watch.rows_apart > before
    assert watch.rows_apart >= 6
    assert watch.unseen == []


async def test_no_command_reads_a_telling_row_without_a_committed_look(
    office: Office, watch: Watch, tmp_path: Path
) -> None:
    await office.two_are_out()
    ann = commander("Ann (command line)", "COURT", "case 12")
    finding_no = await a_sealed_finding(office)
    watch.unseen.clear()  # what this test read itself
    for work in (
        lambda: stored_findings(office.settings, ann, None, None, None),
        lambda: stored_findings(office.settings, ann, None, ms("20:00"), "W1"),
        lambda: export_to(office.settings, tmp_path / "all", ann),
        lambda: would_change(office.settings, ms("18:00")),
        lambda: export_subject(office.settings, "W1", tmp_path / "W1", "Ann"),
        lambda: proofs_of(office.settings, ann, "finding", finding_no),
        lambda: curfews_of_tonight(office.settings, ann),
        lambda: near_of(office.settings, ann, [NOBODY_NEAR]),
        lambda: export_positions(office.settings, ann, ONE_EXPORT, tmp_path / "W1.csv"),
        lambda: tried(office.settings, ann, THERE, (ms("19:00"), ms("20:00")), "W1", None),
        lambda: export_report(office.settings, ann, ONE_EXPORT, tmp_path / "W1.zip"),
    ):
        await forget_looks(office)
        await work()
        assert await office.connection.fetchval("SELECT count(*) FROM looks") == 1
    assert watch.rows > 4
    assert watch.unseen == []


async def test_a_watch_that_sees_a_telling_row_first_says_so(office: Office, watch: Watch) -> None:
    """The walk can fail: a session that reads without a look is seen."""
    await office.two_are_out()
    await forget_looks(office)
    session = await connect(office.settings.database_url or "")
    await session.fetch("SELECT lat_deg FROM positions")
    await session.close()
    assert watch.unseen == ["SELECT lat_deg FROM positions"]


async def test_exported_files_can_be_read_by_their_owner_only(office: Office, tmp_path: Path) -> None:
    await office.two_are_out()
    folder = tmp_path / "all"
    await export_to(office.settings, folder, commander("Ann (command line)"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (look,) = await looks_at(office.connection, 1, None, 10)
    assert (look.what, look.door, look.purpose, look.wearer_no) == ("export", "command", "SERVICE", None)


async def purposes(office: Office) -> list[tuple[str, str, str]]:
    rows = await office.connection.fetch("SELECT what, door, purpose FROM looks ORDER BY look_no")
    return [tuple(row) for row in rows]


async def test_an_operator_starts_a_shift_before_the_queue_and_each_person_is_noted_once(
    office: Office, visitor: Visitor
) -> None:
    await office.two_are_out()
    password = await office.account()
    await visitor.post("/login", name="Ann", password=password)
    assert await visitor.get("/alerts?state=open") == (303, "/shift?next=%2Falerts%3Fstate%3Dopen")
    assert (await visitor.get("/wearers/1"))[0] == 303
    assert await purposes(office) == []
    key = await visitor.form_key()
    assert await visitor.post("/shift", form_key=key, next="/alerts?state=open") == (303, "/alerts?state=open")
    for _ in range(3):
        assert (await visitor.get("/alerts?state=open"))[0] == 200
    assert await purposes(office) == [
        ("shift", "page", "MONITORING"), ("queue", "page", "MONITORING"), ("queue", "page", "MONITORING"),
    ]  # fmt: skip


async def test_an_officer_chooses_a_purpose_that_is_not_the_operators(office: Office, visitor: Visitor) -> None:
    password = await office.account(Role.OFFICER)
    await visitor.post("/login", name="Ann", password=password)
    key = await visitor.form_key()
    for purpose in ("", "MONITORING", "ALERT", "SERVICE", "BECAUSE"):
        status, text = await visitor.post("/shift", form_key=key, purpose=purpose)
        assert (status, "There is a problem" in text) == (422, True)
    answer = await visitor.post("/shift", form_key=key, purpose="SAFEGUARDING", reference="case 7", next="/wearers/1")
    assert answer == (303, "/wearers/1")
    await visitor.get("/wearers/1")
    (look,) = await looks_at(office.connection, 1, None, 10)
    assert (look.what, look.purpose, look.reference) == ("findings", "SAFEGUARDING", "case 7")


async def test_a_program_looks_for_the_purpose_of_its_role_or_one_that_it_names(office: Office) -> None:
    await office.two_are_out()
    assert (await office.get("/v1/alerts"))[0] == 200
    status, said = await office.get("/v1/alerts", "officer", Purpose="BECAUSE")
    assert (status, "BECAUSE" in said["error"]) == (400, True)
    headers = {"Purpose": "COURT", "Purpose-Reference": "T20267001"}
    async with office.http.get("/v1/findings?wearer=W1", headers=office.bearer("officer") | headers) as response:
        assert response.status == 200
    looks = await looks_at(office.connection, 1, None, 10)
    assert [(look.looked_by, look.purpose, look.reference) for look in looks] == [
        ("the officer", "COURT", "T20267001"), ("the operator", "MONITORING", None),
    ]  # fmt: skip


async def test_an_alert_that_is_loaded_again_is_one_look_in_a_quarter_of_an_hour(
    office: Office, visitor: Visitor
) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    for _ in range(4):
        assert (await visitor.get("/alerts/1"))[0] == 200
    rows = await office.connection.fetch("SELECT what FROM looks WHERE purpose = 'ALERT' ORDER BY look_no")
    assert [row["what"] for row in rows] == ["findings", "positions"]
    await office.connection.execute("UPDATE looks SET looked_at = looked_at - interval '16 minutes'")
    await visitor.get("/alerts/1")
    assert await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'positions'") == 2


async def test_a_look_is_never_out_of_sight_however_often_others_look(office: Office, visitor: Visitor) -> None:
    once = Looker("Once", "officer", Door.PAGE, "COURT")
    often = Looker("Often", "operator", Door.PAGE, "MONITORING")
    now_ms = ms("20:00")
    await record_look(office.connection, once, What.POSITIONS, 1, (ms("10:00"), ms("11:00")), now_ms=now_ms)
    for turn in range(210):
        await look_at_people(office.connection, often, [1, 2], What.QUEUE, now_ms + turn * (AGAIN_MS + 1))
    await visitor.log_in(await office.account())
    _, page = await visitor.get("/wearers/1")
    assert "Once" in page
    seen, path = "", "/wearers/1/looks"
    for _ in range(3):
        _, page = await visitor.get(path)
        seen += page.split("<h2", 1)[1]
        following = re.search(r'href="(/wearers/1/looks\?before=\d+)"', page)
        path = following[1] if following else path
    assert "Once" in seen


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Purpose": "prefetch;prerender"}], ids=["link", "prefetch"]
)
async def test_what_another_site_makes_a_browser_open_is_no_look(
    office: Office, visitor: Visitor, headers: dict[str, str]
) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    await forget_looks(office)
    for path in ("/alerts", "/alerts/1", "/wearers/1", "/v1/findings", "/v1/alerts"):
        async with visitor.http.get(path, headers=headers) as response:
            text = await response.text()
            assert "Ann Other" not in text
            assert ("another site" in text, response.status) == (True, 403 if path.startswith("/v1") else 200)
    assert await purposes(office) == []


async def test_head_is_no_look_and_learns_nothing(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account())
    await forget_looks(office)
    for path in ("/alerts", "/alerts/1", "/wearers/1", "/v1/findings", "/v1/alerts"):
        async with visitor.http.head(path) as response:
            assert response.status == 405
    assert await purposes(office) == []


# ----------------------------------------------------------------------------------------- orders for the past

YESTERDAY = EXCLUSION | {"requirement_id": "X9", "from": "2026-03-02T18:00:00Z", "timetable": None}


async def on_tags_since_an_hour(office: Office) -> None:
    await office.connection.execute(
        "UPDATE activation_versions SET recorded = tstzrange(lower(recorded) - interval '1 hour', upper(recorded))"
    )


async def put(office: Office, body: Any) -> tuple[int, Any]:
    path, headers = f"/v1/requirements/{body['requirement_id']}", office.bearer("officer")
    async with office.http.put(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_a_zone_for_the_past_needs_a_reason_is_marked_and_is_a_look(office: Office, visitor: Visitor) -> None:
    await on_tags_since_an_hour(office)
    await office.two_are_out()
    status, said = await put(office, YESTERDAY)
    assert (status, "Say why" in said["error"]) == (422, True)
    assert (
        await office.connection.fetchval("SELECT count(*) FROM requirement_versions WHERE requirement_id='X9'") == 0
    )
    assert await purposes(office) == []
    assert (await put(office, YESTERDAY | {"reason": "ordered on Monday, heard of today"}))[0] == 200
    (look,) = await looks_at(office.connection, 1, None, 10)
    assert (look.what, look.purpose, look.reference) == ("past order", "ORDER", "ordered on Monday, heard of today")
    assert look.during is not None
    assert look.during[0] == datetime_of(ms("18:00"))
    await visitor.log_in(await office.account())
    assert "Entered for a time that was past" in (await visitor.get("/wearers/1"))[1]


async def test_an_order_from_now_on_and_one_of_somebody_new_ask_for_no_reason(office: Office) -> None:
    await on_tags_since_an_hour(office)
    assert (await put(office, YESTERDAY | {"from": "2026-03-02T23:00:00Z"}))[0] == 200
    fresh = {
        "activations": [
            {"activation_id": "A9", "device_id": "D9", "wearer_id": "W9", "from": "2026-03-01T00:00:00Z", "to": None}
        ],
        "requirements": [curfew(1) | {"requirement_id": "C9", "wearer_id": "W9"}],
    }
    await import_orders(office.settings, read_orders(json.dumps(fresh), "orders"), who="Ann", dry_run=False)
    assert await purposes(office) == []


async def test_a_command_that_enters_the_past_says_why(office: Office) -> None:
    await on_tags_since_an_hour(office)
    form = read_orders(json.dumps({"requirements": [YESTERDAY]}), "orders")
    with pytest.raises(NoReason, match="X9"):
        await import_orders(office.settings, form, who="Ann", dry_run=False)
    with pytest.raises(NoReason):
        await import_orders(office.settings, form, who="Ann", dry_run=True)


async def test_a_version_of_a_set_that_others_follow_is_a_look_at_each_of_them(office: Office) -> None:
    await on_tags_since_an_hour(office)
    square = [[-2.2, 53.0], [-2.1, 53.0], [-2.1, 53.1], [-2.2, 53.1], [-2.2, 53.0]]
    features = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": "a", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [square]}}
        ],
    }
    first = {"zone_sets": [{"set_id": "shops", "version": "1", "features": features}]}
    await import_orders(office.settings, read_orders(json.dumps(first), "orders"), who="Ann", dry_run=False)
    on_set = YESTERDAY | {"geometry": {"type": "ZoneSet", "set_id": "shops"}, "reason": "the first"}
    assert (await put(office, on_set))[0] == 200
    features["features"][0]["geometry"]["coordinates"][0][1] = [-2.15, 53.0]  # type: ignore[index]
    second = {"zone_sets": [{"set_id": "shops", "version": "2", "features": features}]}
    await import_orders(office.settings, read_orders(json.dumps(second), "orders"), who="Ann", dry_run=False)
    newest, *_ = await looks_at(office.connection, 1, None, 10)
    assert (newest.what, newest.reference) == ("past order", "version 2 of zone set shops")
