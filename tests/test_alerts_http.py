"""Alerts over HTTP: the queue, actions, the stream, and who may call what."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.routing import Mount, Route

from emtrack.cli.tokens import make_token
from emtrack.people.roles import Role
from emtrack.people.tokens import TokenExists
from emtrack.settings import Settings
from tests.office import ORDERS, Office, open_office, strap
from tests.service_world import curfew

PUBLIC = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/time",
    "/v1/log/head",
    "/v1/openapi.json",
    "/",
    "/login",
    "/csp-reports",
    "/static",
}
WITH_A_DEVICE_KEY = {"/v1/devices/{device_id}/reports"}


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    form = ORDERS | {"requirements": [curfew(1), curfew(2)]}
    async with open_office(database_url, data_dir, form) as office:
        yield office


FILLED = {
    "{alert_no:number}": "1",
    "{wearer_no:number}": "1",
    "{view_no:number}": "1",
    "{request_no:number}": "1",
    "{visit_no:number}": "1",
    "{look_no:number}": "1",
    "{wearer_id}": "W1",
    "{requirement_id}": "C1",
    "{finding_no:number}": "1",
    "{version}": "1",
}


async def test_every_route_says_whom_it_is_for_and_refuses_everybody_else(office: Office) -> None:
    guarded = 0
    for route in office.routes:
        assert isinstance(route, Route | Mount)
        if route.path in PUBLIC | WITH_A_DEVICE_KEY:
            continue
        assert isinstance(route, Route)
        roles = route.endpoint.roles
        path = route.path
        for name, value in FILLED.items():
            path = path.replace(name, value)
        path = re.sub(r"\{\w+(:\w+)?\}", "1", path)
        for method in (route.methods or set()) - {"HEAD"}:
            guarded += 1
            for role in ("nobody", *Role):
                headers = office.bearer(role)
                async with office.http.request(method, path, headers=headers, allow_redirects=False) as response:
                    asked_to_log_in = response.status == 303 and response.headers["Location"].startswith("/login?")
                    refused = asked_to_log_in or response.status == (401 if role == "nobody" else 403)
                    assert refused == (role not in roles), (path, method, role, response.status)
    assert guarded >= 15


async def test_the_queue_is_by_severity_then_grade_and_says_why(office: Office) -> None:
    await office.two_are_out()
    await office.report("D1", strap("19:55", 3))
    status, body = await office.get("/v1/alerts")
    assert status == 200
    rows = [(a["severity"], a["wearer_id"], a["kind"], a["place_in_queue"]["rag"]) for a in body["alerts"]]
    assert rows == [
        ("critical", "W1", "TAMPER", "GREEN"),
        ("serious", "W2", "CURFEW", "RED"),
        ("serious", "W1", "CURFEW", "GREEN"),
    ]
    assert {a["code"] for a in body["alerts"] if a["kind"] == "CURFEW"} <= {None, "AL08"}


async def test_pages_go_on_after_the_last_place(office: Office) -> None:
    await office.two_are_out()
    _, first = await office.get("/v1/alerts?limit=1")
    _, second = await office.get(f"/v1/alerts?limit=1&after={first['next']}")
    _, third = await office.get(f"/v1/alerts?limit=1&after={second['next']}")
    assert [a["wearer_id"] for a in first["alerts"] + second["alerts"]] == ["W2", "W1"]
    assert (third["alerts"], third["next"]) == ([], None)
    assert [a["wearer_id"] for a in (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"]] == ["W1"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "after=x", "after=1-2-3-4-" + "9" * 30, "state=x", "severity=x"]
)
async def test_a_query_that_makes_no_sense_is_told_what_to_send(office: Office, query: str) -> None:
    status, body = await office.get(f"/v1/alerts?{query}")
    assert status == 400
    assert "expected" in body["error"] or "send" in body["error"]


async def test_what_people_do_is_appended_and_a_closed_alert_leaves_the_queue(office: Office) -> None:
    await office.two_are_out()
    _, body = await office.get("/v1/alerts?wearer=W1")
    path = f"/v1/alerts/{body['alerts'][0]['alert_no']}/actions"
    assert (await office.post(path, {"action": "acknowledged"}))[0] == 200
    assert (await office.post(path, {"action": "closed"}))[0] == 422
    assert (await office.post(path, {"action": "closed", "outcome": "AUTHORISED", "note": "at hospital"}))[0] == 200
    assert (await office.post(path, {"action": "acknowledged"}))[0] == 409
    assert (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"] == []
    (closed,) = (await office.get("/v1/alerts?wearer=W1&state=closed"))[1]["alerts"]
    assert [(a["action"], a["done_by"], a["outcome"]) for a in closed["actions"]] == [
        ("acknowledged", "the operator", None),
        ("closed", "the operator", "AUTHORISED"),
    ]
    assert (await office.post("/v1/alerts/999999/actions", {"action": "noted", "note": "?"}))[0] == 404


async def test_findings_are_read_as_lines_as_known_now_and_at_an_earlier_instant(office: Office) -> None:
    await office.two_are_out()
    async with office.http.get("/v1/findings?wearer=W1", headers=office.bearer("officer")) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert ("CURFEW", "2026-03-02T19:50:00Z") in [(line["kind"], line["begin"]) for line in lines]
    path = "/v1/findings?wearer=W1&as_known_at=2026-03-02T19:59:00Z"
    async with office.http.get(path, headers=office.bearer("officer")) as response:
        assert (response.status, await response.text()) == (200, "")
    assert (await office.get("/v1/findings?until=2026-03-02T19:59:00Z"))[0] == 400
    assert (await office.get("/v1/findings?until=yesterday"))[0] == 400


async def read_until(content: aiohttp.StreamReader, wanted: int) -> tuple[list[dict[str, Any]], str]:
    """Changes of a stream until there are so many, and the last id."""
    changes, last = [], ""
    async with asyncio.timeout(10):
        while len(changes) < wanted:
            line = (await content.readline()).decode().strip()
            if line.startswith("id: "):
                last = line.removeprefix("id: ")
            if line.startswith("data: "):
                changes.append(json.loads(line.removeprefix("data: ")))
    return changes, last


async def test_the_stream_says_what_changed_and_goes_on_where_a_reader_left_it(office: Office) -> None:
    async with office.http.get("/v1/alerts/stream", headers=office.bearer("officer")) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        await office.two_are_out()
        changes, last = await read_until(stream.content, 2)
    assert [change["what"] for change in changes] == ["raised", "raised"]
    assert set(changes[0]) == {"alert_no", "what"}
    await office.post(f"/v1/alerts/{changes[0]['alert_no']}/actions", {"action": "acknowledged"})
    headers = office.bearer("officer") | {"Last-Event-ID": last}
    async with office.http.get("/v1/alerts/stream", headers=headers) as stream:
        changes, _ = await read_until(stream.content, 1)
    assert [change["what"] for change in changes] == ["acknowledged"]
    assert (await office.get("/v1/alerts/stream", **{"Last-Event-ID": "nonsense"}))[0] == 400


async def test_a_token_is_kept_as_a_hash_and_its_name_is_used_once(
    office: Office, database_url: str, data_dir: Path
) -> None:
    stored = await office.connection.fetch("SELECT token_hash FROM tokens")
    assert all(len(row["token_hash"]) == 32 for row in stored)
    with pytest.raises(TokenExists):
        await make_token(
            Settings(data_dir=data_dir, database_url=database_url), "the operator", "officer", who="test"
        )
