"""No value that anybody sends is a fault of the service, and none that is taken breaks a page afterwards."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg
import pytest
from starlette.routing import Route
from yarl import URL

from emtrack.forms.errors import FormError
from emtrack.forms.names import harmless
from emtrack.forms.reading import read_orders
from emtrack.web.api.orders import MOST_CORNERS
from tests.hostile.fixtures import beside
from tests.office import ORDERS, Office, open_office

VALUES = [
    "²", "١", "\0", "a\0b", "1" * 30, "1" * 5_000, "-1", "9223372036854775808", "1e308", "NaN", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59", "0001-01-01T00:00", "10000-01-01T00:00:00Z", "2026-03-02T12:00:00+23:59",
    "\u202egpj.exe", "\x1b]0;x\x07", "\ud7ff\uffff", "x" * 9_000, "%ff", "[]", '{"a": ' * 300, "'; --", "../../etc/passwd", "",
]  # fmt: skip
QUERY = ("as_known_at", "until", "wearer", "severity", "kind", "limit", "after", "state", "known_at", "occurrence", "from",
         "finding", "next", "alert", "before", "code")  # fmt: skip
FIELDS = ("action", "outcome", "note", "begin", "end", "begin_pass", "purpose", "sought", "finding", "why", "old", "new", "again",
          "name", "password", "next", "reference", "reason", "session", "step", "code")  # fmt: skip
PATHS = {"alert_no": "1", "wearer_no": "1", "view_no": "1", "finding_no": "1", "wearer_id": "W1", "requirement_id": "C1",
         "device_id": "D1", "path": "maps.js", "look_no": "1", "version": "x"}  # fmt: skip
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
STREAM = "/v1/alerts/stream"


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path) as office:
        await office.two_are_out()
        yield office


def addresses(office: Office) -> list[tuple[str, str, frozenset[str]]]:
    """Path as written, a usual address, methods."""
    found = [("/static/{path}", "/static/maps.js", frozenset({"GET"}))]
    for route in office.routes:
        if isinstance(route, Route):
            usual = PARAMETER.sub(lambda one: PATHS.get(one[1], "1"), route.path)
            found.append((route.path, usual, frozenset(route.methods or ()) - {"HEAD"}))
    return found


def hostile_requests(office: Office) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, address, and what else `request` takes."""
    for path, usual, methods in addresses(office):
        for name in PARAMETER.findall(path):
            for value in VALUES:
                filled = PARAMETER.sub(
                    lambda one, n=name, v=value: quote(v, safe="") if one[1] == n else PATHS.get(one[1], "1"), path
                )
                yield from ((method, filled, {}) for method in sorted(methods))
        if path == STREAM:
            continue
        for value in VALUES:
            if "GET" in methods:
                query = urlencode(dict.fromkeys(QUERY, value))
                yield "GET", f"{usual}?{query}", {}
                yield from (("GET", f"{usual}?{urlencode({name: value})}", {}) for name in QUERY if _may_read(path))
            for method in sorted(methods - {"GET"}):
                yield method, usual, {"data": urlencode(dict.fromkeys(FIELDS, value))}
                yield method, usual, {"json": dict.fromkeys(FIELDS, value)}
                yield method, usual, {"json": value}


def _may_read(path: str) -> bool:
    return path in (
        "/alerts",
        "/alerts/{alert_no:number}",
        "/v1/alerts",
        "/v1/findings",
        "/wearers/{wearer_no:number}",
        "/wearers/{wearer_no:number}/looks",
        "/looks",
    )


async def statuses_of(
    office: Office, requests: list[tuple[str, str, dict[str, Any]]]
) -> list[tuple[int, str, str, str]]:
    """Those that are faults: status, method, address, what was sent."""
    faults = []
    for method, address, more in requests:
        headers = office.bearer("administrator")
        if isinstance(more.get("data"), str):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with office.http.request(
            method, _encoded(address), headers=headers, allow_redirects=False, **more
        ) as answer:
            await answer.read()
            if answer.status >= 500:
                faults.append((answer.status, method, address[:80], str(more)[:80]))
    return faults


def _encoded(address: str) -> Any:
    return URL(address, encoded=True)


@pytest.mark.long
async def test_no_value_in_any_place_is_a_fault(office: Office) -> None:
    assert await statuses_of(office, list(hostile_requests(office))) == []


async def test_values_that_nobody_expects_are_no_fault_and_break_no_page(office: Office) -> None:
    """Each thirty-first of all; all of them take a minute (`long`)."""
    requests = list(hostile_requests(office))[::31]
    assert len(requests) > 60
    assert await beside(office, statuses_of(office, requests)) == []
    for page in ("/alerts", "/wearers", "/wearers/1", "/wearers/2", "/alerts/1", "/v1/alerts", "/v1/findings"):
        async with office.http.get(page, headers=office.bearer("operator")) as answer:
            assert answer.status == 200, page


# ---------------------------------------------------------------------------------------------- what is taken breaks no page


@pytest.mark.parametrize("at", [("9999-12-31T00:00", "9999-12-31T23:00"), ("0001-01-05T00:00", "0001-01-05T10:00")])
async def test_a_history_at_an_end_of_the_calendar_is_refused_and_one_that_was_taken_breaks_no_page(
    office: Office, at: tuple[str, str]
) -> None:
    fields = {"begin": at[0], "end": at[1], "purpose": "COMPLIANCE"}
    async with office.http.post("/wearers/1/history", data=fields, headers=office.bearer("officer")) as answer:
        assert answer.status == 422
    during = [datetime.fromisoformat(f"{one}+00:00") for one in at]
    for upper in (during[1], None):
        await office.connection.execute(
            "INSERT INTO looks (looked_at, looked_by, role, door, what, wearer_no, during, purpose) "
            "VALUES (now(), 'before', 'officer', 'page', 'positions', 1, $1, 'COMPLIANCE')",
            asyncpg.Range(during[0], upper),
        )
    for page, role in (("/wearers/1", "officer"), ("/wearers/1/looks", "officer"), ("/looks", "administrator")):
        async with office.http.get(page, headers=office.bearer(role)) as answer:
            text = await answer.text()
        assert answer.status == 200, page
        assert "before" in text, page
        assert ("One row that cannot be shown" in text) == (
            page.endswith("/looks") and role == "officer" and at[0] > "2"
        ), page


async def test_what_a_look_refers_to_is_text_that_can_be_shown(office: Office) -> None:
    turned = "case \u202e12"
    sent = {"Purpose-Reference": "case \x8512"}
    async with office.http.get("/v1/alerts", headers=office.bearer("operator") | sent) as answer:
        assert answer.status == 400
    for path, field, role in (
        ("/shift", "reference", "operator"),
        ("/wearers/1/opening", "reason", "operator"),
        ("/wearers/1/history", "note", "officer"),
    ):
        async with office.http.post(path, data={field: turned}, headers=office.bearer(role)) as answer:
            assert answer.status == 422, path
            assert "U+202E" in await answer.text() or field == "note", path


@pytest.mark.parametrize("depth", [65, 500, 990, 5_000])
@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_bodies_in_bodies_are_refused_in_words(office: Office, depth: int, content_type: str) -> None:
    nested = b"[" * depth + b"]" * depth if content_type == "application/json" else b"\x91" * depth + b"\x90"
    head = {
        "application/json": b'{"boot": 1, "reports": [',
        "application/msgpack": b"\x82\xa4boot\x01\xa7reports\x91",
    }
    body = head[content_type] + nested + (b"]}" if content_type == "application/json" else b"")
    headers = {"Authorization": f"Bearer {office.keys['D1']}", "Content-Type": content_type}
    async with office.http.post("/v1/devices/D1/reports", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert b"nested too deeply" in await answer.read() or depth > 500
    for method, path in (("PUT", "/v1/requirements/C1"), ("POST", "/v1/alerts/1/actions")):
        headers = office.bearer("administrator")
        async with office.http.request(method, path, data=b"[" * depth + b"]" * depth, headers=headers) as answer:
            assert answer.status == 400


def star(corners: int) -> dict[str, Any]:
    ring = [
        [
            -2.17 + 0.01 * math.cos(6.283 * n / corners) * (1 + n % 2),
            53.01 + 0.01 * math.sin(6.283 * n / corners) * (1 + n % 2),
        ]
        for n in range(corners)
    ]
    return {"requirement_id": "X1", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z", "timetable": None,
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}  # fmt: skip


async def put(office: Office, form: dict[str, Any]) -> tuple[int, str]:
    async with office.http.put("/v1/requirements/X1", json=form, headers=office.bearer("officer")) as answer:
        return answer.status, await answer.text()


async def test_a_zone_of_very_many_corners_is_refused_and_one_of_many_is_checked_elsewhere(office: Office) -> None:
    status, told = await beside(office, put(office, star(MOST_CORNERS + 2)))
    assert (status, "corners" in told) == (422, True)
    status, told = await beside(office, put(office, star(MOST_CORNERS - 2)))
    assert status == 200, told


async def test_a_requirement_of_thousands_of_entries_is_refused(office: Office) -> None:
    entries = [star(4) | {"from": f"{2000 + n // 12}-{1 + n % 12:02}-01T00:00:00Z"} for n in range(3_000)]
    async with office.http.put("/v1/requirements/X1", json=entries, headers=office.bearer("officer")) as answer:
        assert (answer.status, "3,000 entries" in await answer.text()) == (422, True)


async def test_a_boundary_that_crosses_itself_very_often_is_given_up(office: Office) -> None:
    """Each of its lines crosses all others."""
    zigzag = [[-2.17 + (n % 2) / 100 + n / 1e7, 53.01 + n / 1e7 * (n % 3)] for n in range(MOST_CORNERS - 2)]
    form = star(4) | {"geometry": {"type": "Polygon", "coordinates": [[*zigzag, zigzag[0]]]}}
    status, _ = await beside(office, put(office, form))
    assert status == 422


def test_nothing_that_is_stored_changes_what_a_terminal_shows() -> None:
    assert (
        harmless("\x1b]0;x\x07 Zoë \u202egpj.exe \x9b31m\r")
        == "\\u001b]0;x\\u0007 Zoë \\u202egpj.exe \\u009b31m\\u000d"
    )
    assert harmless("line 1\n\tline 2") == "line 1\n\tline 2"


@pytest.mark.parametrize("name", ["Ann\nBob", "Ann\x1b[2J", "Ann\u202eboB", "Ann\tBob"])
def test_a_name_is_written_in_one_line_of_what_is_seen(name: str) -> None:
    form = ORDERS | {"wearers": [{"wearer_id": "W1", "name": name}]}
    with pytest.raises(FormError, match="cannot be taken"):
        read_orders(json.dumps(form), "orders")


def with_a_key_twice(keys: int) -> bytes:
    return b"{" + b",".join(b'"%x":1' % n for n in (*range(keys), keys - 1)) + b"}"


async def test_a_body_of_very_many_keys_of_which_the_last_stands_twice_costs_no_more_than_its_length(
    office: Office,
) -> None:
    async def bring() -> list[int]:
        body = with_a_key_twice(80_000)
        headers = {"Authorization": f"Bearer {office.keys['D1']}", "Content-Type": "application/json"}
        async with office.http.post("/v1/devices/D1/reports", data=body, headers=headers) as answer:
            device = answer.status
        fields = "&".join(f"{n:x}=" for n in (*range(9_000), 8_999))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        async with office.http.post("/login", data=fields, headers=form) as answer:
            return [device, answer.status]

    assert await beside(office, bring()) == [400, 400]
