"""The device protocol over HTTP (CONTRACT.md), over real sockets into a real database."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emtrack.db.connect import connect
from emtrack.db.locks import WORKER_LOCK
from tests.db_fixtures import SUPERUSER, with_user
from tests.kept import KeptReport, kept_reports
from tests.service_world import AWAY, assert_conserved, event, iso, position, serving

MSGPACK = "application/msgpack"


async def rows(dsn: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    connection = await connect(dsn)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def reports_kept(dsn: str) -> list[KeptReport]:
    connection = await connect(dsn)
    try:
        return await kept_reports(connection)
    finally:
        await connection.close()


async def check_conservation(dsn: str) -> dict[str, int]:
    connection = await connect(dsn)
    try:
        return await assert_conserved(connection)
    finally:
        await connection.close()


async def test_the_answer_names_what_is_committed_when_it_comes(database_url: str) -> None:
    async with serving(database_url) as door:
        status, answer = await door.reports(position(17, "11:59"), event(18, "11:59", "STRAP_TAMPER"))
        assert (status, answer) == (200, {"ack": [17, 18], "refused": []})
        assert len(await rows(database_url, "SELECT * FROM positions")) == 1
        assert len(await rows(database_url, "SELECT * FROM device_events")) == 1
        assert [r["kind"] for r in await rows(database_url, "SELECT kind FROM findings")] == ["TAMPER"]


async def test_json_and_messagepack_give_the_same_stored_content(database_url: str) -> None:
    request = {"boot": 3, "reports": [position(1, "11:58"), event(2, "11:59", "HEARTBEAT", hmu_id="Ü1")]}
    async with serving(database_url) as door:
        status, answer, _ = await door.post(request)
        assert (status, answer["ack"]) == (200, [1, 2])
        status, answer, response = await door.post(request, content_type=MSGPACK)
        assert (status, answer, response.content_type) == (200, {"ack": [1, 2], "refused": []}, MSGPACK)
        status, _, _ = await door.post(request, device="D2", content_type=MSGPACK)
        assert status == 200
        kept = sorted(await reports_kept(database_url), key=lambda report: (report.seq, report.device_no))
        assert len(kept) == 4, "the same report in the other content type is the same report"
        assert kept[0].body == kept[1].body
        assert kept[2].digest == kept[3].digest
        assert await check_conservation(database_url) == {"D1": 4, "D2": 2}


async def test_a_key_opens_its_own_device_only(database_url: str) -> None:
    async with serving(database_url) as door:
        body = {"boot": 1, "reports": [position(1, "11:59")]}
        for device, key in (("D1", "wrong"), ("D1", door.keys["D2"]), ("D9", door.keys["D1"]), ("D1", "ü")):
            status, answer, response = await door.post(body, device=device, key=key)
            assert status == 401
            assert "key" in answer["error"]
            assert response.headers["WWW-Authenticate"] == "Bearer"
        async with door.session.post("/v1/devices/D1/reports", json=body) as response:
            assert response.status == 401
        assert await check_conservation(database_url) == {}


UNREADABLE: list[tuple[int, bytes]] = [
    (400, b"{"),
    (400, b"\xff\xfe"),
    (400, b""),
    (400, b"[" * 5_000),
    (400, b'{"boot": 1, "reports": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}"),
    (422, b"[]"),
    (422, b'{"reports": []}'),
    (422, b'{"boot": -1, "reports": []}'),
    (422, b'{"boot": true, "reports": []}'),
    (422, b'{"boot": 99999999999999999999, "reports": []}'),
    (422, b'{"boot": 1, "reports": {}}'),
]


async def test_a_body_that_cannot_be_read_is_kept_as_one_refusal(database_url: str) -> None:
    async with serving(database_url) as door:
        for status, body in UNREADABLE:
            got, answer, _ = await door.post(body)
            assert got == status, body[:40]
            assert len(answer["error"]) > 10
        kept = await rows(database_url, "SELECT reason, body FROM quarantine ORDER BY fact_id")
        assert {row["reason"] for row in kept} == {"unreadable"}
        assert [msgspec.msgpack.decode(row["body"]) for row in kept] == [body for _, body in UNREADABLE]
        assert await check_conservation(database_url) == {"D1": len(UNREADABLE)}


async def test_a_request_may_say_when_it_was_sent(database_url: str) -> None:
    async with serving(database_url) as door:
        for seq, sent_at in enumerate(("2026-03-02T12:00:00Z", "2026-03-02 13:00:00.250+01:00", None), 1):
            for content_type in ("application/json", MSGPACK):
                body = {"boot": 1, "reports": [position(seq, "11:59", precision_m=seq)], "sent_at": sent_at}
                status, answer, _ = await door.post(body, content_type=content_type)
                assert (status, answer) == (200, {"ack": [seq], "refused": []})
        assert await check_conservation(database_url) == {"D1": 6}


async def test_a_time_of_sending_that_is_no_time_costs_no_report_and_is_kept_with_its_reason(
    database_url: str,
) -> None:
    wrong = [
        "yesterday",
        "2026-03-02T12:00:00",
        "2026-03-02T24:00:00Z",
        "",
        1772452800,
        True,
        ["2026-03-02T12:00:00Z"],
    ]
    async with serving(database_url) as door:
        for seq, sent_at in enumerate(wrong, 1):
            body = {"boot": 1, "reports": [position(seq, "11:59", precision_m=seq)], "sent_at": sent_at}
            status, answer, _ = await door.post(body)
            assert (status, answer["ack"]) == (200, [seq])
            (refused,) = answer["refused"]
            assert (refused["seq"], refused["reason"]) == (None, "bad_time")
            assert "sent_at" in refused["action"]
        assert len(await rows(database_url, "SELECT FROM positions")) == len(wrong)
        kept = await rows(database_url, "SELECT reason, seq, body FROM quarantine ORDER BY fact_id")
        assert [(row["reason"], row["seq"]) for row in kept] == [("bad_time", None)] * len(wrong)
        assert [msgspec.msgpack.decode(row["body"]) for row in kept] == [{"sent_at": sent_at} for sent_at in wrong]
        assert await check_conservation(database_url) == {"D1": 2 * len(wrong)}


async def test_a_content_type_that_is_not_known_is_415_and_says_which_are(database_url: str) -> None:
    async with serving(database_url) as door:
        status, answer, _ = await door.post(b"x", content_type="text/csv")
        assert status == 415
        assert "application/json" in answer["error"]


async def test_a_request_that_is_too_large_is_413_however_it_is_sent(database_url: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65_536

    async with serving(database_url) as door:
        many = {"boot": 1, "reports": [position(i, "11:59") for i in range(1001)]}
        assert (await door.post(many))[0] == 413
        assert (await door.post(b" " * 1_048_577))[0] == 413
        assert (await door.post(chunks()))[0] == 411, "nobody says how long it is"
        just = msgspec.json.encode({"boot": 1, "reports": [position(i, "11:59") for i in range(1000)]})
        assert (await door.post(just.ljust(1_048_576)))[0] == 200
        assert await check_conservation(database_url) == {"D1": 1000}


async def test_refused_reports_are_acknowledged_and_named_with_reason_and_action(database_url: str) -> None:
    hostile = [
        (position(1, "11:59", mechanism="SONAR"), "unknown_mechanism"),
        (position(2, "11:59", lat_deg=91), "bad_coordinate"),
        (position(3, "11:59", lon_deg=None), "bad_coordinate"),
        (position(4, "11:59", precision_m="6"), "bad_precision"),
        (position(5, "11:59", fix_time="2026-03-02T11:59:00"), "bad_time"),
        (event(6, "11:59", "DANCE"), "unknown_event_type"),
        (position(7, "2025-03-02T11:59:00Z"), "no_activation"),
        ({"seq": 8, "type": "poem"}, "unreadable"),
    ]
    async with serving(database_url) as door:
        status, answer = await door.reports(*(report for report, _ in hostile))
        assert status == 200
        assert answer["ack"] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [(r["seq"], r["reason"]) for r in answer["refused"]] == [
            (seq, reason) for seq, (_, reason) in enumerate(hostile, start=1)
        ]
        assert all(len(r["action"]) > 10 for r in answer["refused"])
        assert await check_conservation(database_url) == {"D1": 8}
        again = await door.reports(hostile[1][0])
        assert again[1]["refused"][0]["reason"] == "bad_coordinate", "sent again, it is named again"
        assert await check_conservation(database_url) == {"D1": 9}


async def test_a_report_without_a_usable_number_is_kept_and_stops_no_other(database_url: str) -> None:
    unusable: list[Any] = [None, -1, True, 1.5, "1", 2**63, 10**30, [1], {}]
    async with serving(database_url) as door:
        for number, seq in enumerate(unusable):
            status, answer = await door.reports(position(seq, "11:58"), position(number, f"11:59:{number:02d}"))
            assert status == 200
            assert answer["ack"] == [number]
            assert [(r["seq"], r["reason"]) for r in answer["refused"]] == [(None, "unreadable")]
        assert await check_conservation(database_url) == {"D1": 2 * len(unusable)}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[dict[str, Any]] = [
    position(0, "11:59", lat_deg=math.nan),
    position(0, "11:59", lat_deg=math.inf),
    position(0, "11:59", precision_m=math.nan),
    position(0, "11:59", precision_m=1e308),
    position(0, "11:59", precision_m=-(2**63)),
    position(0, "11:59", satellites=2**63, hdop=1e39, speed_kmh=-1e-300, direction_deg=math.nan),
    position(0, "11:59", fix_time="0001-01-01T00:00:00+14:00"),
    position(0, "11:59", fix_time="9999-12-31T23:59:59.999999-12:00"),
    position(0, "11:59", fix_time="9999-12-28T00:00:00Z"),
    position(0, "11:59", recorded_time="0001-01-01T00:00:00Z", uploaded_time="9999-12-31T23:59:59-14:00"),
    position(0, "11:59", fix_time="\x00" * 3),
    position(0, "11:59", mechanism="\x00"),
    position(0, "11:59", lat_deg=-0.0, lon_deg=180),
    event(0, "11:59", "RF_IN", hmu_id="a\x00b"),
    event(0, "11:59", "RF_IN", hmu_id="x" * 300),
    event(0, "11:59", "RF_IN", hmu_id=7),
    event(0, "11:59", "\x00"),
    {"seq": 0, "type": ["position"]},
    {"seq": 0, "type": "event", "\x00": 1},
    {},
]


async def test_hostile_values_are_answered_and_stop_nobody(database_url: str) -> None:
    async with serving(database_url) as door:
        for seq, report in enumerate(HOSTILE):
            body = {"boot": 1, "reports": [{**report, "seq": seq}]}
            fine = {"boot": 1, "reports": [position(seq, f"11:00:{seq:02d}")]}
            (status, answer, _), (other, _, _) = await asyncio.gather(
                door.post(body, content_type=MSGPACK), door.post(fine, device="D2")
            )
            assert (status, answer["ack"], other) == (200, [seq], 200), report
        status, answer = await door.reports([], 3, None, "x", nested(50), position(99, "11:59", x=nested(50)))
        assert (status, answer["ack"], len(answer["refused"])) == (200, [99], 5)
        assert await check_conservation(database_url) == {"D1": len(HOSTILE) + 6, "D2": len(HOSTILE)}


async def test_numbers_beyond_every_range_are_refused_like_others(database_url: str) -> None:
    huge = b"1" + b"0" * 400
    async with serving(database_url) as door:
        for seq, name in enumerate(["lat_deg", "precision_m", "speed_kmh", "satellites", "seq"]):
            body = msgspec.json.encode({"boot": 1, "reports": [{**position(seq, "11:59"), name: "HERE"}]})
            status, _, _ = await door.post(body.replace(b'"HERE"', huge))
            assert status == 200, name
        assert await check_conservation(database_url) == {"D1": 5}


async def test_reports_nested_to_the_edge_of_what_can_be_read_are_never_a_fault_of_ours(database_url: str) -> None:
    async with serving(database_url) as door:

        async def status_at(depth: int) -> int:
            return (await door.post(b'{"boot": 1, "reports": [' + b"[" * depth + b"]" * depth + b"]}"))[0]

        readable, unreadable = 10, 5_000
        while unreadable - readable > 1:
            depth = (readable + unreadable) // 2
            status = await status_at(depth)
            assert status in (200, 400), depth
            readable, unreadable = (depth, unreadable) if status == 200 else (readable, depth)
        assert [await status_at(readable + step) for step in (-3, -2, -1, 0, 1)] == [200, 200, 200, 200, 400]


async def test_mappings_that_only_messagepack_can_say_are_kept(database_url: str) -> None:
    async with serving(database_url) as door:
        odd = {**position(1, "11:59"), 7: 1, (1, 2): 3}
        status, answer, _ = await door.post({"boot": 1, "reports": [odd]}, content_type=MSGPACK)
        assert (status, answer) == (200, {"ack": [1], "refused": []})


fields = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=4),
    st.sampled_from(["position", "event", "GPS", "RF", "RF_IN", "STRAP_TAMPER", iso("11:59"), iso("12:30"), 53.0, -2.0]),
)  # fmt: skip
NAMES = (
    "seq", "type", "fix_time", "event_time", "lat_deg", "lon_deg", "precision_m", "mechanism", "event", "hmu_id",
    "speed_kmh", "satellites", "recorded_time",
)  # fmt: skip
changes = st.dictionaries(st.sampled_from(NAMES), fields, max_size=3)
well_formed = st.one_of(
    st.builds(lambda seq, second: position(seq, f"11:59:{second:02d}"), st.integers(0, 9), st.integers(0, 5)),
    st.builds(lambda seq, what: event(seq, "11:59", what), st.integers(0, 9), st.sampled_from(["RF_IN", "JAMMING"])),
)
reports = st.one_of(st.builds(lambda report, change: {**report, **change}, well_formed, changes), fields)
requests = st.tuples(st.sampled_from(["D1", "D2"]), st.integers(0, 2), st.lists(reports, max_size=12))


async def test_whatever_is_sent_nothing_is_lost_and_nothing_is_a_fault(database_url: str) -> None:
    """Fuzzed requests against the running service; then all counts are what stands in the tables."""
    seen: list[list[tuple[str, int, list[Any]]]] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(requests, min_size=1, max_size=4))
    def gather(batch: list[tuple[str, int, list[Any]]]) -> None:
        seen.append(batch)

    gather()
    sent = {"D1": 0, "D2": 0}
    async with serving(database_url) as door:
        for batch in seen:
            answers = await asyncio.gather(
                *(
                    door.post({"boot": boot, "reports": items}, device=device, content_type=MSGPACK)
                    for device, boot, items in batch
                )
            )
            for (device, _, items), (status, answer, _) in zip(batch, answers, strict=True):
                assert status == 200, (status, answer)
                sent[device] += len(items)
        assert "emtrack_failed_turns_total 0.0" in await door.metrics(), "nothing had to be found out by trying"
    received = await check_conservation(database_url)
    assert {device: received.get(device, 0) for device in sent} == sent


# ---------------------------------------------------------------------------------------------- when we cannot


async def test_a_full_inbox_is_503_and_says_when_to_come_back(database_url: str) -> None:
    async with serving(database_url, inbox_reports=5) as door:
        locker = await connect(database_url)
        async with locker.transaction():
            await locker.execute(
                "LOCK TABLE raw_requests, raw_reports"
            )  # the first turn stands still, and the inbox fills
            first = asyncio.create_task(door.reports(position(1, "11:59")))
            await _until(database_url, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1)
            waiting = asyncio.create_task(door.reports(*(position(i, "11:58") for i in range(2, 7))))
            while door.service and "emtrack_inbox_reports 5.0" not in await door.metrics():
                status, _, response = await door.post({"boot": 1, "reports": [position(9, "11:57")] * 2})
                if status == 503:
                    break
            assert status == 503
            assert response.headers["Retry-After"] == "2"
        assert (await first)[0] == 200
        assert (await waiting)[0] == 200
        await locker.close()


async def _until(dsn: str, statement: str, value: int) -> None:
    connection = await connect(dsn)
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(statement) != value:  # noqa: ASYNC110  another program changes it
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_when_the_connection_of_the_worker_is_cut_it_comes_back_and_nothing_acknowledged_is_missing(
    database_url: str,
) -> None:
    cut = """
    SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.objid = $1 AND d.datname = current_database()
    """
    acknowledged: set[int] = set()
    refused = 0
    async with serving(database_url, wait_s=1.0) as door:  # so that it is a report that finds the connection cut
        for seq in range(40):
            if seq in (10, 25):
                ((ended,),) = await rows(with_user(database_url, SUPERUSER), cut, WORKER_LOCK)
                assert ended == 1
            while True:
                status, answer, response = await door.post({"boot": 1, "reports": [position(seq, f"11:{seq:02d}")]})
                if status == 200:
                    break
                assert status == 503
                assert int(response.headers["Retry-After"]) >= 1
                refused += 1
                await asyncio.sleep(0.05)
            acknowledged.update(answer["ack"])
        assert refused >= 1
    assert acknowledged == {report.seq for report in await reports_kept(database_url)}
    assert len(await rows(database_url, "SELECT * FROM positions")) == 40
    assert await check_conservation(database_url) == {"D1": 40}


async def test_while_no_turn_can_commit_senders_are_told_to_come_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.http.ANSWER_WITHIN_S", 0.3)
    async with serving(database_url) as door:
        locker = await connect(database_url)
        async with locker.transaction():
            await locker.execute("LOCK TABLE raw_requests, raw_reports")
            status, _, response = await door.post({"boot": 1, "reports": [position(1, "11:59", AWAY)]})
            assert status == 503
            assert response.headers["Retry-After"] == "5"
        status, answer = await door.reports(position(1, "11:59", AWAY))
        assert (status, answer["ack"]) == (200, [1])
        await locker.close()
    assert await check_conservation(database_url) == {"D1": 2}, "the first may be committed after its sender gave up"


async def test_the_time_and_the_readiness_are_told_to_anybody(database_url: str) -> None:
    async with serving(database_url) as door:
        async with door.session.get("/v1/time") as response:
            told: dict[str, Any] = await response.json()
        assert told["now"].startswith("2026-03-02T12:0")
        assert (told["rate"], told["emulated"]) == (1.0, True)
        for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
            async with door.session.get(path) as response:
                assert (response.status, (await response.json())["status"]) == (200, status)
