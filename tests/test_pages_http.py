"""Login, sessions, forms and looks at histories, without a browser: what a page must never do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from alerts import ClockChange, Skew, note_clocks
from emtrack.people.looks import Door, Looker
from emtrack.people.roles import Role
from emtrack.people.sessions import IDLE_S, LONGEST_S
from emtrack.reading.history import record_view
from emtrack.web.pages.site import local_target
from tests.office import Office, at_home, away, strap
from tests.packed import unpacked
from tests.service_world import event, ms
from tests.visitor import Visitor


async def test_a_person_logs_in_works_and_logs_out(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    assert await visitor.get("/alerts?state=closed") == (303, "/login?next=%2Falerts%3Fstate%3Dclosed")
    assert await visitor.log_in(password, next="/alerts?state=closed") == (303, "/alerts?state=closed")
    assert (await visitor.get("/alerts"))[0] == 200
    assert await visitor.get("/login") == (303, "/alerts")
    (cookie,) = visitor.http.cookie_jar
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie.value not in str(await office.connection.fetch("SELECT * FROM sessions"))
    assert await visitor.post("/logout", form_key=await visitor.form_key()) == (303, "/login")
    assert (await visitor.get("/alerts"))[0] == 303
    what = await office.connection.fetch("SELECT what FROM account_events WHERE name = 'Ann' ORDER BY event_no")
    assert [row["what"] for row in what] == ["added", "logged in", "logged out"]


async def test_a_wrong_password_and_a_name_that_does_not_exist_are_told_the_same(
    office: Office, visitor: Visitor
) -> None:
    await office.account()
    answers = [await visitor.log_in("wrong"), await visitor.log_in("wrong", name="Nobody")]
    texts = [re.sub(r'value="(Ann|Nobody)"|<time.*?</time>|data-now-ms="\d+"', "", text) for _, text in answers]
    assert [status for status, _ in answers] == [401, 401]
    assert texts[0] == texts[1]
    assert "Enter a correct username and password" in texts[0]


@pytest.mark.parametrize(
    ("column", "seconds"), [("seen_at", IDLE_S), ("began_at", LONGEST_S)], ids=["idle", "after a shift"]
)
async def test_a_session_ends(office: Office, visitor: Visitor, column: str, seconds: int) -> None:
    await visitor.log_in(await office.account())
    await office.connection.execute(
        f"UPDATE sessions SET {column} = {column} - $1::interval",  # noqa: S608  a name out of the list above
        timedelta(seconds=seconds),
    )
    assert (await visitor.get("/alerts"))[0] == 303


async def test_a_session_that_is_used_goes_on(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.connection.execute("UPDATE sessions SET seen_at = seen_at - interval '50 minutes'")
    assert (await visitor.get("/alerts"))[0] == 200
    assert await office.connection.fetchval("SELECT now() - seen_at < interval '1 minute' FROM sessions")
    assert (await visitor.get("/alerts"))[0] == 200


async def test_a_disabled_account_is_out_at_once(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.connection.execute("UPDATE users SET disabled_at = now()")
    assert (await visitor.get("/alerts"))[0] == 303


async def test_a_form_from_elsewhere_changes_nothing(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    form_key = await visitor.form_key()
    for fields in ({}, {"form_key": "x"}, {"form_key": form_key, "origin": "http://evil.example"}):
        assert (await visitor.post("/alerts/1/actions", action="acknowledged", **fields))[0] == 403
    async with visitor.http.post("/v1/alerts/1/actions", json={"action": "acknowledged"}) as response:
        assert response.status == 415
    assert await office.connection.fetchval("SELECT count(*) FROM alert_actions") == 0


async def test_a_login_form_from_another_site_is_refused(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    assert (await visitor.log_in(password, origin="http://evil.example"))[0] == 403


@pytest.mark.parametrize(
    "target", ["//evil.example", "http://evil.example/", "/\\evil.example", "/a\nb", "alerts", ""]
)
def test_a_login_leads_to_a_page_of_ours_only(target: str) -> None:
    assert local_target(target) == "/"


async def test_an_own_password_is_changed_with_the_old_one_and_ends_all_sessions(
    office: Office, visitor: Visitor
) -> None:
    password = await office.account()
    await visitor.log_in(password)
    key = await visitor.form_key()
    new = "correct horse battery"
    assert (await visitor.post("/account", form_key=key, old=password, new="short", again="short"))[0] == 422
    assert (await visitor.post("/account", form_key=key, old=password, new=new, again=new + "x"))[0] == 422
    assert (await visitor.post("/account", form_key=key, old="wrong", new=new, again=new))[0] == 422
    assert await visitor.post("/account", form_key=key, old=password, new=new, again=new) == (303, "/login")
    assert (await visitor.get("/alerts"))[0] == 303
    assert (await visitor.log_in(password))[0] == 401
    assert (await visitor.log_in(new))[0] == 303


async def test_what_a_person_does_on_an_alerts_page_is_appended(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    key = await visitor.form_key()
    assert await visitor.post("/alerts/1/actions", form_key=key, action="acknowledged") == (
        303,
        "/alerts/1?done=acknowledged",
    )
    status, text = await visitor.post("/alerts/1/actions", form_key=key, action="closed", note="a long story")
    assert (status, "There is a problem" in text) == (422, True)
    assert "a long story</textarea>" in text, "what was written is not lost"
    done = await visitor.post(
        "/alerts/1/actions", form_key=key, action="closed", outcome="VIOLATION", note=" called ", confirmed="yes"
    )
    assert done == (303, "/alerts")
    status, text = await visitor.post("/alerts/1/actions", form_key=key, action="acknowledged")
    assert (status, "Ann closed it at" in text) == (409, True)
    rows = await office.connection.fetch(
        "SELECT done_by, action, outcome, note FROM alert_actions ORDER BY action_no"
    )
    assert [tuple(row) for row in rows] == [
        ("Ann", "acknowledged", None, None), ("Ann", "closed", "VIOLATION", "called"),
    ]  # fmt: skip


async def test_an_officer_reads_alerts_and_does_not_work_them(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    await office.two_are_out()
    assert "Operators work alerts" in (await visitor.get("/alerts/1"))[1]
    assert (await visitor.post("/alerts/1/actions", form_key=await visitor.form_key(), action="noted", note="x"))[
        0
    ] == 403


async def views(office: Office) -> list[tuple[str, str, int | None]]:
    rows = await office.connection.fetch(
        "SELECT looked_by, purpose, alert_no FROM looks WHERE what = 'positions' ORDER BY look_no"
    )
    return [tuple(row) for row in rows]


async def test_a_location_history_is_shown_for_a_recorded_purpose_only(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    await office.two_are_out()
    key = await visitor.form_key()
    window = {"begin": "2026-03-02T19:00", "end": "2026-03-02T21:00"}
    for fields in (window, window | {"purpose": "ALERT"}, {"purpose": "COURT"}, window | {"purpose": "BECAUSE"}):
        status, text = await visitor.post("/wearers/1/history", form_key=key, **fields)
        assert (status, "There is a problem" in text) == (422, True)
    too_long = window | {"end": "2026-03-17T19:00", "purpose": "COURT"}
    assert "14 days" in (await visitor.post("/wearers/1/history", form_key=key, **too_long))[1]
    assert await views(office) == []
    status, place = await visitor.post(
        "/wearers/1/history", form_key=key, **window, purpose="COMPLIANCE", note="monthly"
    )
    look_no = int(place.removeprefix("/views/"))
    assert status == 303
    assert await views(office) == [("Ann", "COMPLIANCE", None)]
    status, text = await visitor.get(place)
    assert (status, "2 positions" in text, "monthly" not in text) == (200, True, True)
    async with visitor.http.get(f"/views/{look_no}/map") as response:
        drawn = unpacked(await response.read())
    assert [point["n"] for point in drawn["points"]] == [1, 2]
    assert {zone["label"] for zone in drawn["zones"]} == {"C1", "X1"}
    assert "monthly" in (await visitor.get("/wearers/1/looks"))[1]


def for_a_court(name: str) -> Looker:
    return Looker(name, "officer", Door.PAGE, "COURT")


async def test_a_look_belongs_to_who_recorded_it_and_lasts_an_hour(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    view = await record_view(office.connection, for_a_court("Bob"), 1, ms("19:00"), ms("20:00"), now_ms=ms("20:00"))
    mine = await record_view(office.connection, for_a_court("Ann"), 1, ms("18:00"), ms("19:00"), now_ms=ms("18:59"))
    for number in (view.view_no, mine.view_no, 99):
        assert (await visitor.get(f"/views/{number}"))[0] == 404
        async with visitor.http.get(f"/views/{number}/map") as response:
            assert response.status == 404


async def test_a_look_is_committed_before_any_position_is_read(office: Office) -> None:
    async with office.connection.transaction():
        with pytest.raises(RuntimeError, match="committed before"):
            await record_view(office.connection, for_a_court("Ann"), 1, 0, 1, now_ms=0)


async def test_an_alerts_page_is_a_purpose_and_its_map_shows_the_zone_and_the_facts(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    await office.report("D1", strap("19:55", 3))
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW' AND wearer_no = 1")
    _, text = await visitor.get(f"/alerts/{number}")
    assert await views(office) == [("Ann", "ALERT", number)]
    assert "The person was seen away from the address of the curfew C1" in text
    assert "Strap opened or cut" in text
    source = re.search(r'data-source="([^"]+)"', text)
    assert source is not None
    async with visitor.http.get(source[1].replace("&amp;", "&")) as response:
        drawn = unpacked(await response.read())
    assert [zone["label"] for zone in drawn["zones"]] == ["C1"]
    assert [(p["verdict"], round(p["margin_m"] / 100), p["in_finding"]) for p in drawn["points"]] == [
        ("OUTSIDE", -11, True), ("OUTSIDE", -11, True),
    ]  # fmt: skip


async def test_what_we_knew_at_an_earlier_time_can_be_seen(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    before = await office.connection.fetchval("SELECT max(recorded_at) FROM finding_versions")
    # Late facts: at 19:51 the person was at home, so that they were not away from 19:50 on.
    await office.report("D1", away("19:50:30", 5, (-2.1753, 53.0027)), away("19:51", 6, (-2.1753, 53.0027)))
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW' AND wearer_no = 1")
    _, now = await visitor.get(f"/alerts/{number}")
    assert "Withdrawn" in now
    home = "Late positions show that the person was at the address of the curfew C1 from 2 Mar 19:50:30 to 19:51:00."
    assert home in now
    assert "What we knew at" in now
    _, then = await visitor.get(f"/alerts/{number}?known_at={before:%Y-%m-%dT%H:%M:%S.%fZ}")
    assert "This is what we knew at" in then
    assert "It has lasted" in then
    assert "2 positions" in then
    assert "Withdrawn" not in then.split("<main")[1]


async def page_of_first_finding(office: Office, visitor: Visitor) -> str:
    row = await office.connection.fetchrow("SELECT finding_no, alert_no FROM alert_occurrences ORDER BY finding_no")
    return (await visitor.get(f"/alerts/{row['alert_no']}?occurrence={row['finding_no']}"))[1]


async def test_what_late_facts_show_against_a_finding_that_they_shorten_is_said(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await office.report("D1", away("19:20", 1), away("19:22", 2), away("19:40", 3), away("19:42", 4))
    await office.report("D1", at_home("19:28", 5), at_home("19:30", 6))
    text = await page_of_first_finding(office, visitor)
    assert "<strong>Amended</strong> at" in text
    assert "at the address of the curfew C1 from 2 Mar 19:28:00 to 19:30:00." in text


async def test_late_sightings_of_the_home_unit_are_told_apart_from_positions(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await office.report("D1", away("19:20", 1), away("19:22", 2))
    await office.report("D1", event(3, "19:21", "RF_IN"))
    text = await page_of_first_finding(office, visitor)
    assert "<strong>Withdrawn</strong>" in text
    said = (
        "Late sightings of the home unit show that the person was at the address of the curfew C1 at 2 Mar 19:21:00."
    )
    assert said in text


async def test_who_comes_home_in_time_order_is_not_said_to_be_shown_by_late_facts(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await office.report("D1", away("19:50", 1), away("19:52", 2))
    await office.report("D1", at_home("19:54", 3), at_home("19:56", 4))
    text = await page_of_first_finding(office, visitor)
    assert "It lasted 4 min" in text
    assert "Late positions" not in text


async def test_people_are_found_by_name_and_by_the_ids_of_partners(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    for sought in ("ann oth", "demo-x000001", "DEMO/0000001P", "DEMO-A", "DEMO-E", "W1"):
        _, text = await visitor.post("/wearers", form_key=key, sought=sought)
        assert (">Ann Other<" in text, ">W2<" in text) == (True, False), sought
    for sought in ("%", "_nn", "nobody"):
        assert "Nobody fits" in (await visitor.post("/wearers", form_key=key, sought=sought))[1]


NOT_TO_BE_SHOWN = (
    "/alerts/99", "/wearers/99", "/wearers/99/history", "/alerts?state=x", "/alerts?after=x", "/alerts?kind=x",
    "/alerts/1?known_at=yesterday", "/alerts/1?occurrence=x", "/alerts/1?occurrence=99", "/wearers/1?known_at=x",
)  # fmt: skip


async def test_what_cannot_be_shown_is_said_on_a_page(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    for path in NOT_TO_BE_SHOWN:
        status, text = await visitor.get(path)
        assert status in (400, 404), path
        assert "Go to the alerts" in text, path


async def test_answers_carry_the_policy_and_a_report_of_a_browser_is_counted(
    office: Office, visitor: Visitor
) -> None:
    async with visitor.http.get("/login") as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
    await visitor.log_in(await office.account())
    async with visitor.http.post("/csp-reports", data=b'{"csp-report": {}}') as response:
        assert response.status == 204
    async with visitor.http.post("/csp-reports", data=b"x" * 20_000) as response:
        assert response.status == 413
    async with visitor.http.get("/metrics") as response:
        assert "emtrack_csp_reports_total 1.0" in await response.text()


async def test_a_fault_of_the_service_is_said_on_a_page_and_is_in_its_log(
    office: Office,
    visitor: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await visitor.log_in(await office.account())

    async def broken(*_: object) -> None:
        raise ValueError("Ann Other")

    monkeypatch.setattr("emtrack.web.pages.alerts.one_alert", broken)
    status, text = await visitor.get("/alerts/1")
    assert (status, "The service has a fault" in text) == (500, True)
    logged = capsys.readouterr().out
    assert "request failed" in logged
    assert "ValueError" in logged
    assert "Ann Other" not in logged


async def test_a_platform_incident_has_a_page_with_its_people(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await office.two_are_out()
    await office.falls_silent_with("carrier-a")
    _, queue = await visitor.get("/alerts")
    assert "2 tags of carrier-a fell silent together" in queue
    assert "Curfew" not in queue.split('id="queue"')[1], "they are looked at under the incident"
    _, page = await visitor.get("/alerts/900")
    assert "Platform incident of carrier-a" in page
    assert ">Ann Other<" in page
    assert "grouped under the" in (await visitor.get("/alerts/1"))[1]
    key = await visitor.form_key()
    closed = await visitor.post(
        "/alerts/900/actions", form_key=key, action="closed", outcome="EQUIPMENT", note="mast", confirmed="yes"
    )
    assert closed == (303, "/alerts")
    assert "Ann Other" in (await visitor.get("/alerts"))[1], "whoever ongoing comes back to the queue"
    assert "Platform incident of carrier-a" in (await visitor.get("/alerts/900"))[1]


async def test_a_tag_whose_clock_is_wrong_has_a_page(office: Office, visitor: Visitor) -> None:
    async def number(_connection: object, count: int) -> list[int]:
        return list(range(900_000, 900_000 + count))

    await visitor.log_in(await office.account())
    wrong = ClockChange(1, 1, Skew(60 * 60_000, 70 * 60_000))
    async with office.connection.transaction():
        await note_clocks(office.connection, [wrong], number, ms("20:00"))
    status, text = await visitor.get("/alerts/900000")
    assert status == 200
    assert "This tag&#39;s clock is 60 to 70 min behind; its times cannot be trusted." in text
    assert "Ann Other" in text
    assert "IOM record" in text
    _, queue = await visitor.get("/alerts")
    assert "Tag clock wrong" in queue
