"""Requests that are kept whole beside reports that are kept one by one: the same record, and nothing told twice or lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from ingest import Submission, read_request
from ingest.whole_requests import HighestNumbers
from tests.kept import kept_reports
from tests.service_world import AWAY, HOME, World, event, ms, orders, position


@pytest.fixture
async def world(world: World) -> World:
    await world.enter(orders(1, 2))
    await world.turn()
    return world


async def whole(world: World) -> list[tuple[int, int, int]]:
    """Of the requests that are kept whole: how many reports, and their numbers."""
    rows = await world.connection.fetch("SELECT reports, first_seq, last_seq FROM raw_requests ORDER BY request_no")
    return [tuple(row) for row in rows]


async def test_a_request_of_new_reports_is_kept_once_as_its_bytes_came(world: World) -> None:
    body = b' {"reports": [%s], "boot": 1}' % b", ".join(
        msgspec.json.encode(report) for report in (position(1, "11:58"), event(4, "11:59", "BATTERY_LOW"))
    )
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    world.inbox.put(Submission.of(read_request(body, "application/json"), await world.device_no("D1"), done))
    await world.turn()
    assert (await done).ack == [1, 4]
    row = await world.connection.fetchrow("SELECT * FROM raw_requests")
    assert (bytes(row["body"]), row["content_type"], row["reports"]) == (body, "application/json", 2)
    assert await world.count("raw_reports") == 0
    facts = await world.connection.fetch(
        "SELECT fact_id FROM positions UNION SELECT fact_id FROM device_events ORDER BY 1"
    )
    assert [fact["fact_id"] for fact in facts] == [row["request_no"], row["request_no"] + 1]


async def test_a_number_of_a_whole_request_that_comes_again_is_told_from_one_with_other_content(world: World) -> None:
    await world.send("D1", position(1, "11:57"), position(2, "11:58"))
    await world.start()
    again = await world.send("D1", position(2, "11:58"), position(1, "11:56"), position(3, "11:59"))
    assert (again.ack, again.refused) == ([2, 1, 3], [])
    assert (await world.count("positions"), await world.count("integrity_events")) == (4, 1)
    assert sorted(report.seq for report in await kept_reports(world.connection)) == [1, 1, 2, 3]
    for _ in range(2):
        await world.send("D1", position(1, "11:56"), position(1, "11:57"))
    assert (await world.count("positions"), await world.count("integrity_events")) == (4, 1)


async def test_a_number_that_a_whole_request_left_out_is_new(world: World) -> None:
    await world.send("D1", position(1, "11:55"), position(3, "11:57"))
    await world.send("D1", position(2, "11:56"))
    assert await world.count("integrity_events") == 0
    assert [report.seq for report in await kept_reports(world.connection)] == [1, 3, 2]
    assert await whole(world) == [(2, 1, 3)]


async def test_a_boot_begins_its_numbers_anew_and_what_it_repeats_is_stored_once(world: World) -> None:
    await world.send("D1", position(1, "11:57"), position(2, "11:58"))
    await world.send("D1", position(1, "11:58"), position(2, "11:59"), boot=2)
    assert await whole(world) == [(2, 1, 2), (2, 1, 2)]
    assert await world.count("positions") == 3
    row = await world.connection.fetchrow("SELECT received, stored, duplicates FROM device_counts")
    assert tuple(row) == (4, 3, 1)


async def test_what_is_stored_already_though_it_should_be_new_stops_no_other_device(world: World) -> None:
    """(0, 0) is stored and is no evidence: what is judged does not tell that it is there."""
    nowhere = position(1, "11:59", (0.0, 0.0))
    await world.send("D1", nowhere)
    waiting = [
        await world.submit("D1", nowhere, boot=2),
        await world.submit("D2", position(1, "11:58"), position(2, "11:59")),
    ]
    await world.turn()
    answers = [await done for done in waiting]
    assert [(answer.ack, answer.refused) for answer in answers] == [([1], []), ([1, 2], [])]
    assert await world.count("positions") == 3


@pytest.mark.parametrize(
    "reports",
    [
        [position(1, "11:58"), position(1, "11:59")],
        [position(2, "11:58"), position(1, "11:59")],
        [position(1, "11:58"), position(2, "11:59", lat_deg=99)],
        [position(1, "11:58"), {**position(2, "11:59"), "seq": "2"}],
        [position(1, "11:58"), position(2, "2026-03-01T08:00:00Z")],
        [{**position(1, "11:58"), "padding": "x" * 3_000}],
    ],
    ids=["twice", "back", "refused", "without a number", "on nobody", "long"],
)
async def test_whatever_is_out_of_the_ordinary_is_kept_report_by_report(
    world: World, reports: list[dict[str, Any]]
) -> None:
    await world.send("D1", *reports)
    assert await whole(world) == []


async def test_a_turn_that_fails_leaves_no_number_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut(*_: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("emtrack.service.worker.record_alive", cut)
    await world.submit("D1", position(1, "11:58"))
    with pytest.raises(ConnectionResetError):
        await world.turn()
    monkeypatch.undo()
    await world.send("D1", position(1, "11:58"))
    assert await whole(world) == [(1, 1, 1)]


# ------------------------------------------------------------------------------------------ beside the slow way


def requests_of(seed: int) -> list[tuple[int, list[dict[str, Any]]]]:
    """What a confused device sends: boots and requests with numbers that go on, come again, go back or clash."""
    rng = random.Random(seed)
    sent: list[tuple[int, list[dict[str, Any]]]] = []
    boot, seq = 1, 0
    for _ in range(14):
        if sent and rng.random() < 0.25:
            sent.append(rng.choice(sent))
            continue
        if rng.random() < 0.15:
            boot, seq = boot + 1, 0
        first = max(0, seq - rng.choice([0, 0, 0, 1, 3]))
        reports = []
        for number in range(first + 1, first + 1 + rng.randint(1, 5)):
            minute = rng.choice([10 + number, 10 + number, rng.randint(10, 40)])
            made = (
                event(number, f"11:{minute:02}", rng.choice(["BATTERY_LOW", "STRAP_TAMPER"]))
                if rng.random() < 0.2
                else position(number, f"11:{minute:02}", HOME, lat_deg=rng.choice([HOME[1], HOME[1], 0.0, 99]))
            )
            reports.append(made)
        rng.random() < 0.1 and rng.shuffle(reports)
        seq = max(seq, first + len(reports))
        sent.append((boot, reports))
    return sent


async def submitted(world: World, device_id: str, boot: int, reports: list[Any], *, as_it_came: bool) -> Any:
    read = read_request(msgspec.json.encode({"boot": boot, "reports": reports}), "application/json")
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    request = Submission.of(read, await world.device_no(device_id), done)
    world.inbox.put(request if as_it_came else msgspec.structs.replace(request, body=None))
    return done


STORED_OF = """
SELECT (SELECT array_agg(row(fix_time, lat_deg) ORDER BY fix_time, lat_deg)::text
        FROM positions p WHERE p.device_no = d.device_no) AS positions,
       (SELECT array_agg(row(event_time, type) ORDER BY event_time, type)::text
        FROM device_events e WHERE e.device_no = d.device_no) AS events,
       (SELECT count(*) FROM integrity_events i WHERE i.device_no = d.device_no) AS clashes,
       (SELECT array_agg(row(boot, seq, reason) ORDER BY boot, seq, reason)::text
        FROM quarantine q WHERE q.device_no = d.device_no) AS refused,
       c.received, c.stored, c.duplicates, c.refused AS refusals
FROM devices d JOIN device_counts c USING (device_no) WHERE d.device_id = $1
"""


@pytest.mark.parametrize("seed", range(12))
async def test_a_confused_device_leaves_one_record_kept_whole_or_report_by_report(world: World, seed: int) -> None:
    """D1 as it comes, D2 with the same reports one by one. Some turns take several requests, and the program starts anew."""
    rng = random.Random(seed + 1_000)
    for boot, reports in requests_of(seed):
        answers = [
            await submitted(world, "D1", boot, reports, as_it_came=True),
            await submitted(world, "D2", boot, reports, as_it_came=False),
        ]
        if rng.random() < 0.4:
            continue
        await world.turn()
        assert (await answers[0]) == (await answers[1])
        if rng.random() < 0.15:
            await world.start()
    await world.turn()
    rows = [dict(await world.connection.fetchrow(STORED_OF, device)) for device in ("D1", "D2")]
    assert rows[0] == rows[1]
    mine, other = [await world.device_no(device) for device in ("D1", "D2")]
    kept = await kept_reports(world.connection)
    assert {(r.boot, r.seq, r.digest) for r in kept if r.device_no == mine} == {
        (r.boot, r.seq, r.digest) for r in kept if r.device_no == other
    }


async def test_where_a_role_may_not_copy_positions_are_inserted(world: World) -> None:
    world.worker._can_copy = False
    await world.send("D1", position(1, "11:58"), position(2, "11:59"))
    assert (await world.count("positions"), len(await whole(world))) == (2, 1)


def test_of_too_many_devices_those_are_forgotten_that_were_heard_least_lately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.whole_requests.MOST_KNOWN", 2)
    highest = HighestNumbers()
    for device_no in (1, 2, 1, 3):
        highest._kept.setdefault((device_no, 0), -1)
        highest.add((device_no, 0), 7)
        highest.adopt()
    assert set(highest._kept) == {(1, 0), (3, 0)}


async def test_what_is_judged_while_the_database_writes_is_what_is_judged_after_it(world: World) -> None:
    """W1 and W2 have the same orders and go the same way; D1 sends whole requests, D2 has its reports kept one by one."""
    rng = random.Random(5)
    judged_ahead = 0
    for hour in range(6):
        for ten in range(6):
            reports = [
                position(hour * 60 + ten * 10 + n + 1, f"{18 + hour}:{ten}{n}", rng.choice([HOME, HOME, HOME, AWAY]))
                for n in range(10)
            ]
            world.clock.at_ms = ms(f"{18 + hour}:{ten}9") + 30_000
            await submitted(world, "D1", 1, reports, as_it_came=True)
            await submitted(world, "D2", 1, reports, as_it_came=False)
            await world.turn()
            judged_ahead += len(world.worker._ahead_of_commit._done)
    lines = await world.lines()
    found = {
        wearer: [
            (line["kind"], line["begin"], line["end"], line["known_at"])
            for line in lines
            if line["wearer_id"] == wearer
        ]
        for wearer in ("W1", "W2")
    }
    assert found["W1"] == found["W2"] != []
    assert judged_ahead == 36, "each of D1, none of D2"


async def test_a_judgement_that_fails_ahead_is_a_fault_in_its_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("geofence.judgement.judge.ActivationJudge.advance", fails)
    answer = await world.send("D1", position(1, "11:58"), position(2, "11:59"))
    assert answer.ack == [1, 2]
    assert (await world.count("positions"), await world.count("judgement_faults")) == (2, 1)


async def test_an_event_beside_positions_is_judged_with_them(world: World) -> None:
    await world.send("D1", position(1, "11:55"))
    await world.send("D1", position(2, "11:58"), event(3, "11:58", "STRAP_TAMPER"), position(4, "11:59"))
    assert await world.versions() == ["TAMPER new STRAP_TAMPER"]
