"""Telephones that check in over HTTP: what is read, who may, and that nothing of it is logged."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emtrack.orders.importing import set_device_identifier
from emtrack.record.device_identifiers import unauthenticated_among
from geofence import Mechanism
from ingest import PositionReport, Refusal, RefusalReason
from ingest.protocols import Asked, CheckIn, NotACheckIn, Source, named, osmand, owntracks
from tests.service_world import HOME, assert_conserved, iso, ms
from tests.test_protocols import MOST_S, RECEIVED_MS, vectors
from tests.test_trackers import Tracked, tracked

PHONE = "ann/pixel"


def seconds(at: str) -> int:
    return ms(at) // 1000


def location(at: str = "12:00", **fields: Any) -> dict[str, Any]:
    return {"_type": "location", "lat": HOME[1], "lon": HOME[0], "tst": seconds(at), "acc": 10, **fields}


def heard(app: Any, asked: Asked) -> list[Any]:
    return [
        named(report, Source.UNAUTHENTICATED, RECEIVED_MS).report for report in app.read(app.identify(asked)).reports
    ]


# ---------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    "query",
    [f"id=p&lat={HOME[1]}&lon={HOME[0]}&timestamp={ms('12:00')}&accuracy=10&bearing=90",
     f"deviceid=p&location={HOME[1]},{HOME[0]}&timestamp={seconds('12:00')}&accuracy=10&heading=90",
     f"id=p&lat={HOME[1]}&lon={HOME[0]}&timestamp={iso('12:00')}&accuracy=10&bearing=90&speed=3"],
)  # fmt: skip
def test_a_place_in_a_query_is_a_position_with_the_circle_that_holds_it_95_times_of_100(query: str) -> None:
    for asked in (Asked(query, {}, b""), Asked("", {}, query.encode())):
        assert osmand.identify(asked).identifier == "p"
        [report] = heard(osmand, asked)
        assert isinstance(report, PositionReport)
        assert (report.fix_ms, report.lat_deg, report.lon_deg) == (ms("12:00"), HOME[1], HOME[0])
        assert (report.precision_m, report.direction_deg, report.speed_kmh) == (pytest.approx(16.2), 90.0, None)
        assert report.mechanism is Mechanism.GPS


def test_the_newer_form_of_traccar_client_is_read() -> None:
    coords = {"latitude": HOME[1], "longitude": HOME[0], "accuracy": 5, "heading": -1}
    sent = {"device_id": "48241179", "location": {"timestamp": iso("12:00"), "coords": coords}}
    asked = Asked("", {}, json.dumps(sent).encode())
    assert osmand.identify(asked).identifier == "48241179"
    [report] = heard(osmand, asked)
    assert isinstance(report, PositionReport)
    assert (report.fix_ms, report.precision_m) == (ms("12:00"), pytest.approx(8.1))


def test_a_location_of_owntracks_is_a_position_and_all_else_says_nothing() -> None:
    [report] = heard(owntracks, Asked("", {}, json.dumps(location(topic="owntracks/ann/pixel", vel=5)).encode()))
    assert isinstance(report, PositionReport)
    assert (report.fix_ms, report.precision_m, report.speed_kmh) == (ms("12:00"), pytest.approx(16.2), 5.0)
    lwt = json.dumps({"_type": "lwt", "tst": 1, "topic": "owntracks/ann/pixel"}).encode()
    assert heard(owntracks, Asked("", {}, lwt)) == []


def test_a_telephone_of_owntracks_says_who_it_is_in_its_headers_its_topic_or_its_user() -> None:
    body = json.dumps(location()).encode()
    assert owntracks.identify(Asked("", {"x-limit-u": "ann", "x-limit-d": "pixel"}, body)).identifier == PHONE
    assert owntracks.identify(Asked("", {}, body, user="ann", key="K")) == CheckIn("ann", "K", location())
    with pytest.raises(NotACheckIn):
        owntracks.identify(Asked("", {}, body))


@pytest.mark.parametrize(
    ("query", "reason"),
    [("lat=1&lon=2", RefusalReason.BAD_TIME), ("lat=1&lon=2&timestamp=2014-06-04+09:10:11", RefusalReason.BAD_TIME),
     (f"lat=91&lon=2&timestamp={seconds('12:00')}", RefusalReason.BAD_COORDINATE),
     (f"lat=nan&lon=2&timestamp={seconds('12:00')}", RefusalReason.BAD_COORDINATE),
     (f"timestamp={seconds('12:00')}&cell=257,02", RefusalReason.BAD_COORDINATE),
     ("lat=1&lon=2&timestamp=9e99", RefusalReason.BAD_TIME)],
)  # fmt: skip
def test_what_cannot_be_a_position_is_refused_with_its_reason(query: str, reason: RefusalReason) -> None:
    [report] = heard(osmand, Asked(f"id=p&{query}", {}, b""))
    assert isinstance(report, Refusal)
    assert report.reason is reason


def test_the_key_is_no_part_of_what_is_kept() -> None:
    check_in = osmand.identify(Asked("id=p&token=SECRET&lat=1&lon=2", {}, b""))
    assert check_in.key == "SECRET"
    assert "SECRET" not in str(osmand.read(check_in))


def test_requests_of_real_apps_are_read() -> None:
    places = 0
    for app, protocol in ((osmand, "OsmAnd"), (owntracks, "OwnTracks")):
        for vector in vectors(protocol):
            sent = vector["input"]
            body = sent.get("body", {}).get("data", "").encode()
            asked = Asked(sent["url"].partition("?")[2], {"x-limit-u": "ann", "x-limit-d": "pixel"}, body)
            try:
                places += sum(isinstance(report, PositionReport) for report in heard(app, asked))
            except NotACheckIn:
                assert vector["assert"] == "verifyNull"
    assert places >= 14


FIELDS = st.sampled_from(
    ["_type", "lat", "lon", "tst", "acc", "topic", "device_id", "location", "coords", "timestamp"]
)
VALUES = st.none() | st.floats() | st.integers() | st.text(max_size=9)
BODIES = st.binary(max_size=80) | st.dictionaries(
    FIELDS, st.recursive(VALUES, lambda some: st.lists(some) | st.dictionaries(FIELDS, some), max_leaves=4)
).map(lambda fields: json.dumps({"_type": "location"} | fields).encode())


def checked(query: str, body: bytes) -> None:
    began_s = time.process_time()
    for app in (osmand, owntracks):
        with suppress(NotACheckIn):
            heard(app, Asked(f"id=p&{query}", {"x-limit-u": "ann", "x-limit-d": "pixel"}, body))
    assert time.process_time() - began_s < MOST_S


@settings(deadline=None)
@given(st.text(max_size=80), BODIES)
def test_no_request_raises_anything_but_that_it_is_none(query: str, body: bytes) -> None:
    checked(query, body)


@pytest.mark.long
def test_no_request_of_a_minute_raises_anything_but_that_it_is_none() -> None:
    attempt = settings(max_examples=2_000, deadline=None, database=None)(given(st.text(max_size=80), BODIES)(checked))
    began_s = time.monotonic()
    while time.monotonic() < began_s + 60:
        attempt()


# ---------------------------------------------------------------------------------------------- over HTTP


@pytest.fixture
async def phones(database_url: str) -> AsyncIterator[Tracked]:
    async with tracked(database_url, check_in="on", trackers=()) as world:
        await set_device_identifier(world.settings, "D1", "owntracks", PHONE, who="Ann")
        await set_device_identifier(world.settings, "D1", "osmand", "ann-pixel", who="Ann")
        yield world


async def test_a_telephone_checks_in_with_the_key_of_its_device_and_stays_unauthenticated(
    phones: Tracked, capfd: pytest.CaptureFixture[str]
) -> None:
    http, key = phones.door.session, phones.door.keys["D1"]
    who = {"X-Limit-U": "ann", "X-Limit-D": "pixel"}
    basic = {"Authorization": "Basic " + base64.b64encode(f"ann:{key}".encode()).decode()}
    query = f"id=ann-pixel&lat={HOME[1]}&lon={HOME[0]}&timestamp={seconds('12:01')}"
    for _ in range(2):  # the second time is the same report
        async with http.post("/check-in/owntracks", json=location("12:00"), headers=who | basic) as response:
            assert (response.status, await response.json()) == (200, [])
    async with http.get(f"/check-in/osmand?{query}&token={key}") as response:
        assert response.status == 200
    assert await phones.stored() == ["12:00 position", "12:01 position"]
    facts = [row[0] for row in await phones.connection.fetch("SELECT fact_id FROM positions")]
    assert await unauthenticated_among(phones.connection, facts) == set(facts)
    assert await assert_conserved(phones.connection) == {"D1": 3}

    wrong = [
        ("get", f"/check-in/osmand?{query}", {}), ("get", f"/check-in/osmand?{query}&token=x", {}),
        ("get", f"/check-in/osmand?{query.replace('ann-pixel', 'bob')}&token={key}", {}),
        ("post", "/check-in/owntracks", {"json": location("12:02"), "headers": who}),
        ("post", "/check-in/owntracks", {"json": location("12:02"), "headers": who | {"Authorization": "Basic !"}}),
        ("post", "/check-in/owntracks", {"json": location("12:02"), "headers": basic | {"X-Limit-U": "b", "X-Limit-D": "p"}}),
    ]  # fmt: skip
    assert [await status_of(http, *one) for one in wrong] == [401] * 6
    unfit = [
        ("get", f"/check-in/osmand?lat=1&lon=2&token={key}", {}),
        ("post", "/check-in/owntracks", {"data": b"[]", "headers": who | basic}),
    ]
    assert [await status_of(http, *one) for one in unfit] == [422] * 2
    large = {"data": b"{" + b" " * 20_000 + b"}", "headers": who | basic}
    assert await status_of(http, "post", "/check-in/owntracks", large) == 413
    assert len(await phones.stored()) == 2
    assert await phones.counted("osmand", "unknown device") == 3
    logged = "".join(capfd.readouterr())
    assert not any(secret in logged for secret in (str(HOME[0]), str(HOME[1]), key, "ann-pixel", "check-in/"))


async def status_of(http: aiohttp.ClientSession, method: str, path: str, more: dict[str, Any]) -> int:
    async with http.request(method, path, **more) as response:
        return response.status


async def test_a_private_network_may_without_a_key_and_the_door_is_shut_unless_it_is_asked_for(
    database_url: str,
) -> None:
    query = f"/check-in/osmand?id=ann-pixel&lat={HOME[1]}&lon={HOME[0]}&timestamp={seconds('12:01')}"
    async with tracked(database_url, check_in="on", trackers=(), private_networks=("127.0.0.0/8",)) as world:
        await set_device_identifier(world.settings, "D1", "osmand", "ann-pixel", who="Ann")
        assert await status_of(world.door.session, "get", query, {}) == 200
        facts = [row[0] for row in await world.connection.fetch("SELECT fact_id FROM positions")]
        assert await unauthenticated_among(world.connection, facts) == set(facts)
    async with tracked(database_url, trackers=()) as world:
        assert await status_of(world.door.session, "get", query, {}) == 404
