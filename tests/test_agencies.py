"""Agencies see their own people, restricted records show their reference, and no alert is hidden from those who watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from emtrack.cli.access import enter_limit, lift_limit, limits
from emtrack.db.session import Session
from emtrack.people.limits import NoLimit
from emtrack.people.roles import Role
from emtrack.reading.people import NoWearer
from tests.office import EXCLUSION, Office, open_office
from tests.visitor import Visitor


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """W1 is shared with the Police and the Probation Service, W2 with nobody."""
    async with open_office(database_url, data_dir) as office:
        await office.two_are_out()
        yield office


async def seen_by(office: Office, key: str) -> set[str]:
    """Whose alerts and findings a program gets."""
    _, body = await office.get("/v1/alerts", key)
    async with office.http.get("/v1/findings", headers=office.bearer(key)) as response:
        lines = (await response.text()).splitlines()
    found = {json.loads(line)["wearer_id"] for line in lines}
    alerts = {alert["wearer_id"] for alert in body["alerts"]}
    assert found <= alerts | found
    return alerts | found


async def test_an_agency_sees_its_own_people_and_the_programme_everybody(office: Office) -> None:
    assert await seen_by(office, "officer") == {"W1", "W2"}
    assert await seen_by(office, await office.token_of(Role.OFFICER, "Police")) == {"W1"}
    assert await seen_by(office, await office.token_of(Role.CONTACT, "Probation Service")) == {"W1"}
    assert await seen_by(office, await office.token_of(Role.OFFICER, "Housing")) == set()
    assert await seen_by(office, await office.token_of(Role.OPERATOR, "Housing")) == {"W1", "W2"}


async def test_what_is_judged_in_another_process_is_of_ones_own_people(office: Office) -> None:
    key = await office.token_of(Role.OFFICER, "Police")
    until = "2026-03-02T20:00:00Z"
    found = {}
    for wearer in ("W1", "W2"):
        path = f"/v1/findings?wearer={wearer}&until={until}"
        async with office.http.get(path, headers=office.bearer(key)) as response:
            assert response.status == 200
            found[wearer] = (await response.text()).splitlines()
    assert found["W1"]
    assert found["W2"] == []


async def test_somebody_of_another_agency_is_as_if_not_there(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER, agency="Housing"))
    key = await visitor.form_key()
    alert_no = await office.connection.fetchval("SELECT min(alert_no) FROM alerts")
    there, nowhere = await visitor.get("/wearers/1"), await visitor.get("/wearers/99")
    assert there[0] == nowhere[0] == 404
    assert (await visitor.get(f"/alerts/{alert_no}"))[0] == (await visitor.get("/alerts/77"))[0] == 404
    assert "W1" not in (await visitor.get("/wearers"))[1]
    assert "Ann Other" not in (await visitor.post("/wearers", form_key=key, sought="Ann"))[1]
    window = {"begin": "2026-03-02T19:00", "end": "2026-03-02T21:00", "purpose": "COURT"}
    assert (await visitor.post("/wearers/1/history", form_key=key, **window))[0] == 404
    rows = (await visitor.get("/alerts"))[1]
    assert "No alert is open" in rows
    assert 'class="em-count"' not in rows or " 2<" not in rows
    assert (await office.get("/v1/wearers/W1/atv", await office.token_of(Role.OFFICER, "Housing")))[0] == 404


NOT_FOUND = {
    "a page of somebody": ("/wearers/1", "/wearers/99"),
    "a page of an alert": ("/alerts/{alert}", "/alerts/77"),
    "a ledger": ("/v1/wearers/W1/atv", "/v1/wearers/W77/atv"),
    "findings": ("/v1/findings?wearer=W1", "/v1/findings?wearer=W77"),
}


@pytest.mark.parametrize("what", NOT_FOUND)
async def test_what_is_of_another_agency_is_answered_with_the_same_work_as_what_is_not_there(
    what: str, office: Office, visitor: Visitor
) -> None:
    """The same statements in the same order, each with as many rows: nobody can tell from the time of an answer."""
    await visitor.log_in(await office.account(Role.OFFICER, agency="Housing"))
    token = await office.token_of(Role.OFFICER, "Housing")
    alert_no = await office.connection.fetchval("SELECT min(alert_no) FROM alerts")
    headers = office.bearer(token) if what in ("a ledger", "findings") else {}
    asked: list[tuple[str, int]] = []

    def noting(fetch: Any) -> Any:
        async def noted(session: Any, statement: str, *args: Any, **options: Any) -> Any:
            found = await fetch(session, statement, *args, **options)
            if session._limits is None:  # those of the turn and of what watches have limits of their own
                asked.append((statement, len(found) if isinstance(found, list) else int(bool(found))))
            return found

        return noted

    async def work_of(path: str) -> tuple[int, list[tuple[str, int]]]:
        async with visitor.http.get(path.format(alert=alert_no), headers=headers, allow_redirects=False) as response:
            await response.read()
            status, done = response.status, list(asked)
        asked.clear()
        return status, done

    there, nowhere = NOT_FOUND[what]
    with ExitStack() as patched:
        for name in ("fetch", "fetchrow", "fetchval"):
            patched.enter_context(mock.patch.object(Session, name, noting(getattr(Session, name))))
        await work_of(nowhere)  # what is done once for a session is done
        asked.clear()
        answers = [await work_of(path) for path in (there, nowhere)]
    assert answers[0][1], "it asks the database"
    assert answers[0] == answers[1]


async def test_the_stream_tells_an_agency_of_its_own_alerts_only(office: Office) -> None:
    key = await office.token_of(Role.OFFICER, "Police")
    headers = office.bearer(key) | {"Last-Event-ID": "0-0"}
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE wearer_no = 1")
    told = b""
    async with office.http.get("/v1/alerts/stream", headers=headers) as response:
        if response.status != 200:
            pytest.fail(await response.text())
        async with asyncio.timeout(10):
            while b"data:" not in told:
                told += await response.content.readany()
    assert {part.split(b",")[0] for part in told.split(b'"alert_no":')[1:]} == {str(number).encode()}


async def test_an_officer_enters_no_order_for_somebody_of_another_agency(office: Office) -> None:
    key = await office.token_of(Role.OFFICER, "Housing")
    body = EXCLUSION | {"requirement_id": "X9", "reason": "to see"}
    async with office.http.put("/v1/requirements/X9", json=body, headers=office.bearer(key)) as response:
        assert response.status in (403, 409)
        assert "agency" in (await response.json())["error"]
    assert (
        await office.connection.fetchval("SELECT count(*) FROM requirement_versions WHERE requirement_id='X9'") == 0
    )


@pytest.mark.parametrize("path", ["/alerts", "/wearers/1", "/alerts/1", "/wearers/1/history"])
async def test_an_auditor_sees_who_looked_and_nobodys_findings(office: Office, visitor: Visitor, path: str) -> None:
    password = await office.account(Role.AUDITOR)
    assert await visitor.post("/login", name="Ann", password=password) == (303, "/")
    assert await visitor.get("/") == (303, "/looks")
    await seen_by(office, "operator")
    status, page = await visitor.get("/looks")
    assert (status, "the operator" in page, "Findings" in page) == (200, True, True)
    assert (await visitor.get(path))[0] == 403


# ----------------------------------------------------------------------------------------- restricted records


async def restricted(office: Office) -> None:
    await enter_limit(
        office.settings, "W1", "restricted", ["The keeper"], [], reason="related to a member of staff", who="test"
    )


async def test_a_restricted_record_shows_its_reference_and_its_alert_is_worked(
    office: Office, visitor: Visitor
) -> None:
    await restricted(office)
    await visitor.log_in(await office.account())
    rows = (await visitor.get("/alerts"))[1]
    assert ("W1" in rows, "Ann Other" in rows) == (True, False)
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE wearer_no = 1")
    alert = (await visitor.get(f"/alerts/{number}"))[1]
    assert ("W1" in alert, "Ann Other" in alert, "DEMO-X000001" in alert) == (True, False, False)
    answer = await visitor.post(f"/alerts/{number}/actions", form_key=await visitor.form_key(), action="acknowledged")
    assert answer[0] == 303
    person = (await visitor.get("/wearers/1"))[1]
    assert ("This record is restricted" in person, "B. Ash" in person) == (True, False)


async def test_an_operator_opens_it_with_a_reason_for_an_hour_and_a_supervisor_is_told(
    office: Office, visitor: Visitor
) -> None:
    await restricted(office)
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    assert (await visitor.post("/wearers/1/opening", form_key=key, reason=" "))[0] == 422
    assert (await visitor.post("/wearers/1/opening", form_key=key, reason="must call the lead officer"))[0] == 303
    person = (await visitor.get("/wearers/1"))[1]
    assert ("Ann Other" in person, "B. Ash" in person) == (True, True)
    supervisor = Visitor(office)
    try:
        await supervisor.log_in(await office.account(Role.SUPERVISOR, "Sue"), "Sue")
        assert "1 restricted record was opened" in (await supervisor.get("/alerts"))[1]
        looks = (await supervisor.get("/looks"))[1]
        assert "must call the lead officer" in looks
        number = await office.connection.fetchval("SELECT look_no FROM record_openings")
        assert (await supervisor.post(f"/looks/{number}/seen", form_key=await supervisor.form_key()))[0] == 303
        assert "restricted record" not in (await supervisor.get("/alerts"))[1]
    finally:
        await supervisor.http.close()
    await office.connection.execute("UPDATE record_openings SET ends_at = now()")
    assert "Ann Other" not in (await visitor.get("/wearers/1"))[1]


async def test_an_officer_to_whom_it_is_closed_sees_the_reference_alone(office: Office, visitor: Visitor) -> None:
    await restricted(office)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    status, page = await visitor.get("/wearers/1")
    assert (status, "W1" in page, "restricted" in page, "C1" in page) == (200, True, True, False)
    assert await seen_by(office, await office.token_of(Role.OFFICER, "Police")) == set()
    assert (await visitor.post("/wearers/1/opening", form_key=await visitor.form_key(), reason="x"))[0] == 403


async def test_who_is_excluded_is_the_only_one(office: Office, visitor: Visitor) -> None:
    await enter_limit(office.settings, "W1", "excluded", ["Ann"], [], reason="a cousin", who="test")
    await visitor.log_in(await office.account())
    assert "Ann Other" not in (await visitor.get("/alerts"))[1]
    other = Visitor(office)
    try:
        await other.log_in(await office.account(name="Bob"), "Bob")
        assert "Ann Other" in (await other.get("/alerts"))[1]
    finally:
        await other.http.close()


async def test_a_limit_is_replaced_lifted_and_listed(office: Office, visitor: Visitor) -> None:
    await restricted(office)
    await enter_limit(office.settings, "W1", "restricted", [], ["Police"], reason="again", who="test")
    (limit,) = await limits(office.settings)
    assert (limit.wearer_id, limit.kind, limit.agencies, limit.reason) == ("W1", "restricted", ["Police"], "again")
    await lift_limit(office.settings, "W1", "restricted")
    assert await limits(office.settings) == []
    with pytest.raises(NoLimit):
        await lift_limit(office.settings, "W1", "restricted")
    with pytest.raises(NoWearer):
        await enter_limit(office.settings, "W77", "excluded", ["Ann"], [], reason="x", who="test")
    await visitor.log_in(await office.account())
    assert "Ann Other" in (await visitor.get("/alerts"))[1]
