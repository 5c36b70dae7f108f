"""Orders over HTTP: one thing at a time, refused with what is wrong, judged at once."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.office import Office
from tests.service_world import activation, curfew, iso


async def send(office: Office, method: str, path: str, body: Any, role: str = "officer") -> tuple[int, Any]:
    async with office.http.request(method, path, json=body, headers=office.bearer(role)) as response:
        return response.status, await response.json()


async def curfews(office: Office) -> list[str]:
    async with office.http.get("/v1/findings?wearer=W1", headers=office.bearer("officer")) as response:
        return [line for line in (await response.text()).splitlines() if '"CURFEW"' in line]


async def until_curfews(office: Office, count: int) -> list[str]:
    """The orders are taken in with the next turn."""
    for _ in range(200):
        if len(found := await curfews(office)) == count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"after 10 s there are still {await curfews(office)}")


async def test_an_absence_that_is_entered_afterwards_withdraws_the_finding(office: Office) -> None:
    await office.two_are_out()
    assert len(await curfews(office)) == 1
    absence = {"from": iso("18:00"), "to": iso("23:00"), "reason": "hospital"}
    assert await send(office, "POST", "/v1/wearers/W1/absences", absence) == (
        200, {"changes": ["absence entered"], "keys": {}, "warnings": []},
    )  # fmt: skip
    await until_curfews(office, 0)
    (alert,) = (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"]
    assert alert["withdrawn"], "the alert stays until a person closes it"


async def test_an_absence_that_overlaps_another_is_refused_with_what_it_overlaps(office: Office) -> None:
    first = {"from": iso("18:00"), "to": iso("23:00"), "reason": "hospital"}
    await send(office, "POST", "/v1/wearers/W1/absences", first)
    assert (await send(office, "POST", "/v1/wearers/W1/absences", first))[1]["changes"] == [], (
        "sent again, it is there"
    )
    second = {"from": iso("22:00"), "to": iso("03T02:00"), "reason": "work"}
    status, body = await send(office, "POST", "/v1/wearers/W1/absences", second)
    assert status == 409
    assert body["overlaps"] == {"reason": "hospital", "from": iso("18:00"), "to": iso("23:00")}
    assert "overlaps the absence (hospital)" in body["error"]
    assert (await send(office, "POST", "/v1/wearers/W9/absences", second))[0] == 404


async def test_an_activation_brings_the_key_of_a_new_device_and_is_refused_where_it_overlaps(office: Office) -> None:
    status, body = await send(office, "POST", "/v1/activations", activation(3))
    assert status == 200
    assert set(body["keys"]) == {"D3"}
    status, body = await send(office, "POST", "/v1/activations", activation(4, device_id="D3"))
    assert status == 409
    assert (body["overlaps"]["activation_id"], body["overlaps"]["wearer_id"]) == ("A3", "W3")


async def test_a_requirement_is_replaced_by_a_new_version(office: Office) -> None:
    await office.two_are_out()
    later = curfew(1) | {
        "timetable": [{"day": "MON", "start": "23:00", "end": "07:00"}],
        "reason": "varied by the court",
    }
    status, body = await send(office, "PUT", "/v1/requirements/C1", later)
    assert (status, body["changes"]) == (200, ["requirement entry ended", "requirement entered"])
    await until_curfews(office, 0)
    assert (await send(office, "PUT", "/v1/requirements/C1", later))[1]["changes"] == []
    versions = await office.connection.fetch(
        "SELECT entered_by, upper_inf(recorded) FROM requirement_versions WHERE requirement_id = 'C1' ORDER BY version_no"
    )
    assert [tuple(row) for row in versions] == [("test", False), ("the officer", True)]


UNFIT: list[tuple[str, str, Any, str]] = [
    ("PUT", "/v1/requirements/C1", {"requirement_id": "C2"}, "agree"),
    ("PUT", "/v1/requirements/C1", [], "list of the entries"),
    ("PUT", "/v1/requirements/C1", curfew(1) | {"colour": "red"}, "colour"),
    ("PUT", "/v1/requirements/C1", curfew(1) | {"timetable": []}, "empty timetable"),
    ("POST", "/v1/activations", {"activation_id": "A9"}, "device_id"),
    ("POST", "/v1/activations", "A9", "expected an object"),
    ("POST", "/v1/wearers/W1/absences", {"from": "yesterday", "to": None}, "yesterday"),
]


async def test_what_does_not_fit_is_told_what_to_change(office: Office) -> None:
    for method, path, body, what in UNFIT:
        status, said = await send(office, method, path, body)
        assert (status, what in said["error"]) == (422, True), said
        assert (await send(office, method, path, body, "operator"))[0] == 403
